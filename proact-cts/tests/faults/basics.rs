//! What programs are mostly made of: files, names, a chain, a stream, waits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::memory::{BufferPool, Lease, Slab};
use proact::operation::{
    Accept, Allocate, Chain, Close, Complete, Connect, Context, EventWait, ListDirectory, MakeDirectory, Nop, Op, Open,
    Outcome, Read, Receive, ReceivePooled, ReceiveVectored, Remove, Rename, SemaphoreWait, Send, SendVectored,
    SetAttributes, Stat, StatPath, Sync, Timer, Truncate, Write,
};
use proact::resource::{Domain, Socket, SocketOptions, SocketType};
use proact::sync::Semaphore;
use proact::time::Time;

use crate::driver::{Driver, Part, bytes};

pub const PARTS: &[Part] = &[files, chain, paths, stream, messages, waits, pending];

/// One file, one operation after the other.
fn files(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("file");
    let _ = std::fs::remove_file(&path);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = driver.one("open", Open::new(&path, flags), |_| true)?;
    let content = bytes(10_000, 1);
    if driver.one("write", Write::exact(file.clone(), 0, content.clone()), |count| *count == 10_000).is_some() {
        let found = std::fs::read(&path).is_ok_and(|found| found == content);
        driver.right("write", found, "the file has other bytes than were written");
        let read = driver.start("read", Read::exact(file.clone(), 0, vec![0; 10_000]));
        driver.end(&read, |count, kind| *count == 10_000 && kind.buffer == content);
        driver.one("stat", Stat::new(file.clone()), |found| found.size == 10_000);
    }
    driver.one("sync", Sync::all(file.clone()), |_| true);
    driver.one("sync data", Sync::data(file.clone()), |_| true);
    driver.one("set attributes", SetAttributes::new(file.clone()).mode(0o600).modified(1, 0), |_| true);
    if driver.one("truncate", Truncate::new(file.clone(), 100), |_| true).is_some() {
        let length = std::fs::metadata(&path).map_or(0, |found| found.len());
        driver.right("truncate", length == 100, "the file has another length");
    }
    driver.one("allocate", Allocate::new(file.clone(), 0, 4096), |_| true);
    let all = [driver.start("read many", Read::some(file.clone(), 0, vec![0; 50]))];
    for read in &all {
        driver.end(read, |count, _| (1..=50).contains(count));
    }
    driver.one("close", Close::new(file), |_| true)
}

/// Steps that depend on each other, handed to the kernel where it can take them.
fn chain(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("chained");
    std::fs::write(&path, b"old").expect("a temporary file");
    let file = driver.one("open of the chain", Open::new(&path, OpenFlags::READ | OpenFlags::WRITE), |_| true)?;
    let content = bytes(5000, 2);
    let (write, wrote) = driver.flight("chained write", Write::exact(file.clone(), 0, content.clone()));
    let (sync, synced) = driver.flight("chained sync", Sync::data(file.clone()));
    let (read, got) = driver.flight("chained read", Read::exact(file.clone(), 0, vec![0; 5000]));
    driver.submit(Chain::new((write, sync, read)));
    let wrote = driver.end(&wrote, |count, _| *count == 5000).is_some();
    let synced = driver.end(&synced, |_, _| true).is_some();
    let got = driver.end(&got, |count, kind| *count == 5000 && kind.buffer == content).is_some();
    driver.right("chain", (wrote || !synced) && (synced || !got), "a step succeeded behind one that failed");
    driver.one("close of the chain", Close::new(file), |_| true)
}

/// Names in a folder.
fn paths(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let (directory, one, two) = (folder.join("directory"), folder.join("directory/one"), folder.join("directory/two"));
    let _ = std::fs::remove_dir_all(&directory);
    driver.one("make directory", MakeDirectory::new(&directory), |_| true)?;
    std::fs::write(&one, b"1").expect("a temporary file");
    let renamed = driver.one("rename", Rename::new(&one, &two), |_| true).is_some();
    driver.right("rename", one.exists() != renamed && two.exists() == renamed, "the names say otherwise");
    driver.one("list", ListDirectory::new(&directory), |entries| entries.len() == 1);
    driver.one("stat of a path", StatPath::new(if renamed { &two } else { &one }), |found| found.size == 1);
    driver.one("remove", Remove::file(if renamed { &two } else { &one }), |_| true)?;
    driver.one("remove directory", Remove::directory(&directory), |_| true)
}

/// A connection, and more bytes through it than its buffers hold.
fn stream(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let options = SocketOptions { send_buffer: Some(8192), ..SocketOptions::default() };
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = driver.proactor.handle().listen(&address, &options);
    let listener = driver.call("listen", listener)?;
    let address = listener.local_address();
    let address = driver.call("address", address)?;
    let client = driver.proactor.handle().socket(Domain::Ipv4, &options);
    let client = driver.call("socket", client)?;
    let accept = driver.start("accept", Accept::new(listener));
    if driver.one("connect", Connect::new(client.clone(), address), |_| true).is_none() {
        driver.give_up(&accept);
        return None;
    }
    let (accepted, _) = driver.end(&accept, |_, _| true)?;
    let server = accepted.socket;
    let whole = transfer(driver, &client, &server, 60_000);
    transfer(driver, &server, &client, 300);
    let receive = driver.start("last receive", Receive::some(server.clone(), vec![0; 1]));
    driver.one("close of the client", Close::new(client), |_| true)?;
    driver.end(&receive, |count, _| *count == 0 || !whole);
    driver.one("close of the server", Close::new(server), |_| true)
}

/// Two sends after each other, and two receives. Answers whether everything arrived.
fn transfer(driver: &mut Driver<'_>, from: &Socket, to: &Socket, length: usize) -> bool {
    let sent = bytes(length, 3);
    let (first, second) = sent.split_at(length / 3);
    let receive = driver.start("receive", Receive::exact(to.clone(), vec![0; 100]));
    let rest = driver.start("receive of the rest", Receive::exact(to.clone(), vec![0; length - 100]));
    let send = driver.start("send", Send::exact(from.clone(), first.to_vec()));
    let then = driver.start("send of the rest", Send::exact(from.clone(), second.to_vec()));
    let whole = driver.end(&send, |count, _| *count == first.len()).is_some();
    let whole = driver.end(&then, |count, _| *count == second.len()).is_some() && whole;
    if !whole {
        // The receives would wait for what never comes.
        let _ = from.shutdown(proact::resource::Shutdown::Send);
    }
    let first = driver.end(&receive, |count, kind| *count == 100 && kind.buffer == sent[..100]).is_some();
    // A receive that failed may have taken none, or some, of its bytes: the next goes on where it stopped.
    let mut starts = if first { 100..=100 } else { 0..=100 };
    let right = |count: &usize, kind: &Receive<Vec<u8>>| {
        *count == length - 100 && starts.any(|start| sent[start..].starts_with(&kind.buffer))
    };
    driver.end(&rest, right).is_some() && first
}

/// What other threads, and the clock, bring.
fn waits(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    driver.one("nop", Nop, |_| true);
    let soon = driver.proactor.now() + Duration::from_micros(300);
    driver.one("timer", Timer::new(soon), |_| true);
    let event = driver.proactor.handle().event();
    let event = driver.call("event", event)?;
    let wait = driver.start("event wait", EventWait::new(event.clone()));
    let thread = std::thread::spawn(move || event.set());
    driver.end(&wait, |_, _| true);
    let set = thread.join().expect("a thread that sets an event");
    driver.call("set", set);
    let semaphore = Semaphore::new(0);
    let wait = driver.start("semaphore wait", SemaphoreWait::new(semaphore.clone(), 1));
    let thread = std::thread::spawn(move || semaphore.signal(1, None));
    driver.end(&wait, |_, _| true);
    thread.join().expect("a thread that signals").expect("a signal");
    let count = Arc::new(AtomicUsize::new(0));
    let (handle, counted) = (driver.proactor.handle().clone(), count.clone());
    let thread = std::thread::spawn(move || handle.submit(Op::new(Nop, Count(counted))).map(|_| ()).is_ok());
    driver.until("a nop of another thread", || count.load(Ordering::Acquire) > 0);
    let taken = thread.join().expect("a thread that submits");
    driver.right("remote nop", taken, "a submit from another thread was refused");
    Some(())
}

struct Count(Arc<AtomicUsize>);

impl Complete<Nop> for Count {
    fn done(op: Box<Op<Nop, Self>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.0.fetch_add(1, Ordering::Release);
    }
}

/// What only a cancel, or the shutdown, will end.
fn pending(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    driver.start("a timer far away", Timer::new(Time::FAR_FUTURE));
    driver.start("a semaphore never signalled", SemaphoreWait::new(Semaphore::new(0), 1));
    let event = driver.proactor.handle().event();
    let event = driver.call("another event", event)?;
    let wait = driver.start("a cancelled wait", EventWait::new(event.clone()));
    driver.start("an event never set", EventWait::new(event));
    driver.pass()?;
    driver.cancel(&wait);
    if driver.until("the cancelled wait", || wait.is_done()) {
        let told = wait.told.borrow_mut().take();
        let ended = told.is_some_and(|(result, _)| result.is_err());
        driver.right("a cancelled wait", ended, "it succeeded, and nothing was set");
    }
    Some(())
}

/// Vectors, and a buffer that the kernel takes from a pool when bytes come.
fn messages(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let sent = bytes(5000, 4);
    let parts: Vec<Vec<u8>> = sent.chunks(1700).map(<[u8]>::to_vec).collect();
    let send = driver.start("vectored send", SendVectored::exact(near.clone(), parts));
    let room = vec![vec![0; 100], vec![0; 4900]];
    let receive = driver.start("vectored receive", ReceiveVectored::exact(far.clone(), room));
    let whole = driver.end(&send, |count, _| *count == 5000).is_some();
    if !whole {
        let _ = near.shutdown(proact::resource::Shutdown::Send);
    }
    driver.end(&receive, |count, kind| *count == 5000 && kind.buffers.concat() == sent)?;
    let pool = Slab::allocate(512, 4, &Default::default()).and_then(BufferPool::new);
    let pool = driver.call("pool", pool)?;
    let receive = driver.start("pooled receive", ReceivePooled::new(far, &pool));
    if driver.one("send to a pool", Send::exact(near, sent[..300].to_vec()), |count| *count == 300).is_none() {
        driver.cancel(&receive);
    }
    // What is there, which may be less than was sent.
    let right = |lease: &Option<Lease>, _: &ReceivePooled| {
        lease.as_ref().is_some_and(|lease| !lease.is_empty() && sent[..300].starts_with(lease))
    };
    let lease = driver.end(&receive, right)?;
    drop(lease);
    driver.all_back("pool", &pool);
    Some(())
}

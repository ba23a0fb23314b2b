//! A program of operations that goes through every path of a backend, and goes on as well as it can when one fails.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::memory::{BufferPool, Lease, Slab};
use proact::operation::{
    Accept, Allocate, Chain, Close, Complete, Connect, Context, EventWait, Kind, ListDirectory, MakeDirectory, Nop, Op,
    Open, OperationId, Outcome, Read, Receive, ReceivePooled, ReceiveVectored, Remove, Rename, SemaphoreWait, Send,
    SendVectored, SetAttributes, Stat, StatPath, Sync, Timer, Truncate, Write,
};
use proact::proactor::Proactor;
use proact::resource::{Domain, Socket, SocketOptions, SocketType};
use proact::status::{Code, Result, Status};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_cts::bench::patience;
use proact_cts::config::Configuration;

/// How one step of the program ended.
#[derive(Debug)]
enum How {
    /// Well, and with the right result.
    Well,
    /// With a failure.
    Failed { code: Code, os_error: Option<i32> },
    /// Not as any operation may end, whatever failed.
    Wrong(String),
}

/// What a run of the program came to.
#[derive(Debug, Default)]
pub struct Ended {
    steps: Vec<(&'static str, How)>,
    /// Operations that the shutdown could not end.
    pub leaked: usize,
    /// Passes that failed: the proactor is given up after the first.
    pub polls_failed: usize,
}

impl Ended {
    /// How many allocations it is made of.
    pub fn held(&self) -> i64 {
        let texts = self.steps.iter().filter(|(_, how)| matches!(how, How::Wrong(text) if text.capacity() > 0));
        i64::from(self.steps.capacity() > 0) + texts.count() as i64
    }

    /// All that did not end well.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.steps.iter().filter(|(_, how)| !matches!(how, How::Well));
        failed.map(|(name, how)| format!("{name}: {how:?}")).collect()
    }

    /// What must hold when a call failed with `errno`, or none did.
    #[track_caller]
    pub fn check(&self, errno: Option<i32>) {
        let failures = self.failures();
        for (name, how) in &self.steps {
            match how {
                How::Well => {}
                How::Wrong(what) => panic!("{name} after {errno:?}: {what}; failures: {failures:?}"),
                How::Failed { code, os_error } => {
                    let errno = errno.unwrap_or_else(|| panic!("{name} failed without a fault: {failures:?}"));
                    let told = *os_error == Some(errno) || *code == Code::from_os_error(errno);
                    // No thread can be had, whatever the reason; what came after a failure; what a peer's failure did.
                    let no_thread = *os_error == Some(libc::EAGAIN);
                    let follows = [Code::Cancelled, Code::OutOfRange, Code::Aborted].contains(code);
                    let by_peer = [libc::ECONNRESET, libc::EPIPE].map(Code::from_os_error).contains(code);
                    let build = *name == "build";
                    assert!(told || no_thread || follows || by_peer || build, "{name} with {code:?} after {errno}");
                }
            }
        }
    }
}

/// Runs the program on a proactor of `config`, with files in `folder`. `say` hears what it does.
pub fn run(config: Configuration, folder: &Path, say: &dyn Fn(&str)) -> Ended {
    // Few entries, so that a batch fills the ring; few workers, so that jobs queue.
    let built = config.builder().entries(8).workers_max(2).build();
    let proactor = match built {
        Ok(proactor) => proactor,
        Err(status) => {
            let mut ended = Ended::default();
            ended.steps.push(("build", failed(&status)));
            return ended;
        }
    };
    let mut driver = Driver { proactor, ended: Ended::default(), say, flights: Vec::new() };
    let parts: [fn(&mut Driver<'_>, &Path) -> Option<()>; 7] = [files, chain, paths, stream, messages, waits, pending];
    for part in parts {
        // A part that cannot go on is left; the others are run all the same.
        let _ = part(&mut driver, folder);
        if driver.ended.polls_failed > 0 {
            break;
        }
    }
    driver.finish()
}

fn failed(status: &Status) -> How {
    How::Failed { code: status.code(), os_error: status.os_error() }
}

/// How often an operation's callback has run.
type Calls = Rc<RefCell<usize>>;

/// What a callback was told, until the program takes it.
type Told<K> = Rc<RefCell<Option<(Result<<K as Kind>::Output>, K)>>>;

struct Driver<'a> {
    proactor: Proactor,
    ended: Ended,
    say: &'a dyn Fn(&str),
    /// Every operation ever submitted.
    flights: Vec<(&'static str, Calls)>,
}

/// An operation's outcome, when it has come.
struct Flight<K: Kind> {
    name: &'static str,
    calls: Calls,
    told: Told<K>,
}

struct Tell<K: Kind> {
    calls: Calls,
    told: Told<K>,
}

impl<K: Kind> Complete<K> for Tell<K> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let Op { kind, state, .. } = *op;
        *state.calls.borrow_mut() += 1;
        *state.told.borrow_mut() = Some((outcome.result, kind));
    }
}

impl<K: Kind> Flight<K> {
    fn is_done(&self) -> bool {
        *self.calls.borrow() > 0
    }
}

impl Driver<'_> {
    fn flight<K: Kind>(&mut self, name: &'static str, kind: K) -> (Box<Op<K, Tell<K>>>, Flight<K>) {
        let (calls, told) = (Calls::default(), Rc::default());
        self.flights.push((name, Rc::clone(&calls)));
        let op = Op::new(kind, Tell { calls: Rc::clone(&calls), told: Rc::clone(&told) });
        (op, Flight { name, calls, told })
    }

    fn start<K: Kind>(&mut self, name: &'static str, kind: K) -> (OperationId, Flight<K>) {
        let (op, flight) = self.flight(name, kind);
        (self.proactor.submit(op).unwrap_or_else(|refused| panic!("{name} refused: {refused}")), flight)
    }

    /// Polls until `done`; `false` when the proactor broke, or that never came.
    fn until(&mut self, what: &'static str, mut done: impl FnMut() -> bool) -> bool {
        (self.say)(what);
        if self.ended.polls_failed > 0 {
            return done();
        }
        let deadline = self.proactor.now() + patience();
        while !done() {
            if self.proactor.poll(deadline).is_err() {
                self.ended.polls_failed += 1;
                return false;
            }
            if self.proactor.now() >= deadline {
                self.ended.steps.push((what, How::Wrong(String::from("never ended"))));
                return false;
            }
        }
        true
    }

    /// The flight's output and its parameters, if it ended well and its result is right.
    fn end<K: Kind>(
        &mut self,
        flight: &Flight<K>,
        right: impl FnOnce(&K::Output, &K) -> bool,
    ) -> Option<(K::Output, K)> {
        let name = flight.name;
        if !self.until(name, || flight.is_done()) {
            return None;
        }
        let (result, kind) = flight.told.borrow_mut().take().expect("its callback has run");
        let how = match &result {
            Ok(output) if right(output, &kind) => How::Well,
            Ok(_) => How::Wrong(String::from("a success with the wrong result")),
            Err(status) => failed(status),
        };
        self.ended.steps.push((name, how));
        result.ok().map(|output| (output, kind))
    }

    fn one<K: Kind>(
        &mut self,
        name: &'static str,
        kind: K,
        right: impl FnOnce(&K::Output) -> bool,
    ) -> Option<K::Output> {
        let (_, flight) = self.start(name, kind);
        self.end(&flight, |output, _| right(output)).map(|(output, _)| output)
    }

    /// Something that is no operation.
    fn call<T>(&mut self, name: &'static str, result: Result<T>) -> Option<T> {
        let how = result.as_ref().err().map_or(How::Well, failed);
        self.ended.steps.push((name, how));
        result.ok()
    }

    fn right(&mut self, name: &'static str, right: bool, what: &str) {
        if self.ended.polls_failed > 0 {
            return; // what was not told of may have happened or not
        }
        self.ended.steps.push((name, if right { How::Well } else { How::Wrong(what.to_owned()) }));
    }

    /// Ends what is left, and counts callbacks.
    fn finish(self) -> Ended {
        let Driver { proactor, mut ended, flights, .. } = self;
        (self.say)("the shutdown");
        ended.leaked = proactor.shutdown(patience());
        let mut never = 0;
        for (name, calls) in flights {
            let calls = *calls.borrow();
            never += usize::from(calls == 0);
            if calls > 1 {
                ended.steps.push((name, How::Wrong(format!("{calls} final callbacks"))));
            }
        }
        if never != ended.leaked {
            let text = format!("{never} operations without a final callback, {} left by the shutdown", ended.leaked);
            ended.steps.push(("shutdown", How::Wrong(text)));
        }
        ended
    }
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

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
        let (_, read) = driver.start("read", Read::exact(file.clone(), 0, vec![0; 10_000]));
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
    let all = [driver.start("read many", Read::some(file.clone(), 0, vec![0; 50])).1];
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
    driver.proactor.submit(Chain::new((write, sync, read))).unwrap_or_else(|refused| panic!("refused: {refused}"));
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
    let (id, accept) = driver.start("accept", Accept::new(listener));
    if driver.one("connect", Connect::new(client.clone(), address), |_| true).is_none() {
        let _ = driver.proactor.cancel(id);
        driver.until("accept", || accept.is_done());
        return None;
    }
    let (accepted, _) = driver.end(&accept, |_, _| true)?;
    let server = accepted.socket;
    let whole = transfer(driver, &client, &server, 60_000);
    transfer(driver, &server, &client, 300);
    let (_, receive) = driver.start("last receive", Receive::some(server.clone(), vec![0; 1]));
    driver.one("close of the client", Close::new(client), |_| true)?;
    driver.end(&receive, |count, _| *count == 0 || !whole);
    driver.one("close of the server", Close::new(server), |_| true)
}

/// Two sends after each other, and two receives. Answers whether everything arrived.
fn transfer(driver: &mut Driver<'_>, from: &Socket, to: &Socket, length: usize) -> bool {
    let sent = bytes(length, 3);
    let (first, second) = sent.split_at(length / 3);
    let (_, receive) = driver.start("receive", Receive::exact(to.clone(), vec![0; 100]));
    let (_, rest) = driver.start("receive of the rest", Receive::exact(to.clone(), vec![0; length - 100]));
    let (_, send) = driver.start("send", Send::exact(from.clone(), first.to_vec()));
    let (_, then) = driver.start("send of the rest", Send::exact(from.clone(), second.to_vec()));
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
    let (_, wait) = driver.start("event wait", EventWait::new(event.clone()));
    let thread = std::thread::spawn(move || event.set());
    driver.end(&wait, |_, _| true);
    let set = thread.join().expect("a thread that sets an event");
    driver.call("set", set);
    let semaphore = Semaphore::new(0);
    let (_, wait) = driver.start("semaphore wait", SemaphoreWait::new(semaphore.clone(), 1));
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
    let (id, wait) = driver.start("a cancelled wait", EventWait::new(event.clone()));
    driver.start("an event never set", EventWait::new(event));
    if driver.proactor.poll(proact::time::Timeout::Immediate).is_err() {
        driver.ended.polls_failed += 1;
        return None;
    }
    let _ = driver.proactor.cancel(id);
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
    let (_, send) = driver.start("vectored send", SendVectored::exact(near.clone(), parts));
    let room = vec![vec![0; 100], vec![0; 4900]];
    let (_, receive) = driver.start("vectored receive", ReceiveVectored::exact(far.clone(), room));
    let whole = driver.end(&send, |count, _| *count == 5000).is_some();
    if !whole {
        let _ = near.shutdown(proact::resource::Shutdown::Send);
    }
    driver.end(&receive, |count, kind| *count == 5000 && kind.buffers.concat() == sent)?;
    let pool = Slab::allocate(512, 4, &Default::default()).and_then(BufferPool::new);
    let pool = driver.call("pool", pool)?;
    let (id, receive) = driver.start("pooled receive", ReceivePooled::new(far, &pool));
    if driver.one("send to a pool", Send::exact(near, sent[..300].to_vec()), |count| *count == 300).is_none() {
        let _ = driver.proactor.cancel(id);
    }
    // What is there, which may be less than was sent.
    let right = |lease: &Option<Lease>, _: &ReceivePooled| {
        lease.as_ref().is_some_and(|lease| !lease.is_empty() && sent[..300].starts_with(lease))
    };
    let lease = driver.end(&receive, right)?;
    drop(lease);
    let back = pool.capacity();
    // What lay ready with the kernel comes back in the pass before the next sleep.
    for _ in 0..3 {
        let _ = driver.proactor.poll(Timeout::Immediate);
    }
    let all = pool.available() == back;
    driver.right("pool", all, "a buffer is lost");
    Some(())
}

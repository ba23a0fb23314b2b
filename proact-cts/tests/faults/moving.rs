//! What moves bytes between descriptors, and waits for those of others: pipes, splices, sent files, readiness,
//! children, futexes.

use std::path::Path;
use std::process::{Command, Stdio};

use proact::backend::OpenFlags;
use proact::operation::{
    Close, FutexWait, FutexWaited, FutexWake, Open, PollHandle, ProcessWait, ReadStream, Readiness, Receive, SendFile,
    Splice, WriteStream,
};
use proact::resource::{Exit, FutexWord, SocketType, Stream};
use rustix::event::{EventfdFlags, eventfd};

use crate::driver::{Driver, Part, bytes};

pub const PARTS: &[Part] = &[pipes, splices, files_sent, readiness, imported, children, futexes];

fn pipe(driver: &mut Driver<'_>) -> Option<(Stream, Stream)> {
    let pipe = driver.proactor.handle().pipe();
    driver.call("pipe", pipe)
}

fn pipes(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (reader, writer) = pipe(driver)?;
    let content = bytes(100_000, 8);
    let read = driver.start("read of a pipe", ReadStream::exact(reader.clone(), vec![0; 100_000]));
    let write = driver.start("write to a pipe", WriteStream::exact(writer.clone(), content.clone()));
    // Whoever is left over would wait for what does not come.
    driver.until("a pipe", || read.is_done() && write.is_done() || read.failed() || write.failed());
    if read.failed() {
        driver.one("close of the reader", Close::new(reader), |_| true);
    } else {
        driver.one("close of the writer", Close::new(writer), |_| true);
    }
    let wrote = driver.end(&write, |count, _| *count == 100_000);
    let read = driver.end(&read, |count, kind| *count == 100_000 && kind.buffer == content);
    driver.right("pipe", wrote.is_some() || read.is_none(), "more came out than went in");
    Some(())
}

fn splices(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let content = bytes(30_000, 9);
    std::fs::write(folder.join("spliced"), &content).expect("a temporary file");
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let from = driver.one("open", Open::new(folder.join("spliced"), OpenFlags::READ), |_| true)?;
    let to = driver.one("open of the copy", Open::new(folder.join("filled"), flags), |_| true)?;
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let ((one_reader, one_writer), (two_reader, two_writer)) = (pipe(driver)?, pipe(driver)?);
    // file -> pipe -> socket -> pipe -> file
    let fill = driver.start("file to pipe", Splice::file_to_pipe(from, 0, one_writer.clone(), 30_000));
    let send = driver.start("pipe to socket", Splice::pipe_to_socket(one_reader.clone(), near.clone(), 30_000));
    let receive = driver.start("socket to pipe", Splice::socket_to_pipe(far.clone(), two_writer.clone(), 30_000));
    let empty = driver.start("pipe to file", Splice::pipe_to_file(two_reader.clone(), to.clone(), 0, 30_000));
    // What fails leaves the others waiting.
    driver.until("all splices", || {
        empty.is_done() || fill.failed() || send.failed() || receive.failed() || empty.failed()
    });
    for pipe in [one_reader, one_writer, two_reader, two_writer] {
        driver.one("close of a pipe", Close::new(pipe), |_| true);
    }
    for socket in [near, far] {
        driver.one("close of a socket", Close::new(socket), |_| true);
    }
    let whole = |count: &usize| *count == 30_000;
    let mut all = driver.end(&fill, |count, _| whole(count)).is_some();
    all &= driver.end(&send, |count, _| whole(count)).is_some();
    all &= driver.end(&receive, |count, _| whole(count)).is_some();
    all &= driver.end(&empty, |count, _| whole(count)).is_some();
    let found = std::fs::read(folder.join("filled")).expect("a temporary file");
    driver.right("splices", !all || found == content, "the file has other bytes than went in");
    driver.one("close of the copy", Close::new(to), |_| true)
}

fn files_sent(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let content = bytes(70_000, 10);
    std::fs::write(folder.join("sent"), &content).expect("a temporary file");
    let file = driver.one("open", Open::new(folder.join("sent"), OpenFlags::READ), |_| true)?;
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let receive = driver.start("receive of a file", Receive::exact(far, vec![0; 70_000]));
    let sent = driver.one("send of a file", SendFile::new(near.clone(), file, 0, 70_000), |count| *count == 70_000);
    driver.one("close of the sender", Close::new(near), |_| true);
    let received = driver.end(&receive, |count, kind| *count == 70_000 && kind.buffer == content);
    driver.right("sent file", sent.is_some() || received.is_none(), "more was received than sent");
    Some(())
}

fn readiness(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event");
    let handle = driver.proactor.handle().import_pollable(event.try_clone().expect("another descriptor"));
    driver.one("room to write", PollHandle::writable(handle.clone()), |ready| ready.contains(Readiness::WRITABLE));
    let wait = driver.start("readiness", PollHandle::readable(handle.clone()));
    driver.pass()?;
    rustix::io::write(&event, &1u64.to_ne_bytes()).expect("an event takes a count");
    driver.end(&wait, |ready, _| ready.contains(Readiness::READABLE));
    driver.one("close of a descriptor", Close::new(handle), |_| true)
}

/// Descriptors that were there already, of each kind. What is refused comes back.
fn imported(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    std::fs::write(folder.join("imported"), b"1").expect("a temporary file");
    let file = std::fs::File::open(folder.join("imported")).expect("a temporary file");
    let file = driver.proactor.handle().import_file(file.into()).map_err(|returned| returned.status);
    if let Some(file) = driver.call("import of a file", file) {
        let duplicate = file.duplicate();
        driver.call("duplicate", duplicate);
    }
    let (one, _two) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let socket = driver.proactor.handle().import_socket(one.into()).map_err(|returned| returned.status);
    driver.call("import of a socket", socket);
    let (reader, _writer) = proact_cts::system::pipe();
    let stream = driver.proactor.handle().import_stream(reader).map_err(|returned| returned.status);
    driver.call("import of a pipe", stream);
    Some(())
}

fn children(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("a child");
    let input = child.stdin.take();
    let process = driver.proactor.handle().process(&child);
    if let Some(process) = driver.call("process", process) {
        let wait = driver.start("end of a child", ProcessWait::new(process.clone()));
        driver.pass();
        drop(input);
        driver.end(&wait, |exit, _| *exit == Exit::Code(0));
    } else {
        drop(input);
    }
    // One that no operation has reaped.
    let _ = child.wait();
    Some(())
}

fn futexes(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let word = FutexWord::new(0);
    driver.one("futex that is another", FutexWait::new(word.clone(), 1), |waited| *waited == FutexWaited::Changed);
    let wait = driver.start("futex wait", FutexWait::new(word.clone(), 0));
    driver.pass()?;
    let waiter = wait.is_done();
    // Counted only once the wait stands, which other threads may see to.
    let mut woken = waiter;
    while !woken && !wait.is_done() {
        woken = driver.one("futex wake", FutexWake::all(word.clone()), |count| *count <= 1)? > 0;
    }
    driver.end(&wait, |_, _| true);
    let wait = driver.start("futex never woken", FutexWait::new(word, 0));
    driver.end_cancelled(&wait);
    Some(())
}

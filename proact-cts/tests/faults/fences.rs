//! Fences in and out, and signals behind a receive.

use std::path::Path;

use proact::operation::{Chain, ImportFence, Receive, SemaphoreSignal, Send};
use proact::resource::SocketType;
use proact::sync::Semaphore;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};

use crate::driver::{Driver, Part, bytes};

pub const PARTS: &[Part] = &[imports, exports, signals_behind_receives];

fn imports(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let ours = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event");
    let semaphore = Semaphore::new(0);
    let fence = driver.proactor.handle().import_pollable(ours.try_clone().expect("another descriptor"));
    let import = driver.start("import", ImportFence::new(fence, semaphore.clone(), 3));
    driver.pass()?;
    rustix::io::write(&ours, &1u64.to_ne_bytes()).expect("an event takes a count");
    let refused = import.id.is_none();
    let came = driver.end(&import, |_, _| semaphore.value() == 3).is_some();
    let answered = came || refused || semaphore.status().is_some();
    driver.right("import", answered, "the semaphore was neither raised nor failed");
    // One that never comes.
    let never = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event");
    let given_up = Semaphore::new(0);
    let fence = driver.proactor.handle().import_pollable(never);
    let import = driver.start("import that is given up", ImportFence::new(fence, given_up.clone(), 1));
    driver.pass()?;
    let refused = import.id.is_none();
    driver.end_cancelled(&import);
    driver.right("import that is given up", refused || given_up.status().is_some(), "the semaphore was not failed");
    Some(())
}

fn is_readable(fd: &std::os::fd::OwnedFd) -> bool {
    let mut watched = [PollFd::new(fd, PollFlags::IN)];
    rustix::event::poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
}

fn exports(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1);
    let export = driver.call("export", export)?;
    semaphore.signal(1, None).expect("it rises");
    driver.right("export", is_readable(&export), "a reached value that is not told");
    Some(())
}

fn signals_behind_receives(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    let (near, far) = driver.call("pair", pair)?;
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1);
    let export = driver.call("export", export)?;
    let content = bytes(2000, 21);
    let (receive, received) = driver.flight("receive", Receive::exact(far.clone(), vec![0; 2000]));
    let (signal, signalled) = driver.flight("signal", SemaphoreSignal::new(semaphore.clone(), 1));
    let (send, sent) = driver.flight("answer", Send::exact(far, bytes(10, 22)));
    driver.submit(Chain::new((receive, signal, send)));
    driver.pass()?;
    let asked = driver.one("question", Send::exact(near.clone(), content.clone()), |count| *count == 2000);
    if asked.is_none() {
        driver.one("close of the pair", proact::operation::Close::new(near), |_| true);
        driver.end(&received, |_, _| true);
        driver.end(&signalled, |_, _| true);
        driver.end(&sent, |_, _| true);
        return None;
    }
    let received = driver.end(&received, |count, kind| *count == 2000 && kind.buffer == content).is_some();
    let signalled = driver.end(&signalled, |_, _| true).is_some();
    let sent = driver.end(&sent, |count, _| *count == 10).is_some();
    driver.right("signal", (received || !signalled) && (signalled || !sent), "a step succeeded behind one that failed");
    driver.right("signal", signalled == (semaphore.value() == 1), "the step and the semaphore differ");
    driver.right("signal", is_readable(&export) == signalled, "the step and the descriptor differ");
    Some(())
}

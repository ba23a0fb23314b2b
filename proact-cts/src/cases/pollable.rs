//! Readiness of descriptors.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use proact::operation::{Close, Op, PollHandle, Readiness};
use proact::resource::Pollable;
use proact::status::{Code, Operation};

use crate::bench::{Cts, eventually};
use crate::cases;

cases![
    readiness_is_told_without_an_effect.real("a descriptor of the operating system"),
    readiness_that_comes_later_ends_the_wait.real("a descriptor of the operating system"),
    every_wait_for_one_descriptor_is_told.real("a descriptor of the operating system"),
    room_to_write_is_told_when_it_comes.real("a descriptor of the operating system"),
    a_hang_up_is_told_and_no_failure.real("a descriptor of the operating system"),
    an_error_is_told_and_no_failure.real("a descriptor of the operating system"),
    a_regular_file_is_always_ready.real("a descriptor of the operating system"),
    a_cancelled_wait_leaves_the_descriptor_alone.real("a descriptor of the operating system"),
    closing_the_descriptor_ends_the_wait_once.real("a descriptor of the operating system"),
    a_closed_handle_is_refused.real("a descriptor of the operating system"),
];

fn pair(cts: &mut Cts) -> (Pollable, UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let handle = cts.handle().import_pollable(ours.try_clone().unwrap().into());
    (handle, ours, theirs)
}

fn readiness_is_told_without_an_effect(cts: &mut Cts) {
    let (handle, mut ours, mut theirs) = pair(cts);
    assert_eq!(cts.get(PollHandle::writable(handle.clone())), Readiness::WRITABLE);
    theirs.write_all(b"xyz").unwrap();
    for _ in 0..3 {
        assert_eq!(cts.get(PollHandle::readable(handle.clone())), Readiness::READABLE);
    }
    let mut bytes = [0; 3];
    ours.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, *b"xyz", "nothing was taken");
    let flags = rustix::fs::fcntl_getfl(ours.as_fd()).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "nor was its mode changed");
}

fn readiness_that_comes_later_ends_the_wait(cts: &mut Cts) {
    let (handle, _ours, mut theirs) = pair(cts);
    let wait = cts.start(PollHandle::readable(handle));
    cts.look();
    assert!(!wait.is_done());
    theirs.write_all(b"x").unwrap();
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().result.unwrap(), Readiness::READABLE);
}

fn every_wait_for_one_descriptor_is_told(cts: &mut Cts) {
    let (handle, _ours, mut theirs) = pair(cts);
    let waits: Vec<_> = (0..5).map(|_| cts.start(PollHandle::readable(handle.clone()))).collect();
    let writable = cts.start(PollHandle::writable(handle));
    cts.until("the wait for room", || writable.is_done());
    assert!(waits.iter().all(|wait| !wait.is_done()));
    theirs.write_all(b"x").unwrap();
    cts.drain();
    for wait in waits {
        assert_eq!(wait.only().result.unwrap(), Readiness::READABLE);
    }
    assert_eq!(writable.only().result.unwrap(), Readiness::WRITABLE);
}

fn room_to_write_is_told_when_it_comes(cts: &mut Cts) {
    let (handle, ours, mut theirs) = pair(cts);
    ours.set_nonblocking(true).unwrap();
    while (&ours).write(&[0; 4096]).is_ok() {}
    let wait = cts.start(PollHandle::writable(handle));
    cts.look();
    assert!(!wait.is_done());
    theirs.set_nonblocking(true).unwrap();
    let mut sink = [0; 4096];
    while theirs.read(&mut sink).is_ok_and(|count| count > 0) {}
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().result.unwrap(), Readiness::WRITABLE);
}

fn a_hang_up_is_told_and_no_failure(cts: &mut Cts) {
    let (handle, _ours, theirs) = pair(cts);
    let wait = cts.start(PollHandle::readable(handle.clone()));
    cts.look();
    drop(theirs);
    cts.until("the wait", || wait.is_done());
    assert!(wait.only().result.unwrap().contains(Readiness::HANG_UP));
    assert!(cts.get(PollHandle::readable(handle)).contains(Readiness::HANG_UP), "already so when it begins");
}

fn an_error_is_told_and_no_failure(cts: &mut Cts) {
    let (reader, writer) = crate::system::pipe();
    let handle = cts.handle().import_pollable(writer);
    drop(reader);
    // A process that is just being started has all descriptors for a moment, and reads until then.
    eventually("an error, as no one reads", || {
        cts.get(PollHandle::writable(handle.clone())).contains(Readiness::ERROR)
    });
}

fn a_regular_file_is_always_ready(cts: &mut Cts) {
    cts.file("f", b"");
    let file = std::fs::File::open(cts.path("f")).unwrap();
    let handle = cts.handle().import_pollable(file.into());
    assert_eq!(cts.get(PollHandle::readable(handle.clone())), Readiness::READABLE);
    assert_eq!(cts.get(PollHandle::writable(handle)), Readiness::WRITABLE);
}

fn a_cancelled_wait_leaves_the_descriptor_alone(cts: &mut Cts) {
    let (handle, _ours, mut theirs) = pair(cts);
    let (op, watch) = cts.watch(PollHandle::readable(handle.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || watch.is_done());
    let status = watch.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::HandlePoll));
    theirs.write_all(b"x").unwrap();
    assert_eq!(cts.get(PollHandle::readable(handle)), Readiness::READABLE);
}

fn closing_the_descriptor_ends_the_wait_once(cts: &mut Cts) {
    let (handle, ours, theirs) = pair(cts);
    let wait = cts.start(PollHandle::readable(handle.clone()));
    cts.look();
    let close = cts.start(Close::new(handle));
    cts.drain();
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    close.only().result.unwrap();
    drop(ours);
    // Really closed: the other end sees it.
    assert_eq!((&theirs).read(&mut [0; 1]).unwrap(), 0);
}

fn a_closed_handle_is_refused(cts: &mut Cts) {
    let (handle, ..) = pair(cts);
    cts.get(Close::new(handle.clone()));
    let refused = cts.submit(Op::new(PollHandle::readable(handle.clone()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    assert_eq!(handle.try_with_fd(|_| ()).unwrap_err().code(), Code::FailedPrecondition);
}

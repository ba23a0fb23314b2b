//! Fences: descriptors that raise a semaphore when they become readable. `export` has the other way.
//!
//! Eventfds and pipes stand in for a device's fences here; `device_fence` has the kernel's own, where there are any.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use proact::causal::{Axis, Completeness, Frontier};
use proact::operation::{
    Chain, Close, Complete, Context, ImportFence, Nop, Op, Outcome, SemaphoreSignal, SemaphoreWait, Sequence,
};
use proact::resource::Pollable;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::bench::{Cts, patience};
use crate::cases;
use crate::harness::Only;
use crate::system::{descriptors, pipe};

cases![
    a_fence_that_is_signalled_raises_the_semaphore.real("a descriptor of the operating system"),
    a_fence_signalled_before_raises_it_at_the_next_poll.real("a descriptor of the operating system"),
    what_has_no_readiness_is_refused_and_comes_back_as_it_was.real("a descriptor of the operating system"),
    a_value_that_no_semaphore_reaches_is_refused.real("a descriptor of the operating system"),
    a_handle_of_another_proactor_or_one_that_is_closed_is_refused.real("a descriptor of the operating system"),
    an_import_from_another_thread_is_taken_in_during_a_poll.real("a descriptor of the operating system"),
    four_threads_import_at_once_during_a_poll.real("a descriptor of the operating system"),
    a_fence_whose_signaller_goes_away_fails_the_semaphore.real("a descriptor of the operating system"),
    a_descriptor_that_fails_fails_the_semaphore.real("a descriptor of the operating system"),
    a_value_reached_before_is_no_error.real("a descriptor of the operating system"),
    a_failed_semaphore_ends_the_import_with_its_failure.real("a descriptor of the operating system"),
    a_cancelled_import_fails_the_semaphore.real("a descriptor of the operating system"),
    an_import_past_its_deadline_fails_the_semaphore.real("a descriptor of the operating system"),
    closing_the_descriptor_fails_the_semaphore.real("a descriptor of the operating system"),
    a_shutdown_fails_the_semaphores_of_all_imports.real("a descriptor of the operating system"),
    imports_that_race_with_a_shutdown_are_answered_or_given_back.real("a descriptor of the operating system"),
    an_import_beyond_the_limit_gives_the_descriptor_back.real("a descriptor of the operating system"),
    a_hundred_fences_raise_a_hundred_values.real("a descriptor of the operating system"),
    the_value_is_raised_before_the_chain_goes_on.real("a descriptor of the operating system"),
    an_import_behind_a_failed_step_does_nothing.real("a descriptor of the operating system"),
    an_import_in_a_sequence_that_is_cancelled_before_its_turn_fails_the_semaphore
        .real("a descriptor of the operating system"),
    the_causes_given_with_an_import_come_with_its_value.real("a descriptor of the operating system"),
    what_a_fence_brings_is_tainted_and_no_requirement.real("a descriptor of the operating system"),
    an_import_is_reused_for_the_next_value.real("a descriptor of the operating system"),
    a_fence_is_left_as_it_was.real("a descriptor of the operating system"),
    a_thousand_fences_in_and_out_leave_nothing
        .real("a descriptor of the operating system")
        .alone()
        .only(Only::Extremes),
];

/// A counter that stands in for a device's fence.
fn eventfd() -> OwnedFd {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd")
}

pub(super) fn set(fd: &OwnedFd) {
    assert_eq!(rustix::io::write(fd, &1u64.to_ne_bytes()), Ok(8));
}

/// Whether the descriptor is readable now.
pub(super) fn is_readable(fd: impl AsFd) -> bool {
    wait_readable(fd, Duration::ZERO)
}

/// Whether it is, at the latest after `time`.
fn wait_readable(fd: impl AsFd, time: Duration) -> bool {
    let mut watched = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec::try_from(time).unwrap();
    rustix::event::poll(&mut watched, Some(&time)).unwrap() == 1 && watched[0].revents().contains(PollFlags::IN)
}

/// A fence, by both its ends: the one to be imported, and the one that signals it.
pub(super) fn fence() -> (OwnedFd, OwnedFd) {
    let ours = eventfd();
    (ours.try_clone().unwrap(), ours)
}

fn import_op(cts: &Cts, fd: OwnedFd, semaphore: &Semaphore, value: u64) -> ImportFence {
    ImportFence::new(cts.handle().import_pollable(fd), semaphore.clone(), value)
}

#[track_caller]
pub(super) fn code_of(semaphore: &Semaphore) -> Code {
    semaphore.status().expect("the semaphore has failed").code()
}

fn a_fence_that_is_signalled_raises_the_semaphore(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(theirs, &semaphore, 5).unwrap();
    cts.look();
    assert_eq!((semaphore.value(), cts.pending()), (0, 1));
    set(&ours);
    cts.until("the import", || semaphore.value() == 5);
    assert_eq!(cts.pending(), 0);
    // By a pipe, too.
    let (reader, writer) = pipe();
    let import = cts.start(import_op(cts, reader, &semaphore, 6));
    cts.look();
    assert!(!import.is_done());
    rustix::io::write(&writer, b"x").unwrap();
    cts.until("the pipe's import", || import.is_done());
    import.only().result.unwrap();
    assert_eq!(semaphore.value(), 6);
}

fn a_fence_signalled_before_raises_it_at_the_next_poll(cts: &mut Cts) {
    let (theirs, ours) = fence();
    set(&ours);
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(theirs, &semaphore, 1).unwrap();
    assert_eq!(semaphore.value(), 0, "nothing happens inside submit");
    cts.until("the import", || semaphore.value() == 1);
}

fn what_has_no_readiness_is_refused_and_comes_back_as_it_was(cts: &mut Cts) {
    cts.file("f", b"content");
    let semaphore = Semaphore::new(0);
    let path = cts.path("f");
    let file = std::fs::File::open(&path).unwrap();
    let folder = std::fs::File::open(path.parent().unwrap()).unwrap();
    for fd in [OwnedFd::from(file), OwnedFd::from(folder)] {
        let number = fd.as_raw_fd();
        let refused = cts.handle().import_fence(fd, &semaphore, 1).unwrap_err();
        assert_eq!(
            (refused.status.code(), refused.status.operation()),
            (Code::InvalidArgument, Operation::FenceImport)
        );
        assert_eq!(refused.resource.as_raw_fd(), number);
        rustix::fs::fstat(&refused.resource).expect("still open");
    }
    // One that only names a path cannot be waited for either.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{Mode, OFlags};
        let named = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let refused = cts.handle().import_fence(named, &semaphore, 1).unwrap_err();
        assert_eq!(refused.status.os_error(), Some(libc::EBADF));
        let null = std::fs::File::open("/dev/null").unwrap();
        let refused = cts.handle().import_fence(null.into(), &semaphore, 1).unwrap_err();
        assert_eq!(refused.status.code(), Code::InvalidArgument);
    }
    cts.look();
    assert_eq!((semaphore.value(), semaphore.status().is_none(), cts.pending()), (0, true, 0));
}

fn a_value_that_no_semaphore_reaches_is_refused(cts: &mut Cts) {
    let (theirs, ours) = fence();
    set(&ours);
    let semaphore = Semaphore::new(0);
    let refused = cts.handle().import_fence(theirs, &semaphore, u64::MAX).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    cts.handle().import_fence(refused.resource, &semaphore, Semaphore::VALUE_MAX).unwrap();
    cts.until("the import", || semaphore.value() == Semaphore::VALUE_MAX);
}

fn a_handle_of_another_proactor_or_one_that_is_closed_is_refused(cts: &mut Cts) {
    let other = Cts::beside(cts.config);
    let (theirs, _ours) = fence();
    let semaphore = Semaphore::new(0);
    let foreign = import_op(&other, theirs, &semaphore, 1);
    let refused = cts.submit(Op::new(foreign, ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    let (theirs, _ours) = fence();
    let closed = cts.handle().import_pollable(theirs);
    cts.get(Close::new(closed.clone()));
    let refused = cts.submit(Op::new(ImportFence::new(closed, semaphore.clone(), 1), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    assert!(semaphore.status().is_none(), "what was refused has no effect");
}

fn an_import_from_another_thread_is_taken_in_during_a_poll(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (theirs, ours) = fence();
    let (handle, there) = (cts.handle().clone(), semaphore.clone());
    let thread = std::thread::spawn(move || {
        handle.import_fence(theirs, &there, 1).unwrap();
        set(&ours);
    });
    cts.until("the import", || semaphore.value() == 1);
    thread.join().unwrap();
}

fn four_threads_import_at_once_during_a_poll(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..4).map(|_| Semaphore::new(0)).collect();
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = semaphores
        .iter()
        .map(|semaphore| {
            let (handle, semaphore, barrier) = (cts.handle().clone(), semaphore.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                for value in 1..=25 {
                    let (theirs, ours) = fence();
                    if value % 2 == 0 {
                        set(&ours);
                    }
                    handle.import_fence(theirs, &semaphore, value).unwrap();
                    if value % 2 == 1 {
                        set(&ours);
                    }
                }
            })
        })
        .collect();
    cts.until("all imports", || semaphores.iter().all(|semaphore| semaphore.value() == 25));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    cts.drain();
    assert!(semaphores.iter().all(|semaphore| semaphore.status().is_none()));
}

/// W-67: there a failed import dropped its tracker, and the semaphore was neither raised nor failed.
fn a_fence_whose_signaller_goes_away_fails_the_semaphore(cts: &mut Cts) {
    let (reader, writer) = pipe();
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let import = cts.start(import_op(cts, reader, &semaphore, 1));
    cts.look();
    drop(writer);
    cts.until("the wait", || wait.is_done() && import.is_done());
    let status = wait.only().status();
    assert_eq!((status.code(), status.operation()), (Code::DataLoss, Operation::FenceImport));
    assert_eq!(import.only().status().to_string(), status.to_string());
    assert_eq!((semaphore.value(), code_of(&semaphore)), (0, Code::DataLoss));
    // With something to read it was signalled before its end.
    let (reader, writer) = pipe();
    rustix::io::write(&writer, b"x").unwrap();
    drop(writer);
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(reader, &semaphore, 1).unwrap();
    cts.until("the import", || semaphore.value() == 1);
}

fn a_descriptor_that_fails_fails_the_semaphore(cts: &mut Cts) {
    // The end of a pipe that is written fails when no one reads.
    let (reader, writer) = pipe();
    let semaphore = Semaphore::new(0);
    let import = cts.start(import_op(cts, writer, &semaphore, 1));
    cts.look();
    assert!(!import.is_done(), "it is never readable");
    drop(reader);
    cts.until("the import", || import.is_done());
    assert_eq!(import.only().status().code(), Code::DataLoss);
    assert_eq!(code_of(&semaphore), Code::DataLoss);
}

fn a_value_reached_before_is_no_error(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let semaphore = Semaphore::new(0);
    let import = cts.start(import_op(cts, theirs, &semaphore, 3));
    semaphore.signal(5, None).unwrap();
    set(&ours);
    cts.until("the import", || import.is_done());
    import.only().result.unwrap();
    assert_eq!((semaphore.value(), semaphore.status().is_none()), (5, true));
}

fn a_failed_semaphore_ends_the_import_with_its_failure(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let semaphore = Semaphore::new(0);
    let import = cts.start(import_op(cts, theirs, &semaphore, 3));
    semaphore.fail(Status::new(Code::Aborted, Operation::FileRead));
    cts.look();
    assert!(!import.is_done(), "the fence is still to come");
    set(&ours);
    cts.until("the import", || import.is_done());
    let status = import.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Aborted, Operation::FileRead));
    assert_eq!(code_of(&semaphore), Code::Aborted, "the first failure stays");
}

fn a_cancelled_import_fails_the_semaphore(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let id = cts.handle().import_fence(theirs, &semaphore, 1).unwrap();
    cts.look();
    cts.handle().cancel(id).unwrap();
    cts.until("the wait", || wait.is_done());
    let status = wait.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::FenceImport));
    assert_eq!(code_of(&semaphore), Code::Cancelled);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    set(&ours);
    cts.look();
    assert_eq!(semaphore.value(), 0);
}

fn an_import_past_its_deadline_fails_the_semaphore(cts: &mut Cts) {
    let (theirs, _ours) = fence();
    let semaphore = Semaphore::new(0);
    let (op, import) = cts.watch(import_op(cts, theirs, &semaphore, 1));
    let soon = cts.now() + Duration::from_millis(1);
    cts.submit(op.deadline(soon)).unwrap();
    cts.until("the import", || import.is_done());
    assert_eq!(import.only().status().code(), Code::DeadlineExceeded);
    assert_eq!(code_of(&semaphore), Code::DeadlineExceeded);
}

fn closing_the_descriptor_fails_the_semaphore(cts: &mut Cts) {
    let (theirs, _ours) = fence();
    let handle = cts.handle().import_pollable(theirs);
    let semaphore = Semaphore::new(0);
    let import = cts.start(ImportFence::new(handle.clone(), semaphore.clone(), 1));
    cts.look();
    cts.get(Close::new(handle));
    cts.until("the import", || import.is_done());
    assert_eq!(import.only().status().code(), Code::Cancelled);
    assert_eq!(code_of(&semaphore), Code::Cancelled);
}

/// W-42: there pending imports leaked at the end, and who waited for their semaphores waited for ever.
fn a_shutdown_fails_the_semaphores_of_all_imports(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..10).map(|_| Semaphore::new(0)).collect();
    let mut ends = Vec::new();
    for (index, semaphore) in semaphores.iter().enumerate() {
        let (theirs, ours) = fence();
        if index % 2 == 0 {
            cts.handle().import_fence(theirs, semaphore, 1).unwrap();
        } else {
            let import = import_op(cts, theirs, semaphore, 1);
            cts.submit(Op::new(import, ())).unwrap();
        }
        ends.push(ours);
        if index == 5 {
            cts.look(); // the others have not even begun
        }
    }
    assert_eq!(cts.take().shutdown(patience()), 0);
    for semaphore in &semaphores {
        assert_eq!((semaphore.value(), code_of(semaphore)), (0, Code::Cancelled));
    }
}

/// W-42, W-67: whoever is faster, the descriptor comes back or the semaphore is answered.
fn imports_that_race_with_a_shutdown_are_answered_or_given_back(cts: &mut Cts) {
    for round in 0..20 {
        let mut other = Cts::beside(cts.config);
        let barrier = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (handle, barrier) = (other.handle().clone(), barrier.clone());
                std::thread::spawn(move || {
                    let mut taken = Vec::new();
                    barrier.wait();
                    for _ in 0..100 {
                        let (theirs, ours) = fence();
                        let number = theirs.as_raw_fd();
                        let semaphore = Semaphore::new(0);
                        match handle.import_fence(theirs, &semaphore, 1) {
                            Ok(_) => taken.push((semaphore, ours)),
                            Err(returned) => {
                                assert_eq!(returned.status.code(), Code::Aborted);
                                assert_eq!(returned.resource.as_raw_fd(), number);
                                break;
                            }
                        }
                    }
                    taken
                })
            })
            .collect();
        barrier.wait();
        for _ in 0..round {
            other.poll(Timeout::Immediate).unwrap();
        }
        assert_eq!(other.take().shutdown(patience()), 0);
        for thread in threads {
            for (semaphore, _ours) in thread.join().unwrap() {
                assert_eq!(code_of(&semaphore), Code::Cancelled, "in round {round}");
            }
        }
    }
}

fn an_import_beyond_the_limit_gives_the_descriptor_back(cts: &mut Cts) {
    cts.rebuild(|builder| builder.remote_operations(2));
    let semaphores: Vec<_> = (0..3).map(|_| Semaphore::new(0)).collect();
    let (first, ours) = fence();
    cts.handle().import_fence(first, &semaphores[0], 1).unwrap();
    let (second, _second) = fence();
    cts.handle().import_fence(second, &semaphores[1], 1).unwrap();
    let (third, third_end) = fence();
    let refused = cts.handle().import_fence(third, &semaphores[2], 1).unwrap_err();
    assert_eq!(refused.status.code(), Code::ResourceExhausted);
    assert!(semaphores[2].status().is_none());
    set(&ours);
    cts.until("the first import", || semaphores[0].value() == 1);
    cts.handle().import_fence(refused.resource, &semaphores[2], 1).unwrap();
    set(&third_end);
    cts.until("the third import", || semaphores[2].value() == 1);
}

fn a_hundred_fences_raise_a_hundred_values(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let fences: Vec<_> = (1..=100)
        .map(|value| {
            let (theirs, ours) = fence();
            cts.handle().import_fence(theirs, &semaphore, value).unwrap();
            ours
        })
        .collect();
    let waits: Vec<_> = (1..=100).map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).collect();
    cts.look();
    for (index, fence) in fences.iter().enumerate() {
        set(fence);
        cts.until("its value", || semaphore.value() == index as u64 + 1);
    }
    cts.drain();
    waits.into_iter().for_each(|wait| drop(wait.only().result.unwrap()));
}

fn the_value_is_raised_before_the_chain_goes_on(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let semaphore = Semaphore::new(0);
    let (import, imported) = cts.watch(import_op(cts, theirs, &semaphore, 5));
    // Refused, unless 5 is there before: then 3 does not rise.
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 3));
    let (nop, done) = cts.watch(Nop);
    cts.submit(Chain::new((import, signal, nop))).unwrap();
    cts.look();
    set(&ours);
    cts.drain();
    assert!(imported.order() < signalled.order() && signalled.order() < done.order());
    imported.only().result.unwrap();
    assert_eq!(signalled.only().status().code(), Code::InvalidArgument);
    assert_eq!(done.only().status().code(), Code::Cancelled);
    assert_eq!(semaphore.value(), 5);

    /// Its callback finds the value there.
    struct Sees(Semaphore);
    impl Complete<ImportFence> for Sees {
        fn done(op: Box<Op<ImportFence, Self>>, outcome: Outcome<ImportFence>, _: &mut Context<'_>) {
            outcome.result.unwrap();
            assert_eq!(op.state.0.value(), 6);
        }
    }
    let (theirs, ours) = fence();
    set(&ours);
    let import = import_op(cts, theirs, &semaphore, 6);
    cts.submit(Op::new(import, Sees(semaphore))).unwrap();
    cts.drain();
}

fn an_import_behind_a_failed_step_does_nothing(cts: &mut Cts) {
    let (theirs, ours) = fence();
    set(&ours);
    let (failed, semaphore) = (Semaphore::new(0), Semaphore::new(0));
    failed.fail(Status::new(Code::DataLoss, Operation::None));
    let (wait, waited) = cts.watch(SemaphoreWait::new(failed, 1));
    let (import, imported) = cts.watch(import_op(cts, theirs, &semaphore, 1));
    cts.submit(Chain::new((wait, import))).unwrap();
    cts.drain();
    assert_eq!(waited.only().status().code(), Code::DataLoss);
    assert_eq!(imported.only().status().code(), Code::Cancelled);
    assert_eq!((semaphore.value(), semaphore.status().is_none()), (0, true));
}

/// With a step function as without: no earlier step has failed.
fn an_import_in_a_sequence_that_is_cancelled_before_its_turn_fails_the_semaphore(cts: &mut Cts) {
    for stepwise in [false, true] {
        let (theirs, _ours) = fence();
        let semaphore = Semaphore::new(0);
        // Reached, so that a cancel comes too late for it.
        let reached = SemaphoreWait::new(Semaphore::new(1), 1);
        let steps = Sequence::new().step(reached).step(import_op(cts, theirs, &semaphore, 1));
        let (op, sequence) = cts.watch(if stepwise { steps.on_step(|_| Ok(())) } else { steps });
        let id = cts.submit(op).unwrap();
        cts.cancel(id).unwrap();
        cts.until("the sequence", || sequence.is_done());
        assert_eq!(sequence.code(), Some(Code::Cancelled), "stepwise: {stepwise}");
        assert_eq!(code_of(&semaphore), Code::Cancelled, "stepwise: {stepwise}");
    }
}

fn the_causes_given_with_an_import_come_with_its_value(cts: &mut Cts) {
    let causes = Frontier::single(Axis::queue(0, 0, 1, 2), 42).unwrap();
    let (theirs, ours) = fence();
    set(&ours);
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    cts.get(import_op(cts, theirs, &semaphore, 1).with_frontier(causes.clone()));
    cts.until("the wait", || wait.is_done());
    let known = wait.only().result.unwrap().causes;
    assert_eq!((known.frontier, known.completeness), (causes, Completeness::LowerBound));
    assert!(semaphore.is_tainted(1));
}

fn what_a_fence_brings_is_tainted_and_no_requirement(cts: &mut Cts) {
    let (theirs, ours) = fence();
    set(&ours);
    let semaphore = Semaphore::new(0);
    semaphore.signal(2, None).unwrap();
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 3));
    cts.get(import_op(cts, theirs, &semaphore, 3));
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().result.unwrap().causes.requirement(), None);
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(2), semaphore.is_tainted(3)), (2, false, true));
    // One that brings nothing new taints nothing.
    semaphore.signal(4, None).unwrap();
    let (theirs, ours) = fence();
    set(&ours);
    cts.get(import_op(cts, theirs, &semaphore, 4));
    assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(4)), (4, false));
}

fn an_import_is_reused_for_the_next_value(cts: &mut Cts) {
    /// Counts down its flights, with one storage.
    struct Again(u32);
    impl Complete<ImportFence> for Again {
        fn done(mut op: Box<Op<ImportFence, Self>>, outcome: Outcome<ImportFence>, cx: &mut Context<'_>) {
            outcome.result.unwrap();
            op.state.0 -= 1;
            if op.state.0 > 0 {
                cx.submit(op).unwrap();
            }
        }
    }
    let (theirs, ours) = fence();
    set(&ours);
    let semaphore = Semaphore::new(0);
    let import = import_op(cts, theirs, &semaphore, 1);
    cts.submit(Op::new(import, Again(3))).unwrap();
    cts.drain();
    assert_eq!((semaphore.value(), semaphore.status().is_none()), (1, true));
}

/// W-42: there an import changed the descriptor's mode.
fn a_fence_is_left_as_it_was(cts: &mut Cts) {
    let (reader, writer) = pipe();
    let mode = rustix::fs::fcntl_getfl(&reader).unwrap();
    let theirs = reader.try_clone().unwrap();
    rustix::io::write(&writer, b"xyz").unwrap();
    let semaphore = Semaphore::new(0);
    cts.handle().import_fence(theirs, &semaphore, 1).unwrap();
    cts.until("the import", || semaphore.value() == 1);
    assert_eq!(rustix::fs::fcntl_getfl(&reader).unwrap(), mode);
    let mut bytes = [0; 8];
    assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(3), "nothing was taken");
}

/// W-49, W-67: neither imports nor exports leave a descriptor behind, however they end.
fn a_thousand_fences_in_and_out_leave_nothing(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    // The first import opens what tells whether a descriptor has readiness, once for the process.
    let (theirs, ours) = fence();
    set(&ours);
    cts.handle().import_fence(theirs, &semaphore, 1).unwrap();
    cts.until("the first import", || semaphore.value() == 1);
    drop(ours);
    cts.look();
    let before = descriptors();
    for value in 2..1000 {
        let export = semaphore.export_pollable(value).unwrap();
        let end = Semaphore::new(0);
        let id = cts.handle().import_fence(export, &end, 1).unwrap();
        match value % 3 {
            0 => cts.handle().cancel(id).unwrap(),
            1 => cts.look(),
            _ => {}
        }
        semaphore.signal(value, None).unwrap();
        cts.until("the import's end", || end.value() == 1 || end.status().is_some());
        assert!(end.value() == 1 || value % 3 == 0);
    }
    cts.drain();
    assert_eq!(descriptors(), before);
    let idle: Pollable = cts.handle().import_pollable(eventfd());
    drop(idle.into_fd().unwrap());
    assert_eq!(descriptors(), before);
}

//! What is told of again and again: events and descriptors as sources.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::Sender;

use proact::operation::{
    Close, Complete, Context, EventWait, EventWaitMany, Op, OperationId, Outcome, PollHandle, PollHandleMany, Readiness,
};
use proact::resource::Pollable;
use proact::status::Code;
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;

cases![
    a_source_comes_and_goes.real("a descriptor of the operating system"),
    every_write_is_told_until_the_cancel_and_none_after_it.real("a descriptor of the operating system"),
    three_sources_are_each_told_of_their_own.real("a descriptor of the operating system"),
    what_is_not_taken_is_told_again_in_every_pass.real("a descriptor of the operating system"),
    a_source_that_is_taken_from_elsewhere_is_told_no_more.real("a descriptor of the operating system"),
    several_sources_on_one_descriptor_are_each_told.real("a descriptor of the operating system"),
    sources_and_single_waits_share_a_descriptor.real("a descriptor of the operating system"),
    data_is_told_and_a_hang_up_is_the_last_outcome.real("a descriptor of the operating system"),
    an_error_is_the_last_outcome.real("a descriptor of the operating system"),
    room_to_write_is_told_when_it_comes.real("a descriptor of the operating system"),
    an_edge_triggered_source_misses_nothing_that_comes.real("a descriptor of the operating system"),
    an_edge_triggered_source_ends_at_a_hang_up.real("a descriptor of the operating system"),
    a_source_ends_itself_from_its_own_callback.real("a descriptor of the operating system"),
    a_close_of_the_handle_ends_its_source_once.real("a descriptor of the operating system"),
    a_descriptor_number_used_again_after_a_source_is_watched_anew.real("a descriptor of the operating system"),
    sources_that_the_kernel_gives_up_are_asked_again.real("a descriptor of the operating system").only(Only::Extremes),
    an_event_is_told_and_reset_each_time,
    an_event_set_from_another_thread_is_told.real("a descriptor of the operating system"),
    a_cancelled_event_source_leaves_a_later_set_to_others,
    an_event_source_and_a_single_wait_take_a_set_each,
    a_close_of_the_event_ends_its_source_once,
    a_shutdown_ends_every_source_once.real("a descriptor of the operating system"),
];

/// A descriptor of a counter: the case's own handle, and the proactor's.
fn counter(cts: &Cts) -> (OwnedFd, Pollable) {
    let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
    let fd = rustix::event::eventfd(0, flags).unwrap();
    let ours = fd.try_clone().unwrap();
    (ours, cts.handle().import_pollable(fd))
}

fn raise(counter: &OwnedFd) {
    rustix::io::write(counter, &1u64.to_ne_bytes()).unwrap();
}

/// What was in it.
fn lower(counter: impl AsFd) -> u64 {
    let mut bytes = [0; 8];
    match rustix::io::read(counter, &mut bytes) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(rustix::io::Errno::AGAIN) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Empties its counter at each outcome, and tells how much that was.
struct Drain {
    counter: OwnedFd,
    told: Sender<u64>,
}

impl Complete<PollHandleMany> for Drain {
    fn more(&mut self, _: &PollHandleMany, outcome: Outcome<PollHandleMany>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap(), Readiness::READABLE);
        let taken = lower(&self.counter);
        if taken > 0 {
            self.told.send(taken).unwrap();
        }
    }
    fn done(op: Box<Op<PollHandleMany, Self>>, outcome: Outcome<PollHandleMany>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap_err().code(), Code::Cancelled);
        op.state.told.send(u64::MAX).unwrap();
    }
}

/// A counter that is emptied whenever there is something in it, and what tells how much that was.
fn drained(cts: &mut Cts, edge: bool) -> (OwnedFd, OperationId, std::sync::mpsc::Receiver<u64>) {
    let (ours, handle) = counter(cts);
    let (told, taken) = std::sync::mpsc::channel();
    let drain = Drain { counter: ours.try_clone().unwrap(), told };
    let kind = PollHandleMany::readable(handle);
    let id = cts.submit(Op::new(if edge { kind.edge_triggered() } else { kind }, drain)).unwrap();
    (ours, id, taken)
}

fn a_source_comes_and_goes(cts: &mut Cts) {
    let (_ours, handle) = counter(cts);
    let (op, source) = cts.watch(PollHandleMany::readable(handle));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert_eq!((source.outcomes(), source.calls()), (0, 0));
    cts.cancel(id).unwrap();
    cts.until("the source to end", || source.is_done());
    assert_eq!(source.only().status().code(), Code::Cancelled);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
}

fn every_write_is_told_until_the_cancel_and_none_after_it(cts: &mut Cts) {
    let (counter, id, taken) = drained(cts, false);
    for round in 0..3 {
        raise(&counter);
        let mut told = None;
        cts.until("the write to be told", || {
            told = taken.try_recv().ok();
            told.is_some()
        });
        assert_eq!(told, Some(1), "round {round}");
        cts.look();
        assert!(taken.try_recv().is_err(), "told once");
    }
    cts.cancel(id).unwrap();
    cts.until("the source to end", || taken.try_recv() == Ok(u64::MAX));
    raise(&counter);
    cts.look();
    assert!(taken.try_recv().is_err(), "told after its end");
    assert_eq!(lower(&counter), 1);
}

fn three_sources_are_each_told_of_their_own(cts: &mut Cts) {
    let sources: Vec<_> = (0..3).map(|_| drained(cts, false)).collect();
    for (index, count) in [(2, 3), (0, 1)] {
        (0..count).for_each(|_| raise(&sources[index].0));
        let mut told = 0;
        cts.until("the counter's own source", || {
            told += sources[index].2.try_recv().unwrap_or(0);
            told == count
        });
        cts.look();
        assert!(sources.iter().all(|source| source.2.try_recv().is_err()), "another was told");
    }
    sources.iter().for_each(|source| cts.cancel(source.1).unwrap());
    cts.drain();
}

fn what_is_not_taken_is_told_again_in_every_pass(cts: &mut Cts) {
    let (ours, handle) = counter(cts);
    let (op, source) = cts.watch(PollHandleMany::readable(handle));
    let id = cts.submit(op).unwrap();
    raise(&ours);
    for round in 1..=5 {
        cts.until("another outcome", || source.outcomes() >= round);
    }
    assert!(source.take_outcomes().into_iter().all(|outcome| outcome.unwrap() == Readiness::READABLE));
    assert_eq!(lower(&ours), 1);
    // One outcome may have been on its way.
    cts.look();
    source.take_outcomes();
    cts.look();
    assert_eq!(source.outcomes(), 0, "told of what has been taken");
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(source.code(), Some(Code::Cancelled));
}

/// Nobody asks what is there: the source sleeps until there is something again.
fn a_source_that_is_taken_from_elsewhere_is_told_no_more(cts: &mut Cts) {
    let (counter, id, taken) = drained(cts, false);
    for _ in 0..20 {
        raise(&counter);
        lower(&counter);
        cts.look();
    }
    assert_eq!(taken.try_iter().sum::<u64>(), 0);
    raise(&counter);
    cts.until("what is there now", || taken.try_recv() == Ok(1));
    cts.cancel(id).unwrap();
    cts.drain();
}

fn several_sources_on_one_descriptor_are_each_told(cts: &mut Cts) {
    let (ours, handle) = counter(cts);
    let watched: Vec<_> = (0..3).map(|_| cts.watch(PollHandleMany::readable(handle.clone()))).collect();
    let mut sources = Vec::new();
    for (op, source) in watched {
        sources.push((cts.submit(op).unwrap(), source));
    }
    raise(&ours);
    cts.until("all three", || sources.iter().all(|(_, source)| source.outcomes() > 0));
    // The others go on without one of them.
    let (first, gone) = sources.remove(1);
    cts.cancel(first).unwrap();
    cts.until("one to end", || gone.is_done());
    lower(&ours);
    cts.look();
    sources.iter().for_each(|(_, source)| drop(source.take_outcomes()));
    raise(&ours);
    cts.until("the two that are left", || sources.iter().all(|(_, source)| source.outcomes() > 0));
    sources.iter().for_each(|(id, _)| cts.cancel(*id).unwrap());
    cts.drain();
}

fn sources_and_single_waits_share_a_descriptor(cts: &mut Cts) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let handle = cts.handle().import_pollable(ours.try_clone().unwrap().into());
    let (op, source) = cts.watch(PollHandleMany::readable(handle.clone()));
    let id = cts.submit(op).unwrap();
    let single = cts.start(PollHandle::readable(handle.clone()));
    assert_eq!(cts.get(PollHandle::writable(handle.clone())), Readiness::WRITABLE);
    assert_eq!((source.outcomes(), single.calls()), (0, 0));
    theirs.write_all(b"x").unwrap();
    cts.until("both", || single.is_done() && source.outcomes() > 0);
    cts.cancel(id).unwrap();
    cts.until("the source to end", || source.is_done());
    // What is left on the descriptor is watched as before.
    (&ours).read_exact(&mut [0]).unwrap();
    let again = cts.start(PollHandle::readable(handle));
    cts.look();
    assert!(!again.is_done());
    theirs.write_all(b"y").unwrap();
    cts.until("a single wait after the source", || again.is_done());
}

/// And nothing is told without end of a pipe that nobody writes to any more.
fn data_is_told_and_a_hang_up_is_the_last_outcome(cts: &mut Cts) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let handle = cts.handle().import_pollable(reader.try_clone().unwrap());
    let source = cts.start(PollHandleMany::readable(handle));
    cts.look();
    assert_eq!(source.outcomes(), 0);
    rustix::io::write(&writer, b"x").unwrap();
    cts.until("the byte", || source.outcomes() > 0);
    assert_eq!(source.take_outcomes().remove(0).unwrap(), Readiness::READABLE);
    rustix::io::read(&reader, &mut [0; 8]).unwrap();
    cts.look();
    source.take_outcomes();
    rustix::io::write(&writer, b"y").unwrap();
    drop(writer);
    cts.until("the hang-up", || source.is_done());
    let last = source.only().result.unwrap();
    assert_eq!(last, Readiness::READABLE | Readiness::HANG_UP, "what was sent before is there still");
    assert_eq!(cts.pending(), 0);
}

fn an_error_is_the_last_outcome(cts: &mut Cts) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let handle = cts.handle().import_pollable(writer);
    let source = cts.start(PollHandleMany::writable(handle));
    cts.until("room to write", || source.outcomes() > 0);
    drop(reader);
    cts.until("the error", || source.is_done());
    assert!(source.only().result.unwrap().contains(Readiness::ERROR));
}

fn room_to_write_is_told_when_it_comes(cts: &mut Cts) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while (&ours).write(&[7; 4096]).is_ok() {}
    let handle = cts.handle().import_pollable(ours.try_clone().unwrap().into());
    let (op, source) = cts.watch(PollHandleMany::writable(handle));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert_eq!(source.outcomes(), 0);
    theirs.set_nonblocking(true).unwrap();
    while (&theirs).read(&mut [0; 65536]).is_ok() {}
    cts.until("room", || source.outcomes() > 0);
    assert_eq!(source.take_outcomes().remove(0).unwrap(), Readiness::WRITABLE);
    cts.cancel(id).unwrap();
    cts.drain();
}

fn an_edge_triggered_source_misses_nothing_that_comes(cts: &mut Cts) {
    let (counter, id, taken) = drained(cts, true);
    let mut told = 0;
    for round in 1..=100 {
        raise(&counter);
        if round % 3 == 0 {
            cts.until("all so far", || {
                told += taken.try_iter().sum::<u64>();
                told == round
            });
        } else {
            cts.poll(Timeout::Immediate).unwrap();
        }
    }
    cts.until("the last", || {
        told += taken.try_iter().sum::<u64>();
        told == 100
    });
    cts.cancel(id).unwrap();
    cts.until("the source to end", || taken.try_recv() == Ok(u64::MAX));
}

/// The kernel's poll goes on by itself, so that its end is asked for; what is told is the hang-up all the same.
fn an_edge_triggered_source_ends_at_a_hang_up(cts: &mut Cts) {
    for sent in [false, true] {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let handle = cts.handle().import_pollable(reader);
        let source = cts.start(PollHandleMany::readable(handle).edge_triggered());
        cts.look();
        if sent {
            rustix::io::write(&writer, b"x").unwrap();
        }
        drop(writer);
        cts.until("the hang-up", || source.is_done());
        assert!(source.only().result.unwrap().contains(Readiness::HANG_UP));
        assert_eq!(cts.pending(), 0);
    }
}

/// Cancels its own operation, whose identity is put there after submit, at its third outcome.
struct Stop {
    own: Rc<Cell<Option<OperationId>>>,
    seen: usize,
    told: Sender<(usize, Code)>,
}

impl Complete<PollHandleMany> for Stop {
    fn more(&mut self, _: &PollHandleMany, _: Outcome<PollHandleMany>, cx: &mut Context<'_>) {
        self.seen += 1;
        if self.seen == 3 {
            cx.cancel(self.own.get().expect("callbacks come after submit")).unwrap();
        }
    }
    fn done(op: Box<Op<PollHandleMany, Self>>, outcome: Outcome<PollHandleMany>, _: &mut Context<'_>) {
        op.state.told.send((op.state.seen, outcome.result.unwrap_err().code())).unwrap();
    }
}

fn a_source_ends_itself_from_its_own_callback(cts: &mut Cts) {
    let (ours, handle) = counter(cts);
    raise(&ours);
    let (told, ended) = std::sync::mpsc::channel();
    let own = Rc::new(Cell::new(None));
    let stop = Stop { own: own.clone(), seen: 0, told };
    own.set(Some(cts.submit(Op::new(PollHandleMany::readable(handle), stop)).unwrap()));
    cts.drain();
    assert_eq!(ended.try_recv().unwrap(), (3, Code::Cancelled), "no outcome after the one that ended it");
}

fn a_close_of_the_handle_ends_its_source_once(cts: &mut Cts) {
    let (ours, handle) = counter(cts);
    raise(&ours);
    let source = cts.start(PollHandleMany::readable(handle.clone()));
    cts.until("an outcome", || source.outcomes() > 0);
    let close = cts.start(Close::new(handle));
    cts.until("both to end", || close.is_done() && source.is_done());
    assert!(source.order() < close.order());
    assert_eq!(source.only().status().code(), Code::Cancelled);
}

/// A registration that outlived its source would report, or hide, what comes of the number's next owner.
fn a_descriptor_number_used_again_after_a_source_is_watched_anew(cts: &mut Cts) {
    for round in 0..20 {
        let (ours, handle) = counter(cts);
        // Keeps the open file, and with it a registration that was forgotten.
        let (op, source) = cts.watch(PollHandleMany::readable(handle));
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the source to end", || source.is_done());
        drop(source);
        raise(&ours);
        let (mut polls, deadline) = (0, cts.now() + std::time::Duration::from_millis(1));
        while cts.now() < deadline {
            cts.poll(deadline).unwrap();
            polls += 1;
        }
        // One is for the deadline, and the system may end a wait early; a registration that is left reports without
        // end.
        assert!(polls < 10, "round {round}: {polls} passes while nothing was in flight");
        let (next, handle) = counter(cts);
        let wait = cts.start(PollHandle::readable(handle));
        cts.look();
        assert!(!wait.is_done(), "round {round}: told of another's");
        raise(&next);
        cts.until("the next owner's", || wait.is_done());
    }
}

/// More becomes ready at once than the kernel's queue has room for, so that it ends some of its polls (W-40).
fn sources_that_the_kernel_gives_up_are_asked_again(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(8));
    let sources: Vec<_> = (0..300).map(|index| drained(cts, index % 2 == 0)).collect();
    cts.look();
    for round in 0..5 {
        sources.iter().for_each(|source| raise(&source.0));
        let mut told = vec![0; sources.len()];
        cts.until("every source", || {
            told.iter_mut().zip(&sources).for_each(|(told, source)| *told += source.2.try_iter().sum::<u64>());
            told.iter().all(|told| *told == 1)
        });
        assert!(told.iter().all(|told| *told == 1), "round {round}");
    }
    sources.iter().for_each(|source| cts.cancel(source.1).unwrap());
    cts.drain();
}

fn an_event_is_told_and_reset_each_time(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    let (op, source) = cts.watch(EventWaitMany::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.until("what was set before", || source.outcomes() == 1);
    for round in 2..=50 {
        (0..round % 3 + 1).for_each(|_| event.set().unwrap());
        cts.until("the round's set", || source.outcomes() == round);
        cts.look();
        assert_eq!(source.outcomes(), round, "sets before an outcome are one");
    }
    cts.cancel(id).unwrap();
    cts.until("the source to end", || source.is_done());
    let wait = cts.start(EventWait::new(event));
    cts.look();
    assert!(!wait.is_done(), "it was reset");
}

fn an_event_set_from_another_thread_is_told(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, source) = cts.watch(EventWaitMany::new(event.clone()));
    let id = cts.submit(op).unwrap();
    let (next, go) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || go.iter().for_each(|()| event.set().unwrap()));
    for round in 1..=20 {
        next.send(()).unwrap();
        cts.until("a set from another thread", || source.outcomes() == round);
    }
    drop(next);
    thread.join().unwrap();
    cts.cancel(id).unwrap();
    cts.drain();
}

fn a_cancelled_event_source_leaves_a_later_set_to_others(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, source) = cts.watch(EventWaitMany::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the source to end", || source.is_done());
    event.set().unwrap();
    cts.get(EventWait::new(event));
    assert_eq!(source.outcomes(), 0);
}

fn an_event_source_and_a_single_wait_take_a_set_each(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let single = cts.start(EventWait::new(event.clone()));
    let (op, source) = cts.watch(EventWaitMany::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    event.set().unwrap();
    cts.until("one of them", || single.calls() + source.outcomes() > 0);
    cts.look();
    assert_eq!(single.calls() + source.outcomes(), 1, "one set is taken once");
    cts.cancel(id).unwrap();
    event.set().unwrap();
    cts.until("the end of the source", || source.is_done());
    event.set().unwrap();
    cts.until("the single wait", || single.is_done());
}

fn a_close_of_the_event_ends_its_source_once(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let source = cts.start(EventWaitMany::new(event.clone()));
    event.set().unwrap();
    cts.until("a set", || source.outcomes() == 1);
    let close = cts.start(Close::new(event.clone()));
    cts.until("both to end", || close.is_done() && source.is_done());
    assert_eq!(source.only().status().code(), Code::Cancelled);
    let refused = cts.submit(Op::new(EventWaitMany::new(event), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn a_shutdown_ends_every_source_once(cts: &mut Cts) {
    let (ours, handle) = counter(cts);
    raise(&ours);
    let event = cts.handle().event().unwrap();
    let told = [false, true].map(|edge| {
        let kind = PollHandleMany::readable(handle.clone());
        cts.start(if edge { kind.edge_triggered() } else { kind })
    });
    let set = cts.start(EventWaitMany::new(event));
    cts.look();
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert!(told.into_iter().all(|source| source.only().status().code() == Code::Cancelled));
    assert_eq!(set.only().status().code(), Code::Cancelled);
}

//! Events.

use std::sync::{Arc, Barrier};

use proact::operation::{Chain, Close, EventSet, EventWait, Nop, Op, SemaphoreWait};
use proact::status::{Code, Operation};
use proact::sync::Semaphore;

use crate::bench::{Cts, eventually};
use crate::cases;
use crate::harness::Only;

cases![
    an_event_set_after_the_wait_completes_it,
    an_event_set_before_the_wait_completes_it,
    an_event_set_from_another_thread_ends_the_sleep.real("other threads"),
    sets_coalesce_and_the_wait_resets_the_event,
    only_the_waits_of_set_events_complete,
    an_event_is_used_again_and_again,
    a_cancelled_wait_leaves_the_event_usable_and_set,
    cancel_races_with_set_and_the_wait_ends_once_without_losing_the_set.real("other threads"),
    two_waits_take_two_sets,
    a_closed_event_refuses_to_be_set,
    clones_are_one_event_and_outlive_each_other,
    an_event_set_by_an_operation_completes_a_wait,
    a_set_operation_in_a_chain_keeps_its_place,
    a_set_operation_of_a_closed_event_fails,
    an_event_of_another_proactor_is_set_by_an_operation,
    a_close_waits_for_sets_under_way_and_none_reaches_the_next_descriptor
        .real("other threads")
        .only(Only::Extremes)
        .alone(),
];

fn an_event_set_after_the_wait_completes_it(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    cts.look();
    assert_eq!(wait.calls(), 0);
    event.set().unwrap();
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn an_event_set_before_the_wait_completes_it(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    let wait = cts.start(EventWait::new(event));
    assert_eq!(wait.calls(), 0, "a callback inside submit");
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn an_event_set_from_another_thread_ends_the_sleep(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(5));
        event.set().unwrap();
    });
    cts.until("a set from another thread", || wait.is_done());
    thread.join().unwrap();
    wait.only().result.unwrap();
}

fn sets_coalesce_and_the_wait_resets_the_event(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    for _ in 0..5 {
        event.set().unwrap();
    }
    cts.get(EventWait::new(event.clone()));
    let second = cts.start(EventWait::new(event.clone()));
    cts.look();
    assert_eq!(second.calls(), 0, "the first wait has taken all five sets");
    event.set().unwrap();
    cts.until("the second wait", || second.is_done());
}

fn only_the_waits_of_set_events_complete(cts: &mut Cts) {
    let events: Vec<_> = (0..8).map(|_| cts.handle().event().unwrap()).collect();
    let waits: Vec<_> = events.iter().map(|event| cts.start(EventWait::new(event.clone()))).collect();
    for index in [1, 4, 7] {
        events[index].set().unwrap();
    }
    cts.until("the three waits", || [1, 4, 7].iter().all(|index| waits[*index].is_done()));
    cts.look();
    let done: Vec<usize> = (0..8).filter(|index| waits[*index].is_done()).collect();
    assert_eq!(done, [1, 4, 7]);
}

fn an_event_is_used_again_and_again(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    for round in 0..50 {
        let wait = cts.start(EventWait::new(event.clone()));
        if round % 2 == 0 {
            cts.look();
            assert_eq!(wait.calls(), 0, "round {round}");
        }
        event.set().unwrap();
        cts.until("the round's wait", || wait.is_done());
        wait.only().result.unwrap();
    }
}

fn a_cancelled_wait_leaves_the_event_usable_and_set(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, wait) = cts.watch(EventWait::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    event.set().unwrap();
    cts.get(EventWait::new(event));
}

fn cancel_races_with_set_and_the_wait_ends_once_without_losing_the_set(cts: &mut Cts) {
    for _ in 0..200 {
        let event = cts.handle().event().unwrap();
        let (op, wait) = cts.watch(EventWait::new(event.clone()));
        let id = cts.submit(op).unwrap();
        cts.look();
        let barrier = Arc::new(Barrier::new(2));
        let (theirs, setter) = (barrier.clone(), event.clone());
        let thread = std::thread::spawn(move || {
            theirs.wait();
            setter.set().unwrap();
        });
        barrier.wait();
        cts.cancel(id).unwrap();
        cts.until("one end", || wait.is_done());
        thread.join().unwrap();
        // Whichever came first: who was cancelled has not taken the set.
        match wait.only().result {
            Ok(()) => {
                let second = cts.start(EventWait::new(event.clone()));
                cts.look();
                assert_eq!(second.calls(), 0, "one set completed two waits");
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                cts.get(EventWait::new(event.clone()));
            }
        }
        cts.one(Close::new(event)).result.unwrap();
        cts.drain();
    }
}

fn two_waits_take_two_sets(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let first = cts.start(EventWait::new(event.clone()));
    let second = cts.start(EventWait::new(event.clone()));
    cts.look();
    event.set().unwrap();
    cts.until("one of the waits", || first.is_done() || second.is_done());
    cts.look();
    assert_eq!(first.calls() + second.calls(), 1, "one set completed two waits");
    event.set().unwrap();
    cts.until("the other wait", || first.is_done() && second.is_done());
}

fn a_closed_event_refuses_to_be_set(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    cts.look();
    let close = cts.start(Close::new(event.clone()));
    cts.drain();
    assert_eq!(wait.code(), Some(Code::Cancelled));
    assert!(wait.order() < close.order(), "a close completes after what was pending");
    close.only().result.unwrap();
    assert_eq!(event.set().unwrap_err().code(), Code::FailedPrecondition);
    let refused = cts.submit(Op::new(EventWait::new(event), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn clones_are_one_event_and_outlive_each_other(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let clone = event.clone();
    drop(event);
    let wait = cts.start(EventWait::new(clone.clone()));
    cts.look();
    clone.clone().set().unwrap();
    drop(clone);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn an_event_set_by_an_operation_completes_a_wait(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    cts.get(EventSet::new(event.clone()));
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
    // Before there is a wait, too.
    cts.get(EventSet::new(event.clone()));
    cts.get(EventWait::new(event));
}

fn a_set_operation_in_a_chain_keeps_its_place(cts: &mut Cts) {
    let (event, gate) = (cts.handle().event().unwrap(), Semaphore::new(0));
    let wait = cts.start(EventWait::new(event.clone()));
    let (first, waited) = cts.watch(SemaphoreWait::new(gate.clone(), 1));
    let (second, set) = cts.watch(EventSet::new(event));
    let (last, ended) = cts.watch(Nop);
    cts.submit(Chain::new((first, second, last))).unwrap();
    cts.look();
    assert_eq!(wait.calls(), 0, "set before its turn");
    gate.signal(1, None).unwrap();
    cts.until("the chain and the wait", || ended.is_done() && wait.is_done());
    assert!(waited.order() < set.order() && set.order() < ended.order());
}

fn a_set_operation_of_a_closed_event_fails(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    cts.get(Close::new(event.clone()));
    let (first, set) = cts.watch(EventSet::new(event));
    let (second, after) = cts.watch(Nop);
    cts.submit(Chain::new((first, second))).unwrap();
    cts.until("the chain", || after.is_done());
    let status = set.only().status();
    assert_eq!((status.code(), status.operation()), (Code::FailedPrecondition, Operation::EventSet));
    assert!(status.location().file().ends_with("event.rs"), "told at the submit");
    assert_eq!(after.only().status().code(), Code::Cancelled);
}

fn an_event_of_another_proactor_is_set_by_an_operation(cts: &mut Cts) {
    let mut other = Cts::beside(cts.config);
    let event = other.handle().event().unwrap();
    let wait = other.start(EventWait::new(event.clone()));
    cts.get(EventSet::new(event));
    other.until("the other proactor's wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_close_waits_for_sets_under_way_and_none_reaches_the_next_descriptor(cts: &mut Cts) {
    let mut reused = 0;
    for round in 0..40 {
        let event = cts.handle().event().unwrap();
        let number = format!("{event:?}");
        let setters: Vec<_> = (0..2)
            .map(|_| {
                let event = event.clone();
                std::thread::spawn(move || {
                    // Until it is closed, which may be at once.
                    while event.set().is_ok() {}
                    assert_eq!(event.set().unwrap_err().code(), Code::FailedPrecondition);
                })
            })
            .collect();
        if round % 2 == 0 {
            cts.get(EventWait::new(event.clone()));
        }
        cts.get(Close::new(event));
        // Whoever writes late writes to one of these: the lowest free numbers, the event's own among them.
        let next: Vec<_> = (0..8)
            .map(|_| {
                let flags = rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC;
                rustix::event::eventfd(0, flags).unwrap()
            })
            .collect();
        let same = |fd: &std::os::fd::OwnedFd| number.contains(&std::os::fd::AsRawFd::as_raw_fd(fd).to_string());
        reused += usize::from(next.iter().any(same));
        eventually("the setters to be refused", || setters.iter().all(|setter| setter.is_finished()));
        setters.into_iter().for_each(|setter| setter.join().unwrap());
        for fd in &next {
            let read = rustix::io::read(fd, &mut [0u8; 8]);
            assert_eq!(read, Err(rustix::io::Errno::AGAIN), "a set reached another's descriptor in round {round}");
        }
    }
    assert!(reused > 20, "the number was not used again: nothing is shown by this");
}

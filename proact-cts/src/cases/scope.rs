//! Ending many operations at once: a scope's, or a resource's.

use proact::operation::{
    CancelAll, Chain, Close, EventWait, Nop, Receive, SemaphoreWait, Send, Sequence, Terminal, Timer,
};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Time;

use super::cancel::everything;
use crate::bench::Cts;
use crate::cases;

cases![
    a_cancelled_scope_ends_all_that_is_in_it_and_only_that,
    a_cancel_of_a_scope_completes_after_the_last_callback_in_it,
    a_cancelled_scope_takes_no_new_operation,
    a_scope_is_cancelled_from_another_thread.real("other threads"),
    an_empty_scope_is_cancelled_at_once,
    a_cancel_within_its_own_scope_does_not_wait_for_itself,
    a_cancel_that_is_a_step_of_what_it_cancels_does_not_wait_for_that,
    a_scope_of_another_proactor_is_refused,
    a_resource_is_emptied_and_stays_usable,
    an_operation_that_ended_has_left_its_scope,
    two_cancels_of_one_scope_both_complete,
    what_a_cancel_ends_too_late_is_completed,
];

fn far() -> Timer {
    Timer::new(Time::FAR_FUTURE)
}

fn a_cancelled_scope_ends_all_that_is_in_it_and_only_that(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let outside = cts.start(far());
    let event = cts.handle().event().unwrap();
    let (timer, one) = cts.watch(far());
    let (wait, two) = cts.watch(EventWait::new(event));
    let (sequence, three) = cts.watch(Sequence::new().step(far()).step(Nop));
    let (first, four) = cts.watch(far());
    let (second, five) = cts.watch(Nop);
    let chain = Chain::new((first, second.within(&scope)));
    cts.submit((timer.within(&scope), wait.within(&scope), sequence.within(&scope), chain)).unwrap();
    let everything = everything(cts);
    cts.submit(everything).unwrap();
    cts.look();
    let cancel = cts.start(CancelAll::new(&scope));
    cts.until("what is in the scope", || one.is_done() && two.is_done() && three.is_done());
    for code in [one.code(), two.code(), three.code()] {
        assert_eq!(code, Some(Code::Cancelled));
    }
    assert!(!outside.is_done() && !four.is_done() && !five.is_done());
    assert!(!cancel.is_done(), "the step in the chain waits for the one before it, which is not in the scope");
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!(cancel.only().result.unwrap(), 4);
    assert_eq!((four.code(), five.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
}

fn a_cancel_of_a_scope_completes_after_the_last_callback_in_it(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let watches: Vec<_> = (0..10)
        .map(|_| {
            let event = cts.handle().event().unwrap();
            let (op, watch) = cts.watch(EventWait::new(event));
            cts.submit(op.within(&scope)).unwrap();
            watch
        })
        .collect();
    cts.look();
    let cancel = cts.start(CancelAll::new(&scope));
    cts.until("the cancel", || cancel.is_done());
    assert!(watches.iter().all(|watch| watch.code() == Some(Code::Cancelled) && watch.order() < cancel.order()));
    assert_eq!(cancel.only().result.unwrap(), 10);
}

fn a_cancelled_scope_takes_no_new_operation(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let semaphore = Semaphore::new(0);
    cts.get(CancelAll::new(&scope));
    let (op, signal) = cts.watch(proact::operation::SemaphoreSignal::new(semaphore.clone(), 1));
    cts.submit(op.within(&scope)).unwrap();
    cts.drain();
    assert_eq!(signal.code(), Some(Code::Cancelled));
    assert_eq!(semaphore.value(), 0, "it had no effect");
}

fn a_scope_is_cancelled_from_another_thread(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (op, timer) = cts.watch(far());
    cts.submit(op.within(&scope)).unwrap();
    let handle = cts.handle().clone();
    let (cancel, cancelled) = cts.watch(CancelAll::new(&scope));
    let thread = std::thread::spawn(move || handle.submit(cancel).map(drop).unwrap());
    cts.until("both", || timer.is_done() && cancelled.is_done());
    thread.join().unwrap();
    assert_eq!(timer.code(), Some(Code::Cancelled));
    assert_eq!(cancelled.only().result.unwrap(), 1);
}

fn an_empty_scope_is_cancelled_at_once(cts: &mut Cts) {
    let scope = cts.handle().scope();
    assert!(!scope.is_cancelled());
    assert_eq!(cts.get(CancelAll::new(&scope)), 0);
    assert!(scope.is_cancelled());
}

fn a_cancel_within_its_own_scope_does_not_wait_for_itself(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (op, timer) = cts.watch(far());
    let (cancel, cancelled) = cts.watch(CancelAll::new(&scope));
    let (behind, nop) = cts.watch(Nop);
    let chain = Chain::new((cancel.within(&scope), behind.within(&scope)));
    cts.submit((op.within(&scope), chain)).unwrap();
    cts.drain();
    assert_eq!(timer.code(), Some(Code::Cancelled));
    assert_eq!(cancelled.only().result.unwrap(), 2);
    assert_eq!(nop.code(), Some(Code::Cancelled), "it is behind the cancel and in the scope");
}

fn a_cancel_that_is_a_step_of_what_it_cancels_does_not_wait_for_that(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (op, sequence) = cts.watch(Sequence::new().step(Nop).step(CancelAll::new(&scope)).step(Nop));
    cts.submit(op.within(&scope)).unwrap();
    cts.drain();
    assert_eq!(sequence.code(), Some(Code::Cancelled));
}

fn a_scope_of_another_proactor_is_refused(cts: &mut Cts) {
    let other = cts.config.builder().build().unwrap();
    let scope = other.handle().scope();
    let (op, _) = cts.watch(Nop);
    assert_eq!(cts.submit(op.within(&scope)).unwrap_err().status.code(), Code::InvalidArgument);
    let (op, _) = cts.watch(CancelAll::new(&scope));
    assert_eq!(cts.submit(op).unwrap_err().status.code(), Code::InvalidArgument);
}

fn a_resource_is_emptied_and_stays_usable(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let one = cts.start(Receive::exact(near.clone(), vec![0; 4]));
    let two = cts.start(Receive::some(near.clone(), vec![0; 4]));
    let other = cts.start(Receive::some(far.clone(), vec![0; 4]));
    cts.look();
    assert_eq!(cts.get(CancelAll::new(&near)), 2);
    cts.until("both receives", || one.is_done() && two.is_done());
    assert_eq!((one.code(), two.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    assert!(!other.is_done() && near.failure().is_none());
    cts.get(Send::exact(near, vec![5; 4]));
    cts.until("the peer's receive", || other.is_done());
    assert_eq!(other.only().kind.buffer, [5; 4]);
}

fn an_operation_that_ended_has_left_its_scope(cts: &mut Cts) {
    let scope = cts.handle().scope();
    for _ in 0..5 {
        let batch: Vec<_> = (0..10).map(|_| cts.watch(Nop).0.within(&scope)).collect();
        cts.submit(batch).unwrap();
        cts.drain();
    }
    let others: Vec<_> = (0..20).map(|_| cts.start(far())).collect();
    assert_eq!(cts.get(CancelAll::new(&scope)), 0, "slots used again are not in it");
    assert!(others.iter().all(|timer| !timer.is_done()));
}

fn two_cancels_of_one_scope_both_complete(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let semaphore = Semaphore::new(0);
    let (first, _) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (second, nop) = cts.watch(Nop);
    cts.submit(Chain::new((first, second.within(&scope)))).unwrap();
    let (one, two) = (cts.start(CancelAll::new(&scope)), cts.start(CancelAll::new(&scope)));
    cts.look();
    assert!(!one.is_done() && !two.is_done());
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert_eq!(nop.code(), Some(Code::Cancelled));
    assert_eq!((one.only().result.unwrap(), two.only().result.unwrap()), (1, 0));
}

fn what_a_cancel_ends_too_late_is_completed(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (near, far) = cts.pair();
    let (op, send) = cts.watch(Send::exact(near, vec![1; 8]));
    cts.submit(op.within(&scope)).unwrap();
    let told = cts.one(Receive::exact(far.clone(), vec![0; 8]));
    assert_eq!(told.terminal, Terminal::Completed);
    cts.until("the send", || send.is_done());
    cts.get(CancelAll::new(&scope));
    assert_eq!(send.only().terminal, Terminal::Completed);
    cts.get(Close::new(far));
}

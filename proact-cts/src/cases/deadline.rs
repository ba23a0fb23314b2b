//! Deadlines: whatever waits may be given one.

use std::time::Duration;

use proact::operation::{
    Accept, CancelAll, Chain, EventWait, Nop, Op, Receive, SemaphoreWait, Send, Sequence, Terminal, Timer,
};
use proact::resource::SocketOptions;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Time;

use crate::bench::Cts;
use crate::cases;

cases![
    a_deadline_ends_whatever_waits,
    a_deadline_that_has_passed_ends_at_the_next_poll,
    an_operation_that_ends_in_time_leaves_no_deadline_behind,
    a_deadline_holds_for_one_flight,
    a_cancel_before_the_deadline_is_a_cancel,
    a_deadline_in_the_middle_of_a_chain_dooms_what_is_behind,
    a_deadline_of_a_later_step_is_told_when_its_turn_comes,
    a_deadline_on_a_sequence_ends_its_steps,
    a_send_that_ends_midway_says_what_it_moved,
    a_refused_operation_keeps_its_deadline,
    a_deadline_from_another_thread_holds.real("other threads"),
    a_deadline_does_not_make_the_stream_fail,
];

fn soon(cts: &Cts) -> Time {
    cts.now() + Duration::from_millis(2)
}

fn a_deadline_ends_whatever_waits(cts: &mut Cts) {
    let (listener, _) = cts.listener();
    let (near, _far) = cts.pair();
    let event = cts.handle().event().unwrap();
    let semaphore = Semaphore::new(0);
    let deadline = soon(cts);
    let (accept, one) = cts.watch(Accept::new(listener));
    let (receive, two) = cts.watch(Receive::some(near, vec![0; 4]));
    let (event, three) = cts.watch(EventWait::new(event));
    let (wait, four) = cts.watch(SemaphoreWait::new(semaphore, 1));
    let (timer, five) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let batch = (
        accept.deadline(deadline),
        receive.deadline(deadline),
        event.deadline(deadline),
        wait.deadline(deadline),
        timer.deadline(deadline),
    );
    cts.submit(batch).unwrap();
    cts.drain();
    assert!(cts.now() >= deadline, "none ended early");
    assert_eq!(two.code(), Some(Code::DeadlineExceeded));
    let told = two.only();
    assert_eq!(told.terminal, Terminal::Cancelled);
    for code in [one.code(), three.code(), four.code(), five.code()] {
        assert_eq!(code, Some(Code::DeadlineExceeded));
    }
    let status = one.only().status();
    assert!(status.to_string().contains("deadline"), "{status}");
}

fn a_deadline_that_has_passed_ends_at_the_next_poll(cts: &mut Cts) {
    let (op, timer) = cts.watch(Timer::new(Time::FAR_FUTURE));
    cts.submit(op.deadline(Time::ORIGIN)).unwrap();
    assert!(!timer.is_done(), "never inside submit");
    cts.poll(proact::time::Timeout::Immediate).unwrap();
    assert_eq!(timer.code(), Some(Code::DeadlineExceeded));
}

fn an_operation_that_ends_in_time_leaves_no_deadline_behind(cts: &mut Cts) {
    let deadline = cts.now() + Duration::from_millis(1);
    for _ in 0..100 {
        let (op, nop) = cts.watch(Nop);
        cts.submit(op.deadline(deadline)).unwrap();
        cts.until("the nop", || nop.is_done());
        // Late ones may be past the deadline, and are cancelled too late or in time: one outcome each way.
        assert!(matches!(nop.code(), Some(Code::Ok | Code::DeadlineExceeded)));
    }
    // Slots of theirs are used again, and no old deadline reaches them.
    let timers: Vec<_> = (0..100).map(|_| cts.start(Timer::new(deadline + Duration::from_millis(2)))).collect();
    cts.drain();
    assert!(timers.iter().all(|timer| timer.code() == Some(Code::Ok)));
}

fn a_deadline_holds_for_one_flight(cts: &mut Cts) {
    let (sender, receiver) = std::sync::mpsc::channel();
    struct Again(std::sync::mpsc::Sender<(u32, Code)>, u32);
    impl proact::operation::Complete<Timer> for Again {
        fn done(
            mut op: Box<Op<Timer, Self>>,
            outcome: proact::operation::Outcome<Timer>,
            cx: &mut proact::operation::Context<'_>,
        ) {
            let code = outcome.result.map_or_else(|status| status.code(), |()| Code::Ok);
            op.state.0.send((op.state.1, code)).unwrap();
            op.state.1 += 1;
            if op.state.1 == 1 {
                op.kind.deadline = cx.now() + Duration::from_micros(100);
                cx.submit(op).unwrap();
            }
        }
    }
    cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), Again(sender, 0)).deadline(Time::ORIGIN)).unwrap();
    cts.drain();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [(0, Code::DeadlineExceeded), (1, Code::Ok)]);
}

fn a_cancel_before_the_deadline_is_a_cancel(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, wait) = cts.watch(EventWait::new(event));
    let deadline = cts.now() + Duration::from_secs(3600);
    let id = cts.submit(op.deadline(deadline)).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
    assert_eq!(wait.code(), Some(Code::Cancelled));
}

fn a_deadline_in_the_middle_of_a_chain_dooms_what_is_behind(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (first, one) = cts.watch(Nop);
    let (wait, two) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (last, three) = cts.watch(proact::operation::SemaphoreSignal::new(semaphore.clone(), 5));
    let deadline = soon(cts);
    cts.submit(Chain::new((first, wait.deadline(deadline), last))).unwrap();
    cts.drain();
    assert_eq!(one.code(), Some(Code::Ok));
    assert_eq!(two.code(), Some(Code::DeadlineExceeded));
    assert_eq!(three.code(), Some(Code::Cancelled));
    assert_eq!(semaphore.value(), 0, "no effect of what was doomed");
}

fn a_deadline_of_a_later_step_is_told_when_its_turn_comes(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (first, one) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (second, two) = cts.watch(Nop);
    cts.submit(Chain::new((first, second.deadline(Time::ORIGIN)))).unwrap();
    cts.look();
    assert!(!one.is_done() && !two.is_done(), "callbacks of a chain come in its order");
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert_eq!((one.code(), two.code()), (Some(Code::Ok), Some(Code::DeadlineExceeded)));
}

fn a_deadline_on_a_sequence_ends_its_steps(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, sequence) = cts.watch(Sequence::new().step(Nop).step(EventWait::new(event)).step(Nop));
    let deadline = soon(cts);
    cts.submit(op.deadline(deadline)).unwrap();
    cts.drain();
    assert_eq!(sequence.code(), Some(Code::DeadlineExceeded));
}

fn a_send_that_ends_midway_says_what_it_moved(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (near, far) = cts.pair_on("127.0.0.1:0", &options);
    let (op, send) = cts.watch(Send::exact(near, vec![0; 32 << 20]));
    let deadline = soon(cts);
    cts.submit(op.deadline(deadline)).unwrap();
    cts.drain();
    let told = send.only();
    assert_eq!(told.terminal, Terminal::CancelledAfterEffect);
    assert!(told.moved > 0 && told.moved < 32 << 20, "{}", told.moved);
    assert_eq!(told.status().code(), Code::DeadlineExceeded);
    drop(far);
}

fn a_refused_operation_keeps_its_deadline(cts: &mut Cts) {
    let (op, timer) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let (near, _far) = cts.pair();
    cts.get(proact::operation::Close::new(near.clone()));
    let (receive, _) = cts.watch(Receive::some(near, vec![0]));
    let refused = cts.submit((op.deadline(Time::ORIGIN), receive)).unwrap_err();
    assert_eq!(cts.pending(), 0);
    cts.submit(refused.batch.0).unwrap();
    cts.drain();
    assert_eq!(timer.code(), Some(Code::DeadlineExceeded));
}

fn a_deadline_from_another_thread_holds(cts: &mut Cts) {
    let handle = cts.handle().clone();
    let (op, timer) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let deadline = soon(cts);
    std::thread::spawn(move || handle.submit(op.deadline(deadline)).map(drop).unwrap()).join().unwrap();
    cts.until("the deadline", || timer.is_done());
    assert_eq!(timer.code(), Some(Code::DeadlineExceeded));
}

fn a_deadline_does_not_make_the_stream_fail(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let (op, receive) = cts.watch(Receive::exact(far.clone(), vec![0; 4]));
    let deadline = soon(cts);
    cts.submit(op.deadline(deadline)).unwrap();
    cts.drain();
    assert_eq!(receive.code(), Some(Code::DeadlineExceeded));
    assert!(far.failure().is_none());
    cts.get(Send::exact(near, vec![9; 4]));
    let told = cts.one(Receive::exact(far.clone(), vec![0; 4]));
    assert_eq!(told.kind.buffer, [9; 4]);
    assert_eq!(cts.get(CancelAll::new(&far)), 0, "nothing is left in flight on it");
}

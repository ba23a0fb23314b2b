//! Messages between proactors.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::operation::{Chain, Context, EventWait, Message, Nop, Op, Sequence, Timer};
use proact::proactor::{Builder, Choice, Handle, Proactor, ProactorThread};
use proact::status::{Code, Operation};
use proact::time::Timeout;

use crate::bench::{Cts, patience};
use crate::cases;
use crate::harness::Only;

cases![
    a_message_arrives_whole_and_its_sender_is_told,
    a_message_that_is_sent_directly_has_no_completion,
    a_message_behind_a_timer_is_sent_when_its_turn_comes,
    a_message_of_a_chain_stands_between_its_neighbours,
    a_message_behind_a_failed_step_is_never_sent,
    a_message_may_be_a_step_of_a_sequence,
    a_proactor_sends_to_itself,
    a_round_trip_between_two_proactors.real("other threads"),
    a_hundred_messages_in_flight_all_arrive_in_order,
    a_message_from_a_thread_ends_the_sleep.real("other threads"),
    messages_of_four_threads_all_arrive_each_threads_in_order.real("other threads"),
    a_full_queue_refuses_and_recovers,
    a_full_queue_fails_the_operation_and_its_chain,
    an_unbounded_queue_refuses_nothing_and_keeps_the_order.real("other threads"),
    proactors_on_different_backends_talk_to_each_other,
    messages_wait_for_a_receiver,
    a_receiver_is_replaced_and_taken_away_while_it_runs,
    a_receiver_may_submit_and_send,
    a_receiver_that_panics_is_told_the_next_message,
    a_pass_tells_no_more_than_its_share,
    a_flood_holds_up_neither_a_timer_nor_a_socket,
    a_proactor_that_shuts_down_tells_what_it_took_and_takes_no_more,
    senders_that_race_with_a_shutdown_know_what_became_of_each_message.real("other threads"),
    a_message_from_a_signal_handler_arrives.real("signals of the operating system").alone(),
    limits_out_of_range_are_refused.only(Only::Once),
    senders_to_a_proactor_thread_are_told_of_nothing_lost.real("other threads"),
];

type Seen = Rc<RefCell<Vec<u64>>>;

/// Notes every message.
fn listen(proactor: &mut Proactor) -> Seen {
    let seen = Seen::default();
    let noted = seen.clone();
    proactor.on_message(move |message, _| noted.borrow_mut().push(message));
    seen
}

fn another(cts: &Cts) -> Proactor {
    cts.config.builder().build().unwrap()
}

/// Polls `proactor` until `seen` holds so many.
#[track_caller]
fn until_seen(proactor: &mut Proactor, seen: &Seen, count: usize) {
    let deadline = proactor.now() + patience();
    while seen.borrow().len() < count {
        proactor.poll(deadline).unwrap();
        assert!(proactor.now() < deadline, "{} of {count} messages came", seen.borrow().len());
    }
}

fn a_message_arrives_whole_and_its_sender_is_told(cts: &mut Cts) {
    let mut there = another(cts);
    let seen = listen(&mut there);
    for message in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
        cts.get(Message::new(there.handle(), message));
    }
    assert_eq!(seen.borrow().len(), 0, "a receiver runs in its own poll alone");
    until_seen(&mut there, &seen, 4);
    assert_eq!(*seen.borrow(), [0, 1, 0x0123_4567_89ab_cdef, u64::MAX]);
    let counted = there.statistics();
    assert_eq!((counted.messages_sent, counted.messages_delivered, counted.messages_refused), (4, 4, 0));
}

/// W-47: what need not be told of costs no completion, because it is no operation.
fn a_message_that_is_sent_directly_has_no_completion(cts: &mut Cts) {
    let mut there = another(cts);
    let seen = listen(&mut there);
    there.handle().send_message(7).unwrap();
    let before = cts.statistics();
    cts.look();
    assert_eq!(cts.statistics().completed, before.completed);
    until_seen(&mut there, &seen, 1);
    assert_eq!(*seen.borrow(), [7]);
    assert_eq!(there.statistics().completed, 0, "nor is it an operation of the receiver's");
}

/// W-34: nothing happens at submit.
fn a_message_behind_a_timer_is_sent_when_its_turn_comes(cts: &mut Cts) {
    let mut there = another(cts);
    let seen = listen(&mut there);
    let deadline = cts.now() + Duration::from_millis(20);
    let (timer, fired) = cts.watch(Timer::new(deadline));
    let (message, sent) = cts.watch(Message::new(there.handle(), 5));
    cts.submit(Chain::new((timer, message))).unwrap();
    while cts.now() + Duration::from_millis(5) < deadline {
        cts.look();
        if cts.now() < deadline {
            there.poll(Timeout::Immediate).unwrap();
            assert!(seen.borrow().is_empty(), "sent before the timer");
        }
    }
    cts.until("the message to be sent", || sent.is_done());
    assert!(cts.now() >= deadline && fired.order() < sent.order());
    until_seen(&mut there, &seen, 1);
}

fn a_message_of_a_chain_stands_between_its_neighbours(cts: &mut Cts) {
    let seen = listen(cts);
    let event = cts.handle().event().unwrap();
    let here = cts.handle().clone();
    let first = Op::new(EventWait::new(event.clone()), ());
    let (message, sent) = cts.watch(Message::new(&here, 1));
    let (last, ended) = cts.watch(Nop);
    cts.submit(Chain::new((first, message, last))).unwrap();
    cts.look();
    assert!(seen.borrow().is_empty() && !sent.is_done());
    event.set().unwrap();
    cts.until("the chain and the message", || ended.is_done() && seen.borrow().len() == 1);
    assert!(sent.order() < ended.order());
    sent.only().result.unwrap();
    ended.only().result.unwrap();
}

fn a_message_behind_a_failed_step_is_never_sent(cts: &mut Cts) {
    let seen = listen(cts);
    let here = cts.handle().clone();
    let (timer, fired) = cts.watch(Timer::new(proact::time::Time::FAR_FUTURE));
    let (message, sent) = cts.watch(Message::new(&here, 1));
    let (first, _) = cts.submit(Chain::new((timer, message))).unwrap();
    cts.look();
    cts.cancel(first).unwrap();
    cts.drain();
    cts.look();
    assert_eq!((fired.code(), sent.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    assert!(seen.borrow().is_empty());
    assert_eq!(cts.statistics().messages_sent, 0);
}

fn a_message_may_be_a_step_of_a_sequence(cts: &mut Cts) {
    let seen = listen(cts);
    let here = cts.handle().clone();
    let soon = cts.now() + Duration::from_millis(1);
    cts.get(Sequence::new().step(Message::new(&here, 1)).step(Timer::new(soon)).step(Message::new(&here, 2)));
    cts.until("both messages", || seen.borrow().len() == 2);
    assert_eq!(*seen.borrow(), [1, 2]);
}

fn a_proactor_sends_to_itself(cts: &mut Cts) {
    let seen = listen(cts);
    let here = cts.handle().clone();
    cts.get(Message::new(&here, 3));
    here.send_message(4).unwrap();
    cts.until("both messages", || seen.borrow().len() == 2);
    assert_eq!(*seen.borrow(), [3, 4]);
    // A wake was not needed: the poll thread itself sent.
    assert_eq!(cts.statistics().wakes, 0);
}

/// Sends each message on, one more, until `last`.
fn bounce(to: &Handle, last: u64, ended: &Arc<AtomicUsize>) -> impl FnMut(u64, &mut Context<'_>) + use<> {
    let (to, ended) = (to.clone(), ended.clone());
    move |message, _| {
        if message < last {
            to.send_message(message + 1).unwrap();
        } else {
            ended.fetch_add(1, Ordering::Release);
        }
    }
}

fn a_round_trip_between_two_proactors(cts: &mut Cts) {
    let ended = Arc::new(AtomicUsize::new(0));
    let (send, receive) = std::sync::mpsc::channel();
    let (here, config, theirs) = (cts.handle().clone(), cts.config, ended.clone());
    let thread = std::thread::spawn(move || {
        let mut there = config.builder().build().unwrap();
        there.on_message(bounce(&here, 999, &theirs));
        send.send(there.handle().clone()).unwrap();
        let deadline = there.now() + patience();
        while theirs.load(Ordering::Acquire) == 0 && there.now() < deadline {
            there.poll(deadline).unwrap();
        }
    });
    let there = receive.recv().unwrap();
    cts.on_message(bounce(&there, 999, &ended));
    // From there and back, both sleeping in between, five hundred times.
    there.send_message(0).unwrap();
    let seen = ended.clone();
    cts.until_with("the last message", |proactor| {
        proactor.statistics().messages_delivered == 500 || seen.load(Ordering::Acquire) > 0
    });
    there.wake();
    thread.join().unwrap();
    assert_eq!(ended.load(Ordering::Acquire), 1, "0 to 999, in turn");
}

fn a_hundred_messages_in_flight_all_arrive_in_order(cts: &mut Cts) {
    let mut there = another(cts);
    let seen = listen(&mut there);
    let to = there.handle().clone();
    let batch: Vec<_> = (0..100).map(|number| Op::new(Message::new(&to, number), ())).collect();
    cts.submit(batch).unwrap();
    cts.drain();
    until_seen(&mut there, &seen, 100);
    assert_eq!(*seen.borrow(), (0..100).collect::<Vec<_>>());
}

fn a_message_from_a_thread_ends_the_sleep(cts: &mut Cts) {
    let seen = listen(cts);
    for round in 1..=50 {
        let handle = cts.handle().clone();
        let thread = std::thread::spawn(move || handle.send_message(round).unwrap());
        // Only a wake returns before the deadline.
        cts.until("a message of another thread", || seen.borrow().len() as u64 == round);
        thread.join().unwrap();
    }
    assert_eq!(*seen.borrow(), (1..=50).collect::<Vec<_>>());
}

fn messages_of_four_threads_all_arrive_each_threads_in_order(cts: &mut Cts) {
    const EACH: u64 = 5000;
    let seen = listen(cts);
    std::thread::scope(|scope| {
        for sender in 0..4u64 {
            let handle = cts.handle().clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    handle.send_message(sender << 32 | number).unwrap();
                }
            });
        }
        cts.until("all messages", || seen.borrow().len() as u64 == 4 * EACH);
    });
    for sender in 0..4u64 {
        let seen = seen.borrow();
        let theirs = seen.iter().filter(|message| **message >> 32 == sender).map(|message| message & 0xffff_ffff);
        assert!(theirs.eq(0..EACH), "the messages of thread {sender} are not in order");
    }
}

fn full(cts: &mut Cts, limit: u32) {
    cts.rebuild(|builder| builder.messages(limit));
    for number in 0..u64::from(limit) {
        cts.handle().send_message(number).unwrap();
    }
}

/// W-26: the bound is what was asked for, and is told.
fn a_full_queue_refuses_and_recovers(cts: &mut Cts) {
    for limit in [1, 3, 64, 300] {
        full(cts, limit);
        let handle = cts.handle().clone();
        let refused = handle.send_message(1000).unwrap_err();
        assert_eq!((refused.code(), refused.operation()), (Code::ResourceExhausted, Operation::Message));
        assert!(refused.location().file().ends_with("message.rs"), "{refused:?}");
        let seen = listen(cts);
        cts.until("those that were taken", || seen.borrow().len() as u64 == u64::from(limit));
        handle.send_message(2000).unwrap();
        cts.until("one more", || seen.borrow().len() as u64 > u64::from(limit));
        assert!(seen.borrow().iter().copied().eq((0..u64::from(limit)).chain([2000])));
        let counted = cts.statistics();
        assert_eq!((counted.messages_sent, counted.messages_delivered), (u64::from(limit) + 1, u64::from(limit) + 1));
        assert_eq!(counted.messages_refused, 1);
    }
}

fn a_full_queue_fails_the_operation_and_its_chain(cts: &mut Cts) {
    full(cts, 2);
    let here = cts.handle().clone();
    let (message, sent) = cts.watch(Message::new(&here, 9));
    let (behind, nop) = cts.watch(Nop);
    cts.submit(Chain::new((message, behind))).unwrap();
    cts.drain();
    let status = sent.only().status();
    assert_eq!((status.code(), status.operation()), (Code::ResourceExhausted, Operation::Message));
    assert_eq!(nop.code(), Some(Code::Cancelled));
    let seen = listen(cts);
    cts.until("the two that were taken", || seen.borrow().len() == 2);
    cts.get(Message::new(&here, 10));
    cts.until("the third", || *seen.borrow() == [0, 1, 10]);
}

fn an_unbounded_queue_refuses_nothing_and_keeps_the_order(cts: &mut Cts) {
    cts.rebuild(|builder| builder.messages(16).unbounded_messages(true));
    let handle = cts.handle().clone();
    (0..100_000).for_each(|number| handle.send_message(number).unwrap());
    let seen = listen(cts);
    // More come while those are told.
    let sender = handle.clone();
    let thread = std::thread::spawn(move || (100_000..110_000).for_each(|number| sender.send_message(number).unwrap()));
    cts.until("all messages", || seen.borrow().len() == 110_000);
    thread.join().unwrap();
    assert!(seen.borrow().iter().copied().eq(0..110_000));
    assert_eq!(cts.statistics().messages_refused, 0);
}

fn proactors_on_different_backends_talk_to_each_other(cts: &mut Cts) {
    for choice in Choice::ALL {
        let Ok(mut there) = Builder::new().backend(choice).build() else { continue };
        let seen = listen(&mut there);
        let back = listen(cts);
        cts.get(Message::new(there.handle(), 1));
        until_seen(&mut there, &seen, 1);
        there.submit(Op::new(Message::new(cts.handle(), 2), ())).unwrap();
        there.run().unwrap();
        cts.until("the answer", || *back.borrow() == [2]);
    }
}

fn messages_wait_for_a_receiver(cts: &mut Cts) {
    cts.handle().send_message(1).unwrap();
    cts.handle().send_message(2).unwrap();
    let before = cts.now();
    // They end no poll, and a pass with nobody to tell them to does not spin.
    let polls = cts.statistics().polls;
    cts.poll(before + Duration::from_millis(5)).unwrap();
    let polled = cts.poll(before + Duration::from_millis(5)).unwrap();
    assert_eq!(polled.messages, 0);
    assert!(cts.statistics().polls - polls <= 2);
    let seen = listen(cts);
    let polled = cts.poll(Timeout::Infinite).unwrap();
    assert_eq!((polled.messages, polled.completed), (2, 0));
    assert_eq!(*seen.borrow(), [1, 2]);
    cts.hold_messages();
    cts.handle().send_message(3).unwrap();
    cts.look();
    assert_eq!(seen.borrow().len(), 2);
    assert_eq!(Rc::strong_count(&seen), 1, "the receiver is dropped");
    let seen = listen(cts);
    cts.until("the third", || *seen.borrow() == [3]);
}

fn a_receiver_is_replaced_and_taken_away_while_it_runs(cts: &mut Cts) {
    let (first, second) = (Seen::default(), Seen::default());
    let (by_first, by_second) = (first.clone(), second.clone());
    let mut next = Some(move |message: u64, cx: &mut Context<'_>| {
        by_second.borrow_mut().push(message);
        if message == 4 {
            cx.hold_messages();
        }
    });
    cts.on_message(move |message, cx| {
        by_first.borrow_mut().push(message);
        if message == 2 {
            cx.on_message(next.take().expect("told 2 once"));
        }
    });
    (1..=6).for_each(|number| cts.handle().send_message(number).unwrap());
    cts.look();
    assert_eq!((&*first.borrow(), &*second.borrow()), (&vec![1, 2], &vec![3, 4]));
    assert_eq!((Rc::strong_count(&first), Rc::strong_count(&second)), (1, 1), "both receivers are dropped");
    let rest = listen(cts);
    cts.until("the rest", || *rest.borrow() == [5, 6]);
}

fn a_receiver_may_submit_and_send(cts: &mut Cts) {
    let here = cts.handle().clone();
    let (nop, done) = cts.watch(Nop);
    let mut nop = Some(nop);
    cts.on_message(move |message, cx| {
        if message < 1000 {
            here.send_message(message + 1).unwrap();
        } else {
            cx.submit(nop.take().expect("told once")).unwrap();
        }
    });
    cts.handle().send_message(0).unwrap();
    cts.until("the operation that the last message submits", || done.is_done());
    assert_eq!(cts.statistics().messages_delivered, 1001);
}

fn a_receiver_that_panics_is_told_the_next_message(cts: &mut Cts) {
    let seen = Seen::default();
    let noted = seen.clone();
    cts.on_message(move |message, _| {
        noted.borrow_mut().push(message);
        assert_ne!(message, 2, "a receiver's own panic");
    });
    (1..=3).for_each(|number| cts.handle().send_message(number).unwrap());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cts.look()));
    assert!(panicked.is_err());
    assert_eq!(*seen.borrow(), [1, 2]);
    cts.until("the message behind it", || *seen.borrow() == [1, 2, 3]);
}

fn a_pass_tells_no_more_than_its_share(cts: &mut Cts) {
    let seen = listen(cts);
    (0..1000).for_each(|number| cts.handle().send_message(number).unwrap());
    let mut passes = Vec::new();
    while seen.borrow().len() < 1000 {
        // One that slept would not come back.
        passes.push(cts.poll(Timeout::Infinite).unwrap().messages);
    }
    assert_eq!(passes, [256, 256, 256, 232]);
}

fn a_flood_holds_up_neither_a_timer_nor_a_socket(cts: &mut Cts) {
    let here = cts.handle().clone();
    let (client, server) = cts.pair();
    // Each message sends the next: there is always one more.
    let again = here.clone();
    cts.on_message(move |message, _| again.send_message(message).unwrap());
    (0..1000).for_each(|number| here.send_message(number).unwrap());
    let timer = cts.start(Timer::new(cts.now() + Duration::from_millis(2)));
    let receive = cts.start(proact::operation::Receive::exact(server, vec![0; 5]));
    cts.get(proact::operation::Send::exact(client, b"hello".to_vec()));
    cts.until("a timer and a receive", || timer.is_done() && receive.is_done());
    assert_eq!(receive.only().kind.buffer, b"hello");
    cts.hold_messages();
}

fn a_proactor_that_shuts_down_tells_what_it_took_and_takes_no_more(cts: &mut Cts) {
    for unbounded in [false, true] {
        cts.rebuild(|builder| builder.messages(1000).unbounded_messages(unbounded));
        let (handle, count) = (cts.handle().clone(), if unbounded { 3000 } else { 1000 });
        let seen = Seen::default();
        let (noted, own) = (seen.clone(), handle.clone());
        cts.on_message(move |message, _| {
            assert_eq!(own.send_message(1).unwrap_err().code(), Code::Aborted, "closed before the first is told");
            noted.borrow_mut().push(message);
        });
        (0..count).for_each(|number| handle.send_message(number).unwrap());
        assert_eq!(cts.take().shutdown(patience()), 0);
        assert!(seen.borrow().iter().copied().eq(0..count), "{} of {count} were told", seen.borrow().len());
        let refused = handle.send_message(1).unwrap_err();
        assert_eq!((refused.code(), refused.operation()), (Code::Aborted, Operation::Message));
        // Also to an operation of another proactor.
        let mut other = Cts::beside(cts.config);
        assert_eq!(other.fails(Message::new(&handle, 1)).code(), Code::Aborted);
    }
    cts.rebuild(|builder| builder);
}

fn senders_that_race_with_a_shutdown_know_what_became_of_each_message(cts: &mut Cts) {
    for round in 0..20 {
        let unbounded = round % 2 == 1;
        cts.rebuild(|builder| builder.messages(64).unbounded_messages(unbounded));
        let seen = listen(cts);
        let handle = cts.handle().clone();
        let started = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (handle, started) = (handle.clone(), started.clone());
                std::thread::spawn(move || {
                    let mut sent = 0u64;
                    loop {
                        started.fetch_add(1, Ordering::Relaxed);
                        match handle.send_message(sent) {
                            Ok(()) => sent += 1,
                            Err(status) if status.code() == Code::Aborted => return sent,
                            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
                        }
                    }
                })
            })
            .collect();
        cts.until("both senders", || started.load(Ordering::Relaxed) > 200);
        assert_eq!(cts.take().shutdown(patience()), 0);
        let sent: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(seen.borrow().len() as u64, sent, "what was taken is told, and nothing else");
    }
    cts.rebuild(|builder| builder);
}

/// What the handler below sends to. A case that runs alone sets it, and takes it back when no signal is on its way.
static SENT_BY_SIGNAL: AtomicPtr<Handle> = AtomicPtr::new(std::ptr::null_mut());
static REFUSED_IN_HANDLER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn send_from_a_handler(_: libc::c_int) {
    let handle = SENT_BY_SIGNAL.load(Ordering::Acquire);
    if !handle.is_null() {
        // SAFETY: set by the case below to a handle that lives until the pointer is null again, which it waits for.
        if unsafe { &*handle }.send_message(1).is_err() {
            REFUSED_IN_HANDLER.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The handler interrupts the poll thread wherever that is: asleep, taking messages, sending some itself, submitting.
/// W-26: no mutex stands in its way.
fn a_message_from_a_signal_handler_arrives(cts: &mut Cts) {
    const SIGNAL: libc::c_int = libc::SIGVTALRM;
    const ROUNDS: u64 = 2000;
    // SAFETY: zeroed is an empty mask and no flags. The handler is where `Handle::send_message` may be called.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = send_from_a_handler as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()), 0);
    }
    REFUSED_IN_HANDLER.store(0, Ordering::Relaxed);
    let seen = listen(cts);
    let mut handle = cts.handle().clone();
    SENT_BY_SIGNAL.store(&raw mut handle, Ordering::Release);
    // SAFETY: without arguments.
    let poll_thread = unsafe { libc::pthread_self() } as usize;
    let raised = Arc::new(AtomicUsize::new(0));
    let counted = raised.clone();
    let signaller = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            // SAFETY: the thread lives: it joins this one.
            assert_eq!(unsafe { libc::pthread_kill(poll_thread as libc::pthread_t, SIGNAL) }, 0);
            counted.fetch_add(1, Ordering::Release);
            std::thread::yield_now();
        }
    });
    let (mut own, mut polls) = (0, 0u32);
    while raised.load(Ordering::Acquire) < ROUNDS as usize {
        if cts.handle().send_message(2).is_ok() {
            own += 1;
        }
        cts.start(Nop);
        polls += 1;
        let timeout = if polls % 8 == 0 { Timeout::After(Duration::from_micros(100)) } else { Timeout::Immediate };
        cts.poll(timeout).unwrap();
    }
    signaller.join().unwrap();
    SENT_BY_SIGNAL.store(std::ptr::null_mut(), Ordering::Release);
    // A pass tells a bounded number of them, and any number may have come since the last.
    let sent = cts.statistics().messages_sent as usize;
    cts.until("all messages", || seen.borrow().len() == sent);
    assert_eq!(seen.borrow().iter().filter(|message| **message == 2).count(), own);
    let (seen, refused) = (seen.borrow(), REFUSED_IN_HANDLER.load(Ordering::Relaxed));
    // Signals that wait coalesce, so fewer handlers than signals have run; what they sent is what was counted.
    let by_handler = seen.iter().filter(|message| **message == 1).count();
    assert!(by_handler > 0 && refused == 0, "{by_handler} sent by the handler, {refused} refused");
    assert_eq!(cts.statistics().messages_sent as usize, by_handler + own);
    assert_eq!(cts.statistics().messages_delivered as usize, by_handler + own);
}

fn limits_out_of_range_are_refused(cts: &mut Cts) {
    for limit in [0, (1 << 24) + 1, u32::MAX] {
        let status = cts.config.builder().messages(limit).build().unwrap_err();
        assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::Build));
    }
}

/// Sets the receiver of the thread that it runs on.
struct Listen(Arc<Mutex<Vec<u64>>>);

impl proact::operation::Complete<Nop> for Listen {
    fn done(op: Box<Op<Nop, Self>>, _: proact::operation::Outcome<Nop>, cx: &mut Context<'_>) {
        cx.on_message(move |message, _| op.state.0.lock().unwrap().push(message));
    }
}

fn senders_to_a_proactor_thread_are_told_of_nothing_lost(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    thread.handle().submit(Op::new(Nop, Listen(seen.clone()))).unwrap();
    // Some before the receiver is set, perhaps, and some right before the end.
    (0..500).for_each(|number| thread.handle().send_message(number).unwrap());
    crate::bench::eventually("the first messages", || !seen.lock().unwrap().is_empty());
    (500..1000).for_each(|number| thread.handle().send_message(number).unwrap());
    let ended = thread.join().unwrap();
    assert_eq!(ended.leaked, 0);
    assert_eq!(*seen.lock().unwrap(), (0..1000).collect::<Vec<_>>());
}

//! Nops, batches, identities, refusals and limits.

use proact::backend::OpenFlags;
use proact::operation::{
    AnyOp, Close, Complete, Context, EventWait, MakeDirectory, Nop, Op, Open, OperationId, Outcome, Receive, Sequence,
    Timer,
};
use proact::status::Code;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, Watch};
use crate::cases;

cases![
    an_idle_poll_returns_at_once_and_did_nothing,
    a_nop_completes_once_on_the_poll_thread_and_never_inside_submit,
    a_batch_completes_in_its_order,
    an_empty_batch_is_accepted_and_has_no_effect,
    thousands_of_nops_in_one_batch_all_complete,
    more_operations_than_ring_entries_all_complete_in_order,
    operations_behind_a_full_ring_of_waits_do_not_wait_for_them,
    storage_goes_round_as_often_as_it_is_submitted,
    identities_of_a_batch_are_distinct_and_stale_after_their_end,
    a_stale_identity_harms_no_later_operation_in_its_slot,
    a_foreign_identity_is_not_found_and_harms_no_one,
    a_batch_with_a_bad_operation_in_the_middle_comes_back_whole_and_does_nothing,
    every_reason_to_refuse_gives_its_code,
    a_refused_batch_may_be_mended_and_submitted,
    the_local_limit_is_exact,
    the_remote_limit_is_exact_and_apart_from_the_local_one,
    steps_of_sequences_count_against_the_limit,
    a_batch_of_mixed_types_keeps_order_and_types,
];

fn an_idle_poll_returns_at_once_and_did_nothing(cts: &mut Cts) {
    let polled = cts.poll(Timeout::Immediate).unwrap();
    assert_eq!((polled.completed, polled.woken), (0, false));
    assert_eq!(cts.pending(), 0);
    cts.run().unwrap(); // nothing to wait for
}

fn a_nop_completes_once_on_the_poll_thread_and_never_inside_submit(cts: &mut Cts) {
    let nop = cts.start(Nop);
    assert_eq!(nop.calls(), 0, "a callback inside submit");
    assert_eq!(cts.pending(), 1);
    cts.until("the nop", || nop.is_done());
    assert_eq!(cts.pending(), 0);
    let told = nop.only();
    told.result.unwrap();
    assert_eq!(told.thread, std::thread::current().id());
    assert!(!told.lowered);
}

fn a_batch_completes_in_its_order(cts: &mut Cts) {
    let (ops, watches): (Vec<_>, Vec<_>) = (0..16).map(|_| cts.watch(Nop)).unzip();
    let ids = cts.submit(ops).unwrap();
    assert_eq!(ids.len(), 16);
    cts.drain();
    let orders: Vec<usize> = watches.iter().map(Watch::order).collect();
    assert_eq!(orders, (0..16).collect::<Vec<_>>());
}

fn an_empty_batch_is_accepted_and_has_no_effect(cts: &mut Cts) {
    assert!(cts.submit(Vec::<Box<Op<Nop, ()>>>::new()).unwrap().is_empty());
    assert!(cts.handle().submit(Vec::<Box<Op<Nop, ()>>>::new()).unwrap().is_empty());
    let mut none: Vec<AnyOp> = Vec::new();
    cts.submit(&mut none).unwrap();
    assert_eq!(cts.pending(), 0);
    cts.look();
    assert_eq!(cts.statistics().submitted, 0);
}

fn thousands_of_nops_in_one_batch_all_complete(cts: &mut Cts) {
    let (ops, watches): (Vec<_>, Vec<_>) = (0..5000).map(|_| cts.watch(Nop)).unzip();
    cts.submit(ops).unwrap();
    assert_eq!(cts.pending(), 5000);
    cts.drain();
    assert!(watches.into_iter().all(|watch| watch.only().result.is_ok()));
    assert_eq!(cts.statistics().queue_depth_max, 5000);
}

fn more_operations_than_ring_entries_all_complete_in_order(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(4));
    let (ops, watches): (Vec<_>, Vec<_>) = (0..100).map(|_| cts.watch(Nop)).unzip();
    cts.submit(ops).unwrap();
    cts.drain();
    let orders: Vec<usize> = watches.iter().map(Watch::order).collect();
    assert!(orders.is_sorted(), "{orders:?}");
}

fn operations_behind_a_full_ring_of_waits_do_not_wait_for_them(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(4));
    let events: Vec<_> = (0..40).map(|_| cts.handle().event().unwrap()).collect();
    let waits: Vec<_> = events.iter().map(|event| cts.start(EventWait::new(event.clone()))).collect();
    let behind = cts.start(Nop);
    // The kernel has nothing to tell until then: a poll that sleeps before all is handed over never comes back.
    cts.until("the operation behind the waits", || behind.is_done());
    assert!(waits.iter().all(|wait| !wait.is_done()));
    for event in &events {
        event.set().unwrap();
    }
    cts.drain();
}

struct Again {
    left: u32,
    at: *const Op<Nop, Again>,
}

impl Complete<Nop> for Again {
    fn done(mut op: Box<Op<Nop, Again>>, outcome: Outcome<Nop>, cx: &mut Context<'_>) {
        outcome.result.unwrap();
        assert!(std::ptr::eq(&*op, op.state.at), "the storage has moved");
        op.state.left -= 1;
        if op.state.left > 0 {
            cx.submit(op).unwrap();
        }
    }
}

fn storage_goes_round_as_often_as_it_is_submitted(cts: &mut Cts) {
    let mut op = Op::new(Nop, Again { left: 1000, at: std::ptr::null() });
    op.state.at = &*op;
    cts.submit(op).unwrap();
    cts.drain();
    assert_eq!(cts.statistics().completed, 1000);
}

fn identities_of_a_batch_are_distinct_and_stale_after_their_end(cts: &mut Cts) {
    let ids = cts.submit([Op::new(Nop, ()), Op::new(Nop, ()), Op::new(Nop, ())]).unwrap();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    cts.drain();
    let handle = cts.handle().clone();
    for id in ids {
        assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
        let handle = handle.clone();
        let answer = cts.elsewhere(move || handle.cancel(id));
        assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    }
}

fn a_stale_identity_harms_no_later_operation_in_its_slot(cts: &mut Cts) {
    cts.rebuild(|builder| builder.operations(1).remote_operations(1));
    let stale = cts.submit(Op::new(Nop, ())).unwrap();
    cts.drain();
    // One slot only: the timer sits where the nop was.
    let timer = cts.start(Timer::new(Time::FAR_FUTURE));
    assert_eq!(cts.cancel(stale).unwrap_err().code(), Code::NotFound);
    assert_eq!(cts.handle().cancel(stale).unwrap_err().code(), Code::NotFound);
    cts.look();
    assert_eq!(timer.calls(), 0);
    // The same for a slot of other threads.
    let handle = cts.handle().clone();
    let (op, nop) = cts.watch(Nop);
    let stale = handle.submit(op).unwrap();
    cts.until("the remote nop", || nop.is_done());
    let (op, later) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let id = handle.submit(op).unwrap();
    assert_eq!(handle.cancel(stale).unwrap_err().code(), Code::NotFound);
    assert_eq!(cts.cancel(stale).unwrap_err().code(), Code::NotFound);
    cts.look();
    assert_eq!(later.calls(), 0);
    handle.cancel(id).unwrap();
    cts.until("the cancelled timer", || later.is_done());
    assert_eq!(later.code(), Some(Code::Cancelled));
}

fn a_foreign_identity_is_not_found_and_harms_no_one(cts: &mut Cts) {
    let other = cts.config.builder().build().unwrap();
    let handle = other.handle().clone();
    let timer = cts.start(Timer::new(Time::FAR_FUTURE));
    let (op, second) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let id = cts.submit(op).unwrap();
    // The first operation of each proactor has the same slot and generation; only the proactor tells them apart.
    assert_eq!(handle.cancel(id).unwrap_err().code(), Code::NotFound);
    let mut other = other;
    other.submit([Op::new(Timer::new(Time::FAR_FUTURE), ()), Op::new(Timer::new(Time::FAR_FUTURE), ())]).unwrap();
    assert_eq!(other.cancel(id).unwrap_err().code(), Code::NotFound);
    assert_eq!(handle.cancel(id).unwrap_err().code(), Code::NotFound);
    other.poll(Timeout::Immediate).unwrap();
    assert_eq!(other.pending(), 2);
    cts.look();
    assert_eq!((timer.calls(), second.calls()), (0, 0));
}

fn a_batch_with_a_bad_operation_in_the_middle_comes_back_whole_and_does_nothing(cts: &mut Cts) {
    let made = cts.path("made");
    let unmade = cts.path("unmade");
    let (first, first_watch) = cts.watch(MakeDirectory::new(&made));
    let (bad, bad_watch) = cts.watch(Open::new("a\0b", OpenFlags::READ));
    let (last, last_watch) = cts.watch(MakeDirectory::new(&unmade));
    let before = cts.statistics();
    let refused = cts.submit((first, bad, last)).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    assert!(refused.status.to_string().contains("NUL"), "{}", refused.status);
    cts.look();
    assert_eq!(first_watch.calls() + bad_watch.calls() + last_watch.calls(), 0);
    assert!(!cts.exists(&made) && !cts.exists(&unmade));
    assert_eq!(cts.pending(), 0);
    let after = cts.statistics();
    assert_eq!((after.submitted, after.batches), (before.submitted, before.batches));
    // Typed, and each at its place: the good ones still work.
    let (first, _, last) = refused.batch;
    cts.submit((first, last)).unwrap();
    cts.drain();
    assert!(cts.exists(&made) && cts.exists(&unmade));
}

fn every_reason_to_refuse_gives_its_code(cts: &mut Cts) {
    let other = cts.config.builder().build().unwrap();
    let foreign_event = other.handle().event().unwrap();
    let foreign_listener = {
        let any = "127.0.0.1:0".parse().unwrap();
        other.handle().listen(&any, &Default::default()).unwrap()
    };
    let event = AnyOp::from(Op::new(EventWait::new(foreign_event.clone()), ()));
    assert_eq!(local_refusal(cts, event), Code::InvalidArgument);
    let receive = AnyOp::from(Op::new(Receive::some(foreign_listener, vec![0; 4]), ()));
    assert_eq!(local_refusal(cts, receive), Code::InvalidArgument);
    for flags in [
        OpenFlags::empty(),
        OpenFlags::READ | OpenFlags::TRUNCATE,
        OpenFlags::WRITE | OpenFlags::CREATE_NEW,
        OpenFlags::WRITE | OpenFlags::APPEND | OpenFlags::TRUNCATE,
        OpenFlags::WRITE | OpenFlags::DIRECTORY,
        OpenFlags::READ | OpenFlags::from_bits_retain(1 << 30),
    ] {
        let open = AnyOp::from(Op::new(Open::new("/tmp", flags), ()));
        assert_eq!(local_refusal(cts, open), Code::InvalidArgument, "{flags:?}");
    }
    assert_eq!(local_refusal(cts, AnyOp::from(Op::new(Open::new("", OpenFlags::READ), ()))), Code::InvalidArgument);
    let mine = cts.handle().event().unwrap();
    cts.get(Close::new(mine.clone()));
    let closed = AnyOp::from(Op::new(EventWait::new(mine), ()));
    assert_eq!(local_refusal(cts, closed), Code::FailedPrecondition);
    // A bad step refuses its sequence, and with it the batch.
    let sequence = Sequence::new().step(Nop).step(Open::new("x\0y", OpenFlags::READ));
    assert_eq!(local_refusal(cts, AnyOp::from(Op::new(sequence, ()))), Code::InvalidArgument);
    let sequence = Sequence::new().step(Nop).step(EventWait::new(foreign_event));
    let nested = Sequence::new().step(sequence);
    assert_eq!(local_refusal(cts, AnyOp::from(Op::new(nested, ()))), Code::InvalidArgument);
    assert_eq!(cts.pending(), 0);
}

/// The code that a batch of a nop and `op` is refused with. Both come back.
#[track_caller]
fn local_refusal(cts: &mut Cts, op: AnyOp) -> Code {
    let refused = match cts.submit(vec![AnyOp::from(Op::new(Nop, ())), op]) {
        Ok(_) => panic!("accepted"),
        Err(refused) => refused,
    };
    assert_eq!(refused.batch.len(), 2);
    refused.status.code()
}

fn a_refused_batch_may_be_mended_and_submitted(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    cts.get(Close::new(event.clone()));
    let (op, watch) = cts.watch(EventWait::new(event));
    let mut refused = cts.submit(op).unwrap_err();
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    refused.batch.kind.event = event;
    cts.submit(refused.batch).unwrap();
    cts.until("the mended wait", || watch.is_done());
    watch.only().result.unwrap();
}

fn far() -> Timer {
    Timer::new(Time::FAR_FUTURE)
}

fn the_local_limit_is_exact(cts: &mut Cts) {
    cts.rebuild(|builder| builder.operations(10));
    let ids = cts.submit((0..10).map(|_| Op::new(far(), ())).collect::<Vec<_>>()).unwrap();
    let refused = cts.submit(Op::new(Nop, ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::ResourceExhausted);
    cts.cancel(ids[3]).unwrap();
    cts.until_with("room for one", |proactor| proactor.pending() == 9);
    // Two do not fit, and so neither starts.
    let (one, one_watch) = cts.watch(Nop);
    let (two, _) = cts.watch(Nop);
    let refused = cts.submit([one, two]).unwrap_err();
    assert_eq!(refused.status.code(), Code::ResourceExhausted);
    cts.look();
    assert_eq!(one_watch.calls(), 0);
    let [one, _] = refused.batch;
    cts.submit(one).unwrap();
    cts.until("the one that fits", || one_watch.is_done());
}

fn the_remote_limit_is_exact_and_apart_from_the_local_one(cts: &mut Cts) {
    cts.rebuild(|builder| builder.operations(2).remote_operations(3));
    let handle = cts.handle().clone();
    cts.submit([Op::new(far(), ()), Op::new(far(), ())]).unwrap();
    let ids: [OperationId; 3] = handle.submit([Op::new(far(), ()), Op::new(far(), ()), Op::new(far(), ())]).unwrap();
    let refused = handle.submit([Op::new(Nop, ()), Op::new(Nop, ())]).unwrap_err();
    assert_eq!(refused.status.code(), Code::ResourceExhausted);
    assert_eq!(refused.batch.len(), 2);
    handle.cancel(ids[0]).unwrap();
    handle.cancel(ids[2]).unwrap();
    cts.until_with("room for two", |proactor| proactor.pending() == 3);
    handle.submit(refused.batch).unwrap();
    assert_eq!(handle.submit(Op::new(Nop, ())).unwrap_err().status.code(), Code::ResourceExhausted);
    cts.until_with("the two", |proactor| proactor.statistics().completed == 4);
    // Whatever the number of rounds, a slot given back can be taken again.
    for round in 0..100 {
        handle.submit([Op::new(Nop, ()), Op::new(Nop, ())]).unwrap();
        assert_eq!(handle.submit(Op::new(Nop, ())).unwrap_err().status.code(), Code::ResourceExhausted);
        cts.until_with("the round", |proactor| proactor.statistics().completed == 6 + 2 * round);
    }
}

fn steps_of_sequences_count_against_the_limit(cts: &mut Cts) {
    cts.rebuild(|builder| builder.operations(3));
    let three = Sequence::new().step(Nop).step(Nop).step(Nop);
    assert_eq!(cts.submit(Op::new(three, ())).unwrap_err().status.code(), Code::ResourceExhausted);
    let two = Sequence::new().step(Nop).step(Nop);
    let told = cts.one(two);
    told.result.unwrap();
    // All three slots are free again.
    cts.submit([Op::new(Nop, ()), Op::new(Nop, ()), Op::new(Nop, ())]).unwrap();
    cts.drain();
}

fn a_batch_of_mixed_types_keeps_order_and_types(cts: &mut Cts) {
    let past = Time::ORIGIN;
    let (nop, nop_watch) = cts.watch(Nop);
    let (timer, timer_watch) = cts.watch(Timer::new(past));
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    let (wait, wait_watch) = cts.watch(EventWait::new(event));
    let (ids, any) = cts.submit(((nop, timer), vec![AnyOp::from(wait)])).unwrap();
    assert!(ids.0 != ids.1 && ids.1 != any[0]);
    cts.drain();
    nop_watch.only().result.unwrap();
    timer_watch.only().result.unwrap();
    wait_watch.only().result.unwrap();
    assert!(AnyOp::from(Op::new(Nop, ())).downcast::<Timer, ()>().is_err());
}

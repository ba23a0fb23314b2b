//! Groups: members run side by side, and end as one.

use proact::operation::{
    Chain, EventWait, Group, Nop, Op, Receive, SemaphoreSignal, SemaphoreWait, Send, Sequence, Timer,
};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Time;

use crate::bench::Cts;
use crate::cases;

cases![
    an_empty_group_succeeds,
    members_run_side_by_side,
    the_first_failure_ends_the_others_and_the_group,
    a_cancelled_group_ends_all_members,
    a_group_is_a_step_and_a_sequence_a_member,
    a_doomed_group_has_no_effect,
    a_group_is_used_again,
    a_very_long_sequence_runs_to_its_end,
    groups_of_hundreds_of_members_end_once,
];

fn an_empty_group_succeeds(cts: &mut Cts) {
    cts.get(Group::new());
}

fn members_run_side_by_side(cts: &mut Cts) {
    // Each waits for what the other does: in sequence neither would end.
    let (one, two) = (Semaphore::new(0), Semaphore::new(0));
    let left = Sequence::new().step(SemaphoreWait::new(one.clone(), 1)).step(SemaphoreSignal::new(two.clone(), 1));
    let right = Sequence::new().step(SemaphoreSignal::new(one, 1)).step(SemaphoreWait::new(two, 1));
    let told = cts.one(Group::new().with(left).with(right));
    told.result.unwrap();
    assert!(told.kind.result::<Sequence>(0).unwrap().is_ok() && told.kind.result::<Sequence>(1).unwrap().is_ok());
}

fn the_first_failure_ends_the_others_and_the_group(cts: &mut Cts) {
    let failing = Semaphore::new(5);
    let event = cts.handle().event().unwrap();
    let group = Group::new()
        .with(EventWait::new(event.clone()))
        .with(SemaphoreSignal::new(failing.clone(), 3))
        .with(Timer::new(Time::FAR_FUTURE));
    let told = cts.one(group);
    assert_eq!(told.result.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(told.kind.result::<EventWait>(0).unwrap().as_ref().unwrap_err().code(), Code::Cancelled);
    assert_eq!(told.kind.result::<Timer>(2).unwrap().as_ref().unwrap_err().code(), Code::Cancelled);
    // The event still works.
    event.set().unwrap();
    cts.get(EventWait::new(event));
}

fn a_cancelled_group_ends_all_members(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = || SemaphoreWait::new(semaphore.clone(), 1);
    let (op, group) = cts.watch(Group::new().with(wait()).with(Sequence::new().step(wait()).step(Nop)).with(wait()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the group", || group.is_done());
    assert_eq!(group.code(), Some(Code::Cancelled));
    assert_eq!(cts.pending(), 0);
}

fn a_group_is_a_step_and_a_sequence_a_member(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let inner = Sequence::new().step(Nop).step(Send::exact(near, b"abcd".to_vec()));
    let group = Group::new().with(inner).with(Receive::exact(far, vec![0; 4]));
    let sequence = Sequence::new().step(Nop).step(group).step(Nop);
    let told = cts.one(sequence);
    told.result.unwrap();
    let group = told.kind.kind::<Group>(1).unwrap();
    assert_eq!(group.kind::<Receive<Vec<u8>>>(1).unwrap().buffer, b"abcd");
}

fn a_doomed_group_has_no_effect(cts: &mut Cts) {
    let (failing, untouched) = (Semaphore::new(5), Semaphore::new(0));
    let (first, _) = cts.watch(SemaphoreSignal::new(failing, 1));
    let (second, group) = cts.watch(Group::new().with(SemaphoreSignal::new(untouched.clone(), 1)).with(Nop));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.drain();
    assert_eq!(group.code(), Some(Code::Cancelled));
    assert_eq!(untouched.value(), 0);
}

fn a_group_is_used_again(cts: &mut Cts) {
    let now = cts.now();
    let mut group = Group::new().with(Nop).with(Timer::new(now));
    for _ in 0..3 {
        let told = cts.one(group);
        told.result.unwrap();
        group = told.kind;
        assert!(group.take_result::<Timer>(1).unwrap().is_ok());
    }
}

fn a_very_long_sequence_runs_to_its_end(cts: &mut Cts) {
    const STEPS: usize = 5000;
    let sequence = (0..STEPS).fold(Sequence::new(), |sequence, _| sequence.step(Nop));
    let told = cts.one(sequence);
    told.result.unwrap();
    assert!((0..STEPS).all(|step| told.kind.result::<Nop>(step).is_some_and(Result::is_ok)));
    let chain: Vec<_> = (0..STEPS).map(|_| Op::new(Nop, ())).collect();
    let (last, watch) = cts.watch(Nop);
    cts.submit(Chain::new((chain, last))).unwrap();
    cts.until("the last step of a chain", || watch.is_done());
    assert_eq!(watch.code(), Some(Code::Ok));
}

fn groups_of_hundreds_of_members_end_once(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let group = (0..500).fold(Group::new(), |group, _| group.with(SemaphoreWait::new(semaphore.clone(), 1)));
    let watch = cts.start(group);
    cts.look();
    assert!(!watch.is_done());
    semaphore.signal(1, None).unwrap();
    cts.until("the group", || watch.is_done());
    watch.only().result.unwrap();
}

//! What the scheduler promises.

use proact::causal::{Axis, Domain, Entry, Frontier, Knowledge};
use proact::status::{Code, Operation, Status};

use super::*;

mod memory;
mod outside;
use crate::model::{Deferral, Point, PoolId, Submission, Tier};
use crate::options::Handover;

fn axis(queue: u8) -> Axis {
    Axis::queue(1, 0, 0, queue)
}

struct World {
    scheduler: Scheduler<u32>,
    queues: Vec<QueueId>,
    semaphores: Vec<SemaphoreId>,
}

/// A scheduler with so many in-order queues and semaphores.
fn world(queues: u8, semaphores: usize) -> World {
    let mut scheduler = Scheduler::new(SchedulerOptions::new());
    let queues = (0..queues).map(|queue| scheduler.add_queue(QueueOptions::in_order(axis(queue))).unwrap()).collect();
    let semaphores = (0..semaphores).map(|_| scheduler.add_semaphore(0)).collect();
    World { scheduler, queues, semaphores }
}

impl World {
    fn points(&self, points: &[(usize, u64)]) -> Vec<Point> {
        points.iter().map(|&(semaphore, value)| Point::new(self.semaphores[semaphore], value)).collect()
    }

    fn submit(&mut self, queue: usize, waits: &[(usize, u64)], signals: &[(usize, u64)]) -> Place {
        let (waits, signals) = (self.points(waits), self.points(signals));
        let queue = self.queues[queue];
        self.scheduler.submit(&Submission::new(queue).waits(&waits).signals(&signals), 0).unwrap()
    }

    fn tiers(&self, place: Place) -> Vec<Tier> {
        self.scheduler.resolutions(place).iter().map(|resolution| resolution.tier).collect()
    }

    /// What may begin now.
    fn begin(&mut self) -> Vec<Place> {
        let mut places = Vec::new();
        while let Some(work) = self.scheduler.next_work() {
            places.push(work.place);
        }
        places
    }

    fn complete(&mut self, place: Place) {
        self.scheduler.complete(place).unwrap();
    }

    fn value(&self, semaphore: usize) -> u64 {
        self.scheduler.value(self.semaphores[semaphore])
    }
}

fn lost() -> Status {
    Status::new(Code::DataLoss, Operation::None)
}

#[test]
fn each_tier_resolves_the_wait_that_it_is_for() {
    let mut world = world(4, 4);
    let a = world.submit(0, &[], &[(0, 1)]);
    let same = world.submit(0, &[(0, 1)], &[(1, 1)]);
    assert_eq!(world.tiers(same), [Tier::SameQueue]);
    let first = world.submit(1, &[(1, 1)], &[(2, 1)]);
    assert_eq!(world.tiers(first), [Tier::Producer]);
    assert_eq!(world.scheduler.barriers(first), [Barrier { axis: axis(0), place: same }]);
    let again = world.submit(1, &[(0, 1), (1, 1)], &[]);
    assert_eq!(world.tiers(again), [Tier::Implied, Tier::Implied]);
    let before_its_signal = world.submit(2, &[(3, 1)], &[]);
    assert_eq!(world.tiers(before_its_signal), [Tier::Deferred(Deferral::NotPromised)]);
    assert_eq!(world.begin(), [a]);
    world.complete(a);
    let late = world.submit(3, &[(0, 1)], &[(3, 1)]);
    assert_eq!(world.tiers(late), [Tier::Reached]);
    assert_eq!(world.begin(), [same, late]);
    world.complete(late);
    assert_eq!(world.begin(), [before_its_signal]);
    world.complete(same);
    assert_eq!(world.begin(), [first]);
    world.complete(first);
    assert_eq!((world.begin(), world.value(2)), (vec![again], 1));
}

#[test]
fn a_barrier_that_another_implies_is_left_out() {
    let mut world = world(3, 2);
    world.submit(0, &[], &[(0, 1)]);
    let second = world.submit(1, &[(0, 1)], &[(1, 1)]);
    let both = world.submit(2, &[(0, 1), (1, 1)], &[]);
    assert_eq!(world.tiers(both), [Tier::Implied, Tier::Producer]);
    assert_eq!(world.scheduler.barriers(both), [Barrier { axis: axis(1), place: second }]);
    assert_eq!(world.scheduler.statistics().barriers, 2);
}

#[test]
fn knowledge_goes_along_from_queue_to_queue() {
    let mut world = world(3, 2);
    world.submit(0, &[], &[(0, 1)]);
    world.submit(1, &[(0, 1)], &[(1, 1)]);
    world.submit(2, &[(1, 1)], &[]);
    let known = world.scheduler.knowledge(world.queues[2]);
    let expected = [0, 1, 2].map(|queue| Entry::new(axis(queue), 1));
    assert_eq!(known, Knowledge::exact(Frontier::from_entries(&expected).unwrap()));
    let forwarded = world.submit(2, &[(0, 1)], &[]);
    assert_eq!(world.tiers(forwarded), [Tier::Implied]);
}

#[test]
fn a_late_wait_takes_over_only_what_caused_its_own_value() {
    let mut world = world(3, 2);
    world.submit(0, &[], &[(0, 1)]);
    world.submit(1, &[], &[(1, 1)]);
    world.submit(0, &[(1, 1)], &[(0, 5)]);
    let early = world.submit(2, &[(0, 1)], &[]);
    assert_eq!(world.tiers(early), [Tier::Producer]);
    assert_eq!(world.scheduler.knowledge(world.queues[2]).frontier.epoch(axis(1)), 0);
    // 3 was never promised itself: it is reached with 5.
    world.submit(2, &[(0, 3)], &[]);
    assert_eq!(world.scheduler.knowledge(world.queues[2]).frontier.epoch(axis(1)), 1);
}

#[test]
fn on_an_overlapping_queue_nothing_is_known_but_by_own_waits() {
    let mut world = world(2, 3);
    let pool = world.scheduler.add_queue(QueueOptions::overlapping(axis(9))).unwrap();
    world.queues.push(pool);
    world.submit(0, &[], &[(0, 1)]);
    let one = world.submit(2, &[(0, 1)], &[(1, 1)]);
    let two = world.submit(2, &[(0, 1)], &[(2, 1)]);
    assert_eq!((world.tiers(one), world.tiers(two)), (vec![Tier::Producer], vec![Tier::Producer]));
    // Two overtakes one, so whoever waited for two knows nothing of one.
    world.submit(1, &[(2, 1)], &[]);
    let other = world.submit(1, &[(1, 1)], &[]);
    assert_eq!(world.tiers(other), [Tier::Producer]);
    let first = world.begin();
    assert_eq!(first.len(), 1);
    world.complete(first[0]);
    assert_eq!(world.begin(), [one, two]);
    world.complete(two);
    assert_eq!((world.scheduler.ended(pool), world.scheduler.has_ended(two)), (0, true));
    assert_eq!(world.begin().len(), 1, "the wait for two");
    assert!(!world.scheduler.has_ended(one));
}

#[test]
fn a_value_is_reached_when_all_promised_before_it_are() {
    let mut world = world(3, 1);
    let slow = world.submit(0, &[], &[(0, 1)]);
    let fast = world.submit(1, &[], &[(0, 2)]);
    let waiting = world.submit(2, &[(0, 2)], &[]);
    assert_eq!(world.tiers(waiting), [Tier::Undominated { barriers: 2 }]);
    assert_eq!(world.begin(), [slow, fast]);
    world.complete(fast);
    assert_eq!((world.value(0), world.begin()), (0, vec![]));
    world.complete(slow);
    assert_eq!((world.value(0), world.begin()), (2, vec![waiting]));
}

#[test]
fn a_failure_reaches_all_that_depend_on_it_and_nobody_else() {
    let mut world = world(3, 4);
    let fails = world.submit(0, &[], &[(0, 1)]);
    world.submit(1, &[(0, 1)], &[(1, 1)]);
    // Elided, and fails all the same.
    world.submit(1, &[(0, 1)], &[(2, 1)]);
    let independent = world.submit(1, &[], &[(3, 1)]);
    let never = world.submit(2, &[(1, 1), (3, 9)], &[]);
    assert_eq!(world.begin(), [fails]);
    world.scheduler.fail(fails, lost()).unwrap();
    for semaphore in 0..3 {
        let semaphore = world.semaphores[semaphore];
        assert_eq!(world.scheduler.status(semaphore).unwrap().code(), Code::DataLoss);
        assert_eq!(world.scheduler.origin(semaphore), Some(fails));
    }
    assert!(world.scheduler.has_ended(never), "it need not wait for what nobody promised");
    assert_eq!(world.begin(), [independent]);
    world.complete(independent);
    assert_eq!((world.value(3), world.scheduler.statistics().failed), (1, 4));
}

#[test]
fn values_reached_before_a_failure_stay_reached() {
    let mut world = world(2, 1);
    let good = world.submit(0, &[], &[(0, 1)]);
    let bad = world.submit(0, &[], &[(0, 2)]);
    let first = world.submit(1, &[(0, 1)], &[]);
    let second = world.submit(1, &[(0, 2)], &[]);
    world.begin();
    world.complete(good);
    world.begin();
    world.scheduler.fail(bad, lost()).unwrap();
    world.complete(first);
    assert!(world.scheduler.has_ended(second));
    assert_eq!((world.value(0), world.scheduler.statistics().failed), (1, 2));
}

#[test]
fn a_deferred_submission_holds_its_queue() {
    let mut world = world(2, 2);
    let held = world.submit(0, &[(0, 1)], &[]);
    let behind = world.submit(0, &[], &[(1, 1)]);
    assert!(world.begin().is_empty());
    let release = world.submit(1, &[], &[(0, 1)]);
    assert_eq!(world.begin(), [release]);
    world.complete(release);
    assert_eq!(world.begin(), [held]);
    world.complete(held);
    assert_eq!(world.begin(), [behind]);
}

#[test]
fn a_device_is_handed_what_is_issued_with_its_barriers() {
    let mut world = world(1, 2);
    let options = QueueOptions::in_order(axis(9)).handover(Handover::Issued);
    world.queues.push(world.scheduler.add_queue(options).unwrap());
    let producer = world.submit(0, &[], &[(0, 1)]);
    let consumer = world.submit(1, &[(0, 1)], &[]);
    let next = world.submit(1, &[], &[(1, 1)]);
    assert_eq!(world.begin(), [producer, consumer, next]);
    // Its report overtakes the one of what it waited for.
    world.complete(consumer);
    world.complete(next);
    assert_eq!(world.value(1), 0);
    world.complete(producer);
    assert_eq!((world.value(0), world.value(1)), (1, 1));
}

#[test]
fn a_device_is_not_handed_what_relies_on_the_barriers_of_work_that_it_never_gets() {
    let mut world = world(2, 4);
    let options = QueueOptions::in_order(axis(9)).handover(Handover::Issued);
    world.queues.push(world.scheduler.add_queue(options).unwrap());
    let failed = world.semaphores[0];
    world.scheduler.fail_semaphore(failed, lost());
    let producer = world.submit(0, &[], &[(1, 1)]);
    // It fails, and its barrier goes with it.
    let doomed = world.submit(2, &[(0, 1), (1, 1)], &[]);
    let next = world.submit(2, &[(1, 1)], &[]);
    assert_eq!(world.tiers(next), [Tier::Implied]);
    assert_eq!(world.begin(), [producer]);
    world.complete(producer);
    assert!(world.scheduler.has_ended(doomed));
    assert_eq!(world.begin(), [next]);
}

#[test]
fn what_is_refused_has_no_effect() {
    let mut world = world(1, 1);
    let queue = world.queues[0];
    let known = Point::new(world.semaphores[0], 1);
    let unknown = Point::new(SemaphoreId(7), 1);
    for submission in [
        Submission::new(QueueId(5)),
        Submission::new(queue).waits(&[unknown]),
        Submission::new(queue).signals(&[unknown]),
        Submission::new(queue).signals(&[known, known]),
        Submission::new(queue).signals(&[Point::new(world.semaphores[0], 0)]),
    ] {
        let refused = world.scheduler.submit(&submission, 42).unwrap_err();
        assert_eq!((refused.payload, refused.status.code()), (42, Code::InvalidArgument));
    }
    assert_eq!(world.scheduler.statistics().submissions, 0);
    assert_eq!(world.scheduler.complete(Place::new(queue, 1)).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_retired_queue_lets_go_of_what_it_holds() {
    let mut world = world(2, 3);
    let running = world.submit(0, &[], &[(0, 1)]);
    world.submit(0, &[(2, 1)], &[(1, 1)]);
    let dependent = world.submit(1, &[(1, 1)], &[]);
    assert_eq!(world.begin(), [running]);
    assert!(world.scheduler.retire(world.queues[0]) && !world.scheduler.retire(world.queues[0]));
    world.complete(running);
    assert_eq!(world.value(0), 1);
    assert!(world.scheduler.has_ended(dependent));
    assert_eq!(world.scheduler.status(world.semaphores[1]).unwrap().code(), Code::Cancelled);
    let refused = world.scheduler.submit(&Submission::new(world.queues[0]), 1).unwrap_err();
    assert_eq!(refused.status.code(), Code::Cancelled);
}

#[test]
fn values_from_outside_are_waited_for_by_the_host_unless_their_causes_are_listed() {
    let mut world = world(2, 2);
    let remote = Axis::new(1, 3, Domain::Queue, 0).unwrap();
    let work = world.submit(0, &[], &[]);
    let causes = Knowledge::exact(Frontier::single(axis(0), 1).unwrap());
    let listed = Point::new(world.semaphores[0], 1);
    world.scheduler.promise(listed, &causes).unwrap();
    let promised = world.submit(1, &[(0, 1)], &[]);
    assert_eq!(world.tiers(promised), [Tier::Undominated { barriers: 1 }]);
    let vague = Knowledge::lower_bound(Frontier::single(axis(0), 1).unwrap());
    world.scheduler.promise(Point::new(world.semaphores[1], 1), &vague).unwrap();
    let tainted = world.submit(1, &[(1, 1)], &[]);
    assert_eq!(world.tiers(tainted), [Tier::Deferred(Deferral::Foreign)]);
    assert_eq!(world.begin(), [work]);
    world.complete(work);
    assert_eq!(world.begin(), [promised]);
    world.scheduler.signal(listed, &causes).unwrap();
    world.complete(promised);
    assert!(world.begin().is_empty());
    let elsewhere = Knowledge::exact(Frontier::single(remote, 9).unwrap());
    world.scheduler.signal(Point::new(world.semaphores[1], 1), &elsewhere).unwrap();
    assert_eq!(world.begin(), [tainted]);
}

/// What is listed says nothing of an order among what is listed.
#[test]
fn a_promise_that_lists_several_ends_is_waited_for_at_each() {
    let mut world = world(3, 1);
    let places = [0, 1].map(|queue| world.submit(queue, &[], &[]));
    let entries = [0, 1].map(|queue| Entry::new(axis(queue), 1));
    let causes = Knowledge::exact(Frontier::from_entries(&entries).unwrap());
    world.scheduler.promise(Point::new(world.semaphores[0], 1), &causes).unwrap();
    let waiting = world.submit(2, &[(0, 1)], &[]);
    assert_eq!(world.tiers(waiting), [Tier::Undominated { barriers: 2 }]);
    assert_eq!(world.begin(), places);
    world.complete(places[1]);
    assert!(world.begin().is_empty(), "the first has not ended");
    world.complete(places[0]);
    assert_eq!(world.begin(), [waiting]);
}

#[test]
fn the_host_waits_for_axes_that_devices_cannot() {
    let mut world = world(1, 1);
    let remote = world.scheduler.add_axis(Axis::new(1, 3, Domain::Queue, 0).unwrap()).unwrap();
    let causes = Knowledge::exact(Frontier::single(world.scheduler.axis(remote), 9).unwrap());
    world.scheduler.promise(Point::new(world.semaphores[0], 1), &causes).unwrap();
    let place = world.submit(0, &[(0, 1)], &[]);
    assert_eq!(world.tiers(place), [Tier::Deferred(Deferral::Unexportable)]);
    world.scheduler.advance_axis(remote, 8).unwrap();
    assert!(world.begin().is_empty());
    assert!(world.scheduler.advance_axis(remote, 12).unwrap() && !world.scheduler.advance_axis(remote, 12).unwrap());
    assert_eq!(world.begin(), [place]);
}

fn channel(world: &mut World, members: usize) -> QueueId {
    let axis = Axis::new(1, 0, Domain::Collective, 42).unwrap();
    world.scheduler.add_channel(axis, &world.queues[..members]).unwrap()
}

fn collective(world: &mut World, channel: QueueId, members: usize, signal: (usize, u64)) -> Place {
    let signals = world.points(&[signal]);
    let contributions: Vec<_> = world.queues[..members].iter().map(|&queue| Submission::new(queue)).collect();
    world.scheduler.submit_collective(channel, &contributions, vec![0; members], &signals).unwrap()
}

#[test]
fn a_channel_stands_for_the_contributions_of_its_members_and_for_no_more() {
    let mut world = world(5, 4);
    let channel = channel(&mut world, 4);
    world.submit(0, &[], &[(0, 1)]);
    let place = collective(&mut world, channel, 4, (1, 1));
    world.submit(0, &[], &[(0, 2)]);
    let after = world.submit(4, &[(1, 1), (0, 1), (0, 2)], &[]);
    assert_eq!(world.tiers(after), [Tier::Producer, Tier::Implied, Tier::Producer]);
    assert_eq!(world.scheduler.barriers(after)[0].place, place);
    // The channel, and what queue 0 did since; the queue itself.
    assert_eq!(world.scheduler.knowledge(world.queues[4]).frontier.len(), 3);
    let first = world.begin();
    assert_eq!(first.len(), 4);
    first.iter().for_each(|&place| world.complete(place));
    assert_eq!(world.value(1), 0, "queue 0 contributes with its second submission");
    let second = world.begin();
    world.complete(second[0]);
    assert_eq!(world.value(1), 1);
}

#[test]
fn a_collective_fails_with_its_first_contribution_that_does() {
    let mut world = world(3, 2);
    let channel = channel(&mut world, 2);
    collective(&mut world, channel, 2, (0, 1));
    let dependent = world.submit(2, &[(0, 1)], &[(1, 1)]);
    let contributions = world.begin();
    world.scheduler.fail(contributions[1], lost()).unwrap();
    assert!(!world.scheduler.has_ended(dependent), "the other contribution runs");
    world.complete(contributions[0]);
    assert_eq!(world.scheduler.origin(world.semaphores[1]), Some(contributions[1]));
    assert!(world.scheduler.has_ended(dependent));
}

#[test]
fn what_only_a_semaphore_tells_is_not_known_before_it_has_told() {
    let mut world = world(12, 2);
    // More producers than are kept apart, and in no order: the value is tainted.
    let last = (0..10)
        .map(|queue| match queue {
            9 => world.submit(queue, &[], &[(0, 10), (1, 1)]),
            queue => world.submit(queue, &[], &[(0, queue as u64 + 1)]),
        })
        .last()
        .unwrap();
    let tainted = world.submit(11, &[(0, 10)], &[]);
    assert_eq!(world.tiers(tainted), [Tier::Deferred(Deferral::Tainted)]);
    let next = world.submit(11, &[(1, 1)], &[]);
    assert_eq!(world.tiers(next), [Tier::Producer], "the first may fail before the producer has ended");
    let running = world.begin();
    assert_eq!(running.len(), 10);
    world.scheduler.fail_semaphore(world.semaphores[0], lost());
    assert!(world.scheduler.has_ended(tainted) && world.begin().is_empty());
    world.complete(last);
    assert_eq!(world.begin(), [next]);
}

#[test]
fn a_queue_that_knew_too_much_knows_again_when_that_has_ended() {
    let mut scheduler: Scheduler<u32> = Scheduler::new(SchedulerOptions::new().capacity(2));
    let queues = (0..5).map(|queue| scheduler.add_queue(QueueOptions::in_order(axis(queue))).unwrap()).collect();
    let semaphores = (0..4).map(|_| scheduler.add_semaphore(0)).collect();
    let mut world = World { scheduler, queues, semaphores };
    for queue in 0..4 {
        world.submit(queue, &[], &[(queue, 1)]);
    }
    let waits = [(0, 1), (1, 1), (2, 1), (3, 1)];
    let first = world.submit(4, &waits, &[]);
    assert_eq!(world.tiers(first), [Tier::Producer; 4]);
    // Two of four found room; the others are waited for again.
    let again = world.submit(4, &waits, &[]);
    assert_eq!(world.tiers(again), [Tier::Implied, Tier::Implied, Tier::Producer, Tier::Producer]);
    assert!(!world.scheduler.knowledge(world.queues[4]).is_exact());
    for place in world.begin() {
        world.complete(place);
    }
    while let [place] = world.begin()[..] {
        world.complete(place);
    }
    assert!(world.scheduler.knowledge(world.queues[4]).is_exact(), "all that was lost has ended");
    world.submit(2, &[], &[(2, 2)]);
    world.submit(3, &[], &[(3, 2)]);
    world.submit(4, &[(2, 2), (3, 2)], &[]);
    let again = world.submit(4, &[(2, 2), (3, 2)], &[]);
    assert_eq!(world.tiers(again), [Tier::Implied; 2], "what has ended made room");
    assert_eq!(world.scheduler.statistics().overflows, 4);
}

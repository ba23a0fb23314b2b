//! Values, promises and axes from elsewhere, and queues that come and go.

use super::*;
use crate::audit::audit;
use crate::record::Recording;

fn elsewhere(ordinal: u64) -> Axis {
    Axis::new(1, 3, Domain::Queue, ordinal << 24).unwrap()
}

fn exact(axis: Axis, epoch: u64) -> Knowledge {
    Knowledge::exact(Frontier::single(axis, epoch).unwrap())
}

#[test]
fn a_promise_from_outside_stands_for_those_before_it() {
    let mut scheduler: Scheduler<(), Recording> =
        Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
    let queues = [0, 1, 2].map(|queue| scheduler.add_queue(QueueOptions::in_order(axis(queue))).unwrap());
    let semaphore = scheduler.add_semaphore(0);
    let first = scheduler.submit(&Submission::new(queues[0]), ()).unwrap();
    let second = scheduler.submit(&Submission::new(queues[1]), ()).unwrap();
    // The second value is listed to follow from less than the first, which has to be reached before it.
    scheduler.promise(Point::new(semaphore, 1), &exact(axis(0), 1)).unwrap();
    scheduler.promise(Point::new(semaphore, 2), &exact(axis(1), 1)).unwrap();
    let waits = [Point::new(semaphore, 2)];
    let waiting = scheduler.submit(&Submission::new(queues[2]).waits(&waits), ()).unwrap();
    while scheduler.next_work().is_some() {}
    scheduler.complete(second).unwrap();
    assert!(scheduler.next_work().is_none(), "the first value cannot have been reached");
    scheduler.complete(first).unwrap();
    for value in [1, 2] {
        scheduler.signal(Point::new(semaphore, value), &exact(axis(0), 1)).unwrap();
    }
    assert_eq!(scheduler.next_work().unwrap().place, waiting);
    assert_eq!(audit(&scheduler.recorder().events).map(|audit| audit.waits), Ok(1));
}

#[test]
fn a_promise_that_lists_nothing_is_waited_for() {
    let mut world = world(1, 1);
    let point = Point::new(world.semaphores[0], 1);
    world.scheduler.promise(point, &Knowledge::exact(Frontier::new())).unwrap();
    let place = world.submit(0, &[(0, 1)], &[]);
    assert_eq!(world.tiers(place), [Tier::Deferred(Deferral::Foreign)]);
    assert!(world.begin().is_empty());
    world.scheduler.signal(point, &Knowledge::exact(Frontier::new())).unwrap();
    assert_eq!(world.begin(), [place]);
}

#[test]
fn an_axis_of_elsewhere_that_is_lost_fails_exactly_what_depends_on_it() {
    let mut world = world(3, 3);
    let remote = world.scheduler.add_axis(elsewhere(1)).unwrap();
    world.scheduler.advance_axis(remote, 4).unwrap();
    for (semaphore, epoch) in [(0, 4), (1, 6)] {
        let point = Point::new(world.semaphores[semaphore], 1);
        world.scheduler.promise(point, &exact(elsewhere(1), epoch)).unwrap();
    }
    let done = world.submit(0, &[(0, 1)], &[]);
    let waiting = world.submit(1, &[(1, 1)], &[(2, 1)]);
    let behind = world.submit(1, &[], &[]);
    let dependent = world.submit(2, &[(2, 1)], &[]);
    assert!(world.scheduler.fail_queue(remote, lost()));
    assert_eq!(world.begin(), [done, behind], "what it had come to stays so");
    assert!(world.scheduler.has_ended(waiting) && world.scheduler.has_ended(dependent));
    let code = |world: &World, semaphore: usize| world.scheduler.status(world.semaphores[semaphore]).map(Status::code);
    assert_eq!([0, 1, 2].map(|semaphore| code(&world, semaphore)), [None, Some(Code::DataLoss), Some(Code::DataLoss)]);
    // Nobody knows any more that it came to what it never will.
    assert_eq!(world.scheduler.knowledge(world.queues[1]).frontier.epoch(elsewhere(1)), 0);
    let point = Point::new(world.scheduler.add_semaphore(0), 1);
    let refused = world.scheduler.promise(point, &exact(elsewhere(1), 9)).unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss);
    assert!(world.scheduler.advance_axis(remote, 9).is_err());
}

#[test]
fn a_promise_that_is_broken_behind_an_open_one_is_not_waited_for_on_its_axis() {
    let mut world = world(1, 1);
    let remotes = [1, 2].map(|ordinal| world.scheduler.add_axis(elsewhere(ordinal)).unwrap());
    let [first, second] = [1, 2].map(|value| Point::new(world.semaphores[0], value));
    world.scheduler.promise(first, &exact(elsewhere(1), 6)).unwrap();
    let mut both = exact(elsewhere(1), 6);
    both.merge(&exact(elsewhere(2), 3));
    world.scheduler.promise(second, &both).unwrap();
    world.scheduler.fail_queue(remotes[1], lost());
    let place = world.submit(0, &[(0, 2)], &[]);
    world.scheduler.advance_axis(remotes[0], 6).unwrap();
    world.scheduler.signal(first, &exact(elsewhere(1), 6)).unwrap();
    assert!(world.scheduler.has_ended(place));
    assert_eq!((world.value(0), world.scheduler.statistics().failed), (1, 1));
}

#[test]
fn an_axis_of_elsewhere_may_come_to_its_last_epoch() {
    let mut world = world(0, 0);
    let remote = world.scheduler.add_axis(elsewhere(1)).unwrap();
    world.scheduler.advance_axis(remote, u64::MAX).unwrap();
    assert!(world.scheduler.barriers(Place::new(remote, 5)).is_empty());
    assert!(world.scheduler.complete(Place::new(remote, u64::MAX)).is_err());
}

#[test]
fn axes_that_only_others_know_do_not_fill_a_queue_up() {
    let mut world = world(3, 3);
    for value in 1..=200 {
        let causes = exact(elsewhere(value), 1);
        world.scheduler.signal(Point::new(world.semaphores[0], value), &causes).unwrap();
        world.submit(0, &[(0, value)], &[]);
    }
    world.submit(1, &[], &[(1, 1)]);
    world.submit(2, &[(1, 1)], &[(2, 1)]);
    world.submit(0, &[(2, 1)], &[]);
    let spared = world.submit(0, &[(1, 1)], &[]);
    assert_eq!(world.tiers(spared), [Tier::Implied], "it found room for what its wait brought");
}

#[test]
fn a_channel_that_was_retired_takes_no_more() {
    let mut world = world(2, 1);
    let channel = channel(&mut world, 2);
    assert!(world.scheduler.retire(channel));
    let contributions: Vec<_> = world.queues.iter().map(|&queue| Submission::new(queue)).collect();
    let (payloads, status) = world.scheduler.submit_collective(channel, &contributions, vec![1, 2], &[]).unwrap_err();
    assert_eq!((payloads, status.code()), (vec![1, 2], Code::Cancelled));
    assert_eq!(world.scheduler.in_flight(), 0);
}

#[test]
fn queues_that_come_and_go_with_the_same_axis_leave_one_record() {
    let mut world = world(1, 2);
    let mut scheduler = world.scheduler;
    let options = || QueueOptions::in_order(axis(7));
    let first = scheduler.add_queue(options()).unwrap();
    for life in 1..=1000 {
        let queue = if life == 1 { first } else { scheduler.add_queue(options()).unwrap() };
        assert_eq!(queue, first);
        let known = scheduler.submit(&Submission::new(world.queues[0]), 0).unwrap();
        let signals = [Point::new(world.semaphores[0], life)];
        let place = scheduler.submit(&Submission::new(queue).signals(&signals), 0).unwrap();
        assert_eq!(place.epoch, life, "epochs are never given out again");
        while let Some(work) = scheduler.next_work() {
            scheduler.complete(work.place).unwrap();
        }
        assert!(scheduler.has_ended(known) && scheduler.has_ended(place));
        assert_eq!(scheduler.add_queue(options()).unwrap_err().code(), Code::AlreadyExists, "while it lives");
        scheduler.retire(queue);
    }
    let other = scheduler.add_queue(QueueOptions::overlapping(axis(7))).unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "it is another queue");
    // One that has work which nobody has reported goes on with that first.
    let queue = scheduler.add_queue(options()).unwrap();
    scheduler.submit(&Submission::new(queue), 0).unwrap();
    let running = scheduler.next_work().unwrap();
    scheduler.retire(queue);
    assert_eq!(scheduler.add_queue(options()).unwrap_err().code(), Code::AlreadyExists);
    scheduler.complete(running.place).unwrap();
    assert_eq!(scheduler.add_queue(options()).unwrap(), first);
    world.scheduler = scheduler;
}

/// Whose work comes after what was signalled before stands for that alone.
#[test]
fn a_semaphore_that_goes_from_queue_to_queue_is_one_barrier_under_every_policy() {
    for policy in Policy::ALL {
        let options = SchedulerOptions::new().policy(policy);
        let mut scheduler: Scheduler<()> = Scheduler::new(options);
        let queues = (0..12).map(|queue| scheduler.add_queue(QueueOptions::in_order(axis(queue))).unwrap());
        let queues: Vec<_> = queues.collect();
        let semaphore = scheduler.add_semaphore(0);
        for (value, &queue) in (0..).zip(&queues) {
            let waits = [Point::new(semaphore, value)];
            let signals = [Point::new(semaphore, value + 1)];
            let place = scheduler.submit(&Submission::new(queue).waits(&waits).signals(&signals), ()).unwrap();
            let barriers = scheduler.barriers(place).len() as u64;
            assert_eq!(barriers, value.min(1), "{policy:?}: {:?}", scheduler.resolutions(place));
        }
        assert_eq!((scheduler.statistics().barriers, scheduler.statistics().waits.deferred), (11, 0), "{policy:?}");
    }
}

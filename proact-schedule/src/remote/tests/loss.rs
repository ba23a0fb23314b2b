//! What fails when a machine is lost, and what does not.

use std::time::Duration;

use super::network::On;
use super::world::{LEASE, World, work};
use crate::remote::*;

fn m(index: usize) -> MachineId {
    MachineId(index as u8)
}

/// A feeds B, B feeds C; D feeds C's other device. B is lost while it works.
fn three_and_one(on: On, seed: u64) -> (World, Vec<StageId>, [RemotePoint; 4]) {
    let mut world = World::new(on, seed, 5);
    let points = [1, 2, 3, 3].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let d1 = RemotePoint::new(world.name(0, 4), 1);
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(1), 0, &work(10, true)).signal(points[0]);
    pipeline.stage(m(2), 0, &work(5000, true)).wait(points[0]).signal(points[1]);
    pipeline.stage(m(3), 0, &work(10, true)).wait(points[1]).signal(points[2]);
    pipeline.stage(m(4), 0, &work(9000, true)).signal(d1);
    pipeline.stage(m(3), 1, &work(10, true)).wait(d1).signal(points[3]);
    let places = world.submit(0, &pipeline);
    world.run_until("B works", |world| world.machines[1].ended.len() == 1);
    world.run_for(Duration::from_millis(100));
    (world, places, points)
}

fn failed_at(world: &World, machine: usize, point: RemotePoint) -> proact::time::Time {
    let events = &world.machines[machine].events;
    let failed = events.iter().find(|(_, event)| matches!(event, NodeEvent::Failed(it, _) if *it == point));
    failed.unwrap_or_else(|| panic!("{point} has not failed")).0
}

fn a_dead_process_fails_what_depends_on_it_at_once_and_nothing_else(on: On) {
    for seed in 0..20 {
        let (mut world, places, [a1, b1, c1, other]) = three_and_one(on, seed);
        let now = world.now();
        world.node(3).watch(now, c1).unwrap();
        let lost_at = world.now();
        world.crash(2);
        world.finish();
        let failure = world.machines[3].node.failure(c1).unwrap().clone();
        assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, m(2)));
        assert!(failure.message.starts_with("machine 2 (c) was lost: "), "{failure}");
        assert_eq!(world.machines[3].node.failure(b1), Some(&failure));
        // Told that the connection ended, who speaks with it tells the coordinator, which tells C.
        assert!(failed_at(&world, 3, c1) <= lost_at + 3 * on.delay_max(), "seed {seed}");
        // A's work was done before, D's goes on, and so does what depends on that alone.
        assert_eq!(world.machines[1].node.value(a1.semaphore), 1);
        assert_eq!(world.machines[3].ended.iter().collect::<Vec<_>>(), [&places[4]]);
        assert_eq!(world.machines[3].node.value(other.semaphore), 1);
    }
}

fn a_silent_machine_is_lost_within_its_lease_and_knows_that_it_is_out(on: On) {
    for seed in 0..20 {
        let (mut world, places, [_, _, c1, _]) = three_and_one(on, seed);
        let now = world.now();
        world.node(3).watch(now, c1).unwrap();
        let lost_at = world.now();
        world.network.cut_off(2);
        world.finish();
        // One lease, and the way of a message.
        let at = failed_at(&world, 3, c1);
        assert!(at <= lost_at + LEASE + 2 * on.delay_max(), "seed {seed}: {:?}", at.since(lost_at));
        assert!(world.machines[3].ended.contains(&places[4]));
        let message = &world.machines[3].node.failure(c1).unwrap().message;
        assert_eq!(message, "machine 2 (c) was lost: nothing was heard of it for its lease of 2s");
        // It did its work, for itself: it is out, and takes and gives nothing.
        assert!(world.machines[2].ended.contains(&places[1]));
        let (out_at, out) = world.machines[2].events.last().unwrap();
        assert!(matches!(out, NodeEvent::Out { why } if why.contains("not heard of for the lease")), "{out:?}");
        assert!(*out_at <= lost_at + LEASE);
        let now = world.now();
        let refused = world.node(2).submit(now, &Pipeline::new()).unwrap_err();
        assert!(refused.to_string().contains("out of the session"), "{refused}");
    }
}

fn what_is_known_to_be_done_stays_done_when_its_machine_is_lost(on: On) {
    for seed in 0..20 {
        let mut world = World::new(on, seed, 4);
        let [a1, b1, c1, c2] = [1, 2, 3, 3].map(|owner| RemotePoint::new(world.name(0, owner), 1));
        let mut pipeline = Pipeline::new();
        pipeline.stage(m(1), 0, &work(10, true)).signal(a1);
        pipeline.stage(m(2), 0, &work(3000, true)).wait(a1).signal(b1);
        // C will learn of A's work from B alone, after A is gone.
        pipeline.stage(m(3), 0, &work(10, true)).wait(a1).wait(b1).signal(c1);
        let places = world.submit(0, &pipeline);
        world.run_until("A is done", |world| world.machines[1].ended.len() == 1);
        world.run_for(2 * on.delay_max());
        world.crash(1);
        world.run_for(3 * on.delay_max());
        assert!(world.machines[3].node.failure(a1).is_some(), "as far as C knows, it never will be");
        world.finish();
        assert!(world.machines[3].ended.contains(&places[2]), "seed {seed}");
        assert_eq!(world.machines[3].node.failure(a1), None);
        assert_eq!(world.machines[3].node.value(a1.semaphore), 1);
        // Nor does it fail what is submitted now.
        let mut late = Pipeline::new();
        late.stage(m(3), 0, &work(10, true)).wait(a1).signal(c2);
        let late = world.submit(0, &late)[0];
        world.finish();
        assert!(world.machines[3].ended.contains(&late), "seed {seed}");
        assert_eq!(world.machines[3].node.statistics().asked, 0);
    }
}

fn what_a_lost_machine_did_not_do_fails_where_others_were_to_imply_it(on: On) {
    let mut world = World::new(on, 3, 4);
    let [a1, b1, c1] = [1, 2, 3].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(1), 0, &work(9000, true)).signal(a1);
    pipeline.stage(m(2), 0, &work(10, true)).wait(a1).signal(b1);
    pipeline.stage(m(3), 0, &work(10, true)).wait(a1).wait(b1).signal(c1);
    world.submit(0, &pipeline);
    world.run_for(Duration::from_millis(100));
    world.crash(1);
    world.finish();
    for (machine, point) in [(2, b1), (3, c1)] {
        let failure = world.machines[machine].node.failure(point).unwrap();
        assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, m(1)));
    }
    // Before its work began: a pipeline for a lost machine is refused.
    let now = world.now();
    let refused = world.node(0).submit(now, &pipeline).unwrap_err();
    assert!(refused.to_string().contains("machine 1 (b) was lost"), "{refused}");
}

fn a_client_that_is_lost_leaves_nobody_waiting_for_what_it_never_submitted(on: On) {
    let mut world = World::new(on, 4, 4);
    let (client, b, c) = (1, 2, 3);
    let [b1, b2, c1, c2] = [b, b, c, c].map(|owner| RemotePoint::new(world.name(client, owner), 1));
    let mut first = Pipeline::new();
    first.stage(m(c), 0, &work(10, true)).wait(b1).signal(c1);
    first.stage(m(c), 1, &work(10, true)).wait(b2).signal(c2);
    first.stage(m(b), 0, &work(3000, true)).signal(b1);
    let places = world.submit(client, &first);
    world.run_for(Duration::from_millis(200));
    // It was about to submit what signals b2.
    world.crash(client);
    world.finish();
    assert!(world.machines[b].ended.contains(&places[2]), "what it did submit goes on");
    assert!(world.machines[c].ended.contains(&places[0]));
    let failure = world.machines[c].node.failure(c2).unwrap();
    assert_eq!((failure.kind, failure.machine), (FailureKind::NeverSubmitted, m(client)));
    assert!(failure.message.starts_with("machine 1 (b) was lost: "), "{failure}");
}

fn without_its_coordinator_everybody_is_out_and_finishes_what_needs_nobody(on: On) {
    for silent in [false, true] {
        let mut world = World::new(on, 5, 3);
        let [a1, b1, b2] = [1, 2, 2].map(|owner| RemotePoint::new(world.name(1, owner), 1));
        let mut pipeline = Pipeline::new();
        pipeline.stage(m(1), 0, &work(5000, true)).signal(a1);
        pipeline.stage(m(2), 0, &work(10, true)).wait(a1).signal(b1);
        pipeline.stage(m(2), 1, &work(5000, true)).signal(b2);
        let places = world.submit(1, &pipeline);
        world.run_for(Duration::from_millis(100));
        if silent {
            world.network.cut_off(0)
        } else {
            world.crash(0)
        }
        world.run_for(LEASE + on.delay_max());
        for machine in [1, 2] {
            let (_, last) = world.machines[machine].events.last().unwrap();
            assert!(matches!(last, NodeEvent::Out { .. }), "{last:?}");
        }
        assert_eq!(world.machines[2].node.failure(b1).unwrap().kind, FailureKind::Loss);
        world.machines[0].alive = false;
        world.finish_patiently();
        assert!(world.machines[1].ended.contains(&places[0]));
        assert!(world.machines[2].ended.contains(&places[2]));
    }
}

fn a_machine_that_leaves_is_lost_to_the_others_with_that_as_the_reason(on: On) {
    for seed in 0..20 {
        let mut world = World::new(on, seed, 3);
        let a1 = RemotePoint::new(world.name(0, 1), 1);
        let now = world.now();
        world.node(0).watch(now, a1).unwrap();
        world.run_for(Duration::from_millis(seed));
        let now = world.now();
        world.node(1).leave(now);
        world.run_for(5 * on.delay_max());
        for machine in [0, 2] {
            let lost = NodeEvent::Lost { machine: m(1), why: "it left".into() };
            let events = &world.machines[machine].events;
            assert!(events.iter().any(|(_, event)| *event == lost), "seed {seed}: {events:?}");
        }
        let out = NodeEvent::Out { why: "it left".into() };
        assert_eq!(world.machines[1].events.last().unwrap().1, out, "seed {seed}");
        assert_eq!(world.machines[0].node.failure(a1).unwrap().message, "machine 1 (b) was lost: it left");
        assert_eq!(world.machines[0].node.members().count(), 1);
    }
}

super::over_both! {
    a_dead_process_fails_what_depends_on_it_at_once_and_nothing_else,
    a_silent_machine_is_lost_within_its_lease_and_knows_that_it_is_out,
    what_is_known_to_be_done_stays_done_when_its_machine_is_lost,
    what_a_lost_machine_did_not_do_fails_where_others_were_to_imply_it,
    a_client_that_is_lost_leaves_nobody_waiting_for_what_it_never_submitted,
    without_its_coordinator_everybody_is_out_and_finishes_what_needs_nobody,
    a_machine_that_leaves_is_lost_to_the_others_with_that_as_the_reason,
}

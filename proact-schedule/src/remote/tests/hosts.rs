//! What only hosts have: links that part, break and heal, power that goes and comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use proact::time::Time;

use super::network::On;
use super::world::{LEASE, World, work};
use crate::remote::transport::Sent;
use crate::remote::wire::Kind;
use crate::remote::*;

fn m(index: usize) -> MachineId {
    MachineId(index as u8)
}

/// A, B and C are machines 1, 2 and 3: B waits for A, C for both. Machine 0 coordinates and submits.
fn chain(world: &mut World) -> ([RemotePoint; 3], Vec<StageId>) {
    let points = [1, 2, 3].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let [a1, b1, c1] = points;
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(3), 0, &work(5, true)).wait(a1).wait(b1).signal(c1);
    pipeline.stage(m(2), 0, &work(20, true)).wait(a1).signal(b1);
    pipeline.stage(m(1), 0, &work(300, true)).signal(a1);
    let places = world.submit(0, &pipeline);
    (points, places)
}

/// No packet goes between A and C, from before they know of each other: and C decides that A's work is done.
#[test]
fn c_decides_from_what_b_knows_where_no_packet_goes_between_a_and_c() {
    for seed in 0..200 {
        for on in [On::Sockets, On::BadSockets] {
            let mut world = World::new(on, seed, 4);
            world.network.world().partition(world.network.host(1), world.network.host(3));
            let ([a1, _, c1], places) = chain(&mut world);
            let now = world.now();
            world.node(0).watch(now, c1).unwrap();
            world.run_until("all have their stages", |world| (1..=3).all(|it| world.machines[it].node.stages() == 1));
            assert!(
                world.machines.iter().all(|machine| machine.ended.is_empty()),
                "seed {seed}: not ahead of its work"
            );
            world.run_until("c is done", |world| {
                world.machines[0].events.iter().any(|(_, event)| *event == NodeEvent::Reached(c1))
            });
            assert!(world.machines[3].ended.contains(&places[0]), "seed {seed}");
            let none: [Kind; 0] = [];
            assert_eq!((world.messages(1, 3), world.messages(3, 1)), (none.into(), none.into()), "seed {seed}");
            assert_eq!(world.messages(1, 2), [Kind::Hello, Kind::Signal], "seed {seed}");
            assert_eq!(world.messages(2, 3), [Kind::Hello, Kind::Signal], "seed {seed}");
            let statistics = *world.machines[3].node.statistics();
            assert_eq!((statistics.told, statistics.concluded, statistics.asked), (1, 1, 0), "seed {seed}");
            assert_eq!(world.machines[3].node.value(a1.semaphore), 1, "seed {seed}");
        }
    }
}

/// A host without power is silent, and one that has it back answers that it knows of nothing: whichever comes first.
#[test]
fn a_host_that_loses_its_power_is_lost_within_its_lease_or_when_it_is_back() {
    for seed in 0..100 {
        let mut world = World::new(On::Sockets, seed, 4);
        let ([a1, b1, c1], _) = chain(&mut world);
        let now = world.now();
        world.node(3).watch(now, c1).unwrap();
        world.run_for(Duration::from_millis(150));
        let lost_at = world.now();
        world.power_loss(1);
        let back = seed % 2 == 0;
        if back {
            world.run_for(Duration::from_millis(200 + 10 * seed));
            world.network.host(1).restart();
        }
        world.finish();
        let failed = |event: &NodeEvent| matches!(event, NodeEvent::Failed(point, _) if *point == c1);
        let events = &world.machines[3].events;
        let (at, _) = events.iter().find(|(_, event)| failed(event)).expect("c1 has failed");
        // A lease, and the words to B and from there to C; each knows from the coordinator who is lost.
        assert!(*at <= lost_at + LEASE + 2 * world.delay_max, "seed {seed}: {:?}", at.since(lost_at));
        for (machine, point) in [(2, a1), (2, b1), (3, c1)] {
            let failure = world.machines[machine].node.failure(point).unwrap();
            assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, m(1)), "seed {seed}: {failure}");
        }
    }
}

/// A machine that is cut off and comes back finds that it is out: it is never again what it was.
#[test]
fn a_machine_that_comes_back_after_its_lease_is_out_and_one_that_comes_back_before_is_not() {
    for seed in 0..100 {
        let mut world = World::new(On::Sockets, seed, 4);
        let ([a1, _, c1], places) = chain(&mut world);
        world.run_for(Duration::from_millis(150));
        world.network.cut_off(1);
        // What is sent again comes a while after the link is mended: at most twice the time that it was cut.
        let brief = seed % 2 == 0;
        world.run_for(if brief { Duration::from_millis(10 + seed) } else { LEASE + Duration::from_millis(seed) });
        let others: Vec<_> = world.network.others(1).cloned().collect();
        others.iter().for_each(|other| world.network.world().heal(world.network.host(1), other));
        world.run_for(Duration::from_secs(90));
        world.finish();
        assert!(world.machines[1].ended.contains(&places[2]), "seed {seed}: it does its work in any case");
        let out = world.machines[1].events.iter().any(|(_, event)| matches!(event, NodeEvent::Out { .. }));
        assert_eq!(out, !brief, "seed {seed}");
        assert_eq!(world.machines[1].node.machine().is_some(), brief, "seed {seed}");
        assert_eq!(world.machines[3].ended.contains(&places[0]), brief, "seed {seed}");
        if brief {
            assert_eq!(world.machines[3].node.value(a1.semaphore), 1, "seed {seed}");
        } else {
            let failure = world.machines[3].node.failure(c1).unwrap();
            assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, m(1)), "seed {seed}");
        }
    }
}

/// Words may be missing once a connection was broken: of the two that had it one is lost, and the others go on.
#[test]
fn a_connection_that_breaks_costs_one_of_its_two_machines() {
    for seed in 0..100 {
        let mut world = World::new(On::Sockets, seed, 4);
        let ([_, _, c1], places) = chain(&mut world);
        // A tells B at once, and they have a connection from then on.
        let early = RemotePoint::new(world.name(0, 1), 1);
        let mut pipeline = Pipeline::new();
        pipeline.stage(m(1), 1, &work(1, true)).signal(early);
        pipeline.stage(m(2), 1, &work(1, true)).wait(early);
        world.submit(0, &pipeline);
        world.run_until("they have spoken", |world| !world.messages(1, 2).is_empty());
        world.run_for(2 * world.delay_max);
        let reset_at = world.now();
        world.network.world().reset(world.network.host(1), world.network.host(2));
        world.finish();
        let lost: Vec<(Time, MachineId)> = world.machines[3]
            .events
            .iter()
            .filter_map(|(at, event)| match event {
                NodeEvent::Lost { machine, .. } => Some((*at, *machine)),
                _ => None,
            })
            .collect();
        let [(at, machine)] = lost[..] else { panic!("seed {seed}: {lost:?}") };
        assert!(machine == m(1) || machine == m(2), "seed {seed}: {machine}");
        assert!(at <= reset_at + 2 * world.delay_max, "seed {seed}");
        let failure = world.machines[3].node.failure(c1).unwrap();
        assert_eq!((failure.kind, failure.machine), (FailureKind::Loss, machine), "seed {seed}");
        // Each goes on with what it had begun, also the one that is out.
        assert!(world.machines[1].ended.contains(&places[2]), "seed {seed}");
        assert!(!world.machines[2].ended.contains(&places[1]), "seed {seed}");
    }
}

/// Two members that cannot speak with each other, and both with the coordinator: nobody's lease ends. Who sends gives
/// up when its host does, and then one of the two is lost.
#[test]
fn a_link_that_parts_two_members_alone_costs_one_when_its_sender_gives_up() {
    for seed in 0..50 {
        let mut world = World::new(On::Sockets, seed, 4);
        world.network.world().partition(world.network.host(1), world.network.host(2));
        let (_, places) = chain(&mut world);
        let begun = world.now();
        world.run_for(Duration::from_secs(30));
        assert_eq!(world.machines[0].node.members().count(), 3, "seed {seed}: both are heard of");
        assert_eq!(world.machines[3].node.stages(), 1, "seed {seed}: it waits");
        world.finish();
        assert!(world.machines[1].ended.contains(&places[2]), "seed {seed}");
        assert!(!world.machines[3].ended.contains(&places[0]), "seed {seed}");
        let (at, machine) = world.machines[3]
            .events
            .iter()
            .find_map(|(at, event)| match event {
                NodeEvent::Lost { machine, .. } => Some((*at, *machine)),
                _ => None,
            })
            .expect("one is lost");
        // A sends, and reports that B cannot be reached.
        assert_eq!(machine, m(2), "seed {seed}");
        // A simulated host tries for a minute, from when A's work was done.
        assert!(at <= begun + Duration::from_secs(75), "seed {seed}: {:?}", at.since(begun));
    }
}

/// Whatever the links do, as long as nothing is lost for good, all of it is done; and a seed decides all of it.
#[test]
fn a_session_on_bad_links_does_all_of_its_work_and_replays_from_its_seed() {
    fn run(seed: u64) -> (u64, u64, Vec<Sent>, Vec<(Time, NodeEvent)>) {
        let mut world = World::new(On::BadSockets, seed, 4);
        let names = [1, 2, 3].map(|owner| world.name(0, owner));
        let mut pipeline = Pipeline::new();
        let mut stages = 0;
        for value in 1..8 {
            let points = names.map(|name| RemotePoint::new(name, value));
            let long = world.network.world().random(30) as u32;
            pipeline.stage(m(3), 0, &work(2, true)).wait(points[1]).wait(points[0]).signal(points[2]);
            pipeline.stage(m(2), 1, &work(7, true)).wait(points[0]).signal(points[1]);
            pipeline.stage(m(1), 0, &work(long, true)).signal(points[0]);
            stages += 3;
        }
        world.submit(0, &pipeline);
        // Links part for less than a lease, one at a time.
        for _ in 0..3 {
            let one = world.network.world().choose(4);
            let other = (one + 1 + world.network.world().choose(3)) % 4;
            let (one, other) = (world.network.host(one).clone(), world.network.host(other).clone());
            world.network.world().partition(&one, &other);
            world.run_for(Duration::from_millis(50));
            world.network.world().heal(&one, &other);
            world.run_for(Duration::from_millis(700));
        }
        world.finish();
        let ended: usize = world.machines.iter().map(|machine| machine.ended.len()).sum();
        assert_eq!(ended, stages, "seed {seed}");
        let events = world.machines.iter().flat_map(|machine| machine.events.clone()).collect();
        (world.network.world().digest(), world.network.world().events(), world.log(), events)
    }
    let mut digests = BTreeSet::new();
    for seed in 0..100 {
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
        digests.insert(first.0);
    }
    assert_eq!(digests.len(), 100, "seeds that decide nothing");
}

//! What a session does when nothing is lost.

use std::time::Duration;

use super::network::On;
use super::world::{World, work};
use crate::record::{Event, How, MessageKind, Timed};
use crate::remote::wire::{Arrival, Kind, Message, SessionSignal, Stage, StageWait};
use crate::remote::*;

fn m(index: usize) -> MachineId {
    MachineId(index as u8)
}

/// Machine 0 coordinates and submits; A, B and C are 1, 2 and 3.
fn c_decides_from_what_b_knows_that_a_is_done_with_no_word_between_them(on: On) {
    let mut world = World::new(on, 1, 4);
    let (a, b, c) = (1, 2, 3);
    let points = [a, b, c].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let [a1, b1, c1] = points;
    let mut pipeline = Pipeline::new();
    // The consumer first: nothing that it waits for has been submitted, far less begun.
    pipeline.stage(m(c), 0, &work(5, true)).wait(a1).wait(b1).signal(c1);
    pipeline.stage(m(b), 0, &work(20, true)).wait(a1).signal(b1);
    pipeline.stage(m(a), 0, &work(300, true)).signal(a1);
    world.submit(0, &pipeline);
    let now = world.now();
    world.node(0).watch(now, c1).unwrap();

    // Every machine has its stages before any has ended.
    world.run_until("all have their stages", |world| (1..=3).all(|index| world.machines[index].node.stages() == 1));
    assert!(world.machines.iter().all(|machine| machine.ended.is_empty()));
    world.run_until("c is done", |world| {
        world.machines[0].events.iter().any(|(_, event)| *event == NodeEvent::Reached(c1))
    });

    assert_eq!(world.messages(a, c), []);
    assert_eq!(world.messages(c, a), []);
    assert_eq!(world.messages(a, b), [Kind::Hello, Kind::Signal]);
    assert_eq!(world.messages(b, c), [Kind::Hello, Kind::Signal]);
    let statistics = *world.machines[c].node.statistics();
    assert_eq!((statistics.told, statistics.concluded, statistics.asked), (1, 1, 0));
    assert_eq!(world.machines[c].node.value(a1.semaphore), 1);

    // The same from what they have recorded, by machines that do not see each other's doings.
    let recordings = world.recordings();
    let sent = |from: usize, to: usize| -> Vec<MessageKind> {
        let of = |timed: &Timed| match &timed.event {
            Event::Sent { to: machine, kind, .. } if usize::from(*machine) == to => Some(*kind),
            _ => None,
        };
        recordings[from].events.iter().filter_map(of).collect()
    };
    assert_eq!((sent(a, c), sent(c, a)), (vec![], vec![]));
    assert_eq!((sent(a, b), sent(b, c)), ([MessageKind::Hello, MessageKind::Signal].to_vec(), sent(a, b)));
    let hows = recordings[c].events.iter().find_map(|timed| match &timed.event {
        Event::Submitted { waits, .. } => Some([waits[0].how, waits[1].how]),
        _ => None,
    });
    assert_eq!(hows, Some([How::Concluded, How::Told]));
    let proved = world.check_session();
    // B and the client were told of what they wait for; C of B's value, and concluded A's.
    assert_eq!((proved.told, proved.concluded, proved.machines.submissions, proved.lost), (3, 1, 3, 0));
}

fn a_wait_of_an_earlier_stage_does_not_stand_for_one_of_a_later(on: On) {
    let mut world = World::new(on, 2, 4);
    let (a, b, c) = (1, 2, 3);
    let [a1, b1, c1, c2] = [a, b, c, c].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(a), 0, &work(10, true)).signal(a1);
    pipeline.stage(m(b), 0, &work(10, false)).wait(a1).signal(b1);
    pipeline.stage(m(c), 0, &work(10, true)).wait(b1).signal(c1);
    pipeline.stage(m(c), 0, &work(10, true)).wait(a1).signal(c2);
    let places = world.submit(0, &pipeline);
    world.finish();
    // B failed, and with it what waited for it; what waited for A alone was told by A.
    let failure = world.machines[c].node.failure(c1).unwrap();
    assert_eq!((failure.kind, failure.machine, failure.stage), (FailureKind::Stage, m(b), Some(places[1])));
    assert_eq!(failure.message, "the device says no");
    assert_eq!(world.machines[c].node.value(c2.semaphore), 1);
    assert_eq!(world.machines[c].ended.iter().collect::<Vec<_>>(), [&places[3]]);
    assert!(world.messages(a, c).contains(&Kind::Signal));
}

/// Epochs above a failed one are no proof of it: see `known.rs`.
fn a_later_end_on_a_queue_does_not_pass_for_an_earlier_one_that_failed(on: On) {
    for seed in 0..50 {
        let mut world = World::new(on, seed, 4);
        let (a, b, c) = (1, 2, 3);
        let [a1, x1, b1, c1] = [a, a, b, c].map(|owner| RemotePoint::new(world.name(0, owner), 1));
        let mut pipeline = Pipeline::new();
        pipeline.stage(m(a), 0, &work(30, false)).signal(a1);
        pipeline.stage(m(a), 0, &work(0, true)).signal(x1);
        // C may hear of x1 through B before it hears from A that a1 has failed.
        pipeline.stage(m(b), 0, &work(0, true)).wait(x1).signal(b1);
        pipeline.stage(m(c), 0, &work(0, true)).wait(a1).signal(c1);
        pipeline.stage(m(c), 1, &work(0, true)).wait(b1);
        let places = world.submit(0, &pipeline);
        world.finish();
        assert_eq!(world.machines[c].ended.iter().collect::<Vec<_>>(), [&places[4]], "seed {seed}");
        assert_eq!(world.machines[c].node.failure(c1).unwrap().machine, m(a), "seed {seed}");
    }
}

fn who_submits_later_learns_of_what_was_reached_long_ago(on: On) {
    let mut world = World::new(on, 3, 3);
    let [a1, b1] = [1, 2].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let mut first = Pipeline::new();
    first.stage(m(1), 0, &work(10, true)).signal(a1);
    world.submit(0, &first);
    world.run_until("the first is over", |world| world.machines[1].ended.len() == 1);

    let mut second = Pipeline::new();
    second.stage(m(2), 0, &work(10, true)).wait(a1).signal(b1);
    let places = world.submit(0, &second);
    world.run_until("the second is over", |world| world.machines[2].ended.contains(&places[0]));
    assert_eq!(world.machines[2].node.statistics().asked, 1);
    assert_eq!(world.messages(2, 1), [Kind::Hello, Kind::Watch]);
    // A third one knows it by now, and asks nobody.
    let mut third = Pipeline::new();
    third.stage(m(2), 1, &work(10, true)).wait(a1);
    let places = world.submit(0, &third);
    world.run_until("the third is over", |world| world.machines[2].ended.contains(&places[0]));
    assert_eq!(world.machines[2].node.statistics().asked, 1);
}

fn a_gap_in_a_clients_epochs_is_refused_and_fails_what_it_promised(on: On) {
    let mut world = World::new(on, 4, 2);
    let client = 0;
    let point = RemotePoint::new(world.name(client, 1), 1);
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(1), 0, &work(5, true));
    let first = world.submit(client, &pipeline)[0];
    world.run_until("it is over", |world| world.machines[1].ended.len() == 1);

    // By hand: what a faulty client could send.
    let gap = StageId::new(first.axis, 3);
    let signals = vec![wire::StageSignal { point, forward: [m(client)].into_iter().collect() }];
    let stage = Stage { stage: gap, waits: vec![], signals, payload: vec![] };
    let node = world.node(client);
    node.send_by_hand(m(1), &Message::Stage(stage));
    world.run_until("it is refused", |world| {
        world.machines[client].events.iter().any(|(_, event)| matches!(event, NodeEvent::Refused(..)))
    });
    let Some((_, NodeEvent::Refused(place, failure))) = world.machines[client].events.last() else { panic!() };
    assert_eq!((*place, failure.kind), (gap, FailureKind::Refused));
    assert_eq!(failure.message, "a gap: epoch 2 was expected");
    world.run_until("its signal fails", |world| world.machines[client].node.failure(point).is_some());
    assert_eq!(world.machines[client].node.failure(point).unwrap().message, "a gap: epoch 2 was expected");
}

fn more_stages_than_a_machine_takes_are_refused_and_their_dependents_fail(on: On) {
    let mut world = World::new(on, 5, 1);
    world.join(NodeOptions::new().stages_max(2));
    world.run_until("it is known", |world| world.machines[0].node.members().count() == 1);
    let name = world.name(0, 1);
    let own = RemotePoint::new(world.name(0, 0), 1);
    let mut pipeline = Pipeline::new();
    for value in 1..=3 {
        pipeline.stage(m(1), 0, &work(500, true)).signal(RemotePoint::new(name, value));
    }
    pipeline.stage(m(0), 0, &work(0, true)).wait(RemotePoint::new(name, 2));
    pipeline.stage(m(0), 1, &work(0, true)).wait(RemotePoint::new(name, 3)).signal(own);
    let places = world.submit(0, &pipeline);
    world.finish();
    assert!(world.machines[0].ended.contains(&places[3]));
    let failure = world.machines[0].node.failure(own).unwrap();
    assert_eq!((failure.kind, failure.stage), (FailureKind::Refused, Some(places[2])));
    // The place was taken, and the next one follows it.
    let mut next = Pipeline::new();
    next.stage(m(1), 0, &work(0, true));
    let next = world.submit(0, &next)[0];
    world.run_until("it is over", |world| world.machines[1].ended.contains(&next));
}

fn what_cannot_be_is_refused_before_anything_is_sent(on: On) {
    let mut world = World::new(on, 6, 2);
    let mine = world.name(0, 1);
    let theirs = world.name(1, 1);
    let point = RemotePoint::new;
    let refused = |world: &mut World, plan: &dyn Fn(&mut Pipeline)| {
        let mut pipeline = Pipeline::new();
        pipeline.stage(m(1), 0, b"fine");
        plan(&mut pipeline);
        let now = world.now();
        world.node(0).submit(now, &pipeline).unwrap_err().to_string()
    };
    type Plan<'a> = &'a dyn Fn(&mut Pipeline);
    let cases: [(Plan<'_>, &str); 8] = [
        (&|p| _ = p.stage(m(9), 0, b""), "machine 9 is no member of the session"),
        (&|p| _ = p.stage(m(1), 2, b""), "machine 1 has 2 devices, and no device 2"),
        (&|p| _ = p.stage(m(1), 0, &[0; wire::PAYLOAD_MAX + 1]), "16385 bytes of payload"),
        (&|p| _ = p.stage(m(0), 0, b"").signal(point(mine, 1)), "is not for it to signal"),
        (&|p| _ = p.stage(m(1), 0, b"").signal(point(theirs, 1)), "is not for it to signal"),
        (&|p| _ = p.stage(m(1), 0, b"").signal(point(mine, 1)).signal(point(mine, 2)), "signalled twice"),
        (
            &|p| {
                p.stage(m(1), 0, b"").signal(point(mine, 1));
                p.stage(m(1), 1, b"").signal(point(mine, 2));
            },
            "signalled by another queue",
        ),
        (
            &|p| {
                p.stage(m(1), 0, b"").wait(point(mine, 1));
                p.stage(m(1), 0, b"").signal(point(mine, 1));
            },
            "wait for each other",
        ),
    ];
    for (plan, why) in cases {
        let status = refused(&mut world, plan);
        assert!(status.contains(why), "{status}");
    }
    assert_eq!(world.messages(0, 1).iter().filter(|&&kind| kind == Kind::Stage).count(), 0);
    // Nothing was counted either: the first epoch is still to come.
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(1), 0, &work(0, true)).signal(point(mine, 1));
    let place = world.submit(0, &pipeline)[0];
    assert_eq!(place.epoch, 1);
    world.run_until("it is over", |world| world.machines[1].ended.contains(&place));
    let again = refused(&mut world, &|p| _ = p.stage(m(1), 0, b"").signal(point(mine, 1)));
    assert!(again.contains("is not above 1, which was promised before"), "{again}");
}

fn a_node_takes_no_pipeline_before_it_is_a_member_and_joins_once(on: On) {
    let mut world = World::new(on, 7, 1);
    world.join(NodeOptions::new());
    let now = world.now();
    assert!(world.node(1).submit(now, &Pipeline::new()).unwrap_err().to_string().contains("no member"));
    assert!(world.node(1).join(now, None).is_err());
    world.run_until("it is a member", |world| world.machines[1].node.machine().is_some());
    assert_eq!(world.submit(1, &Pipeline::new()), []);
}

fn the_same_seed_has_the_same_run(on: On) {
    let run = |seed| {
        let mut world = World::new(on, seed, 3);
        let names = [0, 1, 2].map(|owner| world.name(0, owner));
        let mut pipeline = Pipeline::new();
        for value in 1..20 {
            let points = names.map(|name| RemotePoint::new(name, value));
            pipeline.stage(m(0), 0, &work(3, true)).signal(points[0]);
            pipeline.stage(m(1), 1, &work(7, true)).wait(points[0]).signal(points[1]);
            pipeline.stage(m(2), 0, &work(2, true)).wait(points[1]).wait(points[0]).signal(points[2]);
        }
        world.submit(0, &pipeline);
        world.finish();
        world.run_for(Duration::from_millis(100));
        (world.log(), world.now())
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

/// What was promised without telling anyone is asked for when the waits that were to imply it do not.
fn a_wait_that_the_others_do_not_imply_after_all_is_asked_for(on: On) {
    let mut world = World::new(on, 8, 4);
    let (a, b, c) = (1, 2, 3);
    let [a1, b1] = [a, b].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let mut pipeline = Pipeline::new();
    // B does not wait for A: that it implies A is a lie told by hand.
    pipeline.stage(m(a), 0, &work(50, true)).signal(a1);
    pipeline.stage(m(b), 0, &work(10, true)).signal(b1);
    let places = world.submit(0, &pipeline);
    let axis = proact::causal::Axis::queue(3, c as u8, 0, 0);
    let waits = [(a1, Arrival::Implied, places[0]), (b1, Arrival::Ask, places[1])]
        .map(|(point, arrival, producer)| StageWait { point, arrival, producer: Some(producer) });
    let stage = Stage { stage: StageId::new(axis, 1), waits: waits.into(), signals: vec![], payload: work(0, true) };
    let id = stage.stage;
    world.node(0).send_by_hand(m(c), &Message::Stage(stage));
    world.run_until("it is over", |world| world.machines[c].ended.contains(&id));
    assert_eq!(world.messages(c, a), [Kind::Hello, Kind::Watch]);
    assert_eq!(world.machines[c].node.statistics().asked, 2);
}

fn a_value_above_which_there_is_none_is_refused_by_everybody(on: On) {
    let mut world = World::new(on, 8, 2);
    let name = world.name(0, 1);
    let last = RemotePoint::new(name, u64::MAX);
    let now = world.now();
    for (wait, signal) in [(None, Some(last)), (Some(last), None)] {
        let mut pipeline = Pipeline::new();
        let mut stage = pipeline.stage(m(1), 0, &work(1, true));
        if let Some(wait) = wait {
            stage = stage.wait(wait);
        }
        if let Some(signal) = signal {
            stage.signal(signal);
        }
        let refused = world.node(0).submit(now, &pipeline).unwrap_err();
        assert_eq!(refused.code(), proact::status::Code::InvalidArgument, "{refused}");
    }
    assert_eq!(world.node(0).watch(now, last).unwrap_err().code(), proact::status::Code::InvalidArgument);
    // And of a machine that sends it all the same nothing more is taken.
    world.node(0).send_by_hand(m(1), &Message::Watch { point: last, producer: None });
    world.run_until("it is not understood", |world| world.machines[1].node.machine().is_none());
}

fn nobody_takes_a_word_about_the_semaphores_of_others(on: On) {
    let mut world = World::new(on, 9, 3);
    let point = RemotePoint::new(world.name(0, 2), 1);
    let axis = proact::causal::Axis::queue(3, 2, 0, 0);
    let ended = proact::causal::Frontier::single(axis, 1).unwrap();
    let signal = SessionSignal {
        point,
        producer: StageId::new(axis, 1),
        ended: proact::causal::Knowledge::exact(ended),
        suspect: proact::causal::Frontier::new(),
    };
    // Machine 2 would be the one to say so.
    world.node(0).send_by_hand(m(1), &Message::Signal(signal));
    world.run_until("it is not understood", |world| world.machines[1].node.machine().is_none());
    assert_eq!(world.machines[1].node.value(point.semaphore), 0);
}

super::over_both! {
    c_decides_from_what_b_knows_that_a_is_done_with_no_word_between_them,
    a_wait_of_an_earlier_stage_does_not_stand_for_one_of_a_later,
    a_later_end_on_a_queue_does_not_pass_for_an_earlier_one_that_failed,
    who_submits_later_learns_of_what_was_reached_long_ago,
    a_gap_in_a_clients_epochs_is_refused_and_fails_what_it_promised,
    more_stages_than_a_machine_takes_are_refused_and_their_dependents_fail,
    what_cannot_be_is_refused_before_anything_is_sent,
    a_node_takes_no_pipeline_before_it_is_a_member_and_joins_once,
    the_same_seed_has_the_same_run,
    a_wait_that_the_others_do_not_imply_after_all_is_asked_for,
    a_value_above_which_there_is_none_is_refused_by_everybody,
    nobody_takes_a_word_about_the_semaphores_of_others,
}

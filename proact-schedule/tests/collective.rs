//! One entry for a group: how many entries that spares, and that it never says too much.

use proact::causal::{Axis, Domain};
use proact_schedule::audit::audit;
use proact_schedule::model::{Point, QueueId, SemaphoreId, Submission};
use proact_schedule::record::{Event, How, Recording};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions, Statistics};
use support::Random;

mod support;

fn axis(queue: usize) -> Axis {
    Axis::queue(1, 0, (queue / 256) as u8, queue as u8)
}

fn channel_axis(number: u64) -> Axis {
    Axis::new(1, 0, Domain::Collective, number).unwrap()
}

/// What a consumer knows after it has waited for all members once, besides itself, and what was counted.
fn entries(members: usize, with_channel: bool) -> (usize, Statistics) {
    let mut scheduler: Scheduler<()> = Scheduler::new(SchedulerOptions::new().capacity(usize::MAX));
    let mut queue = |index| scheduler.add_queue(QueueOptions::in_order(axis(index))).unwrap();
    let queues: Vec<QueueId> = (0..members).map(&mut queue).collect();
    let consumer = queue(members);
    if with_channel {
        let channel = scheduler.add_channel(channel_axis(7), &queues).unwrap();
        let done = [Point::new(scheduler.add_semaphore(0), 1)];
        let contributions: Vec<_> = queues.iter().map(|&queue| Submission::new(queue)).collect();
        scheduler.submit_collective(channel, &contributions, vec![(); members], &done).unwrap();
        scheduler.submit(&Submission::new(consumer).waits(&done), ()).unwrap();
    } else {
        let waits: Vec<Point> = queues.iter().map(|_| Point::new(scheduler.add_semaphore(0), 1)).collect();
        for (queue, wait) in queues.iter().zip(&waits) {
            scheduler.submit(&Submission::new(*queue).signals(&[*wait]), ()).unwrap();
        }
        scheduler.submit(&Submission::new(consumer).waits(&waits), ()).unwrap();
    }
    (scheduler.knowledge(consumer).frontier.len() - 1, *scheduler.statistics())
}

#[test]
fn a_channel_is_one_entry_and_one_barrier_however_many_members_there_are() {
    for members in [8, 64, 512] {
        let (with, statistics) = entries(members, true);
        assert_eq!((with, statistics.barriers, statistics.overflows), (1, 1, 0), "{members}");
        let (without, statistics) = entries(members, false);
        assert_eq!(statistics.barriers, members as u64);
        // More than a frontier holds is not known: half of the waits would have to be issued again and again.
        assert_eq!(without, members.min(254));
        assert_eq!(statistics.overflows, members.saturating_sub(254) as u64);
        println!("{members} members: {with} entry with the channel, {without} without");
    }
}

/// A queue and the semaphore that it signals with every submission.
type Member = (QueueId, SemaphoreId, u64);

fn random_waits(random: &mut Random, sources: &[(SemaphoreId, u64)]) -> Vec<Point> {
    let mut waits = Vec::new();
    for _ in 0..random.below(4) {
        let (semaphore, value) = sources[random.below(sources.len())];
        if value > 0 {
            waits.push(Point::new(semaphore, 1 + random.below(value as usize) as u64));
        }
    }
    waits
}

/// Random collectives of random groups between random submissions. Answers how many waits for a member's own value were
/// left out.
fn random_run(random: &mut Random) -> usize {
    let mut scheduler: Scheduler<(), Recording> =
        Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
    let count = 3 + random.below(6);
    let mut members: Vec<Member> = (0..count)
        .map(|index| {
            let queue = scheduler.add_queue(QueueOptions::in_order(axis(index))).unwrap();
            (queue, scheduler.add_semaphore(0), 0)
        })
        .collect();
    let mut channels = Vec::new();
    for number in 0..1 + random.below(2) {
        let group: Vec<usize> = (0..count).filter(|_| random.below(100) < 60).collect();
        if !group.is_empty() {
            let queues: Vec<QueueId> = group.iter().map(|&index| members[index].0).collect();
            let channel = scheduler.add_channel(channel_axis(number as u64), &queues).unwrap();
            channels.push((channel, group, scheduler.add_semaphore(0), 0));
        }
    }
    let mut running = Vec::new();
    for _ in 0..60 {
        while let Some(work) = scheduler.next_work() {
            running.push(work.place);
        }
        let mut sources: Vec<_> = members.iter().map(|member| (member.1, member.2)).collect();
        sources.extend(channels.iter().map(|channel| (channel.2, channel.3)));
        match random.below(10) {
            0..2 if !channels.is_empty() => {
                let at = random.below(channels.len());
                let (channel, group, done, value) = &mut channels[at];
                let parts: Vec<_> = group
                    .iter()
                    .map(|&index| {
                        members[index].2 += 1;
                        let signals = [Point::new(members[index].1, members[index].2)];
                        (members[index].0, random_waits(random, &sources), signals)
                    })
                    .collect();
                let contribution = |part: &'_ (QueueId, Vec<Point>, [Point; 1])| part.0;
                let contributions: Vec<_> = parts
                    .iter()
                    .map(|part| Submission::new(contribution(part)).waits(&part.1).signals(&part.2))
                    .collect();
                *value += 1;
                let signals = [Point::new(*done, *value)];
                scheduler.submit_collective(*channel, &contributions, vec![(); parts.len()], &signals).unwrap();
            }
            2..8 => {
                let own = random.below(count);
                let waits = random_waits(random, &sources);
                members[own].2 += 1;
                let signals = [Point::new(members[own].1, members[own].2)];
                let submission = Submission::new(members[own].0).waits(&waits).signals(&signals);
                scheduler.submit(&submission, ()).unwrap();
            }
            _ if !running.is_empty() => {
                let place = running.swap_remove(random.below(running.len()));
                scheduler.complete(place).unwrap();
            }
            _ => {}
        }
    }
    loop {
        while let Some(work) = scheduler.next_work() {
            running.push(work.place);
        }
        if running.is_empty() {
            break;
        }
        scheduler.complete(running.swap_remove(random.below(running.len()))).unwrap();
    }
    assert_eq!(scheduler.in_flight(), 0);
    let events = scheduler.into_recorder().events;
    audit(&events).unwrap_or_else(|violation| panic!("{violation}"));
    let waits = events.iter().filter_map(|timed| match &timed.event {
        Event::Submitted { waits, known, .. } => Some((waits, known)),
        _ => None,
    });
    let is_channel = |bits: u64| Axis::from_bits(bits).is_some_and(|axis| axis.domain() == Domain::Collective);
    waits
        .filter(|(_, known)| known.iter().any(|&(axis, _)| is_channel(axis)))
        .flat_map(|(waits, _)| waits)
        .filter(|wait| wait.how == How::Implied && (wait.semaphore as usize) < count)
        .count()
}

#[test]
fn what_a_channel_implies_its_members_have_done() {
    let mut implied = 0;
    for seed in 0..2000 {
        let outcome = std::panic::catch_unwind(|| random_run(&mut Random(seed)));
        implied += outcome.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    assert!(implied > 1000, "{implied}");
}

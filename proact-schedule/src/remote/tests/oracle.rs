//! Random pipelines over two to five machines, in random order of delivery, with random failures and the loss of a
//! random machine at a random time, against an oracle that looks at what really happened: in memory, over the sockets
//! of simulated hosts, and over links between these that lose and delay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::network::On;
use super::world::{LEASE, World, work};
use crate::random::Random;
use crate::remote::*;

struct Planned {
    /// Indices of the stages that the waits are for, all values below included.
    producers: Vec<usize>,
    waits: Vec<(RemotePoint, usize)>,
    signal: RemotePoint,
    machine: usize,
    client: usize,
    /// Which of the pipelines it is part of.
    pipeline: u64,
    well: bool,
    place: StageId,
}

struct Case {
    world: World,
    stages: Vec<Planned>,
    /// Which machine was lost, and when.
    lost: Option<(usize, proact::time::Time)>,
}

/// Submits one or two clients' pipelines, and loses a machine or not.
fn run(on: On, seed: u64) -> Case {
    let mut random = Random::new(seed ^ 0xface);
    let machines = 2 + random.below(4) as usize;
    let mut world = World::new(on, seed, machines);
    let mut stages: Vec<Planned> = Vec::new();
    let fails = random.once_in(3);
    for number in 0..1 + random.below(3) {
        let client = random.below(machines as u64) as usize;
        let mut names: BTreeMap<(usize, u8), (SemaphoreName, u64)> = BTreeMap::new();
        let mut pipeline = Pipeline::new();
        let first = stages.len();
        for _ in 0..1 + random.below(12) {
            let (machine, device) = (random.below(machines as u64) as usize, random.below(2) as u8);
            // A semaphore of its own, or the next value of its queue's; every other value is promised by nobody.
            let signal = match random.once_in(2) {
                true => RemotePoint::new(world.name(client, machine), 1),
                false => {
                    let fresh = world.name(client, machine);
                    let (name, value) = names.entry((machine, device)).or_insert((fresh, 0));
                    *value += 2;
                    RemotePoint::new(*name, *value)
                }
            };
            let mut waits = Vec::new();
            for _ in 0..random.below(4).min(stages.len() as u64) {
                let producer = random.below(stages.len() as u64) as usize;
                let mut point = stages[producer].signal;
                if point.value > 1 && random.once_in(2) {
                    point.value -= 1;
                }
                if !waits.contains(&(point, producer)) {
                    waits.push((point, producer));
                }
            }
            let well = !(fails && random.once_in(8));
            let stage = pipeline.stage(MachineId(machine as u8), device, &work(random.below(80) as u32, well));
            for &(point, _) in &waits {
                stage.wait(point);
            }
            stage.signal(signal);
            // Whatever signals lower values of the same semaphore has to end well, too.
            let mut producers: Vec<usize> = waits.iter().map(|&(_, producer)| producer).collect();
            for (index, other) in stages.iter().enumerate() {
                let other = other.signal;
                let below = |&(point, _): &(RemotePoint, usize)| {
                    other.semaphore == point.semaphore && other.value <= point.value
                };
                if waits.iter().any(below) {
                    producers.push(index);
                }
            }
            producers.sort_unstable();
            producers.dedup();
            let place = StageId::new(proact::causal::Axis::queue(3, 0, 0, 0), 1);
            let pipeline = number;
            stages.push(Planned { producers, waits, signal, machine, client, pipeline, well, place });
        }
        let places = world.submit(client, &pipeline);
        stages[first..].iter_mut().zip(places).for_each(|(stage, place)| stage.place = place);
        if random.once_in(2) {
            world.run_for(Duration::from_millis(random.below(100)));
        }
    }
    let mut lost = None;
    if random.below(4) > 0 {
        world.run_for(Duration::from_millis(random.below(200)));
        let machine = random.below(machines as u64) as usize;
        lost = Some((machine, world.now()));
        match random.below(if on == On::Memory { 2 } else { 3 }) {
            0 => world.crash(machine),
            1 => world.network.cut_off(machine),
            _ => world.power_loss(machine),
        }
    }
    Case { world, stages, lost }
}

impl Case {
    fn has_ended(&self, index: usize) -> bool {
        let stage = &self.stages[index];
        self.world.machines[stage.machine].ended.contains(&stage.place)
    }

    /// The stages that one depends on, through any number of waits.
    fn ancestors(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.stages[index].producers.clone();
        while let Some(producer) = open.pop() {
            if found.insert(producer) {
                open.extend(&self.stages[producer].producers);
            }
        }
        found
    }

    /// Whether a stage waits for another of its pipeline, by waits for just what that signals: then its client sees
    /// that who is told of the one is told of the other.
    fn is_behind(&self, index: usize, other: usize) -> bool {
        let mut open = vec![index];
        while let Some(stage) = open.pop() {
            let waits = self.stages[stage].waits.iter().map(|&(_, producer)| producer);
            let waits = waits.filter(|&producer| self.stages[producer].pipeline == self.stages[index].pipeline);
            for producer in waits {
                if producer == other {
                    return true;
                }
                open.push(producer);
            }
        }
        false
    }

    fn failure(&self, index: usize) -> Option<&Failure> {
        let stage = &self.stages[index];
        self.world.machines[stage.machine].node.failure(stage.signal)
    }

    /// Whether a stage came to its machine: its client may have been lost before.
    fn was_submitted(&self, index: usize) -> bool {
        let stage = &self.stages[index];
        self.world.machines[stage.machine].node.submitted(stage.place.axis) >= stage.place.epoch
    }
}

/// Checks every stage of a run that is over. Answers how many ended, and how many failed because of the loss.
fn judge(seed: u64, case: &Case) -> (usize, usize) {
    let (mut ended, mut lost) = (0, 0);
    for (index, stage) in case.stages.iter().enumerate() {
        let context = || format!("seed {seed}, stage {index}: {} by {}", stage.place, stage.client);
        let out = case.lost.map(|(machine, _)| machine);
        // Without the coordinator all are out, and each is lost to the others.
        let cut = |machine: usize| out == Some(machine) || (out == Some(0) && machine != stage.machine);
        if case.has_ended(index) {
            ended += 1;
            // Soundness: nothing begins before all that it waits for has really ended well.
            for &producer in &stage.producers {
                assert!(case.has_ended(producer), "{}: began without stage {producer}", context());
            }
            continue;
        }
        if !case.world.machines[stage.machine].alive || !case.was_submitted(index) {
            continue;
        }
        let Some(failure) = case.failure(index) else { panic!("{}: neither ended nor failed", context()) };
        // Exactness: it failed because of something that it depends on.
        let mut causes = case.ancestors(index);
        causes.insert(index);
        let lower = |&other: &usize| {
            let other = case.stages[other].signal;
            other.semaphore == stage.signal.semaphore && other.value < stage.signal.value
        };
        for other in (0..case.stages.len()).filter(lower).collect::<Vec<_>>() {
            causes.insert(other);
            causes.extend(case.ancestors(other));
        }
        match failure.kind {
            FailureKind::Stage => {
                let origin = failure.stage.expect("a stage's failure");
                let by = |&cause: &usize| case.stages[cause].place == origin && !case.stages[cause].well;
                assert!(causes.iter().any(by), "{}: {failure}", context());
            }
            FailureKind::Loss => {
                lost += 1;
                let by = |&cause: &usize| cut(case.stages[cause].machine) || case.stages[cause].client == out.unwrap();
                assert!(causes.iter().any(by), "{}: {failure}", context());
            }
            FailureKind::NeverSubmitted => {
                lost += 1;
                assert!(causes.iter().any(|&cause| !case.was_submitted(cause)), "{}: {failure}", context());
            }
            other => panic!("{}: {other:?}: {failure}", context()),
        }
        // Completeness: what has all that it needs, from machines that can tell, goes on. What a lost machine did and
        // nobody else knew is lost with it.
        let told = |&producer: &usize| {
            let its = &case.stages[producer];
            if !case.has_ended(producer) {
                return false;
            }
            // Implied by another of its waits, whose stage waited for it, directly or not, and can tell.
            let implied = stage.waits.iter().any(|&(_, other)| {
                let same = case.stages[other].pipeline == stage.pipeline;
                same && !cut(case.stages[other].machine) && case.is_behind(other, producer)
            });
            let failed_beside = case.stages.iter().any(|other| other.place.axis == its.place.axis && !other.well);
            !cut(its.machine) || (implied && !failed_beside)
        };
        if stage.well && !cut(stage.machine) && stage.producers.iter().all(told) {
            panic!("{}: all that it waits for was done and known, and it failed: {failure}", context());
        }
    }
    (ended, lost)
}

/// The most that a message may take counts as often as there are stages between a loss and who depends on it.
fn exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs(on: On, unless_said: u64) {
    let cases = std::env::var("PROACT_REMOTE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(unless_said);
    let (mut ended, mut lost, mut concluded) = (0, 0, 0);
    for seed in 0..cases {
        let mut case = run(on, seed);
        // By then whoever depends on the loss knows it: a lease, and as many messages one after another as there are
        // stages between them.
        if let Some((machine, at)) = case.lost {
            let time = LEASE + on.delay_max() * (case.stages.len() as u32 + 4);
            let until = at + time;
            case.world.run_for(until.since(case.world.now()));
            for index in 0..case.stages.len() {
                let stage = &case.stages[index];
                let here = case.world.machines[stage.machine].alive && stage.machine != machine;
                let undone = |&producer: &usize| {
                    let its = &case.stages[producer];
                    its.machine == machine && !case.has_ended(producer)
                };
                if here && case.was_submitted(index) && stage.producers.iter().any(undone) {
                    assert!(case.failure(index).is_some(), "seed {seed}, stage {index}: not told within {time:?}");
                }
            }
        }
        case.world.finish_patiently();
        let (well, failed) = judge(seed, &case);
        ended += well;
        lost += failed;
        concluded += case.world.machines.iter().map(|machine| machine.node.statistics().concluded).sum::<u64>();
    }
    println!("{on:?}: {cases} cases, {ended} stages ended, {lost} failed by a loss, {concluded} values concluded");
    let enough = (ended > 2 * cases as usize, lost > cases as usize / 2, concluded > cases / 4);
    assert_eq!(enough, (true, true, true), "{ended} ended, {lost} lost, {concluded} concluded");
}

#[test]
fn in_memory_exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs() {
    exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs(On::Memory, 400);
}

#[test]
fn over_sockets_exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs() {
    exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs(On::Sockets, 400);
}

#[test]
fn over_bad_links_exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs() {
    exactly_what_depends_on_a_failure_or_a_loss_fails_and_nothing_hangs(On::BadSockets, 400);
}

//! How waits are resolved, and why leaving one out is sound.
//!
//! # What is promised
//!
//! If a submission s waits for a value, every producer that the value stands for has ended before s begins. A wait
//! that is issued (a barrier, or the host holding s back) sees to that directly. For one that is left out, it follows
//! from three facts:
//!
//! 1. **What s knows is true when s begins.** The knowledge of an in-order queue holds only entries that came from a
//!    wait of s itself or of a submission before it on the queue, and only such that were *issued as a barrier, or held
//!    for on the host until the producer itself had ended, or left out by this same argument*. The queue begins s only
//!    after all before s have ended, and those began only after their own waits were over. This holds also when an
//!    earlier one is held back by the host: it then holds the whole queue back, so that s is behind it as well. On an
//!    overlapping queue nothing is carried over: s knows only what its own waits bring.
//! 2. **What a producer knew is true when it has ended**, by the same fact for the producer, which was submitted before
//!    (a value that nobody has promised is never left out). So the causes of the producer may be merged in with it.
//! 3. **An entry says that all epochs up to it have ended**, and what is put into frontiers says no more than is so:
//!    the own entry of a producer on an overlapping queue is left out unless all before it are known to have ended.
//!
//! What a wait brings that the host keeps by looking at the *semaphore* is not merged in when it is taken: if the
//! semaphore fails, s is let go at once, to fail, while the producer may still be running; and the next on the queue
//! would then know of an end that has not come. It is learned when the value has been reached.
//!
//! Failure does not disturb this. A submission that fails because of what it waited for ends at its turn like any
//! other, after all that it was ordered behind (see [`settle`](super::settle)).
//!
//! # Which side may be incomplete
//!
//! The knowing side may be: entries that were lost to overflow spare fewer waits, and that is all. The required side
//! may not: a wait is for its producers, which are known as places, and not for the frontier that they publish. Where
//! the producers are not all known (tainted values, foreign ones) the host waits for the value itself.
//!
//! # The smallest set of barriers
//!
//! Waits are taken in their order, and each barrier's causes are merged in at once; so what an earlier one implies is
//! left out. In the end, a barrier whose place is implied by the causes of another barrier of the same submission is
//! left out as well. Two cannot imply each other: each place comes strictly after what its causes name.

use proact::causal::Frontier;

use super::flight::{Flight, State};
use super::knowledge::{compress, implies};
use super::{Dependent, Kind, Line, Recorder, Scheduler};
use crate::model::{Barrier, Deferral, Place, Point, QueueId, Tier};
use crate::options::Policy;

/// Storage that is used for one submission after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) candidates: Vec<Candidate>,
    /// The places of a wait that stands for several.
    places: Vec<Place>,
    causes: Frontier,
}

/// An end that has to be waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Which wait it is for; [`Candidate::MEMORY`].
    pub(super) wait: u32,
    /// The semaphore and the value whose causes come with it.
    pub(super) source: Option<Point>,
    /// No device can wait for it.
    pub(super) held: bool,
}

impl Candidate {
    /// It is for the memory that the submission touches.
    pub(super) const MEMORY: u32 = u32::MAX;
}

/// Whether what was taken as `place` has ended.
#[inline]
pub(super) fn has_ended<P>(lines: &[Line], flights: &[Flight<P>], place: Place) -> bool {
    let line = &lines[place.queue.index()];
    place.epoch <= line.ended
        || (!line.is_in_order()
            && line.flight(place.epoch).is_some_and(|flight| flights[flight as usize].state == State::Done))
}

impl<P, R: Recorder> Scheduler<P, R> {
    /// Whether whoever comes next on `line`, or knows what it knows, need not wait for `place`. `None` if it has to.
    #[inline]
    pub(super) fn spared(&self, line: u32, place: Place) -> Option<Tier> {
        let own = &self.lines[line as usize];
        if place.queue.0 == line && own.is_in_order() {
            return Some(Tier::SameQueue);
        }
        if self.options.policy == Policy::Frontiers && implies(&self.lines, &own.knowledge, place) {
            return Some(Tier::Implied);
        }
        // Its value is held up by lower ones only.
        has_ended(&self.lines, &self.flights, place).then_some(Tier::Implied)
    }

    /// Resolves a wait of `flight`. What has to be waited for goes to `candidates`, or to the semaphore's waiters.
    pub(super) fn resolve(&mut self, flight: u32, index: u32, wait: Point, candidates: &mut Vec<Candidate>) -> Tier {
        let line = self.flights[flight as usize].line;
        let timeline = &self.semaphores[wait.semaphore.index()];
        let found = timeline.find(wait.value);
        if timeline.value >= wait.value {
            if self.options.policy == Policy::Frontiers {
                if let Some(record) = found {
                    self.learn_causes(line, wait, record);
                }
            }
            return Tier::Reached;
        }
        if timeline.failure.is_some() {
            return Tier::Deferred(Deferral::Failed);
        }
        let Some(at) = found else { return self.defer(flight, wait, Deferral::NotPromised) };
        let record = &timeline.records[at];
        if record.tainted {
            return self.defer(flight, wait, Deferral::Tainted);
        }
        // Nearly always one producer stands for the value.
        if let (Some(producer), []) = (record.producer, &record.others[..]) {
            let joined = record.joined;
            let waited_for = || candidates.iter().any(|candidate| candidate.place == producer);
            if let Some(tier) = self.spared(line, producer).or_else(|| waited_for().then_some(Tier::Implied)) {
                if joined {
                    // The value says more than its producer's end.
                    self.learn_causes(line, wait, at);
                }
                return tier;
            }
            let held = !self.lines[producer.queue.index()].exportable;
            candidates.push(Candidate { place: producer, wait: index, source: Some(wait), held });
            self.learn_causes(line, wait, at);
            return if held { Tier::Deferred(Deferral::Unexportable) } else { Tier::Producer };
        }
        self.resolve_several(flight, index, wait, at, candidates)
    }

    /// As [`Scheduler::resolve`], where several must have ended before the value is reached.
    #[cold]
    fn resolve_several(
        &mut self,
        flight: u32,
        index: u32,
        wait: Point,
        at: usize,
        candidates: &mut Vec<Candidate>,
    ) -> Tier {
        let line = self.flights[flight as usize].line;
        let record = &self.semaphores[wait.semaphore.index()].records[at];
        let mut places = std::mem::take(&mut self.scratch.places);
        places.clear();
        let deferral = match record.producer {
            Some(producer) => {
                places.extend(std::iter::once(producer).chain(record.others.iter().copied()));
                None
            }
            None if !record.required => Some(Deferral::Foreign),
            // From outside, with a list of what must have ended.
            None => record.known.entries().iter().find_map(|entry| match self.axes.find(entry.axis) {
                Some(known) if entry.epoch <= self.lines[known as usize].submitted => {
                    places.push(Place::new(QueueId(known), entry.epoch));
                    // An entry is about all epochs up to it; a barrier on an overlapping queue is about one.
                    (!self.lines[known as usize].is_in_order()).then_some(Deferral::Tainted)
                }
                _ => Some(Deferral::Unexportable),
            }),
        };
        if let Some(deferral) = deferral {
            self.scratch.places = places;
            return self.defer(flight, wait, deferral);
        }
        let mut same_queue = false;
        places.retain(|&place| match self.spared(line, place) {
            Some(tier) => {
                same_queue |= tier == Tier::SameQueue;
                false
            }
            None => !candidates.iter().any(|candidate| candidate.place == place),
        });
        let tier = match places.len() as u32 {
            0 if same_queue => Tier::SameQueue,
            0 => Tier::Implied,
            barriers => Tier::Undominated { barriers },
        };
        let held = places.iter().any(|place| !self.lines[place.queue.index()].exportable);
        let source = Some(wait);
        candidates.extend(places.iter().map(|&place| Candidate { place, wait: index, source, held }));
        self.scratch.places = places;
        self.learn_causes(line, wait, at);
        if held { Tier::Deferred(Deferral::Unexportable) } else { tier }
    }

    /// The host holds `flight` back until the value has been reached.
    fn defer(&mut self, flight: u32, wait: Point, why: Deferral) -> Tier {
        let flight_ = &mut self.flights[flight as usize];
        flight_.left_host += 1;
        flight_.loose = true;
        flight_.grounded = false;
        let waiter = (wait.value, flight, flight_.sequence);
        self.semaphores[wait.semaphore.index()].waiters.push(std::cmp::Reverse(waiter));
        Tier::Deferred(why)
    }

    /// Merges the causes of the value that a wait is for, its producers included, into what `line` knows.
    pub(super) fn learn_causes(&mut self, line: u32, wait: Point, at: usize) {
        if self.options.policy != Policy::Frontiers {
            return;
        }
        // They are merged where they stand: queues that work together know of the same axes, whose epochs are then
        // raised in place, while a copy would be as long as the frontier is wide.
        let mut knowledge = std::mem::take(&mut self.lines[line as usize].knowledge);
        let capacity = self.options.capacity;
        let record = &self.semaphores[wait.semaphore.index()].records[at];
        let mut all = record.exact;
        let mut room = knowledge.merge_bounded(&record.known, capacity).is_ok();
        let mut own = Frontier::new();
        let mut channel = None;
        if let Some(producer) = record.producer {
            let source = &self.lines[producer.queue.index()];
            if record.prefix {
                own = Frontier::single(source.axis, producer.epoch).expect("epochs begin at 1");
                room = room && knowledge.merge_bounded(&own, capacity).is_ok();
            } else {
                all = false;
            }
            channel = matches!(source.kind, Kind::Channel(_)).then_some(producer.queue.0);
        }
        if room {
            self.keep(line, knowledge, true, &own);
        } else {
            // What found room has ended all the same, and may stay.
            self.lines[line as usize].knowledge = knowledge;
            all &= self.learn_pruned(line, wait, at, &own);
        }
        if let Some(channel) = channel {
            let mut knowledge = std::mem::take(&mut self.lines[line as usize].knowledge);
            compress(&self.lines, &mut knowledge, channel);
            self.lines[line as usize].knowledge = knowledge;
        }
        if !all {
            // What is missing has ended when the submission has that is being taken.
            self.lines[line as usize].loose_until = self.sequence;
        }
    }

    /// As [`Scheduler::learn_causes`], where there is no room before what has ended is left out. Says whether there is.
    #[cold]
    fn learn_pruned(&mut self, line: u32, wait: Point, at: usize, own: &Frontier) -> bool {
        let mut causes = std::mem::take(&mut self.scratch.causes);
        causes.clone_from(&self.semaphores[wait.semaphore.index()].records[at].known);
        let mut all = causes.merge(own).is_ok();
        if !self.learn(line, &causes) {
            all = false;
            self.lines[line as usize].lost_until = self.sequence;
        }
        self.scratch.causes = causes;
        all
    }

    /// Leaves out barriers that others of the same submission imply.
    ///
    /// **It is enough to look at what all of them know together.** What a producer knew leaves out the producer itself,
    /// so a place that is in the causes of all is in those of another one; and who comes after whom has no circles, so
    /// that from what is left out a way leads to one that is not. One merge for each candidate, and not a look for each
    /// pair.
    pub(super) fn minimize(&mut self, flight: u32, candidates: &mut Vec<Candidate>) {
        let mut causes = std::mem::take(&mut self.scratch.causes);
        causes.clear();
        let mut last = None;
        for source in candidates.iter().filter_map(|candidate| candidate.source) {
            if last.replace(source) == Some(source) {
                continue;
            }
            let timeline = &self.semaphores[source.semaphore.index()];
            let Some(at) = timeline.find(source.value) else { continue };
            let record = &timeline.records[at];
            // The causes of a value that stands for several producers, or of one from outside, are those of all that
            // have
            // to end: of none of these does it follow that it comes after another. What finds no room implies nothing.
            if record.others.is_empty() && record.producer.is_some() {
                _ = causes.merge(&record.known);
            }
        }
        let mut index = 0;
        while index < candidates.len() {
            let candidate = candidates[index];
            if implies(&self.lines, &causes, candidate.place) {
                candidates.remove(index);
                if let Some(wait) = self.flights[flight as usize].waits.get_mut(candidate.wait as usize) {
                    let rest = candidates.iter().filter(|other| other.wait == candidate.wait).count() as u32;
                    wait.tier = match (rest, wait.tier) {
                        (0, _) => Tier::Implied,
                        (barriers, Tier::Undominated { .. }) => Tier::Undominated { barriers },
                        (_, tier) => tier,
                    };
                }
            } else {
                index += 1;
            }
        }
        self.scratch.causes = causes;
    }

    /// Has `flight` told of the end of `place`, which has not come.
    pub(super) fn watch(&mut self, flight: u32, place: Place, held: bool) {
        let watcher = &mut self.flights[flight as usize];
        *(if held { &mut watcher.left_held } else { &mut watcher.left_barriers }) += 1;
        let sequence = watcher.sequence;
        let line = &mut self.lines[place.queue.index()];
        if let Kind::External { held } = &mut line.kind {
            held.push(std::cmp::Reverse((place.epoch, flight, sequence)));
            return;
        }
        let target = line.flight(place.epoch).expect("what has not ended is in flight") as usize;
        self.flights[target].dependents.push(Dependent { flight, held });
    }

    /// Issues what is left: barriers for the queue, and ends that the host waits for.
    pub(super) fn issue(&mut self, flight: u32, candidates: &[Candidate]) {
        for candidate in candidates {
            let line = &self.lines[candidate.place.queue.index()];
            let axis = line.axis;
            if candidate.place.epoch >= line.ungrounded_from || matches!(line.kind, Kind::External { .. }) {
                self.flights[flight as usize].grounded = false;
            }
            self.watch(flight, candidate.place, candidate.held);
            let issued = &mut self.flights[flight as usize];
            match candidate.held {
                true => issued.held.push(candidate.place),
                false => issued.barriers.push(Barrier { axis, place: candidate.place }),
            }
        }
    }
}

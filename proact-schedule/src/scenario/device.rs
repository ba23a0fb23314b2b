//! Simulated devices in virtual time, under the scheduler proper.
//!
//! A device is an in-order queue that is handed its work as soon as the host has nothing more to wait for, and keeps
//! the barriers itself. It relies on these alone: whatever the scheduler left out, and should not have, shows as work
//! that ran too early.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proact::status::Status;

use crate::Scheduler;
use crate::model::Place;
use crate::record::{Recorder, Recording, Silent};

/// What the devices run: how long it takes, and which piece of work it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Job {
    pub(super) number: usize,
    pub(super) duration: u64,
}

/// What synchronization costs a device, in the unit of durations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Costs {
    /// What a device takes to get past a barrier whose work has ended.
    pub(super) barrier: u64,
}

/// A recorder that can be told the time.
pub(super) trait Timed: Recorder {
    fn at(&mut self, now: u64);
}

impl Timed for Silent {
    fn at(&mut self, _: u64) {}
}

impl Timed for Recording {
    fn at(&mut self, now: u64) {
        self.now_ns = now;
    }
}

#[derive(Default)]
struct Device {
    /// What it was handed and has not begun, with what must have ended.
    handed: VecDeque<(Place, Job, Vec<Place>)>,
    busy: bool,
    /// All up to this epoch have ended, as the device itself knows.
    ended: u64,
}

/// The devices of a scheduler: one a queue, in the order in which the queues were added.
pub(super) struct Devices {
    devices: Vec<Device>,
    costs: Costs,
    running: BinaryHeap<Reverse<(u64, Place, usize)>>,
    now: u64,
    /// When each job ran; `None` if it has not.
    pub(super) spans: Vec<Option<(u64, u64)>>,
    /// How many barriers the devices were handed.
    pub(super) barriers: u64,
}

impl Devices {
    /// Devices for `queues` queues and this many jobs.
    pub(super) fn new(queues: usize, jobs: usize, costs: Costs) -> Devices {
        Devices {
            devices: (0..queues).map(|_| Device::default()).collect(),
            costs,
            running: BinaryHeap::new(),
            now: 0,
            spans: vec![None; jobs],
            barriers: 0,
        }
    }

    /// When the last job that has ended did.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Runs until nothing is left that can begin or end.
    ///
    /// # Errors
    /// The scheduler's, if it does not know what ended: then it is wrong.
    pub(super) fn run<R: Timed>(&mut self, scheduler: &mut Scheduler<Job, R>) -> Result<(), Status> {
        loop {
            self.take(scheduler);
            self.start();
            let Some(Reverse((end, ..))) = self.running.peek() else { return Ok(()) };
            self.now = *end;
            scheduler.recorder_mut().at(self.now);
            // All that ends now has ended before anything begins.
            while let Some(&Reverse((end, place, queue))) = self.running.peek() {
                if end > self.now {
                    break;
                }
                self.running.pop();
                self.devices[queue].busy = false;
                self.devices[queue].ended = place.epoch;
                scheduler.complete(place)?;
            }
        }
    }

    fn take<R: Recorder>(&mut self, scheduler: &mut Scheduler<Job, R>) {
        while let Some(work) = scheduler.next_work() {
            let barriers: Vec<Place> = scheduler.barriers(work.place).iter().map(|barrier| barrier.place).collect();
            self.barriers += barriers.len() as u64;
            self.devices[work.place.queue.index()].handed.push_back((work.place, work.payload, barriers));
        }
    }

    fn start(&mut self) {
        for queue in 0..self.devices.len() {
            let device = &self.devices[queue];
            let Some((place, job, barriers)) = device.handed.front().filter(|_| !device.busy) else { continue };
            if barriers.iter().any(|barrier| !self.has_ended(*barrier)) {
                continue;
            }
            let start = self.now + self.costs.barrier * barriers.len() as u64;
            let end = start + job.duration;
            self.spans[job.number] = Some((start, end));
            self.running.push(Reverse((end, *place, queue)));
            self.devices[queue].handed.pop_front();
            self.devices[queue].busy = true;
        }
    }

    fn has_ended(&self, place: Place) -> bool {
        self.devices[place.queue.index()].ended >= place.epoch
    }
}

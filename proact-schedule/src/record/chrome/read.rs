//! A recording as it is drawn.

use std::collections::{BTreeMap, HashMap};

use proact::causal::Axis;

use super::super::{Event, Recording, Timed, Wait};
use super::axis_name;

/// A submission that has ended.
pub(super) struct Slice<'a> {
    pub(super) place: (u32, u64),
    pub(super) waits: &'a [Wait],
    pub(super) signals: &'a [(u32, u64)],
    pub(super) barriers: &'a [(u32, u64)],
    pub(super) submitted_ns: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// It ran, and did not only end.
    pub(super) began: bool,
    pub(super) failure: Option<&'a str>,
    /// Which of its queue's lines it is drawn on.
    pub(super) lane: u32,
}

pub(super) struct Queue {
    pub(super) name: String,
    pub(super) pid: u64,
    in_order: bool,
    /// How many of its submissions run at once, at most.
    pub(super) lanes: u32,
}

/// One recording.
pub(super) struct Page<'a> {
    pub(super) events: &'a [Timed],
    /// The process of whatever is of no queue.
    pub(super) own: u64,
    pub(super) machines: BTreeMap<u8, &'a str>,
    pub(super) queues: BTreeMap<u32, Queue>,
    pub(super) names: HashMap<(u32, u64), &'a str>,
    pub(super) slices: Vec<Slice<'a>>,
    /// The process of whoever signals a semaphore.
    pub(super) semaphores: HashMap<u32, u64>,
    shared: HashMap<u32, String>,
}

impl<'a> Page<'a> {
    pub(super) fn of(recording: &'a Recording) -> Page<'a> {
        let mut page = Page {
            events: &recording.events,
            own: 1,
            machines: BTreeMap::new(),
            queues: BTreeMap::new(),
            names: HashMap::new(),
            slices: Vec::new(),
            semaphores: HashMap::new(),
            shared: HashMap::new(),
        };
        let mut open: HashMap<(u32, u64), Slice<'a>> = HashMap::new();
        let mut is_own = false;
        for timed in page.events {
            let at_ns = timed.at_ns;
            match &timed.event {
                Event::Queue { queue, axis, in_order, .. } => page.add(*queue, *axis, *in_order),
                Event::Channel { queue, axis, .. } | Event::Axis { queue, axis } => page.add(*queue, *axis, true),
                Event::Name { queue, epoch: None, name } => {
                    if let Some(queue) = page.queues.get_mut(queue) {
                        queue.name.clone_from(name);
                    }
                }
                Event::Name { queue, epoch: Some(epoch), name } => _ = page.names.insert((*queue, *epoch), name),
                Event::Machine { machine, name, own } => {
                    page.machines.insert(*machine, name);
                    if *own && !std::mem::replace(&mut is_own, true) {
                        page.own = u64::from(*machine) + 1;
                    }
                }
                Event::Shared { semaphore, owner, client, number } => {
                    page.shared.insert(*semaphore, format!("{owner}.{client}.{number}"));
                }
                Event::Submitted { queue, epoch, waits, signals, barriers, .. } => {
                    let pid = page.queues.get(queue).map_or(1, |queue| queue.pid);
                    page.semaphores.extend(signals.iter().map(|&(semaphore, _)| (semaphore, pid)));
                    open.insert(
                        (*queue, *epoch),
                        Slice {
                            place: (*queue, *epoch),
                            waits,
                            signals,
                            barriers,
                            submitted_ns: at_ns,
                            start_ns: at_ns,
                            end_ns: at_ns,
                            began: false,
                            failure: None,
                            lane: 0,
                        },
                    );
                }
                Event::Started { queue, epoch } => {
                    if let Some(slice) = open.get_mut(&(*queue, *epoch)) {
                        (slice.start_ns, slice.began) = (at_ns, true);
                    }
                }
                Event::Ended { queue, epoch, failure } => {
                    let known = page.queues.contains_key(queue);
                    if let Some(slice) = open.remove(&(*queue, *epoch)).filter(|_| known) {
                        let start_ns = if slice.began { slice.start_ns } else { at_ns };
                        page.slices.push(Slice { start_ns, end_ns: at_ns, failure: failure.as_deref(), ..slice });
                    }
                }
                _ => {}
            }
        }
        page.spread();
        page
    }

    fn add(&mut self, queue: u32, axis: u64, in_order: bool) {
        let pid = Axis::from_bits(axis).map_or(1, |axis| u64::from(axis.machine()) + 1);
        self.queues.insert(queue, Queue { name: axis_name(axis), pid, in_order, lanes: 0 });
    }

    /// Gives each submission of a queue that is not in order a line on which nothing else runs meanwhile: slices of
    /// one line must not overlap.
    fn spread(&mut self) {
        let mut order: Vec<usize> = (0..self.slices.len()).collect();
        order.sort_by_key(|&index| self.slices[index].start_ns);
        let mut free: HashMap<u32, Vec<u64>> = HashMap::new();
        for index in order {
            let slice = &mut self.slices[index];
            let queue = self.queues.get_mut(&slice.place.0).expect("only slices of queues are kept");
            if queue.in_order {
                continue;
            }
            let lanes = free.entry(slice.place.0).or_default();
            let lane = lanes.iter().position(|&until| until <= slice.start_ns).unwrap_or_else(|| {
                lanes.push(0);
                lanes.len() - 1
            });
            lanes[lane] = slice.end_ns;
            slice.lane = lane as u32;
            queue.lanes = lanes.len() as u32;
        }
    }

    /// The line of a queue's lane.
    pub(super) fn line(queue: u32, lane: u32) -> u64 {
        u64::from(lane) << 16 | u64::from(queue)
    }

    /// Whose recording it is.
    pub(super) fn machine(&self) -> u8 {
        (self.own - 1) as u8
    }

    /// What a semaphore is called.
    pub(super) fn semaphore(&self, semaphore: u32) -> String {
        match self.shared.get(&semaphore) {
            Some(name) => format!("semaphore {name}"),
            None => format!("semaphore {semaphore}"),
        }
    }
}

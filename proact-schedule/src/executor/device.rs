//! A simulated device: a queue with lanes on a virtual clock, which keeps barriers itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use proact::status::Result;

use super::{Executor, Report};
use crate::model::{Barrier, Place};
use crate::options::Order;
use crate::scheduler::Work;

/// A simulated device queue. Clones are the same device: one is [attached](super::Runtime::attach), the other advances
/// its time.
///
/// Time passes only when its owner says so, so that the same submissions always run the same way. Work begins when its
/// barriers have been passed and a lane is free; an in-order device begins it after all before it has ended. Give it
/// queues that are handed what is [`Issued`](crate::Handover::Issued).
///
/// ```
/// use proact::causal::Axis;
/// use proact_schedule::executor::{Device, Runtime};
/// use proact_schedule::model::Submission;
/// use proact_schedule::{Handover, Order, QueueOptions, Scheduler, SchedulerOptions};
///
/// let mut runtime: Runtime<u64> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
/// let options = QueueOptions::in_order(Axis::queue(1, 0, 0, 0)).handover(Handover::Issued);
/// let queue = runtime.scheduler().add_queue(options)?;
/// let device = Device::new(Order::InOrder, 1, |&nanoseconds: &u64| (nanoseconds, Ok(())));
/// runtime.attach(queue, device.clone());
/// for nanoseconds in [30, 12] {
///     runtime.scheduler().submit(&Submission::new(queue), nanoseconds)?;
/// }
/// while runtime.poll() || device.advance() {}
/// assert_eq!((device.now_ns(), runtime.scheduler().ended(queue)), (42, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Device<P>(Rc<RefCell<State<P>>>);

impl<P> Clone for Device<P> {
    fn clone(&self) -> Device<P> {
        Device(self.0.clone())
    }
}

/// How long work takes, in nanoseconds, and how it ends.
type Cost<P> = Box<dyn FnMut(&P) -> (u64, Result)>;

struct State<P> {
    order: Order,
    lanes: usize,
    cost: Cost<P>,
    now_ns: u64,
    waiting: VecDeque<(Work<P>, Vec<Barrier>)>,
    /// What runs, and when it ends; by the time of its end, and among equals by when it began.
    running: Vec<(u64, Place, Result)>,
}

impl<P> Device<P> {
    /// A device with so many lanes, at time 0. `cost` says how many nanoseconds work takes, and how it ends.
    ///
    /// # Panics
    /// If there is no lane.
    pub fn new(order: Order, lanes: usize, cost: impl FnMut(&P) -> (u64, Result) + 'static) -> Device<P> {
        assert!(lanes > 0, "a device without lanes runs nothing");
        let (waiting, running) = (VecDeque::new(), Vec::new());
        Device(Rc::new(RefCell::new(State { order, lanes, cost: Box::new(cost), now_ns: 0, waiting, running })))
    }

    /// The time now, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    /// When the next work ends, if any runs.
    pub fn next_ns(&self) -> Option<u64> {
        self.0.borrow().running.first().map(|running| running.0)
    }

    /// Lets time pass until `now_ns`, or leaves it if it is as late already. With several devices, their owner takes
    /// them all to the least of their [`Device::next_ns`].
    pub fn advance_to(&self, now_ns: u64) {
        let mut state = self.0.borrow_mut();
        state.now_ns = state.now_ns.max(now_ns);
    }

    /// Lets time pass until the next work ends. Says whether any runs.
    pub fn advance(&self) -> bool {
        let next = self.next_ns();
        next.into_iter().for_each(|next| self.advance_to(next));
        next.is_some()
    }
}

impl<P> Executor<P> for Device<P> {
    fn begin(&mut self, work: Work<P>, barriers: &[Barrier]) {
        self.0.borrow_mut().waiting.push_back((work, barriers.to_vec()));
    }

    fn poll(&mut self, has_ended: &dyn Fn(Place) -> bool, reports: &mut Vec<Report>) {
        let state = &mut *self.0.borrow_mut();
        let due = state.running.partition_point(|running| running.0 <= state.now_ns);
        reports.extend(state.running.drain(..due).map(|(_, place, result)| Report { place, result }));
        let mut at = 0;
        while at < state.waiting.len() && state.running.len() < state.lanes {
            let may = state.waiting[at].1.iter().all(|barrier| has_ended(barrier.place));
            let first = at == 0 && state.running.is_empty();
            if may && (state.order == Order::Overlapping || first) {
                let Some((work, _)) = state.waiting.remove(at) else { break };
                let (nanoseconds, result) = (state.cost)(&work.payload);
                let end = state.now_ns.saturating_add(nanoseconds);
                let behind = state.running.partition_point(|running| running.0 <= end);
                state.running.insert(behind, (end, work.place, result));
            } else if state.order == Order::InOrder {
                break;
            } else {
                at += 1;
            }
        }
    }
}

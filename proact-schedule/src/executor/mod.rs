//! Who runs the work: threads, operations on a proactor, simulated devices, and whatever else there is.
//!
//! An [`Executor`] is handed the work of a queue and reports what has ended. A [`Runtime`] owns a scheduler and the
//! executors of its queues, and carries work to the ones and reports to the other. It is polled by its owner, like the
//! scheduler itself; only the executors may have threads.
//!
//! - [`Asynchronous`]: work that is started here and ends elsewhere, such as operations on a proactor.
//! - [`Threads`]: work that occupies a processor.
//! - [`Device`]: a simulated device on a virtual clock, which keeps barriers itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use proact::status::{Code, Operation, Result, Status};

mod device;
mod import;
#[cfg(test)]
mod tests;
#[cfg(not(target_family = "wasm"))]
mod threads;

pub use device::Device;
#[cfg(not(target_family = "wasm"))]
pub use threads::Threads;

use crate::model::{Barrier, Place, QueueId};
use crate::record::{Recorder, Silent};
use crate::scheduler::{Scheduler, Work};

/// What became of work.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub place: Place,
    /// How it ended.
    pub result: Result,
}

/// What runs the work of a queue.
pub trait Executor<P> {
    /// Takes work that may begin; on a queue that is handed what is [issued](crate::Handover::Issued), when all of
    /// `barriers` has ended, and on an in-order one, when all before it has.
    fn begin(&mut self, work: Work<P>, barriers: &[Barrier]);

    /// Goes on as far as it can, and adds what has ended to `reports`. `has_ended` says what barriers ask.
    fn poll(&mut self, has_ended: &dyn Fn(Place) -> bool, reports: &mut Vec<Report>);
}

/// Where others leave what has ended, and wake who polls.
#[derive(Debug, Default)]
struct Mailbox {
    post: Mutex<Post>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Post {
    reports: Vec<Report>,
    /// Tickets that have not been used.
    tickets: usize,
    /// An imported semaphore may have been signalled.
    woken: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Post> {
        // A list and a number are never left half changed.
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, post: MutexGuard<'a, Post>) -> MutexGuard<'a, Post> {
        self.bell.wait(post).unwrap_or_else(PoisonError::into_inner)
    }

    fn ticket(self: &Arc<Mailbox>, place: Place) -> Ticket {
        self.lock().tickets += 1;
        Ticket { place, mailbox: Some(self.clone()) }
    }
}

/// Ends work that was begun, from any thread, once. A ticket that is dropped ends it too, as `Cancelled`: work cannot
/// be lost.
#[derive(Debug)]
pub struct Ticket {
    place: Place,
    /// `None`: it was used.
    mailbox: Option<Arc<Mailbox>>,
}

impl Ticket {
    /// What it is for.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The work has ended.
    pub fn end(mut self, result: Result) {
        self.leave(result);
    }

    fn leave(&mut self, result: Result) {
        if let Some(mailbox) = self.mailbox.take() {
            let mut post = mailbox.lock();
            post.reports.push(Report { place: self.place, result });
            post.tickets -= 1;
            drop(post);
            mailbox.bell.notify_all();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.mailbox.is_some() {
            let lost = "whoever was to end the work has let go of it";
            self.leave(Err(Status::new(Code::Cancelled, Operation::None).with_message(lost)));
        }
    }
}

/// Work that is begun by a function and ended by whoever holds its [`Ticket`]: for instance a chain of operations on a
/// proactor, whose last callback ends it.
pub struct Asynchronous<F> {
    start: F,
    mailbox: Arc<Mailbox>,
}

impl<F> Asynchronous<F> {
    /// An executor that begins work with `start`, for a [`Runtime`].
    pub fn new<P, R: Recorder>(runtime: &Runtime<P, R>, start: F) -> Asynchronous<F>
    where
        F: FnMut(P, Ticket),
    {
        Asynchronous { start, mailbox: runtime.mailbox.clone() }
    }
}

impl<P, F: FnMut(P, Ticket)> Executor<P> for Asynchronous<F> {
    fn begin(&mut self, work: Work<P>, _: &[Barrier]) {
        let ticket = self.mailbox.ticket(work.place);
        (self.start)(work.payload, ticket);
    }

    /// Tickets report by themselves.
    fn poll(&mut self, _: &dyn Fn(Place) -> bool, _: &mut Vec<Report>) {}
}

/// A scheduler and who runs the work of its queues.
///
/// ```
/// use proact::causal::Axis;
/// use proact_schedule::executor::{Asynchronous, Runtime};
/// use proact_schedule::model::{Point, Submission};
/// use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
///
/// let mut runtime: Runtime<fn() -> u32> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
/// let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0)))?;
/// let done = runtime.scheduler().add_semaphore(0);
/// let inline = Asynchronous::new(&runtime, |work: fn() -> u32, ticket| {
///     assert_eq!(work(), 42);
///     ticket.end(Ok(()));
/// });
/// runtime.attach(queue, inline);
/// runtime.scheduler().submit(&Submission::new(queue).signals(&[Point::new(done, 1)]), || 42)?;
/// runtime.run();
/// assert_eq!(runtime.scheduler().value(done), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Runtime<P, R: Recorder = Silent> {
    scheduler: Scheduler<P, R>,
    executors: Vec<Option<Box<dyn Executor<P>>>>,
    mailbox: Arc<Mailbox>,
    reports: Vec<Report>,
    imports: Vec<import::Import>,
}

impl<P, R: Recorder> Runtime<P, R> {
    /// A runtime whose queues nobody runs yet.
    pub fn new(scheduler: Scheduler<P, R>) -> Runtime<P, R> {
        Runtime { scheduler, executors: Vec::new(), mailbox: Arc::default(), reports: Vec::new(), imports: Vec::new() }
    }

    /// The scheduler: to submit, and to ask.
    pub const fn scheduler(&mut self) -> &mut Scheduler<P, R> {
        &mut self.scheduler
    }

    /// Has `executor` run the work of `queue` from now on.
    pub fn attach(&mut self, queue: QueueId, executor: impl Executor<P> + 'static) {
        let index = queue.index();
        if self.executors.len() <= index {
            self.executors.resize_with(index + 1, || None);
        }
        self.executors[index] = Some(Box::new(executor));
    }

    /// Carries work and reports as far as they go now, without waiting. Says whether anything moved.
    ///
    /// Work of a queue that nobody runs stays where it is.
    pub fn poll(&mut self) -> bool {
        let mut moved = false;
        loop {
            let mut moves = self.poll_imports();
            for index in 0..self.executors.len() {
                let Some(executor) = &mut self.executors[index] else { continue };
                while let Some(work) = self.scheduler.next_work_of(QueueId::from_index(index as u32)) {
                    let place = work.place;
                    executor.begin(work, self.scheduler.barriers(place));
                    moves = true;
                }
                let scheduler = &self.scheduler;
                executor.poll(&|place| scheduler.has_ended(place), &mut self.reports);
            }
            self.reports.append(&mut self.mailbox.lock().reports);
            for report in self.reports.drain(..) {
                moves = true;
                let told = match report.result {
                    Ok(()) => self.scheduler.complete(report.place),
                    Err(status) => self.scheduler.fail(report.place, status),
                };
                told.expect("an executor reports what it was handed, once");
            }
            if !moves {
                return moved;
            }
            moved = true;
        }
    }

    /// Polls until nothing moves any more and no [`Ticket`] is out; sleeps while one is.
    ///
    /// What waits for something from outside stays in flight (see [`Runtime::run_until`]), and so does the work of a
    /// [`Device`], whose owner advances its time.
    pub fn run(&mut self) {
        loop {
            self.poll();
            let mut post = self.mailbox.lock();
            // What was signalled since it was looked at is looked at before anybody sleeps or goes.
            match (post.reports.is_empty() && !std::mem::take(&mut post.woken), post.tickets) {
                (true, 0) => return,
                (true, _) => drop(self.mailbox.wait(post)),
                (false, _) => {}
            }
        }
    }
}

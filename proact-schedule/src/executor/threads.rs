//! Work that occupies a processor, on threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use proact::status::{Code, Operation, Result, Status};
use proact::work_queue::WorkQueue;

use super::{Executor, Mailbox, Report, Runtime, Ticket};
use crate::model::{Barrier, Place};
use crate::record::Recorder;
use crate::scheduler::Work;

/// Threads that run the work of a queue: several at the same time on an overlapping queue, and one after the other on
/// an in-order one.
///
/// Work that panics has failed, `Internal` with what it said, and its thread goes on. Dropping the executor waits for
/// what runs; what no thread has begun ends as `Cancelled`.
#[derive(Debug)]
pub struct Threads<P> {
    pub(super) work: Arc<WorkQueue<(P, Ticket)>>,
    threads: Vec<JoinHandle<()>>,
    mailbox: Arc<Mailbox>,
}

impl<P: Send + 'static> Threads<P> {
    /// So many threads that each run work with `run`, for a [`Runtime`].
    ///
    /// # Errors
    /// What the system answers when a thread cannot be made; `InvalidArgument` if there is to be none.
    pub fn new<R: Recorder>(
        runtime: &Runtime<P, R>,
        threads: usize,
        run: impl Fn(P) -> Result + Send + Sync + 'static,
    ) -> Result<Threads<P>> {
        if threads == 0 {
            let none = Status::new(Code::InvalidArgument, Operation::Build);
            return Err(none.with_message("work without threads would never end"));
        }
        let (work, run) = (Arc::new(WorkQueue::new()), Arc::new(run));
        let mut all = Threads { work, threads: Vec::new(), mailbox: runtime.mailbox.clone() };
        for index in 0..threads {
            let (work, run) = (all.work.clone(), run.clone());
            let thread = std::thread::Builder::new()
                .name(format!("proact-schedule-{index}"))
                .spawn(move || serve(&work, &*run))
                .map_err(|error| Status::from_io_error(Operation::Build, &error))?;
            all.threads.push(thread);
        }
        Ok(all)
    }
}

/// Runs what comes until the executor is dropped.
fn serve<P>(work: &WorkQueue<(P, Ticket)>, run: &impl Fn(P) -> Result) {
    while let Some((payload, ticket)) = work.take() {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(payload)));
        ticket.end(outcome.unwrap_or_else(|panic| Err(panicked(&*panic))));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Status {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = said.map_or("the work has panicked".into(), |said| format!("the work has panicked: {said}"));
    Status::new(Code::Internal, Operation::None).with_message(said)
}

impl<P: Send + 'static> Executor<P> for Threads<P> {
    fn begin(&mut self, work: Work<P>, _: &[Barrier]) {
        let ticket = self.mailbox.ticket(work.place);
        self.work.put((work.payload, ticket)).unwrap_or_else(|_| unreachable!("it is closed by the drop"));
    }

    /// Tickets report by themselves.
    fn poll(&mut self, _: &dyn Fn(Place) -> bool, _: &mut Vec<Report>) {}
}

impl<P> Drop for Threads<P> {
    fn drop(&mut self) {
        // Their tickets say that they were cancelled.
        drop(self.work.close_and_empty());
        for thread in self.threads.drain(..) {
            // Panics of the work were caught.
            let _ = thread.join();
        }
    }
}

//! Work that occupies a processor, on threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use proact::status::{Code, Operation, Result, Status};

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
    /// Nothing more is to be begun.
    pub(super) closing: Arc<AtomicBool>,
    /// `None` only while it is dropped.
    work: Option<Sender<(P, Ticket)>>,
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
        let (sender, receiver) = channel();
        let (receiver, run, closing) = (Arc::new(Mutex::new(receiver)), Arc::new(run), Arc::default());
        let (work, mailbox) = (Some(sender), runtime.mailbox.clone());
        let mut all = Threads { closing, work, threads: Vec::new(), mailbox };
        for index in 0..threads {
            let (receiver, run, closing) = (receiver.clone(), run.clone(), all.closing.clone());
            let thread = std::thread::Builder::new()
                .name(format!("proact-schedule-{index}"))
                .spawn(move || serve(&receiver, &closing, &*run))
                .map_err(|error| Status::from_io_error(Operation::Build, &error))?;
            all.threads.push(thread);
        }
        Ok(all)
    }
}

/// Runs what comes until nobody can send any more.
fn serve<P>(receiver: &Mutex<Receiver<(P, Ticket)>>, closing: &AtomicBool, run: &impl Fn(P) -> Result) {
    loop {
        // One thread waits in the line, the others for the lock: whoever gets work lets go of it at once.
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((payload, ticket)) = next else { return };
        if closing.load(Ordering::Acquire) {
            // The ticket says that it was cancelled.
            continue;
        }
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
        let sender = self.work.as_ref().expect("it is there until the drop");
        // The threads end only after the sender: they receive all that is sent.
        sender.send((work.payload, ticket)).unwrap_or_else(|_| unreachable!("the threads hold the receiver"));
    }

    /// Tickets report by themselves.
    fn poll(&mut self, _: &dyn Fn(Place) -> bool, _: &mut Vec<Report>) {}
}

impl<P> Drop for Threads<P> {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        self.work = None;
        for thread in self.threads.drain(..) {
            // Panics of the work were caught.
            let _ = thread.join();
        }
    }
}

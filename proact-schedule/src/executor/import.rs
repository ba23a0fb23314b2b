//! Semaphores that the rest of the program signals.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use proact::causal::{Frontier, Knowledge};
use proact::status::Result;
use proact::sync::{Semaphore, SemaphoreFuture};

use super::{Mailbox, Runtime};
use crate::model::{Point, SemaphoreId};
use crate::record::Recorder;
use crate::scheduler::Scheduler;

/// A semaphore that is looked at.
pub(super) struct Import {
    semaphore: Semaphore,
    id: SemaphoreId,
    /// The value that the scheduler was told of last.
    told: u64,
    /// Wakes who polls when the next value has been reached.
    next: Option<SemaphoreFuture>,
}

impl Wake for Mailbox {
    fn wake(self: Arc<Mailbox>) {
        self.lock().woken = true;
        self.bell.notify_all();
    }
}

impl Import {
    /// Tells the scheduler what the program has signalled since. Says whether that was anything.
    fn poll<P, R: Recorder>(&mut self, scheduler: &mut Scheduler<P, R>, waker: &Waker) -> Result<bool> {
        let mut moved = false;
        loop {
            let failure = self.semaphore.status();
            let value = self.semaphore.value();
            if value > self.told {
                let unknown = || Knowledge::lower_bound(Frontier::new());
                let causes = self.semaphore.causes(value).unwrap_or_else(unknown);
                scheduler.signal(Point::new(self.id, value), &causes)?;
                moved = true;
            }
            self.told = self.told.max(value);
            if let Some(status) = failure {
                self.next = None;
                return Ok(scheduler.fail_semaphore(self.id, status) || moved);
            }
            let next = self.next.get_or_insert_with(|| self.semaphore.future(self.told + 1));
            if Pin::new(next).poll(&mut Context::from_waker(waker)).is_pending() {
                return Ok(moved);
            }
            // Reached or failed meanwhile: look again.
            self.next = None;
        }
    }
}

impl<P, R: Recorder> Runtime<P, R> {
    /// Adds a semaphore that the program signals: its values are seen here with their causes, and so is its failure.
    /// Work may wait for values that the program has yet to signal.
    ///
    /// What submissions here signal is another semaphore: see [`Scheduler::add_shown_semaphore`].
    ///
    /// ```
    /// use proact::causal::Axis;
    /// use proact::sync::Semaphore;
    /// use proact_schedule::executor::{Asynchronous, Runtime};
    /// use proact_schedule::model::{Point, Submission};
    /// use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
    ///
    /// let mut runtime: Runtime<()> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    /// let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0)))?;
    /// let frames = Semaphore::new(0);
    /// let imported = runtime.import(frames.clone());
    /// let executor = Asynchronous::new(&runtime, |(), ticket| ticket.end(Ok(())));
    /// runtime.attach(queue, executor);
    /// let waits = [Point::new(imported, 1)];
    /// let place = runtime.scheduler().submit(&Submission::new(queue).waits(&waits), ())?;
    ///
    /// let camera = std::thread::spawn(move || frames.signal(1, None));
    /// runtime.run_until(|scheduler| scheduler.has_ended(place));
    /// camera.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn import(&mut self, semaphore: Semaphore) -> SemaphoreId {
        let told = semaphore.value();
        let id = self.scheduler.add_foreign_semaphore(told);
        self.imports.push(Import { semaphore, id, told, next: None });
        id
    }

    /// Tells the scheduler what the program has signalled. Says whether that was anything.
    pub(super) fn poll_imports(&mut self) -> bool {
        if self.imports.is_empty() {
            return false;
        }
        let waker = Waker::from(self.mailbox.clone());
        let mut moved = false;
        for import in &mut self.imports {
            // Only what is not above the value before is refused, and such is not told.
            moved |= import.poll(&mut self.scheduler, &waker).expect("the value has risen");
        }
        moved
    }

    /// Polls until `done` says so, and sleeps while nothing moves: until a [`Ticket`](super::Ticket) is used, or an
    /// imported semaphore signalled.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Scheduler<P, R>) -> bool) {
        loop {
            self.poll();
            if done(&mut self.scheduler) {
                return;
            }
            let mut post = self.mailbox.lock();
            while post.reports.is_empty() && !post.woken {
                post = self.mailbox.wait(post);
            }
            post.woken = false;
        }
    }
}

//! What a callback may do.

use super::batch::{Batch, Refused};
use super::engine::Engine;
use super::identity::{OperationId, ProgressId};
use crate::resource::Home;
use crate::status::Result;
use crate::time::Time;

/// The proactor, lent to a callback: it may submit and cancel, never poll.
pub struct Context<'a> {
    pub(super) engine: &'a mut Engine,
}

impl Context<'_> {
    /// Submits operations, as [`Proactor::submit`](crate::proactor::Proactor::submit) does. They start at once where
    /// the backend can; their callbacks come after this one has returned.
    #[track_caller]
    pub fn submit<B: Batch>(&mut self, batch: B) -> Result<B::Ids, Refused<B>> {
        self.engine.submit(batch)
    }

    /// Asks that an operation end early, as [`Proactor::cancel`](crate::proactor::Proactor::cancel) does.
    #[track_caller]
    pub fn cancel(&mut self, id: OperationId) -> Result<()> {
        self.engine.cancel(id)
    }

    /// Sets a timer that waits to another deadline, as
    /// [`Proactor::reset_timer`](crate::proactor::Proactor::reset_timer) does.
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn reset_timer(&mut self, id: OperationId, deadline: Time) -> Result<()> {
        self.engine.reset_timer(id, deadline)
    }

    /// Registers a function that is called in every pass from the next one on, as
    /// [`Proactor::add_progress`](crate::proactor::Proactor::add_progress) does.
    pub fn add_progress(&mut self, call: impl FnMut(ProgressId, &mut Context<'_>) -> usize + 'static) -> ProgressId {
        self.engine.add_progress(Box::new(call))
    }

    /// Ends such a registration, also the one whose call this is. See
    /// [`Proactor::remove_progress`](crate::proactor::Proactor::remove_progress).
    #[track_caller]
    pub fn remove_progress(&mut self, id: ProgressId) -> Result<()> {
        self.engine.remove_progress(id)
    }

    /// The time of this poll pass: read once, when the pass first needs it, so cheap, and late by as long as the pass
    /// has run since. What a callback measures of itself it reads from the proactor's [`Clock`](crate::time::Clock).
    pub fn now(&mut self) -> Time {
        self.engine.pass_time()
    }

    /// How many operations are in flight.
    pub fn pending(&self) -> usize {
        self.engine.pending()
    }

    pub(crate) fn home(&self) -> Home {
        self.engine.home()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine
    }

    pub(crate) fn engine_mut(&mut self) -> &mut Engine {
        self.engine
    }
}

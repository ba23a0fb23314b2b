//! What runs functions: the frames of one invocation, and who resumes which of them when.
//!
//! [`Machine::begin`] and [`Machine::resume`] run functions until the invocation is over or one of them yields or waits
//! ([`Stop`]); calls between functions happen within, one frame upon another, and never on the thread's own stack. Who
//! drives a machine differs only in what it does at a stop: see [`block`] for the driver that has a thread to itself,
//! and [`lent`] for what it does with a proactor that it was lent.

mod block;
mod lent;
mod run;
pub(crate) mod work;

use std::sync::Arc;
use std::task::Waker;

use proact::time::{Clock, Time};

use crate::convention::Packed;
use crate::error::{CallId, Error};
use crate::module::Function;
use crate::module::native::Mailbox;
use crate::stack::{Arena, Stack, StackLimits};
use crate::trace::{Traced, Tracing};
use crate::wait::{WaitFrame, Wakeup};

pub(crate) use block::{Holder, Parks};
pub(crate) use lent::Polls;
pub(crate) use run::Stop;

/// What an invocation consists of while its functions run. One set of arguments and one of results does for all
/// frames: arguments are read when a function begins, results when its caller is resumed, and nothing runs in between.
pub(crate) struct Machine {
    pub(crate) stack: Stack,
    pub(crate) arguments: Packed,
    pub(crate) results: Packed,
    /// Of the last [`Flow::Call`].
    pub(crate) callee: Option<Function>,
    /// The call has stopped before it begins [`Machine::callee`].
    is_calling: bool,
    /// Calls since the last stop.
    calls: u32,
    /// Of the last [`Flow::Wait`].
    pub(crate) wait: Option<WaitFrame>,
    /// Made for the first function that wants a waker, and kept.
    pub(crate) wakeup: Option<(Arc<Wakeup>, Waker)>,
    /// Made for the first `async` function, and kept. It is not here while one is polled.
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    /// The last number that was given to a frame of an `async` function.
    pub(crate) last_frame: u64,
    pub(crate) id: CallId,
    /// Of the whole invocation.
    pub(crate) deadline: Option<Time>,
    /// That deadline has passed, and a function was told so.
    pub(crate) expired: bool,
    /// The wait began when that deadline had passed.
    pub(crate) begun_late: bool,
    pub(crate) clock: Clock,
    pub(crate) traced: bool,
    /// Who hears of a traced call, if anybody does.
    pub(crate) tracing: Option<Tracing>,
    /// What the call has its memory of, if that is not the machine's own.
    arena: Option<Arena>,
}

impl Machine {
    /// One that runs nothing, and has no memory yet.
    pub(crate) fn new(limits: StackLimits) -> Machine {
        Machine {
            stack: Stack::new(limits),
            arguments: Packed::new(),
            results: Packed::new(),
            callee: None,
            is_calling: false,
            calls: 0,
            wait: None,
            wakeup: None,
            mailbox: None,
            last_frame: 0,
            id: CallId(0),
            deadline: None,
            expired: false,
            begun_late: false,
            clock: Clock::monotonic(),
            traced: false,
            tracing: None,
            arena: None,
        }
    }

    /// Has the next call take its memory of an arena, until it is cleared. Nothing is packed yet.
    pub(crate) fn use_arena(&mut self, arena: &Arena) {
        self.clear();
        self.stack.set_arena(Some(arena.clone()));
        (self.arguments, self.results) = (arena.take_packed(), arena.take_packed());
        self.arena = Some(arena.clone());
    }

    #[cold]
    fn leave_arena(&mut self) {
        if let Some(arena) = self.arena.take() {
            self.stack.set_arena(None);
            arena.give_packed_back(std::mem::take(&mut self.arguments));
            arena.give_packed_back(std::mem::take(&mut self.results));
        }
    }

    /// Gives up all that a call holds, from the top frame down. Memory is kept.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.tracing.is_some() {
            self.tell_given_up(None);
            self.tracing = None;
        }
        if !self.stack.is_empty() {
            self.stack.clear();
            if let Some(mailbox) = &self.mailbox {
                mailbox.forget_wakers();
            }
        }
        if self.wait.is_some() {
            self.wait = None;
        }
        if self.callee.is_some() {
            self.callee = None;
        }
        self.arguments.clear();
        self.results.clear();
        (self.expired, self.begun_late) = (false, false);
        (self.is_calling, self.calls) = (false, 0);
        if self.arena.is_some() {
            self.leave_arena();
        }
    }

    /// Says of what stands, from the top down, that it ends: by a failure, or by none.
    #[cold]
    pub(crate) fn tell_given_up(&mut self, failure: Option<&Error>) {
        let Some(mut tracing) = self.tracing.take() else { return };
        let unframed = tracing.take_unframed(self.stack.len());
        for function in unframed.iter().chain(self.stack.functions()) {
            let what = failure.map_or(Traced::GivenUp(function), |error| Traced::Failed(function, error));
            tracing.tell(self.id, self.clock.now(), what);
        }
        self.tracing = Some(tracing);
    }

    /// Says what the call does, if it is one that does.
    pub(crate) fn tell(&self, what: Traced<'_>) {
        if let Some(tracing) = &self.tracing {
            tracing.tell(self.id, self.clock.now(), what);
        }
    }

    pub(crate) fn wakeup(&mut self) -> &(Arc<Wakeup>, Waker) {
        self.wakeup.get_or_insert_with(|| {
            let wakeup = Arc::new(Wakeup::default());
            let waker = Waker::from(wakeup.clone());
            (wakeup, waker)
        })
    }
}

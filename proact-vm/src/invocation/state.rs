//! What a call lies in, and what it is asked to keep to.

use std::fmt;
use std::sync::Arc;

use proact::time::{Clock, Time, Timeout};

use super::Timers;
use crate::context::{Context, Entry, Ticket, Turn};
use crate::convention::{pack, unpack};
use crate::error::{Error, Result};
use crate::machine::{Machine, Stop};
use crate::module::{Function, Resumption};
use crate::stack::{Arena, StackLimits};
use crate::value::{Inputs, Outputs};
use crate::wait::{WaitFrame, WaitSource};

/// What a call keeps to.
#[derive(Clone, Default)]
pub struct InvocationOptions {
    pub(crate) deadline: Option<Timeout>,
    pub(crate) clock: Option<Clock>,
    pub(crate) traced: bool,
    pub(crate) inline: bool,
    pub(crate) limits: StackLimits,
    pub(crate) timers: Option<Arc<dyn Timers>>,
    arena: Option<Arena>,
}

impl InvocationOptions {
    /// No deadline, the system's clock, a stack of 8 KiB to 1 MiB, nothing traced.
    pub fn new() -> InvocationOptions {
        InvocationOptions::default()
    }

    /// When the call must have ended, from its begin on. A wait beyond it fails with `DEADLINE_EXCEEDED`, and so does
    /// the call at its next stop.
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Timeout>) -> InvocationOptions {
        self.deadline = Some(deadline.into());
        self
    }

    /// Whose time deadlines and timed waits are.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> InvocationOptions {
        self.clock = Some(clock);
        self
    }

    /// What the call's memory is taken of: see [`Arena`].
    #[must_use]
    pub fn arena(mut self, arena: &Arena) -> InvocationOptions {
        self.arena = Some(arena.clone());
        self
    }

    /// What wakes the tasks of [`Context::invoke_async`] at a time: a proactor's handle, most often, whose clock
    /// [`InvocationOptions::clock`] should be.
    #[must_use]
    pub fn timers(mut self, timers: impl Timers) -> InvocationOptions {
        self.timers = Some(Arc::new(timers));
        self
    }

    /// Has the call tell what it does, to the context's [tracer](crate::ContextBuilder::tracer), and asks its functions
    /// to tell what they do; as is done anyway in a context that is [traced](crate::ContextBuilder::traced).
    #[must_use]
    pub fn traced(mut self) -> InvocationOptions {
        self.traced = true;
        self
    }

    /// If it is traced, its time goes to the account of whoever runs it, and not to one of its own: see
    /// [`Track`](crate::trace::Track). For short calls that belong to what calls them.
    #[must_use]
    pub fn inline(mut self) -> InvocationOptions {
        self.inline = true;
        self
    }

    /// How large the stack may become.
    #[must_use]
    pub fn stack(mut self, limits: StackLimits) -> InvocationOptions {
        self.limits = limits;
        self
    }

    /// Nothing is packed in the machine yet.
    #[inline]
    pub(crate) fn apply(&self, machine: &mut Machine) {
        machine.clock = self.clock.clone().unwrap_or_else(Clock::monotonic);
        machine.traced = self.traced;
        machine.stack.set_limits(self.limits);
        if let Some(arena) = &self.arena {
            machine.use_arena(arena);
        }
        machine.deadline = self.deadline.and_then(|deadline| at(deadline, &machine.clock));
    }
}

impl fmt::Debug for InvocationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationOptions")
            .field("deadline", &self.deadline)
            .field("traced", &self.traced)
            .field("inline", &self.inline)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The time that is meant; `None` for never.
pub(crate) fn at(timeout: Timeout, clock: &Clock) -> Option<Time> {
    match timeout {
        Timeout::Immediate => Some(clock.now()),
        Timeout::After(duration) => Some(clock.now() + duration),
        Timeout::At(time) => Some(time),
        Timeout::Infinite => None,
    }
}

/// Where a call lies: its stack, its arguments and results. It is used again and again, and keeps its memory, so that
/// calls after the first ones allocate nothing.
///
/// One that was never begun holds nothing, and dropping it, or giving up what was begun in it, at any step leaves
/// nothing behind.
pub struct InvocationState {
    pub(crate) machine: Machine,
    /// Of the call that lies here: the context lives as long.
    call: Option<(Context, Function)>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// No call lies here, or one that has ended.
    Idle,
    /// What the call needs lies here, and it was not begun.
    Prepared,
    /// The call has not begun: others are in the context.
    Queued(Arc<Ticket>),
    /// It has the context's turn, if that gives turns.
    Begun,
    /// It is within a turn that somebody else has taken.
    Within,
}

// What drivers other than the one that holds a thread are made of. Each is a loop around `start` and `go_on` that ends
// with `finish` or `abort`.
impl InvocationState {
    /// A state without memory yet.
    pub fn new() -> InvocationState {
        InvocationState { machine: Machine::new(StackLimits::default()), call: None, phase: Phase::Idle }
    }

    /// Bytes that it keeps for frames.
    pub fn stack_capacity(&self) -> usize {
        self.machine.stack.capacity()
    }

    /// Begins a call: captures its inputs, and runs it up to its first stop. An error is one of beginning, and leaves
    /// nothing; the call's own failure is in [`Stop::Done`].
    pub(crate) fn start<I: Inputs + ?Sized>(
        &mut self,
        context: &Context,
        function: &Function,
        options: &InvocationOptions,
        inputs: &I,
    ) -> Result<Stop> {
        self.prepare(context, function, options, inputs)?;
        Ok(self.enter())
    }

    /// As [`InvocationState::start`], without running anything yet: then [`InvocationState::enter`].
    pub(crate) fn prepare<I: Inputs + ?Sized>(
        &mut self,
        context: &Context,
        function: &Function,
        options: &InvocationOptions,
        inputs: &I,
    ) -> Result {
        if !matches!(self.phase, Phase::Idle) {
            self.rest();
        }
        context.check(function)?;
        options.apply(&mut self.machine);
        let prepared = pack(function.convention().arguments(), inputs, &mut self.machine.arguments);
        if let Err(error) = prepared {
            self.machine.clear();
            return Err(error.about(function.name().to_string()));
        }
        self.machine.id = context.call_id();
        self.machine.traced |= context.is_traced();
        if self.machine.traced {
            self.machine.tracing = context.tracing(options.inline);
        }
        // What rests here from the last call is most often the same: two counts less each way.
        if self.call.as_ref().is_none_or(|(own, last)| !own.is_same(context) || last != function) {
            self.call = Some((context.clone(), function.clone()));
        }
        self.phase = Phase::Prepared;
        Ok(())
    }

    /// Begins what was prepared, if it is its turn, or stops to wait for it.
    pub(crate) fn enter(&mut self) -> Stop {
        let Some((context, function)) = &self.call else {
            return Stop::Done(Err(Error::internal("nothing was prepared")));
        };
        match context.enter() {
            Entry::Now => {
                self.phase = Phase::Begun;
                let _inside = context.inside();
                self.machine.begin(function)
            }
            Entry::Refused => {
                let error = context.is_busy();
                Stop::Done(Err(self.machine.fail(error)))
            }
            Entry::Later(ticket) => {
                self.machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket.clone()))]));
                self.phase = Phase::Queued(ticket);
                Stop::Wait
            }
        }
    }

    /// Begins what was prepared, within a turn that the caller has, and keeps until this has ended.
    pub(crate) fn enter_within(&mut self) -> Stop {
        let Some((context, function)) = &self.call else {
            return Stop::Done(Err(Error::internal("nothing was prepared")));
        };
        self.phase = Phase::Within;
        let _inside = context.inside();
        self.machine.begin(function)
    }

    /// Goes on after a stop.
    pub(crate) fn go_on(&mut self, why: Resumption) -> Stop {
        let Some((context, function)) = &self.call else {
            return Stop::Done(Err(Error::internal("a resume of nothing")));
        };
        let Phase::Queued(ticket) = &self.phase else {
            let _inside = context.inside();
            return self.machine.resume(why);
        };
        match why {
            // Its turn has not come: the wait for it goes on, whatever a host has told.
            Resumption::Waited(Ok(_)) if !ticket.is_granted() => {
                self.machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket.clone()))]));
                Stop::Wait
            }
            Resumption::Waited(Ok(_)) => {
                self.phase = Phase::Begun;
                let _inside = context.inside();
                self.machine.begin(function)
            }
            Resumption::Waited(Err(error)) | Resumption::Failed(error) => {
                context.give_up(ticket);
                self.phase = Phase::Idle;
                Stop::Done(Err(self.machine.fail(error)))
            }
            other => Stop::Done(Err(Error::internal(format!("a call that waits for its turn: {other:?}")))),
        }
    }

    /// For who is about to hold this thread until the call may go on: one that waits for its turn in a context whose
    /// turn this thread has would hold it for ever.
    pub(crate) fn check_turn(&self) -> Result {
        match (&self.phase, &self.call) {
            (Phase::Queued(ticket), Some((context, _))) if !ticket.is_granted() => context.check_outside(),
            _ => Ok(()),
        }
    }

    /// Ends a call that has stopped from outside: what is answered is its failure, with what stood.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        self.machine.fail(error)
    }

    /// As [`InvocationState::fail`], and leaves what stands where it is.
    pub(crate) fn locate(&self, error: Error) -> Error {
        self.machine.locate(error, None)
    }

    /// Gives the results of a call that has ended well to `outputs`. Either way the state is free afterwards.
    pub(crate) fn finish<O: Outputs + ?Sized>(&mut self, outputs: &mut O) -> Result {
        let unpacked = self.finish_and_rest(outputs);
        self.call = None;
        unpacked
    }

    /// As [`InvocationState::finish`], and holds the context and the function for the next call.
    #[inline]
    pub(crate) fn finish_and_rest<O: Outputs + ?Sized>(&mut self, outputs: &mut O) -> Result {
        let unpacked = match &self.call {
            Some((_, function)) => unpack(function.convention().results(), &mut self.machine.results, outputs),
            None => Err(Error::internal("nothing has ended")),
        };
        self.rest();
        unpacked
    }

    /// Gives up whatever lies here: frames from the top down, arguments, results, the context.
    pub(crate) fn abort(&mut self) {
        self.rest();
        // Last: with the last handle of a context its deinitializers run.
        self.call = None;
    }

    /// As [`InvocationState::abort`], but for the handles of the context and the function.
    #[inline]
    pub(crate) fn rest(&mut self) {
        /// Leaves, also when a destructor panics.
        struct Turned<'a>(&'a mut InvocationState);
        impl Drop for Turned<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        let turned = Turned(self);
        turned.0.machine.clear();
    }

    /// The frames are gone: so is the call.
    fn leave(&mut self) {
        if std::thread::panicking() {
            self.machine.clear(); // what was left when it was cleared
        }
        if let Some((wakeup, _)) = &self.machine.wakeup {
            wakeup.unregister();
        }
        match (std::mem::replace(&mut self.phase, Phase::Idle), &self.call) {
            (Phase::Queued(ticket), Some((context, _))) => context.give_up(&ticket),
            (Phase::Begun, Some((context, _))) => context.leave(),
            _ => {}
        }
    }
}

impl Drop for InvocationState {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Default for InvocationState {
    fn default() -> InvocationState {
        InvocationState::new()
    }
}

impl fmt::Debug for InvocationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationState")
            .field("frames", &self.machine.stack)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

//! What a call lies in, and what it is asked to keep to.

use std::fmt;

use proact::time::{Clock, Time, Timeout};

use crate::machine::Machine;
use crate::stack::StackLimits;

/// What a call keeps to.
#[derive(Clone, Debug, Default)]
pub struct InvocationOptions {
    pub(crate) deadline: Option<Timeout>,
    pub(crate) clock: Option<Clock>,
    pub(crate) traced: bool,
    pub(crate) limits: StackLimits,
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

    /// Asks functions to tell what they do.
    #[must_use]
    pub fn traced(mut self) -> InvocationOptions {
        self.traced = true;
        self
    }

    /// How large the stack may become.
    #[must_use]
    pub fn stack(mut self, limits: StackLimits) -> InvocationOptions {
        self.limits = limits;
        self
    }

    #[inline]
    pub(crate) fn apply(&self, machine: &mut Machine) {
        if let Some(clock) = &self.clock {
            machine.clock = clock.clone();
        }
        machine.traced = self.traced;
        machine.stack.set_limits(self.limits);
        machine.deadline = self.deadline.and_then(|deadline| at(deadline, &machine.clock));
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
pub struct InvocationState {
    pub(crate) machine: Machine,
}

impl InvocationState {
    /// A state without memory yet.
    pub fn new() -> InvocationState {
        InvocationState { machine: Machine::new(StackLimits::default()) }
    }
}

impl Default for InvocationState {
    fn default() -> InvocationState {
        InvocationState::new()
    }
}

impl fmt::Debug for InvocationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationState").field("frames", &self.machine.stack).finish_non_exhaustive()
    }
}

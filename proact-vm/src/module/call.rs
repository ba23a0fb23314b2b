//! One call, as the function that runs sees it: arguments, results, and what it may ask of who drives it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::Waker;

use proact::time::{Clock, Time};

use super::Function;
use super::native::Mailbox;
use crate::convention::{Packed, Reader, Results};
use crate::error::{CallId, Error, Result};
use crate::machine::Machine;
use crate::stack::Stack;
use crate::wait::{WaitFrame, WaitOutcome};

/// What a function answers when it was begun or resumed.
///
/// None of them calls, waits or blocks by itself: the driver does what is asked when the function has returned to it.
/// So a function stops at any depth of calls without a thread being held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Done: the results are in [`CallFrame::results`].
    Return,
    /// Others may run now; then resume me.
    Yield,
    /// Resume me when what I wait for is there: [`CallFrame::wait`], or my waker was called: [`CallFrame::waker`].
    Wait,
    /// Call another function, and resume me with what it answers: [`CallFrame::call`]. Without an activation kept, its
    /// results are mine.
    Call,
}

/// Why a function is resumed.
#[derive(Debug)]
pub enum Resumption {
    /// The first time: [`CallFrame::keep_and_start`].
    Started,
    /// After a yield.
    Yielded,
    /// The waker of [`CallFrame::waker`] was called. The wait frame, where there was one that asked for it, is still
    /// there: [`CallFrame::take_wait`].
    Woken,
    /// A wait is over: with the index of the source for a wait for any, else with 0; or it failed. A failure is the
    /// function's to handle.
    Waited(WaitOutcome),
    /// The function that was called has returned: [`CallFrame::callee_results`].
    Returned,
    /// The function that was called has failed. Handle it, or answer it as your own.
    Failed(Error),
}

/// What a stopped function keeps between its steps: a future, a suspended call of a program, or a hand-written state.
///
/// It lies in the invocation's stack and never moves. Dropping it, at any step, gives up all that the call holds: that
/// is how a call is abandoned.
pub trait Activation: Send {
    /// Goes on, and answers what is to be done next.
    fn resume(self: Pin<&mut Self>, why: Resumption, call: &mut CallFrame<'_>) -> Result<Flow>;

    /// The place within the function, for backtraces.
    fn pc(&self) -> Option<u64> {
        None
    }
}

/// The call of a function that begins or is resumed.
pub struct CallFrame<'a> {
    machine: &'a mut Machine,
    /// The function that begins; `None` when the top frame is resumed.
    beginning: Option<&'a Function>,
    kept: bool,
}

impl<'a> CallFrame<'a> {
    #[inline]
    pub(crate) fn begin(machine: &'a mut Machine, function: &'a Function) -> CallFrame<'a> {
        CallFrame { machine, beginning: Some(function), kept: false }
    }

    #[inline]
    pub(crate) fn resume(machine: &'a mut Machine) -> CallFrame<'a> {
        CallFrame { machine, beginning: None, kept: false }
    }

    #[inline]
    pub(crate) fn has_kept(&self) -> bool {
        self.kept
    }

    /// The function itself.
    pub fn function(&self) -> &Function {
        match self.beginning {
            Some(function) => function,
            None => self.machine.stack.top().expect("a function is resumed in its frame"),
        }
    }

    /// The id of the call, for logs and traces.
    pub fn id(&self) -> CallId {
        self.machine.id
    }

    /// When the invocation must have ended, on [`CallFrame::clock`].
    pub fn deadline(&self) -> Option<Time> {
        self.machine.deadline
    }

    /// The clock of deadlines and timed waits.
    pub fn clock(&self) -> &Clock {
        &self.machine.clock
    }

    /// Whether the invocation was asked to tell what it does.
    pub fn is_traced(&self) -> bool {
        self.machine.traced
    }

    /// How many frames lie below this one.
    pub fn depth(&self) -> usize {
        self.machine.stack.len() - usize::from(self.beginning.is_none() || self.kept)
    }

    /// How many frames of programs there are, this one's not with them.
    #[cfg(feature = "wasm")]
    pub(crate) fn programs_below(&self) -> usize {
        self.machine.stack.programs()
    }

    /// Reads the arguments, references taken out. Only while the function begins: what is needed later must be kept.
    #[inline]
    pub fn arguments(&mut self) -> Reader<'_> {
        self.machine.arguments.reader()
    }

    /// Where the results go, emptied.
    #[inline]
    pub fn results(&mut self) -> &mut Packed {
        self.machine.results.clear();
        &mut self.machine.results
    }

    /// Puts the results, and answers [`Flow::Return`].
    #[inline]
    pub fn answer<R: Results>(&mut self, results: R) -> Result<Flow> {
        results.put(self.results())?;
        Ok(Flow::Return)
    }

    /// Reads the results of the function that was called, once it has returned.
    pub fn callee_results(&mut self) -> Reader<'_> {
        self.machine.results.reader()
    }

    /// The results of the function that was called exchanged with `other`.
    pub(crate) fn swap_callee_results(&mut self, other: &mut Packed) {
        std::mem::swap(&mut self.machine.results, other);
    }

    /// Asks for a call: `arguments` packs what `function` takes, by its convention. Answers [`Flow::Call`].
    pub fn call(&mut self, function: &Function, arguments: impl FnOnce(&mut Packed) -> Result) -> Result<Flow> {
        self.machine.arguments.clear();
        arguments(&mut self.machine.arguments)?;
        self.machine.callee = Some(function.clone());
        Ok(Flow::Call)
    }

    /// As [`CallFrame::call`], with arguments that are packed: they are exchanged for what was there.
    pub(crate) fn call_packed(&mut self, function: Function, arguments: &mut Packed) -> Flow {
        std::mem::swap(&mut self.machine.arguments, arguments);
        // The caller's own, which it has read.
        arguments.clear();
        self.machine.callee = Some(function);
        Flow::Call
    }

    /// Asks for a wait. Answers [`Flow::Wait`].
    pub fn wait(&mut self, frame: WaitFrame) -> Flow {
        self.machine.wait = Some(frame);
        Flow::Wait
    }

    /// The frame of the wait that was under way when the function was woken.
    pub fn take_wait(&mut self) -> Option<WaitFrame> {
        self.machine.wait.take()
    }

    /// What resumes the function, after [`Flow::Wait`] without a frame of its own, when it is woken: for futures that
    /// an activation polls by itself. It is the same for the whole invocation.
    pub fn waker(&mut self) -> &Waker {
        &self.machine.wakeup().1
    }

    /// Keeps what the function needs to be resumed. Once, while it begins.
    ///
    /// `RESOURCE_EXHAUSTED` where the invocation's stack is full.
    pub fn keep<A: Activation + 'static>(&mut self, activation: A) -> Result {
        let Some(function) = self.beginning.filter(|_| !self.kept) else {
            return Err(Error::internal("an activation is kept once, while the function begins"));
        };
        self.machine.stack.push(function.clone(), activation)?;
        self.kept = true;
        Ok(())
    }

    /// Keeps an activation, and resumes it for the first time, with [`Resumption::Started`].
    pub fn keep_and_start<A: Activation + 'static>(&mut self, activation: A) -> Result<Flow> {
        self.keep(activation)?;
        Stack::resume_top(self.machine, Resumption::Started)
    }

    /// What passes between `async` functions and the driver.
    pub(crate) fn mailbox(&mut self) -> &Arc<Mailbox> {
        if self.machine.mailbox.is_none() {
            let waker = self.waker().clone();
            self.machine.mailbox = Some(Arc::new(Mailbox::new(waker)));
        }
        self.machine.mailbox.as_ref().expect("it was made if it was not there")
    }

    /// The mailbox, taken out so that a future can be polled beside the call: then it is put back.
    pub(crate) fn take_mailbox(&mut self) -> Option<Arc<Mailbox>> {
        self.machine.mailbox.take()
    }

    pub(crate) fn put_mailbox(&mut self, mailbox: Arc<Mailbox>) {
        self.machine.mailbox = Some(mailbox);
    }

    /// A number for a new frame.
    pub(crate) fn next_frame(&mut self) -> u64 {
        self.machine.last_frame += 1;
        self.machine.last_frame
    }

    /// Has `machine` run functions on behalf of this call, without the driver.
    #[cfg(feature = "wasm")]
    pub(crate) fn lend_call(&self, machine: &mut Machine) {
        let own = &*self.machine;
        (machine.id, machine.traced, machine.deadline) = (own.id, own.traced, own.deadline);
        machine.clock.clone_from(&own.clock);
        machine.tracing.clone_from(&own.tracing);
    }

    /// The failure of a function that this one has called without the driver, with the frames as if it had been with
    /// it.
    #[cfg(feature = "wasm")]
    #[cold]
    pub(crate) fn locate_called(&self, error: Error, callee: &Function) -> Error {
        if error.has_backtrace() {
            return error;
        }
        let mut backtrace = self.machine.stack.backtrace(self.beginning.filter(|_| !self.kept));
        let depth = backtrace.len();
        backtrace.insert(0, crate::stack::line(depth, callee, None));
        error.located(self.machine.id, backtrace)
    }

    /// Whether something has the call's waker, or has called it: for an `async` function that was polled, which may
    /// then be woken beside what it asks for.
    pub(crate) fn may_be_woken(&self) -> bool {
        // The machine's two, and the mailbox's, which is lent to the function just now.
        const OWN: usize = 3;
        let Some((wakeup, _)) = &self.machine.wakeup else { return false };
        if Arc::strong_count(wakeup) > OWN {
            return true;
        }
        // Who has called it and let go of it since is seen to have called it.
        fence(Ordering::Acquire);
        wakeup.is_woken()
    }

    /// Takes note that a waker call from before does not count.
    pub(crate) fn forget_wake(&mut self) {
        if let Some((wakeup, _)) = &self.machine.wakeup {
            wakeup.take();
        }
    }
}

impl fmt::Debug for CallFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFrame").field("function", self.function()).field("id", &self.id()).finish_non_exhaustive()
    }
}

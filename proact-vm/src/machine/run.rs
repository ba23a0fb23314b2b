//! The loop that runs functions, whoever drives it.

use std::task::{Context, Poll};

use proact::time::Time;

use super::Machine;
#[cfg(feature = "wasm")]
use crate::convention::Packed;
use crate::error::{BacktraceFrame, Error, FrameKind, Result};
use crate::module::{CallFrame, Flow, Function, Resumption};
use crate::stack::Stack;
use crate::trace::Traced;
use crate::wait::{WaitKind, WaitOutcome};

/// Calls of functions by functions between two looks at the deadline.
const CALLS_A_LOOK: u32 = 1 << 6;
/// Calls of functions by functions after which others may run: functions that call one another without end, in each
/// other's place or in a loop, would stop nowhere else. They take some tenths of a millisecond.
const CALLS_A_STEP: u32 = 1 << 12;

/// Why a machine stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// All is over: the results are in the machine, or the call has failed and nothing is left of it.
    Done(Result),
    /// A function lets others run.
    Yield,
    /// A function waits, for the machine's wait frame.
    Wait,
}

/// What a function did when it ran.
struct Ran {
    flow: Result<Flow>,
    /// Whether it has a frame, which is the top one.
    framed: bool,
}

impl Machine {
    /// Begins a call whose arguments are packed.
    #[inline]
    pub(crate) fn begin(&mut self, function: &Function) -> Stop {
        if self.tracing.is_some() {
            return self.step_traced(|machine| {
                let ran = machine.begin_told(function);
                machine.go_on(ran, function)
            });
        }
        let ran = self.begin_function(function);
        if let Ran { flow: Ok(Flow::Return), framed: false } = ran {
            return Stop::Done(Ok(()));
        }
        self.go_on(ran, function)
    }

    /// Runs a function that always comes to its end, without any other: the results are in the machine.
    #[cfg(feature = "wasm")]
    pub(crate) fn run_plain(&mut self, function: &Function, arguments: &mut Packed) -> Result {
        /// Says of a function that panics that it is over.
        struct Runs<'a>(&'a mut Machine);
        impl Drop for Runs<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.tell_given_up(None);
                }
            }
        }
        std::mem::swap(&mut self.arguments, arguments);
        let ran = Runs(self).0.begin_told(function);
        std::mem::swap(&mut self.arguments, arguments);
        let result = match ran {
            Ran { flow: Ok(Flow::Return), framed: false } => Ok(()),
            Ran { flow: Err(error), .. } => Err(error),
            Ran { flow: Ok(_), .. } => Err(Error::internal(format!("{} is plain, and has stopped", function.name()))),
        };
        self.tell_end(function, result.as_ref().err());
        result
    }

    /// Goes on after a stop.
    pub(crate) fn resume(&mut self, why: Resumption) -> Stop {
        self.calls = 0;
        if self.tracing.is_some() {
            return self.step_traced(|machine| {
                machine.tell(Traced::Resumed);
                machine.resume_top(why)
            });
        }
        self.resume_top(why)
    }

    fn resume_top(&mut self, why: Resumption) -> Stop {
        if std::mem::take(&mut self.is_calling) {
            return self.resume_calling(why);
        }
        let Some(function) = self.stack.top().cloned() else {
            return Stop::Done(Err(Error::internal("a resume of nothing")));
        };
        let ran = self.resume_frame(why);
        self.go_on(ran, &function)
    }

    /// Begins the function before which the call had stopped.
    #[cold]
    fn resume_calling(&mut self, why: Resumption) -> Stop {
        match (self.callee.take(), why) {
            (Some(callee), Resumption::Yielded) => {
                let ran = self.begin_told(&callee);
                self.go_on(ran, &callee)
            }
            (_, why) => Stop::Done(Err(self.fail(Error::internal(format!("a call between functions: {why:?}"))))),
        }
    }

    /// Ends the call from outside, as its failure: what stands is named in the backtrace.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        // Where functions take each other's place, the one that was to be next is all there is.
        let next = self.callee.take().filter(|_| self.is_calling && self.stack.is_empty());
        let error = self.locate(error, next.as_ref());
        if self.tracing.is_some() {
            self.tell_given_up(Some(&error));
            // Without another word.
            self.stack.clear();
        }
        self.clear();
        error
    }

    /// A step of a traced call: what happens in it is on its account, and its stop is told.
    #[cold]
    fn step_traced(&mut self, step: impl FnOnce(&mut Machine) -> Stop) -> Stop {
        let _on_track = self.tracing.as_ref().map(|tracing| tracing.enter(self.id));
        let stop = step(self);
        match &stop {
            Stop::Yield => self.tell(Traced::Yielded),
            Stop::Wait => {
                if let Some(wait) = &self.wait {
                    self.tell(Traced::Waiting(wait));
                }
            }
            Stop::Done(_) => {}
        }
        stop
    }

    /// As [`Machine::begin_function`], and tells of it.
    fn begin_told(&mut self, function: &Function) -> Ran {
        if let Some(tracing) = &mut self.tracing {
            tracing.begin(self.id, self.clock.now(), function, self.stack.len());
        }
        let ran = self.begin_function(function);
        if let Some(tracing) = &mut self.tracing {
            tracing.has_begun();
        }
        ran
    }

    /// The function that began last is over.
    #[inline]
    fn tell_end(&self, function: &Function, failure: Option<&Error>) {
        if self.tracing.is_some() {
            self.tell(failure.map_or(Traced::Returned(function), |error| Traced::Failed(function, error)));
        }
    }

    #[inline]
    fn begin_function(&mut self, function: &Function) -> Ran {
        let mut frame = CallFrame::begin(self, function);
        let flow = function.0.instance.begin(function.0.ordinal, &mut frame);
        let framed = frame.has_kept();
        // Arguments are read by now, or never: references among them that no one took end here. Those of a call that
        // is asked for are another one's.
        if !matches!(flow, Ok(Flow::Call)) {
            self.arguments.clear();
        }
        Ran { framed, flow }
    }

    fn resume_frame(&mut self, why: Resumption) -> Ran {
        Ran { flow: Stack::resume_top(self, why), framed: true }
    }

    /// Runs on from what `function`, which is the top frame's or has none, did.
    fn go_on(&mut self, mut ran: Ran, function: &Function) -> Stop {
        // The function that ran last, if it is another one.
        let mut other: Option<Function> = None;
        loop {
            let running = other.as_ref().unwrap_or(function);
            match ran {
                Ran { flow: Ok(Flow::Return), framed } => {
                    self.tell_end(running, None);
                    if framed {
                        self.stack.pop();
                    }
                    if self.stack.is_empty() {
                        return Stop::Done(Ok(()));
                    }
                    other = self.stack.top().cloned();
                    ran = self.resume_frame(Resumption::Returned);
                }
                Ran { flow: Ok(Flow::Call), framed } => {
                    let callee = match self.callee.take() {
                        Some(callee) if callee.0.context != running.0.context => {
                            Err(Error::invalid(format!("{} is of another context", callee.name())))
                        }
                        // Without a frame, what is called answers in the place of who called it.
                        Some(callee) if !framed && callee.convention().results() != running.convention().results() => {
                            let message = format!("{} answers in its place, with other results", callee.name());
                            Err(Error::internal(message))
                        }
                        Some(callee) => Ok(callee),
                        None => Err(Error::internal("a call of no function")),
                    };
                    if !framed && callee.is_ok() {
                        // What is called answers in its place.
                        self.tell_end(running, None);
                    }
                    self.calls += 1;
                    ran = match callee {
                        Ok(callee) if self.calls % CALLS_A_LOOK == 0 && self.is_late() => {
                            (self.callee, self.is_calling) = (Some(callee), true);
                            return Stop::Done(Err(self.fail(Error::deadline_exceeded())));
                        }
                        Ok(callee) if self.calls == CALLS_A_STEP => {
                            (self.callee, self.is_calling) = (Some(callee), true);
                            return Stop::Yield;
                        }
                        Ok(callee) => self.begin_told(other.insert(callee)),
                        Err(error) if framed => self.resume_frame(Resumption::Failed(error)),
                        Err(error) => Ran { flow: Err(error), framed },
                    };
                }
                Ran { flow: Ok(stop @ (Flow::Yield | Flow::Wait)), framed: false } => {
                    self.wait = None;
                    let message = format!("{stop:?} of a function that has kept nothing to be resumed with");
                    ran = Ran { flow: Err(Error::internal(message)), framed: false };
                }
                Ran { flow: Ok(Flow::Yield), .. } => {
                    return if self.is_late() {
                        Stop::Done(Err(self.fail(Error::deadline_exceeded())))
                    } else {
                        Stop::Yield
                    };
                }
                Ran { flow: Ok(Flow::Wait), .. } => {
                    if self.expired {
                        return Stop::Done(Err(self.fail(Error::deadline_exceeded())));
                    }
                    self.begun_late = self.is_late();
                    return Stop::Wait;
                }
                Ran { flow: Err(error), framed } => {
                    let error = self.locate(error, Some(running).filter(|_| !framed));
                    self.tell_end(running, Some(&error));
                    if framed {
                        self.stack.pop();
                    }
                    // What it had put there, or asked for, is not for its caller.
                    self.results.clear();
                    self.arguments.clear();
                    (self.callee, self.wait) = (None, None);
                    if self.stack.is_empty() {
                        return Stop::Done(Err(error));
                    }
                    other = self.stack.top().cloned();
                    ran = self.resume_frame(Resumption::Failed(error));
                }
            }
        }
    }

    /// The frames that stand are told once, where the failure arose.
    #[cold]
    pub(crate) fn locate(&self, error: Error, unframed: Option<&Function>) -> Error {
        if error.has_backtrace() {
            return error;
        }
        let mut backtrace = self.stack.backtrace(unframed);
        if let Some(wait) = &self.wait {
            let (depth, function) = (backtrace.len(), wait.to_string());
            backtrace.insert(0, BacktraceFrame { depth, kind: FrameKind::Wait, function, pc: None, source: None });
        }
        error.located(self.id, backtrace)
    }

    fn is_late(&self) -> bool {
        self.expired || self.deadline.is_some_and(|deadline| self.clock.now() >= deadline)
    }

    /// Whether the wait is over, and what the function is then resumed with; if not, the waker is called when that may
    /// have changed, but for the passing of time: [`Machine::next_time`].
    ///
    /// The invocation's deadline ends a wait as the wait's own does: the function is told once, so that it may put
    /// things in order, and its next stop is the call's end.
    ///
    /// A wait that begins only then fails, also where it would be over at once: or a late call with many of those would
    /// go on for ever.
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Resumption> {
        if self.begun_late {
            self.expired = true;
            return Poll::Ready(self.waited(Err(Error::deadline_exceeded())));
        }
        let Some(wait) = &mut self.wait else {
            self.wait = Some(crate::wait::WaitFrame::woken());
            return self.poll_wait(cx);
        };
        if wait.is_or_woken() {
            if let Some((wakeup, _)) = &self.wakeup {
                wakeup.register(cx.waker());
                // Taken: what the function does not find yet wakes it anew.
                if wakeup.take() {
                    return Poll::Ready(Resumption::Woken);
                }
            }
        }
        let now = match wait.next_time().is_some() || self.deadline.is_some() {
            true => self.clock.now(),
            false => Time::ORIGIN,
        };
        let outcome = match wait.poll(now, cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.deadline.is_some_and(|deadline| now >= deadline) => {
                self.expired = true;
                Err(Error::deadline_exceeded())
            }
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(self.waited(outcome))
    }

    /// Ends the wait with an outcome, from whomever: that of a source that is not there is an error.
    pub(crate) fn waited(&mut self, outcome: WaitOutcome) -> Resumption {
        let outcome = match (&self.wait, outcome) {
            (Some(wait), Ok(index)) if wait.kind() == WaitKind::Any => match wait.sources().count() {
                count if index < count.max(1) => Ok(index),
                count => Err(Error::invalid(format!("the outcome of source {index}, of {count} that are waited for"))),
            },
            (_, outcome) => outcome.map(|_| 0),
        };
        let is_woken_only = self.wait.as_ref().is_none_or(|wait| wait.kind() == WaitKind::Woken);
        self.wait = None;
        self.begun_late = false;
        match outcome {
            Ok(_) if is_woken_only => Resumption::Woken,
            outcome => Resumption::Waited(outcome),
        }
    }

    /// The next time at which the wait may be over by the clock alone. The end of all times never comes.
    pub(crate) fn next_time(&self) -> Option<Time> {
        let times = self.wait.as_ref().and_then(|wait| wait.next_time()).into_iter().chain(self.deadline);
        times.min().filter(|time| *time != Time::FAR_FUTURE)
    }
}

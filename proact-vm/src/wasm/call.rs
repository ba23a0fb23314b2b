//! A call of a program's function: begun, stopped at imports and ends of time slices, resumed with what came.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};

use proact::status::Code;
use wasmi::{Func, ResumableCall, ResumableCallHostTrap, ResumableCallOutOfFuel, Val};

use super::conventions::Signature;
use super::guest::{self, Asked, Guest, Inner, Stop};
use super::lending::Lent;
use super::program::Program;
use super::trap;
use crate::error::{Error, Result};
use crate::module::{Activation, CallFrame, Flow, Resumption};

/// Calls of programs at most that stand within one another, by imports that call back: each has a stack of the engine's
/// for itself, of a mebibyte at most, and may have an instance.
const STANDING_MAX: usize = 64;

/// A call that has begun, and not ended.
pub(super) struct Call {
    guest: Arc<Guest>,
    program: Arc<Program>,
    /// The export; of one that is not the program's own, the call of the start function alone.
    ordinal: usize,
    /// The arguments, while the start function runs before the function.
    captured: Option<Vec<Val>>,
    fuel: Fuel,
    stopped: Stopped,
    over: bool,
}

/// Where it stopped.
enum Stopped {
    Nowhere,
    /// At an import that asked for a call.
    AtImport {
        suspended: ResumableCallHostTrap,
        place: usize,
        lent: Vec<Lent>,
    },
    /// At an import that let others run.
    AtYield(ResumableCallHostTrap),
    /// At the end of a time slice.
    AtSlice(ResumableCallOutOfFuel),
    /// The export is an import itself: there is nothing of the program to go on with.
    AtReexport {
        place: Option<usize>,
        lent: Vec<Lent>,
    },
}

/// What a call may still use.
#[derive(Clone, Copy)]
struct Fuel {
    slice: u64,
    /// Of the time slice, what is left.
    slice_left: u64,
    /// Of the whole call, what is left.
    left: Option<u64>,
    granted: u64,
}

impl Fuel {
    fn new(program: &Program) -> Fuel {
        let slice = program.options.fuel_slice;
        Fuel { slice, slice_left: slice, left: program.options.fuel, granted: 0 }
    }

    /// Gives the program what is left of its slice when imports are paid, but at least `needed`, which one instruction
    /// may take.
    fn grant(&mut self, inner: &mut Inner, needed: u64) -> Result {
        let debt = std::mem::take(&mut inner.store.data_mut().debt);
        self.slice_left = self.slice_left.saturating_sub(debt);
        self.left = self.left.map(|left| left.saturating_sub(debt));
        let mut granted = self.slice_left.max(needed);
        if let Some(left) = self.left {
            if left == 0 || left < needed {
                return Err(Error::new(Code::ResourceExhausted, "the fuel of the call is used up"));
            }
            granted = granted.min(left);
        }
        self.granted = granted;
        inner.store.set_fuel(granted).map_err(|error| trap::error(&error))
    }

    /// Takes note of what was used.
    fn settle(&mut self, inner: &Inner) -> Result {
        let rest = inner.store.get_fuel().map_err(|error| trap::error(&error))?;
        let used = self.granted.saturating_sub(rest);
        self.slice_left = self.slice_left.saturating_sub(used);
        self.left = self.left.map(|left| left.saturating_sub(used));
        Ok(())
    }

    fn next_slice(&mut self) {
        self.slice_left = self.slice;
    }
}

/// What the engine came to.
type Outcome = Result<ResumableCall, wasmi::Error>;

/// Whether one more may begin: before it has an instance.
pub(super) fn check_depth(frame: &CallFrame<'_>) -> Result {
    if frame.depth() < STANDING_MAX || frame.programs_below() < STANDING_MAX {
        return Ok(());
    }
    Err(Error::new(Code::ResourceExhausted, format!("{STANDING_MAX} calls of programs within one another")))
}

/// Begins the function of that ordinal. A call that comes to its end at once leaves nothing behind.
pub(super) fn begin(
    program: &Arc<Program>,
    guest: Arc<Guest>,
    ordinal: usize,
    frame: &mut CallFrame<'_>,
) -> Result<Flow> {
    let mut call = Call {
        guest: guest.clone(),
        program: program.clone(),
        ordinal,
        captured: None,
        fuel: Fuel::new(program),
        stopped: Stopped::Nowhere,
        over: false,
    };
    let flow = call.start(&mut lock(&guest), frame);
    let flow = call.end_of_step(flow)?;
    if !call.over {
        frame.keep(call)?;
    }
    Ok(flow)
}

fn lock(guest: &Guest) -> MutexGuard<'_, Inner> {
    guest.inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    fn signature(&self) -> Option<&Signature> {
        self.program.exports.get(self.ordinal).map(|export| &export.signature)
    }

    fn start(&mut self, inner: &mut Inner, frame: &mut CallFrame<'_>) -> Result<Flow> {
        inner.serve(frame);
        if inner.starting {
            return Err(Error::precondition("the program's start function has not come to its end"));
        }
        // What another call has not paid is not this one's, unless that one goes on.
        inner.store.data_mut().debt = 0;
        let mut values = std::mem::take(&mut inner.values);
        values.clear();
        if let Some(signature) = self.signature() {
            inner.store.data_mut().take_in(&signature.arguments, frame.arguments(), &mut values)?;
        }
        let Some(start) = inner.start.take() else { return self.enter(inner, values, frame) };
        self.captured = Some(values);
        inner.starting = true;
        self.fuel.grant(inner, 0)?;
        let outcome = start.call_resumable(&mut inner.store, &[], &mut []);
        self.settle(inner, Vec::new(), outcome, frame)
    }

    /// Begins the function itself, whose arguments are `values`.
    fn enter(&mut self, inner: &mut Inner, values: Vec<Val>, frame: &mut CallFrame<'_>) -> Result<Flow> {
        let Some(function) = inner.functions.get(self.ordinal).copied() else {
            // Only the start function was asked for.
            self.over = true;
            return frame.answer(());
        };
        let mut results = self.room_for_results(inner);
        self.fuel.grant(inner, 0)?;
        let outcome = Func::call_resumable(&function, &mut inner.store, &values, &mut results);
        inner.values = values;
        self.settle(inner, results, outcome, frame)
    }

    fn room_for_results(&self, inner: &mut Inner) -> Vec<Val> {
        let mut results = std::mem::take(&mut inner.results);
        results.clear();
        let count = match &self.captured {
            Some(_) => 0,
            None => self.signature().map_or(0, |signature| signature.results.len()),
        };
        results.resize(count, Val::I32(0));
        results
    }

    /// Makes of what the engine came to what the driver is to do.
    fn settle(
        &mut self,
        inner: &mut Inner,
        results: Vec<Val>,
        outcome: Outcome,
        frame: &mut CallFrame<'_>,
    ) -> Result<Flow> {
        self.fuel.settle(inner)?;
        match outcome {
            Ok(ResumableCall::Finished) => {
                let flow = self.finished(inner, &results, frame);
                inner.results = results;
                flow
            }
            Ok(ResumableCall::OutOfFuel(suspended)) => {
                inner.results = results;
                self.stopped = Stopped::AtSlice(suspended);
                Ok(Flow::Yield)
            }
            Ok(ResumableCall::HostTrap(suspended)) => {
                inner.results = results;
                match suspended.host_error().downcast_ref::<Stop>() {
                    Some(Stop::Yield) => {
                        self.stopped = Stopped::AtYield(suspended);
                        Ok(Flow::Yield)
                    }
                    Some(Stop::Call) => {
                        let (place, lent, flow) = ask(inner, frame)?;
                        self.stopped = Stopped::AtImport { suspended, place, lent };
                        Ok(flow)
                    }
                    _ => Err(failed(suspended.host_error(), frame)),
                }
            }
            // An export that is an import: the engine calls it, and has no frame of its own to go on with.
            Err(error) => {
                inner.results = results;
                match error.downcast_ref::<Stop>() {
                    Some(Stop::Yield) => {
                        self.stopped = Stopped::AtReexport { place: None, lent: Vec::new() };
                        Ok(Flow::Yield)
                    }
                    Some(Stop::Call) => {
                        let (place, lent, flow) = ask(inner, frame)?;
                        self.stopped = Stopped::AtReexport { place: Some(place), lent };
                        Ok(flow)
                    }
                    _ => Err(failed(&error, frame)),
                }
            }
        }
    }

    /// The function has come to its end; or the start function has, and the function begins.
    fn finished(&mut self, inner: &mut Inner, results: &[Val], frame: &mut CallFrame<'_>) -> Result<Flow> {
        if let Some(values) = self.captured.take() {
            inner.starting = false;
            return self.enter(inner, values, frame);
        }
        if let Some(signature) = self.signature() {
            inner.store.data_mut().give_out(signature, results, frame.results())?;
        }
        self.over = true;
        Ok(Flow::Return)
    }

    fn step(&mut self, why: Resumption, inner: &mut Inner, frame: &mut CallFrame<'_>) -> Result<Flow> {
        inner.serve(frame);
        match (std::mem::replace(&mut self.stopped, Stopped::Nowhere), why) {
            (Stopped::AtSlice(suspended), Resumption::Yielded) => {
                self.fuel.next_slice();
                self.fuel.grant(inner, suspended.required_fuel())?;
                let mut results = self.room_for_results(inner);
                let outcome = suspended.resume(&mut inner.store, &mut results);
                self.settle(inner, results, outcome, frame)
            }
            (Stopped::AtYield(suspended), Resumption::Yielded) => {
                self.fuel.next_slice();
                self.go_on(suspended, &[], inner, frame)
            }
            (Stopped::AtImport { suspended, place, lent }, why) => {
                let mut answers = std::mem::take(&mut inner.values);
                answers.clear();
                answers_of(place, lent, why, &mut answers, inner, frame)?;
                let flow = self.go_on(suspended, &answers, inner, frame);
                inner.values = answers;
                flow
            }
            (Stopped::AtReexport { place: None, .. }, Resumption::Yielded) => self.finished(inner, &[], frame),
            (Stopped::AtReexport { place: Some(place), lent }, why) => {
                let mut answers = Vec::new();
                answers_of(place, lent, why, &mut answers, inner, frame)?;
                self.finished(inner, &answers, frame)
            }
            (_, why) => Err(Error::internal(format!("a program is resumed with {why:?}, which it did not ask for"))),
        }
    }

    /// Gives the program's import its results.
    fn go_on(
        &mut self,
        suspended: ResumableCallHostTrap,
        answers: &[Val],
        inner: &mut Inner,
        frame: &mut CallFrame<'_>,
    ) -> Result<Flow> {
        self.fuel.grant(inner, 0)?;
        let mut results = self.room_for_results(inner);
        let outcome = suspended.resume(&mut inner.store, answers, &mut results);
        self.settle(inner, results, outcome, frame)
    }

    /// Whatever does not come to its end leaves the instance in the middle of something.
    fn end_of_step(&mut self, flow: Result<Flow>) -> Result<Flow> {
        if flow.is_err() {
            self.over = true;
            self.guest.spoil();
        }
        match flow {
            Err(error) if self.captured.is_some() => Err(error.about("start function")),
            flow => flow,
        }
    }
}

/// What the import at `place` answers the program.
fn answers_of(
    place: usize,
    lent: Vec<Lent>,
    why: Resumption,
    answers: &mut Vec<Val>,
    inner: &mut Inner,
    frame: &mut CallFrame<'_>,
) -> Result {
    let outcome = match why {
        Resumption::Returned => Ok(frame.callee_results()),
        Resumption::Failed(error) => Err(error),
        why => Err(Error::internal(format!("an import is answered with {why:?}"))),
    };
    guest::answer(place, lent, outcome, &mut inner.store, answers)
}

/// The error of a call that ended within the program, or in an import that ran without the driver: which is named in
/// the backtrace as if it had run with it. A panic of such an import goes on from here.
#[cold]
fn failed(error: &wasmi::Error, frame: &CallFrame<'_>) -> Error {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Failed(function, error)) => frame.locate_called(error.clone(), function),
        Some(Stop::Panicked(panic)) => match panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(panic) => resume_unwind(panic),
            None => trap::error(error),
        },
        _ => trap::error(error),
    }
}

/// Hands the driver what an import has asked for.
fn ask(inner: &mut Inner, frame: &mut CallFrame<'_>) -> Result<(usize, Vec<Lent>, Flow)> {
    let asked = inner.store.data_mut().asked.take();
    let Some(Asked { place, function, mut arguments, lent }) = asked else {
        return Err(Error::internal("an import stopped the program, and asks for nothing"));
    };
    let flow = frame.call_packed(function, &mut arguments);
    // What was there is empty memory, and serves the next import.
    arguments.clear();
    inner.store.data_mut().spare = arguments;
    Ok((place, lent, flow))
}

impl Activation for Call {
    fn resume(self: Pin<&mut Self>, why: Resumption, frame: &mut CallFrame<'_>) -> Result<Flow> {
        let call = self.get_mut();
        let guest = call.guest.clone();
        let flow = call.step(why, &mut lock(&guest), frame);
        call.end_of_step(flow)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.over {
            self.guest.spoil();
        }
    }
}

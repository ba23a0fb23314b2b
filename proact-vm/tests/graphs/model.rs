//! What a program comes to: a plain interpreter of it, which knows nothing of how calls are driven.

use std::time::Duration;

use proact::status::Code;
use proact_vm::wait::WaitKind;

use crate::graph::{Act, BACK_DEPTH_MAX, Body, Graph, Kind, LATER_AFTER, POLLS_LATER, SLEEP, Shape, Standard, pending};
use crate::shape::{self, Answered, DEPTHS, Given};
use crate::world::Words;

/// A side effect: whose, where, and the sum so far.
pub type Noted = (i32, usize, i64);

/// A failure, in what may be compared: words without numbers of calls, and functions, the innermost first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub code: Code,
    pub words: String,
    pub functions: Vec<String>,
}

/// A value, in what may be compared: of a reference the number within.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Plain {
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    Token(Option<i64>),
}

/// What a call came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    pub result: Result<Vec<Plain>, Failure>,
    /// What was in the buffer at a good end, for [`Shape::Bytes`].
    pub written: Option<i64>,
    pub notes: Vec<Noted>,
}

/// Where a call stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    Yield,
    Wait(WaitKind, usize, String),
}

/// What comes from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disturbed {
    No,
    /// The call's deadline has passed when it begins.
    Late,
    /// The call's deadline, in a simulated world, for graphs whose times are known there.
    Deadline(Duration),
    /// As that, of a cancellation.
    CancelledAt(Duration),
    /// At this stop the host fails the call, or the wait.
    FailedAt(usize),
    /// Cancelled when so many notes are there: seen at the next stop.
    CancelledAfter(usize),
}

/// How a function does not come to its end.
enum Ended {
    /// It failed: its caller hears of it.
    Failed(Failure),
    /// The whole call is over.
    Over(Failure),
}

/// The words of failures from outside.
pub const ENOUGH: &str = "enough";

pub struct Model<'g> {
    graph: &'g Graph,
    words: &'g Words,
    disturbed: Disturbed,
    /// A stop was told that the call is late, or cancelled: the next one ends it.
    told: bool,
    /// The time in a simulated world.
    pub now: Duration,
    stack: Vec<String>,
    pub stops: Vec<Stop>,
    notes: Vec<Noted>,
    steps: usize,
    steps_max: usize,
}

type Token = Option<i64>;
/// What a function hears of its wait: what that comes to by itself, or a failure from outside.
type Heard = Result<(), (Code, String)>;

struct Returned {
    sum: i64,
    reference: Token,
}

impl<'g> Model<'g> {
    pub fn new(graph: &'g Graph, words: &'g Words, disturbed: Disturbed) -> Model<'g> {
        let (stack, stops, notes) = (Vec::new(), Vec::new(), Vec::new());
        Model {
            graph,
            words,
            disturbed,
            told: false,
            now: Duration::ZERO,
            stack,
            stops,
            notes,
            steps: 0,
            steps_max: usize::MAX,
        }
    }

    /// How much there is to do, up to `most`.
    pub fn size(graph: &'g Graph, words: &'g Words, most: usize) -> usize {
        let mut model = Model { steps_max: most, ..Model::new(graph, words, Disturbed::No) };
        model.root(0);
        model.steps
    }

    /// Runs the root as the host calls it.
    pub fn root(&mut self, run: i32) -> Outcome {
        let root = self.graph.root();
        let shape = self.graph.functions[root].shape;
        let (sum, token) = root_inputs();
        let given = given(shape, run * DEPTHS, sum, token);
        let mut written = None;
        let result = self.call(root, given);
        let result = match result {
            Ok(returned) => {
                if shape == Shape::Bytes {
                    written = Some(returned.sum);
                }
                Ok(plain(shape, &returned))
            }
            Err(Ended::Failed(failure) | Ended::Over(failure)) => Err(failure),
        };
        Outcome { result, written, notes: std::mem::take(&mut self.notes) }
    }

    fn call(&mut self, index: usize, given: Given<i64>) -> Result<Returned, Ended> {
        let sum = given.sum.wrapping_add(index as i64);
        // A program's own functions have no frames within one another: see `program_calls`.
        self.stack.push(self.graph.name(index));
        let returned = self.body(index, given, sum);
        self.stack.pop();
        returned
    }

    fn body(&mut self, index: usize, given: Given<i64>, mut sum: i64) -> Result<Returned, Ended> {
        let kind = self.graph.kind(index);
        let kept = given.kept.unwrap_or(Some(sum));
        let at = given.at;
        if let Body::Delegate(callee) = self.graph.functions[index].body {
            // It answers in its place: its own frame is not there.
            let own = self.stack.pop();
            let returned = self.call(callee, pass(self.graph.functions[callee].shape, at + 1, sum, kept));
            self.stack.extend(own);
            return returned;
        }
        for (place, act) in self.graph.acts(index).iter().enumerate() {
            self.steps += 1;
            if self.steps > self.steps_max {
                return Err(Ended::Over(self.failure(Code::Internal, "too large")));
            }
            match *act {
                Act::Note => self.notes.push((at, index, sum)),
                Act::Yield => self.stop_to_yield()?,
                Act::Wait { wait, handled } => sum = self.wait(kind, wait, handled, sum)?,
                Act::Standard(standard) => sum = self.standard(standard, sum)?,
                Act::Call { callee, handled } => sum = self.call_handled(index, callee, handled, (at, sum, kept))?,
                Act::Back { callee, handled } => {
                    if at % DEPTHS < BACK_DEPTH_MAX {
                        sum = self.call_handled(index, callee, handled, (at, sum, kept))?;
                    }
                }
                Act::Fail => return Err(self.fail(kind, index, place)),
                Act::Await(times) => {
                    for _ in 0..pending(times) {
                        if let Err(why) = self.stop_to_wait(WaitKind::Woken, 0, self.own(times))? {
                            return Err(Ended::Failed(self.located(why)));
                        }
                    }
                    sum = shape::awaited(sum, times);
                }
                Act::Race(times) => {
                    for _ in 0..pending(times) {
                        if let Err(why) = self.stop_to_wait(WaitKind::All, 1, self.own(times))? {
                            return Err(Ended::Failed(self.located(why)));
                        }
                    }
                    sum = shape::awaited(sum, times);
                }
                Act::Both { callee, wait } => sum = self.both(callee, wait, (at, sum, kept))?,
            }
        }
        let reference = match shape::answered(sum) {
            Answered::Kept => kept,
            Answered::Fresh => Some(sum),
            Answered::Null => None,
        };
        Ok(Returned { sum, reference })
    }

    fn call_handled(
        &mut self,
        caller: usize,
        callee: usize,
        handled: bool,
        (at, sum, kept): (i32, i64, Token),
    ) -> Result<i64, Ended> {
        let shape = self.graph.functions[callee].shape;
        let is_within = self.graph.kind(caller) == Kind::Wasm
            && self.graph.functions[caller].module == self.graph.functions[callee].module;
        let given = pass(shape, at + 1, sum, kept);
        let returned = if is_within {
            // The engine's own call: no frame, and nothing between it and the end of the whole program's call.
            let sum = given.sum.wrapping_add(callee as i64);
            self.body(callee, given, sum)
        } else {
            self.call(callee, given)
        };
        match returned {
            Ok(returned) => Ok(shape::called(sum, taken(shape, &returned))),
            Err(Ended::Failed(failure)) if handled => {
                let sum = shape::call_failed(sum, failure.code as i32);
                Ok(match self.graph.kind(caller) {
                    Kind::Wasm => self.told(Kind::Wasm, sum, &failure.words),
                    _ => sum.wrapping_add(shape::frames(failure.functions.iter().map(String::as_str))),
                })
            }
            Err(ended) => Err(ended),
        }
    }

    fn both(&mut self, callee: usize, wait: usize, (at, sum, kept): (i32, i64, Token)) -> Result<i64, Ended> {
        let shape = self.graph.functions[callee].shape;
        // The wait is made with the call, and has its turn when that is over.
        let begun = self.now;
        let called = match self.call(callee, pass(shape, at + 1, sum, kept)) {
            Ok(returned) => Ok(returned),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(over) => return Err(over),
        };
        let waited = self.stop_for(wait, begun)?;
        let returned = called.map_err(Ended::Failed)?;
        let index = waited.map_err(|why| Ended::Failed(self.located(why)))?;
        Ok(shape::waited(shape::called(sum, taken(shape, &returned)), index as i64))
    }

    fn wait(&mut self, kind: Kind, wait: usize, handled: bool, sum: i64) -> Result<i64, Ended> {
        // Programs wait by an import.
        let import = (kind == Kind::Wasm).then_some(if handled { "world.wait_told" } else { "world.wait" });
        self.stack.extend(import.map(String::from));
        let waited = self.stop_for(wait, self.now);
        let waited = waited.map(|waited| waited.map_err(|why| self.located(why)));
        if import.is_some() {
            self.stack.pop();
        }
        match waited? {
            Ok(index) => Ok(shape::waited(sum, index as i64)),
            Err(failure) if handled => {
                let sum = shape::wait_failed(sum, failure.code as i32);
                Ok(self.told(kind, sum, &failure.words))
            }
            Err(failure) => Err(Ended::Failed(failure)),
        }
    }

    fn told(&self, kind: Kind, sum: i64, words: &str) -> i64 {
        if kind == Kind::Wasm { sum.wrapping_add(shape::words(words)) } else { sum }
    }

    fn standard(&mut self, standard: Standard, sum: i64) -> Result<i64, Ended> {
        let (name, kind, answer, after) = match standard {
            Standard::Reached => ("semaphore.wait", WaitKind::All, 0, Duration::ZERO),
            Standard::Later => ("semaphore.wait", WaitKind::All, 0, LATER_AFTER),
            Standard::Expired => ("semaphore.wait", WaitKind::All, -(Code::DeadlineExceeded as i64), Duration::ZERO),
            Standard::Sleep => ("timer.sleep", WaitKind::Until, 0, SLEEP),
        };
        self.stack.push(name.into());
        let waited = self.stop_to_wait(kind, 1, self.now + after);
        let failure = match waited {
            Ok(Ok(())) => Ok(answer),
            // Its own deadline was the earlier one.
            Ok(Err((Code::DeadlineExceeded, _))) if standard == Standard::Expired => Ok(answer),
            Ok(Err(why)) => Err(Ended::Failed(self.located(why))),
            Err(over) => Err(over),
        };
        self.stack.pop();
        failure.map(|answer| shape::waited(sum, answer))
    }

    fn fail(&mut self, kind: Kind, index: usize, place: usize) -> Ended {
        if kind == Kind::Wasm && is_trap(index, place) {
            let words = "trap: the program gave up: it executed \"unreachable\" (ABORTED)";
            return Ended::Failed(self.failure(Code::Aborted, words));
        }
        // A program fails by an import.
        self.stack.extend((kind == Kind::Wasm).then(|| "world.fail".into()));
        let failure = self.failure(Code::DataLoss, &format!("function {index} fails (DATA_LOSS)"));
        if kind == Kind::Wasm {
            self.stack.pop();
        }
        Ended::Failed(failure)
    }

    /// When a future is over that a function polls by itself.
    fn own(&self, times: u32) -> Duration {
        if times == POLLS_LATER { self.now + LATER_AFTER } else { self.now }
    }

    /// Of a wait that was made at that time.
    fn stop_for(&mut self, wait: usize, made: Duration) -> Result<Result<usize, (Code, String)>, Ended> {
        let wait = &self.graph.waits[wait];
        Ok(match self.stop_to_wait(wait.kind, wait.sources.len(), made + wait.ends_after())? {
            Ok(()) => wait.outcome.map_err(|why| self.words.of(why)),
            Err(why) => Err(why),
        })
    }

    fn is_cancelled(&self) -> bool {
        matches!(self.disturbed, Disturbed::CancelledAfter(notes) if self.notes.len() >= notes)
    }

    fn stop_to_yield(&mut self) -> Result<(), Ended> {
        self.steps += 1;
        let stop = self.stops.len();
        self.stops.push(Stop::Yield);
        match self.disturbed {
            Disturbed::Late => Err(Ended::Over(self.located(late()))),
            Disturbed::Deadline(deadline) if self.told || self.now >= deadline => {
                Err(Ended::Over(self.located(late())))
            }
            Disturbed::CancelledAt(_) if self.told => Err(Ended::Over(self.located(cancelled()))),
            Disturbed::FailedAt(at) if at == stop => Err(Ended::Over(self.located(enough()))),
            Disturbed::CancelledAfter(_) if self.is_cancelled() => Err(Ended::Over(self.located(cancelled()))),
            _ => Ok(()),
        }
    }

    /// Whether the wait comes to what it would by itself, or what it is told instead.
    fn stop_to_wait(&mut self, kind: WaitKind, sources: usize, ends: Duration) -> Result<Heard, Ended> {
        self.steps += 1;
        let stop = self.stops.len();
        let function = self.stack.last().cloned().unwrap_or_default();
        self.stops.push(Stop::Wait(kind, sources, function));
        match self.disturbed {
            Disturbed::Late if self.told => Err(Ended::Over(self.located(late()))),
            Disturbed::Late => {
                self.told = true;
                Ok(Err(late()))
            }
            Disturbed::Deadline(_) if self.told => Err(Ended::Over(self.located(late()))),
            Disturbed::Deadline(deadline) if self.now >= deadline || ends > deadline => {
                self.told = true;
                self.now = self.now.max(deadline);
                Ok(Err(late()))
            }
            Disturbed::CancelledAt(_) if self.told => Err(Ended::Over(self.located(cancelled()))),
            Disturbed::CancelledAt(time) if ends > time => {
                self.told = true;
                self.now = time;
                Ok(Err(cancelled()))
            }
            Disturbed::FailedAt(at) if at == stop => Ok(Err(enough())),
            Disturbed::CancelledAfter(_) if self.told => Err(Ended::Over(self.located(cancelled()))),
            Disturbed::CancelledAfter(_) if self.is_cancelled() => {
                self.told = true;
                Ok(Err(cancelled()))
            }
            _ => {
                self.now = self.now.max(ends);
                Ok(Ok(()))
            }
        }
    }

    fn failure(&self, code: Code, words: &str) -> Failure {
        self.located((code, words.into()))
    }

    fn located(&self, (code, words): (Code, String)) -> Failure {
        Failure { code, words, functions: self.stack.iter().rev().cloned().collect() }
    }
}

fn late() -> (Code, String) {
    (Code::DeadlineExceeded, "the deadline has passed (DEADLINE_EXCEEDED)".into())
}

fn enough() -> (Code, String) {
    (Code::Cancelled, format!("{ENOUGH} (CANCELLED)"))
}

fn cancelled() -> (Code, String) {
    (Code::Cancelled, "the invocation was cancelled (CANCELLED)".into())
}

/// Whether a program fails by itself, and not by an import.
pub fn is_trap(index: usize, place: usize) -> bool {
    (index + place) % 2 == 0
}

/// What the host calls the root with.
pub fn root_inputs() -> (i64, Token) {
    (1000, Some(77))
}

/// What a callee begins with, of a caller's sum and reference.
fn pass(shape: Shape, at: i32, sum: i64, kept: Token) -> Given<i64> {
    given(shape, at, sum, kept)
}

fn given(shape: Shape, at: i32, sum: i64, kept: Token) -> Given<i64> {
    let value = |token: Token| token.unwrap_or(shape::NULL);
    let (sum, kept) = match shape {
        Shape::Mixed => (shape::mixed_given(sum, value(kept)), Some(kept)),
        Shape::Numbers => (shape::numbers_given(sum as i32, shape::small(sum), shape::half(sum)), None),
        Shape::References => {
            let second = kept.filter(|_| shape::is_twice(sum));
            (shape::references_given(value(kept), value(second)), Some(kept))
        }
        Shape::Spans => {
            let (numbers, tuples) = shape::spans(sum);
            let tuples = tuples.into_iter().map(|(a, c)| (a, value(kept), c));
            (shape::spans_given(&numbers, tuples), None)
        }
        Shape::Nothing => (shape::NOTHING_GIVEN, None),
        Shape::Bytes => (sum, None),
    };
    Given { at, sum, kept }
}

fn taken(shape: Shape, returned: &Returned) -> i64 {
    let (sum, reference) = (returned.sum, returned.reference.unwrap_or(shape::NULL));
    match shape {
        Shape::Mixed => shape::mixed_taken(sum, reference),
        Shape::Numbers => shape::numbers_taken(shape::half(sum), sum, shape::small(sum)),
        Shape::References => reference,
        Shape::Spans => shape::spans_taken(sum as i32, sum),
        Shape::Nothing => shape::NOTHING_TAKEN,
        Shape::Bytes => shape::bytes_taken(shape::bytes_result(sum), sum),
    }
}

fn plain(shape: Shape, returned: &Returned) -> Vec<Plain> {
    let sum = returned.sum;
    match shape {
        Shape::Mixed => vec![Plain::I64(sum), Plain::Token(returned.reference)],
        Shape::Numbers => vec![Plain::F64(shape::half(sum)), Plain::I64(sum), Plain::F32(shape::small(sum))],
        Shape::References => vec![Plain::Token(returned.reference)],
        Shape::Spans => vec![Plain::I32(sum as i32), Plain::I64(sum)],
        Shape::Nothing => Vec::new(),
        Shape::Bytes => vec![Plain::I32(shape::bytes_result(sum))],
    }
}

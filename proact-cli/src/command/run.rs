//! `proact run`: a call of a program's function.

mod drive;
mod load;
mod semaphores;
mod trace;
mod values;
mod world;

use std::sync::Arc;

use proact::time::{Clock, Timeout};
use proact_vm::module::Module;
use proact_vm::wasm::{Options, WasmModule};
use proact_vm::{CallId, Context, Error, InvocationOptions};
use serde::Serialize;

use super::answer::{Outcome, json, say};
use super::interrupt::Interrupt;
use crate::cli::Run;
use crate::exit::{Exit, Failure};
use crate::shown;
use drive::Call;
use semaphores::Semaphores;
use trace::TraceFile;
use values::Shown;
use world::World;

/// What is told of a call that was made, however it ended.
#[derive(Serialize)]
struct Answer {
    /// `module.function`.
    function: String,
    call: String,
    /// How often it let others run, its time slices that were used up with them.
    yields: u64,
    /// How often it waited.
    waits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Shown>>,
    /// What the semaphores of the command line have come to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    semaphores: Vec<semaphores::Shown>,
    #[serde(flatten)]
    failed: Option<Failed>,
}

/// What a failure of the program has beside its words: its code, and the frames that stood.
#[derive(Serialize)]
struct Failed {
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backtrace: Vec<String>,
}

impl Failed {
    fn of(error: &Error) -> Failed {
        Failed { code: error.code().name(), backtrace: error.backtrace().iter().map(ToString::to_string).collect() }
    }

    /// Its frames, as they stand behind the words for people.
    fn frames(&self, call: &str) -> String {
        let mut text = String::new();
        if !self.backtrace.is_empty() {
            text.push_str(&format!("\n  in call {call}"));
        }
        self.backtrace.iter().for_each(|frame| text.push_str(&format!("\n  {frame}")));
        text
    }
}

/// Tells those who read JSON of a failure, with what else there is to answer. What is left is for people, with these
/// frames behind its words; what a program has named is in both.
fn fails(failure: &Failure, frames: &str, answer: Option<impl Serialize>, as_json: bool) -> Failure {
    if as_json {
        match json(&Outcome::failed_with(failure, answer)) {
            Ok(answer) => say(&answer),
            Err(failure) => return failure,
        }
    }
    Failure::new(failure.exit, shown::lines(&format!("{}{frames}", failure.message)))
}

/// Why nothing was called: also what failed in a function that runs before the call.
pub(super) struct Uncalled {
    failure: Failure,
    error: Option<Error>,
}

impl From<Failure> for Uncalled {
    fn from(failure: Failure) -> Uncalled {
        Uncalled { failure, error: None }
    }
}

impl Uncalled {
    fn of(exit: Exit, subject: &str, error: Error) -> Uncalled {
        Uncalled { failure: Failure::new(exit, failed(subject, &error)), error: Some(error) }
    }

    /// Tells those who read JSON; what is left is for people.
    pub(super) fn told(self, as_json: bool) -> Failure {
        /// What there is to tell.
        #[derive(Serialize)]
        struct Answer {
            #[serde(skip_serializing_if = "Option::is_none")]
            call: Option<String>,
            #[serde(flatten)]
            failed: Failed,
        }
        let Uncalled { failure, error } = self;
        let call = error.as_ref().and_then(Error::call).map(|call| call.to_string());
        let answer = error.map(|error| Answer { call, failed: Failed::of(&error) });
        let frames = answer.as_ref().map(|Answer { call, failed }| failed.frames(call.as_deref().unwrap_or("?")));
        fails(&failure, &frames.unwrap_or_default(), answer, as_json)
    }
}

/// Runs it.
///
/// # Errors
/// No such module or function, or other inputs than it takes; the function failed; a trace that cannot be written.
pub fn run(options: &Run) -> Result<(), Failure> {
    match prepare(options) {
        Ok(prepared) => prepared.call(options),
        Err(uncalled) => Err(uncalled.told(options.json)),
    }
}

/// Everything is there, and nothing has run but a start function.
struct Prepared {
    call: Call,
    trace: Option<TraceFile>,
    world: World,
}

fn prepare(options: &Run) -> Result<Prepared, Uncalled> {
    let module = open(&options.module, bounds(options))?;
    let named = options.function.as_str();
    let found = module.signatures().find(|(name, _)| *name == named);
    let signature = found.map(|(_, signature)| signature.clone()).ok_or_else(|| no_function(&module, named))?;
    let semaphores = Semaphores::new(options)?;
    let inputs = values::inputs(&signature, &options.inputs, &semaphores)
        .map_err(|failure| Failure::new(failure.exit, format!("{named}{signature}: {}", failure.message)))?;
    let name = format!("{}.{named}", module.name());
    let world = World::new(options)?;
    let interrupt = Interrupt::on_signals()?;
    // It is opened before anything runs, and is a trace however it ends.
    let trace = options.trace.as_deref().map(|path| TraceFile::open(path, &name)).transpose()?;
    // What runs before the call and what runs after it has its deadline: then they end at their first stop.
    let clock = Clock::monotonic();
    let mut invocation = InvocationOptions::new();
    if let Some(deadline) = options.deadline {
        invocation = invocation.deadline(Timeout::At(clock.now() + deadline));
    }
    // The modules that a program may import come before it, with what they are granted.
    let builder = Context::builder(&world.instance).lifecycle(invocation.clone());
    let builder = match &trace {
        Some(trace) => builder.tracer(trace.tracer()),
        None => builder,
    };
    let builder = world.modules.iter().fold(builder, |builder, module| builder.module(module.clone()));
    let found = match load::context(builder.module(module), &interrupt) {
        Ok(context) => context.lookup(&name).map(|function| (context, function)).map_err(load::NotLoaded::Refused),
        Err(refused) => Err(refused),
    };
    let (context, function) = match found {
        Ok(found) => found,
        Err(refused) => {
            // The failure is the one to tell; a trace that is missing besides shows by itself.
            let _ = trace.map_or(Ok(()), TraceFile::write);
            return Err(refused.uncalled(&options.module.display().to_string()));
        }
    };
    if trace.is_some() {
        invocation = invocation.traced();
    }
    let call = Call { context, function, options: invocation, inputs, interrupt, semaphores };
    Ok(Prepared { call, trace, world })
}

fn bounds(options: &Run) -> Options {
    let memory_max = usize::try_from(options.memory).unwrap_or(usize::MAX);
    Options { fuel: options.fuel, memory_max, ..Options::default() }
}

/// Loads a module for a command.
pub(super) fn open(path: &std::path::Path, options: Options) -> Result<Arc<WasmModule>, Uncalled> {
    let module = WasmModule::open(path, options);
    // The error names the file where it is about it; a module is named by its name alone.
    let shown = path.display().to_string();
    module.map(Arc::new).map_err(|error| Uncalled::of(Exit::Source, &shown, error))
}

fn failed(subject: &str, error: &Error) -> String {
    let text = error.to_string();
    if text.starts_with(subject) { text } else { format!("{subject}: {text}") }
}

fn no_function(module: &WasmModule, named: &str) -> Failure {
    if let Some((_, found)) = module.uncallable().find(|(name, _)| *name == named) {
        let message = format!("{named}: it cannot be called: {found} in its type is neither a number nor a handle");
        return Failure::new(Exit::Usage, message);
    }
    let known: Vec<&str> = module.signatures().map(|(name, _)| name).collect();
    let known = match known.len() {
        0 => String::from("it exports none"),
        1..=20 => format!("there are {}", known.join(", ")),
        many => format!("there are {many}: see proact inspect"),
    };
    Failure::new(Exit::Usage, format!("{} has no function {named:?}; {known}", module.name()))
}

impl Prepared {
    fn call(self, options: &Run) -> Result<(), Failure> {
        let Prepared { call, mut trace, world } = self;
        let name = call.function.name().to_owned();
        let ended = call.run(trace.as_mut());
        let written = trace.map_or(Ok(()), TraceFile::write);
        let mut answer = Answer {
            function: name.clone(),
            call: ended.id.map_or_else(String::new, |id: CallId| id.to_string()),
            yields: ended.yields,
            waits: ended.waits,
            results: None,
            semaphores: ended.semaphores,
            failed: None,
        };
        let outcome = match ended.outcome {
            Ok(outputs) => {
                answer.results = Some(outputs.iter().map(Shown::of).collect());
                // What it answered may be open files: they go before the proactor does.
                drop(outputs);
                written.and(world.end())
            }
            Err(error) => {
                answer.failed = Some(Failed::of(&error));
                let exit = if ended.interrupted { Exit::Interrupted } else { Exit::Failed };
                // The call's own failure is the one to tell, and has the backend's in it; a trace that is missing
                // besides shows by itself.
                let _ = world.end();
                Err(Failure::new(exit, failed(&name, &error)))
            }
        };
        report(outcome, answer, options.json)
    }
}

fn report(outcome: Result<(), Failure>, answer: Answer, as_json: bool) -> Result<(), Failure> {
    match outcome {
        Ok(()) if as_json => say(&json(&Outcome::ok(answer))?),
        Ok(()) => say(&answer.results.iter().flatten().map(|shown| format!("{shown}\n")).collect::<String>()),
        Err(failure) => {
            let frames = answer.failed.as_ref().map(|failed| failed.frames(&answer.call));
            return Err(fails(&failure, &frames.unwrap_or_default(), Some(answer), as_json));
        }
    }
    Ok(())
}

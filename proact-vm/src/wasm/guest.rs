//! An instance of a program: its memory, the references that it holds, and how its imports reach the other side.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use proact::status::Code;
use wasmi::errors::HostError;
use wasmi::{AsContextMut, Caller, Extern, Func, Memory, Store, StoreLimits, Val};

use super::builtin::Builtin;
use super::conventions::{Kind, Signature};
use super::handles::Handles;
use super::lending::{Lending, Lent};
use super::options::limits;
use super::program::{Import, Program};
use super::trap;
use crate::convention::{Packed, Reader};
use crate::error::{Error, Result};
use crate::machine::{Machine, work};
use crate::module::{CallFrame, Function, Imports};
use crate::stack::StackLimits;
use crate::value::{Access, Buffer, Ref, copied};

/// Fuel that a call of an import takes besides what it lends: it is that much more work than an instruction.
const IMPORT_FUEL: u64 = 50;

/// Longest words of a failure that are kept for the program, in bytes.
const ERROR_MAX: usize = 1 << 10;

/// An instance, alive as long as its context or a call that has stopped within it.
pub(super) struct Guest {
    pub inner: Mutex<Inner>,
    /// Where its context keeps it.
    home: Weak<Home>,
}

/// The instance of a context, until one of its calls does not come to its end.
pub(super) type Home = Mutex<Option<Arc<Guest>>>;

impl Guest {
    /// A call of it has not come to its end: its memory is in the middle of something. It goes with the calls that
    /// stand in it, and all references that it holds; the next call has another one.
    pub fn spoil(&self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut kept = home.lock().unwrap_or_else(PoisonError::into_inner);
        let own = kept.take_if(|kept| std::ptr::eq(Arc::as_ptr(kept), self));
        drop(kept);
        // What it held may do anything when it goes: under no lock.
        drop(own);
    }
}

/// What a step of a call needs for itself.
pub(super) struct Inner {
    pub store: Store<Host>,
    /// The exports, by ordinal.
    pub functions: Vec<Func>,
    /// The start function, until a call has begun it.
    pub start: Option<Func>,
    /// A call is within the start function.
    pub starting: bool,
    /// Kept for their memory, between calls.
    pub values: Vec<Val>,
    pub results: Vec<Val>,
}

impl Inner {
    /// What the program does from here on is done in this call.
    #[inline]
    pub fn serve(&mut self, call: &CallFrame<'_>) {
        if let Some(aside) = &mut self.store.data_mut().aside {
            call.lend_call(aside);
        }
    }
}

/// The other side of a program, as its imports find it.
pub(super) struct Host {
    pub program: Arc<Program>,
    pub imports: Imports,
    pub limits: StoreLimits,
    pub handles: Handles,
    pub memory: Option<Memory>,
    pub lending: Lending,
    /// Fuel that imports have used, and the program has not paid yet.
    pub debt: u64,
    /// The import that stopped the program, as arguments for the driver.
    pub asked: Option<Asked>,
    /// The words of the last failure that the program was told.
    pub error: String,
    /// Nothing, in memory for the next arguments.
    pub spare: Packed,
    /// Runs imports that always come to their end, on behalf of the call that runs the program; not there while it
    /// does, and where there are none.
    pub aside: Option<Box<Machine>>,
    /// Kept for its memory.
    answers: Vec<Val>,
}

/// What an import asks for.
pub(super) struct Asked {
    /// Counts in [`Program::functions`].
    pub place: usize,
    pub function: Function,
    pub arguments: Packed,
    pub lent: Vec<Lent>,
}

/// Why an import stops the program.
#[derive(Debug)]
pub(super) enum Stop {
    /// For a call: [`Host::asked`].
    Call,
    Yield,
    /// The import was called wrongly.
    Fault(Error),
    /// The import has failed.
    Failed(Function, Error),
    /// The import has panicked: with this, until it is taken.
    Panicked(Mutex<Option<Box<dyn Any + Send>>>),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Call => f.write_str("a call"),
            Stop::Yield => f.write_str("a yield"),
            Stop::Fault(error) | Stop::Failed(_, error) => fmt::Display::fmt(error, f),
            Stop::Panicked(_) => f.write_str("a panic"),
        }
    }
}

impl HostError for Stop {}

impl Guest {
    /// Makes an instance. Its start function has not run.
    ///
    /// # Errors
    /// It needs more memory or tables than it may have; a segment of it lies past their end.
    pub fn new(program: &Arc<Program>, imports: &Imports, home: Weak<Home>) -> Result<Guest> {
        let host = Host {
            program: program.clone(),
            imports: imports.clone(),
            limits: limits(&program.options),
            handles: Handles::new(program.options.references_max),
            memory: None,
            lending: Lending::new(program.options.memory_max),
            debt: 0,
            asked: None,
            error: String::new(),
            spare: Packed::new(),
            aside: imports.iter().flatten().any(Function::is_plain).then(aside),
            answers: Vec::new(),
        };
        let mut store = Store::new(&program.engine, host);
        store.limiter(|host| &mut host.limits);
        let mut externs = Vec::with_capacity(program.imports.len());
        for import in &program.imports {
            externs.push(Extern::Func(match *import {
                Import::Builtin(builtin) => {
                    let call = move |caller: Caller<'_, Host>, parameters: &[Val], results: &mut [Val]| {
                        built_in(builtin, caller, parameters, results)
                    };
                    Func::new(&mut store, builtin.wasm(), call)
                }
                Import::Function(place) => {
                    let wasm = program.functions[place].wasm.clone();
                    let call = move |caller: Caller<'_, Host>, parameters: &[Val], results: &mut [Val]| {
                        ask(place, caller, parameters, results).map_err(wasmi::Error::host)
                    };
                    Func::new(&mut store, wasm, call)
                }
            }));
        }
        // Fuel is for calls; copying segments is bounded by the module's bytes.
        store.set_fuel(u64::MAX).map_err(|error| trap::error(&error))?;
        let instance = wasmi::Instance::new(&mut store, &program.module, &externs);
        let instance = instance.map_err(|error| trap::error(&error).about("instantiation"))?;
        let missing = |name: &str| Error::internal(format!("export {name} is not there"));
        let function = |name: &str| instance.get_func(&store, name).ok_or_else(|| missing(name));
        let functions = program.exports.iter().map(|export| function(&export.name)).collect::<Result<_>>()?;
        let start = if program.starts { Some(function(super::binary::START)?) } else { None };
        store.data_mut().memory = match program.memory {
            Some(_) => Some(instance.get_memory(&store, "memory").ok_or_else(|| missing("memory"))?),
            None => None,
        };
        let inner = Inner { store, functions, start, starting: false, values: Vec::new(), results: Vec::new() };
        Ok(Guest { inner: Mutex::new(inner), home })
    }
}

/// Turns a call of an import into what the driver is asked for. It is answered at once where it always comes to its
/// end, and where it is missing and the program wants to be told.
fn ask(place: usize, mut caller: Caller<'_, Host>, parameters: &[Val], results: &mut [Val]) -> Result<(), Stop> {
    let function = caller.data().imports[place].clone();
    caller.data_mut().owes(IMPORT_FUEL);
    let asked = match &function {
        Some(function) => try_ask(place, function, &mut caller, parameters),
        None => Err(Error::new(Code::Unavailable, "the import is optional, and is not there")),
    };
    let outcome = match (asked, function) {
        (Ok(asked), Some(function)) if function.is_plain() => return run_plain(asked, &function, caller, results),
        (Ok(asked), _) => {
            caller.data_mut().asked = Some(asked);
            pay(&mut caller).map_err(Stop::Fault)?;
            return Err(Stop::Call);
        }
        (Err(error), function) => {
            let error = error.about(format!("call of {}", caller.data().program.functions[place].name));
            // Called wrongly; but too much is a failure as others are.
            if function.is_some() && error.code() != Code::ResourceExhausted {
                return Err(Stop::Fault(error));
            }
            Err(error)
        }
    };
    answer_now(place, Vec::new(), outcome, &mut caller, results).map_err(Stop::Fault)
}

/// Runs an import that stops nowhere and calls nothing, without stopping the program.
fn run_plain(asked: Asked, function: &Function, mut caller: Caller<'_, Host>, results: &mut [Val]) -> Result<(), Stop> {
    let Asked { place, mut arguments, lent, .. } = asked;
    let mut machine = caller.data_mut().aside.take().unwrap_or_else(aside);
    // The engine cannot be unwound through: who called it goes on with the panic.
    let run = || catch_unwind(AssertUnwindSafe(|| machine.run_plain(function, &mut arguments)));
    let (ran, worked) = work::during(run);
    let ran = ran.map_err(|panic| Stop::Panicked(Mutex::new(Some(panic))))?;
    arguments.clear();
    caller.data_mut().spare = arguments;
    caller.data_mut().owes(worked);
    let outcome = ran.map(|()| machine.results.reader());
    let answered = answer_now(place, lent, outcome, &mut caller, results);
    // Of the call, and not of what it has run.
    let tracing = machine.tracing.take();
    machine.clear();
    machine.tracing = tracing;
    caller.data_mut().aside = Some(machine);
    answered.map_err(|error| Stop::Failed(function.clone(), error))
}

fn aside() -> Box<Machine> {
    Box::new(Machine::new(StackLimits::default()))
}

/// Answers an import that did not stop the program.
fn answer_now(
    place: usize,
    lent: Vec<Lent>,
    outcome: Result<Reader<'_>>,
    caller: &mut Caller<'_, Host>,
    results: &mut [Val],
) -> Result {
    let mut answers = std::mem::take(&mut caller.data_mut().answers);
    answers.clear();
    let answered = answer(place, lent, outcome, &mut *caller, &mut answers);
    for (result, answer) in results.iter_mut().zip(&answers) {
        result.clone_from(answer);
    }
    caller.data_mut().answers = answers;
    pay(caller)?;
    answered
}

/// Takes what the program owes from the fuel that it has. Where that is not enough it stops at its next instruction,
/// and owes the rest.
fn pay(caller: &mut Caller<'_, Host>) -> Result {
    let debt = std::mem::take(&mut caller.data_mut().debt);
    let fuel = caller.get_fuel().map_err(|error| trap::error(&error))?;
    caller.data_mut().debt = debt.saturating_sub(fuel);
    caller.set_fuel(fuel.saturating_sub(debt)).map_err(|error| trap::error(&error))
}

/// What the import at `place` answers the program, in values: its results, or its failure where that is told.
pub(super) fn answer(
    place: usize,
    lent: Vec<Lent>,
    outcome: Result<Reader<'_>>,
    mut store: impl AsContextMut<Data = Host>,
    answers: &mut Vec<Val>,
) -> Result {
    let program = store.as_context_mut().data().program.clone();
    let signature = &program.functions[place].imported.signature;
    let answered = outcome.and_then(|results| {
        give_back(&mut store, &lent)?;
        store.as_context_mut().data_mut().owes(Lent::fuel(&lent, true));
        store.as_context_mut().data_mut().take_in(&signature.results, results, answers)?;
        is_success(signature, answers)
    });
    store.as_context_mut().data_mut().lending.take_back(lent);
    match answered {
        Ok(()) if signature.fallible && signature.results.is_empty() => answers.push(Val::I32(0)),
        Err(error) if signature.fallible => {
            answers.clear();
            let told = store.as_context_mut().data_mut().told(&error, signature.results.first().copied());
            answers.push(told);
        }
        answered => return answered,
    }
    Ok(())
}

/// A negative result of a function whose failures are told as such would be taken for one.
fn is_success(signature: &Signature, answers: &[Val]) -> Result {
    let number = match (signature.fallible, signature.results.first(), answers.first()) {
        (true, Some(Kind::I32), Some(Val::I32(number))) => i64::from(*number),
        (true, Some(Kind::I64), Some(Val::I64(number))) => *number,
        _ => 0,
    };
    if number >= 0 {
        return Ok(());
    }
    Err(Error::new(Code::OutOfRange, format!("{number}, where less than 0 means a failure")))
}

fn try_ask(place: usize, function: &Function, caller: &mut Caller<'_, Host>, parameters: &[Val]) -> Result<Asked> {
    let (program, memory) = (caller.data().program.clone(), caller.data().memory);
    let function = function.clone();
    let kinds = &program.functions[place].imported.signature.arguments;
    may_lend(kinds, parameters, memory, caller)?;
    let mut asked =
        Asked { place, function, arguments: std::mem::take(&mut caller.data_mut().spare), lent: Vec::new() };
    let mut parameters = parameters.iter();
    let mut next = || parameters.next().ok_or_else(|| Error::internal("an import with fewer arguments than its type"));
    for kind in kinds {
        let packed = &mut asked.arguments;
        match kind {
            Kind::Ref => packed.push_ref(caller.data().handles.get(i32_of(next()?)?)?),
            Kind::In | Kind::Out | Kind::InOut => {
                let (address, length) = (i32_of(next()?)? as u32 as usize, i32_of(next()?)? as u32 as usize);
                let bytes = lent_bytes(memory, caller, address, length)?;
                let buffer = match kind {
                    Kind::In => Arc::new(Buffer::new(copied(bytes)?, Access::ReadOnly)),
                    Kind::InOut => Arc::new(Buffer::new(copied(bytes)?, Access::Mutable)),
                    _ => Arc::new(Buffer::zeroed(length)?),
                };
                packed.push_ref(Ref::from(buffer.clone()));
                asked.lent.push(Lent { back_to: (*kind != Kind::In).then_some(address), buffer });
            }
            _ => push_number(next()?, packed)?,
        }
    }
    asked.arguments.finish();
    let host = caller.data_mut();
    host.lending.lend(&asked.lent);
    host.owes(Lent::fuel(&asked.lent, false));
    Ok(asked)
}

/// Whether what the arguments lend may be out, all at once: before any of it is copied. At once it is no more than the
/// memory holds, though a program may name the same bytes many times.
fn may_lend(kinds: &[Kind], parameters: &[Val], memory: Option<Memory>, caller: &mut Caller<'_, Host>) -> Result {
    let (mut parameters, mut buffers, mut bytes) = (parameters.iter(), 0, 0usize);
    for kind in kinds {
        let first = parameters.next();
        if kind.is_bytes() {
            if let (Some(Val::I32(address)), Some(Val::I32(length))) = (first, parameters.next()) {
                let (address, length) = (*address as u32 as usize, *length as u32 as usize);
                lent_bytes(memory, caller, address, length)?;
                (buffers, bytes) = (buffers + 1, bytes.saturating_add(length));
            }
        }
    }
    if buffers == 0 {
        return Ok(());
    }
    let size = memory.map_or(0, |memory| memory.data(&*caller).len());
    if bytes > size {
        let message = format!("{bytes} bytes lent at once, of a memory of {size}");
        return Err(Error::new(Code::ResourceExhausted, message));
    }
    let Host { lending, debt, .. } = caller.data_mut();
    lending.check(buffers, bytes, debt)
}

fn lent_bytes<'a>(
    memory: Option<Memory>,
    caller: &'a Caller<'_, Host>,
    address: usize,
    length: usize,
) -> Result<&'a [u8]> {
    let memory = memory.ok_or_else(|| Error::internal("no memory to lend"))?.data(caller);
    range(address, length, memory.len()).map(|range| &memory[range])
}

fn range(address: usize, length: usize, size: usize) -> Result<std::ops::Range<usize>> {
    match address.checked_add(length) {
        Some(end) if end <= size => Ok(address..end),
        _ => Err(Error::new(Code::OutOfRange, format!("{length} bytes at {address}, of a memory of {size}"))),
    }
}

/// Copies what the other side has written to the program's memory.
fn give_back(mut store: impl AsContextMut<Data = Host>, lent: &[Lent]) -> Result {
    let memory = store.as_context_mut().data().memory;
    for Lent { back_to, buffer } in lent {
        let Some(address) = *back_to else { continue };
        let memory = memory.ok_or_else(|| Error::internal("no memory to give back"))?;
        let memory = memory.data_mut(store.as_context_mut());
        buffer.read_with(|bytes| {
            // Memory never shrinks: what was there when it was lent is there now.
            let range = range(address, bytes.len(), memory.len())?;
            memory[range].copy_from_slice(bytes);
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

impl Host {
    /// The program has used that much fuel in an import.
    pub fn owes(&mut self, fuel: u64) {
        self.debt = self.debt.saturating_add(fuel);
    }

    /// Appends what `packed` holds by `kinds` to the values, references as handles. On failure none are held.
    pub fn take_in(&mut self, kinds: &[Kind], mut packed: Reader<'_>, values: &mut Vec<Val>) -> Result {
        let before = values.len();
        let mut one = |kind: Kind| {
            Ok(match kind {
                Kind::I32 => Val::I32(packed.next_i32()?),
                Kind::I64 => Val::I64(packed.next_i64()?),
                Kind::F32 => Val::F32(packed.next_f32()?.into()),
                Kind::F64 => Val::F64(packed.next_f64()?.into()),
                _ => Val::I32(self.handles.insert(packed.next_ref()?)?),
            })
        };
        let taken = kinds.iter().try_for_each(|kind| one(*kind).map(|value| values.push(value)));
        if taken.is_err() {
            for (kind, value) in kinds.iter().zip(values.drain(before..)) {
                if let (Kind::Ref, Val::I32(handle)) = (kind, value) {
                    let _ = self.handles.take(handle);
                }
            }
        }
        taken
    }

    /// Packs the program's results; a handle that it answers is its own no more.
    pub fn give_out(&mut self, signature: &Signature, results: &[Val], packed: &mut Packed) -> Result {
        for (kind, value) in signature.results.iter().zip(results) {
            match kind {
                Kind::Ref => packed.push_ref(self.handles.take(i32_of(value)?)?),
                _ => push_number(value, packed)?,
            }
        }
        packed.finish();
        Ok(())
    }

    /// What an import answers instead of failing: the negated code. Its words are kept for [`Builtin::Error`].
    fn told(&mut self, error: &Error, result: Option<Kind>) -> Val {
        self.error = error.to_string();
        let mut length = self.error.len().min(ERROR_MAX);
        while !self.error.is_char_boundary(length) {
            length -= 1;
        }
        self.error.truncate(length);
        let code = -i32::from(error.code() as u8);
        if result == Some(Kind::I64) { Val::I64(code.into()) } else { Val::I32(code) }
    }
}

fn built_in(
    builtin: Builtin,
    mut caller: Caller<'_, Host>,
    parameters: &[Val],
    results: &mut [Val],
) -> Result<(), wasmi::Error> {
    caller.data_mut().owes(IMPORT_FUEL);
    pay(&mut caller).map_err(|error| wasmi::Error::host(Stop::Fault(error)))?;
    if builtin == Builtin::Yield {
        return Err(wasmi::Error::host(Stop::Yield));
    }
    let done = match (builtin, parameters, results) {
        (Builtin::Retain, [Val::I32(handle)], [result]) => {
            let handles = &mut caller.data_mut().handles;
            handles
                .get(*handle)
                .and_then(|reference| handles.insert(reference))
                .map(|handle| *result = Val::I32(handle))
        }
        (Builtin::Release, [Val::I32(handle)], []) => caller.data_mut().handles.take(*handle).map(drop),
        (Builtin::Error, [Val::I32(address), Val::I32(length)], [result]) => {
            error_words(&mut caller, *address as u32 as usize, *length as u32 as usize)
                .map(|full| *result = Val::I32(full))
        }
        _ => Err(Error::internal("an import with other arguments than its type")),
    };
    let named = |error: Error| error.about(format!("call of {}.{}", Builtin::MODULE, builtin.name()));
    done.map_err(|error| wasmi::Error::host(Stop::Fault(named(error))))
}

fn error_words(caller: &mut Caller<'_, Host>, address: usize, length: usize) -> Result<i32> {
    let memory = caller.data().memory.ok_or_else(|| Error::internal("no memory for the words"))?;
    let (memory, host) = memory.data_and_store_mut(caller);
    let place = range(address, length, memory.len())?;
    let copied = host.error.len().min(length);
    memory[place][..copied].copy_from_slice(&host.error.as_bytes()[..copied]);
    Ok(host.error.len() as i32)
}

fn i32_of(value: &Val) -> Result<i32> {
    value.i32().ok_or_else(|| Error::internal("another type than the function's"))
}

fn push_number(value: &Val, packed: &mut Packed) -> Result {
    match value {
        Val::I32(number) => packed.push_i32(*number),
        Val::I64(number) => packed.push_i64(*number),
        Val::F32(number) => packed.push_f32(number.to_float()),
        Val::F64(number) => packed.push_f64(number.to_float()),
        _ => return Err(Error::internal("another type than the function's")),
    }
    Ok(())
}

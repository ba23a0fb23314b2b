//! A module's bytes, checked and compiled: what it exports and imports, and under which conventions.

use std::collections::{HashMap, HashSet};

use proact::status::Code;
use wasmi::errors::ErrorKind;
use wasmi::{CompilationMode, Config, Engine, ExternType, FuncType, Module, ValType};

use super::binary::{self, START};
use super::builtin::Builtin;
use super::conventions::{Conventions, ImportName, Imported, Kind, NAME_MAX, Signature};
use super::options::Options;
use crate::error::{Error, Result};

/// Bytes of operands and locals of all calls within one another.
const STACK_BYTES_MAX: usize = 1 << 20;

/// The memory whose bytes imports are lent.
const MEMORY: &str = "memory";

/// A program, the same for all contexts.
pub(super) struct Program {
    pub engine: Engine,
    pub module: Module,
    pub options: Options,
    pub version: u32,
    pub requires: Vec<(String, u32)>,
    /// What can be called. A function's place here is its ordinal.
    pub exports: Vec<Export>,
    /// Exported functions that cannot be called, with the type that is in the way.
    pub uncallable: Vec<(String, &'static str)>,
    /// As the module declares them.
    pub imports: Vec<Import>,
    /// The functions of other modules, each once: [`Import::Function`] counts in it.
    pub functions: Vec<ImportedFunction>,
    pub starts: bool,
    pub memory: Option<MemoryPages>,
}

pub(super) struct Export {
    pub name: String,
    pub signature: Signature,
}

/// Where an import leads.
#[derive(Clone, Copy)]
pub(super) enum Import {
    Builtin(Builtin),
    Function(usize),
}

pub(super) struct ImportedFunction {
    pub name: ImportName,
    pub imported: Imported,
    pub wasm: FuncType,
    /// It may be called in the place of one of the program's functions: see [`super::tail_calls`].
    pub tail_called: bool,
}

/// How much memory a module has, in pages of 64 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPages {
    /// At first.
    pub minimum: u64,
    /// At most, if it says so.
    pub maximum: Option<u64>,
}

impl Program {
    pub fn load(bytes: &[u8], beside: Option<&str>, options: Options) -> Result<Program> {
        options.check()?;
        if bytes.len() > options.module_bytes_max {
            let message = format!("{} bytes, where a module may have {}", bytes.len(), options.module_bytes_max);
            return Err(Error::new(Code::ResourceExhausted, message));
        }
        let survey = binary::survey(bytes)?;
        let conventions = match beside {
            Some(text) => Conventions::parse(text)?,
            None => Conventions::parse_bytes(&survey.conventions)?,
        };
        let engine = Engine::new(&config(&options));
        // First by itself: the compiler sees each instruction before all of its function is known to be valid, and does
        // not expect those behind a function's end.
        Module::validate(&engine, &survey.module).map_err(|error| refused(&error))?;
        let module = Module::new(&engine, &survey.module).map_err(|error| refused(&error))?;
        let mut program = Program {
            version: conventions.version,
            requires: conventions.requires.iter().map(|(module, version)| (module.clone(), *version)).collect(),
            exports: Vec::new(),
            uncallable: Vec::new(),
            imports: Vec::new(),
            functions: Vec::new(),
            starts: survey.starts,
            memory: None,
            engine,
            module,
            options,
        };
        program.requires.sort();
        program.take_imports(&conventions, &survey.tail_called)?;
        program.take_exports(&conventions)?;
        if program.memory.is_none() && program.lends_memory() {
            return Err(Error::invalid(format!(
                "imports are lent memory, but there is no memory exported as {MEMORY:?}"
            )));
        }
        Ok(program)
    }

    fn lends_memory(&self) -> bool {
        let lends =
            |function: &ImportedFunction| function.imported.signature.arguments.iter().any(|kind| kind.is_bytes());
        self.functions.iter().any(lends)
            || self.imports.iter().any(|import| matches!(import, Import::Builtin(Builtin::Error)))
    }

    fn take_imports(&mut self, conventions: &Conventions, tail_called: &[bool]) -> Result {
        let declared: Vec<_> =
            self.module.imports().map(|import| (name(import.module(), import.name()), import.ty().clone())).collect();
        let mut places = HashMap::new();
        // Imports that are no functions are refused: so the places are the same.
        let mut tail_called = tail_called.iter().copied();
        for (name, declared) in declared {
            let tail_called = tail_called.next().unwrap_or(false);
            let about = |error: Error| error.about(format!("import {name}"));
            let ExternType::Func(wasm) = declared else {
                let what = match declared {
                    ExternType::Memory(_) => "a memory",
                    ExternType::Table(_) => "a table",
                    _ => "a global",
                };
                return Err(about(Error::new(Code::Unimplemented, format!("{what}, where functions can be imported"))));
            };
            let import = if name.module == Builtin::MODULE {
                let builtin = Builtin::find(&name.function, &wasm).map_err(about)?;
                if tail_called && builtin == Builtin::Yield {
                    return Err(about(super::tail_calls::refused()));
                }
                Import::Builtin(builtin)
            } else {
                let imported = match conventions.imports.get(&name) {
                    Some(imported) => imported.clone(),
                    None => Imported { signature: plain(&wasm).map_err(unmapped).map_err(about)?, optional: false },
                };
                agrees(&imported.signature, &wasm).map_err(about)?;
                Import::Function(self.function(&mut places, &name, imported, wasm, tail_called).map_err(about)?)
            };
            self.imports.push(import);
        }
        Ok(())
    }

    /// The place of an imported function, which a module may declare several times.
    fn function(
        &mut self,
        places: &mut HashMap<ImportName, usize>,
        name: &ImportName,
        imported: Imported,
        wasm: FuncType,
        tail_called: bool,
    ) -> Result<usize> {
        if name.module.is_empty() || name.module.contains('.') || name.function.is_empty() {
            return Err(Error::invalid("no name of a module's function: MODULE.FUNCTION, and no dot in MODULE"));
        }
        if name.module.len().max(name.function.len()) > NAME_MAX {
            return Err(Error::new(Code::ResourceExhausted, format!("a name of more than {NAME_MAX} bytes")));
        }
        match places.get(name) {
            Some(&place) if self.functions[place].wasm == wasm => {
                self.functions[place].tail_called |= tail_called;
                Ok(place)
            }
            Some(_) => Err(Error::invalid("it is imported with two types")),
            None => {
                places.insert(name.clone(), self.functions.len());
                self.functions.push(ImportedFunction { name: name.clone(), imported, wasm, tail_called });
                Ok(self.functions.len() - 1)
            }
        }
    }

    fn take_exports(&mut self, conventions: &Conventions) -> Result {
        let mut mapped: HashSet<&str> = conventions.exports.keys().map(String::as_str).collect();
        for export in self.module.exports() {
            let wasm = match export.ty() {
                ExternType::Func(wasm) if export.name() != START => wasm,
                ExternType::Memory(memory) if export.name() == MEMORY => {
                    self.memory = Some(MemoryPages { minimum: memory.minimum(), maximum: memory.maximum() });
                    continue;
                }
                _ => continue,
            };
            let name = export.name().to_owned();
            let signature = match conventions.exports.get(&name) {
                Some(signature) => {
                    mapped.remove(name.as_str());
                    agrees(signature, wasm).map_err(|error| error.about(format!("export {name}")))?;
                    signature.clone()
                }
                None => match plain(wasm) {
                    Ok(signature) => signature,
                    Err(kind) => {
                        self.uncallable.push((name, kind));
                        continue;
                    }
                },
            };
            self.exports.push(Export { name, signature });
        }
        // The line would be without effect, unseen.
        match mapped.into_iter().min() {
            Some(name) => Err(Error::invalid(format!("conventions: there is no exported function {name}"))),
            None => Ok(()),
        }
    }
}

fn name(module: &str, function: &str) -> ImportName {
    ImportName { module: module.into(), function: function.into() }
}

/// What programs may consist of: what engines have agreed on, without what only costs bounds here (several memories,
/// 64-bit ones, vectors).
fn config(options: &Options) -> Config {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        // Everything is checked and compiled at once, so that no call finds a fault or spends fuel on it.
        .compilation_mode(CompilationMode::Eager)
        .allow_start_fn(false)
        .ignore_custom_sections(true)
        .wasm_multi_memory(false)
        .set_max_recursion_depth(options.recursion_max)
        .set_max_stack_height(STACK_BYTES_MAX);
    config
}

#[cold]
fn refused(error: &wasmi::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::UserLimits(_) | ErrorKind::ImplementationLimits(_) => Code::ResourceExhausted,
        ErrorKind::Translation(_) => Code::Unimplemented,
        _ => Code::InvalidArgument,
    };
    Error::new(code, format!("not a valid WebAssembly module: {error}"))
}

/// The kinds of a type of plain numbers; else the type that is none.
fn plain(wasm: &FuncType) -> Result<Signature, &'static str> {
    let kinds = |types: &[ValType]| types.iter().map(kind).collect::<Result<Vec<Kind>, _>>();
    Ok(Signature { arguments: kinds(wasm.params())?, results: kinds(wasm.results())?, fallible: false })
}

fn kind(value: &ValType) -> Result<Kind, &'static str> {
    match value {
        ValType::I32 => Ok(Kind::I32),
        ValType::I64 => Ok(Kind::I64),
        ValType::F32 => Ok(Kind::F32),
        ValType::F64 => Ok(Kind::F64),
        other => Err(type_name(other)),
    }
}

fn type_name(value: &ValType) -> &'static str {
    match value {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::FuncRef => "funcref",
        ValType::ExternRef => "externref",
        ValType::V128 => "v128",
    }
}

#[cold]
fn unmapped(found: &'static str) -> Error {
    Error::new(Code::Unimplemented, format!("{found}, where numbers and handles can be passed"))
}

/// Whether a function of these kinds has this type.
fn agrees(signature: &Signature, wasm: &FuncType) -> Result {
    let lowered = |kinds: &[Kind]| {
        let mut lowered = Vec::new();
        for kind in kinds {
            match kind {
                Kind::I32 | Kind::Ref => lowered.push(ValType::I32),
                Kind::I64 => lowered.push(ValType::I64),
                Kind::F32 => lowered.push(ValType::F32),
                Kind::F64 => lowered.push(ValType::F64),
                Kind::In | Kind::Out | Kind::InOut => lowered.extend([ValType::I32, ValType::I32]),
            }
        }
        lowered
    };
    let (parameters, mut results) = (lowered(&signature.arguments), lowered(&signature.results));
    if signature.fallible && results.is_empty() {
        results.push(ValType::I32);
    }
    if parameters == wasm.params() && results == wasm.results() {
        return Ok(());
    }
    let list = |types: &[ValType]| types.iter().map(type_name).collect::<Vec<_>>().join(", ");
    Err(Error::invalid(format!(
        "{signature} is ({}) -> ({}) in WebAssembly, where the module has ({}) -> ({})",
        list(&parameters),
        list(&results),
        list(wasm.params()),
        list(wasm.results())
    )))
}

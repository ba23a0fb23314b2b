//! WebAssembly modules: programs in any language that compiles to it, run by wasmi.
//!
//! A [`WasmModule`] is a module as any other: its functions are called, wait, yield and are cancelled as native ones
//! are. What it imports are functions of other modules, by name: `file.read` of module `file`. Nothing else reaches it:
//! a program has the capabilities that its imports give, and no others.
//!
//! - **Numbers just work.** References, bytes of the program's memory and failures that the program wants to be told
//!   need a line of [conventions]: in a custom section, or in a file beside the module.
//! - **Imports may wait.** The program stands where it called, holding no thread, and goes on with the results. But for
//!   imports that it calls in the place of one of its functions (`return_call`): those may not stop.
//! - **Time slices.** A call that has used the fuel of its slice lets others run, and goes on. With a bound on all of
//!   its fuel it fails when that is used up.
//! - **References** are handles: numbers that the program is given, as arguments or as results of imports, and owns
//!   until it releases them or answers them as results. One that it passes to an import stays its own.
//! - **Traps** are errors with the backtrace of the invocation. The engine does not tell which functions of the program
//!   stood below the one that was called.
//!
//! Of the machine itself a program may import, from module `proact`:
//!
//! | import | type | what it does |
//! |---|---|---|
//! | `proact.yield` | `()` | lets others run |
//! | `proact.retain` | `(i32) -> i32` | another handle of the same object |
//! | `proact.release` | `(i32)` | gives a handle up; of 0 nothing |
//! | `proact.error` | `(i32, i32) -> i32` | words of the last failure it was told, to address and length; how many |
//!
//! ```
//! use std::sync::Arc;
//!
//! use proact_vm::wasm::WasmModule;
//! use proact_vm::{Context, Instance, Value};
//!
//! // (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
//! let bytes = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\x07\x07\x01\x03add\0\0\
//!     \x0a\x09\x01\x07\0\x20\0\x20\x01\x6a\x0b";
//! let math = WasmModule::builder("math").load(bytes)?;
//! let context = Context::builder(&Instance::new()).module(Arc::new(math)).build()?;
//! let mut outputs = Vec::new();
//! context.invoke(&context.lookup("math.add")?, &[Value::I32(2), Value::I32(3)], &mut outputs)?;
//! assert_eq!(outputs, [Value::I32(5)]);
//! # Ok::<(), proact_vm::Error>(())
//! ```

mod binary;
mod builtin;
mod call;
pub mod conventions;
mod guest;
mod handles;
mod lending;
mod options;
mod program;
mod tail_calls;
mod trap;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};

use proact::status::{Code, Operation, Status};

pub use binary::{BODY_MAX, DECLARED_MAX, ELEMENTS_MAX, FUNCTIONS_MAX, LOCALS_MAX, NAMES_MAX, TYPE_KINDS_MAX};
use conventions::{ImportName, Imported, Signature};
use guest::{Guest, Home};
pub use options::{Instances, Options};
pub use program::MemoryPages;
use program::Program;

use crate::convention::Convention;
use crate::error::{Error, Result};
use crate::module::{
    CallFrame, Concurrency, Dependency, Flow, FunctionDeclaration, ImportDeclaration, Imports, Module, ModuleInstance,
};

/// The function that a context calls when it takes a module in.
const INIT: &str = "__init";

/// A WebAssembly module.
pub struct WasmModule {
    name: String,
    program: Arc<Program>,
    exports: Vec<FunctionDeclaration>,
    imports: Vec<ImportDeclaration>,
    dependencies: Vec<Dependency>,
}

/// Sets a [`WasmModule`] up before it is loaded.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    options: Options,
    conventions: Option<String>,
}

impl Builder {
    /// What the program may use.
    #[must_use]
    pub fn options(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// The text of its [conventions], instead of what the module's own section says.
    #[must_use]
    pub fn conventions(mut self, text: impl Into<String>) -> Builder {
        self.conventions = Some(text.into());
        self
    }

    /// Checks and compiles the whole module, so that nothing can be found wrong with it later.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is no module, for wrong conventions, and where both do not agree;
    /// `RESOURCE_EXHAUSTED` for a module beyond the bounds; `UNIMPLEMENTED` for imports that are no functions or have
    /// types that cannot be passed; `NOT_FOUND` for an import of the machine that it does not offer.
    pub fn load(self, bytes: &[u8]) -> Result<WasmModule> {
        let Builder { name, options, conventions } = self;
        let load = || {
            if name.is_empty() || name.contains('.') {
                return Err(Error::invalid("a module's name has letters, and no dot"));
            }
            WasmModule::new(name.clone(), Program::load(bytes, conventions.as_deref(), options)?)
        };
        load().map_err(|error| error.about(format!("module {name}")))
    }
}

impl WasmModule {
    /// Sets a module of that name up: no dots.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder { name: name.into(), options: Options::default(), conventions: None }
    }

    /// Loads a file, as module of the file's name up to its first dot. A file beside it with the ending `.conventions`
    /// is read instead of the module's own section.
    ///
    /// # Errors
    /// Those of reading the files, and of [`Builder::load`]. A file longer than a module may be is not read.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<WasmModule> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut builder = WasmModule::builder(name.split('.').next().unwrap_or_default()).options(options);
        let bytes = read(path, builder.options.module_bytes_max)?;
        let beside = path.with_extension("conventions");
        if beside.try_exists().map_err(|error| failed(&beside, Operation::FileOpen, &error))? {
            let text = read(&beside, conventions::TEXT_MAX)?;
            let text = String::from_utf8(text);
            builder.conventions =
                Some(text.map_err(|_| Error::invalid("not UTF-8").about(beside.display().to_string()))?);
        }
        builder.load(&bytes)
    }

    fn new(name: String, program: Program) -> Result<WasmModule> {
        let convention = |signature: &Signature| signature.convention().parse::<Convention>();
        let mut exports = Vec::with_capacity(program.exports.len() + 1);
        for export in &program.exports {
            exports.push(FunctionDeclaration { name: export.name.clone(), convention: convention(&export.signature)? });
        }
        // The start function of a context's instance runs when the module is taken in, not with the first call.
        let starts = program.starts && program.options.instances == Instances::PerContext;
        if starts && !exports.iter().any(|export| export.name == INIT) {
            exports.push(FunctionDeclaration { name: INIT.into(), convention: Convention::default() });
        }
        let mut imports = Vec::with_capacity(program.functions.len());
        for function in &program.functions {
            imports.push(ImportDeclaration {
                name: function.name.to_string(),
                convention: convention(&function.imported.signature)?,
                optional: function.imported.optional,
            });
        }
        // Of a module whose functions are all optional, the version counts only where it is there.
        let mut all_optional: HashMap<&str, bool> = HashMap::new();
        for function in &program.functions {
            *all_optional.entry(&function.name.module).or_insert(true) &= function.imported.optional;
        }
        let dependencies = program.requires.iter().map(|(module, version)| Dependency {
            module: module.clone(),
            version: *version,
            optional: all_optional.get(module.as_str()).copied().unwrap_or(false),
        });
        let dependencies = dependencies.collect();
        drop(all_optional);
        Ok(WasmModule { name, program: Arc::new(program), exports, imports, dependencies })
    }

    /// What it exports: name, and what it takes and gives.
    pub fn signatures(&self) -> impl Iterator<Item = (&str, &Signature)> {
        self.program.exports.iter().map(|export| (export.name.as_str(), &export.signature))
    }

    /// What it imports of other modules.
    pub fn imported(&self) -> impl Iterator<Item = (&ImportName, &Imported)> {
        self.program.functions.iter().map(|function| (&function.name, &function.imported))
    }

    /// Exported functions that cannot be called, with the type that can be passed neither as a number nor as a handle.
    pub fn uncallable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.program.uncallable.iter().map(|(name, found)| (name.as_str(), *found))
    }

    /// The memory that it exports.
    pub fn memory(&self) -> Option<MemoryPages> {
        self.program.memory
    }

    /// Whether it has a start function.
    pub fn starts(&self) -> bool {
        self.program.starts
    }

    /// What it may use.
    pub fn options(&self) -> &Options {
        &self.program.options
    }
}

impl Module for WasmModule {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.program.version
    }

    fn concurrency(&self) -> Concurrency {
        match self.program.options.instances {
            // Two calls that have stopped within one instance would share the stack that compilers keep in its memory.
            Instances::PerContext => Concurrency::Exclusive,
            Instances::PerCall => Concurrency::Concurrent,
        }
    }

    fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    fn imports(&self) -> &[ImportDeclaration] {
        &self.imports
    }

    fn exports(&self) -> &[FunctionDeclaration] {
        &self.exports
    }

    /// `UNIMPLEMENTED` for an import that may stop, and is called in the place of one of the program's functions.
    fn instantiate(&self, imports: Imports) -> Result<Arc<dyn ModuleInstance>> {
        for (declared, import) in self.program.functions.iter().zip(&*imports) {
            if declared.tail_called && import.as_ref().is_some_and(|import| !import.is_plain()) {
                return Err(tail_calls::refused().about(format!("import {}", declared.name)));
            }
        }
        Ok(Arc::new(State { program: self.program.clone(), imports, home: Arc::default() }))
    }
}

impl fmt::Debug for WasmModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmModule").field("name", &self.name).field("options", self.options()).finish_non_exhaustive()
    }
}

/// The module in one context.
struct State {
    program: Arc<Program>,
    imports: Imports,
    /// Unused with an instance for each call.
    home: Arc<Home>,
}

impl State {
    fn guest(&self) -> Result<Arc<Guest>> {
        if self.program.options.instances == Instances::PerCall {
            return Guest::new(&self.program, &self.imports, Weak::new()).map(Arc::new);
        }
        let mut kept = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = &*kept {
            return Ok(guest.clone());
        }
        let guest = Guest::new(&self.program, &self.imports, Arc::downgrade(&self.home))?;
        Ok(kept.insert(Arc::new(guest)).clone())
    }
}

impl ModuleInstance for State {
    fn begin(&self, ordinal: u32, frame: &mut CallFrame<'_>) -> Result<Flow> {
        call::check_depth(frame)?;
        call::begin(&self.program, self.guest()?, ordinal as usize, frame)
    }

    /// An instance's memory can be copied, but not the variables that it does not export: so a context's instance is
    /// not forked.
    fn fork(&self, imports: Imports) -> Result<Arc<dyn ModuleInstance>> {
        if self.program.options.instances == Instances::PerContext {
            return Err(Error::new(Code::Unimplemented, "the state of a WebAssembly module cannot be forked"));
        }
        Ok(Arc::new(State { program: self.program.clone(), imports, home: Arc::default() }))
    }
}

/// The whole of a file that has at most `most` bytes.
fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |operation, error: std::io::Error| failed(path, operation, &error);
    let file = std::fs::File::open(path).map_err(|error| failed(Operation::FileOpen, error))?;
    let mut bytes = Vec::new();
    // One more: enough to see that it is too long.
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(Operation::FileRead, error))?;
    if bytes.len() > most {
        let message = format!("it has more than {most} bytes");
        return Err(Error::new(Code::ResourceExhausted, message).about(path.display().to_string()));
    }
    Ok(bytes)
}

#[cold]
fn failed(path: &Path, operation: Operation, error: &std::io::Error) -> Error {
    Error::from(Status::from_io_error(operation, error)).about(path.display().to_string())
}

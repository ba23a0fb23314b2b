//! Modules for programs: what a program reaches of the world, and no more than its host grants.
//!
//! [`modules`] makes those that a [`Host`] allows. `semaphore`, `timer`, `list`, `buffer` and `log` touch nothing
//! outside of the program; `file` is there when a directory is granted, `socket` when an address is. A program that
//! imports what was not granted is refused when it is taken in.
//!
//! [`invocation`] is one more, for hosts that have an executor: a program starts others by it.
//!
//! - **No function blocks a thread.** Those that wait stop their call, at any depth; the operation runs on the host's
//!   proactor, which another thread polls or whoever drives the call.
//! - **Bytes** pass as [`Buffer`]s. I/O never works on a buffer's own bytes: a program may go on using it. They are
//!   copied once, out of it before a write or send begins, into it after a read or receive.
//! - **A call that is given up cancels its operation**, and what came too late is not lost: bytes that a cancelled
//!   receive had got, and a connection that a cancelled accept had made, are for the next one.
//! - **Failures** keep their words. A deadline that a program has set itself is an answer, not a failure.
//!
//! Every function with its convention is in the table of the repository's `docs/vm-modules.md`.
//!
//! ```
//! use proact_vm::standard::{self, Host, LogLevel};
//! use proact_vm::{Access, Buffer, Context, Instance, Ref, Value};
//!
//! let host = Host::new().log(LogLevel::Info, |record| eprintln!("{} {}: {}", record.call, record.level, record.text));
//! let modules = standard::modules(&host)?;
//! let builder = Context::builder(&Instance::new());
//! let context = modules.into_iter().fold(builder, |builder, module| builder.module(module)).build()?;
//!
//! let text = Ref::new(Buffer::new(*b"hello", Access::ReadOnly));
//! context.invoke(&context.lookup("log.write")?, &[Value::I32(LogLevel::Info as i32), text.into()], &mut ())?;
//! assert!(context.lookup("file.open").is_err(), "no directory was granted");
//! # Ok::<(), proact_vm::Error>(())
//! ```

mod address;
mod argument;
mod buffer;
mod close;
mod file;
mod grants;
mod incoming;
pub mod invocation;
mod list;
mod log;
mod path;
mod quota;
mod semaphore;
mod socket;
mod timer;

use std::fmt;
use std::sync::Arc;

use proact::proactor::Handle;

pub use address::AddressRule;
pub use file::File;
pub use grants::{DirectoryAccess, Grants};
pub use log::{LogLevel, LogRecord};
pub use socket::Socket;

use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::module::Module;
use log::Sink;
use quota::{Places, Quota};

#[cfg(doc)]
use crate::value::Buffer;

/// The result of a wait whose own deadline came first: the code `DEADLINE_EXCEEDED`, negated.
pub const DEADLINE: i32 = -(proact::status::Code::DeadlineExceeded as i32);

/// How much programs may hold at once through the standard modules.
///
/// It is for all calls of the modules that one [`modules`] has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes in buffers and lists with the room that they keep, and what semaphores, frontiers, files and sockets take.
    /// 256 MiB unless told.
    pub bytes_max: usize,
    /// Open files and sockets. 256 unless told.
    pub open_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes_max: 256 << 20, open_max: 256 }
    }
}

/// What a host allows its programs. Nothing of the world, unless it is told.
#[derive(Clone, Default)]
pub struct Host {
    handle: Option<Handle>,
    grants: Grants,
    sink: Option<Sink>,
    limits: Limits,
}

impl Host {
    /// A host that allows nothing but to compute, to wait, and to signal.
    pub fn new() -> Host {
        Host::default()
    }

    /// Grants directories and addresses, whose operations run on this proactor. It is polled by whoever has it: a
    /// [`ProactorThread`](proact::proactor::ProactorThread), or the thread that drives the calls between their polls.
    #[must_use]
    pub fn grant(mut self, handle: &Handle, grants: Grants) -> Host {
        self.handle = Some(handle.clone());
        self.grants = grants;
        self
    }

    /// Hears what programs log, from that level up. It is called on the thread that runs the program, in the middle of
    /// it: it must not call the program.
    #[must_use]
    pub fn log(mut self, least: LogLevel, sink: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) -> Host {
        self.sink = Some(Sink { least, write: Arc::new(sink) });
        self
    }

    /// How much programs may hold.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Host {
        self.limits = limits;
        self
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.sink.as_ref().map(|sink| sink.least);
        f.debug_struct("Host")
            .field("handle", &self.handle)
            .field("grants", &self.grants)
            .field("log", &least)
            .field("limits", &self.limits)
            .finish()
    }
}

/// The standard modules that the host allows. Granted directories are opened now: later their names may come to mean
/// others.
///
/// # Errors
/// What the system says of a granted directory.
pub fn modules(host: &Host) -> Result<Vec<Arc<dyn Module>>> {
    let quota = Arc::new(Quota::new(host.limits.bytes_max));
    let places = Places::new(host.limits.open_max);
    let mut modules: Vec<Arc<dyn Module>> = vec![
        semaphore::module(&quota)?,
        timer::module()?,
        list::module(&quota)?,
        buffer::module(&quota)?,
        log::module(host.sink.clone())?,
    ];
    let Some(handle) = &host.handle else {
        return Ok(modules);
    };
    if host.grants.has_directories() {
        modules.push(file::module(handle, host.grants.open_directories(handle)?, &quota, &places)?);
    }
    if host.grants.has_addresses() {
        modules.push(socket::module(handle, host.grants.addresses(), &quota, &places)?);
    }
    Ok(modules)
}

/// Registers the types of the references that the standard modules hand out, by name: `vm.file` and `vm.socket`.
pub fn register(instance: &Instance) -> Result {
    instance.register::<File>()?;
    instance.register::<Socket>()?;
    Ok(())
}

/// What an operation of proact came to, as the answer of a function that did it.
fn told<T>(result: proact::status::Result<T>, about: &str) -> Result<T> {
    result.map_err(|status| Error::from(status).about(about.to_owned()))
}

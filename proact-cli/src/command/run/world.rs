//! What of this machine a program is granted.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;

use proact::proactor::ProactorThread;
use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::standard::{self, Grants, Host, LogRecord};
use proact_vm::{Error, Instance};

use crate::cli::{BackendChoice, Run};
use crate::command::{broken, builder};
use crate::exit::{Exit, Failure, Place};
use crate::shown;

/// The standard modules, and the thread that polls for them where anything was granted that needs it.
pub(super) struct World {
    pub instance: Instance,
    pub modules: Vec<Arc<dyn Module>>,
    thread: Option<ProactorThread>,
}

impl World {
    /// # Errors
    /// The same name twice; a directory that cannot be opened; no backend works.
    pub(super) fn new(options: &Run) -> Result<World, Failure> {
        let mut grants = Grants::new();
        for (index, granted) in options.directories.iter().enumerate() {
            if options.directories[..index].iter().any(|earlier| earlier.name == granted.name) {
                return Err(Failure::new(Exit::Usage, format!("--dir: {:?} is granted twice", granted.name)));
            }
            grants = grants.directory(&granted.name, &granted.path, granted.access);
        }
        grants = options.connect.iter().cloned().fold(grants, Grants::connect);
        grants = options.listen.iter().cloned().fold(grants, Grants::listen);
        let mut host = Host::new();
        if let Some(least) = options.log.least() {
            host = host.log(least, tell);
        }
        // A program that only computes and waits for time needs none.
        let needed = !(options.directories.is_empty() && options.connect.is_empty() && options.listen.is_empty());
        let thread = needed.then(|| ProactorThread::spawn(builder(BackendChoice::Auto, "program"))).transpose();
        let thread = thread.map_err(|status| Failure::from_status(Place::Backend, "proactor", &status))?;
        if let Some(thread) = &thread {
            host = host.grant(thread.handle(), grants);
        }
        let instance = Instance::new();
        let modules = standard::register(&instance).and_then(|()| standard::modules(&host));
        let modules = modules.map_err(|error| Failure::new(exit(&error), format!("--dir: {error}")))?;
        Ok(World { instance, modules, thread })
    }

    /// Ends what is still in flight, after the program has gone.
    ///
    /// # Errors
    /// The backend failed meanwhile.
    pub(super) fn end(self) -> Result<(), Failure> {
        let World { instance, modules, thread } = self;
        drop((instance, modules));
        thread.map_or(Ok(()), |thread| thread.join().map(drop).map_err(|status| broken(&status)))
    }
}

fn exit(error: &Error) -> Exit {
    match error.code() {
        Code::InvalidArgument => Exit::Usage,
        _ => Exit::Source,
    }
}

/// A program's words, a line each: `info #7: text`. What would steer a terminal is shown, and not done.
fn tell(record: &LogRecord<'_>) {
    let mut told = String::new();
    for line in record.text.lines() {
        let _ = writeln!(told, "{} {}: {}", record.level, record.call, shown::line(line));
    }
    // A closed standard error is no reason to end the program.
    let _ = io::stderr().lock().write_all(told.as_bytes());
}

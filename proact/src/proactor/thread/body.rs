//! What a proactor's thread does.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Ended, Life, ThreadOptions};
use crate::atomic::{Ordering, current_thread};
use crate::proactor::{Builder, Proactor};
use crate::status::{Code, Operation, Result, Status};
use crate::topology::Affinity;

/// The work of a proactor's thread, for a [`Runner`](super::Runner) to have done.
///
/// Dropped without having run, it ends the attempt: whoever spawns is told `Aborted`.
pub struct ThreadBody {
    builder: Option<Builder>,
    options: ThreadOptions,
    life: Arc<Life>,
    name: String,
    affinity: Affinity,
}

impl ThreadBody {
    pub(super) fn new(builder: Builder, options: ThreadOptions, life: Arc<Life>) -> ThreadBody {
        let name = builder.given_name().to_owned();
        let affinity = builder.given_affinity().clone();
        ThreadBody { builder: Some(builder), options, life, name, affinity }
    }

    /// What the thread should be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it will run: [`ThreadBody::run`] pins the thread, which stays pinned.
    pub fn affinity(&self) -> &Affinity {
        &self.affinity
    }

    /// Builds the proactor and polls it until it is stopped or fails, and shuts it down. A callback's panic is caught
    /// here and told to who joins.
    pub fn run(mut self) {
        self.life.lock().runner = Some(current_thread().id());
        let Some(builder) = self.builder.take() else { return };
        let ended = match catch_unwind(AssertUnwindSafe(|| builder.build())) {
            Ok(Ok(proactor)) => self.drive(proactor),
            Ok(Err(status)) => Err(status),
            Err(panic) => Err(self.panicked(&*panic)),
        };
        self.life.ended(ended);
    }

    fn drive(&self, mut proactor: Proactor) -> Result<Ended> {
        self.life.started(proactor.handle().clone());
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll(&mut proactor)));
        let polled = polled.unwrap_or_else(|panic| Err(self.panicked(&*panic)));
        if let Err(status) = &polled {
            self.tell(status);
        }
        let statistics = proactor.statistics();
        let deadline = self.options.shutdown_deadline;
        let shut_down = catch_unwind(AssertUnwindSafe(|| proactor.shutdown(deadline)));
        polled?;
        match shut_down {
            Ok(leaked) => Ok(Ended { statistics, leaked }),
            Err(panic) => {
                let status = self.panicked(&*panic);
                self.tell(&status);
                Err(status)
            }
        }
    }

    fn poll(&self, proactor: &mut Proactor) -> Result {
        let timeout = self.options.timeout();
        while !self.life.stop.load(Ordering::Acquire) {
            proactor.poll(timeout)?;
        }
        Ok(())
    }

    /// A panic of the one who is told must not keep the proactor from its shutdown.
    fn tell(&self, status: &Status) {
        if let Some(told) = &self.options.on_error {
            let _ = catch_unwind(AssertUnwindSafe(|| told(status)));
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Status {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Status::new(Code::Internal, Operation::Poll)
            .with_message(format!("the proactor thread {:?} panicked: {text}", self.name))
    }
}

impl Drop for ThreadBody {
    fn drop(&mut self) {
        if self.builder.is_some() {
            let why = Status::new(Code::Aborted, Operation::ProactorThread)
                .with_message("the runner dropped the thread's body")
                .with_context(format!("{:?}", self.name));
            self.life.ended(Err(why));
        }
    }
}

impl fmt::Debug for ThreadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadBody").field("name", &self.name).field("affinity", &self.affinity).finish()
    }
}

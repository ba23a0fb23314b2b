//! The loops that a case is run on, and what cases have in common.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::proactor::{Builder, Choice, ProactorThread};
use proact::simulated::World;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, DeterministicLoop, InlineLoop, Loop, ProactorLoop};
use proact_vm::{Error, Result};

/// One loop with what is around it.
pub enum Stage {
    Inline(InlineLoop),
    Proactor(ProactorLoop, Option<ProactorThread>),
    Deterministic(Box<DeterministicLoop>, World),
}

/// How long a case may take before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

impl Stage {
    pub fn inline() -> Stage {
        Stage::Inline(InlineLoop::with_capacity(64))
    }

    pub fn proactor(choice: Choice) -> Option<Stage> {
        match ProactorThread::spawn(Builder::new().backend(choice)) {
            Ok(thread) => Some(Stage::Proactor(ProactorLoop::new(thread.handle()), Some(thread))),
            Err(status) if choice == Choice::IoUring => {
                eprintln!("skipped: no io_uring here: {status}");
                None
            }
            Err(status) => panic!("{choice:?}: {status}"),
        }
    }

    pub fn deterministic(seed: u64) -> Stage {
        let world = World::new(seed);
        Stage::Deterministic(Box::new(DeterministicLoop::new(&world.host("a")).unwrap()), world)
    }

    pub fn event_loop(&self) -> &dyn Loop {
        match self {
            Stage::Inline(event_loop) => event_loop,
            Stage::Proactor(event_loop, _) => event_loop,
            Stage::Deterministic(event_loop, _) => &**event_loop,
        }
    }

    /// Runs `body` in a callback, and then until nothing is pending.
    #[track_caller]
    pub fn run(&self, body: impl FnOnce(&dyn Loop) -> Result + Send + 'static) {
        self.event_loop().call(|event_loop| body(event_loop?)).unwrap();
        self.drain();
    }

    #[track_caller]
    pub fn drain(&self) {
        self.event_loop().drain(Timeout::After(PATIENCE)).unwrap();
    }

    /// Does something while the loop waits: on another thread, or at a later time of the world. A case must hold as
    /// well if it is done at once.
    pub fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        match self {
            Stage::Deterministic(_, world) => world.after(Duration::from_millis(5), move |_| happens()),
            _ => {
                std::thread::spawn(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    happens();
                });
            }
        }
    }

    /// The code of the loop's failure.
    pub fn failure(&self) -> Option<proact::status::Code> {
        self.event_loop().error().map(|error| error.code())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Stage::Proactor(_, thread) = self else { return };
        match thread.take() {
            Some(thread) if !std::thread::panicking() => _ = thread.join().unwrap(),
            _ => {}
        }
    }
}

/// What happened, in its order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Without an order.
    pub fn take_sorted(&self) -> Vec<String> {
        let mut all = self.take();
        all.sort();
        all
    }

    /// A callback of a call that notes how it was called.
    pub fn call(&self, name: &'static str) -> impl FnOnce(Result<&dyn Loop>) -> Result + Send + 'static {
        let log = self.clone();
        move |event_loop| {
            log.add(format!("{name} {}", code(&event_loop.map(drop))));
            Ok(())
        }
    }

    /// A callback of a wait that notes what it came to.
    pub fn wait(
        &self,
        name: &'static str,
    ) -> impl FnOnce(Result<proact_vm::event_loop::Waited<'_>>) -> Result + Send + 'static {
        let log = self.clone();
        move |waited| {
            match waited {
                Ok(waited) => match waited.outcome {
                    Ok(index) => log.add(format!("{name} {index}")),
                    Err(error) => log.add(format!("{name} {}", error.code())),
                },
                Err(error) => log.add(format!("{name} aborted {}", error.code())),
            }
            Ok(())
        }
    }
}

pub fn code(result: &Result<(), Error>) -> String {
    match result {
        Ok(()) => "OK".into(),
        Err(error) => error.code().to_string(),
    }
}

/// Tests of these names, each on every loop.
macro_rules! on_every_loop {
    ($($case:ident)*) => {
        mod on_inline {
            $(#[test] fn $case() { super::$case(&$crate::stage::Stage::inline()); })*
        }
        mod on_io_uring {
            $(#[test] fn $case() {
                if let Some(stage) = $crate::stage::Stage::proactor(proact::proactor::Choice::IoUring) {
                    super::$case(&stage);
                }
            })*
        }
        mod on_epoll {
            $(#[test] fn $case() {
                super::$case(&$crate::stage::Stage::proactor(proact::proactor::Choice::Epoll).unwrap());
            })*
        }
        mod on_poll {
            $(#[test] fn $case() {
                super::$case(&$crate::stage::Stage::proactor(proact::proactor::Choice::Poll).unwrap());
            })*
        }
        mod deterministic {
            $(#[test] fn $case() {
                for seed in 0..8 {
                    super::$case(&$crate::stage::Stage::deterministic(seed));
                }
            })*
        }
    };
}

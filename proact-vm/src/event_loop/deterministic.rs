//! The loop of a simulated world.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use proact::proactor::{Handle, Proactor};
use proact::simulated::{Host, Stalled, World};
use proact::time::{Clock, Timeout};

use super::{Command, Loop, ProactorLoop, Refused, Task, within};
use crate::error::{Error, Result};
use crate::invocation::at;

/// Runs tasks in a simulated world: in its time, which passes only when nothing else can happen, and in an order that
/// its seed decides. The same program with the same seed does the same.
///
/// Commands only take their place: tasks run in [`Loop::drain`] and [`DeterministicLoop::run`]. It is the loop of a
/// proactor of its own on one host of the world, whose operations tasks may wait for. `proact::simulated::explore` and
/// `exhaust` run a test with many seeds, or in every order there is.
///
/// ```
/// use std::time::Duration;
///
/// use proact::simulated::World;
/// use proact::time::Timeout;
/// use proact_vm::event_loop::{Commands, DeterministicLoop, Loop};
///
/// let world = World::new(1);
/// let event_loop = DeterministicLoop::new(&world.host("a"))?;
/// event_loop.wait_until(Duration::from_secs(3600), |waited| waited?.outcome.map(drop))?;
/// event_loop.drain(Timeout::Infinite)?;
/// assert_eq!(world.now().as_nanoseconds(), 3600 * 1_000_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeterministicLoop {
    event_loop: ProactorLoop,
    /// Borrowed while it runs.
    proactor: RefCell<Proactor>,
    world: World,
}

impl DeterministicLoop {
    /// A loop on `host`, in a process of its own.
    pub fn new(host: &Host) -> Result<DeterministicLoop> {
        let proactor = host.builder().build()?;
        let world = host.world().clone();
        let event_loop = ProactorLoop::with(proactor.handle(), ProactorLoop::TASKS_DEFAULT, Some(world.clone()));
        Ok(DeterministicLoop { event_loop, proactor: RefCell::new(proactor), world })
    }

    /// The handle of its proactor, for operations.
    pub fn handle(&self) -> &Handle {
        self.event_loop.handle()
    }

    /// Runs until nothing is pending, nothing can happen any more, or `time` has passed, side by side with `others` of
    /// the same world.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` from within a task, and what [`World::run`] answers.
    pub fn run(&self, others: &mut [&mut Proactor], time: Duration) -> Result<Stalled> {
        let Ok(mut own) = self.proactor.try_borrow_mut() else {
            return Err(within());
        };
        let mut proactors: Vec<&mut Proactor> = Vec::with_capacity(others.len() + 1);
        proactors.push(&mut own);
        proactors.extend(others.iter_mut().map(|other| &mut **other));
        if self.event_loop.is_at_rest() {
            return Ok(Stalled::Done);
        }
        Ok(self.world.run_until(&mut proactors, time, |_| self.event_loop.is_at_rest())?)
    }
}

impl Loop for DeterministicLoop {
    fn clock(&self) -> &Clock {
        self.event_loop.clock()
    }

    fn submit(&self, command: Command, task: Box<dyn Task>) -> Result<(), Refused> {
        self.event_loop.submit(command, task)
    }

    /// Runs what is pending. What waits for something that nothing in the world will bring is
    /// `FAILED_PRECONDITION`, and stays.
    fn drain(&self, timeout: Timeout) -> Result {
        let time = at(timeout, self.clock()).map_or(Duration::MAX, |until| until.since(self.clock().now()));
        match self.run(&mut [], time)? {
            Stalled::Done => Ok(()),
            Stalled::TimeOver => Err(Error::deadline_exceeded()),
            Stalled::AtRest => {
                let pending = self.event_loop.pending();
                Err(Error::precondition(format!("{pending} tasks wait for what nothing in the world will bring")))
            }
        }
    }

    /// What is pending is aborted in the next run.
    fn abort(&self, error: Error) {
        self.event_loop.abort(error);
    }

    fn error(&self) -> Option<Error> {
        self.event_loop.error()
    }
}

impl fmt::Debug for DeterministicLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeterministicLoop").field("event_loop", &self.event_loop).finish_non_exhaustive()
    }
}

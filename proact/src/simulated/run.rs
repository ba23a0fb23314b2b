//! Running the proactors of a world together.

use std::time::Duration;

use crate::backend::simulated::{Host, Process, World};
use crate::proactor::{Builder, Proactor};
use crate::status::{Code, Operation, Result, Status};
use crate::time::{Time, Timeout};

impl Host {
    /// A builder of a proactor on this host, in a [process](Host::process) of its own.
    pub fn builder(&self) -> Builder {
        self.process().builder()
    }
}

impl Process {
    /// A builder of a proactor of this process.
    pub fn builder(&self) -> Builder {
        Builder::new().simulated(self)
    }
}

/// Why [`World::run`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stalled {
    /// Nothing is in flight any more.
    Done,
    /// Operations are in flight, and nothing will ever happen that could end them.
    AtRest,
    /// The time is over that it was given.
    TimeOver,
}

impl World {
    /// Runs proactors of this world side by side until nothing of theirs is in flight, nothing can happen any more, or
    /// so much of the world's time has passed.
    ///
    /// Each takes passes without waiting, in an order that the seed decides, until none has anything to do; then time
    /// goes on to what comes next, of the world or of their timers. Proactors whose process has died are left out. For
    /// programs that never rest, a pass takes a microsecond from the thousandth on.
    ///
    /// # Errors
    /// What [`Proactor::poll`] answers, and `InvalidArgument` for a proactor that is not of this world.
    ///
    /// # Panics
    /// As [`Proactor::poll`] does.
    ///
    /// ```
    /// use proact::operation::{Accept, Connect, Op};
    /// use proact::resource::{Address, Domain, SocketOptions};
    /// use proact::simulated::{Stalled, World};
    /// use std::time::Duration;
    ///
    /// let world = World::new(3);
    /// let (near, far) = (world.host("near"), world.host("far"));
    /// let (mut client, mut server) = (near.builder().build()?, far.builder().build()?);
    /// let address = Address::from(far.address(80));
    /// let listener = server.handle().listen(&address, &SocketOptions::default())?;
    /// server.submit(Op::new(Accept::new(listener), ())).unwrap();
    /// let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default())?;
    /// client.submit(Op::new(Connect::new(socket, address), ())).unwrap();
    /// assert_eq!(world.run(&mut [&mut client, &mut server], Duration::from_secs(1))?, Stalled::Done);
    /// assert_eq!(world.now().as_nanoseconds(), 200_000); // there and back
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn run(&self, proactors: &mut [&mut Proactor], time: Duration) -> Result<Stalled> {
        let over = |proactor: &&mut Proactor| proactor.pending() == 0 || proactor.is_gone();
        self.run_until(proactors, time, |proactors| proactors.iter().all(over))
    }

    /// As [`World::run`], until `done` says so instead; it is asked whenever something has been told.
    ///
    /// # Errors
    /// What [`Proactor::poll`] answers.
    pub fn run_until(
        &self,
        proactors: &mut [&mut Proactor],
        time: Duration,
        mut done: impl FnMut(&mut [&mut Proactor]) -> bool,
    ) -> Result<Stalled> {
        let own = self.clock();
        if !proactors.iter().all(|proactor| proactor.clock().is_same(&own)) {
            let why = "a proactor of another world, or of none";
            return Err(Status::new(Code::InvalidArgument, Operation::None).with_message(why));
        }
        let end = self.now() + time;
        loop {
            let mut passes = 0;
            while self.pass(proactors)? {
                if done(proactors) {
                    return Ok(Stalled::Done);
                }
                passes += 1;
                if passes > PASSES_MAX {
                    if self.now() >= end {
                        return Ok(Stalled::TimeOver);
                    }
                    self.pass_until(end.min(self.now() + PASSING));
                }
            }
            if done(proactors) {
                return Ok(Stalled::Done);
            }
            let timers = proactors.iter().filter(|proactor| !proactor.is_gone()).filter_map(|one| one.next_timer());
            match timers.chain(self.next_event()).min() {
                None | Some(Time::FAR_FUTURE) => return Ok(Stalled::AtRest),
                Some(next) if next > end => {
                    self.pass_until(end);
                    return Ok(Stalled::TimeOver);
                }
                Some(next) => self.pass_until(next),
            }
        }
    }

    /// One pass of each, in some order. `false`: none had anything to do.
    fn pass(&self, proactors: &mut [&mut Proactor]) -> Result<bool> {
        let mut left: Vec<usize> = (0..proactors.len()).filter(|&one| !proactors[one].is_gone()).collect();
        let mut worked = false;
        // A transfer that went on without anyone being told is noted in the log.
        let before = self.events();
        while !left.is_empty() {
            let next = left.swap_remove(self.choose(left.len()));
            // One before it in this pass may have killed it.
            if !proactors[next].is_gone() {
                let _own = OwnPolls::begin(self);
                let polled = proactors[next].poll(Timeout::Immediate)?;
                worked |= polled.completed + polled.messages + polled.progressed > 0 || polled.woken;
            }
        }
        Ok(worked || self.events() != before)
    }
}

/// Passes in one moment that take no time.
const PASSES_MAX: u32 = 1000;
/// How long each takes that follows.
const PASSING: Duration = Duration::from_micros(1);

/// For as long as polls are the world's own.
struct OwnPolls<'a>(&'a World);

impl OwnPolls<'_> {
    fn begin(world: &World) -> OwnPolls<'_> {
        world.set_runs(true);
        OwnPolls(world)
    }
}

impl Drop for OwnPolls<'_> {
    /// Also where a callback panics.
    fn drop(&mut self) {
        self.0.set_runs(false);
    }
}

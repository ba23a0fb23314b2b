//! How a proactor is made.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Proactor;
use crate::backend::{Backend, BackendConfig, Capabilities, Registration};
use crate::operation::engine::{Engine, Limits, Mailbox, Shared};
use crate::resource::Home;
use crate::status::{Code, Operation, Result, Status};
use crate::topology::Affinity;

/// Which backend to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// The best that works here: io_uring, then epoll, then poll. The environment variable `PROACT_BACKEND` overrides
    /// it.
    #[default]
    Auto,
    /// io_uring (Linux 6.1 or newer).
    IoUring,
    /// epoll (Linux).
    Epoll,
    /// poll.
    Poll,
}

impl Choice {
    /// Every choice but `Auto`, best first.
    pub const ALL: [Choice; 3] = [Choice::IoUring, Choice::Epoll, Choice::Poll];

    /// Its name, as `PROACT_BACKEND` and the program's `--backend` spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Choice::Auto => "auto",
            Choice::IoUring => "io_uring",
            Choice::Epoll => "epoll",
            Choice::Poll => "poll",
        }
    }
}

impl FromStr for Choice {
    type Err = Status;

    fn from_str(text: &str) -> Result<Choice> {
        [Choice::Auto, Choice::IoUring, Choice::Epoll, Choice::Poll]
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| {
                Status::new(Code::InvalidArgument, Operation::Build)
                    .with_message(format!("no backend {text:?}: expected auto, io_uring, epoll or poll"))
            })
    }
}

/// The environment variable that says which backend `Auto` means.
pub const BACKEND_VARIABLE: &str = "PROACT_BACKEND";

/// Makes proactors. A builder may be sent to the thread that builds.
///
/// ```
/// use proact::proactor::{Builder, Choice};
/// let mut proactor = Builder::new().backend(Choice::Poll).operations(1000).build().unwrap();
/// assert_eq!(proactor.handle().backend(), "poll");
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    choice: Choice,
    config: BackendConfig,
    limits: Limits,
    /// In a simulated world instead.
    #[cfg(feature = "simulated")]
    process: Option<crate::backend::simulated::Process>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// The defaults: the best backend, 65,536 operations in flight from the poll thread and 16,384 from others, a ring
    /// of 256 entries, at most 4 worker threads.
    pub fn new() -> Builder {
        Builder {
            choice: Choice::Auto,
            config: BackendConfig::default(),
            limits: Limits {
                local: 65_536,
                remote: 16_384,
                time_callbacks: false,
                latencies: false,
                spin: None,
                messages: 65_536,
                unbounded_messages: false,
            },
            #[cfg(feature = "simulated")]
            process: None,
        }
    }

    /// Has the proactor belong to a process of a simulated world, whatever backend was chosen. It is built and polled
    /// on the world's thread.
    ///
    /// ```
    /// use proact::proactor::Builder;
    /// let world = proact::simulated::World::new(1);
    /// let process = world.host("a").process();
    /// let proactor = Builder::new().simulated(&process).build()?;
    /// assert_eq!(proactor.handle().backend(), "simulated");
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[cfg(feature = "simulated")]
    #[must_use]
    pub fn simulated(mut self, process: &crate::backend::simulated::Process) -> Builder {
        self.config.clock = crate::backend::simulated::Simulated::clock(process);
        self.process = Some(process.clone());
        self
    }

    /// Which backend. Anything but `Auto` is forced: when it does not work here, `build` says why.
    #[must_use]
    pub fn backend(mut self, choice: Choice) -> Builder {
        self.choice = choice;
        self
    }

    /// The most operations in flight that the poll thread submitted, steps of sequences included (1 to 8,388,608).
    /// Memory is taken as it is needed.
    #[must_use]
    pub fn operations(mut self, limit: u32) -> Builder {
        self.limits.local = limit;
        self
    }

    /// The most operations in flight that other threads submitted (1 to 8,388,608; 4 bytes each are taken at once).
    #[must_use]
    pub fn remote_operations(mut self, limit: u32) -> Builder {
        self.limits.remote = limit;
        self
    }

    /// The most messages that wait to be told (1 to 16,777,216; 65,536 unless said otherwise). Beyond it a sender is
    /// refused with `ResourceExhausted`.
    ///
    /// Each takes 16 bytes, rounded up to a power of two messages. They are asked for at once as zeroed memory, which
    /// systems give page by page when it is first written: a proactor that is sent nothing takes none of it.
    #[must_use]
    pub fn messages(mut self, limit: u32) -> Builder {
        self.limits.messages = limit;
        self
    }

    /// Whether messages beyond [`Builder::messages`] are kept too, without a bound, instead of refused. Each of those
    /// is allocated by its sender, which must not be a signal handler then.
    #[must_use]
    pub fn unbounded_messages(mut self, on: bool) -> Builder {
        self.limits.unbounded_messages = on;
        self
    }

    /// Entries of the submission ring, or events taken by one wait (1 to 32,768). More operations than that may be in
    /// flight: it is how many are handed over by one system call.
    #[must_use]
    pub fn entries(mut self, entries: u32) -> Builder {
        self.config.entries = entries;
        self
    }

    /// Uses only these capabilities, even where more are there: how one machine tests every degraded path.
    #[must_use]
    pub fn allow(mut self, capabilities: Capabilities) -> Builder {
        self.config.allowed = capabilities;
        self
    }

    /// The most worker threads (at least 1) that a backend starts for what it cannot do without blocking: files on
    /// epoll and poll, few things on io_uring. None starts before the first such operation.
    #[must_use]
    pub fn workers_max(mut self, workers: usize) -> Builder {
        self.config.workers_max = workers;
        self
    }

    /// What it is called, in thread lists (Linux shows 15 bytes), statistics and failures. NUL bytes are left out of
    /// the names of threads.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.config.name = name.into();
        self
    }

    /// The processors that its threads run on: [`Builder::build`] pins the calling thread, which is the one that polls,
    /// and worker threads and the kernel's own for the ring run there too. The thread stays pinned when the proactor
    /// is gone.
    ///
    /// Memory is not moved: what the thread touches first lies near to where it runs. For buffers, give the same
    /// affinity to an [`Allocation`](crate::memory::Allocation::near).
    ///
    /// ```
    /// # use proact::proactor::{Builder, ProactorThread};
    /// use proact::topology::Topology;
    /// let affinity = Topology::read().nodes()[0].affinity();
    /// let thread = ProactorThread::spawn(Builder::new().name("near-0").affinity(affinity))?;
    /// thread.join()?;
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Builder {
        self.config.affinity = affinity;
        self
    }

    /// Times every callback with the precise clock, which about doubles the cost of the cheapest operations.
    #[must_use]
    pub fn time_callbacks(mut self, on: bool) -> Builder {
        self.limits.time_callbacks = on;
        self
    }

    /// Has the poll thread look for work for this long before it sleeps, and wait awake for the last stretch of this
    /// length before a timer or deadline. Off by default, which zero is too.
    ///
    /// A kernel takes tens of microseconds to wake a thread that sleeps. What comes while the poll thread spins is
    /// taken at once, and other threads need no system call to wake it. A timer is late by one or two microseconds, if
    /// it spins for at least as long as the machine takes to wake it: 50 µs is a good value.
    ///
    /// The price is the processor: all of it while the thread spins, up to twice this long for each sleep, and on
    /// io_uring it is spent without entering the kernel, so the system sees a thread that computes.
    /// [`Statistics::spinning`](super::Statistics::spinning) adds it up. With fewer processors than threads that have
    /// something to do, it makes everything slower. In a simulated world nobody waits, and nothing spins.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use proact::operation::{Op, Timer};
    ///
    /// let mut proactor = proact::proactor::Builder::new().spin(Duration::from_micros(50)).build()?;
    /// let soon = proactor.now() + Duration::from_micros(20);
    /// proactor.submit(Op::new(Timer::new(soon), ())).unwrap();
    /// proactor.run()?;
    /// assert!(proactor.now() >= soon);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[must_use]
    pub fn spin(mut self, spin: Duration) -> Builder {
        self.limits.spin = Some(spin).filter(|spin| !spin.is_zero());
        self
    }

    /// Whether to keep how long operations take, from submit to delivery: [`Proactor::latencies`]. Off by default: it
    /// reads the clock once a submit and once a pass, which one lone operation pays alone (some 20 ns each).
    ///
    /// ```
    /// # use proact::operation::{Nop, Op};
    /// let mut proactor = proact::proactor::Builder::new().measure_latencies(true).build().unwrap();
    /// proactor.submit([Op::new(Nop, ()), Op::new(Nop, ())]).unwrap();
    /// proactor.run().unwrap();
    /// let latencies = proactor.latencies().unwrap();
    /// assert_eq!(latencies.count(), 2);
    /// assert!(latencies.quantile(0.99) <= latencies.longest());
    /// ```
    #[must_use]
    pub fn measure_latencies(mut self, on: bool) -> Builder {
        self.limits.latencies = on;
        self
    }

    /// What it was told to be called.
    pub(super) fn given_name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn given_affinity(&self) -> &Affinity {
        &self.config.affinity
    }

    /// Makes the proactor, on the thread that will poll it.
    ///
    /// # Errors
    /// `Unavailable` when a forced backend does not work here, or none does, with the cause; `InvalidArgument` for an
    /// option out of range or a `PROACT_BACKEND` that is no backend; and what [`Affinity::pin_thread`] answers.
    pub fn build(self) -> Result<Proactor> {
        self.check()?;
        self.config.affinity.pin_thread()?;
        let backend = self.make_backend()?;
        Ok(self.finish(backend))
    }

    fn finish(self, backend: Box<dyn Backend>) -> Proactor {
        // Identities of proactors are never used again: one that is 0 or wraps would take four billion builds.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let proactor = NEXT.fetch_add(1, Ordering::Relaxed);
        let home = Home { proactor, mode: backend.descriptor_mode() };
        let slots = self.limits.local.max(self.limits.remote) * 2;
        let Limits { remote, latencies, messages, unbounded_messages, .. } = self.limits;
        let mailbox = Mailbox::new(messages, unbounded_messages);
        let mut shared = Shared::new(home, slots, remote, latencies, &*backend, self.config.clock.clone(), mailbox);
        shared.name = self.config.name.into();
        shared.system = backend.system().map(|system| Registration::new(proactor, system));
        let mut limits = self.limits;
        if self.config.clock.is_simulated() {
            // Its time goes on only when everyone waits.
            limits.spin = None;
        }
        Proactor::new(Engine::new(Arc::new(shared), backend, limits))
    }

    /// Makes the proactor over a backend of your own, on the thread that will poll it. `PROACT_BACKEND` is not asked.
    ///
    /// # Errors
    /// What `make` answers, `InvalidArgument` for an option out of range, and what [`Affinity::pin_thread`] answers.
    #[cfg(feature = "unstable-backend")]
    pub fn build_on(self, make: impl FnOnce(&BackendConfig) -> Result<Box<dyn Backend>>) -> Result<Proactor> {
        self.check()?;
        self.config.affinity.pin_thread()?;
        let backend = make(&self.config)?;
        Ok(self.finish(backend))
    }

    fn check(&self) -> Result<()> {
        let range = 1..=crate::backend::Token::SLOTS_MAX / 2;
        let why = if !range.contains(&self.limits.local) || !range.contains(&self.limits.remote) {
            "operation limits go from 1 to 8,388,608"
        } else if !(1..=32_768).contains(&self.config.entries) {
            "ring entries go from 1 to 32,768"
        } else if !(1..=1 << 24).contains(&self.limits.messages) {
            "messages that may wait go from 1 to 16,777,216"
        } else if self.config.workers_max == 0 {
            "at least one worker must be allowed"
        } else {
            return Ok(());
        };
        Err(Status::new(Code::InvalidArgument, Operation::Build).with_message(why))
    }

    /// What `Auto` means here.
    fn chosen(&self) -> Result<Choice> {
        if self.choice != Choice::Auto {
            return Ok(self.choice);
        }
        match std::env::var(BACKEND_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                text.parse::<Choice>().map_err(|status| status.with_context(BACKEND_VARIABLE))
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(Choice::Auto),
            Err(error) => Err(Status::new(Code::InvalidArgument, Operation::Build)
                .with_message(error.to_string())
                .with_context(BACKEND_VARIABLE)),
        }
    }

    fn make_backend(&self) -> Result<Box<dyn Backend>> {
        #[cfg(feature = "simulated")]
        if let Some(process) = &self.process {
            return Ok(Box::new(crate::backend::simulated::Simulated::new(process)?));
        }
        match self.chosen()? {
            Choice::Auto => {
                let mut reasons = String::new();
                for choice in Choice::ALL {
                    match make(choice, &self.config) {
                        Ok(backend) => return Ok(backend),
                        Err(status) => {
                            let separator = if reasons.is_empty() { "" } else { "; " };
                            reasons.push_str(&format!("{separator}{}: {status}", choice.name()));
                        }
                    }
                }
                Err(Status::new(Code::Unavailable, Operation::Build)
                    .with_message(format!("no backend works here: {reasons}")))
            }
            choice => make(choice, &self.config),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn make(choice: Choice, config: &BackendConfig) -> Result<Box<dyn Backend>> {
    use crate::backend::{io_uring, readiness};
    Ok(match choice {
        Choice::IoUring => Box::new(io_uring::IoUring::new(config)?),
        Choice::Epoll => Box::new(readiness::Epoll::new(config)?),
        Choice::Poll => Box::new(readiness::Poll::new(config)?),
        Choice::Auto => unreachable!("resolved before"),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn make(choice: Choice, _: &BackendConfig) -> Result<Box<dyn Backend>> {
    Err(Status::new(Code::Unavailable, Operation::Build)
        .with_message(format!("{} has no backend on this system yet", choice.name())))
}

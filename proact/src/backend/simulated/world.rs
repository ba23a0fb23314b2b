//! A world as tests see it: hosts, links, time, and what happens when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use super::chance::Chance;
use super::disk::Disk;
use super::host::Host;
use super::link::{Link, nanoseconds};
use super::state::{self, Happening, State};
use super::stream::EPHEMERAL;
use crate::time::{Clock, Time};

/// Hosts, links, disks and processes in virtual time, on one thread.
///
/// A world is made of a seed, and whatever happens in it follows from that and from what the program does: the same
/// program in a world of the same seed does the same, to the last bit ([`World::digest`]). Time passes only when
/// nothing else can happen, so that an hour of waiting takes no time at all.
///
/// A clone is another handle to the same world. It belongs to the thread that made it: the proactors of its hosts are
/// built and polled there, and their handles and resources are refused elsewhere. Calls of a world, its hosts and its
/// devices from another thread panic.
///
/// ```
/// use proact::operation::{Op, Timer};
/// use std::time::Duration;
///
/// let world = proact::simulated::World::new(7);
/// let mut proactor = world.host("a").builder().build()?;
/// let tomorrow = proactor.now() + Duration::from_secs(86_400);
/// proactor.submit(Op::new(Timer::new(tomorrow), ())).unwrap();
/// proactor.run()?;
/// assert!(world.now() >= tomorrow); // and it is still today
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct World {
    pub(super) inner: Arc<Inner>,
    /// What keeps plans: worlds and their proactors do. The world that a host knows does not, or what is planned and
    /// holds a host would keep itself.
    _plans: Option<Arc<Plans>>,
}

/// Forgets with its last handle what is planned.
struct Plans(Arc<Inner>);

impl Drop for Plans {
    fn drop(&mut self) {
        // Dropped outside of the lock: they may hold what closes a descriptor.
        let forgotten = self.0.lock_anywhere().take_plans();
        drop(forgotten);
    }
}

pub(super) struct Inner {
    thread: ThreadId,
    seed: u64,
    clock: Arc<AtomicU64>,
    state: Mutex<State>,
    plans: OnceLock<Weak<Plans>>,
}

impl Inner {
    pub(super) fn is_here(&self) -> bool {
        std::thread::current().id() == self.thread
    }

    /// The world's state. No callback and no code of a test runs while it is held.
    ///
    /// # Panics
    /// On another thread than the world's, whose doings no seed would replay.
    #[track_caller]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        assert!(self.is_here(), "a simulated world is used by the thread that made it, and by no other");
        self.lock_anywhere()
    }

    /// For what must work wherever it happens: the last handle to a resource goes.
    pub(super) fn lock_anywhere(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps plans, while a world or a proactor is left.
    fn plans(&self) -> Option<Arc<Plans>> {
        self.plans.get().and_then(Weak::upgrade)
    }
}

impl World {
    /// A world without hosts, in which chance is decided by `seed`.
    pub fn new(seed: u64) -> World {
        World::with(seed, None)
    }

    /// The world of one run of [`exhaust`](super::exhaust): chance answers these choices in turn, and the first
    /// possibility beyond their end.
    ///
    /// ```
    /// let world = proact::simulated::World::with_choices(&[2, 1]);
    /// assert_eq!([world.choose(3), world.choose(3), world.choose(3)], [2, 1, 0]);
    /// ```
    pub fn with_choices(choices: &[u32]) -> World {
        World::with(0, Some(choices.to_vec()))
    }

    pub(super) fn with(seed: u64, script: Option<Vec<u32>>) -> World {
        let inner = Arc::new(Inner {
            thread: std::thread::current().id(),
            seed,
            clock: Arc::default(),
            state: Mutex::new(State::new(Chance::new(seed, script))),
            plans: OnceLock::new(),
        });
        let plans = Arc::new(Plans(inner.clone()));
        inner.plans.get_or_init(|| Arc::downgrade(&plans));
        World { _plans: Some(plans), inner }
    }

    /// As a proactor knows it, which lets time pass, and so keeps what is planned.
    pub(super) fn keeping_plans(&self) -> World {
        World { _plans: self.inner.plans(), inner: self.inner.clone() }
    }

    /// The seed that it was made of.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// The world's time, which begins at [`Time::ORIGIN`].
    pub fn now(&self) -> Time {
        Time::from_nanoseconds(self.inner.clock.load(Ordering::Relaxed))
    }

    /// The clock of all its proactors.
    pub fn clock(&self) -> Clock {
        Clock::simulated(self.inner.clock.clone())
    }

    /// The host of this name, which is made when it is first asked for.
    pub fn host(&self, name: &str) -> Host {
        let mut state = self.inner.lock();
        let known = state.hosts.iter().position(|host| host.name == name);
        let number = known.unwrap_or_else(|| {
            state.hosts.push(state::Host {
                name: name.to_owned(),
                up: true,
                at_crash: Vec::new(),
                disk: Disk::new(),
                next_port: EPHEMERAL,
                unix: Default::default(),
                ports: Default::default(),
            });
            state.hosts.len() - 1
        });
        let world = World { inner: self.inner.clone(), _plans: None };
        Host { world, number: number as u32 }
    }

    /// Says how packets fare between two hosts, or within one, from now on.
    ///
    /// # Panics
    /// For a host of another world, as all that takes two hosts.
    #[track_caller]
    pub fn link(&self, one: &Host, other: &Host, link: Link) {
        self.owns(one, other);
        self.inner.lock().network.set_link(one.number, other.number, link);
    }

    /// Nothing goes between two hosts any more, in either direction, and neither is told. Streams try for a minute, and
    /// then fail with `DeadlineExceeded` at who sends or connects.
    #[track_caller]
    pub fn partition(&self, one: &Host, other: &Host) {
        self.cut(one, other, true);
    }

    /// Mends what a [partition](World::partition) has cut.
    #[track_caller]
    pub fn heal(&self, one: &Host, other: &Host) {
        self.cut(one, other, false);
    }

    #[track_caller]
    fn owns(&self, one: &Host, other: &Host) {
        let own = [one, other].iter().all(|host| Arc::ptr_eq(&host.world.inner, &self.inner));
        assert!(own, "a host of another world");
    }

    #[track_caller]
    fn cut(&self, one: &Host, other: &Host, cut: bool) {
        self.owns(one, other);
        let mut state = self.inner.lock();
        state.note(if cut { "partition" } else { "heal" }, &[one.number.into(), other.number.into()]);
        state.network.cut(one.number, other.number, cut);
        if cut {
            state.probe_between(one.number, other.number);
        }
    }

    /// Breaks every connection between two hosts at both ends, as a firewall does that has forgotten them.
    #[track_caller]
    pub fn reset(&self, one: &Host, other: &Host) {
        self.owns(one, other);
        let mut state = self.inner.lock();
        state.note("reset", &[one.number.into(), other.number.into()]);
        state.break_between(one.number, other.number);
    }

    /// Has something happen after so long: a crash, a partition, or whatever a test wants to do then. It must not poll.
    ///
    /// What has not happened when the last [`World`] and the last proactor of it are gone never will, and is dropped
    /// then, whatever [`Host`]s are left; what a host's [world](Host::world) plans later, at once. So it may hold hosts
    /// and resources, but no clone of the world, which would keep itself; but [`explore`](super::explore) and
    /// [`exhaust`](super::exhaust) forget what is planned when their test is over.
    pub fn after(&self, delay: Duration, happens: impl FnOnce(&World) + Send + 'static) {
        let mut state = self.inner.lock();
        // Asked under the lock, which who forgets the plans must have, too.
        let plans = self.inner.plans();
        if plans.is_some() {
            state.plan(nanoseconds(delay), Happening::Call(Box::new(happens)));
        }
        drop(state);
    }

    /// A number below `bound` from the world's own chance, for what a test leaves to its seed. 0 for a bound of 0.
    pub fn random(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.inner.lock().chance.below(bound) }
    }

    /// One of `of` possibilities: by chance, or each in turn where a world is [explored](super::exhaust).
    pub fn choose(&self, of: usize) -> usize {
        self.inner.lock().chance.choose(of)
    }

    /// Tells two runs apart: equal exactly when the same things happened at the same times in both.
    pub fn digest(&self) -> u64 {
        self.inner.lock().log.digest()
    }

    /// How many things have happened.
    pub fn events(&self) -> u64 {
        self.inner.lock().log.count()
    }

    /// Keeps a line for each thing that happens from now on, for [`World::take_log`].
    pub fn keep_log(&self) {
        self.inner.lock().log.lines.get_or_insert_default();
    }

    /// What happened since [`World::keep_log`], or since the last call, a line each. For people: the form may change.
    pub fn take_log(&self) -> Vec<String> {
        self.inner.lock().log.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// When the next thing happens by itself, if any does.
    pub fn next_event(&self) -> Option<Time> {
        self.inner.lock().next_time().map(Time::from_nanoseconds)
    }

    /// Lets time pass until `time`, with all that happens meanwhile. Proactors notice it at their next poll.
    pub fn pass_until(&self, time: Time) {
        loop {
            let next = self.inner.lock().next_time().filter(|next| *next <= time.as_nanoseconds());
            let Some(next) = next else { break };
            self.set_time(next);
            self.happen_due();
        }
        self.set_time(time.as_nanoseconds());
    }

    /// Forgets all that is to happen. It is dropped outside of the lock: it may hold what closes a descriptor.
    pub(super) fn forget_plans(&self) {
        let forgotten = self.inner.lock().take_agenda();
        drop(forgotten);
    }

    pub(super) fn set_time(&self, time: u64) {
        let mut state = self.inner.lock();
        state.now = state.now.max(time);
        self.inner.clock.store(state.now, Ordering::Relaxed);
    }

    /// A poll that does not wait has begun.
    pub(super) fn pass_polling(&self) {
        let state = self.inner.lock();
        let time = state.now + if state.runs { 0 } else { POLLING };
        drop(state);
        self.set_time(time);
    }

    /// Whether polls are [`World::run`]'s own, which knows when to let time pass.
    pub(crate) fn set_runs(&self, runs: bool) {
        self.inner.lock().runs = runs;
    }

    /// Has all happen that is due.
    pub(super) fn happen_due(&self) {
        loop {
            let mut state = self.inner.lock();
            match state.take_due() {
                None => return,
                Some(Happening::Call(call)) => {
                    drop(state);
                    call(self);
                }
                Some(what) => state.happen(what),
            }
        }
    }
}

/// Nanoseconds that a poll takes which does not wait, and is nobody's but the program's.
const POLLING: u64 = 1000;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {}, {:?})", self.seed(), self.now())
    }
}

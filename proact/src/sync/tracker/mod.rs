//! How far each axis has come, who waits for a frontier, and what becomes of both when an axis fails or leaves.
//!
//! [`causal`](crate::causal) is plain data: an [`Axis`] is a name there, a [`Frontier`] a list. Here they live: threads
//! advance axes, and work waits until a frontier has been reached. So this stands beside semaphores, in a room that has
//! threads.
//!
//! - [`record`]: the place of one axis, its count and its waiters.
//! - [`index`]: from an axis to its place.
//! - [`watch`]: a wait's places in the lines of its axes.
//! - [`task`]: waiting as a future.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{OnceLock, PoisonError};

use crate::atomic::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::causal::{Axis, Frontier};
use crate::status::{Code, Operation, Result, Status};
use crate::sync::Semaphore;

mod index;
#[cfg(all(test, loom))]
mod loom_tests;
mod record;
mod task;
#[cfg(all(test, not(loom)))]
mod tests;
mod watch;

use index::{Found, Index};
pub(crate) use record::Party;
use record::{Raised, Record};
pub use task::FrontierReached;
pub(crate) use watch::Watch;

/// No place.
const NONE: u32 = u32::MAX;
/// Places are made by so many: they never move.
const CHUNK: u32 = 64;

/// Options of a [`Tracker`].
#[derive(Clone, Debug)]
pub struct TrackerOptions {
    capacity: u32,
    session: u8,
    machine: u8,
}

impl TrackerOptions {
    /// The largest capacity.
    pub const CAPACITY_MAX: u32 = 1 << 20;

    /// 256 axes, session 1, machine 0.
    pub const fn new() -> TrackerOptions {
        TrackerOptions { capacity: 256, session: 1, machine: 0 }
    }

    /// How many axes may be registered at once. Each takes some 300 bytes, from when there are so many.
    #[must_use]
    pub const fn capacity(mut self, axes: u32) -> TrackerOptions {
        self.capacity = axes;
        self
    }

    /// The session bits of this process's own axes.
    #[must_use]
    pub const fn session(mut self, session: u8) -> TrackerOptions {
        self.session = session;
        self
    }

    /// This machine's index in the session.
    #[must_use]
    pub const fn machine(mut self, machine: u8) -> TrackerOptions {
        self.machine = machine;
        self
    }
}

impl Default for TrackerOptions {
    fn default() -> TrackerOptions {
        TrackerOptions::new()
    }
}

/// What an axis is registered with, besides its name in 64 bits.
#[derive(Clone, Default, Debug)]
pub struct AxisOptions {
    name: Option<Box<str>>,
    semaphore: Option<Semaphore>,
}

impl AxisOptions {
    /// Neither name nor semaphore.
    pub fn new() -> AxisOptions {
        AxisOptions::default()
    }

    /// What errors call the axis, beside its numbers.
    #[must_use]
    pub fn name(mut self, name: impl Into<Box<str>>) -> AxisOptions {
        self.name = Some(name.into());
        self
    }

    /// A semaphore that the axis drives: each advance signals it to the epoch, caused by that epoch of the axis, unless
    /// it has come as far; the axis's failure fails it. Retiring the axis lets it go as it is.
    #[must_use]
    pub fn drives(mut self, semaphore: Semaphore) -> AxisOptions {
        self.semaphore = Some(semaphore);
        self
    }
}

/// How far each [`Axis`] has come, and who waits for a [`Frontier`].
///
/// Axes are registered, advanced, failed and retired while work runs, from any thread. Clones are the same tracker.
/// When the last of them and of the [`AxisHandle`]s is dropped, nobody could advance an axis any more: who waits then
/// ends `Cancelled`.
///
/// - An axis begins at epoch 0 and rises. An advance that nobody waits for takes no lock, and costs the same however
///   many wait for other axes.
/// - A **failed** axis fails every wait that names it, those that are waiting and those that come, also for epochs that
///   it had reached. The first failure stays.
/// - A **retired** axis fails the same way, `Cancelled`, and gives its place back. It is remembered until the place
///   is needed, the longest retired first; from then on nobody knows it, and waits for it are `NotFound`. Its name
///   may be registered again at once: that is another axis, which begins at 0, and neither the handles nor the waits of
///   the old one touch it. Frontiers cannot tell the two apart. So a name that others may still hold is best not used
///   again, and the session bits of an axis are there to make new ones.
///
/// ```
/// use proact::causal::{Axis, Entry, Frontier};
/// use proact::sync::Tracker;
///
/// let tracker = Tracker::new();
/// let (compute, copy) = (Axis::queue(1, 0, 0, 0), Axis::queue(1, 0, 0, 1));
/// let queue = tracker.register(compute)?;
/// tracker.register(copy)?;
///
/// let wanted = Frontier::from_entries(&[Entry::new(compute, 2), Entry::new(copy, 1)])?;
/// queue.advance(2)?;
/// assert!(!tracker.is_reached(&wanted)?);
/// tracker.advance(copy, 5)?;
/// assert!(tracker.is_reached(&wanted)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tracker {
    inner: Arc<Inner>,
}

/// An axis of a [`Tracker`], for who advances it: spares the look-up, and finds no other axis when its own has been
/// retired. Keeps the tracker open. Dropping it leaves the axis as it is.
pub struct AxisHandle {
    tracker: Tracker,
    axis: Axis,
    record: u32,
    start: u64,
}

pub(crate) struct Inner {
    options: TrackerOptions,
    /// Trackers and axis handles.
    handles: AtomicU64,
    index: Index,
    chunks: Box<[OnceLock<Box<[Record]>>]>,
    registry: Mutex<Registry>,
}

/// Who changes what can be found holds this. Taken before the lock of a place, never after.
struct Registry {
    /// Places that have ever been used.
    used: u32,
    /// Places of retired axes, the longest retired first. Some cannot be found any more: their name was taken again.
    retired: VecDeque<Retired>,
}

struct Retired {
    record: u32,
    /// Under which name it can be found.
    found_as: Option<Axis>,
}

impl Tracker {
    /// The last epoch of an axis.
    pub const EPOCH_MAX: u64 = Record::EPOCH_MAX;

    /// A tracker with the default [`TrackerOptions`].
    pub fn new() -> Tracker {
        Tracker::build(TrackerOptions::new())
    }

    /// A tracker with these options.
    ///
    /// # Errors
    /// `InvalidArgument` for a capacity above [`TrackerOptions::CAPACITY_MAX`].
    pub fn with_options(options: &TrackerOptions) -> Result<Tracker> {
        if options.capacity > TrackerOptions::CAPACITY_MAX {
            return Err(Status::new(Code::InvalidArgument, Operation::AxisRegister).with_message(format!(
                "a capacity of {} axes is above {}",
                options.capacity,
                TrackerOptions::CAPACITY_MAX
            )));
        }
        Ok(Tracker::build(options.clone()))
    }

    fn build(options: TrackerOptions) -> Tracker {
        let chunks = (0..options.capacity.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        let index = Index::new(options.capacity);
        let registry = Mutex::new(Registry { used: 0, retired: VecDeque::new() });
        Tracker { inner: Arc::new(Inner { options, handles: AtomicU64::new(1), index, chunks, registry }) }
    }

    /// The session bits of this process's own axes.
    pub fn session(&self) -> u8 {
        self.inner.options.session
    }

    /// This machine's index in the session.
    pub fn machine(&self) -> u8 {
        self.inner.options.machine
    }

    /// Registers `axis`, which begins at epoch 0.
    ///
    /// # Errors
    /// `AlreadyExists` for an axis that is registered and not retired; asked before there is any other error.
    /// `ResourceExhausted` when every place is taken, or is of a retired axis whose waits have not ended yet.
    pub fn register(&self, axis: Axis) -> Result<AxisHandle> {
        self.register_with(axis, AxisOptions::new())
    }

    /// As [`Tracker::register`], with a name or a semaphore.
    ///
    /// # Errors
    /// As [`Tracker::register`].
    pub fn register_with(&self, axis: Axis, options: AxisOptions) -> Result<AxisHandle> {
        let (record, start) = self.inner.register(axis, options)?;
        Ok(AxisHandle { tracker: self.clone(), axis, record, start })
    }

    /// Notes that `axis` has come to `epoch`, and releases who waits for that. Says whether it rose: not if it is as
    /// far already, has failed, was retired, or is not known.
    ///
    /// # Errors
    /// `InvalidArgument` for an epoch above [`Tracker::EPOCH_MAX`].
    #[inline]
    pub fn advance(&self, axis: Axis, epoch: u64) -> Result<bool> {
        if epoch > Tracker::EPOCH_MAX {
            return Err(watch::too_late(Operation::AxisAdvance, axis, epoch));
        }
        let Some(record) = self.inner.find(axis) else { return Ok(false) };
        Ok(self.inner.record(record).advance(axis, epoch) == Raised::Later)
    }

    /// Fails `axis` for good: who waits for it, now or later, gets `status`, and so does the semaphore that it drives.
    /// Says whether this was its first failure.
    pub fn fail(&self, axis: Axis, status: Status) -> bool {
        self.inner.find(axis).is_some_and(|record| self.inner.record(record).fail(axis, None, status))
    }

    /// Ends `axis`, `Cancelled`, and gives its place back: see [`Tracker`]. Says whether it was there to be retired.
    pub fn retire(&self, axis: Axis) -> bool {
        self.inner.retire(axis, None)
    }

    /// How far `axis` has come, failed or not; `None` if it is not known.
    pub fn epoch(&self, axis: Axis) -> Option<u64> {
        let record = self.inner.find(axis)?;
        self.inner.record(record).epoch(axis)
    }

    /// Whether `axis` has come to `epoch`. An axis that is not known has not.
    pub fn has_reached(&self, axis: Axis, epoch: u64) -> bool {
        self.epoch(axis).is_some_and(|now| now >= epoch)
    }

    /// Whether every axis of `frontier` has come as far, without waiting.
    ///
    /// # Errors
    /// `NotFound` for an axis that is not known. The failure of the first entry whose axis has failed, whether others
    /// are pending or not.
    pub fn is_reached(&self, frontier: &Frontier) -> Result<bool> {
        let mut all = true;
        let mut first = None;
        for entry in frontier.entries() {
            let missing = || unknown(Operation::FrontierWait, entry.axis);
            let record = self.inner.record(self.inner.find(entry.axis).ok_or_else(missing)?);
            first = first.or_else(|| record.failure(entry.axis));
            all &= record.epoch(entry.axis).ok_or_else(missing)? >= entry.epoch;
        }
        first.map_or(Ok(all), Err)
    }

    /// A future that ends when every axis of `frontier` has come as far, under any executor. Dropping it takes it out
    /// of the line. As an operation: [`FrontierWait`](crate::operation::FrontierWait).
    ///
    /// It answers `NotFound` at its first poll for an axis that is not known, the failure of an axis as soon as there
    /// is one, `InvalidArgument` for an epoch above [`Tracker::EPOCH_MAX`], and `Cancelled` when the last handle of the
    /// tracker is dropped.
    ///
    /// ```
    /// use proact::causal::{Axis, Frontier};
    /// use proact::sync::Tracker;
    /// use std::task::{Context, Waker};
    ///
    /// let tracker = Tracker::new();
    /// let axis = tracker.register(Axis::queue(1, 0, 0, 0))?;
    /// let mut reached = Box::pin(tracker.reached(Frontier::single(axis.axis(), 3)?));
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(reached.as_mut().poll(&mut cx).is_pending());
    /// axis.advance(3)?;
    /// assert!(reached.as_mut().poll(&mut cx).is_ready());
    /// # use std::future::Future;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reached(&self, frontier: Frontier) -> FrontierReached {
        FrontierReached::new(self.watch(frontier))
    }

    /// A wait for `frontier` that stands in no line yet.
    pub(crate) fn watch(&self, frontier: Frontier) -> Watch {
        Watch::new(self.inner.clone(), frontier)
    }
}

impl Inner {
    #[inline]
    fn record(&self, index: u32) -> &Record {
        let chunk = self.chunks[(index / CHUNK) as usize].get().expect("a place that is named was made");
        &chunk[(index % CHUNK) as usize]
    }

    /// The place of `axis`, registered or remembered.
    #[inline]
    fn find(&self, axis: Axis) -> Option<u32> {
        match self.index.find(axis, self.options.capacity, |index| self.record(index)) {
            Found::Place(record) => Some(record),
            Found::Nothing => None,
            Found::Unsure => self.find_locked(&self.lock(), axis),
        }
    }

    #[cold]
    fn find_locked(&self, _: &Registry, axis: Axis) -> Option<u32> {
        match self.index.find(axis, self.options.capacity, |index| self.record(index)) {
            Found::Place(record) => Some(record),
            // Under the lock nothing changes.
            Found::Nothing | Found::Unsure => None,
        }
    }

    fn register(&self, axis: Axis, options: AxisOptions) -> Result<(u32, u64)> {
        let mut registry = self.lock();
        if let Some(record) = self.find_locked(&registry, axis) {
            if !self.record(record).is_retired() {
                return Err(Status::new(Code::AlreadyExists, Operation::AxisRegister)
                    .with_context(format!("axis {axis}"))
                    .with_message("it is registered already"));
            }
        }
        let AxisOptions { name, semaphore } = options;
        let (record, start) = loop {
            let record = self.take_place(&mut registry).ok_or_else(|| self.exhausted(&registry, axis))?;
            // One that turns out to be worn is not used again.
            if let Some(start) = self.record(record).begin(axis, name.clone(), semaphore.clone()) {
                break (record, start);
            }
        };
        // A retired axis of the same name steps aside.
        if let Some(old) = registry.retired.iter_mut().find(|old| old.found_as == Some(axis)) {
            old.found_as = None;
            self.index.remove(axis, old.record, |index| self.record(index));
            self.record(old.record).forget();
        }
        self.index.insert(axis, record, self.record(record));
        Ok((record, start))
    }

    /// A place that cannot be found: a new one, or that of the axis that was retired longest ago and is free.
    fn take_place(&self, registry: &mut Registry) -> Option<u32> {
        let record = registry.used;
        if record < self.options.capacity {
            let made = || (0..CHUNK).map(|_| Record::new()).collect();
            self.chunks[(record / CHUNK) as usize].get_or_init(made);
            registry.used += 1;
            return Some(record);
        }
        let free = registry.retired.iter().position(|old| self.record(old.record).is_free())?;
        let Retired { record, found_as } = registry.retired.remove(free)?;
        if let Some(axis) = found_as {
            self.index.remove(axis, record, |index| self.record(index));
        }
        Some(record)
    }

    #[cold]
    fn exhausted(&self, registry: &Registry, axis: Axis) -> Status {
        let message = format!(
            "all {} places are taken, {} by axes that were retired and are still asked for",
            self.options.capacity,
            registry.retired.len()
        );
        Status::new(Code::ResourceExhausted, Operation::AxisRegister)
            .with_context(format!("axis {axis}"))
            .with_message(message)
    }

    /// `of`: only the axis of this place that began to count there.
    fn retire(&self, axis: Axis, of: Option<(u32, u64)>) -> bool {
        let mut registry = self.lock();
        let record = of.map(|(record, _)| record).or_else(|| self.find_locked(&registry, axis));
        let Some(record) = record else { return false };
        let start = of.map(|(_, start)| start);
        let Some(ended) = self.record(record).retire(axis, start) else { return false };
        registry.retired.push_back(Retired { record, found_as: Some(axis) });
        drop(registry);
        drop(ended);
        true
    }

    fn close(&self) {
        /// Whatever comes: a waker that panics on one axis takes nothing from those who wait for the others.
        struct Rest<'a>(&'a Inner, Range<u32>);

        impl Rest<'_> {
            fn close(&mut self) {
                for record in self.1.by_ref() {
                    self.0.record(record).close(|| {
                        Status::new(Code::Cancelled, Operation::FrontierWait).with_message("the tracker was dropped")
                    });
                }
            }
        }

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.close();
            }
        }

        let used = self.lock().used;
        Rest(self, 0..used).close();
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AxisHandle {
    /// Which axis.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// The tracker that it is registered with.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// As [`Tracker::advance`].
    ///
    /// # Errors
    /// As [`Tracker::advance`].
    #[inline]
    pub fn advance(&self, epoch: u64) -> Result<bool> {
        if epoch > Tracker::EPOCH_MAX {
            return Err(watch::too_late(Operation::AxisAdvance, self.axis, epoch));
        }
        Ok(self.record().advance_from(self.start, epoch) == Raised::Later)
    }

    /// As [`Tracker::fail`].
    pub fn fail(&self, status: Status) -> bool {
        self.record().fail(self.axis, Some(self.start), status)
    }

    /// As [`Tracker::retire`]. An axis that was registered under this name since is left alone.
    pub fn retire(&self) -> bool {
        self.tracker.inner.retire(self.axis, Some((self.record, self.start)))
    }

    #[inline]
    fn record(&self) -> &Record {
        self.tracker.inner.record(self.record)
    }
}

impl Clone for Tracker {
    fn clone(&self) -> Tracker {
        self.inner.handles.fetch_add(1, Ordering::Relaxed);
        Tracker { inner: self.inner.clone() }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // AcqRel: who closes sees all that was done through other handles.
        if self.inner.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.close();
        }
    }
}

impl Default for Tracker {
    fn default() -> Tracker {
        Tracker::new()
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for AxisHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxisHandle").field("axis", &self.axis).finish_non_exhaustive()
    }
}

fn unknown(operation: Operation, axis: Axis) -> Status {
    Status::new(Code::NotFound, operation).with_context(format!("axis {axis}")).with_message("it is not registered")
}

fn retired(title: String) -> Status {
    Status::new(Code::Cancelled, Operation::FrontierWait).with_context(title).with_message("it was retired")
}

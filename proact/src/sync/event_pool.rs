//! Events that are there already: taken without a system call, and given back by being dropped.

mod held;
mod stacks;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;

use self::held::Core;
pub(crate) use self::held::Held;
use self::stacks::{Below, COUNT_MAX, Stacks};
use super::Event;
use crate::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::memory::{Allocation, Region};
use crate::resource::Home;
use crate::status::{Code, Operation, Result, Status};
use crate::topology::{Affinity, Topology};

/// The fewest events that memory is taken for at once: half a page.
const FIRST_MIN: u32 = 16;
/// Pieces of memory, each as large as all before it together: more than `COUNT_MAX` events need.
const CHUNKS: usize = 24;

/// Events made beforehand, for whoever needs many for a short time.
///
/// [`acquire`](EventPool::acquire) gives an [`Event`] as any other. When the last handle to it has gone, operations in
/// flight included, it is back in the pool: nobody is left who could set it or wait for it. That takes no lock and
/// makes no system call. An event that was set and not waited for is reset before it is given to the next.
///
/// The pool grows when it is empty. It may be dropped before its events: each closes then when it would have come back,
/// or a little later. Cloning the pool is one count.
///
/// Any thread may make any call.
///
/// ```
/// use proact::operation::{EventWait, Op};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let pool = proactor.handle().event_pool(64)?;
/// let event = pool.acquire()?;
/// proactor.submit(Op::new(EventWait::new(event.clone()), ())).unwrap();
/// event.set()?;
/// drop(event); // the wait in flight still has it
/// proactor.run()?; // and now the pool
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct EventPool {
    owner: Arc<Owner>,
}

/// Closes the pool when the last handle to it goes. Events keep what they need of it.
struct Owner(NonNull<Shared>);

// SAFETY: what it points to is made of atomics and of what is set once before it is shared.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

/// What a pool's handles and its events share.
struct Shared {
    stacks: Stacks,
    /// Memory for events, by size: `first` of them, as many again, twice as many, ...
    /// Only where each begins, for that is asked for at every turn.
    chunks: [AtomicPtr<Core>; CHUNKS],
    /// What each chunk is kept by.
    regions: [AtomicPtr<Region>; CHUNKS],
    /// How many events there are: the numbers below have been made.
    made: AtomicU32,
    /// Once the pool is closed: events that are still out, and before that what came back too late, below zero.
    out: AtomicU64,
    /// As a power of two.
    first: u32,
    home: Home,
    how: Allocation,
    place: Affinity,
}

impl Below for Shared {
    #[inline]
    fn below(&self, index: u32) -> &AtomicU32 {
        // SAFETY: numbers that are told to the stacks have been made.
        unsafe { &(*self.core(index).as_ptr()).below }
    }
}

impl EventPool {
    pub(crate) fn create(home: Home, count: u32, node: Option<u32>) -> Result<EventPool> {
        if count > COUNT_MAX {
            return Err(too_many());
        }
        let (how, place) = match node {
            Some(node) => (Allocation::new().node(node), Topology::read().affinity(node)?),
            None => (Allocation::new(), Affinity::any()),
        };
        let first = count.max(FIRST_MIN).next_power_of_two().ilog2();
        let shared = Shared {
            stacks: Stacks::new(),
            chunks: std::array::from_fn(|_| AtomicPtr::default()),
            regions: std::array::from_fn(|_| AtomicPtr::default()),
            made: AtomicU32::new(0),
            out: AtomicU64::new(0),
            first,
            home,
            how,
            place,
        };
        let pool = EventPool { owner: Arc::new(Owner(NonNull::from(Box::leak(Box::new(shared))))) };
        // Once for all of them: going to the node and back takes longer than making an event.
        pool.shared().place.visit(|| (0..count).try_for_each(|_| pool.add()))?;
        Ok(pool)
    }

    /// Makes an event that is idle.
    fn add(&self) -> Result<()> {
        let shared = self.shared();
        let index = shared.make(self.owner.0)?;
        let given = shared.stacks.give(shared.below(index), index);
        debug_assert!(given, "nobody has closed it");
        Ok(())
    }

    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: it is freed after the owner has gone.
        unsafe { self.owner.0.as_ref() }
    }

    /// Takes an event that is not set: an idle one, or a new one.
    ///
    /// # Errors
    /// `ResourceExhausted` when none is idle and the system gives no other.
    #[inline]
    pub fn acquire(&self) -> Result<Event> {
        let shared = self.shared();
        match shared.stacks.take(shared) {
            // SAFETY: the number was just taken.
            Some(index) => unsafe { shared.hand_out(index) },
            None => self.grow(),
        }
    }

    #[cold]
    fn grow(&self) -> Result<Event> {
        let shared = self.shared();
        let index = match shared.stacks.take_moving(shared).map_or_else(|| shared.make(self.owner.0), Ok) {
            Ok(index) => index,
            // Others may have all idle ones in hand, on the way from one stack to the other.
            Err(status) => shared.stacks.take_last(shared).ok_or(status)?,
        };
        // SAFETY: the number was just made, and told to nobody; or taken.
        unsafe { shared.hand_out(index) }
    }

    /// How many events there are, idle or not. Never falls.
    pub fn len(&self) -> u32 {
        self.shared().made.load(Ordering::Relaxed)
    }

    /// Whether no event was ever made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the events and their memory lie on the node that was asked for: `false` where none was, or where the
    /// system did not let memory be placed there.
    pub fn is_placed(&self) -> bool {
        let first = self.shared().regions[0].load(Ordering::Acquire);
        // SAFETY: a chunk stays until the pool is gone.
        let region = unsafe { first.as_ref() };
        region.is_some_and(|region| region.node().is_some()) && self.shared().place.is_in_reach()
    }
}

impl std::fmt::Debug for EventPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventPool({})", self.len())
    }
}

impl Shared {
    /// In which chunk a number lies, and where there.
    #[inline]
    fn place(&self, index: u32) -> (usize, usize) {
        match index >> self.first {
            0 => (0, index as usize),
            above => {
                let chunk = above.ilog2();
                (chunk as usize + 1, (index - (1 << (self.first + chunk))) as usize)
            }
        }
    }

    /// Where the event of a number is.
    #[inline]
    fn core(&self, index: u32) -> NonNull<Core> {
        let (chunk, place) = self.place(index);
        let start = self.chunks[chunk].load(Ordering::Acquire);
        debug_assert!(!start.is_null(), "event {index} was never made");
        // SAFETY: the chunk is there since the number was made, and has room for it.
        unsafe { NonNull::new_unchecked(start.add(place)) }
    }

    /// Makes another event, which no one has yet. `this` is the pool itself.
    fn make(&self, this: NonNull<Shared>) -> Result<u32> {
        let resource = self.descriptor()?;
        let mut index = self.made.load(Ordering::Relaxed);
        loop {
            if index >= COUNT_MAX {
                return Err(too_many());
            }
            // Before the number is claimed, so that every number below has its memory.
            self.reserve(self.place(index).0)?;
            match self.made.compare_exchange_weak(index, index + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => index = now,
            }
        }
        // SAFETY: the number is this call's alone, and its memory is there, aligned to a page at least.
        unsafe { self.core(index).write(Core::new(resource, index, Some(this))) };
        Ok(index)
    }

    /// A new event's descriptor, made on the pool's node.
    fn descriptor(&self) -> Result<crate::resource::Resource> {
        self.place.visit(|| Event::descriptor(self.home))
    }

    /// Sees to it that there is memory for a chunk.
    fn reserve(&self, chunk: usize) -> Result<()> {
        if !self.chunks[chunk].load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let count = 1usize << (self.first as usize + chunk.saturating_sub(1));
        let region = match Region::allocate(count * size_of::<Core>(), &self.how) {
            // Said by `is_placed`.
            Err(status) if status.code() == Code::Unavailable => {
                Region::allocate(count * size_of::<Core>(), &Allocation::new())
            }
            outcome => outcome,
        };
        let region = Box::new(region?);
        let (empty, start) = (std::ptr::null_mut(), region.as_ptr().cast());
        // Where another was faster, nobody has seen this one.
        if self.chunks[chunk].compare_exchange(empty, start, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.regions[chunk].store(Box::into_raw(region), Ordering::Release);
        }
        Ok(())
    }

    /// The first handle of an event, which is not set.
    ///
    /// # Safety
    ///
    /// The caller has taken the number, or just made it.
    #[inline]
    unsafe fn hand_out(&self, index: u32) -> Result<Event> {
        let core = self.core(index);
        // SAFETY: nobody else has the event.
        let event = unsafe { core.as_ref() };
        if event.resource.is_closing() || event.take_touched() {
            // SAFETY: the caller's promise, passed on.
            if let Err(status) = unsafe { self.renew(core) } {
                // It is what it was, and its next user must not find it set.
                event.mark_touched();
                self.stacks.give(self.below(index), index);
                return Err(status);
            }
        }
        // SAFETY: the caller's promise.
        Ok(Event::of(unsafe { Held::first(core) }))
    }

    /// Resets an event that was set, or makes another in the place of one that its user closed.
    ///
    /// # Safety
    ///
    /// Nobody else has the event.
    #[cold]
    unsafe fn renew(&self, core: NonNull<Core>) -> Result<()> {
        // SAFETY: the caller's promise.
        let resource = unsafe { &(*core.as_ptr()).resource };
        if !resource.is_closing() && Event::reset(resource).is_ok() {
            return Ok(());
        }
        let fresh = self.descriptor()?;
        // SAFETY: the caller's promise; no reference to the old one is used any more.
        unsafe { (*core.as_ptr()).resource = fresh };
        Ok(())
    }

    /// Takes an event back: its last handle has gone.
    ///
    /// # Safety
    ///
    /// The event is of this pool, and out.
    #[inline]
    unsafe fn give(this: NonNull<Shared>, core: NonNull<Core>) {
        // SAFETY: the pool is there while one of its events is out, and so is the event. No reference to the whole
        // event is held: it may be gone with its pool once it has been given.
        let (shared, below, index) = unsafe { (this.as_ref(), &(*core.as_ptr()).below, (*core.as_ptr()).index) };
        if !shared.stacks.give(below, index) {
            // SAFETY: the caller's promise: it is out, and the pool closed.
            unsafe { Shared::give_late(this, index) };
        }
    }

    /// Takes an event back that outlived its pool.
    ///
    /// # Safety
    ///
    /// As for [`Shared::give`], and the stacks are closed.
    #[cold]
    unsafe fn give_late(this: NonNull<Shared>, index: u32) {
        // SAFETY: as in `give`.
        let shared = unsafe { this.as_ref() };
        // SAFETY: nobody has the event any more.
        unsafe { shared.core(index).as_ref() }.resource.shut();
        if shared.out.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the last one that was out, and the owner has gone.
            unsafe { Shared::free(this) };
        }
    }

    /// # Safety
    ///
    /// Nobody reaches the pool or an event of it any more.
    unsafe fn free(this: NonNull<Shared>) {
        // SAFETY: made from a box.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for index in 0..self.made.load(Ordering::Acquire) {
            // SAFETY: every number below has been made, and nobody has it.
            unsafe { self.core(index).drop_in_place() };
        }
        for region in &self.regions {
            let region = region.load(Ordering::Acquire);
            if !region.is_null() {
                // SAFETY: made from a box in `reserve`, and nothing in it is used any more.
                drop(unsafe { Box::from_raw(region) });
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: freed below, or by the last event that is out, and that only after what is added here.
        let shared = unsafe { self.0.as_ref() };
        let mut idle = 0;
        shared.stacks.close(shared, |index| {
            // SAFETY: it was idle, and nobody can take it any more.
            unsafe { shared.core(index).as_ref() }.resource.shut();
            idle += 1;
        });
        let out = u64::from(shared.made.load(Ordering::Acquire) - idle);
        // Those that came back since the stacks were closed have been subtracted already.
        if shared.out.fetch_add(out, Ordering::AcqRel).wrapping_add(out) == 0 {
            // SAFETY: all are back, and this was the last handle of the pool.
            unsafe { Shared::free(self.0) };
        }
    }
}

#[cold]
fn too_many() -> Status {
    Status::new(Code::ResourceExhausted, Operation::EventCreate)
        .with_message(format!("a pool has at most {COUNT_MAX} events"))
}

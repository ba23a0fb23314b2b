//! Pools of buffers, which any thread takes from and gives back to.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::free_list::{COUNT_MAX, FreeList, Given};
use super::lease::Lease;
use super::slab::Slab;
use super::waiters::{Starved, WaitKey, Waiters};
use crate::atomic::{AtomicU32, Ordering};
use crate::backend::{BufferSource, RawBuffer, Token};
use crate::status::{Code, Operation, Result, Status};

#[cfg(all(test, loom))]
mod loom_tests;

/// A pool over a [`Slab`]: buffers are taken as exclusive [`Lease`]s, and come back when those are dropped.
///
/// Taking and giving back are one atomic exchange each, from any thread, and nothing blocks. A clone is another handle
/// to the same pool. The memory lives until the last handle **and** the last lease are gone, in whatever order.
///
/// The list of idle buffers is the only one there is: what the kernel, or an operation, receives into was taken from it
/// like any other buffer, so that no buffer has two owners and [`available`](BufferPool::available) tells the truth.
///
/// ```
/// use proact::memory::{Allocation, BufferPool, Slab};
/// use proact::status::Code;
///
/// let pool = BufferPool::new(Slab::allocate(4096, 2, &Allocation::new())?)?;
/// let mut first = pool.acquire()?;
/// first[..5].copy_from_slice(b"hello");
/// let second = pool.acquire()?;
/// assert_eq!(pool.acquire().unwrap_err().code(), Code::ResourceExhausted);
/// drop(second);
/// assert_eq!((pool.available(), pool.capacity()), (1, 2));
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct BufferPool {
    /// Counted, so that an operation may hold it as a source without making one.
    handle: Arc<Handle>,
}

/// What keeps the pool open: that of all clones, and one for a moment while a buffer goes to whoever waits for it.
struct Handle {
    shared: NonNull<Shared>,
}

/// What handles and leases have in common. Freed by the last of them: handles are counted here, and leases by the free
/// list, which is whole when there is none. So a lease costs no count of references.
pub(super) struct Shared {
    list: FreeList,
    waiters: Waiters,
    /// Of 32 bits because nobody can make many: one for all clones, which share it, and one for each thread that puts a
    /// buffer back right now.
    handles: AtomicU32,
    id: u64,
    slab: Slab,
    /// One for each buffer, if they may be filled in parts.
    parts: Box<[Parts]>,
}

/// A buffer that is filled in parts.
struct Parts {
    /// How many hold it besides the first. There cannot be too many: each has bytes of its own, of a buffer whose
    /// length has 32 bits.
    holders: AtomicU32,
    /// How far it has been handed out.
    filled: AtomicU32,
}

// SAFETY: a handle only reaches what is shared, which is made for any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl BufferPool {
    /// The most buffers that a pool can have.
    pub const CAPACITY_MAX: u32 = COUNT_MAX;

    /// A pool of all buffers of `slab`, whose region it takes as a whole.
    ///
    /// # Errors
    /// `InvalidArgument` for more than [`BufferPool::CAPACITY_MAX`] buffers, or buffers of 4 GiB or more;
    /// `FailedPrecondition` if the region is foreign (see [`SharedPool`](super::SharedPool)), or has spans or another
    /// pool.
    #[track_caller]
    pub fn new(slab: Slab) -> Result<BufferPool> {
        BufferPool::make(slab, false)
    }

    /// A pool whose buffers may be filled in parts: where the kernel can (Linux 6.12, io_uring), one receive into a
    /// pool takes what it needs of a buffer, and the next goes on behind it. So few large buffers serve many small
    /// messages. A buffer is back in the pool when all its parts are; elsewhere each receive takes a buffer of its
    /// own.
    ///
    /// # Errors
    /// As for [`BufferPool::new`].
    #[track_caller]
    pub fn incremental(slab: Slab) -> Result<BufferPool> {
        BufferPool::make(slab, true)
    }

    #[track_caller]
    fn make(slab: Slab, incremental: bool) -> Result<BufferPool> {
        if slab.buffer_count() > COUNT_MAX || u32::try_from(slab.buffer_size()).is_err() {
            let why = "more buffers, or longer ones, than a pool can have";
            return Err(Status::new(Code::InvalidArgument, Operation::PoolCreate).with_message(why));
        }
        slab.region().claim().map_err(|status| status.with_operation(Operation::PoolCreate))?;
        let parts = if incremental { slab.buffer_count() } else { 0 };
        let parts = (0..parts).map(|_| Parts { holders: AtomicU32::new(0), filled: AtomicU32::new(0) }).collect();
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let shared = Box::new(Shared {
            list: FreeList::new(slab.buffer_count()),
            waiters: Waiters::new(),
            handles: AtomicU32::new(1),
            id: NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            slab,
            parts,
        });
        Ok(BufferPool { handle: Arc::new(Handle { shared: NonNull::from(Box::leak(shared)) }) })
    }

    #[inline]
    fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    /// The pool as what a backend takes buffers from.
    pub(crate) fn source(&self) -> Arc<dyn BufferSource> {
        self.handle.clone()
    }

    /// Takes a buffer, for whoever holds the lease alone. Its content is what the last one left in it; at first zeros,
    /// or what the wrapped owner held.
    ///
    /// # Errors
    /// `ResourceExhausted` when none is there now.
    #[inline]
    pub fn acquire(&self) -> Result<Lease> {
        match self.shared().list.take() {
            // SAFETY: just taken, by this alone.
            Some(index) => Ok(unsafe { self.adopt(index, self.buffer_size()) }),
            None => Err(exhausted()),
        }
    }

    /// Buffers that are there to be taken now. Other threads may change that before the answer is looked at.
    pub fn available(&self) -> u32 {
        self.shared().list.available()
    }

    /// How many buffers there are, taken or not.
    pub fn capacity(&self) -> u32 {
        self.shared().list.capacity()
    }

    /// Bytes in each buffer.
    #[inline]
    pub fn buffer_size(&self) -> u32 {
        // Checked when the pool was made.
        self.shared().slab.buffer_size() as u32
    }

    /// Whether its buffers may be filled in parts.
    pub(crate) fn fills_in_parts(&self) -> bool {
        !self.shared().parts.is_empty()
    }

    /// What it was made over.
    pub fn slab(&self) -> &Slab {
        &self.shared().slab
    }

    /// Whether both are handles to the same pool.
    pub fn is_same(&self, other: &BufferPool) -> bool {
        self.handle.shared == other.handle.shared
    }

    /// The lease of a buffer that was [taken](BufferSource::take), of which `length` bytes are of interest.
    ///
    /// # Safety
    ///
    /// The buffer was taken from this pool, and neither put back nor adopted since; nobody else uses it.
    #[inline]
    pub(crate) unsafe fn adopt(&self, index: u32, length: u32) -> Lease {
        let size = self.buffer_size();
        debug_assert!(index < self.capacity() && length <= size);
        // SAFETY: the caller has the buffer to itself, and gives it to the lease.
        unsafe { Lease::new(self.handle.shared, index, 0, length, size, false) }
    }

    /// The lease of the next `length` bytes of a buffer that a backend fills in parts. It takes over one hold: that of
    /// whoever [took](BufferSource::take) the buffer, who is done with it by that, or one that was
    /// [made](BufferSource::hold) for this part. The buffer is back in the pool when all holds have ended.
    ///
    /// # Safety
    ///
    /// The pool's buffers may be filled in parts. The caller has such a hold, and gives it to the lease; these bytes
    /// lie behind those of the part before, and nobody else uses them.
    pub(crate) unsafe fn adopt_next(&self, index: u32, length: u32) -> Lease {
        // Only whoever fills the buffer comes here, and hands it on by way of the list.
        let offset = self.shared().parts[index as usize].filled.fetch_add(length, Ordering::Relaxed);
        debug_assert!(u64::from(offset) + u64::from(length) <= self.buffer_size().into());
        // SAFETY: the caller has the part to itself, and gives it to the lease.
        unsafe { Lease::new(self.handle.shared, index, offset, length, length, true) }
    }

    /// Waits for a buffer: `sink` is told of one that came back, under `token`. `None`: there is one now, and nobody is
    /// told.
    ///
    /// Being told is no promise: whoever is told tries to acquire, and waits again if another was faster.
    pub(crate) fn await_buffer(&self, token: Token, sink: Arc<dyn Starved>) -> Option<WaitKey> {
        let shared = self.shared();
        shared.waiters.wait(&shared.list, token, sink)
    }

    /// As [`BufferPool::await_buffer`], before all others: for one that was told, and found the buffer taken.
    pub(super) fn await_buffer_again(&self, token: Token, sink: Arc<dyn Starved>) -> Option<WaitKey> {
        let shared = self.shared();
        shared.waiters.wait_again(&shared.list, token, sink)
    }

    /// Ends a wait. Also to be called for one that has been told and then takes no buffer: the next in line is told
    /// instead.
    pub(crate) fn forget(&self, key: WaitKey) {
        let shared = self.shared();
        shared.waiters.forget(&shared.list, key);
    }
}

#[cold]
fn exhausted() -> Status {
    Status::new(Code::ResourceExhausted, Operation::BufferAcquire).with_message("every buffer is in use")
}

impl Shared {
    #[inline]
    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    /// Another handle, unless there is none left to be cloned.
    fn upgrade(shared: NonNull<Shared>) -> Option<Handle> {
        // SAFETY: the caller has a buffer of the pool, so that it is there.
        let handles = unsafe { &shared.as_ref().handles };
        let more = |handles: u32| (handles > 0).then_some(handles + 1);
        handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Handle { shared })
    }

    /// Puts a buffer back, and frees the pool if it was the last of one without handles.
    ///
    /// # Safety
    ///
    /// The buffer was taken from the pool, and the caller, who uses it no more, is the only one to put it back.
    #[inline]
    pub(super) unsafe fn put(shared: NonNull<Shared>, index: u32) {
        // Held over the exchange only where someone waits: for them there must be a pool behind it. Without a handle
        // there is no one who could wait.
        let mut handle = None;
        let starved = || {
            if handle.is_none() {
                handle = Shared::upgrade(shared);
            }
        };
        // SAFETY: a buffer is out, so the pool is there until the exchange.
        match unsafe { shared.as_ref() }.list.give(index, starved) {
            Given::Back => {}
            Given::ToWaiter => {
                if let Some(pool) = &handle {
                    pool.shared().waiters.tell(&pool.shared().list);
                }
            }
            // SAFETY: no handle and no buffer is out: nobody else can reach it.
            Given::Whole => unsafe { Shared::free(shared) },
        }
    }

    /// Ends one hold on a buffer: of a part's lease, or of whoever took it.
    ///
    /// # Safety
    ///
    /// The caller has such a hold, and with it the part, and uses it no more.
    #[cold]
    pub(super) unsafe fn release_part(shared: NonNull<Shared>, index: u32) {
        // SAFETY: a buffer is out, so the pool is there until it is put back.
        if let Some(parts) = unsafe { shared.as_ref() }.parts.get(index as usize) {
            // Release and Acquire: the last one puts back what all others have finished with.
            if parts.holders.fetch_sub(1, Ordering::AcqRel) != 0 {
                return;
            }
            parts.holders.store(0, Ordering::Relaxed);
            parts.filled.store(0, Ordering::Relaxed);
        }
        // SAFETY: nobody else has a hold on it.
        unsafe { Shared::put(shared, index) };
    }

    /// # Safety
    ///
    /// No handle and no buffer is out.
    #[cold]
    unsafe fn free(shared: NonNull<Shared>) {
        // SAFETY: it came from a box, and nobody else can reach it.
        let shared = unsafe { Box::from_raw(shared.as_ptr()) };
        shared.slab.region().unclaim();
    }
}

// SAFETY: the free list hands each number out once until it is given back, and the buffers of a slab are disjoint,
// valid and initialised while the region lives, which the pool holds. The region is the pool's alone.
unsafe impl BufferSource for Handle {
    fn id(&self) -> u64 {
        self.shared().id
    }

    fn take(&self) -> Option<RawBuffer> {
        let shared = self.shared();
        let index = shared.list.take()?;
        let pointer = shared.slab.region().as_ptr().wrapping_add(shared.slab.offset(index));
        Some(RawBuffer { index, pointer, length: shared.slab.buffer_size() as u32 })
    }

    unsafe fn put(&self, index: u32) {
        // SAFETY: the caller's promise: it took the buffer, and has at least the source's hold on it.
        unsafe { Shared::release_part(self.shared, index) };
    }

    fn buffer_size(&self) -> u32 {
        // Checked when the pool was made.
        self.shared().slab.buffer_size() as u32
    }

    fn count(&self) -> u32 {
        self.shared().list.capacity()
    }

    unsafe fn hold(&self, index: u32) {
        // Relaxed: whoever has a hold may make another, as with any count of references.
        self.shared().parts[index as usize].holders.fetch_add(1, Ordering::Relaxed);
    }

    fn incremental(&self) -> bool {
        !self.shared().parts.is_empty()
    }
}

impl Clone for BufferPool {
    fn clone(&self) -> BufferPool {
        BufferPool { handle: self.handle.clone() }
    }
}

impl Handle {
    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: a handle is counted, and what is shared outlives all handles.
        unsafe { self.shared.as_ref() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Release and Acquire: the last handle sees what the others did.
        if self.shared().handles.fetch_sub(1, Ordering::AcqRel) == 1 && self.shared().list.close() {
            // SAFETY: this was the last handle, and all buffers are there.
            unsafe { Shared::free(self.shared) };
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} of {:?})", self.available(), self.shared().slab)
    }
}

//! Pools of buffers that processes share.

mod layout;
#[cfg(all(test, loom))]
mod loom_tests;
mod peer;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::sync::Arc;

use self::layout::{Layout, MAGIC, PEERS, VERSION};
use self::peer::{Identity, Life};
use crate::atomic::Ordering;
use crate::memory::Region;
use crate::status::{Code, Operation, Result, Status};

pub use self::layout::Geometry;

/// A pool of buffers in memory that several processes map: each acquires and releases, and none trusts another.
///
/// One process [creates](SharedPool::create) it in a [`Region`] of shared memory, others [open](SharedPool::open) it in
/// theirs. The buffers are foreign memory: bytes are copied in and out, and another process may write to them at any
/// moment, whoever has the lease.
///
/// # What a hostile or broken peer can do
///
/// It can take all buffers, write to all of them, and give away what others have leased. It cannot make this process
/// touch memory outside of the pool: nothing that is read there leads to an address. What cannot have come about by
/// itself is answered with `DataLoss`.
///
/// # Crashes
///
/// There is no list that could be left half changed. One word for each buffer says which peer has it, so taking and
/// giving back are one exchange of that word, done or not done, whenever a process is killed; and
/// [`reclaim`](SharedPool::reclaim) finds what dead peers had. The price is a search when the pool is nearly empty: a
/// hint leads to a buffer that was given back lately, and from there every word is looked at once, about a nanosecond
/// each.
///
/// Any thread may make any call. A handle is good in the process that made it, not in one forked from it. Linux only.
///
/// ```
/// use proact::memory::{Geometry, Region, SharedPool};
/// use std::os::fd::AsFd;
///
/// let geometry = Geometry { buffer_size: 4096, buffer_count: 16 };
/// let (region, fd) = Region::create_shared(geometry.total_size()?)?;
/// let pool = SharedPool::create(region, geometry)?;
/// // The other process is handed the descriptor, and does:
/// let theirs = Region::map_shared(fd.as_fd(), 0, geometry.total_size()?, proact::memory::Access::all())?;
/// let theirs = SharedPool::open(theirs, geometry)?;
///
/// let lease = pool.acquire()?;
/// lease.copy_in(0, b"hello")?;
/// assert_eq!(theirs.available(), 15);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct SharedPool {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    /// The generation of the pool that was opened.
    generation: u64,
    identity: Identity,
    /// This handle's record.
    peer: u32,
    /// What stands in the word of a buffer that this handle has.
    mark: u32,
}

/// What stands in the word of a buffer that the peer has in its `generation`th time. Never 0.
fn mark_of(peer: u32, generation: u32) -> u32 {
    generation << 8 | (peer + 1)
}

#[track_caller]
fn refused(code: Code, why: &'static str) -> Status {
    Status::new(code, Operation::PoolCreate).with_message(why)
}

impl SharedPool {
    /// Bytes of bookkeeping for so many buffers: four more for each.
    pub fn bookkeeping_size(buffer_count: u32) -> usize {
        layout::bookkeeping_size(buffer_count)
    }

    /// Makes a pool in `region`, from its beginning, and forgets what was there. No one may use a pool there already:
    /// its users are told `DataLoss`.
    ///
    /// # Errors
    /// `InvalidArgument` for a geometry that cannot be or does not fit, `OutOfRange` as
    /// [`Geometry::total_size`] says; `FailedPrecondition` for private memory or such as is not both read and
    /// written; `Unavailable` where processes cannot be told apart (no `/proc`).
    pub fn create(region: Region, geometry: Geometry) -> Result<SharedPool> {
        SharedPool::make(Layout::of(region, geometry)?, Identity::own())
    }

    fn make(layout: Layout, identity: Option<Identity>) -> Result<SharedPool> {
        let geometry = layout.geometry;
        // Whoever opens it meanwhile finds nothing. No ordering would help one who has read the old magic: it finds
        // out by the generation, or by its record, which is no longer its own.
        let before = layout.generation().load(Ordering::Relaxed);
        layout.magic().store(0, Ordering::Relaxed);
        for peer in 0..PEERS {
            layout.identity(peer).store(0, Ordering::Relaxed);
            layout.peer_generation(peer).store(0, Ordering::Relaxed);
        }
        for index in 0..geometry.buffer_count {
            layout.owner(index).store(0, Ordering::Relaxed);
        }
        layout.hint().store(0, Ordering::Relaxed);
        layout.version().store(VERSION, Ordering::Relaxed);
        layout.peers().store(PEERS, Ordering::Relaxed);
        layout.buffer_size().store(geometry.buffer_size as u64, Ordering::Relaxed);
        layout.buffer_count().store(geometry.buffer_count, Ordering::Relaxed);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Another one than before, whatever the clock says.
        let generation = started.map_or(0, |since| since.as_nanos() as u64).max(before.wrapping_add(1)).max(1);
        layout.generation().store(generation, Ordering::Relaxed);
        layout.magic().store(MAGIC, Ordering::Release);
        SharedPool::enter(layout, generation, identity)
    }

    /// Opens the pool in `region`, which must be as expected.
    ///
    /// # Errors
    /// `InvalidArgument` when there is no pool, one of another version, or one of another geometry, and for a region
    /// that is too small; `ResourceExhausted` when 64 peers have it open (see
    /// [`SharedPool::reclaim`]); otherwise as for [`SharedPool::create`].
    pub fn open(region: Region, geometry: Geometry) -> Result<SharedPool> {
        SharedPool::join(Layout::of(region, geometry)?, Identity::own())
    }

    fn join(layout: Layout, identity: Option<Identity>) -> Result<SharedPool> {
        let geometry = layout.geometry;
        // Acquire: what the maker wrote before the magic is there.
        let checks = [
            (layout.magic().load(Ordering::Acquire) == MAGIC, "there is no pool, or it is not ready yet"),
            (layout.version().load(Ordering::Relaxed) == VERSION, "the pool is of another version"),
            (layout.peers().load(Ordering::Relaxed) == PEERS, "the pool's header is damaged"),
            (
                layout.buffer_size().load(Ordering::Relaxed) == geometry.buffer_size as u64,
                "the pool's buffers are of another size",
            ),
            (
                layout.buffer_count().load(Ordering::Relaxed) == geometry.buffer_count,
                "the pool has another number of buffers",
            ),
        ];
        if let Some((_, why)) = checks.into_iter().find(|(good, _)| !good) {
            return Err(refused(Code::InvalidArgument, why));
        }
        let generation = layout.generation().load(Ordering::Relaxed);
        SharedPool::enter(layout, generation, identity)
    }

    /// Takes a record for this handle.
    fn enter(layout: Layout, generation: u64, identity: Option<Identity>) -> Result<SharedPool> {
        let Some(identity) = identity else {
            return Err(refused(Code::Unavailable, "who this process is cannot be told: no /proc"));
        };
        for peer in 0..PEERS {
            let record = layout.identity(peer);
            // Acquire: the buffers that were given back before the record are there.
            if record.compare_exchange(0, identity.to_bits(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                // Raised by each that takes the record: marks of the one before are not this one's. Release: see
                // `reclaim`.
                let times = layout.peer_generation(peer).fetch_add(1, Ordering::Release).wrapping_add(1);
                let mark = mark_of(peer, times);
                let inner = Inner { layout, generation, identity, peer, mark };
                return Ok(SharedPool { inner: Arc::new(inner) });
            }
        }
        Err(refused(Code::ResourceExhausted, "as many peers as the pool has records for"))
    }

    /// Takes a buffer. Its content is whatever stands there.
    ///
    /// # Errors
    /// `ResourceExhausted` when all are taken; `DataLoss` when the pool has been damaged or made anew.
    pub fn acquire(&self) -> Result<SharedLease> {
        let inner = &self.inner;
        inner.check(Operation::BufferAcquire)?;
        let count = inner.layout.geometry.buffer_count;
        // Whatever the hint is, it becomes one of the buffers.
        let first = inner.layout.hint().load(Ordering::Relaxed) % count;
        for index in (first..count).chain(0..first) {
            let word = inner.layout.owner(index);
            if word.load(Ordering::Relaxed) == 0
                // Acquire: what its last holder copied in is there. Release: who finds the mark below finds that the
                // record was taken so often.
                && word.compare_exchange(0, inner.mark, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                inner.layout.hint().store((index + 1) % count, Ordering::Relaxed);
                return Ok(SharedLease { pool: self.clone(), index });
            }
        }
        let all = 0..count;
        if all.into_iter().any(|index| inner.is_damaged(inner.layout.owner(index).load(Ordering::Acquire))) {
            let why = "buffers belong to peers that cannot be";
            return Err(Status::new(Code::DataLoss, Operation::BufferAcquire).with_message(why));
        }
        Err(Status::new(Code::ResourceExhausted, Operation::BufferAcquire).with_message("every buffer is in use"))
    }

    /// Buffers that are there to be taken now: every word is looked at.
    pub fn available(&self) -> u32 {
        let layout = &self.inner.layout;
        let free = (0..layout.geometry.buffer_count).filter(|i| layout.owner(*i).load(Ordering::Relaxed) == 0);
        free.count() as u32
    }

    /// How many buffers there are.
    pub fn capacity(&self) -> u32 {
        self.inner.layout.geometry.buffer_count
    }

    /// Bytes in each buffer.
    pub fn buffer_size(&self) -> usize {
        self.inner.layout.geometry.buffer_size
    }

    /// The memory that it lies in.
    pub fn region(&self) -> &Region {
        &self.inner.layout.region
    }

    /// Takes back what peers held that have died, and frees their records. Yields how many buffers came back.
    ///
    /// Any peer may call it, also several at once, and a call that is cut short by a crash is made good by the next.
    /// Processes of other PID namespaces are left alone, since nothing can be said of them.
    ///
    /// # Errors
    /// `DataLoss` when the pool has been damaged or made anew.
    pub fn reclaim(&self) -> Result<u32> {
        let inner = &self.inner;
        inner.check(Operation::BufferRelease)?;
        let layout = &inner.layout;
        let mut back = 0;
        for peer in 0..PEERS {
            let record = layout.identity(peer);
            // Relaxed: that a process is dead is the kernel's word, behind all that the process did.
            let bits = record.load(Ordering::Relaxed);
            if bits == 0 || Identity::from_bits(bits).life(inner.identity) != Life::Dead {
                continue;
            }
            // Read before the record is freed: another peer that takes it raises it, and keeps what it acquires.
            // Acquire: who reads what that peer raised finds the record another's.
            let times = layout.peer_generation(peer).load(Ordering::Acquire);
            if record.load(Ordering::Relaxed) != bits {
                continue;
            }
            let dead = mark_of(peer, times);
            for index in 0..layout.geometry.buffer_count {
                let word = layout.owner(index);
                // Release: what the dead peer copied in is there for the next holder.
                if word.compare_exchange(dead, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
                    back += 1;
                }
            }
            // Release: who takes the record finds the buffers.
            let _ = record.compare_exchange(bits, 0, Ordering::Release, Ordering::Relaxed);
        }
        Ok(back)
    }
}

impl Inner {
    /// That this is still the pool that was opened.
    #[track_caller]
    fn check(&self, operation: Operation) -> Result {
        let layout = &self.layout;
        // Relaxed: a pool that was made anew before this call is seen as it is; for one that is at this moment, whose
        // maker was to see to it that no one uses it, every answer is as good.
        let same = layout.magic().load(Ordering::Relaxed) == MAGIC
            && layout.generation().load(Ordering::Relaxed) == self.generation
            && layout.identity(self.peer).load(Ordering::Relaxed) == self.identity.to_bits();
        if same {
            return Ok(());
        }
        let why = "the pool was damaged or made anew";
        Err(Status::new(Code::DataLoss, operation).with_message(why))
    }

    /// Whether no peer can have written this word.
    fn is_damaged(&self, word: u32) -> bool {
        let peer = word & 0xff;
        if word == 0 {
            return false;
        }
        if peer == 0 || peer > PEERS {
            return true;
        }
        // One may have left its record since, or have taken it just now: only what lies in the future cannot be.
        let times = self.layout.peer_generation(peer - 1).load(Ordering::Relaxed);
        (times.wrapping_sub(word >> 8) & 0x00ff_ffff) > 0x007f_ffff
    }

    /// Gives buffer `index` back.
    #[track_caller]
    fn release(&self, index: u32) -> Result {
        self.check(Operation::BufferRelease)?;
        // Release: what was copied in is there for the next holder.
        match self.layout.owner(index).compare_exchange(self.mark, 0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {
                self.layout.hint().store(index, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => {
                let why = "the buffer was taken away from its holder";
                Err(Status::new(Code::DataLoss, Operation::BufferRelease).with_message(why))
            }
        }
    }
}

impl Drop for Inner {
    /// Every lease holds the handle, so nothing is out: the record is free for another.
    fn drop(&mut self) {
        if self.check(Operation::BufferRelease).is_ok() {
            let (record, own) = (self.layout.identity(self.peer), self.identity.to_bits());
            // Release: who takes the record finds the buffers.
            let _ = record.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedPool({} of {:?}, peer {})", self.available(), self.inner.layout.geometry, self.inner.peer)
    }
}

/// A buffer of a [`SharedPool`]. Dropping it gives it back; [`SharedLease::release`] also says whether it still was
/// this process's.
pub struct SharedLease {
    pool: SharedPool,
    index: u32,
}

impl SharedLease {
    /// The buffer's number: the same in every process.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Where it begins in the region, in bytes.
    pub fn offset(&self) -> usize {
        self.pool.inner.layout.offset(self.index)
    }

    /// Copies `bytes` into the buffer at `offset`.
    ///
    /// # Errors
    /// `OutOfRange` beyond the buffer.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result {
        self.check(offset, bytes.len())?;
        self.pool.region().copy_in(self.offset() + offset, bytes)
    }

    /// Copies bytes at `offset` out of the buffer.
    ///
    /// # Errors
    /// `OutOfRange` beyond the buffer.
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result {
        self.check(offset, bytes.len())?;
        self.pool.region().copy_out(self.offset() + offset, bytes)
    }

    #[track_caller]
    fn check(&self, offset: usize, length: usize) -> Result {
        if offset.checked_add(length).is_none_or(|end| end > self.pool.buffer_size()) {
            let why = format!("{length} bytes at {offset} of {}", self.pool.buffer_size());
            return Err(Status::new(Code::OutOfRange, Operation::RegionCopy).with_message(why));
        }
        Ok(())
    }

    /// Gives the buffer back.
    ///
    /// # Errors
    /// `DataLoss` when a peer has taken it away meanwhile, or has damaged the pool.
    pub fn release(self) -> Result {
        let lease = std::mem::ManuallyDrop::new(self);
        // SAFETY: read once, out of what is not dropped.
        let pool = unsafe { std::ptr::read(&raw const lease.pool) };
        pool.inner.release(lease.index)
    }
}

impl Drop for SharedLease {
    fn drop(&mut self) {
        // One that is not ours any more is no one's to give back.
        let _ = self.pool.inner.release(self.index);
    }
}

impl fmt::Debug for SharedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedLease(buffer {} of {:?})", self.index, self.pool.inner.layout.geometry)
    }
}

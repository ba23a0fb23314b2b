//! Regions: pieces of memory with an owner, which I/O may know for long.

use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use super::buffer::{Access, StableBytesMut};
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::foreign::Device;
use super::mapping::{Allocation, Mapping, Placement};
use super::registration::{Registrable, Registrations};
use super::span::Span;
use crate::atomic::{AtomicU32, Ordering};
use crate::status::{Code, Operation, Result, Status};
use crate::topology::Pages;

/// Who else reaches a region's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// This process alone: the memory can be lent as slices, by the rules of Rust.
    Private,
    /// Another process or a device may write at any moment. Such memory never becomes a slice; bytes are copied in and
    /// out.
    Foreign,
}

/// Where a region's memory comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Allocated for the region.
    Allocated,
    /// Bytes that were moved in.
    Wrapped,
    /// A file or memory object that other processes may map too.
    Mapped,
    /// A device's buffer, mapped: what goes through it is **staged**, copied by the processor, not zero-copy.
    Dmabuf,
}

/// A piece of memory that lives as long as anyone needs it.
///
/// A clone is another handle to the same memory. Operations in flight hold the region that their bytes lie in, by the
/// [`Span`] or [`Lease`](super::Lease) that they own. How private memory is used is settled by the first use, and holds
/// until the last trace of that use is gone: either shared spans for reading, or the exclusive leases of one
/// [`BufferPool`](super::BufferPool).
///
/// Any thread may make any call.
///
/// ```
/// use proact::memory::Region;
/// let region = Region::wrap(b"header and payload".to_vec());
/// let payload = region.span(11..18).unwrap();
/// assert_eq!(&payload[..], b"payload");
/// ```
#[derive(Clone)]
pub struct Region {
    inner: Arc<Inner>,
}

struct Inner {
    start: NonNull<u8>,
    length: usize,
    access: Access,
    source: Source,
    placement: Placement,
    usage: AtomicU32,
    registrations: Registrations,
    backing: Backing,
}

/// What the memory belongs to. Kept for its drop.
enum Backing {
    Mapping(#[allow(dead_code)] Mapping),
    Owner(#[allow(dead_code)] Box<dyn StableBytesMut + Send>),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Device(Device),
}

/// In [`Inner::usage`]: leases of a pool. Anything else is the number of spans.
const LEASED: u32 = u32::MAX;

// SAFETY: the memory is reached through spans (read by all), leases (exclusive), copies by atomics, or an exclusive
// borrow of the only handle, whichever thread has them; the backing is only dropped, and may be on any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Region {
    /// `length` bytes of zeros, on page boundaries.
    ///
    /// # Errors
    /// `InvalidArgument` for no bytes; `ResourceExhausted` when there is no such memory; and what
    /// [`Allocation::node`] says.
    pub fn allocate(length: usize, how: &Allocation) -> Result<Region> {
        not_empty(length)?;
        let (mapping, placement) = Mapping::anonymous(length, how)?;
        let start = mapping.start();
        let region = Region::new(start, length, Access::all(), Source::Allocated, Backing::Mapping(mapping));
        Ok(region.with_placement(placement))
    }

    /// The bytes of `owner`, which lives as long as the region.
    pub fn wrap(owner: impl StableBytesMut + Send) -> Region {
        let mut owner: Box<dyn StableBytesMut + Send> = Box::new(owner);
        // Asked for in its final place: moving the box moves nothing behind it.
        let (length, access) = (owner.len(), owner.access());
        let start = NonNull::new(owner.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Region::new(start, length, access, Source::Wrapped, Backing::Owner(owner))
    }

    /// `length` bytes at `offset` (any, in bytes) of a file or memory object, shared with whoever else maps it.
    ///
    /// Nobody may cut the object short later: reaching memory that is gone kills the process (SIGBUS). So a memory
    /// object is sealed against shrinking here, if it is not yet; anything that cannot be sealed is refused with
    /// `FailedPrecondition`. What cannot be sealed and is in trusted hands goes through
    /// [`Region::map_trusted`].
    ///
    /// # Errors
    /// `InvalidArgument` for no bytes or no access; `OutOfRange` past the object's end.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn map_shared(fd: std::os::fd::BorrowedFd<'_>, offset: u64, length: usize, access: Access) -> Result<Region> {
        super::foreign::seal(fd)?;
        Region::map_trusted(fd, offset, length, access)
    }

    /// As `map_shared`, of an object that its other owners are trusted not to cut short.
    ///
    /// # Errors
    /// `InvalidArgument` for no bytes or no access; `OutOfRange` past the object's end.
    #[cfg(unix)]
    pub fn map_trusted(fd: std::os::fd::BorrowedFd<'_>, offset: u64, length: usize, access: Access) -> Result<Region> {
        not_empty(length)?;
        super::foreign::check_object(fd, offset, length, access)?;
        let mapping = Mapping::shared(fd, offset, length, access)?;
        Ok(Region::new(mapping.start(), length, access, Source::Mapped, Backing::Mapping(mapping)))
    }

    /// A new memory object of `length` zeros, mapped, and the descriptor by which other processes map it too
    /// ([`Region::map_shared`]). Its length, in bytes, is sealed.
    ///
    /// # Errors
    /// `InvalidArgument` for no bytes, `ResourceExhausted` without memory or descriptors.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn create_shared(length: usize) -> Result<(Region, std::os::fd::OwnedFd)> {
        use std::os::fd::AsFd;
        not_empty(length)?;
        let fd = super::foreign::memory_object(length)?;
        let region = Region::map_shared(fd.as_fd(), 0, length, Access::all())?;
        Ok((region, fd))
    }

    /// `length` bytes at `offset` (any, in bytes) of a device's buffer, a dmabuf, whose descriptor the region keeps.
    ///
    /// The buffer is mapped, and bytes that go in or out are copied by the processor between the two halves of the
    /// device's cache protocol (`DMA_BUF_IOCTL_SYNC`): staged, not zero-copy.
    ///
    /// # Errors
    /// `InvalidArgument` for a descriptor that is no dmabuf, no bytes, or no access; `OutOfRange` past its end.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn import_dmabuf(fd: std::os::fd::OwnedFd, offset: u64, length: usize, access: Access) -> Result<Region> {
        use std::os::fd::AsFd;
        not_empty(length)?;
        let fd = super::foreign::dmabuf(fd)?;
        super::foreign::check_object(fd.as_fd(), offset, length, access)?;
        let mapping = Mapping::shared(fd.as_fd(), offset, length, access)?;
        let start = mapping.start();
        let device = Backing::Device(Device { mapping, fd });
        Ok(Region::new(start, length, access, Source::Dmabuf, device))
    }

    fn new(start: NonNull<u8>, length: usize, access: Access, source: Source, backing: Backing) -> Region {
        let inner = Inner {
            start,
            length,
            access,
            source,
            placement: Placement::default(),
            usage: AtomicU32::new(0),
            registrations: Registrations::new(),
            backing,
        };
        Region { inner: Arc::new(inner) }
    }

    fn with_placement(mut self, placement: Placement) -> Region {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.placement = placement;
        }
        self
    }

    /// The same region for less than it was: operations that would do more with it are refused at submit.
    ///
    /// # Errors
    /// `FailedPrecondition` if there is another handle, or anything else that may be using it.
    pub fn restricted(mut self, access: Access) -> Result<Region> {
        match Arc::get_mut(&mut self.inner) {
            Some(inner) => inner.access &= access,
            None => return Err(refused("others use the region")),
        }
        Ok(self)
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.inner.length
    }

    /// Whether there are none: only a wrapped owner can be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What I/O may do with it.
    pub fn access(&self) -> Access {
        self.inner.access
    }

    /// Where its memory comes from.
    pub fn source(&self) -> Source {
        self.inner.source
    }

    /// Who else reaches it.
    pub fn sharing(&self) -> Sharing {
        match self.inner.source {
            Source::Allocated | Source::Wrapped => Sharing::Private,
            Source::Mapped | Source::Dmabuf => Sharing::Foreign,
        }
    }

    /// The NUMA node that its memory was asked to be on.
    pub fn node(&self) -> Option<u32> {
        self.inner.placement.node
    }

    /// Where its pages really lie, as the kernel says now: those asked for a node come from another when that is full,
    /// and none lie anywhere before they are touched.
    ///
    /// # Errors
    /// `Unavailable` where the system does not tell (a sandbox, systems that are not Linux).
    ///
    /// ```
    /// # use proact::memory::{Allocation, Region};
    /// let mut region = Region::allocate(1 << 16, &Allocation::new()).unwrap();
    /// region.get_mut().unwrap().fill(1);
    /// if let Ok(pages) = region.pages() {
    ///     assert!(pages.present() > 0);
    /// }
    /// ```
    pub fn pages(&self) -> Result<Pages> {
        crate::topology::pages::pages(self.inner.start, self.inner.length)
    }

    /// Whether the kernel took the advice to use huge pages. What it makes of it is its own affair.
    pub fn asked_for_huge_pages(&self) -> bool {
        self.inner.placement.huge_pages
    }

    /// The proactors that it is registered with.
    pub fn registrations(&self) -> &Registrations {
        &self.inner.registrations
    }

    /// Where it begins. To be told apart, or for a device: reading or writing through it is not for safe code.
    pub fn as_ptr(&self) -> *mut u8 {
        self.inner.start.as_ptr()
    }

    /// Whether both are handles to the same memory.
    pub fn is_same(&self, other: &Region) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// All of its bytes, if this is the only handle, private, and nothing uses it: how a region is filled before it is
    /// shared.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        if self.sharing() == Sharing::Foreign {
            return None;
        }
        let inner = Arc::get_mut(&mut self.inner)?;
        // SAFETY: the memory is initialised and as long as told, lives as long as the handle that is borrowed, and no
        // span, lease or operation exists: each would hold a handle.
        Some(unsafe { std::slice::from_raw_parts_mut(inner.start.as_ptr(), inner.length) })
    }

    /// The bytes `range`, to be read by I/O and everyone else.
    ///
    /// # Errors
    /// `OutOfRange` beyond the region; `FailedPrecondition` for foreign memory, which is copied and never lent, and
    /// while a pool has the region.
    #[track_caller]
    pub fn span(&self, range: Range<usize>) -> Result<Span> {
        if range.start > range.end || range.end > self.len() {
            let why = format!("{range:?} of {} bytes", self.len());
            return Err(Status::new(Code::OutOfRange, Operation::RegionCopy).with_message(why));
        }
        if self.sharing() == Sharing::Foreign {
            return Err(refused("foreign memory is copied, not lent"));
        }
        let enter = |usage: u32| (usage < LEASED - 1).then(|| usage + 1);
        match self.inner.usage.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter) {
            Ok(_) => Ok(Span::new(self.clone(), range)),
            Err(LEASED) => Err(refused("a pool leases the region's buffers out")),
            Err(_) => Err(refused("as many spans as can be counted")),
        }
    }

    /// Another span beside one that there is.
    pub(super) fn count_span(&self) {
        let before = self.inner.usage.fetch_add(1, Ordering::Relaxed);
        // Far before it could be taken for LEASED, or for none. Spans that are forgotten take no memory, so that there
        // can be so many; and a panic could be caught, again and again. As with `Arc`, nobody goes on.
        if before >= LEASED / 2 {
            std::process::abort();
        }
    }

    /// A span is gone.
    pub(super) fn uncount_span(&self) {
        // Release: what was read through it was read before anything else is made of the memory.
        self.inner.usage.fetch_sub(1, Ordering::Release);
    }

    /// Gives all of the region to one pool.
    #[track_caller]
    pub(super) fn claim(&self) -> Result {
        if self.sharing() == Sharing::Foreign {
            return Err(refused("foreign memory is copied, not lent: see SharedPool"));
        }
        match self.inner.usage.compare_exchange(0, LEASED, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(LEASED) => Err(refused("another pool has the region")),
            Err(_) => Err(refused("spans of the region are in use")),
        }
    }

    /// Ends a claim: no lease is left.
    pub(super) fn unclaim(&self) {
        self.inner.usage.store(0, Ordering::Release);
    }

    /// Copies `bytes` into foreign memory at `offset`.
    ///
    /// Others may read or write there meanwhile; then some bytes are theirs and some are these.
    ///
    /// # Errors
    /// `OutOfRange` beyond the region, `PermissionDenied` without [`Access::WRITE`], `FailedPrecondition` for private
    /// memory, which has spans and leases instead; and what a dmabuf's device answers.
    #[track_caller]
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result {
        self.check_copy(offset, bytes.len(), Access::WRITE)?;
        let copy = || {
            // SAFETY: within the region, checked; mapped writable, as its access says; foreign, so that no reference
            // into it exists.
            unsafe { super::foreign::copy_in(self.inner.start.add(offset), bytes) }
        };
        self.with_device(Access::WRITE, copy)
    }

    /// Copies bytes of foreign memory at `offset` out into `bytes`, as they are at that moment.
    ///
    /// # Errors
    /// As for [`Region::copy_in`], with [`Access::READ`].
    #[track_caller]
    pub fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result {
        self.check_copy(offset, bytes.len(), Access::READ)?;
        let copy = || {
            // SAFETY: within the region, checked; mapped readable, as its access says; foreign, so that no reference
            // into it exists.
            unsafe { super::foreign::copy_out(self.inner.start.add(offset), bytes) }
        };
        self.with_device(Access::READ, copy)
    }

    #[track_caller]
    fn check_copy(&self, offset: usize, length: usize, access: Access) -> Result {
        if self.sharing() == Sharing::Private {
            return Err(refused("private memory is lent, not copied"));
        }
        if offset.checked_add(length).is_none_or(|end| end > self.len()) {
            let why = format!("{length} bytes at {offset} of {}", self.len());
            return Err(Status::new(Code::OutOfRange, Operation::RegionCopy).with_message(why));
        }
        if !self.access().contains(access) {
            let why = "the region was not mapped for this";
            return Err(Status::new(Code::PermissionDenied, Operation::RegionCopy).with_message(why));
        }
        Ok(())
    }

    /// Runs a copy between the two halves of a device's cache protocol, where there is one.
    fn with_device(&self, access: Access, copy: impl FnOnce()) -> Result {
        match &self.inner.backing {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Backing::Device(device) => device.synced(access, copy),
            Backing::Mapping(_) | Backing::Owner(_) => {
                let _ = access;
                copy();
                Ok(())
            }
        }
    }
}

// SAFETY: the memory stays where it is and mapped as long as the region lives; foreign memory is not lent.
unsafe impl Registrable for Inner {
    fn as_mut_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
    fn len(&self) -> usize {
        self.length
    }
    fn registrations(&self) -> &Registrations {
        &self.registrations
    }
    fn is_lent(&self) -> bool {
        matches!(self.source, Source::Allocated | Source::Wrapped)
    }
}

impl From<Region> for Arc<dyn Registrable> {
    fn from(region: Region) -> Arc<dyn Registrable> {
        region.inner
    }
}

#[track_caller]
fn refused(why: &'static str) -> Status {
    Status::new(Code::FailedPrecondition, Operation::RegionCopy).with_message(why)
}

#[track_caller]
fn not_empty(length: usize) -> Result {
    if length == 0 {
        return Err(Status::new(Code::InvalidArgument, Operation::RegionCreate).with_message("no bytes"));
    }
    Ok(())
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sharing = self.sharing();
        write!(f, "Region({} bytes, {:?}, {sharing:?}, {:?})", self.len(), self.source(), self.access())
    }
}

//! Memory from the operating system: whole pages, given back on drop.

use std::ptr::NonNull;

use crate::status::{Code, Operation, Result, Status};
use crate::topology::Affinity;

/// How memory is allocated.
///
/// ```
/// use proact::memory::{Allocation, Region};
/// let region = Region::allocate(1 << 20, &Allocation::new().huge_pages()).unwrap();
/// assert_eq!(region.len(), 1 << 20);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allocation {
    node: Option<u32>,
    huge_pages: bool,
    lazy: bool,
}

impl Allocation {
    /// Ordinary pages, wherever they are touched first.
    pub fn new() -> Allocation {
        Allocation::default()
    }

    /// On this NUMA node where it has room (`mbind`, Linux). Allocating fails with `Unavailable` where the system does
    /// not let memory be placed, and with `InvalidArgument` for a node that does not exist.
    #[must_use]
    pub fn node(mut self, node: u32) -> Allocation {
        self.node = Some(node);
        self
    }

    /// On the memory node of `affinity`, if it has one: as [`Allocation::node`].
    #[must_use]
    pub fn near(mut self, affinity: &Affinity) -> Allocation {
        self.node = affinity.memory_node().or(self.node);
        self
    }

    /// The same, wherever it is touched first.
    pub(super) fn nowhere(mut self) -> Allocation {
        self.node = None;
        self
    }

    /// Asks for transparent huge pages (`madvise`, Linux). A hint: [`Region::asked_for_huge_pages`] says whether the
    /// kernel took it.
    ///
    /// [`Region::asked_for_huge_pages`]: super::Region::asked_for_huge_pages
    #[must_use]
    pub fn huge_pages(mut self) -> Allocation {
        self.huge_pages = true;
        self
    }

    /// Address space only: pages come when they are first touched, and nothing is set aside for them
    /// (`MAP_NORESERVE`, Linux). Should memory have run out by then, the kernel ends a process.
    #[must_use]
    pub fn lazy(mut self) -> Allocation {
        self.lazy = true;
        self
    }
}

/// The node and the huge pages that an allocation got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placement {
    pub(super) node: Option<u32>,
    pub(super) huge_pages: bool,
}

#[cfg(unix)]
pub(super) use pages::Mapping;

#[cfg(unix)]
mod pages {
    use std::os::fd::BorrowedFd;

    use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

    use super::super::buffer::Access;
    use super::*;

    /// A mapping of whole pages, of which the part from `start` is meant.
    #[derive(Debug)]
    pub(in super::super) struct Mapping {
        start: NonNull<u8>,
        /// What lies before `start`: an offset need not be a page's.
        lead: usize,
        length: usize,
    }

    // SAFETY: a mapping is address space of the process; which thread unmaps it makes no difference.
    unsafe impl Send for Mapping {}
    // SAFETY: it hands out its address and nothing else.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        /// Fresh zeros.
        pub(in super::super) fn anonymous(length: usize, how: &Allocation) -> Result<(Mapping, Placement)> {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            #[allow(unused_mut)]
            let mut flags = MapFlags::PRIVATE;
            #[cfg(any(target_os = "linux", target_os = "android"))]
            flags.set(MapFlags::NORESERVE, how.lazy);
            // SAFETY: no address is asked for, so no existing mapping is replaced.
            let map = || unsafe { mmap_anonymous(std::ptr::null_mut(), length, protection, flags) };
            let start = crate::fault::tried(map).map_err(failed)?;
            let mapping = Mapping { start: whole(start)?, lead: 0, length };
            let placement = super::place(&mapping, how)?;
            Ok((mapping, placement))
        }

        /// `length` bytes at `offset` of a file, together with whoever else maps it.
        pub(in super::super) fn shared(
            fd: BorrowedFd<'_>,
            offset: u64,
            length: usize,
            access: Access,
        ) -> Result<Mapping> {
            let lead = (offset % rustix::param::page_size() as u64) as usize;
            let mut protection = ProtFlags::empty();
            protection.set(ProtFlags::READ, access.contains(Access::READ));
            protection.set(ProtFlags::WRITE, access.contains(Access::WRITE));
            let whole_length = length.checked_add(lead).ok_or_else(super::too_long)?;
            let (at, flags, from) = (std::ptr::null_mut(), MapFlags::SHARED, offset - lead as u64);
            // SAFETY: no address is asked for, so no existing mapping is replaced.
            let map = || unsafe { mmap(at, whole_length, protection, flags, fd, from) };
            let start = whole(crate::fault::tried(map).map_err(failed)?)?;
            // SAFETY: `lead` is less than a page, which the mapping has.
            Ok(Mapping { start: unsafe { start.add(lead) }, lead, length })
        }

        pub(in super::super) fn start(&self) -> NonNull<u8> {
            self.start
        }

        #[cfg(any(target_os = "linux", target_os = "android"))]
        pub(super) fn length(&self) -> usize {
            self.length
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: the range is this mapping. Whoever hands out references into it keeps it for that long.
            let _ = unsafe { munmap(self.start.as_ptr().sub(self.lead).cast(), self.length + self.lead) };
        }
    }

    fn whole(start: *mut std::ffi::c_void) -> Result<NonNull<u8>> {
        NonNull::new(start.cast()).ok_or_else(|| Status::new(Code::Internal, Operation::RegionCreate))
    }

    fn failed(errno: rustix::io::Errno) -> Status {
        Status::from_os_error(Operation::RegionCreate, errno.raw_os_error())
    }
}

/// Places fresh memory on a node, and asks for huge pages.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn place(mapping: &Mapping, how: &Allocation) -> Result<Placement> {
    use rustix::mm::{Advice, madvise};
    let mut placement = Placement::default();
    if let Some(node) = how.node {
        bind(mapping, node)?;
        placement.node = Some(node);
    }
    if how.huge_pages {
        // SAFETY: advice about exactly this mapping, which changes no content.
        let asked = unsafe { madvise(mapping.start().as_ptr().cast(), mapping.length(), Advice::LinuxHugepage) };
        placement.huge_pages = asked.is_ok();
    }
    Ok(placement)
}

/// Nothing but Linux can.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn place(_: &Mapping, how: &Allocation) -> Result<Placement> {
    unplaced(how)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unplaced(how: &Allocation) -> Result<Placement> {
    // Where there is no such thing as reserving, every allocation is as lazy as it can be.
    let _ = how.lazy;
    match how.node {
        None => Ok(Placement::default()),
        Some(_) => Err(Status::new(Code::Unavailable, Operation::RegionCreate)
            .with_message("memory can be placed on a node on Linux only")),
    }
}

/// Prefers `node` for the pages of a mapping (mbind(2); Linux 2.6.7).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind(mapping: &Mapping, node: u32) -> Result {
    /// `MPOL_PREFERRED`: this node first, others rather than nothing.
    const PREFERRED: libc::c_ulong = 1;
    const BITS: usize = libc::c_ulong::BITS as usize;
    /// Nodes that a kernel may be built for at most.
    const NODES_MAX: usize = 1024;
    let failure = |code, why: &'static str| {
        Err(Status::new(code, Operation::RegionCreate).with_message(why).with_context(format!("on node {node}")))
    };
    let mut nodes = [0 as libc::c_ulong; NODES_MAX / BITS];
    let Some(word) = nodes.get_mut(node as usize / BITS) else {
        return failure(Code::InvalidArgument, "there is no such node");
    };
    *word |= 1 << (node as usize % BITS);
    // SAFETY: the range is exactly this mapping; the kernel reads as many bits of `nodes` as it has. It counts one more
    // than it reads.
    let done = unsafe {
        let start = mapping.start().as_ptr();
        libc::syscall(libc::SYS_mbind, start, mapping.length(), PREFERRED, nodes.as_ptr(), NODES_MAX + 1, 0u32)
    };
    if done == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error().unwrap_or(0) {
        libc::EINVAL => failure(Code::InvalidArgument, "there is no such node"),
        libc::ENOSYS => failure(Code::Unavailable, "the kernel knows no nodes"),
        libc::EPERM => failure(Code::Unavailable, "placing memory is not permitted here (a sandbox)"),
        errno => Err(Status::from_os_error(Operation::RegionCreate, errno)),
    }
}

fn too_long() -> Status {
    Status::new(Code::OutOfRange, Operation::RegionCreate).with_message("longer than the address space")
}

/// Whole pages from the allocator, where there is no `mmap`.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    layout: std::alloc::Layout,
}

// SAFETY: an allocation may be freed by any thread.
#[cfg(not(unix))]
unsafe impl Send for Mapping {}
// SAFETY: it hands out its address and nothing else.
#[cfg(not(unix))]
unsafe impl Sync for Mapping {}

#[cfg(not(unix))]
impl Mapping {
    /// Fresh zeros, at least one byte.
    pub(super) fn anonymous(length: usize, how: &Allocation) -> Result<(Mapping, Placement)> {
        let layout = std::alloc::Layout::from_size_align(length, 4096).map_err(|_| too_long())?;
        assert!(length > 0);
        // SAFETY: the layout is not empty.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        let start = NonNull::new(start)
            .ok_or_else(|| Status::new(Code::ResourceExhausted, Operation::RegionCreate).with_message("no memory"))?;
        Ok((Mapping { start, layout }, unplaced(how)?))
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

#[cfg(not(unix))]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed nowhere else.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}

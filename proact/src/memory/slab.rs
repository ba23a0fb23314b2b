//! Slabs: a region cut into buffers of one size.

use std::fmt;

use super::buffer::{Access, StableBytesMut};
use super::mapping::Allocation;
use super::region::{Region, Source};
use crate::status::{Code, Operation, Result, Status};

/// Buffers of one size, one behind another, over a [`Region`]. Buffer `i` begins `i * buffer_size` bytes into it.
///
/// A slab of any total size that the address space holds addresses each of its buffers right, also beyond 4 GiB. It is
/// plain data: any thread may ask it.
///
/// ```
/// use proact::memory::{Allocation, Slab, Source};
/// let slab = Slab::allocate(4096, 16, &Allocation::new()).unwrap();
/// assert_eq!((slab.total_size(), slab.source()), (65536, Source::Allocated));
/// assert_eq!(slab.offset(3), 3 * 4096);
/// ```
#[derive(Clone)]
pub struct Slab {
    region: Region,
    buffer_size: usize,
    buffer_count: u32,
}

impl Slab {
    /// Allocates `buffer_count` buffers of `buffer_size` bytes each.
    ///
    /// # Errors
    /// `InvalidArgument` if either is zero, `OutOfRange` if together they pass the address space,
    /// `ResourceExhausted` if there is no such memory, and what [`Allocation::node`] says.
    #[track_caller]
    pub fn allocate(buffer_size: usize, buffer_count: u32, how: &Allocation) -> Result<Slab> {
        let total = total(buffer_size, buffer_count)?;
        Ok(Slab { region: Region::allocate(total, how)?, buffer_size, buffer_count })
    }

    /// Buffers within the bytes of `owner`.
    ///
    /// # Errors
    /// As for [`Slab::over`].
    #[track_caller]
    pub fn wrap(owner: impl StableBytesMut + Send, buffer_size: usize, buffer_count: u32) -> Result<Slab> {
        Slab::over(Region::wrap(owner), buffer_size, buffer_count)
    }

    /// Buffers from the beginning of `region` on.
    ///
    /// # Errors
    /// `InvalidArgument` if either number is zero, `OutOfRange` if the region is shorter than all of them.
    #[track_caller]
    pub fn over(region: Region, buffer_size: usize, buffer_count: u32) -> Result<Slab> {
        let total = total(buffer_size, buffer_count)?;
        if total > region.len() {
            let why = format!("{buffer_count} buffers of {buffer_size} bytes in {} bytes", region.len());
            return Err(Status::new(Code::OutOfRange, Operation::SlabCreate).with_message(why));
        }
        Ok(Slab { region, buffer_size, buffer_count })
    }

    /// The memory.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Bytes in each buffer.
    pub fn buffer_size(&self) -> usize {
        self.buffer_size
    }

    /// How many buffers there are.
    pub fn buffer_count(&self) -> u32 {
        self.buffer_count
    }

    /// Bytes in all buffers together.
    pub fn total_size(&self) -> usize {
        self.buffer_size * self.buffer_count as usize
    }

    /// Where buffer `index` begins, in bytes from the region's beginning.
    ///
    /// # Panics
    ///
    /// If there is no such buffer.
    pub fn offset(&self, index: u32) -> usize {
        assert!(index < self.buffer_count, "buffer {index} of {}", self.buffer_count);
        index as usize * self.buffer_size
    }

    /// Where the memory comes from.
    pub fn source(&self) -> Source {
        self.region.source()
    }

    /// What I/O may do with the memory.
    pub fn access(&self) -> Access {
        self.region.access()
    }
}

#[track_caller]
fn total(buffer_size: usize, buffer_count: u32) -> Result<usize> {
    let refused = |code, why| Err(Status::new(code, Operation::SlabCreate).with_message(why));
    if buffer_size == 0 || buffer_count == 0 {
        return refused(Code::InvalidArgument, "no bytes in a buffer, or no buffers");
    }
    // Slices, and pointer arithmetic, end at `isize::MAX`.
    match buffer_size.checked_mul(buffer_count as usize).filter(|total| isize::try_from(*total).is_ok()) {
        Some(total) => Ok(total),
        None => refused(Code::OutOfRange, "more bytes than the address space has"),
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({} x {} bytes, {:?})", self.buffer_count, self.buffer_size, self.region)
    }
}

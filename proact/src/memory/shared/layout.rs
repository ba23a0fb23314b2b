//! What a shared pool looks like in memory: offsets that no compiler chooses, and the only code that goes there.
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | magic: written last by who makes the pool, read first by who opens it |
//! | 8 | 4 | version of this format |
//! | 12 | 4 | peers that there are records for |
//! | 16 | 8 | buffer size |
//! | 24 | 4 | buffer count |
//! | 28 | 4 | zero |
//! | 32 | 8 | generation: another one whenever a pool is made there |
//! | 64 | 4 | hint: a buffer that was given back lately; any number may stand there |
//! | 128 | 16 x peers | records of peers: identity (8), generation (4), zero (4) |
//! | then | 4 x buffers | who has each buffer: peer + 1 (8 bits) and that peer's generation (24 bits), or 0 |
//! | next 4096 | | the buffers |
//!
//! Numbers are in the byte order of the machine that all peers run on. **Nothing that is read here is an address or
//! leads to one**: buffers are found by number and size as they were when the pool was opened and checked.

#[cfg(not(loom))]
use std::ptr::NonNull;

use crate::atomic::{AtomicU32, AtomicU64};
use crate::memory::Region;
use crate::status::{Code, Operation, Result, Status};

/// `PROACTBP` in the machine's byte order: a machine of the other order sees something else.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"PROACTBP");
pub(super) const VERSION: u32 = 1;
/// Peers that a pool has records for. A model has no use for more than two.
pub(super) const PEERS: u32 = if cfg!(loom) { 2 } else { 64 };
/// The most buffers of a shared pool.
pub(super) const COUNT_MAX: u32 = 1 << 24;

const PEERS_AT: usize = 128;
const PEER_SIZE: usize = 16;
const OWNERS_AT: usize = PEERS_AT + PEERS as usize * PEER_SIZE;
const BUFFERS_ALIGNMENT: usize = 4096;

/// The buffers of a shared pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes in each buffer.
    pub buffer_size: usize,
    /// How many there are.
    pub buffer_count: u32,
}

impl Geometry {
    /// Where the buffers begin, and where they end; checked for every sum.
    fn extent(&self) -> Result<(usize, usize)> {
        let refused = |code, why| Err(Status::new(code, Operation::PoolCreate).with_message(why));
        if self.buffer_size == 0 || self.buffer_count == 0 {
            return refused(Code::InvalidArgument, "no bytes in a buffer, or no buffers");
        }
        if self.buffer_count > COUNT_MAX {
            return refused(Code::InvalidArgument, "more buffers than a shared pool can have");
        }
        let start = bookkeeping_size(self.buffer_count).next_multiple_of(BUFFERS_ALIGNMENT);
        let end = self.buffer_size.checked_mul(self.buffer_count as usize).and_then(|bytes| bytes.checked_add(start));
        match end.filter(|end| isize::try_from(*end).is_ok()) {
            Some(end) => Ok((start, end)),
            None => refused(Code::OutOfRange, "more bytes than the address space has"),
        }
    }

    /// Bytes of memory that a pool of this geometry takes in all.
    ///
    /// # Errors
    /// `InvalidArgument` for no bytes, no buffers, or more than 2^24 of them; `OutOfRange` if they pass the address
    /// space.
    pub fn total_size(&self) -> Result<usize> {
        Ok(self.extent()?.1)
    }
}

/// Bytes of a pool's bookkeeping for so many buffers.
pub(super) fn bookkeeping_size(buffer_count: u32) -> usize {
    OWNERS_AT + buffer_count as usize * 4
}

/// A region with a pool in it, and where things are.
pub(super) struct Layout {
    pub(super) region: Region,
    pub(super) geometry: Geometry,
    buffers_at: usize,
    #[cfg(loom)]
    words: model::Words,
}

impl Layout {
    /// The places of a pool of this geometry in `region`, which must have them.
    pub(super) fn of(region: Region, geometry: Geometry) -> Result<Layout> {
        let (buffers_at, end) = geometry.extent()?;
        let refused = |code, why| Err(Status::new(code, Operation::PoolCreate).with_message(why));
        if end > region.len() {
            return refused(Code::InvalidArgument, "the region is too small for the pool");
        }
        if region.as_ptr().align_offset(64) != 0 {
            return refused(Code::InvalidArgument, "the region does not begin on a boundary of 64 bytes");
        }
        if region.sharing() == crate::memory::Sharing::Private {
            return refused(Code::FailedPrecondition, "private memory has no peers: see BufferPool");
        }
        if !region.access().is_all() {
            return refused(Code::FailedPrecondition, "the region was not mapped for reading and writing");
        }
        Ok(Layout {
            region,
            geometry,
            buffers_at,
            #[cfg(loom)]
            words: model::words(geometry),
        })
    }
}

#[cfg(not(loom))]
impl Layout {
    fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset % 4 == 0 && offset + 4 <= self.buffers_at);
        // SAFETY: within the mapped region and aligned; reached by atomics only, here and in copies; lives as `self`.
        unsafe { NonNull::new_unchecked(self.region.as_ptr().add(offset)).cast().as_ref() }
    }

    fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset % 8 == 0 && offset + 8 <= self.buffers_at);
        // SAFETY: as above.
        unsafe { NonNull::new_unchecked(self.region.as_ptr().add(offset)).cast().as_ref() }
    }
}

/// The same for a model: loom's words have to be made, so they lie beside the region. Other processes take no part.
#[cfg(loom)]
mod model {
    use std::sync::Arc;

    use super::*;

    /// Those of 32 and of 64 bits, by their offset; each is used as one of them only.
    pub(super) type Words = Arc<(Vec<AtomicU32>, Vec<AtomicU64>)>;

    pub(super) fn words(geometry: Geometry) -> Words {
        let end = bookkeeping_size(geometry.buffer_count);
        let narrow = (0..end / 4).map(|_| AtomicU32::new(0)).collect();
        let wide = (0..end / 8).map(|_| AtomicU64::new(0)).collect();
        Arc::new((narrow, wide))
    }

    impl Layout {
        /// In memory of this process, which `of` refuses.
        pub(in super::super) fn model(geometry: Geometry) -> Layout {
            let region = Region::wrap(vec![0; 1]);
            let (buffers_at, _) = geometry.extent().unwrap();
            Layout { region, geometry, buffers_at, words: words(geometry) }
        }

        /// The same pool, as another peer maps it.
        pub(in super::super) fn again(&self) -> Layout {
            let Layout { region, geometry, buffers_at, words } = self;
            Layout { region: region.clone(), geometry: *geometry, buffers_at: *buffers_at, words: words.clone() }
        }

        pub(super) fn word32(&self, offset: usize) -> &AtomicU32 {
            &self.words.0[offset / 4]
        }

        pub(super) fn word64(&self, offset: usize) -> &AtomicU64 {
            &self.words.1[offset / 8]
        }
    }
}

impl Layout {
    pub(super) fn magic(&self) -> &AtomicU64 {
        self.word64(0)
    }

    pub(super) fn version(&self) -> &AtomicU32 {
        self.word32(8)
    }

    pub(super) fn peers(&self) -> &AtomicU32 {
        self.word32(12)
    }

    pub(super) fn buffer_size(&self) -> &AtomicU64 {
        self.word64(16)
    }

    pub(super) fn buffer_count(&self) -> &AtomicU32 {
        self.word32(24)
    }

    pub(super) fn generation(&self) -> &AtomicU64 {
        self.word64(32)
    }

    pub(super) fn hint(&self) -> &AtomicU32 {
        self.word32(64)
    }

    /// Who the peer is; 0 for none.
    pub(super) fn identity(&self, peer: u32) -> &AtomicU64 {
        assert!(peer < PEERS);
        self.word64(PEERS_AT + peer as usize * PEER_SIZE)
    }

    /// How often the peer's record was taken.
    pub(super) fn peer_generation(&self, peer: u32) -> &AtomicU32 {
        assert!(peer < PEERS);
        self.word32(PEERS_AT + peer as usize * PEER_SIZE + 8)
    }

    /// Who has buffer `index`.
    pub(super) fn owner(&self, index: u32) -> &AtomicU32 {
        assert!(index < self.geometry.buffer_count);
        self.word32(OWNERS_AT + index as usize * 4)
    }

    /// Where buffer `index` begins in the region.
    pub(super) fn offset(&self, index: u32) -> usize {
        assert!(index < self.geometry.buffer_count);
        self.buffers_at + index as usize * self.geometry.buffer_size
    }
}

//! Chunk buffers that two operations and a device share, one after another.
//!
//! The pipeline of a chunk is submitted before any of it has run, so the operation that fills its buffer and the one
//! that empties it are in flight together, and both must hold it. Ownership says who may write:
//!
//! ```text
//! Chunk ── split ──► Filler ── seal ──► Sealed ─┐
//!    ▲         └───► Outlet ────────────────────┤
//!    └────────────── join ──────────────────────┘
//! ```
//!
//! There is one [`Filler`] or one [`Sealed`] of a chunk, never both and never two. The filler moves into the operation
//! that reads or receives, from there to the compute queue, and is sealed before the chunk's value is signalled. The
//! [`Outlet`] is in the operation that sends or writes, which starts when the value is signalled.
//!
//! # Why this is sound
//!
//! An outlet gives its address to the kernel and nothing else: no code here makes a reference of it. If the operation
//! that holds it started too early, through a mistake above, the kernel would read bytes that are being changed. The
//! peer's digest check would find that; it is no access by this program, and no memory is freed under it, for each
//! handle keeps the memory alive.

use std::ptr::NonNull;
use std::sync::Arc;

use proact::memory::{StableBytes, StableBytesMut};

/// The bytes. The handles say who may touch them.
struct Memory {
    bytes: NonNull<[u8]>,
}

// SAFETY: the bytes are plain data owned by this value; only the one `Filler` or `Chunk` makes references of them.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared `Memory` gives out nothing but its address and length.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` and the last handle is going away.
        drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
    }
}

impl Memory {
    fn start(&self) -> *mut u8 {
        self.bytes.as_ptr().cast()
    }
}

/// A buffer that nobody else holds.
pub struct Chunk(Arc<Memory>);

/// The right to write a chunk: moves into the operation that fills it, then to the compute queue.
pub struct Filler(Arc<Memory>);

/// What becomes of a filler once the content stands. It gives no access.
pub struct Sealed(Arc<Memory>);

/// What the operation holds that hands the content on.
pub struct Outlet(Arc<Memory>);

impl Chunk {
    /// A chunk of `length` zero bytes. Its pages are taken from the system when they are first written.
    pub fn new(length: usize) -> Chunk {
        let bytes = Box::into_raw(vec![0u8; length].into_boxed_slice());
        // SAFETY: `Box::into_raw` never answers null.
        Chunk(Arc::new(Memory { bytes: unsafe { NonNull::new_unchecked(bytes) } }))
    }

    /// Splits the right to write from the right to hand on. Allocates nothing.
    pub fn split(self) -> (Filler, Outlet) {
        (Filler(self.0.clone()), Outlet(self.0))
    }

    /// Joins what was split. `None` if the two are of different chunks, which are then dropped.
    pub fn join(sealed: Sealed, outlet: Outlet) -> Option<Chunk> {
        Arc::ptr_eq(&sealed.0, &outlet.0).then_some(Chunk(sealed.0))
    }
}

impl Filler {
    /// The whole content.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are initialised, and only the filler, borrowed here, may change them: no operation does
        // while the filler is in nobody's operation but the borrower's hand.
        unsafe { self.0.bytes.as_ref() }
    }

    /// The whole content, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: there is one filler of this memory, it is borrowed exclusively, and nothing else makes references.
        unsafe { &mut *self.0.bytes.as_ptr() }
    }

    /// Gives up the right to write.
    pub fn seal(self) -> Sealed {
        Sealed(self.0)
    }
}

// SAFETY: the memory stays where it is for as long as any handle lives, all of it is initialised, and only the filler
// itself changes it.
unsafe impl StableBytes for Filler {
    fn as_ptr(&self) -> *const u8 {
        self.0.start()
    }
    fn len(&self) -> usize {
        self.0.bytes.len()
    }
}

// SAFETY: there is one filler of this memory, and outlets make no references.
unsafe impl StableBytesMut for Filler {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.start()
    }
}

// SAFETY: the memory stays where it is for as long as any handle lives, and is initialised. It is unchanged from the
// moment the filler is sealed, which the operation that holds the outlet waits for; see the head of this file for what
// an early start would do.
unsafe impl StableBytes for Outlet {
    fn as_ptr(&self) -> *const u8 {
        self.0.start()
    }
    fn len(&self) -> usize {
        self.0.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_filler_wrote_is_at_the_outlets_address_and_the_chunk_comes_back() {
        let (mut filler, outlet) = Chunk::new(100).split();
        filler.bytes_mut()[7] = 9;
        assert_eq!((filler.bytes()[7], StableBytes::len(&outlet)), (9, 100));
        assert_eq!(StableBytes::as_ptr(&filler), outlet.as_ptr());
        assert!(Chunk::join(filler.seal(), outlet).is_some());
    }

    #[test]
    fn halves_of_different_chunks_do_not_join() {
        let (filler, _) = Chunk::new(1).split();
        let (_, outlet) = Chunk::new(1).split();
        assert!(Chunk::join(filler.seal(), outlet).is_none());
    }
}

//! Owned bytes that move into an operation and come back with it.
//!
//! No borrowed `&mut [u8]` crosses a submit: the kernel would go on writing after the borrow ended. An operation owns
//! its bytes instead, and the traits here say which types may be used so.

use std::ops::Range;
use std::sync::Arc;

use super::registration::Fixed;
use crate::status::{Code, Operation, Result, Status};

/// Bytes that I/O may read: for sends and writes.
///
/// # Safety
///
/// `as_ptr` and `len` give the same answer for as long as the value is neither dropped nor mutably accessed, **also
/// when the value itself is moved**, and the bytes are initialised and unchanged for that long. A type whose bytes lie
/// inline (`[u8; N]`) cannot be one: moving it moves them.
pub unsafe trait StableBytes: 'static {
    /// Where the bytes begin.
    fn as_ptr(&self) -> *const u8;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Under which number the proactor of this id has registered the memory that the bytes lie in, if it has. It only
    /// ever makes an operation cheaper: a number that is not good any more is not used.
    fn registration(&self, proactor: u32) -> Option<Fixed> {
        let _ = proactor;
        None
    }
    /// What I/O may do with the bytes. What it may not is refused at submit with `FailedPrecondition`.
    fn access(&self) -> Access {
        Access::all()
    }
}

bitflags::bitflags! {
    /// What I/O may do with memory.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Access: u32 {
        /// I/O reads it: sends, writes to files. Of memory shared with others: this process may copy out of it.
        const READ = 1;
        /// I/O writes it: receives, reads of files. Of memory shared with others: this process may copy into it.
        const WRITE = 2;
    }
}

/// Everything: the memory of whoever says nothing else.
impl Default for Access {
    fn default() -> Access {
        Access::all()
    }
}

impl Access {
    /// That memory of this access allows what an operation would do with it.
    pub(crate) fn check(self, wanted: Access, operation: Operation) -> Result {
        if self.contains(wanted) {
            return Ok(());
        }
        let why =
            if wanted == Access::READ { "the memory is not for reading" } else { "the memory is not for writing" };
        Err(Status::new(Code::FailedPrecondition, operation).with_message(why))
    }
}

/// Bytes that I/O may write: for receives and reads.
///
/// All `len` bytes are initialised already, so that no operation can show uninitialised memory; how many of them an
/// operation wrote is in its outcome.
///
/// # Safety
///
/// As for [`StableBytes`], and the value is the only way to reach the bytes.
pub unsafe trait StableBytesMut: StableBytes {
    /// Where the bytes begin, for writing.
    fn as_mut_ptr(&mut self) -> *mut u8;
}

// SAFETY: a vector's elements live on the heap and stay where they are until it is mutated or dropped.
unsafe impl StableBytes for Vec<u8> {
    fn as_ptr(&self) -> *const u8 {
        Vec::as_ptr(self)
    }
    fn len(&self) -> usize {
        Vec::len(self)
    }
}

// SAFETY: a vector owns its elements alone.
unsafe impl StableBytesMut for Vec<u8> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        Vec::as_mut_ptr(self)
    }
}

// SAFETY: a boxed slice lives on the heap and never moves.
unsafe impl StableBytes for Box<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        (**self).as_ptr()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
}

// SAFETY: a box owns its contents alone.
unsafe impl StableBytesMut for Box<[u8]> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        (**self).as_mut_ptr()
    }
}

// SAFETY: the counted slice lives on the heap, and shared contents are never written while this count is held.
unsafe impl StableBytes for Arc<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        (**self).as_ptr()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
}

// SAFETY: static bytes live, unchanged, for ever.
unsafe impl StableBytes for &'static [u8] {
    fn as_ptr(&self) -> *const u8 {
        (**self).as_ptr()
    }
    fn len(&self) -> usize {
        (**self).len()
    }
}

// SAFETY: a string is a vector of bytes.
unsafe impl StableBytes for String {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }
    fn len(&self) -> usize {
        str::len(self)
    }
}

/// A range of a buffer, as a buffer: sends or fills part of it and keeps the whole.
///
/// ```
/// use proact::memory::{Part, StableBytes};
/// let part = Part::new(vec![1u8, 2, 3, 4], 1..3);
/// assert_eq!(part.len(), 2);
/// assert_eq!(part.into_inner(), [1, 2, 3, 4]);
/// ```
#[derive(Debug)]
pub struct Part<B> {
    buffer: B,
    start: usize,
    length: usize,
}

/// # Panics
///
/// If the clone of the buffer is shorter than the part: nothing that [`StableBytes`] promises speaks of clones.
impl<B: StableBytes + Clone> Clone for Part<B> {
    fn clone(&self) -> Part<B> {
        Part::new(self.buffer.clone(), self.start..self.start + self.length)
    }
}

impl<B: StableBytes> Part<B> {
    /// The bytes `range` of `buffer`.
    ///
    /// # Panics
    ///
    /// If the range is not within the buffer.
    pub fn new(buffer: B, range: Range<usize>) -> Part<B> {
        assert!(range.start <= range.end && range.end <= buffer.len(), "{range:?} of {} bytes", buffer.len());
        Part { start: range.start, length: range.end - range.start, buffer }
    }

    /// Gives the whole buffer back.
    pub fn into_inner(self) -> B {
        self.buffer
    }

    /// The whole buffer.
    pub fn get_ref(&self) -> &B {
        &self.buffer
    }
}

// SAFETY: a range checked against a stable buffer, which nothing here can shorten: the buffer is not lent mutably.
unsafe impl<B: StableBytes> StableBytes for Part<B> {
    fn as_ptr(&self) -> *const u8 {
        // SAFETY: `start` was checked to lie within the buffer, whose length cannot have changed since.
        unsafe { self.buffer.as_ptr().add(self.start) }
    }
    fn len(&self) -> usize {
        self.length
    }
    fn registration(&self, proactor: u32) -> Option<Fixed> {
        self.buffer.registration(proactor)
    }
    fn access(&self) -> Access {
        self.buffer.access()
    }
}

// SAFETY: as above; the buffer within is owned alone.
unsafe impl<B: StableBytesMut> StableBytesMut for Part<B> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: as in `as_ptr`.
        unsafe { self.buffer.as_mut_ptr().add(self.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_buffer_moves_no_bytes() {
        let buffer = vec![7u8; 100];
        let at = StableBytes::as_ptr(&buffer);
        let mut part = Part::new(buffer, 10..20);
        assert_eq!(part.as_mut_ptr() as *const u8, at.wrapping_add(10));
        let moved = Box::new(part);
        assert_eq!(moved.as_ptr(), at.wrapping_add(10));
    }

    /// Its clone has nothing of what it has.
    struct Fickle(Vec<u8>);

    impl Clone for Fickle {
        fn clone(&self) -> Fickle {
            Fickle(Vec::new())
        }
    }

    // SAFETY: as a vector, which it is.
    unsafe impl StableBytes for Fickle {
        fn as_ptr(&self) -> *const u8 {
            self.0.as_ptr()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
    }

    #[test]
    #[should_panic(expected = "of 0 bytes")]
    fn a_part_is_checked_against_the_clone_of_its_buffer_too() {
        let _ = Part::new(Fickle(vec![0; 4]), 1..3).clone();
    }

    #[test]
    #[should_panic(expected = "of 4 bytes")]
    fn a_part_beyond_its_buffer_is_refused() {
        let _ = Part::new(vec![0u8; 4], 2..5);
    }
}

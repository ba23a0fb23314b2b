//! Spans: bytes of a region, for any number of readers.

use std::fmt;
use std::ops::{Deref, Range};

use super::buffer::{Access, StableBytes};
use super::region::Region;
use super::registration::Fixed;

/// A range of a private [`Region`], shared for reading: for sends and writes, any number at a time.
///
/// A clone is another span of the same bytes; all of them, and operations that own one, keep the region. While there is
/// any, nobody writes to the region.
pub struct Span {
    region: Region,
    start: usize,
    length: usize,
}

impl Span {
    /// The caller has counted it.
    pub(super) fn new(region: Region, range: Range<usize>) -> Span {
        Span { region, start: range.start, length: range.end - range.start }
    }

    /// The region that it is a part of.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Where in the region it begins, in bytes.
    pub fn offset(&self) -> usize {
        self.start
    }

    /// A part of it.
    ///
    /// # Panics
    ///
    /// If the range is not within the span.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Span {
        assert!(range.start <= range.end && range.end <= self.length, "{range:?} of {} bytes", self.length);
        self.region.count_span();
        Span::new(self.region.clone(), self.start + range.start..self.start + range.end)
    }
}

impl Clone for Span {
    fn clone(&self) -> Span {
        self.part(0..self.length)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.region.uncount_span();
    }
}

impl Deref for Span {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: within the region, checked when it was made; initialised, and written by no one while a span is
        // counted.
        unsafe { std::slice::from_raw_parts(self.region.as_ptr().add(self.start), self.length) }
    }
}

// SAFETY: the region's memory does not move, lives as long as the span holds it, and is not written while a span is
// counted.
unsafe impl StableBytes for Span {
    fn as_ptr(&self) -> *const u8 {
        // SAFETY: within the region, checked when the span was made.
        unsafe { self.region.as_ptr().add(self.start) }
    }
    fn len(&self) -> usize {
        self.length
    }
    fn registration(&self, proactor: u32) -> Option<Fixed> {
        self.region.registrations().find(proactor)?.fixed
    }
    fn access(&self) -> Access {
        self.region.access()
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({:?} of {:?})", self.start..self.start + self.length, self.region)
    }
}

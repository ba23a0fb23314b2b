//! Arguments or results as bytes, with the references among them counted.

use proact::status::Code;

use super::layout::align_up;
use crate::error::{Error, Result};
use crate::value::Ref;

/// Of the memory that values had, what is kept for later ones at most: bytes, and references beside them. States of
/// calls rest by the dozen, and what one large call took is not to stay with them for ever.
const KEPT_BYTES: usize = 64 << 10;
const KEPT_REFERENCES: usize = 4 << 10;

/// Packed values. What it holds is freed with it or by [`Packed::clear`]; its memory is kept, up to 64 KiB and 4,096
/// references, so that one that is used again allocates nothing.
///
/// A reference takes its sixteen bytes, of which the first four say which of the counted references beside the bytes it
/// is. So no bytes, wherever they come from, make a reference to what is not there, and none is lost: wrong bytes are
/// an `INTERNAL` error when they are read.
#[derive(Default, Debug)]
pub struct Packed {
    bytes: Vec<u8>,
    references: Vec<Ref>,
    /// The largest alignment of a member.
    align: usize,
}

macro_rules! numbers {
    ($($push:ident $next:ident $type:ty),*) => {
        impl Packed {$(
            #[doc = concat!("Appends an ", stringify!($type), ", at its alignment.")]
            #[inline]
            pub fn $push(&mut self, value: $type) {
                self.align_to(size_of::<$type>());
                self.bytes.extend_from_slice(&value.to_ne_bytes());
            }
        )*}

        impl Reader<'_> {$(
            #[doc = concat!("The next member, an ", stringify!($type), ".")]
            #[inline]
            pub fn $next(&mut self) -> Result<$type> {
                let start = align_up(self.offset, size_of::<$type>());
                let end = start + size_of::<$type>();
                match self.packed.bytes.get(start..end).and_then(|bytes| bytes.try_into().ok()) {
                    Some(bytes) => {
                        self.offset = end;
                        Ok(<$type>::from_ne_bytes(bytes))
                    }
                    None => Err(self.ended(stringify!($type))),
                }
            }
        )*}
    };
}
numbers!(push_i32 next_i32 i32, push_i64 next_i64 i64, push_f32 next_f32 f32, push_f64 next_f64 f64);

impl Packed {
    /// Nothing, without memory.
    pub fn new() -> Packed {
        Packed::default()
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is packed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// References so far that are not null and have not been taken.
    pub fn reference_count(&self) -> usize {
        self.references.iter().filter(|reference| !reference.is_null()).count()
    }

    /// Forgets everything; references are given up.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.align = 1;
        if !self.references.is_empty() {
            self.references.clear();
        }
        if self.bytes.capacity() > KEPT_BYTES || self.references.capacity() > KEPT_REFERENCES {
            self.shrink();
        }
    }

    /// Gives up what is more than it keeps. Nothing is packed.
    #[cold]
    fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
        self.references.shrink_to(KEPT_REFERENCES);
    }

    /// Bytes, and references, that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.bytes.capacity(), self.references.capacity())
    }

    /// Appends a reference, at its alignment.
    pub fn push_ref(&mut self, reference: Ref) {
        self.align_to(8);
        let mut slot = [0; 16];
        if !reference.is_null() {
            self.references.push(reference);
            slot[..4].copy_from_slice(&(self.references.len() as u32).to_ne_bytes());
        }
        self.bytes.extend_from_slice(&slot);
    }

    /// Begins a span of `count` tuples whose largest member is aligned to `align`: the tuples' members follow.
    pub fn push_span(&mut self, count: usize, align: usize) -> Result {
        check_align(align)?;
        let count = i32::try_from(count).map_err(|_| Error::invalid(format!("a span of {count}")))?;
        self.push_i32(count);
        self.align_to(align);
        Ok(())
    }

    /// Makes room for `more` bytes, or `RESOURCE_EXHAUSTED` where there is none.
    pub(crate) fn try_reserve(&mut self, more: usize) -> Result {
        let exhausted = |_| Error::new(Code::ResourceExhausted, format!("packed values of {more} bytes"));
        self.bytes.try_reserve(more).map_err(exhausted)
    }

    /// Pads to the largest member: what follows the last one.
    #[inline]
    pub fn finish(&mut self) {
        let length = align_up(self.bytes.len(), self.align.max(1));
        if length != self.bytes.len() {
            self.bytes.resize(length, 0);
        }
    }

    /// Reads from the beginning. References are taken out as they are read.
    #[inline]
    pub fn reader(&mut self) -> Reader<'_> {
        Reader { packed: self, offset: 0 }
    }

    #[inline]
    fn align_to(&mut self, align: usize) {
        if align > self.align {
            self.align = align;
        }
        let offset = align_up(self.bytes.len(), align);
        if offset != self.bytes.len() {
            self.bytes.resize(offset, 0);
        }
    }
}

/// Reads what is packed, member after member, in the order of the convention.
#[derive(Debug)]
pub struct Reader<'a> {
    packed: &'a mut Packed,
    offset: usize,
}

impl Reader<'_> {
    /// The next member, a reference: taken, so that it is there once.
    pub fn next_ref(&mut self) -> Result<Ref> {
        self.offset = align_up(self.offset, 8);
        let index = self.next_i32()? as u32 as usize;
        self.offset += 12;
        if index == 0 {
            return Ok(Ref::NULL);
        }
        let slot = self.packed.references.get_mut(index - 1).filter(|slot| !slot.is_null());
        slot.map(std::mem::take).ok_or_else(|| Error::internal("a packed reference that is not there"))
    }

    /// The next member, a span whose largest member is aligned to `align`: how many tuples follow.
    pub fn next_span(&mut self, align: usize) -> Result<usize> {
        check_align(align)?;
        let count = self.next_i32()?;
        self.offset = align_up(self.offset, align);
        usize::try_from(count).map_err(|_| Error::internal("a span of less than nothing"))
    }

    /// Bytes that have not been read, padding with them.
    pub fn remaining(&self) -> usize {
        self.packed.bytes.len().saturating_sub(self.offset)
    }

    #[cold]
    fn ended(&self, wanted: &str) -> Error {
        Error::internal(format!("packed values end at {}, where an {wanted} was to follow", self.packed.len()))
    }
}

/// What members are aligned to.
#[inline]
fn check_align(align: usize) -> Result {
    match align {
        1 | 4 | 8 => Ok(()),
        _ => Err(Error::invalid(format!("members aligned to {align}"))),
    }
}

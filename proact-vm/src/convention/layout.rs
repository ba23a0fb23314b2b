//! How many bytes a fragment takes.

use super::{Fragment, Item, Letter};
use crate::error::{Error, Result};

impl Letter {
    /// Bytes of one.
    pub const fn size(self) -> usize {
        match self {
            Letter::I32 | Letter::F32 => 4,
            Letter::I64 | Letter::F64 => 8,
            Letter::Ref => 16,
        }
    }

    /// What it is aligned to.
    pub const fn align(self) -> usize {
        match self {
            Letter::I32 | Letter::F32 => 4,
            Letter::I64 | Letter::F64 | Letter::Ref => 8,
        }
    }
}

/// The next multiple of `align`, a power of two.
pub(super) const fn align_up(offset: usize, align: usize) -> usize {
    (offset + align - 1) & !(align - 1)
}

impl Fragment {
    /// Bytes when packed, with `spans` tuples in each span, in order. `INVALID_ARGUMENT` when that is not how many
    /// spans there are, or too much to be addressed.
    ///
    /// ```
    /// use proact_vm::convention::Convention;
    ///
    /// let convention: Convention = "0CiriD".parse()?;
    /// assert_eq!(convention.arguments().size(&[2])?, 64);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn size(&self, spans: &[usize]) -> Result<usize> {
        let too_large = || Error::invalid("more than can be addressed");
        let mut lengths = spans.iter();
        let (mut offset, mut largest) = (0usize, 1);
        for item in self.items() {
            match item {
                Item::One(letter) => {
                    largest = largest.max(letter.align());
                    offset = align_up(offset, letter.align()).checked_add(letter.size()).ok_or_else(too_large)?;
                }
                Item::Span(letters) => {
                    let length = *lengths.next().ok_or_else(|| Error::invalid("a span whose length is not told"))?;
                    let align = letters.iter().map(|letter| letter.align()).max().unwrap_or(1);
                    largest = largest.max(align);
                    offset = align_up(align_up(offset, 4) + 4, align);
                    // Tuples are not padded, so one's size depends on where it stands. From the second on that repeats
                    // after two: only whether it stands at a multiple of eight counts.
                    offset = size_of_tuples(letters, offset, length.min(1));
                    let rest = length.saturating_sub(1);
                    let pair = size_of_tuples(letters, offset, 2) - offset;
                    let pairs = (rest / 2).checked_mul(pair).filter(|&pairs| pairs < isize::MAX as usize / 2);
                    offset = offset.checked_add(pairs.ok_or_else(too_large)?).ok_or_else(too_large)?;
                    offset = size_of_tuples(letters, offset, rest % 2);
                }
            }
            // After each: so the next one, which is less than half of what can be counted, does not overflow.
            if offset > isize::MAX as usize - Letter::Ref.align() {
                return Err(too_large());
            }
        }
        match lengths.next() {
            Some(_) => Err(Error::invalid("more lengths than spans")),
            None => Ok(align_up(offset, largest)),
        }
    }
}

fn size_of_tuples(letters: &[Letter], mut offset: usize, count: usize) -> usize {
    for letter in (0..count).flat_map(|_| letters) {
        offset = align_up(offset, letter.align()) + letter.size();
    }
    offset
}

//! Registered memory: what the kernel has pinned, and under which numbers.
//!
//! A region longer than one place takes has several, one behind another, and is known by the first. A request names
//! that number as a hint: whether the number is still that memory's, and which place its bytes lie in, is looked up
//! here when the request goes into the ring.

use std::sync::Arc;

use crate::backend::registered::Registered;
use crate::backend::{BufferOwner, Request, registration};
use crate::uring::{PLACE_MAX, Ring};

use super::lower::clamp;

/// Places of the table. Each costs the kernel a few bytes, and holds up to [`PLACE_MAX`].
const PLACES: u16 = 1024;

/// The table, made with the first memory that is registered.
#[derive(Default)]
pub(super) struct FixedBuffers {
    known: Registered,
    /// What each place is a part of. Empty before there is a table.
    places: Vec<Option<Piece>>,
}

/// The memory that a place is a part of.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    length: usize,
    first: u16,
}

impl FixedBuffers {
    /// Registers memory. `pin`: with the kernel too. The answer is the request's result.
    ///
    /// # Safety
    ///
    /// The memory is mapped and writable as long as `owner` is kept.
    pub(super) unsafe fn register(
        &mut self,
        ring: &Ring,
        pin: bool,
        owner: &Arc<dyn BufferOwner>,
        proactor: u32,
        memory: (*mut u8, usize),
    ) -> i32 {
        let (start, length) = memory;
        if self.known.has(start) {
            return -libc::EEXIST;
        }
        // SAFETY: the caller's promise, passed on.
        let pinned = if pin { unsafe { self.pin(ring, start, length) } } else { Err(Unpinned::Refused) };
        let (number, result) = match pinned {
            Ok(first) => (Some(first), first.into()),
            Err(Unpinned::Full) => return -libc::ENOBUFS,
            Err(Unpinned::LockLimit) => (None, registration::LOCK_LIMIT),
            // A kernel that does not want this memory does not keep anyone from using it.
            Err(Unpinned::Refused) => (None, registration::NOTED),
        };
        self.known.add(owner, proactor, start, number);
        result
    }

    /// # Safety
    ///
    /// As for [`FixedBuffers::register`].
    unsafe fn pin(&mut self, ring: &Ring, start: *mut u8, length: usize) -> Result<u16, Unpinned> {
        if self.places.is_empty() {
            ring.register_table(PLACES.into())?;
            self.places = vec![None; PLACES.into()];
        }
        let count = length.div_ceil(PLACE_MAX);
        let first = self.places.windows(count).position(|places| places.iter().all(Option::is_none));
        let first = first.ok_or(Unpinned::Full)? as u16;
        for piece in 0..count as u16 {
            let offset = usize::from(piece) * PLACE_MAX;
            // SAFETY: within the memory, for which the caller answers.
            let set = unsafe { ring.set_place(first + piece, start.add(offset), PLACE_MAX.min(length - offset)) };
            if let Err(errno) = set {
                self.clear(ring, first, piece);
                return Err(errno.into());
            }
            self.places[usize::from(first + piece)] = Some(Piece { start: start as usize, length, first });
        }
        Ok(first)
    }

    /// Empties `count` places.
    fn clear(&mut self, ring: &Ring, first: u16, count: u16) {
        for index in first..first + count {
            // SAFETY: no memory is named.
            if unsafe { ring.set_place(index, std::ptr::null_mut(), 0) }.is_ok() {
                self.places[usize::from(index)] = None;
            } else {
                // The kernel holds its pages for as long as the ring; the place is not used again.
                self.places[usize::from(index)] = Some(Piece { start: 0, length: 0, first: index });
            }
        }
    }

    /// Gives memory up. What is in the ring and not yet handed over must not name it any more. The answer is the
    /// request's result.
    pub(super) fn unregister(&mut self, ring: &Ring, start: *mut u8) -> i32 {
        let Some(number) = self.known.remove(start) else { return -libc::ENOENT };
        let piece = number.and_then(|first| self.places[usize::from(first)]);
        if let Some(Piece { length, first, .. }) = piece {
            self.clear(ring, first, length.div_ceil(PLACE_MAX) as u16);
        }
        0
    }

    /// The place that all bytes of a read or write lie in, if its memory is pinned.
    #[inline]
    pub(super) fn place_of(&self, request: &Request) -> Option<u16> {
        match *request {
            Request::Read { fixed: Some(hint), buffer, length, .. } => self.find(hint, buffer as usize, length),
            Request::Write { fixed: Some(hint), buffer, length, .. } => self.find(hint, buffer as usize, length),
            _ => None,
        }
    }

    fn find(&self, hint: u16, buffer: usize, length: usize) -> Option<u16> {
        let Piece { start, length: whole, first } = (*self.places.get(usize::from(hint))?)?;
        let length = clamp(length) as usize;
        let offset = buffer.checked_sub(start)?;
        let last = offset.checked_add(length.checked_sub(1)?)?;
        // Bytes on both sides of a place's end are in neither: such a request goes without.
        (first == hint && last < whole && offset / PLACE_MAX == last / PLACE_MAX)
            .then(|| first + (offset / PLACE_MAX) as u16)
    }
}

/// Why memory was not pinned.
enum Unpinned {
    /// The table has no room for it.
    Full,
    /// The process may not lock as much.
    LockLimit,
    /// The kernel, or a filter before it, would not.
    Refused,
}

impl From<i32> for Unpinned {
    fn from(errno: i32) -> Unpinned {
        // Pinned pages count as locked ones.
        if errno == libc::ENOMEM { Unpinned::LockLimit } else { Unpinned::Refused }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// A table with one region of two and a half places from the third place on; no kernel knows of it.
    fn table() -> FixedBuffers {
        let (start, length, first) = (1 << 40, PLACE_MAX * 5 / 2, 3);
        let mut places = vec![None; 10];
        places[3..6].fill(Some(Piece { start, length, first }));
        FixedBuffers { known: Registered::default(), places }
    }

    #[test]
    fn bytes_of_a_region_longer_than_a_place_are_found_in_the_right_one() {
        let (table, start) = (table(), 1usize << 40);
        let find = |offset: usize, length| table.find(3, start + offset, length);
        assert_eq!(find(0, 1), Some(3));
        assert_eq!(find(0, PLACE_MAX), Some(3));
        assert_eq!(find(PLACE_MAX - 1, 1), Some(3));
        assert_eq!(find(PLACE_MAX - 1, 2), None, "in two places");
        assert_eq!(find(PLACE_MAX, 4096), Some(4));
        assert_eq!(find(PLACE_MAX * 5 / 2 - 1, 1), Some(5));
        assert_eq!(find(PLACE_MAX * 5 / 2 - 1, 2), None, "past the end");
        assert_eq!(find(0, 0), None, "nothing is nowhere");
        assert_eq!(find(usize::MAX - start, 2), None, "around the end of all addresses");
        assert_eq!(table.find(3, start - 1, 2), None, "before the beginning");
        assert_eq!(table.find(4, start + PLACE_MAX, 1), None, "not the first place's number");
        assert_eq!((table.find(2, start, 1), table.find(99, start, 1)), (None, None));
    }
}

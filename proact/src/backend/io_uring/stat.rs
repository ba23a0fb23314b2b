//! `statx` answers: where the kernel writes them.

use std::ptr::NonNull;

use rustix::fs::Statx;

// The kernel writes this many bytes.
const _: () = assert!(size_of::<Statx>() == 256);

/// Answers that wait to be used again. Only the first few requests allocate.
#[derive(Default)]
pub(super) struct StatPool {
    // Boxed: an answer's address is the kernel's for as long as its request runs, while the list moves and shrinks.
    #[allow(clippy::vec_box)]
    free: Vec<Box<Statx>>,
    made: usize,
}

impl StatPool {
    /// Takes one out. It belongs to the caller, who gives it back with [`StatPool::put`] or leaks it.
    pub(super) fn take(&mut self) -> NonNull<Statx> {
        let answer = self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.free.reserve(self.made);
            // SAFETY: plain integers and sets of bits, for which zero is a value.
            Box::new(unsafe { std::mem::zeroed() })
        });
        NonNull::from(Box::leak(answer))
    }

    /// Gives one back.
    ///
    /// # Safety
    ///
    /// It came from [`StatPool::take`] of this pool, and neither the kernel nor anyone else refers to it.
    pub(super) unsafe fn put(&mut self, answer: NonNull<Statx>) {
        // SAFETY: `take` leaked it from a box; the caller gives up the only reference.
        self.free.push(unsafe { Box::from_raw(answer.as_ptr()) });
    }
}

//! Counting allocations, of the whole process, while a measure asks for it.
//!
//! The crates that do this count always, with several atomic additions or a thread-local lookup for each allocation and
//! each release, in a program whose main job is another. Here an allocation outside of a count costs one load of a word
//! that nobody writes.

use std::alloc::{GlobalAlloc, Layout, System};

#[cfg(not(test))]
mod tally {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    static COUNTING: AtomicBool = AtomicBool::new(false);
    static COUNT: AtomicU64 = AtomicU64::new(0);

    #[inline]
    pub fn note() {
        if COUNTING.load(Ordering::Relaxed) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn begin() {
        COUNT.store(0, Ordering::Relaxed);
        COUNTING.store(true, Ordering::Relaxed);
    }

    pub fn end() -> u64 {
        COUNTING.store(false, Ordering::Relaxed);
        COUNT.load(Ordering::Relaxed)
    }
}

/// Tests run side by side in one process: there a count is of its own thread alone.
#[cfg(test)]
mod tally {
    use std::cell::Cell;

    thread_local! {
        // Without a destructor and made at once, so that an allocation may look at it at any time.
        static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub fn note() {
        COUNT.set(COUNT.get().map(|count| count + 1));
    }

    pub fn begin() {
        COUNT.set(Some(0));
    }

    pub fn end() -> u64 {
        COUNT.take().expect("it was begun")
    }
}

struct Counter;

#[global_allocator]
static COUNTER: Counter = Counter;

// SAFETY: everything is the system allocator's; counting touches no memory of its clients and allocates nothing.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        tally::note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        tally::note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        tally::note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How many allocations and reallocations all threads make while `work` runs. Counts must not overlap.
pub(super) fn count(work: impl FnOnce()) -> u64 {
    tally::begin();
    work();
    tally::end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_and_growth_are_counted_and_releases_are_not() {
        let counted = count(|| {
            let mut bytes: Vec<u8> = Vec::with_capacity(8);
            bytes.reserve_exact(std::hint::black_box(1000));
            drop(std::hint::black_box(bytes));
        });
        assert_eq!(counted, 2);
    }
}

//! Counting what rounds take beside time: allocations, processor time, and enters of the kernel.
//!
//! Allocations are those of the whole process while a measure asks for it, if the program has [`Counter`] as its
//! allocator. The crates that do this count always, with several atomic additions or a thread-local lookup for each
//! allocation and each release, in a program whose main job may be another. Here an allocation outside of a count costs
//! one load of a word that nobody writes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::AddAssign;
use std::time::Duration;

use super::figures::Costs;

#[cfg(not(test))]
mod number {
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

    static COUNTING: AtomicBool = AtomicBool::new(false);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static BYTES: AtomicI64 = AtomicI64::new(0);

    #[inline]
    pub fn note(allocations: u64, bytes: i64) {
        if COUNTING.load(Ordering::Relaxed) {
            COUNT.fetch_add(allocations, Ordering::Relaxed);
            BYTES.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub fn begin() {
        COUNT.store(0, Ordering::Relaxed);
        BYTES.store(0, Ordering::Relaxed);
        COUNTING.store(true, Ordering::Relaxed);
    }

    pub fn end() -> (u64, i64) {
        COUNTING.store(false, Ordering::Relaxed);
        (COUNT.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
    }
}

/// Tests run side by side in one process: there a count is of its own thread alone.
#[cfg(test)]
mod number {
    use std::cell::Cell;

    thread_local! {
        // Without a destructor and made at once, so that an allocation may look at it at any time.
        static COUNT: Cell<Option<(u64, i64)>> = const { Cell::new(None) };
    }

    pub fn note(allocations: u64, bytes: i64) {
        COUNT.set(COUNT.get().map(|(count, held)| (count + allocations, held + bytes)));
    }

    pub fn begin() {
        COUNT.set(Some((0, 0)));
    }

    pub fn end() -> (u64, i64) {
        COUNT.take().expect("it was begun")
    }
}

/// An allocator that counts while a measure asks for it. The program that measures has one:
///
/// ```
/// use proact_cts::measures::Counter;
///
/// #[global_allocator]
/// static COUNTER: Counter = Counter;
/// # fn main() {}
/// ```
///
/// Without it, measures know of no allocations, and say so.
pub struct Counter;

#[cfg(test)]
#[global_allocator]
static COUNTER: Counter = Counter;

// SAFETY: everything is the system allocator's; counting touches no memory of its clients and allocates nothing.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        number::note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        number::note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        number::note(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        number::note(0, -(layout.size() as i64));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Whether the program counts allocations at all: one is made, to see.
pub(crate) fn counts_allocations() -> bool {
    number::begin();
    drop(std::hint::black_box(Box::new(1_u8)));
    number::end().0 > 0
}

/// What rounds have taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counted {
    allocations: u64,
    cpu: Duration,
    enters: Option<u64>,
}

impl Counted {
    /// Of one of so many.
    pub(crate) fn over(self, count: f64) -> Costs {
        Costs {
            allocations: counts_allocations().then(|| self.allocations as f64 / count),
            enters: self.enters.map(|enters| enters as f64 / count),
            cpu: Some(self.cpu.as_nanos() as f64 / count),
        }
    }

    /// As often their proactor has entered the kernel.
    pub(crate) fn set_enters(&mut self, enters: u64) {
        self.enters = Some(enters);
    }

    /// How many allocations and reallocations there were.
    pub(crate) fn allocations(self) -> u64 {
        self.allocations
    }
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Counted) {
        self.allocations += other.allocations;
        self.cpu += other.cpu;
        self.enters = other.enters.map(|enters| enters + self.enters.unwrap_or(0)).or(self.enters);
    }
}

/// What all threads take while `work` runs. Counts must not overlap.
pub(crate) fn count(work: impl FnOnce()) -> Counted {
    let before = processor_time();
    number::begin();
    work();
    let (allocations, _) = number::end();
    Counted { allocations, cpu: processor_time() - before, enters: None }
}

/// How many bytes more are allocated when `work` has returned than before: what it answers holds them. `None` where
/// nobody counts.
pub(crate) fn held<T>(work: impl FnOnce() -> T) -> (T, Option<i64>) {
    let counts = counts_allocations();
    number::begin();
    let answer = work();
    let (_, bytes) = number::end();
    (answer, counts.then_some(bytes))
}

/// What so many rounds take, `enters` being how often their proactor has entered the kernel until now.
pub(crate) fn rounds<T>(
    count: u32,
    state: &mut T,
    mut round: impl FnMut(&mut T),
    enters: impl Fn(&T) -> u64,
) -> Counted {
    let before = enters(state);
    let counted = self::count(|| (0..count).for_each(|_| round(state)));
    Counted { enters: Some(enters(state) - before), ..counted }
}

/// What this process has had of processors, of all threads together.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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
        assert_eq!(counted.allocations(), 2);
        assert!(counts_allocations());
        let (kept, bytes) = held(|| {
            drop(std::hint::black_box(vec![0_u8; 100]));
            vec![0_u8; 7]
        });
        assert_eq!((kept.len(), bytes), (7, Some(7)));
    }

    #[test]
    fn what_rounds_take_is_told_of_one() {
        let mut entered = 0;
        let mut counted = rounds(10, &mut entered, |entered| *entered += 3, |entered| *entered);
        counted += Counted { allocations: 5, cpu: Duration::ZERO, enters: Some(10) };
        let costs = counted.over(10.0);
        assert_eq!((costs.allocations, costs.enters), (Some(0.5), Some(4.0)));
        assert!(costs.cpu.is_some());
        assert_eq!(Counted::default().over(1.0).enters, None);
        counted.set_enters(5);
        assert_eq!(counted.over(10.0).enters, Some(0.5));
    }
}

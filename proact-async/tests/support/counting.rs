//! An allocator that counts, for the whole process: one test in a program.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
pub static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many allocations a round of `work` makes, once it has been done before: the least of three times a hundred,
/// since the thread that has begun the test may still allocate, once, beside the first.
pub async fn counted<F: Future<Output = ()>>(mut work: impl FnMut() -> F) -> usize {
    for _ in 0..2000 {
        work().await;
    }
    let mut least = usize::MAX;
    for _ in 0..3 {
        let region = Region::new(ALLOCATOR);
        for _ in 0..100 {
            work().await;
        }
        let change = region.change();
        least = least.min((change.allocations + change.reallocations).div_ceil(100));
    }
    least
}

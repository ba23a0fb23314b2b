//! An allocator that counts, for the whole process: one test in a program.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
pub static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many allocations a round of `work` makes, once it has been done before.
pub async fn counted<F: Future<Output = ()>>(mut work: impl FnMut() -> F) -> usize {
    for _ in 0..2000 {
        work().await;
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        work().await;
    }
    let change = region.change();
    (change.allocations + change.reallocations).div_ceil(100)
}

//! Counts allocations between submit and callback.
fn main() {}

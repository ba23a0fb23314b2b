//! Nanoseconds of the process's own processor time, as these examples take them.

// Each example uses some of it.
#![allow(dead_code)]

use rustix::time::{ClockId, clock_gettime};

const CALLS: u32 = 100_000;
const ROUNDS: u32 = 15;

/// What is measured, and its name.
pub type Row = (&'static str, Box<dyn FnMut()>);

pub fn processor_nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds for each of `count`.
pub fn each(count: usize, run: impl FnOnce()) -> f64 {
    let start = processor_nanoseconds();
    run();
    (processor_nanoseconds() - start) as f64 / count as f64
}

/// Measures every row in turn, again and again, and prints the least of each.
pub fn print_least(mut rows: Vec<Row>) {
    let mut least = vec![f64::INFINITY; rows.len()];
    for _ in 0..ROUNDS {
        for ((_, call), least) in rows.iter_mut().zip(&mut least) {
            *least = least.min(each(CALLS as usize, || (0..CALLS).for_each(|_| call())));
        }
    }
    for ((name, _), least) in rows.iter().zip(&least) {
        println!("{name:55} {least:7.1} ns");
    }
}

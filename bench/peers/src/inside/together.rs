//! So many tasks, each of which does its part of the work, on whatever runtime spawns them.

use std::future::Future;
use std::time::Instant;

use super::Figures;
use crate::{Failure, pin};

/// Runs `tasks` tasks that `spawn` starts twice, the first time to warm up, and tells what one of `operations` took.
pub async fn together<J: Future>(tasks: usize, operations: u32, spawn: impl Fn(u32) -> J) -> Result<Figures, Failure> {
    // Rounded: each task does as much as the others.
    let each = operations / tasks as u32;
    let mut figures = Figures::new();
    for _ in 0..2 {
        let (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
        let handles: Vec<J> = (0..tasks).map(|_| spawn(each)).collect();
        for handle in handles {
            handle.await;
        }
        let spent = pin::processor_time(std::process::id())? - before;
        figures = told(spent, start, u64::from(each) * tasks as u64);
    }
    Ok(figures)
}

/// What one of `operations` took, since `start` and of processor time.
pub fn told(spent: u64, start: Instant, operations: u64) -> Figures {
    vec![
        ("cpu_ns".into(), spent as f64 / operations as f64),
        ("per_second".into(), operations as f64 / start.elapsed().as_secs_f64()),
    ]
}

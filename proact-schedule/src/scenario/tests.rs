//! What scenarios and the simulator promise.

use super::*;

mod files;
mod page;
mod queues;
mod random;
mod rules;
mod table;

/// The operation, by its number, and when it ran.
fn span(run: &Run<'_>, node: usize) -> (u64, u64) {
    let interval = run.intervals()[node];
    (interval.start, interval.end)
}

/// Every size that the sliders of a visualizer allow: width 1 to 4, depth 1 to 8, 1 to 4 lanes.
fn sizes(scenario: &Scenario) -> Vec<Scale> {
    let lanes: &[Option<usize>] =
        if scenario.has_lanes() { &[None, Some(1), Some(2), Some(3), Some(4)] } else { &[None] };
    let depths = if scenario.has_depth() { 8 } else { 1 };
    let mut sizes = vec![];
    for width in 1..=4 {
        for depth in 1..=depths {
            sizes.extend(lanes.iter().map(|&lanes| Scale { width, depth, lanes }));
        }
    }
    sizes
}

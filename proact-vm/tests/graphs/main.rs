//! Random graphs of modules, native and in WebAssembly, that yield, wait, fail and call each other: every form of a
//! call comes to what a plain interpreter says, on every loop, and whatever is given up leaves nothing.
//!
//! A failure names its seed: see [`seeds`] for how to run it alone, or many.
#![cfg(all(feature = "wasm", not(miri)))]

mod by_hand;
mod drive;
mod forms;
mod given_up;
mod graph;
mod model;
mod native;
mod program;
mod seeds;
mod shape;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod timed;
mod world;

use proact_vm::{InvocationOptions, InvocationState};

use crate::drive::{Steps, blocking, future};
use crate::model::{Disturbed, Model, Stop};
use crate::seeds::each_seed;
use crate::stage::of_seed;
use crate::world::{WORDS, World};

#[test]
fn graphs_are_of_all_sorts() {
    let (mut failed, mut stops, mut kinds) = (0, 0, [0; 4]);
    const GRAPHS: u64 = 300;
    for seed in 0..GRAPHS {
        let graph = of_seed(seed);
        let mut model = Model::new(&graph, &WORDS, Disturbed::No);
        failed += usize::from(model.root(0).result.is_err());
        stops += model.stops.len();
        for function in 0..graph.functions.len() {
            kinds[graph.kind(function) as usize] += 1;
        }
    }
    assert!((GRAPHS / 10..GRAPHS * 7 / 10).contains(&(failed as u64)), "{failed} of {GRAPHS} fail");
    assert!(stops as u64 / GRAPHS > 8, "{stops} stops");
    assert!(kinds.iter().all(|kind| *kind as u64 > GRAPHS / 4), "{kinds:?}");
}

#[test]
fn one_thread_comes_to_what_the_model_says() {
    each_seed(60, |seed, random, compiled| {
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let options = InvocationOptions::new();
        let mut plain = Model::new(&compiled.graph, &WORDS, Disturbed::No);
        let expected = plain.root(0);
        assert_eq!(blocking(&stage, 0, &options), expected, "blocking, seed {seed}");
        assert_eq!(stage.world.count.get(), 0);
        let mut state = InvocationState::new();
        for round in 0..2 {
            let mut steps = Steps::new(random);
            let came_to = steps.drive(&stage, &mut state, 0, &options).unwrap();
            assert_eq!(came_to, expected, "stepwise, seed {seed}, round {round}");
            assert_eq!(stops(&compiled.graph, steps.stops), stops(&compiled.graph, plain.stops.clone()));
        }
        assert_eq!(future(&stage, 0, &options, usize::MAX), Some(expected), "a future, seed {seed}");
        stage.end("one thread");
    });
}

/// Stops that compare: time slices yield where they like, and a host's own wait for what it is woken for takes as many
/// polls as it takes.
fn stops(graph: &graph::Graph, mut stops: Vec<Stop>) -> Vec<Stop> {
    if graph.is_sliced() {
        stops.retain(|stop| *stop != Stop::Yield);
    }
    stops
}

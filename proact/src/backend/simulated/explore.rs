//! Many worlds: one a seed, or one for every way that chance could go.

use super::chance::{Choice, next_script};
use super::world::World;

/// Runs `test` in a world of each seed. The first that panics ends it, and says with which seed: [`World::new`] of that
/// replays it exactly.
///
/// ```
/// proact::simulated::explore(0..10, |world| {
///     let mut proactor = world.host("a").builder().build().unwrap();
///     proactor.run().unwrap();
/// });
/// ```
///
/// # Panics
/// Goes on with the panic of `test`.
pub fn explore(seeds: impl IntoIterator<Item = u64>, mut test: impl FnMut(&World)) {
    for seed in seeds {
        let world = World::new(seed);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&world)));
        world.forget_plans();
        if let Err(panic) = ran {
            eprintln!("failed with seed {seed}, at {:?}, after {} events", world.now(), world.events());
            std::panic::resume_unwind(panic);
        }
    }
}

/// What [`exhaust`] has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exhausted {
    /// How many ways were tried.
    pub runs: usize,
    /// Whether these were all.
    pub complete: bool,
}

/// Runs `test` in every world that chance could make of it: each time with other [choices](World::choose) of who goes
/// first, what is lost and what a crash leaves, at most `runs_max` times. *How much* (jitter, where a write is torn) is
/// drawn from one seed in all of them. Of more than eight things that are due in one moment, the first is one of the
/// first eight.
///
/// For small cases: the number of ways grows with every choice.
///
/// # Panics
/// Goes on with the panic of `test`, and says which choices led there: [`World::with_choices`] of them replays it.
pub fn exhaust(runs_max: usize, mut test: impl FnMut(&World)) -> Exhausted {
    let mut script = Some(Vec::new());
    let mut runs = 0;
    while let Some(choices) = script {
        if runs == runs_max {
            return Exhausted { runs, complete: false };
        }
        let world = World::with(0, Some(choices));
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&world)));
        world.forget_plans();
        let made: Vec<Choice> = world.inner.lock().chance.made().to_vec();
        if let Err(panic) = ran {
            let chosen: Vec<u32> = made.iter().map(|choice| choice.chosen).collect();
            eprintln!("failed in run {runs} of an exhaustive exploration, with the choices {chosen:?}");
            std::panic::resume_unwind(panic);
        }
        runs += 1;
        script = next_script(&made);
    }
    Exhausted { runs, complete: true }
}

//! Which seeds a test runs: `PROACT_GRAPH_SEED` that one alone, `PROACT_GRAPH_SEEDS` so many instead of the test's own
//! number, and `PROACT_GRAPH_SEED_BASE` is where they begin.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use oorandom::Rand32;

use crate::drive::PATIENCE;
use crate::stage::Compiled;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Runs a test for each of the seeds; which one failed is printed.
pub fn each_seed(count: u64, test: impl Fn(u64, &mut Rand32, &Compiled)) {
    let seeds = match number("PROACT_GRAPH_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let base = number("PROACT_GRAPH_SEED_BASE").unwrap_or(0);
            base..base + number("PROACT_GRAPH_SEEDS").unwrap_or(count)
        }
    };
    let watch = Watch::begin();
    for seed in seeds {
        watch.next(seed);
        let compiled = Compiled::of_seed(seed);
        let mut random = Rand32::new(seed ^ 0x5eed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed, &mut random, &compiled))) {
            eprintln!("PROACT_GRAPH_SEED={seed}\n{}", compiled.graph);
            resume_unwind(panic);
        }
    }
}

/// Ends the process when a seed does not end: a call that holds its thread, and is never woken, cannot be given up.
struct Watch(Sender<u64>);

impl Watch {
    fn begin() -> Watch {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut seed = None;
            loop {
                match receiver.recv_timeout(3 * PATIENCE) {
                    Ok(next) => seed = Some(next),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("PROACT_GRAPH_SEED={} does not end", seed.unwrap_or_default());
                        std::process::abort();
                    }
                }
            }
        });
        Watch(sender)
    }

    fn next(&self, seed: u64) {
        self.0.send(seed).expect("who watches is there as long");
    }
}

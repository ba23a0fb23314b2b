//! Chance that can be had again: every failure of a random case names its seed.
//!
//! `PROACT_CTS_SEED` runs one seed alone, `PROACT_CTS_SEEDS` that many instead of a case's own number, and
//! `PROACT_CTS_SEED_BASE` is where they begin.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// What follows from `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The seeds to run: `count` of them, unless the environment says otherwise.
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("PROACT_CTS_SEED") {
        Some(seed) => vec![seed],
        None => {
            let base = number("PROACT_CTS_SEED_BASE").unwrap_or(0);
            (base..base + number("PROACT_CTS_SEEDS").unwrap_or(count)).collect()
        }
    }
}

//! Chance: everything that a world leaves open is asked here, so that a seed, or a script of choices, decides all.
//!
//! Two kinds of question are told apart. *How much* (a delay, where a write is torn) is drawn from the generator.
//! *Which of a few* (who goes first, whether a message is lost) is a [choice](Chance::choose): it is drawn too, unless
//! a script says what to answer, which is how small worlds are explored without chance.

use oorandom::Rand64;

/// One choice that was made: which, of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// What was chosen, from 0.
    pub chosen: u32,
    /// How many there were to choose from.
    pub of: u32,
}

pub(super) struct Chance {
    generator: Rand64,
    /// Present when choices are scripted: the answers, and 0 beyond their end.
    script: Option<Vec<u32>>,
    /// What was chosen so far, where choices are scripted.
    made: Vec<Choice>,
}

impl Chance {
    pub(super) fn new(seed: u64, script: Option<Vec<u32>>) -> Chance {
        // Seeds are small and alike; the generator wants 128 bits that are not.
        let spread = |seed: u64| {
            let mixed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(mixed ^ mixed >> 31)
        };
        let wide =
            spread(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) << 64 | spread(seed.wrapping_mul(3).wrapping_add(1));
        Chance { generator: Rand64::new(wide), script, made: Vec::new() }
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.generator.rand_range(0..bound)
    }

    /// A number from 0 to `most`.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        if most == u64::MAX { self.generator.rand_u64() } else { self.below(most + 1) }
    }

    /// One of `of` possibilities, of which there is at least one.
    pub(super) fn choose(&mut self, of: usize) -> usize {
        if of < 2 {
            return 0;
        }
        let Some(script) = &self.script else { return self.below(of as u64) as usize };
        let chosen = script.get(self.made.len()).map_or(0, |chosen| *chosen as usize).min(of - 1);
        self.made.push(Choice { chosen: chosen as u32, of: of as u32 });
        chosen
    }

    /// Whether something happens that does in so many of a million cases.
    pub(super) fn happens(&mut self, per_million: u32) -> bool {
        match per_million {
            0 => false,
            1_000_000.. => true,
            _ if self.script.is_some() => self.choose(2) == 1,
            _ => self.below(1_000_000) < u64::from(per_million),
        }
    }

    /// What was chosen, where choices are scripted.
    pub(super) fn made(&self) -> &[Choice] {
        &self.made
    }
}

/// The script to try after one that made these choices: the next in the order of a tree whose branches are choices.
/// `None`: that was the last.
pub(super) fn next_script(made: &[Choice]) -> Option<Vec<u32>> {
    let last = made.iter().rposition(|choice| choice.chosen + 1 < choice.of)?;
    let mut script: Vec<u32> = made[..=last].iter().map(|choice| choice.chosen).collect();
    script[last] += 1;
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_what_is_drawn_and_another_says_something_else() {
        let draw = |seed| {
            let mut chance = Chance::new(seed, None);
            (0..64).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // The generator's own definition: were it another one tomorrow, recorded seeds would replay something else.
        assert_eq!(Chance::new(7, None).up_to(u64::MAX), FIRST_OF_SEED_7);
    }

    const FIRST_OF_SEED_7: u64 = 15_862_283_339_943_255_019;

    #[test]
    fn scripts_go_through_every_way_once() {
        let mut ways = Vec::new();
        let mut script = Some(Vec::new());
        while let Some(choices) = script {
            let mut chance = Chance::new(0, Some(choices));
            let first = chance.choose(2);
            let second = if first == 0 { chance.choose(3) } else { chance.choose(1) };
            ways.push((first, second));
            script = next_script(chance.made());
        }
        assert_eq!(ways, [(0, 0), (0, 1), (0, 2), (1, 0)]);
    }
}

//! Rounds to figures: medians, spread, and ratios round by round.

use std::collections::BTreeMap;

use crate::run::{Entry, Line};

/// The middle of some values, and how far half of them spread around it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub rounds: usize,
}

impl Spread {
    /// Of quarters and middle. `None` of no value.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        // Between the two values that are nearest, as far as it lies from each.
        let at = |part: f64| {
            let place = last as f64 * part;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Spread { low: at(0.25), median: at(0.5), high: at(0.75), rounds: values.len() })
    }
}

/// Every value by work, peer, figure and round.
#[derive(Default)]
pub struct Values(BTreeMap<(String, String, String), BTreeMap<u32, f64>>);

impl Values {
    pub fn of(entries: &[Entry]) -> Values {
        let mut values = Values::default();
        for entry in entries {
            if let Entry::Line(Line { work, peer, round, figures, .. }) = entry {
                for (figure, value) in figures {
                    let key = (work.clone(), peer.clone(), figure.clone());
                    values.0.entry(key).or_default().insert(*round, *value);
                }
            }
        }
        values
    }

    /// Of all its rounds.
    pub fn spread(&self, work: &str, peer: &str, figure: &str) -> Option<Spread> {
        Spread::of(self.rounds(work, peer, figure)?.values().copied().collect())
    }

    /// Of the ratios of `peer` to `other`, each of one round: what disturbed both is not in it.
    pub fn ratio(&self, work: &str, peer: &str, other: &str, figure: &str) -> Option<Spread> {
        self.paired(work, [peer, other], figure, |value, of| value / of)
    }

    /// Of how much more `peer` takes than `other`, each of one round.
    pub fn more(&self, work: &str, peer: &str, other: &str, figure: &str) -> Option<Spread> {
        self.paired(work, [peer, other], figure, |value, than| value - than)
    }

    fn paired(&self, work: &str, peers: [&str; 2], figure: &str, of: fn(f64, f64) -> f64) -> Option<Spread> {
        let [one, other] = peers.map(|peer| self.rounds(work, peer, figure));
        let other = other?;
        Spread::of(one?.iter().filter_map(|(round, value)| Some(of(*value, *other.get(round)?))).collect())
    }

    fn rounds(&self, work: &str, peer: &str, figure: &str) -> Option<&BTreeMap<u32, f64>> {
        self.0.get(&(work.into(), peer.into(), figure.into()))
    }

    /// Those who have done `work`.
    pub fn peers<'a>(&'a self, work: &'a str, figure: &'a str) -> impl Iterator<Item = &'a str> {
        let of_work = self.0.keys().filter(move |(of, _, name)| of == work && name == figure);
        of_work.map(|(_, peer, _)| peer.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(peer: &str, round: u32, value: f64) -> Entry {
        let figures = vec![("cpu_ns".into(), value)];
        Entry::Line(Line { work: "echo".into(), peer: peer.into(), round, figures, load: 0.0 })
    }

    #[test]
    fn a_spread_is_the_middle_half() {
        let spread = Spread::of(vec![5.0, 1.0, 2.0, 4.0, 3.0, f64::NAN]).unwrap();
        assert_eq!(spread, Spread { low: 2.0, median: 3.0, high: 4.0, rounds: 5 });
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn ratios_are_of_the_same_round_so_that_a_disturbed_one_does_not_decide() {
        // Everything took ten times as long in the last round, and one has no second.
        let a = [(0, 10.0), (1, 11.0), (2, 100.0)].map(|(round, value)| line("a", round, value));
        let b = [(0, 20.0), (2, 200.0)].map(|(round, value)| line("b", round, value));
        let values = Values::of(&a.into_iter().chain(b).collect::<Vec<_>>());
        let ratio = values.ratio("echo", "a", "b", "cpu_ns").unwrap();
        assert_eq!(ratio, Spread { low: 0.5, median: 0.5, high: 0.5, rounds: 2 });
        assert_eq!(values.ratio("echo", "a", "absent", "cpu_ns"), None);
    }
}

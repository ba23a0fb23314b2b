//! Where proact loses: computed, and never left out.

use super::stats::{Spread, Values};
use super::subjects::{Column, SUBJECTS, Subject, Whose};

/// Rounds below which nothing is said: three of four are then no more than chance.
const ROUNDS: usize = 4;
/// What is no difference to anybody.
const LEAST: f64 = 1.01;
/// Whom it is told of: by tasks and by callbacks, each on the backend that is chosen by itself.
const OURS: [&str; 2] = ["proact-async", "proact"];

/// One of ours took more than another.
pub struct Loss {
    pub title: &'static str,
    pub head: &'static str,
    pub work: &'static str,
    pub figure: &'static str,
    pub ours: &'static str,
    pub other: String,
    pub whose: Whose,
    pub ratio: Spread,
}

/// Lost is what took more in at least three rounds of four, and by a percent or more in the middle.
pub fn is_loss(ratio: &Spread) -> bool {
    ratio.rounds >= ROUNDS && ratio.low > 1.0 && ratio.median >= LEAST
}

/// What stands where nothing is lost: `good`, or that this many rounds tell nothing, which is no praise.
pub fn none_lost(rounds: u32, good: &str) -> String {
    if rounds as usize >= ROUNDS {
        return good.into();
    }
    format!("**Not told**: {rounds} rounds are too few to tell a loss from chance; {ROUNDS} are the least.")
}

/// All of them, the worst first. Of bare interfaces the floor alone counts.
pub fn losses(values: &Values) -> Vec<Loss> {
    let mut losses = Vec::new();
    for subject in SUBJECTS {
        for column in subject.columns.iter().filter(|column| column.ranks) {
            let floor = floor(values, subject, column.work, column.figure);
            for ours in OURS {
                for other in values.peers(column.work, column.figure) {
                    let whose = Whose::of(other);
                    if whose == Whose::Ours || whose == Whose::Bare && Some(other) != floor {
                        continue;
                    }
                    let ratio = values.ratio(column.work, ours, other, column.figure);
                    let Some(ratio) = ratio.filter(is_loss) else { continue };
                    let (title, &Column { head, work, figure, .. }) = (subject.title, column);
                    losses.push(Loss { title, head, work, figure, ours, other: other.into(), whose, ratio });
                }
            }
        }
    }
    losses.sort_by(|a, b| b.ratio.median.total_cmp(&a.ratio.median));
    losses
}

/// Both sides, by work, of the `most` worst losses of processor time against peers, and of as many against floors.
pub fn worst(losses: &[Loss], most: usize) -> Vec<(String, String)> {
    let mut sides = Vec::new();
    for whose in [Whose::Peer, Whose::Bare] {
        // Memory and lateness are not where samples of a processor fall.
        let those = losses.iter().filter(|loss| loss.whose == whose && loss.figure.contains("cpu"));
        for loss in those.take(most) {
            for side in [loss.ours, loss.other.as_str()] {
                let side = (loss.work.to_owned(), side.to_owned());
                if !sides.contains(&side) {
                    sides.push(side);
                }
            }
        }
    }
    sides
}

/// The bare interface whose median is least.
pub fn floor(values: &Values, subject: &Subject, work: &str, figure: &str) -> Option<&'static str> {
    let median = |floor: &&str| values.spread(work, floor, figure).map(|spread| spread.median);
    let known = subject.floors.iter().filter_map(|floor| Some((*floor, median(floor)?)));
    known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(floor, _)| floor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Entry, Line};

    fn rounds(peer: &str, values: [f64; 5]) -> Vec<Entry> {
        let line = |(round, value)| {
            let figures = vec![("cpu_ns".into(), value)];
            Entry::Line(Line { work: "echo/64".into(), peer: peer.into(), round: round as u32, figures, load: 0.0 })
        };
        values.into_iter().enumerate().map(line).collect()
    }

    #[test]
    fn a_loss_is_one_beyond_the_spread_and_one_disturbed_round_does_not_decide() {
        let all = [
            rounds("proact-async", [100.0, 101.0, 100.0, 900.0, 100.0]),
            rounds("tokio", [90.0, 91.0, 90.0, 90.0, 91.0]),
            // As often ahead as behind, and never ahead but in a disturbed round.
            rounds("compio", [99.0, 102.0, 99.0, 99.0, 102.0]),
            rounds("monoio", [150.0, 150.0, 150.0, 150.0, 150.0]),
            rounds("epoll", [80.0; 5]),
            rounds("ring", [70.0; 5]),
        ];
        let values = Values::of(&all.into_iter().flatten().collect::<Vec<_>>());
        let losses = losses(&values);
        let told: Vec<_> = losses.iter().map(|loss| (loss.other.as_str(), loss.whose)).collect();
        assert_eq!(told, [("ring", Whose::Bare), ("tokio", Whose::Peer)]);
        assert!(losses.iter().all(|loss| loss.ours == "proact-async"));
    }

    #[test]
    fn the_worst_of_each_kind_are_profiled_on_both_sides_and_each_side_once() {
        let loss = |work, figure, other: &str, whose, median| {
            let ratio = Spread { low: median, median, high: median, rounds: 5 };
            Loss { title: "", head: "", work, figure, ours: "proact", other: other.into(), whose, ratio }
        };
        let losses = [
            loss("idle", "bytes", "epoll", Whose::Bare, 9.0),
            loss("echo", "cpu_ns", "tokio", Whose::Peer, 3.0),
            loss("echo", "cpu_ns", "ring", Whose::Bare, 2.0),
            loss("echo", "cpu_ns", "monoio", Whose::Peer, 1.5),
        ];
        let side = |work: &str, peer: &str| (work.to_owned(), peer.to_owned());
        assert_eq!(worst(&losses, 1), [side("echo", "proact"), side("echo", "tokio"), side("echo", "ring")]);
    }

    #[test]
    fn of_too_few_rounds_nothing_is_said() {
        let ratio = |rounds| Spread { low: 2.0, median: 2.0, high: 2.0, rounds };
        assert!(!is_loss(&ratio(3)) && is_loss(&ratio(4)));
        assert!(none_lost(3, "No peer is ahead.").starts_with("**Not told**"), "silence is no praise");
        assert_eq!(none_lost(4, "No peer is ahead."), "No peer is ahead.");
    }
}

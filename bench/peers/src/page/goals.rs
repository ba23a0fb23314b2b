//! What was aimed at before it was measured, and whether it is reached: also computed, and never left out.

use std::fmt::Write;

use super::bench::{Row, growth};
use super::losses::{floor, is_loss};
use super::number;
use super::profiles::Profiles;
use super::stats::Values;
use super::subjects::{Column, SUBJECTS, Subject, Whose};

/// One aim, with the most that its figure may be.
struct Goal {
    says: &'static str,
    most: f64,
    of: Of,
}

/// What is compared with the aim.
enum Of {
    /// The ratio of a row of `proact bench` to its floor.
    Ratio(&'static str),
    /// Its median, in its unit.
    Median(&'static str),
    /// How many times as much the greatest size of a row takes as the least, on the backend where that is most.
    Flat(&'static str),
    /// The ratio of one of ours to the floor, in a figure of a work.
    Floor(&'static str, Figure),
    /// The ratio to the best of the peers. Missed is what the page counts as a loss.
    Peer(&'static str, Figure),
    /// The figure itself.
    Value(&'static str, Figure),
    /// How much more than another it is, in the same round.
    Beyond(&'static str, Figure, &'static str),
}

/// Work and figure, as in the rounds.
type Figure = (&'static str, &'static str);

const fn goal(says: &'static str, most: f64, of: Of) -> Goal {
    Goal { says, most, of }
}

const ECHO_64: Figure = ("echo/64", "cpu_ns");
const ECHO_512: Figure = ("echo/512", "cpu_ns");
const HELLO: Figure = ("hello/64", "cpu_ns");
const SLEEP: Figure = ("sleep/100us", "late_p50_us");

const GOALS: &[Goal] = &[
    goal("`nop/1`, ÷ a bare ring", 1.10, Of::Ratio("nop/1")),
    goal("`nop/128`, ÷ a bare ring", 1.25, Of::Ratio("nop/128")),
    goal("`chain/64`, ÷ linked entries of a bare ring", 1.30, Of::Ratio("chain/64")),
    goal("`socket/roundtrip/64`, ÷ a bare ring's", 1.05, Of::Ratio("socket/roundtrip/64")),
    goal("`file/random-4k/32`, ÷ a bare ring's", 1.03, Of::Ratio("file/random-4k/32")),
    goal("`submit/remote/1`, ns: four million a second", 250.0, Of::Median("submit/remote/1")),
    goal("Echo, 64 connections: CPU of `proact`, ÷ the best peer", 1.0, Of::Peer("proact", ECHO_64)),
    goal("Echo, 64 connections: CPU of `proact-async`, ÷ the best peer", 1.0, Of::Peer("proact-async", ECHO_64)),
    goal("Echo, 64 connections: CPU of `proact`, ÷ the floor", 1.05, Of::Floor("proact", ECHO_64)),
    goal("Echo, 512 connections: CPU of `proact`, ÷ the best peer", 1.0, Of::Peer("proact", ECHO_512)),
    goal("Echo, 512 connections: CPU of `proact-async`, ÷ the best peer", 1.0, Of::Peer("proact-async", ECHO_512)),
    goal("Echo, 512 connections: CPU of `proact`, ÷ the floor", 1.05, Of::Floor("proact", ECHO_512)),
    goal("A canned HTTP answer: CPU of `proact-async`, ÷ the best peer", 1.0, Of::Peer("proact-async", HELLO)),
    goal("Giving way once, ns", 37.0, Of::Value("proact-async", ("tasks", "yield_cpu_ns"))),
    goal("A task spawned and joined, ns", 48.0, Of::Value("proact-async", ("tasks", "spawn_join_cpu_ns"))),
    // 600, and the user's own buffer of 512.
    goal("An idle connection with its 512 bytes, bytes", 1112.0, Of::Value("proact-async", ("idle/10000", "bytes"))),
    goal("A sleep of 100 µs: later than a bare ring's, µs", 3.0, Of::Beyond("proact-async", SLEEP, "ring")),
    goal("A sleep of 100 µs that spins: late by, µs", 5.0, Of::Value("proact-async-spin", SLEEP)),
    goal(
        "One timer of 100,000 replaced by `proact-async`, ns",
        150.0,
        Of::Value("proact-async", ("timer-replace/100000", "replace_cpu_ns")),
    ),
    goal("`vm/noop`, ns", 45.0, Of::Median("vm/noop")),
    goal("`vm/add`, ns", 60.0, Of::Median("vm/add")),
    goal("`vm/inline-loop`, ns", 70.0, Of::Median("vm/inline-loop")),
    goal("`vm/lookup`, ns", 15.0, Of::Median("vm/lookup")),
    goal("From 1 to 4096 idle relays", 1.1, Of::Flat("relay")),
    goal("From 1 to 4096 idle handles", 1.1, Of::Flat("source")),
    goal("From 1 to 100,000 timers", 1.1, Of::Flat("growth/timers")),
    goal("From 1 to 10,000 waiters", 1.1, Of::Flat("growth/waiters")),
    goal("From 1 to 1024 connections", 1.1, Of::Flat("growth/connections")),
    goal("From 1 to 4096 axes", 1.1, Of::Flat("growth/axes")),
];

/// What is known of an aim.
struct Found {
    value: f64,
    reached: bool,
}

impl Found {
    fn says(&self, most: f64) -> &'static str {
        match self.reached {
            true if self.value > most => "reached: within the spread of the rounds",
            true => "reached",
            false => "**missed**",
        }
    }
}

impl Goal {
    /// `None`, where it was not measured.
    fn find(&self, values: &Values, rows: &[Row]) -> Option<Found> {
        let below = |value: f64| Found { value, reached: value <= self.most };
        match self.of {
            Of::Ratio(name) => Some(below(row(rows, name)?.ratio?)),
            Of::Median(name) => Some(below(row(rows, name)?.median)),
            Of::Flat(name) => Some(below(flat(rows, name)?)),
            Of::Floor(ours, (work, figure)) => {
                let (subject, column) = subject(work, figure)?;
                let floor = floor(values, subject, column.work, column.figure)?;
                Some(below(values.ratio(work, ours, floor, figure)?.median))
            }
            Of::Peer(ours, (work, figure)) => {
                let peers = values.peers(work, figure).filter(|peer| Whose::of(peer) == Whose::Peer);
                let ratios: Vec<_> = peers.filter_map(|peer| values.ratio(work, ours, peer, figure)).collect();
                let value = ratios.iter().map(|ratio| ratio.median).max_by(f64::total_cmp)?;
                Some(Found { value, reached: !ratios.iter().any(is_loss) })
            }
            Of::Value(ours, (work, figure)) => Some(below(values.spread(work, ours, figure)?.median)),
            Of::Beyond(ours, (work, figure), other) => Some(below(values.more(work, ours, other, figure)?.median)),
        }
    }
}

/// The row of that name, on a ring where there is one.
pub fn row<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    let mut named = rows.iter().filter(|row| row.name == name);
    named.clone().find(|row| row.backend == "io_uring").or_else(|| named.next())
}

fn flat(rows: &[Row], name: &str) -> Option<f64> {
    // poll(2) looks at every descriptor, whoever asks it.
    let growth = growth(rows).into_iter().find(|growth| growth.name == name)?;
    let lines = growth.lines.iter().filter(|(backend, _)| *backend != "poll");
    lines.filter_map(|(_, line)| Some(line.last()?.1 / line.first()?.1)).max_by(f64::total_cmp)
}

fn subject(work: &str, figure: &str) -> Option<(&'static Subject, &'static Column)> {
    let columns = SUBJECTS.iter().flat_map(|subject| subject.columns.iter().map(move |column| (subject, column)));
    columns.into_iter().find(|(_, column)| column.work == work && column.figure == figure)
}

/// The table; below it, of each row of `proact bench` that misses its aim, where its time goes.
pub fn told(values: &Values, rows: &[Row], profiles: &Profiles) -> String {
    let mut text = String::from("| aim | at most | measured | |\n|---|--:|--:|---|\n");
    let mut below = String::new();
    for goal in GOALS {
        let (value, said) = match goal.find(values, rows) {
            None => ("–".into(), "not measured"),
            Some(found) => (exact(found.value), found.says(goal.most)),
        };
        writeln!(text, "| {} | {} | {value} | {said} |", goal.says, exact(goal.most)).expect("a string takes all");
    }
    for name in missed(values, rows) {
        below.push_str(&profiles.of_row(name));
    }
    text.push('\n');
    text + &below
}

/// As [`number`], and ratios with their hundredths.
fn exact(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2}") } else { number(value) }
}

/// The rows of `proact bench` that miss their aim: what is to be profiled.
pub fn missed(values: &Values, rows: &[Row]) -> Vec<&'static str> {
    let name = |goal: &Goal| match goal.of {
        Of::Ratio(name) | Of::Median(name) => Some(name),
        _ => None,
    };
    let missed = |goal: &&Goal| goal.find(values, rows).is_some_and(|found| !found.reached);
    GOALS.iter().filter(missed).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Entry, Line};

    fn values(figures: &[(&str, f64)]) -> Values {
        let line = |(round, &(peer, value)): (u32, &(&str, f64))| {
            let figures = vec![("cpu_ns".into(), value)];
            Entry::Line(Line { work: "echo/64".into(), peer: peer.into(), round, figures, load: 0.0 })
        };
        let rounds = (0..5).flat_map(|round| figures.iter().map(move |figure| line((round, figure))));
        Values::of(&rounds.collect::<Vec<_>>())
    }

    fn rows(text: &str) -> Vec<Row> {
        text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    fn found(of: Of, most: f64, values: &Values, rows: &[Row]) -> (f64, bool) {
        let found = goal("", most, of).find(values, rows).expect("it was measured");
        (found.value, found.reached)
    }

    #[test]
    fn an_aim_is_compared_with_what_it_is_of() {
        let none = Values::default();
        let text = r#"{"name":"nop/1","backend":"epoll","unit":"ns","median":50.0}
{"name":"nop/1","backend":"io_uring","unit":"ns","median":300.0,"ratio":1.2}
{"name":"relay/1","backend":"io_uring","unit":"ns","median":10.0}
{"name":"relay/8","backend":"io_uring","unit":"ns","median":11.0}
{"name":"relay/1","backend":"epoll","unit":"ns","median":10.0}
{"name":"relay/8","backend":"epoll","unit":"ns","median":15.0}
{"name":"relay/1","backend":"poll","unit":"ns","median":10.0}
{"name":"relay/8","backend":"poll","unit":"ns","median":90.0}"#;
        let rows = rows(text);
        assert_eq!(found(Of::Ratio("nop/1"), 1.1, &none, &rows), (1.2, false));
        assert_eq!(found(Of::Median("nop/1"), 300.0, &none, &rows), (300.0, true));
        assert_eq!(found(Of::Flat("relay"), 1.1, &none, &rows), (1.5, false));
        assert!(goal("", 1.0, Of::Ratio("absent")).find(&none, &rows).is_none());
        assert_eq!(missed(&none, &rows), ["nop/1"]);
        let page = told(&none, &rows, &Profiles::default());
        assert!(page.contains("| `nop/1`, ÷ a bare ring | 1.10 | 1.20 | **missed** |\n"), "{page}");
        assert!(page.contains("| – | not measured |\n"), "{page}");
    }

    #[test]
    fn peers_are_those_of_the_rounds_and_the_best_of_them_decides() {
        let figures = [("proact", 100.0), ("tokio", 90.0), ("compio", 120.0), ("epoll", 80.0), ("ring", 50.0)];
        let values = values(&figures);
        let (ratio, reached) = found(Of::Peer("proact", ECHO_64), 1.0, &values, &[]);
        assert!((ratio - 100.0 / 90.0).abs() < 1e-9 && !reached);
        assert_eq!(found(Of::Floor("proact", ECHO_64), 1.05, &values, &[]), (2.0, false));
        assert_eq!(found(Of::Value("proact", ECHO_64), 100.0, &values, &[]), (100.0, true));
        assert_eq!(found(Of::Beyond("proact", ECHO_64, "tokio"), 9.0, &values, &[]), (10.0, false));
    }

    #[test]
    fn every_aim_of_a_work_names_one_that_is_told_of() {
        for goal in GOALS {
            if let Of::Floor(_, (work, figure)) | Of::Peer(_, (work, figure)) = goal.of {
                assert!(subject(work, figure).is_some(), "{work} {figure}");
            }
        }
    }
}

//! `docs/benchmarks.md` and its plots, from the rounds of a run. Nothing is measured here.

mod bench;
mod goals;
mod losses;
mod plot;
mod profiles;
mod reference;
mod stats;
mod subjects;

use std::fmt::Write;
use std::path::Path;

use crate::Failure;
use crate::machine::Machine;
use crate::run::{self, Entry};
use losses::{Loss, floor, losses, none_lost};
use plot::Panel;
use profiles::Profiles;
use stats::{Spread, Values};
use subjects::{Column, SUBJECTS, Subject, Whose};

/// The page's words. Each `{{name}}` is replaced.
const TEMPLATE: &str = include_str!("template.md");
/// What the peers' versions are taken from.
const LOCK: &str = include_str!("../../Cargo.lock");
const VERSIONS: [&str; 6] = ["tokio", "compio", "monoio", "glommio", "io-uring", "hyper"];

/// Three digits that count, and thousands apart.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let decimals = match value.abs() {
        0.0 => 0,
        less if less < 0.0995 => return format!("{value:.0e}"),
        less if less < 9.995 => 2,
        less if less < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(a, b)| (a, format!(".{b}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

/// Writes the page into `folder`, and its plots into `folder/benchmarks`.
pub fn write(file: &str, folder: &str, bench: Option<&str>, profiles: Option<&str>) -> Result<(), Failure> {
    let entries = run::read(file)?;
    let program = run::program(file, &entries)?;
    let values = Values::of(&entries);
    let profiles = profiles.map(|file| Profiles::read(file, &program)).transpose()?.unwrap_or_default();
    let plots = Path::new(folder).join("benchmarks");
    std::fs::create_dir_all(&plots)?;
    let mut tables = String::new();
    for subject in SUBJECTS {
        if let Some(text) = told(subject, &values, &plots)? {
            tables.push_str(&text);
        }
    }
    let rows = bench.map(|file| bench::read(file, &program)).transpose()?.unwrap_or_default();
    let (losses, tried) = (losses(&values), versions(LOCK));
    let of = |whose| losses.iter().filter(move |loss| loss.whose == whose);
    let rounds = rounds(&entries);
    let none = |good| none_lost(rounds, good);
    let page = [
        ("machine", machine(&entries)),
        ("versions", tried),
        ("profiles", profiles.says()),
        ("against_peers", list(of(Whose::Peer), &profiles, &values, &none("No peer is ahead."))),
        ("against_floor", list(of(Whose::Bare), &profiles, &values, &none("Nothing is above its floor."))),
        ("goals", goals::told(&values, &rows, &profiles)),
        ("reference", reference::table(&rows)),
        ("tables", tables),
        ("bench", benches(&rows, &plots)?),
    ];
    let mut text = String::from(TEMPLATE);
    for (name, value) in page {
        text = text.replace(&format!("{{{{{name}}}}}"), value.trim_end());
    }
    std::fs::write(Path::new(folder).join("benchmarks.md"), text)?;
    Ok(())
}

/// One subject: its words, its plot, its table. `None`, if it was not measured.
fn told(subject: &Subject, values: &Values, plots: &Path) -> Result<Option<String>, Failure> {
    let ranked: Vec<&Column> = subject.columns.iter().filter(|column| column.ranks).collect();
    let panel = |column: &&Column| {
        let known = values.peers(column.work, column.figure);
        let spreads = known.filter_map(|peer| Some((peer.into(), values.spread(column.work, peer, column.figure)?)));
        let mut bars: Vec<(String, Spread)> = spreads.collect();
        bars.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
        Panel { head: format!("{}: {}", subject.title, column.head), bars }
    };
    let panels: Vec<Panel> = ranked.iter().map(panel).filter(|panel| !panel.bars.is_empty()).collect();
    let Some(first) = panels.first() else { return Ok(None) };
    std::fs::write(plots.join(format!("{}.svg", subject.slug)), plot::bars(&panels)?)?;
    let mut names: Vec<&str> = first.bars.iter().map(|(name, _)| name.as_str()).collect();
    for (name, _) in panels.iter().skip(1).flat_map(|panel| &panel.bars) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }

    let Subject { title, slug, says, .. } = subject;
    let mut text = format!("### {title}\n\n{says}\n\n![{title}: the table below as bars](benchmarks/{slug}.svg)\n\n");
    let (mut head, mut rule) = (String::from("| |"), String::from("|---|"));
    for column in subject.columns {
        write!(head, " {} |", column.head)?;
        rule.push_str("--:|");
        if column.ranks {
            match floor(values, subject, column.work, column.figure) {
                Some(floor) => write!(head, " ÷ `{floor}` | ÷ `proact-async` |")?,
                None => write!(head, " ÷ `proact-async` |")?,
            }
            rule.push_str(if subject.floors.is_empty() { "--:|" } else { "--:|--:|" });
        }
    }
    writeln!(text, "{head}\n{rule}")?;
    for name in names {
        write!(text, "| {}`{name}` |", if Whose::of(name) == Whose::Ours { "**→** " } else { "" })?;
        for column in subject.columns {
            let (work, figure) = (column.work, column.figure);
            let spread = values.spread(work, name, figure);
            let cell = match (spread, column.ranks) {
                (Some(Spread { low, median, high, .. }), true) => {
                    format!("{} ({}–{})", number(median), number(low), number(high))
                }
                (Some(Spread { median, .. }), false) => number(median),
                (None, _) => "–".into(),
            };
            write!(text, " {cell} |")?;
            if column.ranks {
                let floor = floor(values, subject, work, figure);
                for other in floor.into_iter().chain(["proact-async"]) {
                    let ratio = values.ratio(work, name, other, figure);
                    write!(text, " {} |", ratio.map_or("–".into(), |ratio| format!("{:.2}", ratio.median)))?;
                }
            }
        }
        text.push('\n');
    }
    text.push('\n');
    Ok(Some(text))
}

/// How many there are.
fn rounds(entries: &[Entry]) -> u32 {
    let lines = entries.iter().filter_map(|entry| if let Entry::Line(line) = entry { Some(line) } else { None });
    lines.map(|line| line.round + 1).max().unwrap_or(0)
}

/// What it was measured on, and when.
fn machine(entries: &[Entry]) -> String {
    let mut machines: Vec<&Machine> = Vec::new();
    let (mut loads, rounds) = (Vec::new(), rounds(entries));
    for entry in entries {
        match entry {
            Entry::Machine(machine) => machines.push(machine),
            Entry::Line(line) => loads.push(line.load),
        }
    }
    let mut text = String::new();
    let mut lines: Vec<String> = Vec::new();
    for machine in machines {
        let Machine { processor, processors, kernel, governor, date, usable, .. } = machine;
        let governor = governor.as_deref().unwrap_or("not told by the system");
        let usable = match usable {
            Some(1) => " of which one might be used, so that server and load generator shared it,",
            _ => "",
        };
        let line = format!(
            "- {date}: {processor}, {processors} processors,{usable} Linux {kernel}, frequency governor: {governor}.\n"
        );
        if !lines.contains(&line) {
            text.push_str(&line);
            lines.push(line);
        }
    }
    if let Some(program) = entries.iter().find_map(|entry| match entry {
        Entry::Machine(machine) => machine.program.as_ref(),
        Entry::Line(_) => None,
    }) {
        text.push_str(&format!("- Measured: {program}.\n"));
    }
    let load = Spread::of(loads).map_or(String::from("not known"), |load| {
        format!("{:.1} in the middle, half of the time between {:.1} and {:.1}", load.median, load.low, load.high)
    });
    text + &format!("- {rounds} rounds. Load average while measuring: {load}; the two that measure are in it.\n")
}

/// The peers' versions, as `Cargo.lock` names them.
fn versions(lock: &str) -> String {
    let of = |name: &&str| {
        let found = lock.split("[[package]]").filter_map(|package| {
            let mut lines = package.trim().lines();
            let named = lines.next()?.strip_prefix("name = \"")?.strip_suffix('"')? == *name;
            named.then(|| lines.next()?.strip_prefix("version = \"")?.strip_suffix('"'))?
        });
        // Where one of the peers brings an older one of its own, ours is the last.
        found.last().map(|version| format!("{name} {version}"))
    };
    VERSIONS.iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// Both sides, by work, of the `most` worst losses of each kind: what is to be profiled.
pub fn worst(entries: &[Entry], most: usize) -> Vec<(String, String)> {
    losses::worst(&losses(&Values::of(entries)), most)
}

/// The rows of `proact bench`, in its `file`, that miss what was aimed at: to be profiled, too.
pub fn missed(entries: &[Entry], file: &str, program: &Option<String>) -> Result<Vec<&'static str>, Failure> {
    Ok(goals::missed(&Values::of(entries), &bench::read(file, program)?))
}

fn list<'a>(losses: impl Iterator<Item = &'a Loss>, profiles: &Profiles, values: &Values, none: &str) -> String {
    let line = |loss: &Loss| {
        let Loss { title, head, ours, other, ratio, .. } = loss;
        let Spread { low, median, high, .. } = ratio;
        let why = profiles.beside(loss, values);
        format!(
            "- {title} ({head}): `{ours}` takes {median:.2} times what `{other}` takes ({low:.2}–{high:.2}).\n{why}"
        )
    };
    let text: String = losses.map(line).collect();
    if text.is_empty() { none.into() } else { text }
}

/// What `proact bench` said, and its plot.
fn benches(rows: &[bench::Row], plots: &Path) -> Result<String, Failure> {
    if rows.is_empty() {
        return Ok("Not part of this run.".into());
    }
    let growth = bench::growth(rows);
    let mut text = String::new();
    if !growth.is_empty() {
        std::fs::write(plots.join("growth.svg"), plot::growth(&growth)?)?;
        text.push_str("![Cost against size, for each measure with several sizes](benchmarks/growth.svg)\n\n");
    }
    let above = rows.iter().filter(|row| row.ratio.is_some_and(|ratio| ratio > 1.1)).count();
    let with = rows.iter().filter(|row| row.ratio.is_some()).count();
    write!(text, "{above} of {with} rows with a floor are more than a tenth above it.\n\n")?;
    Ok(text + &bench::table(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let told = [0.0, 0.0123, 0.5, 1.234, 12.34, 123.4, 3612.4, 1_234_567.0].map(number);
        assert_eq!(told, ["0", "1e-2", "0.50", "1.23", "12.3", "123", "3,612", "1,234,567"]);
    }

    #[test]
    fn every_placeholder_of_the_template_is_known() {
        let mut rest = TEMPLATE;
        for name in [
            "machine",
            "versions",
            "profiles",
            "against_peers",
            "against_floor",
            "goals",
            "reference",
            "tables",
            "bench",
        ] {
            assert_eq!(TEMPLATE.matches(&format!("{{{{{name}}}}}")).count(), 1, "{name}");
        }
        assert_eq!(rest.matches("{{").count(), 9);
        rest = LOCK;
        assert_eq!(versions(rest).split(", ").count(), VERSIONS.len());
    }
}

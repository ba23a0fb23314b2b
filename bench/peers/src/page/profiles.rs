//! Beside a loss, where its time goes: what each side spends in the symbols in which ours spends more.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::losses::Loss;
use super::number;
use super::stats::Values;
use crate::Failure;
use crate::profile::{Head, Profile};
use crate::run::refuse_another;

/// Symbols of a table.
const SHOWN: usize = 8;
/// What a symbol of either side takes at least, of all.
const LEAST: f64 = 0.005;
/// Signs of a symbol.
const NAME: usize = 72;

/// The profiles of a run.
#[derive(Default)]
pub struct Profiles {
    head: Option<Head>,
    all: Vec<Profile>,
}

impl Profiles {
    /// Reads `file`, which must be of the same program as the rounds.
    pub fn read(file: &str, program: &Option<String>) -> Result<Profiles, Failure> {
        let (head, all) = crate::profile::read(file)?;
        refuse_another(file, &head.program, program)?;
        Ok(Profiles { head: Some(head), all })
    }

    /// How they were taken, or why there are none.
    pub fn says(&self) -> String {
        match &self.head {
            None => "No profiles were taken.".into(),
            Some(Head { missing: Some(why), .. }) => format!("No profiles were taken: {why}."),
            Some(Head { perf, .. }) => format!(
                "The worst of each list have profiles of both sides below them ({}, `cpu-clock`), taken after the\n\
                 rounds: the symbols in which ours spends more, the greatest difference first, each with its share of \
                 the\nsamples and what that is of the median. A work without a server is sampled from its process's \
                 begin to its end,\npreparation and warm-up included.",
                perf.as_deref().unwrap_or("perf")
            ),
        }
    }

    fn of(&self, work: &str, peer: &str) -> Option<&Profile> {
        self.all.iter().find(|profile| profile.work == work && profile.peer == peer)
    }

    /// What stands below the aims of a row of `proact bench` that misses its. Nothing, where it has not been profiled.
    pub fn of_row(&self, name: &str) -> String {
        match self.of(name, crate::profile::BENCH) {
            None => String::new(),
            Some(Profile { missing: Some(why), .. }) => format!("No profile of `{name}`: {why}.\n\n"),
            Some(profile) => format!("`{name}`, {} samples:\n\n{}\n", profile.samples, row_table(profile)),
        }
    }

    /// What stands below the line of `loss`, indented as its part. Nothing, where it has not been profiled.
    pub fn beside(&self, loss: &Loss, values: &Values) -> String {
        let sides = [loss.ours, loss.other.as_str()];
        let [Some(ours), Some(other)] = sides.map(|side| self.of(loss.work, side)) else { return String::new() };
        if let Some(why) = ours.missing.as_ref().or(other.missing.as_ref()) {
            return format!("\n  No profile: {why}.\n\n");
        }
        let median = |side| values.spread(loss.work, side, loss.figure).map_or(f64::NAN, |spread| spread.median);
        table([ours, other], sides, sides.map(median), unit(loss.figure))
    }
}

/// Where the time of a row of `proact bench` goes, both sides in one process: by whose code it is, and its symbols.
fn row_table(profile: &Profile) -> String {
    let mut text = String::from("| share | |\n|--:|---|\n");
    let mut write = |share: f64, what: &str| {
        writeln!(text, "| {:.1} % | {what} |", 100.0 * share).expect("a string takes all");
    };
    let user = || profile.symbols.iter().filter(|symbol| !symbol.kernel);
    let of =
        |mine: fn(&str) -> bool| user().filter(|s| mine(&s.name)).map(|s| s.share).fold(0.0, |sum, share| sum + share);
    let (ours, floor) = (of(is_ours), of(is_measure));
    let kernel: f64 = profile.symbols.iter().filter(|symbol| symbol.kernel).map(|symbol| symbol.share).sum();
    write(kernel, "*the kernel, for both*");
    write(ours, "*the library*");
    write(floor, "*the measure: the floor, and callbacks of ours*");
    write((1.0 - kernel - ours - floor).max(0.0), "*what else is of the process*");
    let shown_of = user().filter(|symbol| symbol.share >= LEAST).take(SHOWN);
    shown_of.for_each(|symbol| write(symbol.share, &shown(&symbol.name)));
    text
}

fn is_ours(symbol: &str) -> bool {
    symbol.trim_start_matches(['<', '&']).starts_with("proact::")
}

fn is_measure(symbol: &str) -> bool {
    symbol.trim_start_matches(['<', '&']).starts_with("proact_cts::")
}

fn unit(figure: &str) -> &'static str {
    if figure.ends_with("_us") { "µs" } else { "ns" }
}

fn share(profile: &Profile, name: &str, kernel: bool) -> f64 {
    let found = profile.symbols.iter().find(|symbol| symbol.name == name && symbol.kernel == kernel);
    found.map_or(0.0, |symbol| symbol.share)
}

fn table(profiles: [&Profile; 2], names: [&str; 2], medians: [f64; 2], unit: &str) -> String {
    let kernel = profiles.map(|profile| profile.symbols.iter().filter(|s| s.kernel).map(|s| s.share).sum::<f64>());
    let all: BTreeSet<(&str, bool)> = profiles
        .iter()
        .flat_map(|profile| &profile.symbols)
        .filter(|symbol| symbol.share >= LEAST)
        .map(|symbol| (symbol.name.as_str(), symbol.kernel))
        .collect();
    let row = |(name, kernel): (&str, bool)| {
        let shares = profiles.map(|profile| share(profile, name, kernel));
        (shown(name), if kernel { "kernel" } else { "user" }, shares)
    };
    let more = |shares: [f64; 2]| shares[0] * medians[0] - shares[1] * medians[1];
    let mut rows: Vec<_> = all.into_iter().map(row).collect();
    // Where ours spends more: the reasons, the greatest first.
    rows.sort_by(|a, b| more(b.2).total_cmp(&more(a.2)));
    rows.retain(|row| more(row.2) > 0.0);
    rows.truncate(SHOWN);
    let sums =
        [("*kernel, all of it*", "kernel", kernel), ("*user, all of it*", "user", kernel.map(|part| 1.0 - part))];
    let sums = sums.into_iter().map(|(name, whose, shares)| (name.to_owned(), whose, shares));
    let mut text = String::from("\n");
    let write = |text: &mut String, line: &str| writeln!(text, "  {line}").expect("a string takes all");
    write(&mut text, &format!("| {unit} | | `{}` | `{}` | more |", names[0], names[1]));
    write(&mut text, "|---|---|--:|--:|--:|");
    for (name, whose, shares) in sums.chain(rows) {
        let cell = |side: usize| format!("{} ({:.1} %)", number(shares[side] * medians[side]), 100.0 * shares[side]);
        let more = more(shares);
        let sign = if more > 0.0 { "+" } else { "" };
        write(&mut text, &format!("| {name} | {whose} | {} | {} | {sign}{} |", cell(0), cell(1), number(more)));
    }
    let samples = profiles.map(|profile| profile.samples);
    text.push('\n');
    write(&mut text, &format!("{} and {} samples.{}", samples[0], samples[1], unseen(kernel)));
    text.push('\n');
    text
}

/// A kernel that is not sampled takes no time by the table, and must not look so.
fn unseen(kernel: [f64; 2]) -> &'static str {
    match kernel.contains(&0.0) {
        true => " The kernel's part was not to be seen (`kernel.perf_event_paranoid`).",
        false => "",
    }
}

/// As code of a table's cell, cut in the middle where it is long.
fn shown(name: &str) -> String {
    let signs: Vec<char> = name.chars().filter(|sign| *sign != '`').collect();
    let text: String = match signs.len() > NAME {
        true => signs[..NAME / 2].iter().chain(&['…']).chain(&signs[signs.len() - NAME / 2..]).collect(),
        false => signs.into_iter().collect(),
    };
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Symbol;

    fn profile(symbols: &[(&str, bool, f64)]) -> Profile {
        let symbol = |&(name, kernel, share): &(&str, bool, f64)| Symbol { name: name.into(), kernel, share };
        Profile { samples: 1000, symbols: symbols.iter().map(symbol).collect(), ..Profile::default() }
    }

    #[test]
    fn a_table_shows_where_ours_takes_more_and_what_that_is_of_the_figure() {
        let ours = profile(&[("send", true, 0.5), ("poll", false, 0.3), ("lock", true, 0.2)]);
        let other = profile(&[("send", true, 0.75), ("run", false, 0.25)]);
        let text = table([&ours, &other], ["proact", "tokio"], [1000.0, 800.0], "ns");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[1], "| ns | | `proact` | `tokio` | more |");
        assert_eq!(lines[3], "| *kernel, all of it* | kernel | 700 (70.0 %) | 600 (75.0 %) | +100 |");
        // The greatest difference first; what takes less of ours is no reason.
        assert_eq!(lines[5], "| `poll` | user | 300 (30.0 %) | 0 (0.0 %) | +300 |");
        assert_eq!(lines[6], "| `lock` | kernel | 200 (20.0 %) | 0 (0.0 %) | +200 |");
        assert!(!text.contains("`send`") && !text.contains("`run`"), "{text}");
        assert!(text.contains("1000 and 1000 samples.") && !text.contains("paranoid"));
    }

    #[test]
    fn what_was_not_seen_or_not_taken_is_said() {
        let user = profile(&[("poll", false, 1.0)]);
        assert!(table([&user, &user], ["a", "b"], [1.0, 1.0], "ns").contains("perf_event_paranoid"));
        assert_eq!(Profiles::default().says(), "No profiles were taken.");
        let head = Some(Head { missing: Some("perf: not found".into()), ..Head::default() });
        assert_eq!(Profiles { head, all: Vec::new() }.says(), "No profiles were taken: perf: not found.");
    }

    #[test]
    fn a_row_shows_whose_its_time_is() {
        let symbols = [
            ("io_submit_sqes", true, 0.6),
            ("<proact::operation::engine::Engine>::poll", false, 0.2),
            ("proact_cts::measures::nop::floor", false, 0.1),
        ];
        let text = row_table(&profile(&symbols));
        for line in ["| 60.0 % | *the kernel", "| 20.0 % | *the library", "| 10.0 % | *the measure", "| 10.0 % | *what"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.contains("| 20.0 % | `<proact::operation::engine::Engine>::poll` |"), "{text}");
        assert!(!text.contains("io_submit_sqes"), "the kernel's symbols are both sides': {text}");
    }

    #[test]
    fn long_names_are_cut_in_the_middle_and_break_no_table() {
        let name = "a|b".repeat(60);
        let shown = shown(&name);
        assert!(shown.chars().count() < 2 * NAME && shown.contains('…') && !shown.contains("a|b"), "{shown}");
    }
}

//! What became of every case on every configuration, and the table that `docs/conformance.md` shows of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::config::{self, Configuration};
use crate::harness::Case;

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ran {
    /// It did what it says.
    Passed,
    /// It could not be shown here, and why.
    Skipped(String),
    /// It did not, and what came instead.
    Failed(String),
}

/// By subject and case, and then by configuration.
pub type Results = BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, Ran>>;

static KEPT: Mutex<Results> = Mutex::new(BTreeMap::new());

/// Takes note of one.
pub fn keep(configuration: &'static str, subject: &'static str, case: &'static str, ran: &Ran) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.entry((subject, case)).or_default().insert(configuration, ran.clone());
}

/// All that was taken note of so far.
pub fn kept() -> Results {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The head of a subject's section in the table.
pub fn heading(subject: &str) -> String {
    format!("### {subject}")
}

/// The beginning of a case's line in the table.
pub fn line_of(case: &str) -> String {
    format!("| `{case}` |")
}

/// The table of `groups` with `results`, in Markdown: configurations, totals, a section for each subject, and the
/// reasons of the skips.
pub fn table(groups: &[(&'static str, &'static [Case])], results: &Results) -> String {
    let configurations = config::all();
    let mut reasons = Vec::new();
    let mut sections = String::new();
    for (subject, cases) in groups {
        let _ = writeln!(sections, "\n{}\n", heading(subject));
        let _ = writeln!(sections, "| case |{}", head(configurations));
        let _ = writeln!(sections, "|---|{}", "---|".repeat(configurations.len()));
        for case in *cases {
            let ran = results.get(&(*subject, case.name));
            let _ = write!(sections, "{}", line_of(case.name));
            for configuration in configurations {
                let cell = cell(ran.and_then(|ran| ran.get(configuration.name)), &mut reasons);
                let _ = write!(sections, " {cell} |");
            }
            sections.push('\n');
        }
    }
    let mut text = format!("## The configurations\n\n{}\n## The cases\n", totals(configurations, results));
    text.push_str(
        "\n`+` passed, `s` and a number skipped for that reason (below), `.` not about that configuration.\n",
    );
    text.push_str(&sections);
    text.push_str("\n### Reasons of the skips\n\n");
    for (index, reason) in reasons.iter().enumerate() {
        let _ = writeln!(text, "- `s{}`: {reason}", index + 1);
    }
    if reasons.is_empty() {
        text.push_str("Nothing was skipped.\n");
    }
    text
}

fn head(configurations: &[Configuration]) -> String {
    (1..=configurations.len()).fold(String::new(), |head, number| head + &format!(" {number} |"))
}

fn cell(ran: Option<&Ran>, reasons: &mut Vec<String>) -> String {
    match ran {
        None => String::from("."),
        Some(Ran::Passed) => String::from("+"),
        Some(Ran::Failed(_)) => String::from("FAILED"),
        Some(Ran::Skipped(why)) => {
            let at = reasons.iter().position(|reason| reason == why).unwrap_or_else(|| {
                reasons.push(why.clone());
                reasons.len() - 1
            });
            format!("s{}", at + 1)
        }
    }
}

fn totals(configurations: &[Configuration], results: &Results) -> String {
    let mut text = String::from("| | configuration | masked | passed | skipped |\n|---|---|---|---|---|\n");
    let mut all = [0, 0];
    for (index, configuration) in configurations.iter().enumerate() {
        let of_this = || results.values().filter_map(|ran| ran.get(configuration.name));
        let passed = of_this().filter(|ran| **ran == Ran::Passed).count();
        let skipped = of_this().filter(|ran| matches!(ran, Ran::Skipped(_))).count();
        let masked = match configuration.masked {
            none if none.is_empty() => String::from("nothing"),
            every if every.is_all() => String::from("everything"),
            some => some.iter_names().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        };
        let _ = writeln!(text, "| {} | `{}` | {masked} | {passed} | {skipped} |", index + 1, configuration.name);
        all = [all[0] + passed, all[1] + skipped];
    }
    let count = configurations.len();
    let _ = writeln!(text, "| | **{} cases, {count} configurations** | | {} | {} |", results.len(), all[0], all[1]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_case_with_its_outcomes_and_each_reason_once() {
        const CASES: &[Case] = &[Case::new("first", |_| ()), Case::new("second", |_| ())];
        let names: Vec<_> = config::all().iter().map(|configuration| configuration.name).collect();
        let mut results = Results::new();
        let skipped = || Ran::Skipped(String::from("no such thing"));
        results.entry(("made_up", "first")).or_default().insert(names[0], Ran::Passed);
        results.entry(("made_up", "first")).or_default().insert(names[1], skipped());
        results.entry(("made_up", "second")).or_default().insert(names[1], skipped());
        let text = table(&[("made_up", CASES)], &results);
        let line = |case| text.lines().find(|line| line.starts_with(&line_of(case))).expect("a line");
        assert!(line("first").starts_with("| `first` | + | s1 | . |"), "{text}");
        assert!(line("second").starts_with("| `second` | . | s1 | . |"), "{text}");
        assert_eq!(text.matches("no such thing").count(), 1);
        assert!(text.contains("| 1 | 2 |\n"), "one passed, two skipped: {text}");
    }
}

//! `docs/conformance.md` speaks of the suite as it is.

use std::collections::BTreeSet;
use std::path::Path;

use proact_cts::{cases, record};

/// How the table is written again.
const COMMAND: &str = "cargo run -p proact-cts --bin conformance-table";

/// The cases that `text` has lines of, as `subject/case`.
fn listed(text: &str) -> BTreeSet<String> {
    let mut subject = "";
    let mut listed = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(&record::heading("")) {
            subject = name;
        } else if let Some((case, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) {
            if !subject.is_empty() {
                listed.insert(format!("{subject}/{case}"));
            }
        }
    }
    listed
}

fn suite() -> BTreeSet<String> {
    let names = |(group, cases): &(&str, &'static [proact_cts::harness::Case])| {
        cases.iter().map(|case| format!("{group}/{}", case.name)).collect::<Vec<_>>()
    };
    cases::GROUPS.iter().flat_map(names).collect()
}

#[test]
fn the_table_lists_exactly_the_cases_of_the_suite() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = std::fs::read_to_string(&path).expect("docs/conformance.md");
    let (listed, suite) = (listed(&text), suite());
    let missing: Vec<_> = suite.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&suite).collect();
    assert!(missing.is_empty() && gone.is_empty(), "run `{COMMAND}`; not listed: {missing:?}; gone: {gone:?}");
    assert!(!text.contains("FAILED"), "the table was written of a run that failed");
}

#[test]
fn a_line_that_is_missing_or_too_many_is_seen() {
    let group = cases::GROUPS[0].0;
    let text = format!("{}\n\n| case | 1 |\n|---|---|\n{} + |\n", record::heading(group), record::line_of("made_up"));
    assert_eq!(listed(&text), BTreeSet::from([format!("{group}/made_up")]));
    assert!(!suite().contains(&format!("{group}/made_up")) && suite().len() > 200);
}

//! `docs/conformance.md` speaks of the suite as it is.

use std::collections::BTreeSet;
use std::path::Path;

use proact_cts::faults::{By, KNOWN};
use proact_cts::{cases, document, record};

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
    let some = |names: BTreeSet<&String>| {
        let shown: Vec<_> = names.iter().take(3).collect();
        format!("{} such as {shown:?}", names.len())
    };
    let missing: BTreeSet<_> = suite.difference(&listed).collect();
    let gone: BTreeSet<_> = listed.difference(&suite).collect();
    let same = missing.is_empty() && gone.is_empty();
    assert!(same, "run `{COMMAND}`; not listed are {}, and gone {}", some(missing), some(gone));
    assert!(!text.contains("FAILED"), "the table was written of a run that failed");
}

#[test]
fn the_table_of_faults_is_the_one_in_the_sources() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = std::fs::read_to_string(&path).expect("docs/conformance.md");
    assert!(text.ends_with(&document::section()), "run `{COMMAND}`");
}

#[test]
fn readme_says_how_many_cases_there_are() {
    let read =
        |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap();
    let table = read("docs/conformance.md");
    let total = table.lines().find_map(|line| line.strip_prefix("| | **")?.split_once("**")).expect("a last row").0;
    let said = total.replace(", ", " on ");
    assert!(read("README.md").contains(&said), "README does not say {said:?}");
}

/// The text of every source file below `folder`.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn every_test_that_is_named_for_a_fault_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let mut text = String::new();
    for folder in ["proact/src", "proact/tests", "proact-cts/src/cases", "proact-cts/tests"] {
        sources(&root.join(folder), &mut text);
    }
    let named = KNOWN.iter().filter_map(|known| match known.by {
        By::Tests(names) => Some((known.number, names)),
        _ => None,
    });
    for (number, names) in named {
        assert!(!names.is_empty(), "{number} names no test");
        for name in names {
            assert!(text.contains(&format!("fn {name}(")), "{number} names {name}, which is no test");
        }
    }
}

#[test]
fn a_line_that_is_missing_or_too_many_is_seen() {
    let group = cases::GROUPS[0].0;
    let text = format!("{}\n\n| case | 1 |\n|---|---|\n{} + |\n", record::heading(group), record::line_of("made_up"));
    assert_eq!(listed(&text), BTreeSet::from([format!("{group}/made_up")]));
    assert!(!suite().contains(&format!("{group}/made_up")) && suite().len() > 200);
}

//! `docs/operations.md` has a row for every kind of operation, and no other.

use std::collections::BTreeSet;

use crate::scan::tokens;
use crate::{expect_none, files, root};

/// The kinds that a source declares: by an implementation, or by one of the macros that write it.
fn kinds(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = BTreeSet::new();
    for at in 0..tokens.len() {
        let writes = (text(at).ends_with("_kind") || text(at) == "pooled") && text(at + 1) == "!";
        let name = if text(at) == "Kind" && text(at + 1) == "for" {
            text(at + 2)
        } else if writes && text(at + 3) == "[" {
            // Generic parameters come before the name.
            (at + 4..tokens.len()).find(|&end| text(end) == "]").map_or("", |end| text(end + 1))
        } else if writes {
            text(at + 3)
        } else {
            continue;
        };
        // A macro's own name for its kind is no name.
        if name.starts_with(char::is_alphabetic) {
            found.insert(name.to_owned());
        }
    }
    found
}

/// The names in the first column of the table, in its order.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name)
}

fn rows(text: &str) -> BTreeSet<String> {
    names(text).map(String::from).collect()
}

/// Operations that have more than one row.
fn repeated(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = names(text).filter(|name| !seen.insert(*name));
    again.map(|name| format!("docs/operations.md has more than one row for `{name}`")).collect()
}

/// What is wrong with `rows`, of these kinds.
fn faults(rows: &BTreeSet<String>, kinds: &BTreeSet<String>) -> Vec<String> {
    let missing = kinds.difference(rows).map(|kind| format!("docs/operations.md has no row for `{kind}`"));
    let extra = rows.difference(kinds).map(|row| format!("docs/operations.md: `{row}` is no operation"));
    missing.chain(extra).collect()
}

#[test]
fn every_operation_has_a_row() {
    let sources = files(|path| path.starts_with("proact/src/operation/") && path.ends_with(".rs"));
    let declared: BTreeSet<String> = sources.iter().flat_map(|file| kinds(&file.text)).collect();
    let module = sources.iter().find(|file| file.path.ends_with("operation/mod.rs")).expect("the module");
    let exported: BTreeSet<String> = tokens(&module.text).into_iter().map(|token| token.text).collect();
    let public = declared.intersection(&exported).cloned().collect();
    let text = std::fs::read_to_string(root().join("docs/operations.md")).expect("docs/operations.md");
    expect_none(faults(&rows(&text), &public));
    expect_none(repeated(&text));
}

#[test]
fn rows_and_operations_that_do_not_match_are_found() {
    let source = "impl<B: Bytes> Kind for Read<B> {} impl Kind for $name {} file_kind!(Sync, ()); \
        pooled!(Take, true); a_kind!([B: Bytes] Get<B>, 1); \
        macro_rules! pooled { ($name:ident) => {} } impl Other for Not {}";
    assert_eq!(kinds(source), ["Get", "Read", "Sync", "Take"].map(String::from).into());
    let table = "| operation | what |\n|---|---|\n| `Read` | a |\n| `Gone` | b |\n";
    let found = faults(&rows(table), &kinds(source));
    assert_eq!(found.len(), 4, "Get, Sync and Take have no row, Gone is none: {found:?}");
    assert_eq!(repeated(table), Vec::<String>::new());
    let twice = format!("{table}| `Read` | b |\n");
    assert_eq!(repeated(&twice), ["docs/operations.md has more than one row for `Read`"]);
}

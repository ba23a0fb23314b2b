//! What of the crate is a future, and whether it is in the table.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cases::{CASES, EXEMPT};

/// Every public `async fn`, future and stream of the crate, by its room, its type and its name.
fn futures() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("the sources are there").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("below the root");
                let first = inside.iter().next().expect("a name").to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).expect("the sources are text");
                scan(first.trim_end_matches(".rs"), &text, &mut found);
            }
        }
    }
    found
}

fn scan(room: &str, text: &str, found: &mut BTreeSet<String>) {
    let mut of = None;
    for line in text.lines() {
        if line.starts_with("impl") {
            let head = line.split('{').next().unwrap_or(line).trim();
            for what in [" Future for ", " Stream for "] {
                if let Some((_, name)) = head.split_once(what) {
                    found.insert(format!("{room}::{}", bare(name)));
                }
            }
            let name = head.split(" for ").last().unwrap_or(head);
            let name = name.strip_prefix("impl").unwrap_or(name).trim_start();
            // The parameters of the block itself.
            let name = match name.strip_prefix('<') {
                Some(rest) => after_parameters(rest),
                None => name,
            };
            of = Some(bare(name));
        } else if line.starts_with('}') {
            of = None;
        }
        let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.insert(match (&of, line.starts_with(' ')) {
            (Some(of), true) => format!("{room}::{of}::{name}"),
            _ => format!("{room}::{name}"),
        });
    }
}

fn bare(name: &str) -> String {
    name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn after_parameters(rest: &str) -> &str {
    let mut depth = 1;
    for (index, character) in rest.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &rest[index + 1..];
        }
    }
    rest
}

pub fn check() {
    let futures = futures();
    assert!(futures.len() > 30, "the sources were read: {futures:?}");
    let mut covered: BTreeSet<String> = BTreeSet::new();
    covered.extend(CASES.iter().flat_map(|case| case.covers).map(|name| (*name).to_owned()));
    covered.extend(EXEMPT.iter().map(|(name, _)| (*name).to_owned()));
    let missing: Vec<_> = futures.difference(&covered).collect();
    assert!(missing.is_empty(), "in no case of tests/drops/cases, and not exempt there: {missing:#?}");
    let gone: Vec<_> = covered.difference(&futures).collect();
    assert!(gone.is_empty(), "named in tests/drops/cases, and no future of the crate: {gone:#?}");
}

//! `docs/threading.md` has a row for every public call, and what each row is held by exists.

use std::collections::{BTreeMap, BTreeSet};

use crate::scan::{Token, tokens};
use crate::{expect_none, files, root, rust_sources};

/// The rooms of `proact/src` whose types a program calls.
const ROOMS: [&str; 10] =
    ["proactor", "operation", "sync", "causal", "memory", "resource", "status", "time", "backend", "topology"];

/// The public methods of a source's own `impl` blocks, by type.
fn methods(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let in_tests = tokens[at].scope.modules.iter().any(|module| module == "tests");
        let (Some((name, open)), false) = (implemented(&tokens, at), in_tests) else {
            at += 1;
            continue;
        };
        let mut depth = 1;
        at = open + 1;
        while depth > 0 && at < tokens.len() {
            match text(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                // `pub(crate)` is not public.
                "pub" if depth == 1 && text(at + 1) != "(" => {
                    let item = (at + 1..at + 6).find(|&item| !matches!(text(item), "const" | "unsafe" | "async"));
                    if let Some(item) = item.filter(|&item| text(item) == "fn") {
                        found.entry(name.clone()).or_default().insert(text(item + 1).to_owned());
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
    found
}

/// The type of the inherent implementation that begins at `at`, and where its brace opens.
fn implemented(tokens: &[Token], at: usize) -> Option<(String, usize)> {
    if tokens[at].text != "impl" || (at > 0 && !matches!(tokens[at - 1].text.as_str(), "}" | ";" | "]" | "{")) {
        return None;
    }
    let open = (at..tokens.len()).find(|&open| matches!(tokens[open].text.as_str(), "{" | ";"))?;
    let head = &tokens[at + 1..open];
    // A macro's types have no name here.
    if head.iter().any(|token| token.text == "$") {
        return None;
    }
    let mut depth = 0i32;
    let mut name = None;
    for (index, token) in head.iter().enumerate() {
        match token.text.as_str() {
            "<" => depth += 1,
            // `->` in a bound closes nothing.
            ">" if index == 0 || head[index - 1].text != "-" => depth -= 1,
            "for" if depth == 0 => return None,
            "where" if depth == 0 => break,
            word if depth == 0 && name.is_none() && word.starts_with(char::is_alphabetic) => {
                name = Some(word.to_owned())
            }
            _ => {}
        }
    }
    Some((name?, open))
}

/// The rows of the table: what is called, and the names that hold it, in backticks.
fn rows(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let Some(call) = cells[0].split('`').nth(1) else { continue };
        let held = cells.last().unwrap_or(&"").split('`').skip(1).step_by(2).map(String::from).collect();
        rows.insert(call.to_owned(), held);
    }
    rows
}

/// Calls that have more than one row: of two that differ, neither could be believed.
fn repeated(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let calls = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let again = calls.filter(|(call, _)| !seen.insert(*call));
    again.map(|(call, _)| format!("docs/threading.md has more than one row for `{call}`")).collect()
}

/// What is wrong with `rows`, of these `methods`. A row `Type::*` stands for all calls of a plain value.
fn faults(
    rows: &BTreeMap<String, Vec<String>>,
    methods: &BTreeMap<String, BTreeSet<String>>,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, calls) in methods {
        let all = rows.contains_key(&format!("{name}::*"));
        let missing = calls.iter().filter(|call| !all && !rows.contains_key(&format!("{name}::{call}")));
        faults.extend(missing.map(|call| format!("docs/threading.md has no row for `{name}::{call}`")));
    }
    for (call, held) in rows {
        let known = call.split_once("::").is_some_and(|(name, method)| {
            methods.get(name).is_some_and(|calls| method == "*" || calls.contains(method))
        });
        if !known {
            faults.push(format!("docs/threading.md has a row for `{call}`, which is no public call"));
        }
        if held.is_empty() {
            faults.push(format!("docs/threading.md: `{call}` is held by nothing"));
        }
        let missing = held.iter().filter(|name| !exists(name));
        faults.extend(missing.map(|name| format!("docs/threading.md: `{call}` is held by `{name}`, which is no test")));
    }
    faults
}

#[test]
fn every_public_call_has_a_row_that_something_holds() {
    let sources = files(|path| path.starts_with("proact/src/") && path.ends_with(".rs") && !path.contains("tests"));
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &sources {
        let room = file.path["proact/src/".len()..].split(['/', '.']).next().unwrap_or("");
        if ROOMS.contains(&room) && (room != "backend" || file.path.ends_with("contract.rs")) {
            for (name, calls) in methods(&file.text) {
                all.entry(name).or_default().extend(calls);
            }
        }
    }
    let tests = rust_sources();
    let exists = |name: &str| tests.iter().any(|file| file.text.contains(&format!("fn {name}(")));
    let text = std::fs::read_to_string(root().join("docs/threading.md")).expect("docs/threading.md");
    expect_none(faults(&rows(&text), &all, exists));
    expect_none(repeated(&text));
}

#[test]
fn methods_and_rows_that_do_not_match_are_found() {
    let source = "pub struct A; impl<T: Fn(u8) -> u8> A<T> { pub fn b(&self) { let c = || { d }; } \
        pub(crate) fn e() {} \
        pub const unsafe fn f() {} fn g() {} } impl X for A { fn h() {} } fn i() -> impl J { K } \
        mod tests { impl A { pub fn l() {} } }";
    let methods = methods(source);
    assert_eq!(methods, BTreeMap::from([("A".into(), BTreeSet::from(["b".into(), "f".into()]))]));
    let text =
        "| call | from | held by |\n|---|---|---|\n| `A::b` | any thread | `t`, `u` |\n| `A::z` | any | no one |\n";
    let found = faults(&rows(text), &methods, |name| name == "t");
    assert_eq!(found.len(), 4, "f has no row, z is no call and held by nothing, u is no test: {found:?}");
    assert!(faults(&rows("| `A::*` | any | `t` |\n"), &methods, |name| name == "t").is_empty());
    assert_eq!(repeated(text), Vec::<String>::new());
    let twice = format!("{text}| `A::b` | poll thread | `t` |\n");
    assert_eq!(repeated(&twice), ["docs/threading.md has more than one row for `A::b`"]);
}

//! What every crate's manifest says, and where the licences and the test command stand.

use crate::{OUTSIDE, expect_none, files, root};

const LICENCE: &str = "license = \"MIT OR Apache-2.0\"";

/// Each with why it must be there.
const LINES: [(&str, &str); 4] = [
    ("license.workspace = true", "the licence is the workspace's"),
    ("edition.workspace = true", "one edition"),
    ("rust-version", "the oldest compiler is named"),
    ("description", "a reader of the registry sees what it is"),
];

fn faults(path: &str, manifest: &str) -> Vec<String> {
    let has = |wanted: &str| manifest.lines().any(|line| line.trim_start().starts_with(wanted));
    let mut faults: Vec<String> =
        LINES.iter().filter(|(line, _)| !has(line)).map(|(line, why)| format!("{path}: no {line}: {why}")).collect();
    if !manifest.contains("[lints]\nworkspace = true") {
        faults.push(format!("{path}: the workspace's lints are not in force"));
    }
    faults
}

#[test]
fn every_crate_carries_licence_edition_and_lints() {
    let root_manifest = files(|path| path == "Cargo.toml").remove(0);
    assert!(root_manifest.text.contains(LICENCE), "the workspace names its licence");
    let manifests = files(|path| path.ends_with("/Cargo.toml") && !path.starts_with(OUTSIDE));
    expect_none(manifests.iter().flat_map(|file| faults(&file.path, &file.text)).collect());
    assert_eq!(faults("made-up", "[package]\nname = \"x\"\n").len(), 5);
}

/// The crates that a manifest depends on, outside of the workspace.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            in_dependencies = table.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies && line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            found.extend(line.split(['=', '.', ' ']).next());
        }
    }
    found.retain(|name| !name.starts_with("proact"));
    found
}

#[test]
fn every_dependency_is_explained() {
    let explained = std::fs::read_to_string(root().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let manifests = files(|path| path.ends_with("/Cargo.toml"));
    let named = manifests.iter().flat_map(|file| dependencies(&file.text));
    expect_none(named.filter(|name| !explained.contains(&format!("`{name}`"))).map(String::from).collect());

    let made_up =
        "[features]\na = []\n[dependencies]\nb = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\n# c\nd.x = 1\n";
    assert_eq!(dependencies(made_up), ["b", "d"]);
}

#[test]
fn licence_texts_name_the_project() {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let text = std::fs::read_to_string(root().join(name)).expect(name);
        assert!(text.contains("The proact developers"), "{name} names who grants it");
    }
}

#[test]
fn readme_and_ci_run_the_same_test_command() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    assert!(ci.contains("cargo test --workspace --locked"), ".ci/run runs the tests");
    // The lock file is part of the tree, so that `--locked` adds nothing for whoever follows the README.
    assert!(root().join("Cargo.lock").exists());
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.contains("cargo test --workspace"), "README names the command that runs all tests");
}

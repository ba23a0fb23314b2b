//! What every crate's manifest says, and where the licences and the test command stand.

use crate::{expect_none, files, root};

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
    let manifests = files(|path| path.ends_with("/Cargo.toml"));
    expect_none(manifests.iter().flat_map(|file| faults(&file.path, &file.text)).collect());
    assert_eq!(faults("made-up", "[package]\nname = \"x\"\n").len(), 5);
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

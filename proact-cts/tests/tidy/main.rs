//! The tree's own rules, checked: which way its arrows point, and the habits that a compiler does not enforce.
//!
//! - [`scan`]: Rust source as tokens, without comments and the insides of strings.
//! - [`layers`]: the order of the rooms in `proact/src`, and of the crates.
//! - [`habits`]: line length, file length, reasons beside `unsafe`, nothing left to do.
//! - [`manifests`]: what every `Cargo.toml` says.
//! - [`operations`]: that `docs/operations.md` speaks of every operation.
//! - [`threading`]: that `docs/threading.md` speaks of every public call.
//!
//! Each check also meets made-up source that breaks its rule: a check that finds nothing there would find nothing here.

mod habits;
mod layers;
mod manifests;
mod operations;
mod scan;
mod threading;

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the tree, by its path from the root.
pub struct File {
    /// With `/` on every system.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// A workspace of its own, which uses the library as anyone does.
const OUTSIDE: &str = "bench/peers/";

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

/// Every file below the root that `wanted` takes by its path, in order. Build output and hidden folders but `.ci` stay
/// out.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    folders.push(path);
                }
                continue;
            }
            let relative = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
            if wanted(&relative) {
                found.push(File { text: fs::read_to_string(&path).expect("text"), path: relative });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "the tree at {} has none of these files", root.display());
    found
}

fn rust_sources() -> Vec<File> {
    files(|path| path.ends_with(".rs"))
}

/// Fails with all of `faults`, one a line.
#[track_caller]
fn expect_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

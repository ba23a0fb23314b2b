//! Which way the arrows point: a room uses only what stands below it.

use crate::scan::{paths, tokens};
use crate::{OUTSIDE, expect_none, files, rust_sources};

/// The rooms of `proact/src`, from the top.
const ROOMS: [&str; 18] = [
    "simulated",
    "proactor",
    "operation",
    "sync",
    "causal",
    "memory",
    "resource",
    "backend",
    "uring",
    "topology",
    "time",
    "status",
    "heap",
    "once_box",
    "work_queue",
    "fault",
    "atomic",
    "watched",
];

/// Modules of `backend` that every backend may use.
const SHARED_BY_BACKENDS: [&str; 5] = ["contract", "datagram", "pooled", "registered", "workers"];

/// What each crate may use of the workspace. `None`: all of it.
const CRATES: [(&str, Option<&[&str]>); 8] = [
    ("proact", Some(&[])),
    // Itself: its tests are built with all of its features.
    ("proact-async", Some(&["proact", "proact-async"])),
    ("proact-examples", Some(&["proact", "proact-async"])),
    ("proact-schedule", Some(&["proact"])),
    ("proact-vm", Some(&["proact", "proact-schedule"])),
    ("bench/instructions", Some(&["proact", "proact-async", "proact-schedule", "proact-vm"])),
    ("proact-cts", None),
    ("proact-cli", None),
];

/// The module that a file of `proact/src` is.
fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(String::from).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The modules directly below `folder` of `proact/src`.
fn children<'a>(folder: &str, sources: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = sources
        .map(module_of)
        .filter(|module| module.len() > 1 && module[0] == folder)
        .map(|mut module| module.swap_remove(1))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What is wrong with the paths of the file at `path` (from `proact/src`). `backends` are the modules of `backend`.
fn faults(path: &str, source: &str, backends: &[String]) -> Vec<String> {
    let home = module_of(path);
    let Some(room) = home.first() else {
        return Vec::new(); // lib.rs names all of them
    };
    let mut faults = Vec::new();
    for used in paths(&tokens(source), &home) {
        let to = used.segments.join("::");
        let mut fault = |why: &str| faults.push(format!("proact/src/{path}:{}: {to}: {why}", used.line));
        let Some(target) = used.segments.first() else {
            fault("the whole crate: name the room");
            continue;
        };
        if target == room {
            if let (Some(why), true) = (within_backend(&home, &used.segments, backends), room == "backend") {
                fault(&why);
            }
            continue;
        }
        let rank = |name: &str| ROOMS.iter().position(|room| room == &name);
        let (Some(from), Some(down)) = (rank(room), rank(target)) else {
            fault(&format!("{room} or {target} has no place in the order of rooms"));
            continue;
        };
        if room == "causal" {
            fault("causal is plain data and uses nothing of the crate");
        } else if down < from {
            fault(&format!("{room} stands below {target}"));
        }
        let names_a_backend = target == "backend"
            && used.segments.get(1).is_some_and(|name| name != "contract" && backends.contains(name));
        if names_a_backend && room != "proactor" && !(room == "simulated" && used.segments[1] == "simulated") {
            fault("only the proactor chooses a backend; everyone else knows the contract");
        }
    }
    faults
}

/// Within `backend`: the contract knows no backend, a backend no other, and what they share none of them.
fn within_backend(home: &[String], used: &[String], backends: &[String]) -> Option<String> {
    let (from, to) = (home.get(1)?, used.get(1)?);
    let is_module = backends.contains(to);
    let may = !is_module
        || from == to
        || to == "contract"
        || (SHARED_BY_BACKENDS.contains(&to.as_str()) && from != "contract");
    let shared = SHARED_BY_BACKENDS.contains(&from.as_str());
    (!may).then(|| {
        let what = if shared { "is shared by the backends and knows none" } else { "is another backend than" };
        format!("{from} {what} {to}")
    })
}

/// The crates of the workspace that a manifest depends on, in whatever table.
fn workspace_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_dependencies = table.ends_with("dependencies");
            if let Some((before, name)) = table.rsplit_once('.') {
                if before.ends_with("dependencies") {
                    found.push(name.trim_matches('"').to_string());
                }
            }
        } else if in_dependencies {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("").trim_matches('"');
            found.push(name.to_string());
            // A renamed crate is still that crate.
            if let Some((_, package)) = line.split_once("package") {
                found.extend(package.split('"').nth(1).map(String::from));
            }
        }
    }
    found.retain(|name| name == "proact" || name.starts_with("proact-"));
    found
}

fn crate_faults(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, may)) = CRATES.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}/Cargo.toml: the crate has no place in the order")];
    };
    let Some(may) = may else {
        return Vec::new();
    };
    let wrong = workspace_dependencies(manifest).into_iter().filter(|used| !may.contains(&used.as_str()));
    wrong.map(|used| format!("{name}/Cargo.toml: {name} may not use {used}")).collect()
}

#[test]
fn rooms_use_only_what_stands_below_them() {
    let sources: Vec<_> = rust_sources()
        .into_iter()
        .filter_map(|file| Some((file.path.strip_prefix("proact/src/")?.to_string(), file.text)))
        .collect();
    let backends = children("backend", sources.iter().map(|(path, _)| path.as_str()));
    assert!(backends.iter().any(|name| name == "contract"), "the backends are looked for in the wrong place");
    expect_none(sources.iter().flat_map(|(path, text)| faults(path, text, &backends)).collect());
}

#[test]
fn crates_use_only_what_stands_below_them() {
    let manifests = files(|path| path.ends_with("/Cargo.toml") && !path.starts_with(OUTSIDE));
    assert!(manifests.iter().any(|file| file.path == "proact/Cargo.toml"));
    let name = |path: &str| path.trim_end_matches("/Cargo.toml").to_string();
    expect_none(manifests.iter().flat_map(|file| crate_faults(&name(&file.path), &file.text)).collect());
}

/// The compiler that a manifest asks for; `None` for the workspace's.
fn compiler(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "))?;
    Some(line.trim_matches('"'))
}

/// Versions of these crates are of one workspace compiler, or all of `proact-vm`'s: no other is asked for.
#[test]
fn what_is_built_with_the_virtual_machine_asks_for_its_compiler_and_nothing_else_does() {
    let manifests = files(|path| path.ends_with("/Cargo.toml") && !path.starts_with(OUTSIDE));
    let find = |name: &str| manifests.iter().find(|file| file.path == format!("{name}/Cargo.toml"));
    let newer = compiler(&find("proact-vm").expect("the crate").text).expect("a compiler of its own");
    let wrong = CRATES.iter().filter_map(|(name, _)| {
        let text = &find(name)?.text;
        let used = workspace_dependencies(text);
        let wanted = (*name == "proact-vm" || used.iter().any(|used| used == "proact-vm")).then_some(newer);
        (compiler(text) != wanted)
            .then(|| format!("{name}/Cargo.toml: rust-version {:?}, not {wanted:?}", compiler(text)))
    });
    expect_none(wrong.collect());
    let words = files(|path| path == "docs/dependencies.md");
    assert!(
        words.iter().any(|file| file.text.contains(&format!("that of `proact-vm` {newer}"))),
        "the page says another"
    );
}

#[test]
fn arrows_that_point_up_are_found_in_made_up_sources() {
    let sources = ["backend/contract.rs", "backend/workers/mod.rs", "backend/epoll/mod.rs", "backend/ring.rs"];
    let backends = children("backend", sources.into_iter());
    assert_eq!(backends, ["contract", "epoll", "ring", "workers"]);
    let count = |path: &str, source: &str| faults(path, source, &backends).len();

    assert_eq!(count("operation/nop.rs", "use crate::proactor::Handle;"), 1, "up");
    assert_eq!(count("operation/nop.rs", "fn f() { super::super::proactor::g() }"), 1, "up, by super");
    assert_eq!(count("operation/nop.rs", "use crate::{status::Code, proactor::Handle};"), 1, "up, in a tree");
    assert_eq!(count("time.rs", "mod tests { use super::super::backend::Wait; }"), 1, "up, from a module within");
    assert_eq!(count("operation/nop.rs", "use crate::*;"), 1, "a glob of the crate");
    assert_eq!(count("operation/nop.rs", "use crate::attic::Old;"), 1, "a room without a place");
    assert_eq!(count("operation/nop.rs", "use crate::backend::epoll::Epoll;"), 1, "a backend by name");
    assert_eq!(count("uring/ring.rs", "use crate::backend::Request;"), 1, "the ring knows no backend");
    assert_eq!(count("causal/axis.rs", "use crate::status::Code;"), 1, "causal uses nothing");
    assert_eq!(count("backend/ring.rs", "use super::epoll::Set;"), 1, "a backend another");
    assert_eq!(count("backend/workers/mod.rs", "use crate::backend::ring::Ring;"), 1, "what is shared, a backend");
    assert_eq!(count("backend/contract.rs", "use super::workers::Workers;"), 1, "the contract, what is shared");

    assert_eq!(count("operation/nop.rs", "use crate::backend::{Request, contract::Token}; use super::kind::Kind;"), 0);
    assert_eq!(count("operation/nop.rs", "/// [`Handle`](crate::proactor::Handle)\n// crate::proactor\nfn f() {}"), 0);
    assert_eq!(count("backend/ring.rs", "use super::{Request, workers::Workers}; use crate::uring::Ring;"), 0);
    assert_eq!(count("proactor/builder.rs", "use crate::backend::ring;"), 0, "the proactor chooses");
    assert_eq!(count("lib.rs", "pub use crate::proactor::Handle;"), 0);
}

#[test]
fn dependencies_that_point_up_are_found_in_made_up_manifests() {
    assert_eq!(crate_faults("proact", "[dependencies]\nproact-cts.workspace = true").len(), 1);
    assert_eq!(crate_faults("proact", "[dev-dependencies.proact-cli]\npath = \"x\"").len(), 1);
    assert_eq!(crate_faults("proact-vm", "[dependencies]\ny = { package = \"proact-async\" }").len(), 1);
    assert_eq!(crate_faults("proact-attic", "[package]").len(), 1);
    assert!(crate_faults("proact-vm", "[target.'cfg(unix)'.dependencies]\nproact = \"1\"\nlibc = \"1\"").is_empty());
    assert!(crate_faults("proact", "[package]\nname = \"proact\"\n[features]\nproact-x = []").is_empty());
}

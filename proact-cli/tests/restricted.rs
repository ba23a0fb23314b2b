//! The program where io_uring is blocked: it does its work over another backend, and says why.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use proact_cts::restriction::{Restriction, expected_cause, text};

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The filters, with the error number that the program must name.
const FILTERS: [(Restriction, i32); 2] =
    [(Restriction::RingsAnswer(libc::EPERM), libc::EPERM), (Restriction::RingsAnswer(libc::ENOSYS), libc::ENOSYS)];

fn proact(restriction: Restriction, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    restriction.run(command.args(arguments).env_remove("PROACT_BACKEND"), PATIENCE)
}

/// A directory with one source in it, removed at the end.
struct Scratch {
    path: PathBuf,
    content: Vec<u8>,
}

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("proact-restricted-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        let content: Vec<u8> = (0..300_007u32).map(|index| ((index * 13) >> 4) as u8).collect();
        fs::write(path.join("source.bin"), &content).expect("a source");
        Scratch { path, content }
    }

    /// Transfers the source into the directory `into`, with `more` options.
    fn transfer(&self, restriction: Restriction, into: &Path, more: &[&str]) -> Option<Output> {
        let source = self.path.join("source.bin");
        let mut arguments = vec!["transfer", source.to_str().expect("text"), "--into", into.to_str().expect("text")];
        arguments.extend(["--chunk-size", "64KiB", "--timeout", "20s", "--json"]);
        arguments.extend(more);
        proact(restriction, &arguments)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn json(output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

/// The text of everything that a program says contains the cause and the error number.
#[track_caller]
fn names_the_cause(said: &str, errno: i32) {
    let number = format!("os error {errno}");
    assert!(said.contains(expected_cause(errno)) && said.contains(&number), "{said}");
}

#[test]
#[ignore = "the command is not built yet"]
fn doctor_names_the_filter_and_the_error_number() {
    for (restriction, errno) in FILTERS {
        let Some(output) = proact(restriction, &["doctor", "--json"]) else {
            continue;
        };
        names_the_cause(&json(&output).to_string(), errno);
        let Some(output) = proact(restriction, &["doctor"]) else {
            continue;
        };
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        // Wrapped lines are still the same words.
        let said = String::from_utf8(output.stdout).expect("text").split_whitespace().collect::<Vec<_>>().join(" ");
        names_the_cause(&said, errno);
    }
}

#[test]
#[ignore = "the command is not built yet"]
fn doctor_answers_without_locked_memory() {
    if let Some(output) = proact(Restriction::NoLockedMemory, &["doctor", "--json"]) {
        assert!(json(&output).to_string().contains("io_uring"));
    }
}

#[test]
#[ignore = "the command is not built yet"]
fn transfer_under_a_filter_delivers_over_epoll() {
    let scratch = Scratch::new("epoll");
    for (restriction, errno) in FILTERS {
        let into = scratch.path.join(errno.to_string());
        let Some(output) = scratch.transfer(restriction, &into, &[]) else {
            continue;
        };
        assert_eq!(json(&output)["backend"], "epoll");
        assert_eq!(fs::read(into.join("source.bin")).expect("the delivered file"), scratch.content);
    }
}

#[test]
#[ignore = "the command is not built yet"]
fn transfer_without_locked_memory_delivers() {
    let scratch = Scratch::new("memory");
    let into = scratch.path.join("into");
    if let Some(output) = scratch.transfer(Restriction::NoLockedMemory, &into, &[]) {
        assert_eq!(json(&output)["bytes"], 300_007);
        assert_eq!(fs::read(into.join("source.bin")).expect("the delivered file"), scratch.content);
    }
}

#[test]
#[ignore = "the command is not built yet"]
fn transfer_that_insists_on_io_uring_ends_with_the_cause_and_exit_code_7() {
    let scratch = Scratch::new("forced");
    for (restriction, errno) in FILTERS {
        let into = scratch.path.join(errno.to_string());
        let Some(output) = scratch.transfer(restriction, &into, &["--backend", "io_uring"]) else {
            continue;
        };
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        names_the_cause(&text(&output), errno);
        assert!(!into.join("source.bin").exists(), "nothing is delivered");
    }
}

//! What the tests of `proact run` share: modules in scratch directories, what the program prints, and Ctrl-C.
#![allow(dead_code)] // each test file uses its part

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::Scratch;

/// A file of the scratch directory, as an argument.
pub fn file(scratch: &Scratch, name: &str, bytes: &[u8]) -> String {
    let path = scratch.path(name);
    fs::write(&path, bytes).expect("a file");
    named(&path)
}

/// A module of the scratch directory, of its text form.
pub fn module(scratch: &Scratch, name: &str, text: &str) -> String {
    file(scratch, name, &wat::parse_str(text).expect("a module"))
}

pub fn named(path: &Path) -> String {
    path.to_str().expect("a name").to_owned()
}

pub fn proact() -> Command {
    Command::new(env!("CARGO_BIN_EXE_proact"))
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

/// The line of JSON that it prints last.
pub fn answer(output: &Output) -> Value {
    let last = text(&output.stdout).lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{last:?}: {error}; {}", text(&output.stderr)))
}

/// Fails with a code, and its lines have each of `said`.
pub fn fails(output: &Output, code: i32, said: &[&str]) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    said.iter().for_each(|said| assert!(told.contains(said), "{said:?} is missing in: {told}"));
}

/// Starts it, and presses Ctrl-C when `ready` returns.
#[cfg(unix)]
pub fn interrupted(mut command: Command, ready: impl FnOnce(&mut Child)) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    ready(&mut child);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    child.wait_with_output().expect("it ends")
}

/// Waits for the file of its trace: signals are caught before that is made.
pub fn catches_signals(child: &mut Child, trace: &str) {
    while !Path::new(trace).exists() {
        assert!(child.try_wait().expect("its state").is_none(), "it ended by itself");
        std::thread::yield_now();
    }
}

//! `proact run` with what it grants: directories, addresses, and a log. On the backend that `PROACT_BACKEND` names.
#![cfg(unix)]

#[path = "support/run.rs"]
mod program;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use program::{answer, catches_signals, fails, interrupted, module, named, proact, text};
use serde_json::{Value, json};
use support::Scratch;

const GUEST: &str = r#"(module
    (import "file" "open" (func $open (param i32 i32) (result i32)))
    (import "file" "read_at" (func $read (param i32 i64 i32 i32) (result i64)))
    (import "file" "write_at" (func $write (param i32 i64 i32 i32) (result i64)))
    (import "timer" "sleep" (func $sleep (param i64)))
    (import "socket" "connect" (func $connect (param i32) (result i32)))
    (import "socket" "listen" (func $listen (param i32) (result i32)))
    (import "socket" "send" (func $send (param i32 i32 i32)))
    (import "socket" "receive" (func $receive (param i32 i32 i32) (result i64)))
    (import "log" "write" (func $log (param i32 i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "fine\nred: \1b[31m")
    (data (i32.const 32) "hidden")
    (func (export "send") (param $path i32) (param $address i32) (result i64) (local $length i64)
        (local.set $length (call $read (call $open (local.get $path) (i32.const 1)) (i64.const 0)
            (i32.const 1024) (i32.const 1024)))
        (call $sleep (i64.const 1000000))
        (call $send (call $connect (local.get $address)) (i32.const 1024) (i32.wrap_i64 (local.get $length)))
        (call $log (i32.const 2) (i32.const 0) (i32.const 15))
        (call $log (i32.const 1) (i32.const 32) (i32.const 6))
        (local.get $length))
    (func (export "write") (param $path i32) (result i64)
        (call $write (call $open (local.get $path) (i32.const 6)) (i64.const 0) (i32.const 0) (i32.const 4)))
    (func (export "hear") (param $address i32) (result i64) (local $socket i32)
        (local.set $socket (call $connect (local.get $address)))
        (call $send (local.get $socket) (i32.const 0) (i32.const 4))
        (call $receive (local.get $socket) (i32.const 1024) (i32.const 1024)))
    (func (export "listen") (param $address i32) (result i32) (call $listen (local.get $address)))
    (func (export "sleep") (param i64) (call $sleep (local.get 0)))
    (@custom "proact.conventions" "import file.open(ref, i32) -> ref\n"
        "import file.read_at(ref, i64, out) -> i64\n"
        "import file.write_at(ref, i64, in) -> i64\n"
        "import socket.connect(ref) -> ref\n"
        "import socket.listen(ref) -> ref\n"
        "import socket.send(ref, in)\nimport socket.receive(ref, out) -> i64\n"
        "import log.write(i32, in)\n"
        "export send(ref, ref) -> i64\nexport write(ref) -> i64\n"
        "export hear(ref) -> i64\n"
        "export listen(ref) -> ref\n"))"#;

/// A directory with the program in it, and a directory of data.
struct Granted(Scratch);

impl Granted {
    fn new(name: &str) -> Granted {
        let scratch = Scratch::new(&format!("run-granted-{name}"));
        fs::create_dir_all(scratch.path("data")).expect("a directory");
        fs::write(scratch.path("data/in"), b"what the file holds").expect("a file");
        module(&scratch, "guest.wasm", GUEST);
        Granted(scratch)
    }

    fn named(&self, name: &str) -> String {
        named(&self.0.path(name))
    }

    fn command(&self, function: &str, rest: &[&str]) -> Command {
        let mut command = proact();
        command.args(["run", &self.named("guest.wasm"), "--function", function]).args(rest);
        command
    }

    fn run(&self, function: &str, rest: &[&str]) -> Output {
        self.command(function, rest).output().expect("the program starts")
    }

    /// `--dir data=...`.
    fn data(&self, behind: &str) -> String {
        format!("--dir=data={}{behind}", self.named("data"))
    }
}

/// An address where no one is, and any rule that grants it.
const NOWHERE: &str = "--connect=127.0.0.1:9";

fn server() -> (TcpListener, String, String) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("its address").to_string();
    let rule = format!("--connect={address}");
    (server, address, rule)
}

/// The waits of a trace, by their names.
fn waits(path: &str) -> Vec<String> {
    slices(path, "wait")
}

/// The names of a trace's slices of one kind.
fn slices(path: &str, kind: &str) -> Vec<String> {
    let written: Value = serde_json::from_slice(&fs::read(path).expect("a trace")).expect("JSON");
    let events = written["traceEvents"].as_array().expect("events");
    let slices = events.iter().filter(|event| event["cat"] == kind);
    slices.map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_program_reads_waits_and_sends_and_its_waits_are_in_the_trace() {
    let scratch = Granted::new("sends");
    let (server, address, rule) = server();
    let (data, trace) = (scratch.data(""), scratch.named("run.json"));
    let output = scratch.run("send", &[&data, &rule, "--trace", &trace, "--json", "--input", "data/in", &address]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer = answer(&output);
    assert_eq!(answer["results"], json!([{ "type": "i64", "value": 19 }]));
    let mut arrived = Vec::new();
    server.accept().expect("it came").0.read_to_end(&mut arrived).expect("its bytes");
    assert_eq!(arrived, b"what the file holds");
    // A line each, and nothing that steers a terminal.
    let call = answer["call"].as_str().expect("an id");
    assert_eq!(text(&output.stderr), format!("info {call}: fine\ninfo {call}: red: \\u{{1b}}[31m\n"));
    let waits = waits(&trace);
    assert_eq!(answer["waits"], json!(waits.len()));
    for function in ["file.open", "file.read_at", "timer.sleep", "socket.connect"] {
        assert!(waits.iter().any(|wait| wait.ends_with(&format!(" in {function}"))), "{function}: {waits:?}");
    }
    assert!(waits.iter().any(|wait| wait.starts_with("wait: until time ")), "{waits:?}");
    // In the order of their ends: those that never waited too.
    let functions = slices(&trace, "function");
    for function in ["file.open", "file.read_at", "log.write", "timer.sleep", "socket.connect", "socket.send"] {
        assert!(functions.iter().any(|ended| ended == function), "{function}: {functions:?}");
    }
    assert_eq!(functions.last().map(|last| last.rsplit('.').next()), Some(Some("send")));
}

#[test]
fn as_much_is_logged_as_is_asked_for() {
    let scratch = Granted::new("logs");
    let (_server, address, rule) = server();
    let data = scratch.data("");
    for (level, lines) in [("debug", 3), ("info", 2), ("warn", 0), ("off", 0)] {
        let output = scratch.run("send", &[&data, &rule, "--log", level, "--input", "data/in", &address]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "19\n"), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), lines, "{level}: {}", text(&output.stderr));
    }
}

#[test]
fn nothing_is_reached_that_was_not_granted() {
    let scratch = Granted::new("granted");
    let data = scratch.data("");
    // No directory at all, no address at all.
    let output = scratch.run("write", &[NOWHERE, "--input", "data/new"]);
    fails(&output, 3, &["guest.wasm: module \"guest\": import: ", "file"]);
    fails(&scratch.run("write", &[&data, "--input", "data/new"]), 3, &["module \"guest\": import: ", "socket"]);
    // Others than were granted.
    let output = scratch.run("write", &[&data, NOWHERE, "--input", "data/new"]);
    fails(&output, 1, &["the directory is granted for reading alone (PERMISSION_DENIED)", "[program] guest.write"]);
    assert!(!scratch.0.path("data/new").exists());
    let output = scratch.run("write", &[&data, NOWHERE, "--input", "etc/new"]);
    fails(&output, 1, &["no directory \"etc\" is granted (PERMISSION_DENIED)"]);
    let output = scratch.run("hear", &[&data, NOWHERE, "--input", "127.0.0.1:10"]);
    fails(&output, 1, &["127.0.0.1:10 is not granted to connect to (PERMISSION_DENIED)"]);
    let output = scratch.run("listen", &[&data, NOWHERE, "--input", "127.0.0.1:0"]);
    fails(&output, 1, &["127.0.0.1:0 is not granted to listen on (PERMISSION_DENIED)"]);
    // And what was.
    let output = scratch.run("write", &[&scratch.data(":rw"), NOWHERE, "--input", "data/new"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "4\n"), "{}", text(&output.stderr));
    assert_eq!(fs::read(scratch.0.path("data/new")).expect("it is there"), b"fine");
    let output = scratch.run("listen", &[&data, "--listen=127.0.0.0/8:0-9", "--input", "127.0.0.1:0"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "a vm.socket\n"), "{}", text(&output.stderr));
}

#[test]
fn what_is_granted_wrongly_is_told_before_anything_runs() {
    let scratch = Granted::new("wrong");
    let data = scratch.data("");
    for (arguments, code, said) in [
        (&["--dir", "data"][..], 2, "NAME=PATH is expected"),
        (&["--dir", "=/tmp"], 2, "has no slashes"),
        (&["--dir", "a/b=/tmp"], 2, "has no slashes"),
        (&["--dir", "..=/tmp"], 2, "neither . nor .."),
        (&["--dir", "data=:rw"], 2, "a path is expected behind the ="),
        (&[&data, &data], 2, "--dir: \"data\" is granted twice"),
        (&["--dir", "data=/no/such/directory"], 3, "--dir: directory \"data\" at /no/such/directory: "),
        (&["--dir", &format!("data={}", scratch.named("guest.wasm"))], 3, "it is no directory"),
        (&["--connect", "10.0.0.1/8:80"], 2, "the address has bits beyond its prefix"),
        (&["--connect", "example.org:80"], 2, "--connect <ADDRESS-RULE>"),
        (&["--listen", "10.0.0.0/8:9-8"], 2, "the range of ports ends before it begins"),
        (&["--log", "loud"], 2, "--log <LEVEL>"),
    ] {
        fails(&scratch.run("sleep", &[arguments, &["--input", "1"]].concat()), code, &[said]);
    }
    let output = scratch.run("sleep", &["--dir", "data=/no/such/directory", "--input", "1", "--json"]);
    assert_eq!((&answer(&output)["exit_code"], &answer(&output)["outcome"]), (&json!(3), &json!("failed")));
}

#[test]
fn a_backend_that_cannot_run_is_told() {
    let scratch = Granted::new("backend");
    let mut command = scratch.command("sleep", &[NOWHERE, &scratch.data(""), "--input", "1"]);
    let output = command.env("PROACT_BACKEND", "none").output().expect("the program starts");
    fails(&output, 7, &["proact: proactor: ", "PROACT_BACKEND"]);
}

#[test]
fn a_deadline_ends_a_wait() {
    let scratch = Granted::new("deadline");
    let (data, day) = (scratch.data(""), "86400000000000");
    let output = scratch.run("sleep", &[&data, NOWHERE, "--deadline", "1ms", "--input", day]);
    fails(&output, 1, &["(DEADLINE_EXCEEDED)"]);
}

#[test]
fn ctrl_c_ends_a_receive_that_waits_and_cancels_it() {
    let scratch = Granted::new("receive");
    let (server, address, rule) = server();
    let (data, trace) = (scratch.data(""), scratch.named("run.json"));
    let command = scratch.command("hear", &[&data, &rule, "--trace", &trace, "--json", "--input", &address]);
    let mut peer = None;
    let output = interrupted(command, |_| {
        let mut stream = server.accept().expect("it comes").0;
        stream.read_exact(&mut [0; 4]).expect("it is about to receive");
        peer = Some(stream);
    });
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let answer = answer(&output);
    assert_eq!((&answer["outcome"], &answer["code"]), (&json!("failed"), &json!("CANCELLED")));
    let frames: Vec<&str> = answer["backtrace"].as_array().expect("frames").iter().filter_map(Value::as_str).collect();
    assert!(frames.contains(&"0: [program] guest.hear"), "{frames:?}");
    assert!(!waits(&trace).is_empty());
    assert_eq!(peer.take().expect("it came").read(&mut [0; 4]).expect("its end"), 0, "it is closed in order");
}

#[test]
fn ctrl_c_ends_a_sleep() {
    let scratch = Granted::new("sleep");
    let (data, trace) = (scratch.data(""), scratch.named("run.json"));
    let day = "86400000000000";
    let command = scratch.command("sleep", &[&data, NOWHERE, "--trace", &trace, "--input", day]);
    let output = interrupted(command, |child| catches_signals(child, &trace));
    fails(&output, 130, &["(CANCELLED)"]);
}

#[test]
fn a_program_hears_what_it_is_sent() {
    let scratch = Granted::new("hears");
    let (server, address, rule) = server();
    let peer = std::thread::spawn(move || {
        let mut stream = server.accept().expect("it comes").0;
        stream.read_exact(&mut [0; 4]).expect("what it says first");
        stream.write_all(b"well").expect("it is there");
    });
    let output = scratch.run("hear", &[&scratch.data(""), &rule, "--input", &address]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "4\n"), "{}", text(&output.stderr));
    peer.join().expect("the peer");
}

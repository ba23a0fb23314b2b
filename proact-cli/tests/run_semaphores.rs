//! `proact run` with semaphores: what a program waits for, and what it tells by them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

const GUEST: &str = r#"(module
    (import "semaphore" "wait" (func $wait (param i32 i64 i64) (result i32)))
    (import "semaphore" "value" (func $value (param i32) (result i64)))
    (import "semaphore" "signal" (func $signal (param i32 i64 i32)))
    (import "semaphore" "fail" (func $fail (param i32 i32 i32 i32) (result i32)))
    (import "proact" "yield" (func $yield))
    (memory (export "memory") 1)
    (data (i32.const 0) "gone")
    (func (export "wait") (param $semaphore i32) (param $value i64) (result i64)
        (drop (call $wait (local.get $semaphore) (local.get $value) (i64.const -1)))
        (call $value (local.get $semaphore)))
    (func (export "spin") (param $semaphore i32) (param $value i64)
        (loop $l call $yield
            (br_if $l (i64.lt_u (call $value (local.get $semaphore)) (local.get $value)))))
    (func (export "pass") (param $from i32) (param $to i32)
        (drop (call $wait (local.get $from) (i64.const 1) (i64.const -1)))
        (call $signal (local.get $to) (i64.const 5) (i32.const 0)))
    (func (export "fail") (param $semaphore i32)
        (drop (call $fail (local.get $semaphore) (i32.const 15) (i32.const 0) (i32.const 4))))
    (func (export "trap") unreachable)
    (@custom "proact.conventions" "import semaphore.wait(ref, i64, i64) -> i32\n"
        "import semaphore.value(ref) -> i64\nimport semaphore.signal(ref, i64, ref)\n"
        "import semaphore.fail(ref, i32, in) -> i32\n"
        "export wait(ref, i64) -> i64\nexport spin(ref, i64)\nexport pass(ref, ref)\nexport fail(ref)\n"))"#;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("proact-run-semaphores-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder");
        fs::write(folder.join("guest.wasm"), wat::parse_str(GUEST).expect("a module")).expect("a file");
        Scratch(folder)
    }

    fn run(&self, function: &str, rest: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
        command.arg("run").arg(self.0.join("guest.wasm")).args(["--function", function]).args(rest);
        // One that waits for what does not come fails, and says so.
        command.args(["--deadline", "60s"]).output().expect("the program starts")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

fn answer(output: &Output) -> Value {
    let last = text(&output.stdout).lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{last:?}: {error}; {}", text(&output.stderr)))
}

#[test]
fn a_semaphore_begins_at_its_value() {
    let scratch = Scratch::new("value");
    let output = scratch.run("wait", &["--semaphore", "go=3", "--input", "semaphore:go", "2"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "3\n"), "{}", text(&output.stderr));
    let output = scratch.run("wait", &["--semaphore", "go", "--json", "--input", "semaphore:go", "0"]);
    assert_eq!(answer(&output)["semaphores"], json!([{ "name": "go", "value": 0 }]));
}

#[test]
fn a_signal_of_the_host_ends_a_wait_and_a_loop() {
    let scratch = Scratch::new("signal");
    for function in ["wait", "spin"] {
        let signals = ["--semaphore", "go", "--signal", "go=1@1ms", "--signal", "go=2@20ms", "--json"];
        let output = scratch.run(function, &[&signals[..], &["--input", "semaphore:go", "2"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let answer = answer(&output);
        assert_eq!(answer["semaphores"], json!([{ "name": "go", "value": 2 }]), "{function}");
        let count = if function == "wait" { &answer["waits"] } else { &answer["yields"] };
        assert!(count.as_u64().is_some_and(|count| count > 0), "{answer}");
    }
}

#[test]
fn a_signal_at_the_end_tells_how_the_call_ended() {
    let scratch = Scratch::new("end");
    let semaphores = ["--semaphore", "in=1", "--semaphore", "out", "--semaphore", "done=1", "--signal", "done=2"];
    let rest = ["--json", "--input", "semaphore:in", "semaphore:out"];
    let output = scratch.run("pass", &[&semaphores[..], &rest].concat());
    let expected = json!([{ "name": "in", "value": 1 }, { "name": "out", "value": 5 }, { "name": "done", "value": 2 }]);
    assert_eq!(answer(&output)["semaphores"], expected);

    let output = scratch.run("trap", &["--semaphore", "done", "--signal", "done=1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let done = &answer(&output)["semaphores"][0];
    assert_eq!(done["value"], json!(0), "{done}");
    assert!(done["failure"].as_str().is_some_and(|words| words.contains("(ABORTED")), "{done}");

    // What the program has done to it stays.
    let output = scratch.run("fail", &["--semaphore", "s", "--signal", "s=1", "--json", "--input", "semaphore:s"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let failed = &answer(&output)["semaphores"][0];
    assert!(failed["failure"].as_str().is_some_and(|words| words.contains("gone")), "{failed}");
}

#[test]
fn semaphores_that_are_named_wrongly_are_told_before_anything_runs() {
    let scratch = Scratch::new("wrong");
    for (arguments, said) in [
        (&["--semaphore", "go", "--semaphore", "go=1"][..], "--semaphore: \"go\" is made twice"),
        (&["--signal", "go=1"], "--signal: there is no --semaphore \"go\""),
        (&["--semaphore", "stop"], "--input: there is no --semaphore \"go\""),
    ] {
        let output = scratch.run("wait", &[arguments, &["--input", "semaphore:go", "1"]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

//! `proact run` with semaphores: what a program waits for, and what it tells by them.

#[path = "support/run.rs"]
mod program;
mod support;

use std::process::Output;

use program::{answer, module, proact, text};
use serde_json::json;
use support::Scratch;

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

/// A directory with the program in it.
fn guest(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("run-semaphores-{name}"));
    module(&scratch, "guest.wasm", GUEST);
    scratch
}

fn run(scratch: &Scratch, function: &str, rest: &[&str]) -> Output {
    let mut command = proact();
    command.arg("run").arg(scratch.path("guest.wasm")).args(["--function", function]).args(rest);
    // One that waits for what does not come fails, and says so.
    command.args(["--deadline", "60s"]).output().expect("the program starts")
}

#[test]
fn a_semaphore_begins_at_its_value() {
    let scratch = guest("value");
    let output = run(&scratch, "wait", &["--semaphore", "go=3", "--input", "semaphore:go", "2"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "3\n"), "{}", text(&output.stderr));
    let output = run(&scratch, "wait", &["--semaphore", "go", "--json", "--input", "semaphore:go", "0"]);
    assert_eq!(answer(&output)["semaphores"], json!([{ "name": "go", "value": 0 }]));
}

#[test]
fn a_signal_of_the_host_ends_a_wait_and_a_loop() {
    let scratch = guest("signal");
    for function in ["wait", "spin"] {
        let signals = ["--semaphore", "go", "--signal", "go=1@1ms", "--signal", "go=2@20ms", "--json"];
        let output = run(&scratch, function, &[&signals[..], &["--input", "semaphore:go", "2"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let answer = answer(&output);
        assert_eq!(answer["semaphores"], json!([{ "name": "go", "value": 2 }]), "{function}");
        let count = if function == "wait" { &answer["waits"] } else { &answer["yields"] };
        assert!(count.as_u64().is_some_and(|count| count > 0), "{answer}");
    }
}

#[test]
fn a_signal_at_the_end_tells_how_the_call_ended() {
    let scratch = guest("end");
    let semaphores = ["--semaphore", "in=1", "--semaphore", "out", "--semaphore", "done=1", "--signal", "done=2"];
    let rest = ["--json", "--input", "semaphore:in", "semaphore:out"];
    let output = run(&scratch, "pass", &[&semaphores[..], &rest].concat());
    let expected = json!([{ "name": "in", "value": 1 }, { "name": "out", "value": 5 }, { "name": "done", "value": 2 }]);
    assert_eq!(answer(&output)["semaphores"], expected);

    let output = run(&scratch, "trap", &["--semaphore", "done", "--signal", "done=1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let done = &answer(&output)["semaphores"][0];
    assert_eq!(done["value"], json!(0), "{done}");
    assert!(done["failure"].as_str().is_some_and(|words| words.contains("(ABORTED")), "{done}");

    // What the program has done to it stays.
    let output = run(&scratch, "fail", &["--semaphore", "s", "--signal", "s=1", "--json", "--input", "semaphore:s"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let failed = &answer(&output)["semaphores"][0];
    assert!(failed["failure"].as_str().is_some_and(|words| words.contains("gone")), "{failed}");
}

#[test]
fn semaphores_that_are_named_wrongly_are_told_before_anything_runs() {
    let scratch = guest("wrong");
    for (arguments, said) in [
        (&["--semaphore", "go", "--semaphore", "go=1"][..], "--semaphore: \"go\" is made twice"),
        (&["--signal", "go=1"], "--signal: there is no --semaphore \"go\""),
        (&["--semaphore", "stop"], "--input: there is no --semaphore \"go\""),
    ] {
        let output = run(&scratch, "wait", &[arguments, &["--input", "semaphore:go", "1"]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

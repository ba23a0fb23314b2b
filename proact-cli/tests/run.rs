//! `proact run` and `proact inspect`, as their users meet them.

#[path = "support/run.rs"]
mod program;
mod support;

use std::fs;
use std::process::Output;

use program::{answer, file, module, named, text};
#[cfg(unix)]
use program::{catches_signals, interrupted};
use serde_json::{Value, json};
use support::Scratch;

const MATH: &str = r#"(module
    (import "proact" "yield" (func $yield))
    (memory (export "memory") 1 4)
    (table (export "table") 1 externref)
    (global $started (mut i32) (i32.const 0))
    (func $start i32.const 1 global.set $started)
    (start $start)
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "all") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
        local.get 0 local.get 1 local.get 2 local.get 3)
    (func (export "divide") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
    (func (export "started") (result i32) global.get $started)
    (func (export "forever") (loop $l br $l))
    (func (export "yields") (param i32) (loop $l
        call $yield
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "same") (param i32) (result i32) local.get 0)
    (func (export "vector") (param externref))
    (@custom "proact.conventions" "version 3\nexport same(ref) -> ref\nrequires proact 0\n"))"#;

/// The module without what no context here has.
fn math(scratch: &Scratch) -> String {
    module(scratch, "math.wasm", &MATH.replace("requires proact 0\\n", ""))
}

fn proact(arguments: &[&str]) -> Output {
    program::proact().args(arguments).output().expect("the program starts")
}

fn run(module: &str, rest: &[&str]) -> Output {
    proact(&[&["run", module][..], rest].concat())
}

/// Fails with a code, and says something on one error's lines.
fn fails(output: &Output, code: i32, said: &str) {
    program::fails(output, code, &[said]);
    assert!(text(&output.stderr).starts_with("proact: "), "{}", text(&output.stderr));
}

#[test]
fn results_are_printed_one_a_line() {
    let scratch = Scratch::new("results");
    let math = math(&scratch);
    let output = run(&math, &["--function", "add", "--input", "2", "-3"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "-1\n"), "{}", text(&output.stderr));
    let output = run(&math, &["--function", "all", "--input", "0xffffffff", "7", "-0.1", "1e300"]);
    assert_eq!(text(&output.stdout), "-1\n7\n-0.1\n1e+300\n");
    let output = run(&math, &["--function", "yields", "--input", "3"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), ""));
    assert_eq!(text(&run(&math, &["--function", "started"]).stdout), "1\n", "the start function ran before");
}

#[test]
fn programs_get_an_object_with_results_yields_and_the_call() {
    let scratch = Scratch::new("json");
    let math = math(&scratch);
    let answer = answer(&run(&math, &["--function", "yields", "--input", "3", "--json"]));
    assert_eq!((&answer["outcome"], &answer["exit_code"], &answer["error"]), (&json!("ok"), &json!(0), &Value::Null));
    assert_eq!(
        (&answer["function"], &answer["yields"], &answer["waits"]),
        (&json!("math.yields"), &json!(3), &json!(0))
    );
    assert!(answer["call"].as_str().is_some_and(|call| call.starts_with('#')), "{answer}");
    assert_eq!(answer["results"], json!([]));
    let answer = self::answer(&run(&math, &["--function", "add", "--input", "1", "2", "--json"]));
    assert_eq!(answer["results"], json!([{ "type": "i32", "value": 3 }]));
}

#[test]
fn references_are_text_files_and_null() {
    let scratch = Scratch::new("references");
    let (math, file) = (math(&scratch), file(&scratch, "some.bin", &[0xff, 0, 1]));
    for (input, printed) in
        [("hello", "hello\n"), ("text:@x", "@x\n"), ("null", "null\n"), (&format!("@{file}"), "3 bytes: ff0001\n")]
    {
        let output = run(&math, &["--function", "same", "--input", input]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), printed), "{input}");
    }
    let gone = format!("@{file}.gone");
    fails(&run(&math, &["--function", "same", "--input", &gone]), 3, "some.bin.gone: read: ");
}

#[test]
fn a_trap_is_told_with_its_backtrace_and_code() {
    let scratch = Scratch::new("trap");
    let math = math(&scratch);
    let output = run(&math, &["--function", "divide", "--input", "1", "0"]);
    fails(&output, 1, "math.divide: trap: a division by zero (INVALID_ARGUMENT)\n  in call #");
    assert!(text(&output.stderr).ends_with("\n  0: [program] math.divide\n"), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let answer = answer(&run(&math, &["--function", "divide", "--input", "1", "0", "--json"]));
    assert_eq!((&answer["outcome"], &answer["exit_code"]), (&json!("failed"), &json!(1)));
    assert_eq!(
        (&answer["code"], &answer["backtrace"]),
        (&json!("INVALID_ARGUMENT"), &json!(["0: [program] math.divide"]))
    );
    assert!(answer["results"].is_null(), "{answer}");
}

#[test]
fn a_loop_without_end_is_ended_by_fuel_or_deadline() {
    let scratch = Scratch::new("forever");
    let math = math(&scratch);
    fails(&run(&math, &["--function", "forever", "--fuel", "100000"]), 1, "the fuel of the call is used up (RESOURCE_");
    fails(&run(&math, &["--function", "forever", "--deadline", "5ms"]), 1, "(DEADLINE_EXCEEDED)");
    // Fuel that suffices changes nothing.
    let output = run(&math, &["--function", "add", "--input", "1", "1", "--fuel", "1000", "--deadline", "1h"]);
    assert_eq!(text(&output.stdout), "2\n");
}

/// Each loops before the function is called, or after it.
const AROUND: [&str; 4] = [
    r#"(module (func $s (loop $l br $l)) (start $s) (func (export "f")))"#,
    r#"(module (func $s return_call $s) (start $s) (func (export "f")))"#,
    r#"(module (import "timer" "sleep" (func $sleep (param i64)))
        (func $s (call $sleep (i64.const 86400000000000))) (start $s) (func (export "f")))"#,
    r#"(module (func (export "__init") (loop $l br $l)) (func (export "f")))"#,
];

#[test]
fn what_runs_around_the_call_has_its_bounds() {
    let scratch = Scratch::new("around");
    for text in AROUND {
        let module = module(&scratch, "around.wasm", text);
        let output = run(&module, &["--function", "f", "--deadline", "20ms", "--json"]);
        fails(&output, 1, "around.wasm: module \"around\": ");
        assert!(crate::text(&output.stderr).contains("(DEADLINE_EXCEEDED)"), "{text}");
        assert_eq!(answer(&output)["exit_code"], json!(1), "{text}");
    }
    let looping = module(&scratch, "around.wasm", AROUND[0]);
    fails(&run(&looping, &["--function", "f", "--fuel", "100000"]), 1, "(RESOURCE_EXHAUSTED)");
    // Behind the function, which has answered.
    let module =
        module(&scratch, "deinit.wasm", r#"(module (func (export "__deinit") (loop $l br $l)) (func (export "f")))"#);
    assert_eq!(run(&module, &["--function", "f", "--deadline", "20ms"]).status.code(), Some(0));
}

#[test]
fn what_fails_before_the_call_has_its_code_and_its_frames() {
    let scratch = Scratch::new("before");
    let start = module(&scratch, "start.wasm", "(module (func $s unreachable) (start $s) (func (export \"f\")))");
    let output = run(&start, &["--function", "f", "--json"]);
    let told = answer(&output);
    assert_eq!((&told["exit_code"], &told["code"]), (&json!(1), &json!("ABORTED")), "{told}");
    assert_eq!(told["backtrace"], json!(["0: [program] start.__init"]));
    // For people: the call, and a line each.
    let shown: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(shown[1], format!("  in call {}", told["call"].as_str().expect("an id")), "{shown:?}");
    assert_eq!(shown[2..], ["  0: [program] start.__init"], "{shown:?}");

    let refused = file(&scratch, "refused.wasm", b"text");
    for arguments in [&["run", &refused, "--function", "f", "--json"][..], &["inspect", &refused, "--json"]] {
        let told = answer(&proact(arguments));
        assert_eq!((&told["exit_code"], &told["code"]), (&json!(3), &json!("INVALID_ARGUMENT")), "{told}");
        assert!(told["backtrace"].is_null() && told["call"].is_null(), "{told}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_what_runs_around_the_call() {
    let scratch = Scratch::new("around-interrupt");
    let end = r#"(module (func (export "__deinit") (loop $l br $l)) (func (export "f")))"#;
    for (name, text, said) in [("start", AROUND[0], "start.wasm: interrupted"), ("end", end, "end.f: interrupted at")] {
        let module = module(&scratch, &format!("{name}.wasm"), text);
        let trace = named(&scratch.path(&format!("{name}.json")));
        let mut command = program::proact();
        command.args(["run", &module, "--function", "f", "--trace", &trace]);
        fails(&interrupted(command, |child| catches_signals(child, &trace)), 130, said);
    }
}

#[test]
fn names_in_a_module_do_not_steer_the_terminal() {
    let scratch = Scratch::new("names");
    let module = module(
        &scratch,
        "names.wasm",
        r#"(module (import "m\1b[2J" "f\n" (func)) (func (export "a\1b]0;title\07\0aexports") unreachable)
            (func (export "v\1b") (param externref)))"#,
    );
    let output = proact(&["inspect", &module]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(!shown.contains('\x1b') && shown.contains(r"m\u{1b}[2J.f\n()"), "{shown}");
    assert!(shown.contains(r"a\u{1b}]0;title\u{7}\nexports()") && shown.contains(r"v\u{1b}: externref"), "{shown}");
    let refused = run(&module, &["--function", "none"]);
    assert!(!text(&refused.stderr).contains('\x1b'), "{}", text(&refused.stderr));
    let refused = run(&module, &["--function", "a\x1b]0;title\x07\nexports"]);
    fails(&refused, 3, "import");
    assert!(!text(&refused.stderr).contains('\x1b'), "{}", text(&refused.stderr));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_call_and_the_trace_is_written() {
    let scratch = Scratch::new("interrupt");
    let (math, trace) = (math(&scratch), named(&scratch.path("run.json")));
    let mut command = program::proact();
    command.args(["run", &math, "--function", "forever", "--trace", &trace, "--json"]);
    let output = interrupted(command, |child| catches_signals(child, &trace));
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(answer(&output)["code"], json!("CANCELLED"));
    let written: Value = serde_json::from_slice(&fs::read(&trace).expect("a trace")).expect("JSON");
    assert!(written["traceEvents"].as_array().is_some_and(|events| events.len() > 2), "{written}");
}

#[test]
fn a_trace_has_a_slice_for_each_step() {
    let scratch = Scratch::new("trace");
    let (math, trace) = (math(&scratch), named(&scratch.path("run.json")));
    let output = run(&math, &["--function", "yields", "--input", "4", "--trace", &trace, "--json"]);
    let call = format!("call {}", answer(&output)["call"].as_str().expect("an id"));
    let written: Value = serde_json::from_slice(&fs::read(&trace).expect("a trace")).expect("JSON");
    let events = written["traceEvents"].as_array().expect("events");
    let steps: Vec<&Value> = events.iter().filter(|event| event["cat"] == "step").collect();
    assert_eq!(steps.len(), 5, "{written}");
    let then: Vec<&Value> = steps.iter().map(|step| &step["args"]["then"]).collect();
    assert_eq!(then, ["let others run", "let others run", "let others run", "let others run", "returned"]);
    let mut last = 0.0;
    for step in &steps {
        assert_eq!((&step["name"], &step["args"]["call"]), (&json!("math.yields"), &json!(call)));
        let [at, long] = [&step["ts"], &step["dur"]].map(|number| number.as_f64().expect("a number"));
        assert!(at >= last && long >= 0.0, "in order: {written}");
        last = at + long;
    }
    // One function stood all the while.
    let functions: Vec<&Value> = events.iter().filter(|event| event["cat"] == "function").collect();
    let [function] = functions[..] else { panic!("{written}") };
    assert_eq!((&function["name"], &function["args"]["then"]), (&json!("math.yields"), &json!("returned")));
    assert!(function["dur"].as_f64() <= Some(last), "{written}");
    let nowhere = named(&scratch.path("no/such/run.json"));
    fails(&run(&math, &["--function", "started", "--trace", &nowhere]), 4, "no/such/run.json");
}

#[test]
fn what_is_typed_wrongly_is_a_usage_error() {
    let scratch = Scratch::new("usage");
    let math = math(&scratch);
    for (arguments, said) in [
        (&["--function", "sub"][..], "math has no function \"sub\"; there are add, all, divide"),
        (&["--function", "vector"], "vector: it cannot be called: externref"),
        (&["--function", "add"], "add(i32, i32) -> i32: --input: 0 values, where it takes 2"),
        (&["--function", "add", "--input", "1", "two"], "add(i32, i32) -> i32: --input: \"two\" is no i32"),
        (&["--function", "add", "--input", "1", "2147483648"], "is no i32"),
        (&["--function", "add", "--fuel", "0"], "--fuel"),
        (&["--function", "add", "--deadline", "0"], "--deadline"),
        (&["--function", "add", "--memory", "1KiB"], "64KiB to 4GiB"),
        (&[], "--function"),
    ] {
        let output = run(&math, arguments);
        fails(&output, 2, said);
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let output = run(&math, &["--function", "sub", "--json"]);
    assert_eq!((&answer(&output)["exit_code"], &answer(&output)["outcome"]), (&json!(2), &json!("failed")));
}

#[test]
fn a_module_that_cannot_be_had_is_told_with_its_name() {
    let scratch = Scratch::new("modules");
    let missing = named(&scratch.path("none.wasm"));
    let text = file(&scratch, "text.wasm", b"(module)");
    let import = module(&scratch, "import.wasm", r#"(module (import "file" "read" (func)) (func (export "f")))"#);
    let start = module(&scratch, "start.wasm", "(module (func $f (export \"f\") unreachable) (start $f))");
    let large = module(&scratch, "large.wasm", "(module (memory 1024) (func (export \"f\")))");
    for (module, said) in [
        (&missing, "none.wasm: open: "),
        (&text, "text.wasm: module text: not a WebAssembly module"),
        (&import, "import.wasm: module \"import\": import: "),
    ] {
        fails(&run(module, &["--function", "f"]), 3, said);
    }
    // It was taken in, and ran.
    fails(&run(&start, &["--function", "f"]), 1, "start.wasm: module \"start\": start function: trap: ");
    fails(&run(&large, &["--function", "f", "--memory", "1MiB"]), 1, "(RESOURCE_EXHAUSTED)");
    assert_eq!(run(&large, &["--function", "f"]).status.code(), Some(0));
    for module in [&missing, &text] {
        assert_eq!(proact(&["inspect", module]).status.code(), Some(3));
        let answer = answer(&proact(&["inspect", module, "--json"]));
        assert_eq!((&answer["outcome"], &answer["exit_code"]), (&json!("failed"), &json!(3)));
    }
    // What a program would ask for here is seen without its being there.
    assert_eq!(proact(&["inspect", &import]).status.code(), Some(0));
}

const IMPORT: &str = r#"(import "file" "read" (func (param i32 i64 i32 i32) (result i64)))"#;

#[test]
fn inspect_shows_exports_imports_and_conventions() {
    let scratch = Scratch::new("inspect");
    let module = module(
        &scratch,
        "tool.wasm",
        &MATH
            .replace("(import \"proact\"", &format!("{IMPORT} (import \"proact\""))
            .replace("requires proact 0", "requires file 2\\noptional import file.read(ref, i64, out) -> i64?"),
    );
    let output = proact(&["inspect", &module]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in [
        "module   tool, version 3\n",
        "memory   1 page of 64 KiB, at most 4\n",
        "start    a function",
        "needs    file, version 2, if it is there\n",
        "\nexports\n",
        "  add(i32, i32) -> i32                           0ii_i\n",
        "  same(ref) -> ref                               0r_r\n",
        "\nimports\n  file.read(ref, i64, out) -> i64?  0rIr_I  optional\n",
        "\nnot callable\n  vector: externref in its type",
    ] {
        assert!(shown.contains(line), "{line:?} is missing in:\n{shown}");
    }
    let answer = answer(&proact(&["inspect", &module, "--json"]));
    assert_eq!((&answer["module"], &answer["version"], &answer["starts"]), (&json!("tool"), &json!(3), &json!(true)));
    assert_eq!(answer["memory"], json!({ "minimum": 1, "maximum": 4 }));
    assert_eq!(answer["exports"][0], json!({ "name": "add", "signature": "(i32, i32) -> i32", "convention": "0ii_i" }));
    let import = &answer["imports"][0];
    assert_eq!((&import["name"], &import["signature"]), (&json!("file.read"), &json!("(ref, i64, out) -> i64?")));
    assert_eq!((&import["convention"], &import["optional"]), (&json!("0rIr_I"), &json!(true)));
    assert_eq!(answer["uncallable"], json!([{ "name": "vector", "type": "externref" }]));
    assert_eq!(answer["requires"], json!([{ "module": "file", "version": 2, "optional": true }]));
}

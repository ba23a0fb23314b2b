//! Modules in WebAssembly: the text of one, and its conventions.

use std::fmt::Write;
use std::sync::Arc;

use proact_vm::wasm::{Instances, Options, WasmModule};

use crate::graph::{Act, Graph, SLEEP, Shape, Standard};
use crate::model::is_trap;
use crate::native;

/// Where a buffer is lent of, and where the words of a failure go.
const LENT: usize = 64;
const WORDS: usize = 128;

const IMPORTS: &str = r#"
  (import "world" "note" (func $note (param i32 i32 i64)))
  (import "world" "token" (func $token (param i64) (result i32)))
  (import "world" "value" (func $value (param i32) (result i64)))
  (import "world" "fail" (func $fail (param i32)))
  (import "world" "wait" (func $wait (param i32) (result i64)))
  (import "world" "wait_told" (func $wait_told (param i32) (result i64)))
  (import "world" "reached" (func $reached (result i32)))
  (import "world" "never" (func $never (result i32)))
  (import "world" "gate" (func $gate (result i32)))
  (import "semaphore" "wait" (func $semaphore_wait (param i32 i64 i64) (result i32)))
  (import "timer" "sleep" (func $sleep (param i64)))
  (import "buffer" "get_i64" (func $get (param i32 i64) (result i64)))
  (import "buffer" "set_i64" (func $set (param i32 i64 i64)))
  (import "proact" "yield" (func $yield))
  (import "proact" "retain" (func $retain (param i32) (result i32)))
  (import "proact" "release" (func $release (param i32)))
  (import "proact" "error" (func $error (param i32 i32) (result i32)))
"#;

const CONVENTIONS: &str = "
import world.token(i64) -> ref
import world.value(ref) -> i64
import world.wait_told(i32) -> i64?
import world.reached() -> ref
import world.never() -> ref
import world.gate() -> ref
import semaphore.wait(ref, i64, i64) -> i32
import buffer.get_i64(ref, i64) -> i64
import buffer.set_i64(ref, i64, i64)
";

/// Parameters and results in the text, kinds of an export, and kinds of an import.
fn types(shape: Shape) -> (&'static str, &'static str, &'static str) {
    match shape {
        Shape::Mixed => {
            ("(param i32 i64 i32) (result i64 i32)", "(i32, i64, ref) -> i64, ref", "(i32, i64, ref) -> i64, ref")
        }
        Shape::Numbers => (
            "(param i32 i32 f32 f64) (result f64 i64 f32)",
            "(i32, i32, f32, f64) -> f64, i64, f32",
            "(i32, i32, f32, f64) -> f64, i64, f32",
        ),
        Shape::References => ("(param i32 i32 i32) (result i32)", "(i32, ref, ref) -> ref", "(i32, ref, ref) -> ref"),
        Shape::Nothing => ("(param i32)", "(i32)", "(i32)"),
        Shape::Bytes => ("(param i32 i32 i32) (result i32)", "(i32, ref) -> i32", "(i32, inout) -> i32"),
        Shape::Spans => unreachable!("programs have no spans"),
    }
}

/// The module of that number, assembled and compiled.
pub fn module(graph: &Graph, number: usize) -> Arc<WasmModule> {
    let (text, conventions) = text(graph, number);
    let of = &graph.modules[number];
    let options = Options {
        instances: if of.per_call { Instances::PerCall } else { Instances::PerContext },
        fuel_slice: of.slice.unwrap_or(Options::default().fuel_slice),
        ..Options::default()
    };
    let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let module = WasmModule::builder(format!("m{number}")).options(options).conventions(&*conventions).load(&bytes);
    Arc::new(module.unwrap_or_else(|error| panic!("{error}\n{text}\n{conventions}")))
}

fn text(graph: &Graph, number: usize) -> (String, String) {
    let of = &graph.modules[number];
    let (mut text, mut conventions) = (format!("(module{IMPORTS}"), String::from(CONVENTIONS));
    for callee in native::imported(graph, number) {
        let (wasm, _, kinds) = types(graph.functions[callee].shape);
        let name = graph.name(callee);
        let (module, function) = name.split_once('.').unwrap();
        writeln!(text, "  (import \"{module}\" \"{function}\" (func $f{callee} {wasm}))").unwrap();
        let mark = match (is_told(graph, number, callee), kinds.contains("->")) {
            (true, true) => "?",
            (true, false) => " -> ?",
            (false, _) => "",
        };
        writeln!(conventions, "import {name}{kinds}{mark}").unwrap();
    }
    // One of no results that tells its failures has one.
    for callee in native::imported(graph, number) {
        if graph.functions[callee].shape == Shape::Nothing && is_told(graph, number, callee) {
            text = text.replace(
                &format!("(func $f{callee} (param i32))"),
                &format!("(func $f{callee} (param i32) (result i32))"),
            );
        }
    }
    text.push_str("  (memory (export \"memory\") 1)\n");
    for index in of.functions.clone() {
        let shape = graph.functions[index].shape;
        writeln!(conventions, "export f{index}{}", types(shape).1).unwrap();
        function(graph, index, &mut text);
    }
    text.push(')');
    (text, conventions)
}

fn is_told(graph: &Graph, number: usize, callee: usize) -> bool {
    let functions = graph.modules[number].functions.clone();
    let mut acts = functions.flat_map(|function| graph.acts(function));
    acts.any(|act| matches!(act, Act::Call { callee: other, handled: true } if *other == callee))
}

fn function(graph: &Graph, index: usize, text: &mut String) {
    let shape = graph.functions[index].shape;
    let (parameters, begin) = match shape {
        Shape::Mixed => (
            "(param $at i32) (param $sum i64) (param $kept i32) (result i64 i32)",
            "(local.set $sum (i64.add (local.get $sum) (call $value (local.get $kept))))",
        ),
        Shape::Numbers => (
            "(param $at i32) (param $a i32) (param $b f32) (param $c f64) (result f64 i64 f32)",
            "(local.set $sum (i64.add (i64.extend_i32_s (local.get $a)) (i64.add
                (i64.mul (i64.trunc_f32_s (local.get $b)) (i64.const 3))
                (i64.mul (i64.trunc_f64_s (f64.mul (local.get $c) (f64.const 2))) (i64.const 5)))))",
        ),
        Shape::References => (
            "(param $at i32) (param $kept i32) (param $second i32) (result i32)",
            "(local.set $sum (i64.add (i64.mul (call $value (local.get $kept)) (i64.const 7))
                (call $value (local.get $second))))
            (call $release (local.get $second))",
        ),
        Shape::Nothing => ("(param $at i32)", "(local.set $sum (i64.const 17))"),
        Shape::Bytes => (
            "(param $at i32) (param $buffer i32) (result i32)",
            "(local.set $sum (call $get (local.get $buffer) (i64.const 0)))",
        ),
        Shape::Spans => unreachable!("programs have no spans"),
    };
    let own_sum = if shape == Shape::Mixed { "" } else { "(local $sum i64)" };
    let own_kept = if matches!(shape, Shape::Mixed | Shape::References) { "" } else { "(local $kept i32)" };
    let make_kept = if own_kept.is_empty() { "" } else { "(local.set $kept (call $token (local.get $sum)))" };
    write!(
        text,
        "  (func $f{index} (export \"f{index}\") {parameters} {own_sum} {own_kept}
            (local $r i32) (local $x i64) (local $u f64) (local $v f32)
            {begin}
            (local.set $sum (i64.add (local.get $sum) (i64.const {index})))
            {make_kept}
"
    )
    .unwrap();
    for (place, act) in graph.acts(index).iter().enumerate() {
        text.push_str(&self::act(graph, index, place, *act));
    }
    text.push_str(&end(shape));
    text.push_str(")\n");
}

/// The words of the last failure, as a number.
fn told() -> String {
    // Asked first, and then read: as the engine does.
    format!(
        "(i64.add (i64.extend_i32_u (i32.eqz (call $error (i32.const {WORDS}) (i32.const 8))))
            (i64.rem_u (i64.load (i32.const {WORDS})) (i64.const 1000003)))"
    )
}

fn act(graph: &Graph, index: usize, place: usize, act: Act) -> String {
    match act {
        Act::Note => format!("(call $note (local.get $at) (i32.const {index}) (local.get $sum))\n"),
        Act::Yield => "(call $yield)\n".into(),
        Act::Wait { wait, handled } => {
            let import = if handled { "$wait_told" } else { "$wait" };
            let mut text = format!(
                "(local.set $x (call {import} (i32.const {wait})))
                (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 5)) (local.get $x)))\n"
            );
            if handled {
                let told = told();
                write!(
                    text,
                    "(if (i64.lt_s (local.get $x) (i64.const 0))
                        (then (local.set $sum (i64.add (local.get $sum) {told}))))\n"
                )
                .unwrap();
            }
            text
        }
        Act::Standard(standard) => {
            let wait = |of: &str, deadline: i64| {
                format!(
                    "(local.set $r (call {of}))
                    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 5)) (i64.extend_i32_s
                        (call $semaphore_wait (local.get $r) (i64.const 1) (i64.const {deadline})))))
                    (call $release (local.get $r))\n"
                )
            };
            match standard {
                Standard::Reached => wait("$reached", -1),
                Standard::Expired => wait("$never", 0),
                Standard::Later => wait("$gate", -1),
                Standard::Sleep => format!(
                    "(call $sleep (i64.const {}))
                    (local.set $sum (i64.mul (local.get $sum) (i64.const 5)))\n",
                    SLEEP.as_nanos()
                ),
            }
        }
        Act::Call { callee, handled } => call(graph, index, callee, handled),
        Act::Fail if is_trap(index, place) => "unreachable\n".into(),
        Act::Fail => format!("(call $fail (i32.const {index}))\n"),
        Act::Await(_) | Act::Race(_) | Act::Both { .. } | Act::Back { .. } => unreachable!("{act:?} of a program"),
    }
}

fn call(graph: &Graph, index: usize, callee: usize, handled: bool) -> String {
    let shape = graph.functions[callee].shape;
    // A function of its own gets handles of its own, as one that is called from outside does.
    let is_within = graph.functions[callee].module == graph.functions[index].module;
    let kept = if is_within { "(call $retain (local.get $kept))" } else { "(local.get $kept)" };
    let at = "(i32.add (local.get $at) (i32.const 1))";
    let add = "(local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 3)) (local.get $x)))\n";
    let rest = |by: i64| format!("(i64.rem_s (local.get $sum) (i64.const {by}))");
    let (call, taken) = match shape {
        Shape::Mixed => (
            format!("(call $f{callee} {at} (local.get $sum) {kept}) (local.set $r) (local.set $x)"),
            "(local.set $x (i64.add (i64.mul (local.get $x) (i64.const 3)) (call $value (local.get $r))))
            (call $release (local.get $r))"
                .to_string(),
        ),
        Shape::Numbers => (
            format!(
                "(call $f{callee} {at} (i32.wrap_i64 (local.get $sum)) (f32.convert_i64_s {})
                    (f64.mul (f64.convert_i64_s {}) (f64.const 0.5)))
                (local.set $v) (local.set $x) (local.set $u)",
                rest(1000),
                rest(1_000_000)
            ),
            "(local.set $x (i64.add (local.get $x) (i64.add
                (i64.trunc_f64_s (f64.mul (local.get $u) (f64.const 2)))
                (i64.mul (i64.trunc_f32_s (local.get $v)) (i64.const 7)))))"
                .to_string(),
        ),
        Shape::References => (
            format!(
                "(call $f{callee} {at} {kept} (if (result i32) (i64.eqz {}) (then {kept}) (else (i32.const 0))))
                (local.set $r)",
                rest(2)
            ),
            "(local.set $x (call $value (local.get $r))) (call $release (local.get $r))".to_string(),
        ),
        Shape::Nothing => {
            let result = if handled { "(local.set $r)" } else { "" };
            (format!("(call $f{callee} {at}) {result}"), "(local.set $x (i64.const 1))".to_string())
        }
        Shape::Bytes => (
            format!(
                "(i64.store (i32.const {LENT}) (local.get $sum))
                (call $f{callee} {at} (i32.const {LENT}) (i32.const 8)) (local.set $r)"
            ),
            format!("(local.set $x (i64.add (i64.load (i32.const {LENT})) (i64.extend_i32_s (local.get $r))))"),
        ),
        Shape::Spans => unreachable!("programs have no spans"),
    };
    if !handled {
        return format!("{call} {taken} {add}");
    }
    let told = told();
    format!(
        "{call}
        (if (i32.lt_s (local.get $r) (i32.const 0))
            (then (local.set $x (i64.add (i64.extend_i32_s (local.get $r)) {told})))
            (else {taken}))
        {add}"
    )
}

/// Gives up what it holds, and answers.
fn end(shape: Shape) -> String {
    // 0: what it was given, 1: a new one, 2: null. It owns one handle, and answers or releases it.
    let reference = "
        (local.set $x (i64.rem_s (i64.add (i64.rem_s (local.get $sum) (i64.const 3)) (i64.const 3)) (i64.const 3)))
        (if (result i32) (i64.eqz (local.get $x)) (then (local.get $kept)) (else
            (call $release (local.get $kept))
            (if (result i32) (i64.eq (local.get $x) (i64.const 1))
                (then (call $token (local.get $sum))) (else (i32.const 0)))))";
    match shape {
        Shape::Mixed => format!("(local.get $sum) {reference}"),
        Shape::References => reference.into(),
        Shape::Numbers => "(call $release (local.get $kept))
            (f64.mul (f64.convert_i64_s (i64.rem_s (local.get $sum) (i64.const 1000000))) (f64.const 0.5))
            (local.get $sum)
            (f32.convert_i64_s (i64.rem_s (local.get $sum) (i64.const 1000)))"
            .into(),
        Shape::Nothing => "(call $release (local.get $kept))".into(),
        Shape::Bytes => "(call $release (local.get $kept))
            (call $set (local.get $buffer) (i64.const 0) (local.get $sum))
            (call $release (local.get $buffer))
            (i32.wrap_i64 (i64.and (local.get $sum) (i64.const 0x7fffffff)))"
            .into(),
        Shape::Spans => unreachable!("programs have no spans"),
    }
}

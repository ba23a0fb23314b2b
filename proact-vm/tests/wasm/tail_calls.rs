//! Calls that take the place of their callers, as the engine makes them.

use std::sync::Arc;
use std::time::Duration;

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Error, InvocationOptions, InvocationState, Step, Value};

use super::{Options, call, code, context, guest_with, i32_of, per_call, try_context, try_guest};

/// Functions that never end, each by tail calls of another kind.
const ENDLESS: &str = r#"(module
    (type $none (func))
    (table 1 funcref)
    (elem (i32.const 0) $indirect)
    (func $itself (export "itself") return_call $itself)
    (func $ping (export "ping") return_call $pong)
    (func $pong return_call $ping)
    (func $indirect (export "indirect") (return_call_indirect (type $none) (i32.const 0)))
    (func (export "one") (result i32) i32.const 1))"#;

const NAMES: [&str; 3] = ["itself", "ping", "indirect"];

#[test]
fn tail_calls_without_end_use_fuel_and_let_others_run() {
    for (instances, name) in [Options::default(), per_call()].into_iter().flat_map(|o| NAMES.map(|n| (o.clone(), n))) {
        let options = Options { fuel: Some(10_000), fuel_slice: 100, ..instances };
        let context = context([guest_with(ENDLESS, options) as Arc<dyn Module>]);
        assert_eq!(code(call(&context, name, &[])), Code::ResourceExhausted, "{name}");
        let function = context.lookup(&format!("guest.{name}")).unwrap();
        let mut state = InvocationState::new();
        let step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
        let Step::Yielded(yielded) = step else { panic!("{name}: {step:?}") };
        assert!(matches!(yielded.resume(), Step::Yielded(_)), "{name}");
        assert_eq!(i32_of(call(&context, "one", &[])), 1, "{name}: the context goes on");
    }
}

#[test]
fn tail_calls_without_end_see_their_deadline() {
    for name in NAMES {
        let context = context([guest_with(ENDLESS, Options::default()) as Arc<dyn Module>]);
        let function = context.lookup(&format!("guest.{name}")).unwrap();
        let options = InvocationOptions::new().deadline(Duration::ZERO);
        let late = context.invoke_with(&options, &function, &(), &mut ()).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{name}: {late}");
        assert_eq!(i32_of(call(&context, "one", &[])), 1, "{name}: the context goes on");
    }
}

/// Tail calls of imports that come to their end at once: from the function that was called, and from one below it.
const IMPORTS: &str = r#"(module
    (import "host" "twice" (func $twice (param i32) (result i32)))
    (import "host" "fail" (func $fail (param i32) (result i32)))
    (import "host" "told" (func $told (param i32) (result i32)))
    (import "host" "later" (func $later (param i32) (result i32)))
    (import "proact" "retain" (func $retain (param i32) (result i32)))
    (import "proact" "yield" (func $yield))
    (table 2 funcref)
    (elem (i32.const 0) $twice)
    (type $unary (func (param i32) (result i32)))
    (func $at_once (export "at_once") (param i32) (result i32) local.get 0 return_call $twice)
    (func $indirect (export "indirect") (param i32) (result i32)
        (return_call_indirect (type $unary) (local.get 0) (i32.const 0)))
    (func (export "fails") (param i32) (result i32) local.get 0 return_call $fail)
    (func $is_told (export "is_told") (param i32) (result i32) local.get 0 return_call $told)
    (func $null (param i32) (result i32) local.get 0 return_call $retain)
    (func (export "below") (param i32) (result i32) (local i64 i64 i64)
        call $yield
        (i32.add
            (i32.add (call $at_once (local.get 0)) (call $later (local.get 0)))
            (i32.add
                (i32.mul (i32.const 1000) (call $indirect (local.get 0)))
                (i32.add (call $null (i32.const 0)) (call $is_told (i32.const 0))))))
    (@custom "proact.conventions" "import host.told(i32) -> i32?\n"))"#;

fn host() -> Arc<dyn Module> {
    let module = NativeModule::builder("host")
        .function("twice", |_: &(), n: i32| n.wrapping_mul(2))
        .async_function("later", |caller: Caller<()>, n: i32| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(n.wrapping_mul(3))
        })
        .function("fail", |_: &(), _: i32| Err::<i32, _>(Error::new(Code::DataLoss, "gone")))
        .function("told", |_: &(), _: i32| Err::<i32, _>(Error::new(Code::DataLoss, "gone")))
        .build();
    module.expect("a module")
}

#[test]
fn tail_calls_of_imports_answer_in_the_place_of_their_callers() {
    let lost = Code::DataLoss as i32;
    for options in [Options::default(), per_call(), Options { fuel_slice: 1, ..Options::default() }] {
        let context = context([host(), guest_with(IMPORTS, options)]);
        for _ in 0..2 {
            assert_eq!(i32_of(call(&context, "at_once", &[Value::I32(5)])), 10);
            assert_eq!(i32_of(call(&context, "indirect", &[Value::I32(5)])), 10);
            assert_eq!(i32_of(call(&context, "below", &[Value::I32(5)])), 10 + 15 + 10_000 - lost);
            assert_eq!(code(call(&context, "fails", &[Value::I32(5)])), Code::DataLoss);
            assert_eq!(i32_of(call(&context, "is_told", &[Value::I32(5)])), -lost);
        }
    }
}

/// The engine does not go on from a stop in such a call: what came back was another number than the import's.
#[test]
fn tail_calls_of_imports_that_may_stop_are_refused_before_anything_runs() {
    let later = r#"(import "host" "later" (func $later (param i32) (result i32)))"#;
    let indirect = r#"(type $unary (func (param i32) (result i32)))
        (func (param i32) (result i32) (return_call_indirect (type $unary) (local.get 0) (i32.const 0)))"#;
    for text in [
        format!("(module {later} (func (param i32) (result i32) local.get 0 return_call $later))"),
        // What a table may hold, by whatever way.
        format!("(module {later} (table 1 funcref) (elem (i32.const 0) $later) {indirect})"),
        format!("(module {later} (table 1 funcref) (elem (i32.const 0) funcref (ref.func $later)) {indirect})"),
        format!("(module {later} (table 1 funcref) (elem func $later) {indirect})"),
        format!("(module {later} (table 1 funcref) (global funcref (ref.func $later)) {indirect})"),
        format!(
            "(module {later} (table 1 funcref) (elem declare func $later) {indirect}
                (func (table.set (i32.const 0) (ref.func $later))))"
        ),
    ] {
        let error = try_context([host(), guest_with(&text, Options::default())]).expect_err(&text);
        assert_eq!(error.code(), Code::Unimplemented, "{text}: {error}");
        assert!(error.to_string().contains("import host.later: it may stop"), "{text}: {error}");
    }
    let text = r#"(module (import "proact" "yield" (func $yield)) (func return_call $yield))"#;
    let error = try_guest(text, Options::default()).expect_err(text);
    assert_eq!(error.code(), Code::Unimplemented, "{error}");
    assert!(error.to_string().contains("import proact.yield: it may stop"), "{error}");
    // Called as others are, through a table too, it stops and goes on.
    let text = format!(
        r#"(module {later} (table 1 funcref) (elem (i32.const 0) $later)
            (type $unary (func (param i32) (result i32)))
            (func (export "f") (param i32) (result i32)
                (i32.add (i32.const 1) (call_indirect (type $unary) (local.get 0) (i32.const 0)))))"#
    );
    let context = context([host(), guest_with(&text, Options::default())]);
    assert_eq!(i32_of(call(&context, "f", &[Value::I32(5)])), 16);
}

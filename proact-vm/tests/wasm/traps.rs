//! Every trap is an error with a code, words and a backtrace, and leaves the context usable.

use std::sync::Arc;

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::NativeModule;
use proact_vm::{FrameKind, Value};

use super::{Options, call, context, guest, guest_with, i32_of, per_call};

const TRAPS: &str = r#"(module
    (memory (export "memory") 1 1)
    (table 2 funcref) (elem (i32.const 1) $two)
    (type $one (func (param i32)))
    (func $two (param i32 i32))
    (func (export "unreachable") unreachable)
    (func (export "memory_load") (drop (i32.load (i32.const 65533))))
    (func (export "memory_store") (i64.store (i32.const -1) (i64.const 0)))
    (func (export "memory_fill") (memory.fill (i32.const 65530) (i32.const 0) (i32.const 7)))
    (func (export "table_get") (call_indirect (type $one) (i32.const 0) (i32.const 2)))
    (func (export "table_null") (call_indirect (type $one) (i32.const 0) (i32.const 0)))
    (func (export "table_type") (call_indirect (type $one) (i32.const 0) (i32.const 1)))
    (func (export "divide") (drop (i32.div_s (i32.const 1) (i32.const 0))))
    (func (export "remainder") (drop (i64.rem_u (i64.const 1) (i64.const 0))))
    (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
    (func (export "truncate") (drop (i32.trunc_f64_s (f64.const 1e300))))
    (func (export "truncate_nan") (drop (i64.trunc_f32_u (f32.const nan))))
    (func $recurse (export "recurse") call $recurse)
    (func $both (export "both") call $other) (func $other call $both)
    (func (export "one") (result i32) i32.const 1))"#;

const EXPECTED: [(&str, Code, &str); 15] = [
    ("unreachable", Code::Aborted, "executed \"unreachable\""),
    ("memory_load", Code::OutOfRange, "past the end of memory"),
    ("memory_store", Code::OutOfRange, "past the end of memory"),
    ("memory_fill", Code::OutOfRange, "past the end of memory"),
    ("table_get", Code::OutOfRange, "past the end of a table"),
    ("table_null", Code::InvalidArgument, "no function"),
    ("table_type", Code::InvalidArgument, "another type"),
    ("divide", Code::InvalidArgument, "division by zero"),
    ("remainder", Code::InvalidArgument, "division by zero"),
    ("overflow", Code::OutOfRange, "integer overflow"),
    ("truncate", Code::OutOfRange, "integer overflow"),
    ("truncate_nan", Code::OutOfRange, "no integer"),
    ("recurse", Code::ResourceExhausted, "too deep"),
    ("both", Code::ResourceExhausted, "too deep"),
    ("one", Code::Ok, ""),
];

#[test]
fn every_trap_has_its_code_and_words_and_names_the_frame() {
    for options in [Options::default(), per_call(), Options { fuel_slice: 3, ..Options::default() }] {
        let context = context([guest_with(TRAPS, options) as Arc<dyn Module>]);
        for (function, code, said) in EXPECTED.into_iter().filter(|(_, code, _)| *code != Code::Ok) {
            let error = call(&context, function, &[]).expect_err(function);
            assert_eq!(error.code(), code, "{function}: {error}");
            assert!(error.to_string().starts_with("trap: ") && error.to_string().contains(said), "{function}: {error}");
            let [frame] = error.backtrace() else { panic!("{error:?}") };
            assert_eq!((frame.depth, frame.kind), (0, FrameKind::Program));
            assert_eq!(frame.function, format!("guest.{function}"));
            assert!(error.call().is_some());
            assert_eq!(i32_of(call(&context, "one", &[])), 1, "usable after {function}");
        }
    }
}

#[test]
fn a_trap_below_another_program_and_a_native_function_names_them_all() {
    let outer = super::WasmModule::builder("outer").load(&super::assemble(
        r#"(module (import "between" "go" (func $go (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) local.get 0 call $go))"#,
    ));
    let between = NativeModule::builder("between").import("guest.trap", "0i_i").async_function(
        "go",
        |caller: proact_vm::module::native::Caller<()>, number: i32| async move {
            let trap = caller.import(0)?.clone();
            caller.yield_now().await?;
            caller.call::<_, i32>(&trap, (number,)).await
        },
    );
    let inner = guest(r#"(module (func (export "trap") (param i32) (result i32) local.get 0 i32.const 0 i32.div_u))"#);
    let context = context([inner as Arc<dyn Module>, between.build().expect("one"), Arc::new(outer.expect("one"))]);
    let run = context.lookup("outer.run").expect("it is there");
    let error = context.invoke(&run, &[Value::I32(1)], &mut Vec::new()).expect_err("it traps");
    let stood: Vec<String> = error.backtrace().iter().map(ToString::to_string).collect();
    assert_eq!(stood, ["2: [program] guest.trap", "1: [native] between.go", "0: [program] outer.run"]);
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[test]
fn an_import_that_fails_is_named_whether_it_ran_within_the_program_or_not() {
    let failure = || proact_vm::Error::new(Code::DataLoss, "torn");
    let host = NativeModule::builder("host")
        .function("plain", move |_: &(), _: i32| Err::<i32, _>(failure()))
        .async_function("later", move |caller: proact_vm::module::native::Caller<()>, _: i32| async move {
            caller.yield_now().await?;
            Err::<i32, _>(failure())
        });
    let text = r#"(module
        (import "host" "plain" (func $plain (param i32) (result i32)))
        (import "host" "later" (func $later (param i32) (result i32)))
        (import "proact" "yield" (func $yield))
        (func (export "plain") (param i32) (result i32) local.get 0 call $plain)
        (func (export "later") (param i32) (result i32) local.get 0 call $later)
        (func (export "then") (param i32) (result i32) call $yield local.get 0 call $plain)
        (export "re" (func $plain)))"#;
    let context = context([host.build().expect("a module") as Arc<dyn Module>, guest(text)]);
    for (function, import) in [("plain", "plain"), ("later", "later"), ("then", "plain"), ("re", "plain")] {
        let error = call(&context, function, &[Value::I32(1)]).expect_err("it fails");
        assert_eq!((error.code(), error.message()), (Code::DataLoss, "torn"));
        let stood: Vec<String> = error.backtrace().iter().map(ToString::to_string).collect();
        assert_eq!(stood, [format!("1: [native] host.{import}"), format!("0: [program] guest.{function}")]);
        assert!(error.call().is_some());
    }
}

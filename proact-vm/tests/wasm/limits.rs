//! What a program may use, and what it meets at the bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::NativeModule;
use proact_vm::wasm::WasmModule;
use proact_vm::{Error, Value};

use super::{Options, assemble, call, code, context, guest_with, i32_of, per_call, try_context, try_guest};

const LOOPS: &str = r#"(module
    (func (export "forever") (loop $l br $l))
    (func (export "count") (param i32) (result i32) (local i32)
        (loop $l
            (local.set 1 (i32.add (local.get 1) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 1) (local.get 0))))
        local.get 1))"#;

#[test]
fn the_fuel_of_a_call_is_a_bound_that_each_call_has_for_itself() {
    for slice in [1, 7, 1_000, u64::MAX] {
        let options = Options { fuel: Some(100_000), fuel_slice: slice, ..Options::default() };
        let context = context([guest_with(LOOPS, options) as Arc<dyn Module>]);
        for _ in 0..2 {
            let error = call(&context, "forever", &[]).expect_err("it never ends");
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert!(error.to_string().contains("the fuel of the call is used up"), "{error}");
            assert_eq!(i32_of(call(&context, "count", &[Value::I32(5_000)])), 5_000);
        }
    }
}

#[test]
fn a_slice_that_is_used_up_does_not_change_what_is_computed() {
    let expected = 10_000;
    for slice in [1, 2, 3, 64, 1_000_000] {
        let context =
            context([guest_with(LOOPS, Options { fuel_slice: slice, ..Options::default() }) as Arc<dyn Module>]);
        assert_eq!(i32_of(call(&context, "count", &[Value::I32(expected)])), expected);
    }
}

#[test]
fn fuel_counts_on_through_imports() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let host = NativeModule::builder("host").function("f", move |_: &()| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let text = r#"(module (import "host" "f" (func $f)) (import "proact" "yield" (func $yield))
        (func (export "calls") (loop $l call $f br $l))
        (func (export "yields") (loop $l call $yield br $l)))"#;
    let options = Options { fuel: Some(10_000), ..Options::default() };
    let context = context([host.build().expect("a module") as Arc<dyn Module>, guest_with(text, options)]);
    assert_eq!(code(call(&context, "calls", &[])), Code::ResourceExhausted);
    assert!((100..=10_000).contains(&calls.load(Ordering::Relaxed)), "{calls:?}");
    assert_eq!(code(call(&context, "yields", &[])), Code::ResourceExhausted);
}

const MEMORY: &str = r#"(module
    (memory (export "memory") 1)
    (table 1 funcref)
    (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
    (func (export "size") (result i32) memory.size)
    (func (export "grow_table") (param i32) (result i32) ref.null func local.get 0 table.grow))"#;

#[test]
fn memory_and_tables_grow_to_their_bounds_and_no_further() {
    let options = Options { memory_max: 4 << 16, table_elements_max: 10, ..Options::default() };
    let context = context([guest_with(MEMORY, options) as Arc<dyn Module>]);
    let grow = |pages: i32| i32_of(call(&context, "grow", &[Value::I32(pages)]));
    assert_eq!((grow(2), grow(2), grow(1), grow(1)), (1, -1, 3, -1));
    assert_eq!((grow(-1), grow(65_536), i32_of(call(&context, "size", &[]))), (-1, -1, 4));
    let grow = |elements: i32| i32_of(call(&context, "grow_table", &[Value::I32(elements)]));
    assert_eq!((grow(9), grow(1), grow(-1)), (1, -1, -1));
}

#[test]
fn what_a_module_declares_counts_before_it_is_allocated() {
    let options = || Options { memory_max: 1 << 20, table_elements_max: 1_000, ..Options::default() };
    for text in [
        r#"(module (memory 17))"#,
        r#"(module (memory 65536))"#,
        r#"(module (table 1001 funcref))"#,
        r#"(module (table 10000000 funcref))"#,
    ] {
        let error = match try_guest(&with_export(text), options()) {
            Ok(module) => {
                let context = try_context([Arc::new(module) as Arc<dyn Module>]).expect("its instance is made later");
                call(&context, "f", &[]).expect_err(text)
            }
            Err(error) => error,
        };
        assert_eq!(error.code(), Code::ResourceExhausted, "{text}: {error}");
    }
    for text in [r#"(module (memory 16))"#, r#"(module (memory 1 65536))"#, r#"(module (table 1000 funcref))"#] {
        let context = context([guest_with(&with_export(text), options()) as Arc<dyn Module>]);
        assert_eq!(call(&context, "f", &[]).expect(text), []);
    }
}

fn with_export(text: &str) -> String {
    format!("{} (func (export \"f\")))", text.trim_end_matches(')').to_owned() + ")")
}

#[test]
fn a_segment_past_the_end_is_an_error_of_the_call() {
    for (text, said) in [
        (r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "f")))"#, "memory"),
        (r#"(module (table 1 funcref) (elem (i32.const 1) $f) (func $f (export "f")))"#, "table"),
    ] {
        let context = context([guest_with(text, Options::default()) as Arc<dyn Module>]);
        for _ in 0..2 {
            let error = call(&context, "f", &[]).expect_err(text);
            assert_eq!(error.code(), Code::OutOfRange, "{error}");
            assert!(error.to_string().contains("instantiation") && error.to_string().contains(said), "{error}");
        }
    }
}

#[test]
fn a_module_may_have_so_many_bytes_functions_locals_and_kinds() {
    let repeated = |what: &str, times: usize| what.repeat(times);
    let types = format!("(module (func (export \"f\") (param {})))", repeated("i32 ", 33));
    let locals = format!("(module (func (export \"f\") (local {})))", repeated("i32 ", 8_193));
    let many_locals = format!("(module {})", repeated(&format!("(func (local {}))", repeated("i32 ", 8_000)), 9));
    let functions = format!("(module {})", repeated("(func)", 100_001));
    let exports = format!(
        "(module (func $f) {})",
        (0..10_001).map(|i| format!("(export \"{i}\" (func $f))")).collect::<String>()
    );
    let imports = format!("(module {})", repeated("(import \"m\" \"f\" (func))", 10_001));
    let many_types = format!("(module {})", repeated("(type (func))", 100_001));
    let globals = format!("(module {})", repeated("(global i32 (i32.const 0))", 100_001));
    let segment = format!("(elem func {})", repeated("0 ", 500_001));
    let elements = format!("(module (func) {segment} {segment})");
    let body = format!("(module (func {}))", repeated("nop ", (1 << 20) + 1));
    for (text, said) in [
        (types, "33 arguments or results of a type are more than 32"),
        (locals, "8193 locals of a function are more than 8192"),
        (many_locals, "locals of all functions are more than"),
        (functions, "100001 functions are more than 100000"),
        (exports, "10001 exports are more than 10000"),
        (imports, "10001 imports are more than 10000"),
        (body, "bytes of a function are more than 1048576"),
        (many_types, "100001 types are more than 100000"),
        (globals, "100001 globals are more than 100000"),
        (elements, "1000002 elements of all segments are more than 1000000"),
    ] {
        let error = try_guest(&text, Options::default()).expect_err(said);
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let bytes = assemble(LOOPS);
    let options = Options { module_bytes_max: bytes.len() - 1, ..Options::default() };
    let refused = |options| WasmModule::builder("guest").options(options).load(&bytes).err().map(|error| error.code());
    assert_eq!(refused(options), Some(Code::ResourceExhausted));
    assert_eq!(refused(Options { module_bytes_max: bytes.len(), ..Options::default() }), None);
    assert_eq!(refused(Options { fuel_slice: 0, ..Options::default() }), Some(Code::InvalidArgument));
    assert_eq!(refused(Options { recursion_max: 0, ..Options::default() }), Some(Code::InvalidArgument));
    assert_eq!(refused(Options { references_max: 65_536, ..Options::default() }), Some(Code::InvalidArgument));
    let named = |name: &str| WasmModule::builder(name).load(&bytes).map(drop).map_err(|error: Error| error.code());
    assert_eq!((named(""), named("a.b"), named("a")), (Err(Code::InvalidArgument), Err(Code::InvalidArgument), Ok(())));
}

#[test]
fn recursion_goes_as_deep_as_it_may() {
    let text = r#"(module (func $down (export "down") (param i32) (result i32)
        local.get 0 if (result i32) (call $down (i32.sub (local.get 0) (i32.const 1))) else i32.const 5 end))"#;
    for deepest in [1, 10, 1_024, 5_000] {
        let options = Options { recursion_max: deepest, ..Options::default() };
        let context = context([guest_with(text, options) as Arc<dyn Module>]);
        let down = |depth: usize| call(&context, "down", &[Value::I32(depth as i32)]);
        assert_eq!(i32_of(down(deepest - 1)), 5);
        assert_eq!(code(down(deepest)), Code::ResourceExhausted);
        assert_eq!(code(down(10_000_000)), Code::ResourceExhausted);
        assert_eq!(i32_of(down(deepest - 1)), 5);
    }
}

#[test]
fn a_program_that_is_called_back_without_end_meets_its_bound() {
    let slot: Arc<std::sync::OnceLock<proact_vm::Function>> = Arc::default();
    let held = slot.clone();
    let host = NativeModule::builder("host")
        .raw_function("back", "0", move |_, frame| frame.call(held.get().expect("it is set"), |_| Ok(())));
    let text = r#"(module (import "host" "back" (func $back)) (func (export "forever") call $back)
        (func (export "one") (result i32) i32.const 1))"#;
    let context = context([host.build().expect("a module") as Arc<dyn Module>, guest_with(text, Options::default())]);
    slot.set(context.lookup("guest.forever").expect("it is there")).expect("once");
    for _ in 0..2 {
        let error = call(&context, "forever", &[]).expect_err("it never ends");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        assert_eq!(error.backtrace().len(), 65, "those that stood, and the one that was refused");
        assert_eq!(i32_of(call(&context, "one", &[])), 1);
    }
}

/// Each has a stack of the engine's for itself, and with an instance for each call a memory.
#[test]
fn calls_back_into_programs_are_bounded() {
    let text = r#"(module
        (import "host" "back" (func $back (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "f") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
            (i32.add (i32.const 1) (call $back (i32.sub (local.get 0) (i32.const 1))))))"#;
    for options in [Options::default(), per_call()] {
        let (slot, calls) = (Arc::<std::sync::OnceLock<proact_vm::Function>>::default(), Arc::<AtomicU32>::default());
        let (held, counted) = (slot.clone(), calls.clone());
        let host = NativeModule::builder("host").raw_function("back", "0i_i", move |_, frame| {
            counted.fetch_add(1, Ordering::Relaxed);
            let depth = frame.arguments().next_i32()?;
            frame.call(held.get().expect("it is set"), |packed| {
                packed.push_i32(depth);
                packed.finish();
                Ok(())
            })
        });
        let context = context([host.build().expect("a module") as Arc<dyn Module>, guest_with(text, options)]);
        slot.set(context.lookup("guest.f").expect("it is there")).expect("once");
        assert_eq!(i32_of(call(&context, "f", &[Value::I32(63)])), 63);
        let error = call(&context, "f", &[Value::I32(1_000_000)]).expect_err("too deep");
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.to_string().contains("64 calls of programs within one another"), "{error}");
        assert_eq!(calls.load(Ordering::Relaxed), 63 + 64);
        assert_eq!(i32_of(call(&context, "f", &[Value::I32(3)])), 3, "the context goes on");
    }
}

//! Numbers and references in and out, imports, and what an instance keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::status::Code;
use proact_vm::module::native::NativeModule;
use proact_vm::module::{Concurrency, Module};
use proact_vm::{Access, Buffer, Context, Instance, Ref, Value};

use super::{call, code, context, guest, guest_with, i32_of, per_call, try_context, try_guest};

const NUMBERS: &str = r#"(module
    (func (export "all") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        local.get 3 local.get 2 local.get 1 local.get 0)
    (func (export "none"))
    (func (export "vector") (param externref))
    (memory (export "memory") 1 2))"#;

#[test]
fn numbers_of_every_type_go_in_and_out_without_a_convention() {
    let module = guest(NUMBERS);
    let signatures: Vec<String> = module.signatures().map(|(name, signature)| format!("{name}{signature}")).collect();
    assert_eq!(signatures, ["all(i32, i64, f32, f64) -> f64, f32, i64, i32", "none()"]);
    assert_eq!(module.uncallable().collect::<Vec<_>>(), [("vector", "externref")]);
    assert_eq!(module.memory().map(|pages| (pages.minimum, pages.maximum)), Some((1, Some(2))));
    let context = context([module as Arc<dyn Module>]);
    let inputs = [Value::I32(i32::MIN), Value::I64(i64::MAX), Value::F32(0.5), Value::F64(-0.0)];
    let outputs = call(&context, "all", &inputs).expect("it returns");
    assert_eq!(outputs, [inputs[3].clone(), inputs[2].clone(), inputs[1].clone(), inputs[0].clone()]);
    assert_eq!(call(&context, "none", &[]).expect("it returns"), []);
    for wrong in [&inputs[..3], &[], &[Value::I64(1), inputs[1].clone(), inputs[2].clone(), inputs[3].clone()]] {
        assert_eq!(code(call(&context, "all", wrong)), Code::InvalidArgument, "{wrong:?}");
    }
    assert_eq!(code(call(&context, "vector", &[Value::I32(0)])), Code::NotFound);
    assert_eq!(code(call(&context, "elsewhere", &[])), Code::NotFound);
}

const COUNTER: &str = r#"(module
    (global $count (mut i32) (i32.const 0))
    (func $start global.get $count i32.const 100 i32.add global.set $count)
    (func (export "next") (result i32) global.get $count i32.const 1 i32.add global.set $count global.get $count)
    (func (export "trap") call 0 unreachable)
    (start $start))"#;

#[test]
fn an_instance_of_a_context_keeps_its_state_and_one_of_a_call_does_not() {
    let kept = context([guest(COUNTER) as Arc<dyn Module>]);
    let (one, two) = (i32_of(call(&kept, "next", &[])), i32_of(call(&kept, "next", &[])));
    assert_eq!((one, two), (101, 102), "the start function runs once");
    let other = context([guest(COUNTER) as Arc<dyn Module>]);
    assert_eq!(i32_of(call(&other, "next", &[])), 101, "each context has its own");

    let module = guest_with(COUNTER, per_call());
    assert_eq!(module.concurrency(), Concurrency::Concurrent);
    let fresh = Context::builder(&Instance::new()).module(module).concurrent().build().expect("a context");
    assert_eq!((i32_of(call(&fresh, "next", &[])), i32_of(call(&fresh, "next", &[]))), (101, 101));
}

#[test]
fn an_exclusive_instance_is_refused_by_a_concurrent_context() {
    let module = guest(COUNTER);
    assert_eq!(module.concurrency(), Concurrency::Exclusive);
    let refused = Context::builder(&Instance::new()).module(module).concurrent().build().expect_err("it is exclusive");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[test]
fn a_call_that_failed_leaves_a_new_instance_to_the_next() {
    let context = context([guest(COUNTER) as Arc<dyn Module>]);
    assert_eq!(i32_of(call(&context, "next", &[])), 101);
    assert_eq!(code(call(&context, "trap", &[])), Code::Aborted);
    assert_eq!(i32_of(call(&context, "next", &[])), 101, "not 202: nothing of what the call had done is left");
}

#[test]
fn programs_call_each_other_and_native_functions_in_between() {
    let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build();
    let middle = super::WasmModule::builder("middle").load(&super::assemble(
        r#"(module (import "math" "add" (func $add (param i32 i32) (result i32)))
            (func (export "twice") (param i32) (result i32) local.get 0 local.get 0 call $add))"#,
    ));
    let top = guest(
        r#"(module (import "middle" "twice" (func $twice (param i32) (result i32)))
            (import "math" "add" (func $add (param i32 i32) (result i32)))
            (func (export "run") (param i32) (result i32)
                local.get 0 call $twice call $twice i32.const 1 call $add)
            (export "re" (func $twice)))"#,
    );
    let context = context([math.expect("a module") as Arc<dyn Module>, Arc::new(middle.expect("a module")), top]);
    assert_eq!(i32_of(call(&context, "run", &[Value::I32(10)])), 41);
    assert_eq!(i32_of(call(&context, "re", &[Value::I32(10)])), 20, "an export may be an import");
}

#[test]
fn an_import_that_grows_the_memory_of_its_caller_leaves_it_usable() {
    // The program is called back while it stands in a call: the same instance, whose memory grows meanwhile.
    let module = guest(
        r#"(module (import "host" "back" (func $back))
            (memory (export "memory") 1 10)
            (func (export "grow") (drop (memory.grow (i32.const 1))))
            (func (export "run") (result i32)
                call $back
                (i32.store (i32.const 70000) (i32.const 7))
                (i32.load (i32.const 70000))))"#,
    );
    let slot: Arc<std::sync::OnceLock<proact_vm::Function>> = Arc::default();
    let held = slot.clone();
    let host = NativeModule::builder("host")
        .raw_function("back", "0", move |_, frame| frame.call(held.get().expect("it is set"), |_| Ok(())));
    let context = context([host.build().expect("a module") as Arc<dyn Module>, module]);
    slot.set(context.lookup("guest.grow").expect("it is there")).expect("once");
    assert_eq!(i32_of(call(&context, "run", &[])), 7);
}

fn buffers(dropped: Arc<AtomicUsize>) -> Arc<dyn Module> {
    let module = NativeModule::builder("host")
        .function("make", move |_: &(), byte: i32| {
            dropped.fetch_add(1, Ordering::Relaxed);
            Ref::new(Buffer::new(vec![byte as u8; 4], Access::Mutable))
        })
        .function("sum", |_: &(), buffer: Ref| -> Result<i32, proact_vm::Error> {
            Ok(buffer.get::<Buffer>()?.read_with(|bytes| bytes.iter().map(|byte| i32::from(*byte)).sum()))
        })
        .function("same", |_: &(), one: Ref, other: Ref| i32::from(one == other))
        .build();
    module.expect("a module")
}

const REFERENCES: &str = r#"(module
    (import "host" "make" (func $make (param i32) (result i32)))
    (import "host" "sum" (func $sum (param i32) (result i32)))
    (import "host" "same" (func $same (param i32 i32) (result i32)))
    (import "proact" "retain" (func $retain (param i32) (result i32)))
    (import "proact" "release" (func $release (param i32)))
    (global $kept (mut i32) (i32.const 0))
    (func (export "keep") (param i32) local.get 0 global.set $kept)
    (func (export "kept") (result i32) global.get $kept call $sum)
    (func (export "give") (result i32) global.get $kept i32.const 0 global.set $kept)
    (func (export "drop") global.get $kept call $release i32.const 0 global.set $kept)
    (func (export "is_kept") (param i32) (result i32)
        local.get 0 global.get $kept call $same
        local.get 0 call $release)
    (func (export "retained") (result i32) (local i32)
        global.get $kept call $retain local.set 0
        global.get $kept call $release
        local.get 0 global.set $kept
        local.get 0 call $sum)
    (func (export "made") (param i32) (result i32) local.get 0 call $make)
    (func (export "forged") (param i32) (result i32) local.get 0 call $sum)
    (@custom "proact.conventions" "import host.make(i32) -> ref\nimport host.sum(ref) -> i32\n")
    (@custom "proact.conventions" "import host.same(ref, ref) -> i32\nexport keep(ref)\nexport give() -> ref")
    (@custom "proact.conventions" "export is_kept(ref) -> i32\nexport made(i32) -> ref"))"#;

#[test]
fn references_are_counted_for_the_program_until_it_releases_them() {
    let context = context([buffers(Arc::default()), guest(REFERENCES)]);
    let buffer = Arc::new(Buffer::new([1, 2, 3, 4], Access::ReadOnly));
    let reference = Value::Ref(Ref::from(buffer.clone()));
    assert_eq!(Arc::strong_count(&buffer), 2);
    assert_eq!(call(&context, "keep", std::slice::from_ref(&reference)).expect("it returns"), []);
    assert_eq!(Arc::strong_count(&buffer), 3, "the program has one");
    assert_eq!(i32_of(call(&context, "kept", &[])), 10);
    assert_eq!(i32_of(call(&context, "retained", &[])), 10, "another handle, when the first is released");
    assert_eq!(i32_of(call(&context, "is_kept", std::slice::from_ref(&reference))), 1);
    assert_eq!(Arc::strong_count(&buffer), 3);
    assert_eq!(call(&context, "give", &[]).expect("it returns"), std::slice::from_ref(&reference));
    assert_eq!(Arc::strong_count(&buffer), 2, "what the program answers it has no more");
    assert_eq!(call(&context, "give", &[]).expect("it returns"), [Value::Ref(Ref::NULL)], "0 is null");

    call(&context, "keep", std::slice::from_ref(&reference)).expect("it returns");
    call(&context, "drop", &[]).expect("it returns");
    assert_eq!(Arc::strong_count(&buffer), 2);
    call(&context, "keep", std::slice::from_ref(&reference)).expect("it returns");
    drop(context);
    assert_eq!(Arc::strong_count(&buffer), 2, "what it had goes with its context");
}

#[test]
fn a_reference_made_by_an_import_comes_out_and_a_forged_handle_does_not() {
    let made = Arc::new(AtomicUsize::new(0));
    let context = context([buffers(made.clone()), guest(REFERENCES)]);
    let outputs = call(&context, "made", &[Value::I32(9)]).expect("it returns");
    let [Value::Ref(reference)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(reference.get::<Buffer>().expect("a buffer").to_vec(), [9; 4]);
    assert_eq!((made.load(Ordering::Relaxed), reference.count()), (1, 1));
    for forged in [1, 0x1_0001, -1, i32::MIN, 77] {
        let error = call(&context, "forged", &[Value::I32(forged)]).expect_err("no handle");
        assert_eq!(error.code(), Code::InvalidArgument, "{forged}");
        assert!(error.to_string().contains("call of host.sum: "), "{error}");
        assert_eq!(error.backtrace().iter().map(|frame| frame.function.as_str()).collect::<Vec<_>>(), ["guest.forged"]);
    }
    // Null is refused by the function, and not before.
    let error = call(&context, "forged", &[Value::I32(0)]).expect_err("no buffer");
    assert!(error.to_string().contains("expected a reference to vm.buffer, found null"), "{error}");
}

#[test]
fn a_program_that_never_releases_meets_its_limit() {
    let options = super::Options { references_max: 8, ..super::Options::default() };
    let context = context([buffers(Arc::default()), guest_with(REFERENCES, options)]);
    let buffer = Arc::new(Buffer::new([1], Access::ReadOnly));
    for _ in 0..8 {
        call(&context, "keep", &[Value::Ref(Ref::from(buffer.clone()))]).expect("room");
    }
    assert_eq!(Arc::strong_count(&buffer), 9);
    assert_eq!(code(call(&context, "keep", &[Value::Ref(Ref::from(buffer.clone()))])), Code::ResourceExhausted);
    assert_eq!(Arc::strong_count(&buffer), 1, "what the instance held goes with it");
    call(&context, "drop", &[]).expect("the next one holds nothing");
}

#[test]
fn imports_that_are_not_there_or_are_other_are_told_by_name() {
    let text = r#"(module (import "nowhere" "f" (func (param i32))))"#;
    let error = try_context([guest(text) as Arc<dyn Module>]).expect_err("there is no such module");
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.to_string().contains("nowhere"), "{error}");
    let math = || NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a + b).build().expect("one");
    let text = r#"(module (import "math" "add" (func (param i32) (result i32))))"#;
    let error = try_context([math() as Arc<dyn Module>, guest(text)]).expect_err("it takes two");
    assert!(error.to_string().contains("math.add") && error.to_string().contains("0ii_i"), "{error}");
    for (text, code, said) in [
        (r#"(module (import "m" "f" (memory 1)))"#, Code::Unimplemented, "import m.f: a memory"),
        (r#"(module (import "m" "f" (table 1 funcref)))"#, Code::Unimplemented, "import m.f: a table"),
        (r#"(module (import "m" "f" (global i32)))"#, Code::Unimplemented, "import m.f: a global"),
        (r#"(module (import "m" "f" (func (param funcref))))"#, Code::Unimplemented, "import m.f: funcref"),
        (r#"(module (import "m.n" "f" (func)))"#, Code::InvalidArgument, "no name"),
        (r#"(module (import "" "f" (func)))"#, Code::InvalidArgument, "no name"),
        (r#"(module (import "m" "" (func)))"#, Code::InvalidArgument, "no name"),
        (r#"(module (import "m" "f" (func)) (import "m" "f" (func (param i32))))"#, Code::InvalidArgument, "two types"),
        (r#"(module (import "proact" "fork" (func)))"#, Code::NotFound, "the machine offers yield, retain"),
        (r#"(module (import "proact" "yield" (func (param i32))))"#, Code::InvalidArgument, "proact.yield"),
    ] {
        let error = try_guest(text, super::Options::default()).expect_err(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
}

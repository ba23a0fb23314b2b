//! What an import does for a program is the program's to pay for: in fuel, and in memory that is its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::standard::{self, Host, Limits};
use proact_vm::{Buffer, Context, Error, Instance, InvocationOptions, Ref, Value};

use super::{Options, call, code, i32_of};

/// `take` and `wait` count what they are called with; `keep` keeps it.
struct Counter {
    calls: Arc<AtomicUsize>,
    kept: Arc<Mutex<Vec<Arc<Buffer>>>>,
}

fn counter() -> (Counter, Arc<dyn Module>) {
    let (calls, kept) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<Arc<Buffer>>>>::default());
    let count = |calls: &Arc<AtomicUsize>| {
        let calls = calls.clone();
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (one, two, three, room) = (count(&calls), count(&calls), count(&calls), kept.clone());
    let module = NativeModule::builder("host")
        .function("take", move |_: &(), _: Ref| one())
        .async_function("wait", move |_: Caller<()>, _: Ref| {
            two();
            async { Ok::<_, Error>(()) }
        })
        .function("keep", move |_: &(), buffer: Arc<Buffer>| {
            three();
            room.lock().unwrap().push(buffer);
        })
        .function("four", |_: &(), _: Ref, _: Ref, _: Ref, _: Ref| 4)
        .build();
    (Counter { calls, kept }, module.expect("a module"))
}

/// Each export loops for ever, and calls an import with the length that it is told.
const LENDS: &str = r#"(module
    (import "host" "take" (func $take (param i32 i32)))
    (import "host" "wait" (func $wait (param i32 i32)))
    (import "host" "keep" (func $keep (param i32 i32) (result i32)))
    (import "host" "four" (func $four (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 16)
    (func (export "takes") (param $length i32)
        (loop $l (call $take (i32.const 0) (local.get $length)) br $l))
    (func (export "waits") (param $length i32)
        (loop $l (call $wait (i32.const 0) (local.get $length)) br $l))
    (func (export "keeps") (param $length i32) (result i32)
        (local $failed i32)
        (loop $l
            (local.set $failed (call $keep (i32.const 0) (local.get $length)))
            (br_if $l (i32.eqz (local.get $failed))))
        local.get $failed)
    (func (export "four") (param $length i32) (result i32)
        (call $four
            (i32.const 0) (local.get $length) (i32.const 0) (local.get $length)
            (i32.const 0) (local.get $length) (i32.const 0) (local.get $length))))"#;

const CONVENTIONS: &str = "import host.take(in)\nimport host.wait(inout)\nimport host.keep(in) -> ?\n\
    import host.four(in, out, inout, in) -> i32?\n";

fn guest(options: Options) -> Arc<dyn Module> {
    let builder = super::WasmModule::builder("guest").options(options).conventions(CONVENTIONS);
    Arc::new(builder.load(&super::assemble(LENDS)).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn bytes_that_are_lent_cost_fuel() {
    for (name, length, most) in [
        // A page is a thousand units of fuel, each way.
        ("takes", 1 << 16, 100),
        ("waits", 1 << 16, 50),
        ("takes", 1 << 20, 10),
        ("waits", 1 << 20, 5),
        // Without bytes, a call of an import still costs more than an instruction.
        ("takes", 0, 2_000),
        ("waits", 0, 2_000),
    ] {
        let (counter, host) = counter();
        let context = super::context([host, guest(Options { fuel: Some(100_000), ..Options::default() })]);
        assert_eq!(code(call(&context, name, &[Value::I32(length)])), Code::ResourceExhausted, "{name}");
        let calls = counter.calls.load(Ordering::Relaxed);
        assert!((1..=most).contains(&calls), "{name} of {length} bytes: {calls} calls for 100,000 units of fuel");
    }
}

#[test]
fn a_program_that_lends_much_for_ever_sees_its_deadline_soon() {
    for name in ["takes", "waits"] {
        let (counter, host) = counter();
        let context = super::context([host, guest(Options::default())]);
        let function = context.lookup(&format!("guest.{name}")).unwrap();
        let options = InvocationOptions::new().deadline(Duration::ZERO);
        let late = context.invoke_with(&options, &function, &[Value::I32(1 << 20)], &mut ()).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{name}: {late}");
        let calls = counter.calls.load(Ordering::Relaxed);
        assert!(calls <= 100, "{name}: a slice of {calls} calls with a mebibyte each");
    }
}

#[test]
fn what_is_lent_at_once_is_no_more_than_the_memory_holds() {
    let (_counter, host) = counter();
    let context = super::context([host, guest(Options::default())]);
    assert_eq!(i32_of(call(&context, "four", &[Value::I32(1 << 18)])), 4, "four quarters");
    let told = -(Code::ResourceExhausted as i32);
    assert_eq!(i32_of(call(&context, "four", &[Value::I32((1 << 18) + 1)])), told);
    assert_eq!(i32_of(call(&context, "four", &[Value::I32(1 << 20)])), told);
    assert_eq!(i32_of(call(&context, "four", &[Value::I32(1 << 18)])), 4, "and it goes on");
}

#[test]
fn what_others_keep_of_a_programs_bytes_is_bounded_by_its_memory() {
    let (counter, host) = counter();
    let context = super::context([host, guest(Options { memory_max: 4 << 20, ..Options::default() })]);
    for _ in 0..2 {
        let told = i32_of(call(&context, "keeps", &[Value::I32(1 << 20)]));
        assert_eq!(told, -(Code::ResourceExhausted as i32));
        assert_eq!(counter.kept.lock().unwrap().len(), 4, "as many bytes as it may have itself");
        counter.kept.lock().unwrap().clear();
    }
    // Empty ones are things, too.
    let told = i32_of(call(&context, "keeps", &[Value::I32(0)]));
    assert_eq!(told, -(Code::ResourceExhausted as i32));
    assert!(counter.kept.lock().unwrap().len() <= (4 << 20) / 64, "{}", counter.kept.lock().unwrap().len());
}

/// Standard functions that work through many bytes for a few numbers.
const BULK: &str = r#"(module
    (import "buffer" "create" (func $create (param i64) (result i32)))
    (import "buffer" "fill" (func $fill (param i32 i64 i64 i32)))
    (import "buffer" "copy" (func $copy (param i32 i64 i32 i64 i64)))
    (import "buffer" "is_equal" (func $is_equal (param i32 i64 i32 i64 i64) (result i32)))
    (import "buffer" "slice" (func $slice (param i32 i64 i64) (result i32)))
    (import "buffer" "set_u8" (func $set (param i32 i64 i32)))
    (import "list" "create" (func $list (param i32) (result i32)))
    (import "list" "resize" (func $resize (param i32 i32)))
    (import "proact" "release" (func $release (param i32)))
    (import "count" "up" (func $count))
    (func (export "creates")
        (loop $l (call $release (call $create (i64.const 1048576))) call $count br $l))
    (func (export "fills") (local $b i32)
        (local.set $b (call $create (i64.const 1048576)))
        (loop $l (call $fill (local.get $b) (i64.const 0) (i64.const 1048576) (i32.const 1)) call $count br $l))
    (func (export "copies") (local $b i32) (local $c i32)
        (local.set $b (call $create (i64.const 1048576)))
        (local.set $c (call $create (i64.const 1048576)))
        (loop $l
            (call $copy (local.get $b) (i64.const 0) (local.get $c) (i64.const 0) (i64.const 1048576))
            call $count br $l))
    (func (export "compares") (local $b i32)
        (local.set $b (call $create (i64.const 1048576)))
        (loop $l
            (drop (call $is_equal
                (local.get $b) (i64.const 0) (local.get $b) (i64.const 0) (i64.const 1048576)))
            call $count br $l))
    (func (export "slices") (local $b i32)
        (local.set $b (call $create (i64.const 1048576)))
        (loop $l
            (call $release (call $slice (local.get $b) (i64.const 0) (i64.const 1048576))) call $count br $l))
    (func (export "resizes") (local $b i32)
        (local.set $b (call $list (i32.const 1)))
        (loop $l
            (call $resize (local.get $b) (i32.const 1048576))
            (call $resize (local.get $b) (i32.const 0)) call $count br $l))
    (func (export "sets") (local $b i32)
        (local.set $b (call $create (i64.const 1048576)))
        (loop $l (call $set (local.get $b) (i64.const 7) (i32.const 7)) call $count br $l)))"#;

const BULK_CONVENTIONS: &str = "import buffer.create(i64) -> ref\nimport buffer.fill(ref, i64, i64, i32)\n\
    import buffer.copy(ref, i64, ref, i64, i64)\nimport buffer.is_equal(ref, i64, ref, i64, i64) -> i32\n\
    import buffer.slice(ref, i64, i64) -> ref\nimport buffer.set_u8(ref, i64, i32)\n\
    import list.create(i32) -> ref\nimport list.resize(ref, i32)\n";

#[test]
fn functions_that_work_through_many_bytes_cost_fuel_for_them() {
    for (name, most) in
        [("creates", 7), ("fills", 7), ("copies", 7), ("compares", 7), ("slices", 7), ("resizes", 7), ("sets", 2_000)]
    {
        // The count is told by an import, since the instance goes with the call that fails.
        let told = Arc::<AtomicUsize>::default();
        let counted = told.clone();
        let counter = NativeModule::builder("count").function("up", move |_: &()| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let options = Options { fuel: Some(100_000), ..Options::default() };
        let builder = super::WasmModule::builder("guest").options(options).conventions(BULK_CONVENTIONS);
        let guest = builder.load(&super::assemble(BULK)).unwrap_or_else(|error| panic!("{error}"));
        let host = Host::new().limits(Limits { bytes_max: 16 << 20, ..Limits::default() });
        let more = [counter.build().unwrap() as Arc<dyn Module>, Arc::new(guest)];
        let modules = standard::modules(&host).unwrap().into_iter().chain(more);
        let context = modules.fold(Context::builder(&Instance::new()), |builder, module| builder.module(module));
        let context = context.build().unwrap();
        assert_eq!(code(call(&context, name, &[])), Code::ResourceExhausted, "{name}");
        let rounds = told.load(Ordering::Relaxed);
        assert!((1..=most).contains(&rounds), "{name}: {rounds} rounds for 100,000 units of fuel");
    }
}

#[test]
fn what_the_machine_does_for_a_program_costs_as_an_import_does() {
    let text = r#"(module
        (import "proact" "retain" (func $retain (param i32) (result i32)))
        (import "proact" "release" (func $release (param i32)))
        (import "count" "up" (func $count))
        (func (export "f") (loop $l
            (call $release (call $retain (i32.const 0))) (call $release (call $retain (i32.const 0)))
            call $count br $l)))"#;
    let told = Arc::<AtomicUsize>::default();
    let counted = told.clone();
    let counter = NativeModule::builder("count").function("up", move |_: &()| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let options = Options { fuel: Some(100_000), ..Options::default() };
    let context = super::context([counter.build().unwrap() as Arc<dyn Module>, super::guest_with(text, options)]);
    assert_eq!(code(call(&context, "f", &[])), Code::ResourceExhausted);
    let rounds = told.load(Ordering::Relaxed);
    assert!((1..=400).contains(&rounds), "{rounds} rounds of five for 100,000 units of fuel");
}

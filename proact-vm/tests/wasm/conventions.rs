//! Bytes of a program's memory, and failures that it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wasm::{Options, WasmModule};
use proact_vm::{Buffer, Error, Ref, Value};

use super::{assemble, call, code, context, guest, guest_with, i32_of, per_call, try_context, try_guest};

/// Works on buffers: `upper` writes capitals of one into another, `reverse` turns one around, later.
fn text_module() -> Arc<dyn Module> {
    let module = NativeModule::builder("text")
        .function("upper", |_: &(), from: Ref, to: Ref| -> Result<i32, Error> {
            let from = from.get::<Buffer>()?.to_vec();
            to.get::<Buffer>()?.write(0, &from.to_ascii_uppercase())?;
            Ok(from.len() as i32)
        })
        .async_function("reverse", |caller: Caller<()>, buffer: Ref| async move {
            caller.yield_now().await?;
            buffer.get::<Buffer>()?.write_with(<[u8]>::reverse)
        })
        .function("write", |_: &(), to: Ref| to.get::<Buffer>()?.write(0, b"no"))
        .build();
    module.expect("a module")
}

const TEXT: &str = r#"(module
    (import "text" "upper" (func $upper (param i32 i32 i32 i32) (result i32)))
    (import "text" "reverse" (func $reverse (param i32 i32)))
    (import "text" "write" (func $write (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "hello, world")
    (func (export "at") (param i32) (result i32) local.get 0 i32.load8_u)
    (func (export "upper") (param i32 i32 i32 i32) (result i32)
        local.get 0 local.get 1 local.get 2 local.get 3 call $upper)
    (func (export "reverse") (param i32 i32) local.get 0 local.get 1 call $reverse)
    (func (export "write") (param i32 i32) local.get 0 local.get 1 call $write)
    (@custom "proact.conventions"
        "import text.upper(in, out) -> i32\nimport text.reverse(inout)\nimport text.write(in)\n"))"#;

fn i32s(numbers: &[i32]) -> Vec<Value> {
    numbers.iter().map(|number| Value::I32(*number)).collect()
}

#[test]
fn bytes_are_lent_in_out_and_both_ways() {
    let context = context([text_module(), guest(TEXT)]);
    let text = |from: i32, length: i32| -> Vec<u8> {
        (from..from + length).map(|at| i32_of(call(&context, "at", &i32s(&[at]))) as u8).collect()
    };
    assert_eq!(i32_of(call(&context, "upper", &i32s(&[16, 5, 100, 8]))), 5);
    assert_eq!(text(100, 9), b"HELLO\0\0\0\0", "the whole of what was lent is written");
    assert_eq!(text(16, 5), b"hello");
    call(&context, "reverse", &i32s(&[16, 12])).expect("it returns");
    assert_eq!(text(16, 12), b"dlrow ,olleh");
    assert_eq!(
        code(call(&context, "write", &i32s(&[16, 2]))),
        Code::PermissionDenied,
        "what is lent `in` is not written"
    );
    // To the last byte, and nothing at the end.
    call(&context, "reverse", &i32s(&[65_532, 4])).expect("it returns");
    call(&context, "reverse", &i32s(&[65_536, 0])).expect("it returns");
}

#[test]
fn bytes_past_the_end_of_memory_are_refused_before_anything_is_allocated_for_them() {
    let context = context([text_module(), guest(TEXT)]);
    for (address, length) in [(65_536, 1), (0, 65_537), (1, 65_536), (-1, 1), (0, -1), (-1, -1), (i32::MIN, i32::MAX)] {
        let error = call(&context, "reverse", &i32s(&[address, length])).expect_err("past the end");
        assert_eq!(error.code(), Code::OutOfRange, "{address} {length}");
        assert!(error.to_string().contains("call of text.reverse"), "{error}");
        assert_eq!(code(call(&context, "upper", &i32s(&[16, 5, address, length]))), Code::OutOfRange);
    }
    assert_eq!(i32_of(call(&context, "upper", &i32s(&[16, 5, 100, 5]))), 5);
}

/// `fail` fails with a code; `count` answers what it was told to.
fn failing(answer: Arc<AtomicI32>) -> Arc<dyn Module> {
    let module = NativeModule::builder("host")
        .function("fail", |_: &(), code: i32| -> Result<(), Error> {
            match code {
                0 => Ok(()),
                5 => Err(Error::new(Code::NotFound, "there is no such thing")),
                _ => Err(Error::new(Code::DataLoss, "torn")),
            }
        })
        .function("count", move |_: &()| i64::from(answer.load(Ordering::Relaxed)))
        .async_function("late", |caller: Caller<()>| async move {
            caller.yield_now().await?;
            Err::<Ref, _>(Error::new(Code::Unavailable, "late"))
        })
        .build();
    module.expect("a module")
}

const FALLIBLE: &str = r#"(module
    (import "host" "fail" (func $fail (param i32) (result i32)))
    (import "host" "count" (func $count (result i64)))
    (import "host" "late" (func $late (result i32)))
    (import "host" "none" (func $none (result i32)))
    (import "host" "gone" (func $gone))
    (import "proact" "error" (func $error (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "fail") (param i32) (result i32) local.get 0 call $fail)
    (func (export "count") (result i64) call $count)
    (func (export "late") (result i32) call $late)
    (func (export "none") (result i32) call $none)
    (func (export "gone") call $gone)
    (func (export "words") (param i32 i32) (result i32) local.get 0 local.get 1 call $error)
    (func (export "at") (param i32) (result i32) local.get 0 i32.load8_u)
    (@custom "proact.conventions" "import host.fail(i32) -> ?\nimport host.count() -> i64?\n")
    (@custom "proact.conventions" "import host.late() -> ref?\noptional import host.none() -> i32?\n")
    (@custom "proact.conventions" "optional import host.gone()\nversion 7\nrequires host 0"))"#;

#[test]
fn a_program_that_asks_for_it_is_told_of_failures_and_goes_on() {
    let answer = Arc::new(AtomicI32::new(12));
    let module = guest(FALLIBLE);
    assert_eq!((module.version(), module.dependencies().len()), (7, 1));
    let context = context([failing(answer.clone()), module]);
    assert_eq!(i32_of(call(&context, "fail", &i32s(&[0]))), 0);
    assert_eq!(i32_of(call(&context, "fail", &i32s(&[5]))), -(Code::NotFound as i32));
    let length = i32_of(call(&context, "words", &i32s(&[100, 1_000])));
    let words: Vec<u8> = (100..100 + length).map(|at| i32_of(call(&context, "at", &i32s(&[at]))) as u8).collect();
    assert!(String::from_utf8(words).expect("UTF-8").contains("there is no such thing (NOT_FOUND)"));
    assert_eq!(i32_of(call(&context, "words", &i32s(&[0, 0]))), length, "no room, and still the length");
    assert_eq!(code(call(&context, "words", &i32s(&[65_530, 7]))), Code::OutOfRange);

    assert_eq!(call(&context, "count", &[]).expect("it returns"), [Value::I64(12)]);
    answer.store(-1, Ordering::Relaxed);
    let told = call(&context, "count", &[]).expect("it returns");
    assert_eq!(told, [Value::I64(-(Code::OutOfRange as i64))], "a negative result is no success");
    assert_eq!(i32_of(call(&context, "late", &[])), -(Code::Unavailable as i32), "also of one that had waited");
}

#[test]
fn an_optional_import_that_is_missing_fails_when_it_is_called() {
    let context = context([failing(Arc::default()), guest(FALLIBLE)]);
    assert_eq!(i32_of(call(&context, "none", &[])), -(Code::Unavailable as i32));
    let error = call(&context, "gone", &[]).expect_err("it is not there");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("call of host.gone: the import is optional, and is not there"), "{error}");
    // Of the right name and another convention: that is a fault, not an absence.
    let other = NativeModule::builder("host").function("none", |_: &(), _: i32| 0).build().expect("a module");
    let module = guest(
        r#"(module (import "host" "none" (func (result i32)))
        (@custom "proact.conventions" "optional import host.none() -> i32"))"#,
    );
    assert!(try_context([other as Arc<dyn Module>, module]).is_err());
}

#[test]
fn conventions_and_module_must_agree() {
    for (text, said) in [
        ("export f(i64)", "export f: (i64) is (i64) -> () in WebAssembly, where the module has (i32) -> (i32)"),
        ("export g()", "there is no exported function g"),
        ("export memory()", "there is no exported function memory"),
        ("import m.i(in)", "import m.i: (in) is (i32, i32) -> ()"),
        ("import m.i(i32) -> ?", "(i32) -> ? is (i32) -> (i32)"),
        ("import m.i(i32) gone", "line 1: NAME(KIND"),
    ] {
        let module = format!(
            r#"(module (import "m" "i" (func (param i32))) (memory (export "memory") 1)
            (func (export "f") (param i32) (result i32) local.get 0) (@custom "proact.conventions" "{text}"))"#
        );
        let error = try_guest(&module, Options::default()).expect_err(text);
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
    let error = try_guest(
        r#"(module (import "m" "i" (func (param i32 i32))) (@custom "proact.conventions" "import m.i(in)"))"#,
        Options::default(),
    );
    assert!(error.expect_err("no memory").to_string().contains("no memory exported as \"memory\""));
    // A line about an import that a linker has left out says nothing.
    guest(r#"(module (@custom "proact.conventions" "import m.j(in)"))"#);
}

#[test]
fn a_file_beside_the_module_counts_instead_of_its_section() {
    let folder = std::env::temp_dir().join(format!("proact-vm-conventions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("prog.v2.wasm");
    let bytes = assemble(
        r#"(module (func (export "f") (param i32) (result i32) local.get 0)
        (@custom "proact.conventions" "version 1"))"#,
    );
    std::fs::write(&path, &bytes).expect("a file");
    let module = WasmModule::open(&path, Options::default()).expect("a module");
    assert_eq!((module.name(), module.version()), ("prog", 1));
    assert_eq!(module.signatures().map(|(_, signature)| signature.to_string()).collect::<Vec<_>>(), ["(i32) -> i32"]);
    std::fs::write(folder.join("prog.v2.conventions"), "version 2\nexport f(ref) -> ref").expect("a file");
    let module = WasmModule::open(&path, Options::default()).expect("a module");
    assert_eq!(module.version(), 2);
    assert_eq!(module.signatures().map(|(_, signature)| signature.to_string()).collect::<Vec<_>>(), ["(ref) -> ref"]);
    std::fs::write(folder.join("prog.v2.conventions"), [0xff]).expect("a file");
    let error = WasmModule::open(&path, Options::default()).expect_err("not UTF-8");
    assert!(error.to_string().contains("prog.v2.conventions"), "{error}");
    let options = Options { module_bytes_max: bytes.len() - 1, ..Options::default() };
    assert_eq!(WasmModule::open(&path, options).expect_err("too long").code(), Code::ResourceExhausted);
    let error = WasmModule::open(folder.join("none.wasm"), Options::default()).expect_err("no file");
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.to_string().contains("none.wasm"), "{error}");
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

/// What native functions have and programs do not: both are told before anything runs.
#[test]
fn spans_and_forks_are_refused() {
    let host = NativeModule::builder("host").raw_function("sum", "0CiD_i", |_, call| call.answer(0));
    let text = r#"(module (import "host" "sum" (func (param i32 i32) (result i32))))"#;
    let error = try_context([host.build().expect("a module") as Arc<dyn Module>, guest(text)]).expect_err("a span");
    assert!(error.to_string().contains("imported as 0ii_i, but it is 0CiD_i"), "{error}");
    let builder = WasmModule::builder("guest").conventions("import host.sum(span i32) -> i32");
    let error = builder.load(&assemble(text)).expect_err("a span");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.to_string().contains("spans are not offered to programs"), "{error}");

    let text = r#"(module (global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) global.get $n))"#;
    let kept = context([guest(text) as Arc<dyn Module>]);
    assert_eq!(i32_of(call(&kept, "next", &[])), 1);
    let error = kept.fork().expect_err("its variables cannot be copied");
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(error.to_string().contains("the state of a WebAssembly module cannot be forked"), "{error}");
    assert_eq!(i32_of(call(&kept, "next", &[])), 2, "the context goes on");
    // One with an instance for each call has no state.
    let fork = context([guest_with(text, per_call()) as Arc<dyn Module>]).fork().expect("a fork");
    assert_eq!(i32_of(call(&fork, "next", &[])), 1);
}

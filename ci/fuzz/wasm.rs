//! Any bytes at all, as a WebAssembly module and as the text of its conventions: an error, or a module that is called,
//! and that keeps within its fuel and memory.
//!
//! The first byte says what the others are: a module, with or without its head; a module that is one, with some of its
//! bytes changed; the text of conventions, for that module; or both, one behind the other.
#![no_main]

use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wasm::conventions::Conventions;
use proact_vm::wasm::{Options, WasmModule};
use proact_vm::{Buffer, Context, Error, Instance, Ref, Value};

/// Imports `m.f` of two numbers, and exports `g` of two numbers, which calls it, and a memory.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x02\x07\x01\x01m\x01f\0\0\x03\x02\x01\0\
    \x05\x03\x01\0\x01\x07\x0e\x02\x01g\0\x01\x06memory\x02\0\x0a\x0a\x01\x08\0\x20\0\x20\x01\x10\0\x0b";

/// Imports `m.f` and `m.h` of two numbers, the latter of which stops, and `m.g`, which is lent bytes; exports functions
/// that call them, by tail calls too, in loops, and through a table; and a memory.
const LENDS: &[u8] = b"\0asm\x01\0\0\0\x01\x07\x01`\x02\x7f\x7f\x01\x7f\x02\x22\x04\x01m\x01f\0\0\x01m\x01g\0\0\
    \x01m\x01h\0\0\x06proact\x05error\0\0\x03\x06\x05\0\0\0\0\0\x04\x04\x01p\0\x03\x05\x03\x01\0\x01\x07\x1e\x06\
    \x06memory\x02\0\x01a\0\x04\x01b\0\x05\x01c\0\x06\x01d\0\x07\x01e\0\x08\x09\x09\x01\0A\0\x0b\x03\0\x04\x01\
    \x0a@\x05\x08\0 \0 \x01\x12\0\x0b\x0b\0 \x01 \0 \0\x13\0\0\x0b\x0c\0 \0 \x01\x10\x01 \x01\x10\x02\x0b\x08\0 \
    \x01 \0\x12\x07\x0b\x13\0\x03@ \0 \x01\x10\x01\x0d\0\x0b \0 \x01\x10\x03\x0b";

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    match first % 8 {
        0 => load(rest, None),
        1 | 2 => load(&[&MODULE[..8], rest].concat(), None),
        3 => load(&changed(MODULE, rest), None),
        4 => load(&changed(LENDS, rest), Some("import m.g(inout) -> i32?")),
        5 | 6 => text(rest),
        _ => {
            let (text, module) = rest.split_at(rest.len() / 3);
            load(&[&MODULE[..8], module].concat(), std::str::from_utf8(text).ok());
        }
    }
});

fn changed(module: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut changed = module.to_vec();
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) % changed.len();
        changed[at] = change[1];
    }
    changed
}

fn text(bytes: &[u8]) {
    let Ok(conventions) = Conventions::parse_bytes(bytes) else { return };
    for (name, import) in &conventions.imports {
        let again = Conventions::parse(&format!("import {name}{}", import.signature)).expect("it reads back");
        assert_eq!(again.imports[name].signature, import.signature);
    }
    load(MODULE, std::str::from_utf8(bytes).ok());
}

fn load(bytes: &[u8], conventions: Option<&str>) {
    let options = Options { fuel: Some(5_000), fuel_slice: 700, memory_max: 4 << 16, ..Options::default() };
    let mut builder = WasmModule::builder("guest").options(options);
    if let Some(text) = conventions {
        builder = builder.conventions(text);
    }
    let Ok(module) = builder.load(bytes) else { return };
    let module = Arc::new(module);
    let exports = module.exports().to_vec();
    let kept = Mutex::new(Vec::new());
    let other = NativeModule::builder("m")
        .function("f", |_: &(), a: i32, b: i32| a ^ b)
        .function("g", move |_: &(), buffer: Arc<Buffer>| {
            let first = buffer.write_with(|bytes| bytes.first_mut().map_or(0, |first| std::mem::replace(first, 7)));
            kept.lock().expect("it did not panic").push(buffer);
            first.map(i32::from)
        })
        .async_function("h", |caller: Caller<()>, a: i32, b: i32| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(a.wrapping_add(b))
        });
    let other = other.build().expect("a module");
    let Ok(context) = Context::builder(&Instance::new()).module(other).module(module).build() else { return };
    for export in exports.iter().filter(|export| !export.name.starts_with("__")) {
        let Ok(function) = context.lookup(&format!("guest.{}", export.name)) else { continue };
        let inputs: Vec<Value> = export.convention.arguments().to_string().chars().map(value).collect();
        let _ = context.invoke(&function, &inputs, &mut Vec::new());
    }
}

fn value(letter: char) -> Value {
    match letter {
        'i' => Value::I32(-1),
        'I' => Value::I64(3),
        'f' => Value::F32(0.5),
        'F' => Value::F64(-1e9),
        _ => Value::Ref(Ref::NULL),
    }
}

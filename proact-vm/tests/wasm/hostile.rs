//! Bytes that are no module, or nearly one: an error or a module that keeps within its bounds, and never anything else.

use std::sync::Arc;

use oorandom::Rand32;
use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::wasm::WasmModule;
use proact_vm::{Context, Instance, InvocationOptions, Value};

use super::{Options, assemble};

/// Everything that a module can have, and that a reader could stumble over.
const RICH: &str = r#"(module
    (import "proact" "yield" (func $yield))
    (import "proact" "release" (func $release (param i32)))
    (memory (export "memory") 1 3)
    (table (export "table") 4 8 funcref)
    (global $g (export "g") (mut i32) (i32.const 7))
    (type $unary (func (param i32) (result i32)))
    (elem (i32.const 0) $double $halve)
    (data (i32.const 8) "some bytes of data")
    (data $passive "passive")
    (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
    (func $halve (param i32) (result i32) local.get 0 i32.const 2 i32.div_u)
    (func (export "indirect") (param i32 i32) (result i32)
        (call_indirect (type $unary) (local.get 1) (local.get 0)))
    (func (export "blocks") (param i32) (result i64) (local i64 f32 f64)
        (block $out (loop $again
            (br_table $out $again $out (i32.and (local.get 0) (i32.const 3)))
        ))
        (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 7))
        (local.set 1 (i64.load (i32.const 0)))
        (local.get 1))
    (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
    (func (export "yield") call $yield i32.const 0 call $release)
    (func $start global.get $g i32.const 1 i32.add global.set $g)
    (start $start)
    (@custom "proact.conventions" "version 4\nrequires proact 1\nexport indirect(i32, i32) -> i32\n"))"#;

/// Loads the bytes, and if they are a module calls all that it exports, within small bounds.
fn meet(bytes: &[u8], conventions: Option<&str>) -> Result<(), Code> {
    let options = Options { fuel: Some(2_000), fuel_slice: 500, memory_max: 4 << 16, ..Options::default() };
    let mut builder = WasmModule::builder("guest").options(options);
    if let Some(text) = conventions {
        builder = builder.conventions(text);
    }
    let module = Arc::new(builder.load(bytes).map_err(|error| error.code())?);
    let exports = module.exports().to_vec();
    let context = Context::builder(&Instance::new()).module(module).build().map_err(|error| error.code())?;
    let options = InvocationOptions::new();
    for export in exports.iter().filter(|export| !export.name.starts_with("__")) {
        let function = context.lookup(&format!("guest.{}", export.name)).expect("what is exported is found");
        let inputs: Vec<Value> = export.convention.arguments().to_string().chars().map(zero).collect();
        // Whatever comes of it: it ends.
        let _ = context.invoke_with(&options, &function, &inputs, &mut Vec::new());
    }
    Ok(())
}

fn zero(letter: char) -> Value {
    match letter {
        'i' => Value::I32(0),
        'I' => Value::I64(0),
        'f' => Value::F32(0.0),
        'F' => Value::F64(0.0),
        _ => Value::Ref(proact_vm::Ref::NULL),
    }
}

#[test]
fn the_whole_of_it_is_a_module() {
    // Its dependency is not there: that is seen last.
    assert_eq!(meet(&assemble(RICH), None), Err(Code::NotFound));
    assert_eq!(meet(&assemble(RICH), Some("")), Ok(()));
}

#[test]
fn a_module_cut_short_at_any_length_is_refused() {
    let bytes = assemble(RICH);
    let mut modules = 0;
    for length in 0..bytes.len() {
        match meet(&bytes[..length], Some("")) {
            Err(Code::InvalidArgument) => {}
            // Between two sections it may be whole again: without what is exported there, or the code that is declared.
            Ok(()) => modules += 1,
            Err(other) => panic!("{length} bytes: {other:?}"),
        }
    }
    assert!(modules <= 12, "{modules} of {} lengths", bytes.len());
}

#[test]
fn what_is_no_module_is_told_so() {
    for bytes in [
        &b""[..],
        b"\0",
        b"\0asm",
        b"\0asm\x02\0\0\0",
        b"\0asm\x0d\0\x01\0",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0",
        b"(module)",
        b"#!/bin/sh\n",
        &[0xff; 64],
    ] {
        let error = WasmModule::builder("guest").load(bytes).expect_err("no module");
        assert_eq!(error.code(), Code::InvalidArgument, "{bytes:?}: {error}");
        assert!(error.to_string().starts_with("module guest: "), "{error}");
    }
}

#[test]
fn changed_modules_are_refused_or_keep_within_their_bounds() {
    let whole = assemble(RICH);
    let (mut modules, cases) = (0, 3_000);
    for seed in 0..cases {
        let mut random = Rand32::new(seed);
        let mut bytes = whole.clone();
        for _ in 0..random.rand_range(1..4) {
            let at = random.rand_range(8..bytes.len() as u32) as usize;
            match random.rand_range(0..4) {
                0 => bytes[at] = random.rand_u32() as u8,
                1 => bytes[at] ^= 1 << random.rand_range(0..8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.rand_u32() as u8),
            }
        }
        let met = std::panic::catch_unwind(|| meet(&bytes, Some("")));
        modules += usize::from(met.unwrap_or_else(|_| panic!("seed {seed}")).is_ok());
    }
    assert!(modules > 100, "{modules} of {cases} were still modules: enough of them run");
}

#[test]
fn changed_conventions_are_refused_or_agree() {
    let whole = assemble(RICH);
    let text = b"version 4\nexport indirect(i32, i32) -> i32\nimport proact.yield()\nexport grow(ref) -> ref # c\n";
    let mut agreed = 0;
    for seed in 0..3_000 {
        let mut random = Rand32::new(seed);
        let mut bytes = text.to_vec();
        for _ in 0..random.rand_range(1..4) {
            let at = random.rand_range(0..bytes.len() as u32) as usize;
            match random.rand_range(0..3) {
                0 => bytes[at] = random.rand_range(9..127) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"(),->?#. \nir"[random.rand_range(0..12) as usize]),
            }
        }
        let text = String::from_utf8(bytes).expect("ASCII");
        let met = std::panic::catch_unwind(|| meet(&whole, Some(&text)));
        match met.unwrap_or_else(|_| panic!("seed {seed}")) {
            Ok(()) => agreed += 1,
            Err(Code::InvalidArgument | Code::NotFound) => {}
            Err(other) => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(agreed > 100, "{agreed} still agreed");
}

/// Few bytes that declare much: the parser's numbers are 32 bits wide.
#[test]
fn numbers_that_promise_more_than_there_is_are_refused() {
    let head = b"\0asm\x01\0\0\0";
    for section in 1..=12u8 {
        for count in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0x7f], &[0x80, 0x80, 0x80, 0x80, 0x80]] {
            let mut bytes = head.to_vec();
            bytes.push(section);
            bytes.push(count.len() as u8);
            bytes.extend_from_slice(count);
            let met = meet(&bytes, None);
            assert!(
                matches!(met, Err(Code::InvalidArgument | Code::ResourceExhausted)),
                "{section} {count:?}: {met:?}"
            );
            // A section that is longer than the module.
            let long = [head, &[section][..], count].concat();
            assert!(matches!(meet(&long, None), Err(Code::InvalidArgument)), "{section}");
        }
    }
}

/// Found by fuzzing: the engine's compiler met them before its validator had seen the whole function.
#[test]
fn instructions_behind_the_end_of_a_function_are_refused() {
    let module = |body: &[u8]| {
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
        bytes.extend([body.len() as u8 + 2, 1, body.len() as u8]);
        bytes.extend_from_slice(body);
        bytes
    };
    assert_eq!(meet(&module(b"\0\x0b"), None), Ok(()));
    for behind in [&b"\x01"[..], b"\x01\x0b", b"\x0f\x0b", b"\0", b"\x0b", b"\x41\0\x1a\x0b", b"\x02\x40\x0b\x0b"] {
        let body = [b"\0\x0b", behind].concat();
        assert_eq!(meet(&module(&body), None), Err(Code::InvalidArgument), "{behind:?}");
    }
}

/// Counts are 32 bits wide, and so is their sum: many sections that each promise few imports.
#[test]
fn sections_that_promise_imports_again_and_again_are_refused() {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for _ in 0..500_000 {
        // Ten thousand imports, and none of them is there.
        bytes.extend([2, 2, 0x90, 0x4e]);
    }
    assert!(matches!(meet(&bytes, None), Err(Code::InvalidArgument | Code::ResourceExhausted)));
}

/// What costs bounds here is not offered, whatever the engine could do.
#[test]
fn memories_of_other_kinds_and_vectors_are_refused() {
    for text in [
        "(module (memory i64 1))",
        "(module (memory 1) (memory 1))",
        "(module (memory 1 1 (pagesize 1)))",
        "(module (memory 1 1 shared))",
        "(module (table i64 1 funcref))",
        "(module (func (drop (v128.const i64x2 0 0))))",
        "(module (func (param v128)))",
        "(module (type (struct)))",
        "(module (tag))",
    ] {
        let met = meet(&assemble(text), None);
        assert!(matches!(met, Err(Code::InvalidArgument | Code::Unimplemented)), "{text}: {met:?}");
    }
}

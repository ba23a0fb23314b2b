//! The example program, `programs/words.rs` and its text form: the same answers.

use std::path::Path;
use std::sync::Arc;

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wasm::WasmModule;
use proact_vm::{Access, Buffer, Error, Ref, Value};

use super::compiled::{PROGRAMS, compiled};
use super::context;

/// `read` copies as much as there is, but never an odd piece, after having let others run; and fails for a buffer that
/// cannot be written.
fn text_module() -> Arc<dyn Module> {
    let read = |caller: Caller<()>, text: Ref, offset: i64, to: Ref| async move {
        caller.yield_now().await?;
        let (text, to) = (text.get::<Buffer>()?, to.get::<Buffer>()?);
        if text.access() == Access::Mutable {
            return Err(Error::new(Code::DataLoss, "the text may change while it is read"));
        }
        text.read_with(|bytes| {
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let piece = &rest[..rest.len().min(to.len() - 7)];
            to.write(0, piece).map(|()| piece.len() as i64)
        })
    };
    NativeModule::builder("text").async_function("read", read).build().expect("a module")
}

fn assembled() -> WasmModule {
    let text = std::fs::read_to_string(Path::new(PROGRAMS).join("words.wat")).expect("the program's text");
    WasmModule::builder("words").load(&super::assemble(&text)).unwrap_or_else(|error| panic!("{error}"))
}

fn counts(module: WasmModule) {
    let signatures: Vec<String> = module.signatures().map(|(name, signature)| format!("{name}{signature}")).collect();
    assert_eq!((signatures, module.version()), (vec![String::from("count(ref) -> i64")], 1));
    let context = context([text_module(), Arc::new(module)]);
    let count = context.lookup("words.count").expect("it is there");
    let count = |bytes: &[u8], access| {
        let buffer = Arc::new(Buffer::new(bytes, access));
        let mut outputs = Vec::new();
        let input = [Value::Ref(Ref::from(buffer.clone()))];
        context.invoke(&count, &input, &mut outputs).unwrap_or_else(|error| panic!("{error:?}"));
        drop(input);
        assert_eq!(Arc::strong_count(&buffer), 1, "it is released");
        outputs
    };
    let long = "eight words are seventy-two bytes, about as many as one piece \u{b}has.\r\n".repeat(50);
    for text in ["", " ", "one", " one ", "one two", "\tone\n\ntwo\r\nthree\u{c}four", &long] {
        let expected = text.split_ascii_whitespace().count() as i64;
        assert_eq!(count(text.as_bytes(), Access::ReadOnly), [Value::I64(expected)], "{text:?}");
    }
    assert_eq!(count(b"one", Access::Mutable), [Value::I64(-(Code::DataLoss as i64))], "the program is told");
}

#[test]
fn the_example_counts_words_as_assembled() {
    counts(assembled());
}

#[test]
fn the_example_counts_words_as_compiled() {
    if let Some(module) = compiled("words") {
        counts(module);
    }
}

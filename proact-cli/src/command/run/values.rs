//! What is typed for a function's inputs, and how its results are shown.

use std::fmt;
use std::fs;

use proact::status::Operation;
use proact_vm::wasm::conventions::{Kind, Signature};
use proact_vm::{Access, Buffer, List, Ref, Value};
use serde::Serialize;

use super::semaphores::Semaphores;
use crate::exit::{Exit, Failure, Place};

/// Bytes of a buffer that is no text, as many as are shown.
const BYTES_SHOWN: usize = 32;

/// The values of what was typed.
pub(super) fn inputs(signature: &Signature, typed: &[String], semaphores: &Semaphores) -> Result<Vec<Value>, Failure> {
    if typed.len() != signature.arguments.len() {
        let message = format!("--input: {} values, where it takes {}", typed.len(), signature.arguments.len());
        return Err(Failure::new(Exit::Usage, message));
    }
    signature.arguments.iter().zip(typed).map(|(kind, text)| input(*kind, text, semaphores)).collect()
}

fn input(kind: Kind, text: &str, semaphores: &Semaphores) -> Result<Value, Failure> {
    let number = match kind {
        Kind::I32 => i32_of(text).map(Value::I32),
        Kind::I64 => i64_of(text).map(Value::I64),
        Kind::F32 => text.parse().ok().map(Value::F32),
        Kind::F64 => text.parse().ok().map(Value::F64),
        Kind::Ref | Kind::In | Kind::Out | Kind::InOut => return reference(text, semaphores).map(Value::Ref),
    };
    number.ok_or_else(|| Failure::new(Exit::Usage, format!("--input: {text:?} is no {}", kind.name())))
}

fn i32_of(text: &str) -> Option<i32> {
    match hexadecimal(text) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(|bits| bits as i32),
        None => text.parse().ok(),
    }
}

fn i64_of(text: &str) -> Option<i64> {
    match hexadecimal(text) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|bits| bits as i64),
        None => text.parse().ok(),
    }
}

fn hexadecimal(text: &str) -> Option<&str> {
    // A sign behind the 0x is no digit.
    text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn reference(text: &str, semaphores: &Semaphores) -> Result<Ref, Failure> {
    let bytes = if text == "null" {
        return Ok(Ref::NULL);
    } else if let Some(name) = text.strip_prefix("semaphore:") {
        let found = semaphores.reference(name);
        let message = || format!("--input: there is no --semaphore {name:?}");
        return found.ok_or_else(|| Failure::new(Exit::Usage, message()));
    } else if let Some(path) = text.strip_prefix('@') {
        let read = fs::read(path);
        read.map_err(|error| Failure::from_io(Place::Source, path, Operation::FileRead, &error))?
    } else {
        text.strip_prefix("text:").unwrap_or(text).as_bytes().to_vec()
    };
    Ok(Ref::new(Buffer::new(bytes, Access::ReadOnly)))
}

/// A result.
#[derive(Serialize)]
pub(super) struct Shown {
    r#type: &'static str,
    value: serde_json::Value,
    /// Of a reference: the type of its object.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'static str>,
}

impl Shown {
    pub(super) fn of(value: &Value) -> Shown {
        let (json, object) = match value {
            Value::I8(number) => ((*number).into(), None),
            Value::I16(number) => ((*number).into(), None),
            Value::I32(number) => ((*number).into(), None),
            Value::I64(number) => ((*number).into(), None),
            Value::F32(number) => (float(f64::from(*number), number.to_string()), None),
            Value::F64(number) => (float(*number, number.to_string()), None),
            Value::Ref(reference) => (object(reference), reference.type_name()),
            Value::None => (serde_json::Value::Null, None),
        };
        Shown { r#type: value.value_type().name(), value: json, object }
    }
}

/// JSON has no infinities and no NaN: those are strings.
fn float(number: f64, text: String) -> serde_json::Value {
    match number.is_finite() {
        // Of an f32 the digits that say it, not those of the f64 that is the same number.
        true => text.parse::<f64>().map_or(text.into(), Into::into),
        false => text.into(),
    }
}

/// A buffer that is text as such, another one as bytes in hexadecimal, of a list how many values it has; of others
/// their type is told.
fn object(reference: &Ref) -> serde_json::Value {
    if let Ok(buffer) = reference.get::<Buffer>() {
        return buffer.read_with(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({ "hex": hex(bytes) }),
        });
    }
    match reference.get::<List>() {
        Ok(list) => serde_json::json!({ "length": list.len() }),
        Err(_) => serde_json::Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line for people. Text is printed as it is.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.object) {
            (serde_json::Value::String(text), _) => f.write_str(text),
            (serde_json::Value::Object(object), Some(_)) if object.contains_key("hex") => {
                let all = object["hex"].as_str().unwrap_or_default();
                let shown = all.get(..2 * BYTES_SHOWN).unwrap_or(all);
                write!(f, "{} bytes: {shown}{}", all.len() / 2, if shown.len() < all.len() { "..." } else { "" })
            }
            (serde_json::Value::Object(list), Some(name)) => write!(f, "{name} of {} values", list["length"]),
            (serde_json::Value::Null, Some(name)) => write!(f, "a {name}"),
            (value, _) => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_are_typed_or_none() {
        let none = Semaphores::default();
        let typed = |kind, text| input(kind, text, &none).map_err(|failure| failure.message);
        assert_eq!(typed(Kind::I32, "-2147483648"), Ok(Value::I32(i32::MIN)));
        assert_eq!(typed(Kind::I32, "0xffffffff"), Ok(Value::I32(-1)));
        assert_eq!(typed(Kind::I64, "0x8000000000000000"), Ok(Value::I64(i64::MIN)));
        assert_eq!(typed(Kind::F32, "-0.5"), Ok(Value::F32(-0.5)));
        assert_eq!(typed(Kind::F64, "inf"), Ok(Value::F64(f64::INFINITY)));
        for (kind, wrong) in [
            (Kind::I32, "2147483648"),
            (Kind::I32, "1.0"),
            (Kind::I32, ""),
            (Kind::I32, "0x"),
            (Kind::I32, "0x-1"),
            (Kind::I32, "0x100000000"),
            (Kind::I64, "9223372036854775808"),
            (Kind::F64, "one"),
        ] {
            assert_eq!(typed(kind, wrong), Err(format!("--input: {wrong:?} is no {}", kind.name())));
        }
    }

    #[test]
    fn references_are_text_files_or_null() {
        let none = Semaphores::default();
        let bytes = |text: &str| match input(Kind::Ref, text, &none) {
            Ok(Value::Ref(reference)) => reference.get::<Buffer>().map(Buffer::to_vec).ok(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("hello"), Some(b"hello".to_vec()));
        assert_eq!(bytes("text:@x"), Some(b"@x".to_vec()));
        assert_eq!(bytes("null"), None);
        assert_eq!(bytes("text:semaphore:x"), Some(b"semaphore:x".to_vec()));
        let failure = input(Kind::Ref, "semaphore:x", &none).expect_err("it is not there");
        assert_eq!(failure.exit, Exit::Usage);
        let failure = input(Kind::Ref, "@/no/such/file", &none).expect_err("it is not there");
        assert_eq!(failure.exit, Exit::Source);
        assert!(failure.message.contains("/no/such/file"), "{failure}");
    }

    #[test]
    fn results_are_shown_for_people_and_programs() {
        let buffer = |bytes: &[u8]| Value::Ref(Ref::new(Buffer::new(bytes, Access::ReadOnly)));
        for (value, people, programs) in [
            (Value::I32(-1), "-1", r#"{"type":"i32","value":-1}"#),
            (Value::I64(i64::MIN), "-9223372036854775808", r#"{"type":"i64","value":-9223372036854775808}"#),
            (Value::F32(0.1), "0.1", r#"{"type":"f32","value":0.1}"#),
            (Value::F64(f64::NAN), "NaN", r#"{"type":"f64","value":"NaN"}"#),
            (Value::Ref(Ref::NULL), "null", r#"{"type":"ref","value":null}"#),
            (buffer(b"text"), "text", r#"{"type":"ref","value":"text","object":"vm.buffer"}"#),
            (buffer(&[0xff, 1]), "2 bytes: ff01", r#"{"type":"ref","value":{"hex":"ff01"},"object":"vm.buffer"}"#),
        ] {
            let shown = Shown::of(&value);
            assert_eq!(shown.to_string(), people);
            assert_eq!(serde_json::to_string(&shown).expect("JSON"), programs);
        }
        assert!(Shown::of(&buffer(&[0xff; 40])).to_string().ends_with("ff..."));
    }
}

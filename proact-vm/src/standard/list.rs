//! `list`: growable lists, as programs make and use them.

use std::sync::Arc;

use proact::status::Code;

use super::argument::count;
use super::quota::{Quota, element_bytes};
use crate::error::{Error, Result};
use crate::machine::work;
use crate::module::native::NativeModule;
use crate::value::{ElementType, List, Ref, Value};

type State = Arc<Quota>;

/// What a program calls the kinds of lists.
const ELEMENTS: [ElementType; 8] = [
    ElementType::Any,
    ElementType::I8,
    ElementType::I16,
    ElementType::I32,
    ElementType::I64,
    ElementType::F32,
    ElementType::F64,
    ElementType::Ref,
];

fn element(number: i32) -> Result<ElementType> {
    let found = usize::try_from(number).ok().and_then(|number| ELEMENTS.get(number));
    found.copied().ok_or_else(|| Error::invalid(format!("element type {number}: 0 (any) to 7 (references) are known")))
}

/// A number as the list holds numbers. A wider list takes it as it is, a narrower one if it fits, and one of other
/// things refuses it.
fn fitting(list: &List, value: Value) -> Result<Value> {
    let (wide, bits) = match value {
        Value::I32(value) => (i64::from(value), 32),
        Value::I64(value) => (value, 64),
        Value::F32(value) if list.element_type() == ElementType::F64 => return Ok(Value::F64(value.into())),
        other => return Ok(other),
    };
    let fits = match list.element_type() {
        ElementType::I8 => i8::try_from(wide).map(Value::I8),
        ElementType::I16 => i16::try_from(wide).map(Value::I16),
        ElementType::I32 => i32::try_from(wide).map(Value::I32),
        ElementType::I64 => Ok(Value::I64(wide)),
        _ => return Ok(if bits == 32 { Value::I32(wide as i32) } else { Value::I64(wide) }),
    };
    fits.map_err(|_| {
        let message = format!("{wide} does not fit into a list of {:?}", list.element_type());
        Error::new(Code::OutOfRange, message)
    })
}

fn set(_: &State, list: Arc<List>, index: i32, value: Value) -> Result {
    let value = fitting(&list, value)?;
    list.set(place(index)?, value)
}

fn push(quota: &State, list: Arc<List>, value: Value) -> Result {
    let value = fitting(&list, value)?;
    quota.grow(&list, 1, || list.push(value))
}

/// Takes the last element away as another type. Where that cannot be, it stays: in a list that others change at the
/// same time, behind what they have pushed.
fn pop<T>(list: &List, read: fn(&Value) -> Option<T>) -> Result<T> {
    let last = list.pop()?;
    match read(&last) {
        Some(value) => Ok(value),
        None => {
            let message = format!("a {} is not converted to what was asked for", last.value_type());
            list.push(last)?;
            Err(Error::precondition(message))
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    match *value {
        Value::I8(value) => Some(value.into()),
        Value::I16(value) => Some(value.into()),
        Value::I32(value) => Some(value.into()),
        Value::I64(value) => Some(value),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(value) => Some(value.into()),
        Value::F64(value) => Some(value),
        _ => None,
    }
}

fn place(index: i32) -> Result<usize> {
    count(index.into(), "index")
}

pub(super) fn module(quota: &Arc<Quota>) -> Result<Arc<NativeModule<State>>> {
    let quota = quota.clone();
    let mut builder = NativeModule::with_state("list", move || Ok(quota.clone()))
        .fork(|quota| Ok(quota.clone()))
        .function("create", |quota: &State, number: i32| {
            let element = element(number)?;
            quota.make(0, || Ok(List::new(element)))
        })
        .function("length", |_: &State, list: Arc<List>| list.len() as i32)
        .function("element_type", |_: &State, list: Arc<List>| {
            ELEMENTS.iter().position(|element| *element == list.element_type()).unwrap_or_default() as i32
        })
        .function("resize", |quota: &State, list: Arc<List>, length: i32| {
            let length = count(length.into(), "length")?;
            let before = list.len();
            let bytes = length.abs_diff(before).saturating_mul(element_bytes(&list));
            quota.grow(&list, length.saturating_sub(before), || list.resize(length))?;
            work::did(bytes);
            Ok::<_, Error>(())
        })
        .function("get_ref", |_: &State, list: Arc<List>, index: i32| list.get_ref(place(index)?))
        .function("set_ref", |state: &State, list: Arc<List>, index: i32, value: Ref| {
            set(state, list, index, Value::Ref(value))
        })
        .function("push_ref", |state: &State, list: Arc<List>, value: Ref| push(state, list, Value::Ref(value)))
        .function("pop_ref", |_: &State, list: Arc<List>| pop(&list, |value| value.reference().ok().cloned()));
    macro_rules! numbers {
        (
            $($type:ty, $variant:ident, $read:ident, $of:ident,
                $get:literal, $set:literal, $push:literal, $pop:literal;)*
        ) => {$(
            builder = builder
                .function($get, |_: &State, list: Arc<List>, index: i32| list.$read(place(index)?))
                .function($set, |state: &State, list: Arc<List>, index: i32, value: $type| {
                    set(state, list, index, Value::$variant(value))
                })
                .function($push, |state: &State, list: Arc<List>, value: $type| {
                    push(state, list, Value::$variant(value))
                })
                .function($pop, |_: &State, list: Arc<List>| {
                    pop(&list, |value| $of(value).map(|value| value as $type))
                });
        )*};
    }
    numbers! {
        i32, I32, get_i32, integer, "get_i32", "set_i32", "push_i32", "pop_i32";
        i64, I64, get_i64, integer, "get_i64", "set_i64", "push_i64", "pop_i64";
        f32, F32, get_f32, number, "get_f32", "set_f32", "push_f32", "pop_f32";
        f64, F64, get_f64, number, "get_f64", "set_f64", "push_f64", "pop_f64";
    }
    builder.build()
}

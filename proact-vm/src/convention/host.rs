//! A host's values, packed and unpacked by a convention.

use super::{Fragment, Item, Letter, Packed, Reader};
use crate::error::{Error, Result};
use crate::value::{Inputs, List, Outputs, Value};

/// Packs inputs, each of which must be of exactly the type that its letter says. A span takes a list: of its members
/// when its tuples have one, else of lists with as many members each.
#[inline]
pub(crate) fn pack<I: Inputs + ?Sized>(fragment: &Fragment, inputs: &I, packed: &mut Packed) -> Result {
    packed.clear();
    let items = fragment.items();
    if inputs.count() != items.len() {
        return Err(wrong_count(inputs.count(), items.len()));
    }
    match inputs.as_slice() {
        Some(values) => {
            for (index, (item, value)) in items.iter().zip(values).enumerate() {
                pack_item(item, value, packed).map_err(|error| error.about(format!("input {index}")))?;
            }
        }
        None => {
            for (index, item) in items.iter().enumerate() {
                let value = inputs.value(index)?;
                pack_item(item, &value, packed).map_err(|error| error.about(format!("input {index}")))?;
            }
        }
    }
    packed.finish();
    Ok(())
}

#[inline]
fn pack_item(item: &Item, value: &Value, packed: &mut Packed) -> Result {
    match item {
        Item::One(letter) => pack_one(*letter, value, packed),
        Item::Span(letters) => pack_span(letters, value, packed),
    }
}

#[cold]
fn wrong_count(given: usize, wanted: usize) -> Error {
    Error::invalid(format!("{given} inputs, where the function takes {wanted}"))
}

#[inline]
fn pack_one(letter: Letter, value: &Value, packed: &mut Packed) -> Result {
    match letter {
        Letter::I32 => packed.push_i32(value.i32()?),
        Letter::I64 => packed.push_i64(value.i64()?),
        Letter::F32 => packed.push_f32(value.f32()?),
        Letter::F64 => packed.push_f64(value.f64()?),
        Letter::Ref => packed.push_ref(value.reference()?.clone()),
    }
    Ok(())
}

fn pack_span(letters: &[Letter], value: &Value, packed: &mut Packed) -> Result {
    let list = value.reference()?.get::<List>()?;
    // At one moment: the host, or another program, may change the list meanwhile.
    let elements = list.try_to_vec()?;
    let align = letters.iter().map(|letter| letter.align()).max().unwrap_or(1);
    packed.push_span(elements.len(), align)?;
    let bytes: usize = letters.iter().map(|letter| letter.size().max(align)).sum();
    packed.try_reserve(elements.len().saturating_mul(bytes))?;
    for (index, element) in elements.into_iter().enumerate() {
        match letters {
            [letter] => pack_one(*letter, &element, packed),
            letters => pack_tuple(letters, &element, packed),
        }
        .map_err(|error| error.about(format!("element {index}")))?;
    }
    Ok(())
}

fn pack_tuple(letters: &[Letter], element: &Value, packed: &mut Packed) -> Result {
    let members = element.reference()?.get::<List>()?;
    if members.len() != letters.len() {
        return Err(Error::invalid(format!("{} members, where a tuple has {}", members.len(), letters.len())));
    }
    let mut letters = letters.iter().enumerate();
    letters.try_for_each(|(index, letter)| pack_one(*letter, &members.get(index)?, packed))
}

/// Appends results to `outputs`.
#[inline]
pub(crate) fn unpack<O: Outputs + ?Sized>(fragment: &Fragment, packed: &mut Packed, outputs: &mut O) -> Result {
    let mut reader = packed.reader();
    for item in fragment.items() {
        match item {
            Item::One(letter) => outputs.append(unpack_one(*letter, &mut reader)?)?,
            Item::Span(_) => return Err(Error::internal("a span among the results")),
        }
    }
    Ok(())
}

#[inline]
fn unpack_one(letter: Letter, reader: &mut Reader<'_>) -> Result<Value> {
    Ok(match letter {
        Letter::I32 => Value::I32(reader.next_i32()?),
        Letter::I64 => Value::I64(reader.next_i64()?),
        Letter::F32 => Value::F32(reader.next_f32()?),
        Letter::F64 => Value::F64(reader.next_f64()?),
        Letter::Ref => Value::Ref(reader.next_ref()?),
    })
}

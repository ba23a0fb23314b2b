//! What a list's elements lie in, dense by their type.

use std::ops::Range;

use proact::status::Code;

use super::ElementType;
use crate::error::{Error, Result};
use crate::value::{Ref, Value};

/// Elements in a list at most: what a program asks for beyond it is `RESOURCE_EXHAUSTED`.
const LENGTH_MAX: usize = 1 << 28;

pub(super) enum Storage {
    Any(Vec<Value>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Ref(Vec<Ref>),
}

/// The same for each kind of storage: `$vec` is its vector.
macro_rules! each {
    ($storage:expr, $vec:ident => $do:expr) => {
        match $storage {
            Storage::Any($vec) => $do,
            Storage::I8($vec) => $do,
            Storage::I16($vec) => $do,
            Storage::I32($vec) => $do,
            Storage::I64($vec) => $do,
            Storage::F32($vec) => $do,
            Storage::F64($vec) => $do,
            Storage::Ref($vec) => $do,
        }
    };
}

#[cold]
fn exhausted(length: usize) -> Error {
    Error::new(Code::ResourceExhausted, format!("a list of {length} elements"))
}

impl Storage {
    pub(super) fn new(element: ElementType) -> Storage {
        match element {
            ElementType::Any => Storage::Any(Vec::new()),
            ElementType::I8 => Storage::I8(Vec::new()),
            ElementType::I16 => Storage::I16(Vec::new()),
            ElementType::I32 => Storage::I32(Vec::new()),
            ElementType::I64 => Storage::I64(Vec::new()),
            ElementType::F32 => Storage::F32(Vec::new()),
            ElementType::F64 => Storage::F64(Vec::new()),
            ElementType::Ref => Storage::Ref(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        each!(self, vec => vec.len())
    }

    #[allow(clippy::useless_conversion)] // a value's is
    pub(super) fn get(&self, index: usize) -> Option<Value> {
        each!(self, vec => vec.get(index).cloned().map(Value::from))
    }

    pub(super) fn reserve(&mut self, more: usize) -> Result {
        let length = self.len().saturating_add(more);
        if length > LENGTH_MAX {
            return Err(exhausted(length));
        }
        each!(self, vec => vec.try_reserve(more)).map_err(|_| exhausted(length))
    }

    /// What was there before, or what is not of the list's type.
    pub(super) fn set(&mut self, index: usize, value: Value) -> Result<Value> {
        match (self, value) {
            (Storage::Any(vec), value) => Ok(std::mem::replace(&mut vec[index], value)),
            (Storage::I8(vec), Value::I8(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::I16(vec), Value::I16(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::I32(vec), Value::I32(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::I64(vec), Value::I64(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::F32(vec), Value::F32(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::F64(vec), Value::F64(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (Storage::Ref(vec), Value::Ref(value)) => Ok(std::mem::replace(&mut vec[index], value).into()),
            (_, value) => Err(unadmitted(&value)),
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Result {
        match (self, value) {
            (Storage::Any(vec), value) => vec.push(value),
            (Storage::I8(vec), Value::I8(value)) => vec.push(value),
            (Storage::I16(vec), Value::I16(value)) => vec.push(value),
            (Storage::I32(vec), Value::I32(value)) => vec.push(value),
            (Storage::I64(vec), Value::I64(value)) => vec.push(value),
            (Storage::F32(vec), Value::F32(value)) => vec.push(value),
            (Storage::F64(vec), Value::F64(value)) => vec.push(value),
            (Storage::Ref(vec), Value::Ref(value)) => vec.push(value),
            (_, value) => return Err(unadmitted(&value)),
        }
        Ok(())
    }

    #[allow(clippy::useless_conversion)] // a value's is
    pub(super) fn pop(&mut self) -> Option<Value> {
        each!(self, vec => vec.pop().map(Value::from))
    }

    pub(super) fn resize(&mut self, length: usize) {
        match self {
            Storage::Any(vec) => vec.resize(length, Value::None),
            Storage::I8(vec) => vec.resize(length, 0),
            Storage::I16(vec) => vec.resize(length, 0),
            Storage::I32(vec) => vec.resize(length, 0),
            Storage::I64(vec) => vec.resize(length, 0),
            Storage::F32(vec) => vec.resize(length, 0.0),
            Storage::F64(vec) => vec.resize(length, 0.0),
            Storage::Ref(vec) => vec.resize(length, Ref::NULL),
        }
    }

    /// Makes it shorter, and gives back the memory that it does not need any more. The references beyond are answered:
    /// whoever gives the last one up runs code of others.
    pub(super) fn cut(&mut self, length: usize) -> Result<Vec<Ref>> {
        let mut cut = Vec::new();
        let count = self.len() - length;
        match self {
            Storage::Any(vec) => {
                // The values beyond, most of which may be references.
                cut.try_reserve_exact(count).map_err(|_| exhausted(count))?;
                cut.extend(vec.drain(length..).filter_map(into_reference));
            }
            Storage::Ref(vec) => {
                cut.try_reserve_exact(count).map_err(|_| exhausted(count))?;
                cut.extend(vec.drain(length..));
            }
            _ => {}
        }
        each!(self, vec => {
            vec.truncate(length);
            vec.shrink_to(length);
        });
        Ok(cut)
    }

    /// A copy of what is at `range`, which is within it.
    #[allow(clippy::useless_conversion)] // a value's is
    pub(super) fn values(&self, range: Range<usize>) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        values.try_reserve_exact(range.len()).map_err(|_| exhausted(range.len()))?;
        each!(self, vec => values.extend(vec[range].iter().cloned().map(Value::from)));
        Ok(values)
    }

    pub(super) fn duplicate(&self) -> Result<Storage> {
        Ok(match self {
            Storage::Any(vec) => Storage::Any(copy(vec)?),
            Storage::I8(vec) => Storage::I8(copy(vec)?),
            Storage::I16(vec) => Storage::I16(copy(vec)?),
            Storage::I32(vec) => Storage::I32(copy(vec)?),
            Storage::I64(vec) => Storage::I64(copy(vec)?),
            Storage::F32(vec) => Storage::F32(copy(vec)?),
            Storage::F64(vec) => Storage::F64(copy(vec)?),
            Storage::Ref(vec) => Storage::Ref(copy(vec)?),
        })
    }

    /// Bytes that it has, used or not.
    pub(super) fn byte_capacity(&self) -> usize {
        each!(self, vec => vec.capacity() * element_bytes(vec))
    }

    /// Takes all references out, one after another.
    pub(super) fn for_each_reference(self, take: impl FnMut(Ref)) {
        match self {
            Storage::Any(vec) => vec.into_iter().filter_map(into_reference).for_each(take),
            Storage::Ref(vec) => vec.into_iter().for_each(take),
            _ => {}
        }
    }
}

fn into_reference(value: Value) -> Option<Ref> {
    match value {
        Value::Ref(reference) => Some(reference),
        _ => None,
    }
}

fn element_bytes<T>(_: &[T]) -> usize {
    size_of::<T>()
}

fn copy<T: Clone>(of: &[T]) -> Result<Vec<T>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(of.len()).map_err(|_| exhausted(of.len()))?;
    copy.extend_from_slice(of);
    Ok(copy)
}

#[cold]
fn unadmitted(value: &Value) -> Error {
    Error::internal(format!("a {} that was not refused", value.value_type()))
}

//! What programs compute with: numbers, and references to counted objects.

mod buffer;
mod inputs;
mod later;
mod list;
mod reference;

use std::fmt;

#[cfg(feature = "wasm")]
pub(crate) use buffer::copied;
pub use buffer::{Access, Buffer};
pub use inputs::{Inputs, Outputs};
pub(crate) use later::drop_flat;
pub use list::{ElementType, List};
pub use reference::{Object, Ref};

use crate::error::{Error, Result};

/// The type of a [`Value`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ValueType {
    /// Nothing.
    None,
    /// 8 bits, in lists alone.
    I8,
    /// 16 bits, in lists alone.
    I16,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// IEEE 754 single.
    F32,
    /// IEEE 754 double.
    F64,
    /// A reference, or null.
    Ref,
}

impl ValueType {
    /// As errors spell it.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::None => "none",
            ValueType::I8 => "i8",
            ValueType::I16 => "i16",
            ValueType::I32 => "i32",
            ValueType::I64 => "i64",
            ValueType::F32 => "f32",
            ValueType::F64 => "f64",
            ValueType::Ref => "ref",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number, a reference, or nothing.
///
/// Nothing is converted silently: each reader takes its own type and answers `INVALID_ARGUMENT` for another.
///
/// ```
/// use proact_vm::Value;
///
/// let value = Value::from(7);
/// assert_eq!(value.i32()?, 7);
/// assert!(value.f32().is_err(), "an i32 is no f32");
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    None,
    /// 8 bits.
    I8(i8),
    /// 16 bits.
    I16(i16),
    /// 32 bits.
    I32(i32),
    /// 64 bits.
    I64(i64),
    /// Single precision.
    F32(f32),
    /// Double precision.
    F64(f64),
    /// A reference, or null.
    Ref(Ref),
}

impl Value {
    /// Its type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::None => ValueType::None,
            Value::I8(_) => ValueType::I8,
            Value::I16(_) => ValueType::I16,
            Value::I32(_) => ValueType::I32,
            Value::I64(_) => ValueType::I64,
            Value::F32(_) => ValueType::F32,
            Value::F64(_) => ValueType::F64,
            Value::Ref(_) => ValueType::Ref,
        }
    }

    /// The number of a [`Value::I32`]; of anything else `INVALID_ARGUMENT`.
    #[inline]
    pub fn i32(&self) -> Result<i32> {
        match self {
            Value::I32(value) => Ok(*value),
            _ => Err(self.is_not(ValueType::I32)),
        }
    }

    /// The number of a [`Value::I64`]; of anything else `INVALID_ARGUMENT`.
    #[inline]
    pub fn i64(&self) -> Result<i64> {
        match self {
            Value::I64(value) => Ok(*value),
            _ => Err(self.is_not(ValueType::I64)),
        }
    }

    /// The number of a [`Value::F32`]; of anything else `INVALID_ARGUMENT`.
    #[inline]
    pub fn f32(&self) -> Result<f32> {
        match self {
            Value::F32(value) => Ok(*value),
            _ => Err(self.is_not(ValueType::F32)),
        }
    }

    /// The number of a [`Value::F64`]; of anything else `INVALID_ARGUMENT`.
    #[inline]
    pub fn f64(&self) -> Result<f64> {
        match self {
            Value::F64(value) => Ok(*value),
            _ => Err(self.is_not(ValueType::F64)),
        }
    }

    /// The reference of a [`Value::Ref`], which may be null; of anything else `INVALID_ARGUMENT`.
    #[inline]
    pub fn reference(&self) -> Result<&Ref> {
        match self {
            Value::Ref(value) => Ok(value),
            _ => Err(self.is_not(ValueType::Ref)),
        }
    }

    #[cold]
    pub(crate) fn is_not(&self, wanted: ValueType) -> Error {
        Error::invalid(format!("expected {wanted}, found {}", self.value_type()))
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::$variant(value)
            }
        }
    )*};
}
from!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64, Ref => Ref);

impl<T: Object> From<std::sync::Arc<T>> for Value {
    fn from(object: std::sync::Arc<T>) -> Value {
        Value::Ref(Ref::from(object))
    }
}

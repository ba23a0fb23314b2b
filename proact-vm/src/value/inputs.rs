//! What a host passes to a call, and takes from it.

use super::{List, Value};
use crate::error::Result;

/// A row of values that a call reads when it begins, and not after.
pub trait Inputs {
    /// How many there are.
    fn count(&self) -> usize;

    /// The value at `index`; `OUT_OF_RANGE` past the end.
    fn value(&self, index: usize) -> Result<Value>;

    /// All of them, where they lie side by side and no one changes them meanwhile.
    #[inline]
    fn as_slice(&self) -> Option<&[Value]> {
        None
    }
}

/// Where a call leaves its results, behind what is there.
pub trait Outputs {
    /// Appends one.
    fn append(&mut self, value: Value) -> Result;
}

impl Inputs for [Value] {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn value(&self, index: usize) -> Result<Value> {
        self.get(index).cloned().ok_or_else(|| super::list::out_of_range(index, self.len()))
    }

    #[inline]
    fn as_slice(&self) -> Option<&[Value]> {
        Some(self)
    }
}

impl<const N: usize> Inputs for [Value; N] {
    #[inline]
    fn count(&self) -> usize {
        N
    }

    #[inline]
    fn value(&self, index: usize) -> Result<Value> {
        self[..].value(index)
    }

    #[inline]
    fn as_slice(&self) -> Option<&[Value]> {
        Some(self)
    }
}

impl Inputs for Vec<Value> {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn value(&self, index: usize) -> Result<Value> {
        self[..].value(index)
    }

    #[inline]
    fn as_slice(&self) -> Option<&[Value]> {
        Some(self)
    }
}

/// No inputs.
impl Inputs for () {
    #[inline]
    fn count(&self) -> usize {
        0
    }

    fn value(&self, index: usize) -> Result<Value> {
        Err(super::list::out_of_range(index, 0))
    }
}

impl Inputs for List {
    fn count(&self) -> usize {
        self.len()
    }

    fn value(&self, index: usize) -> Result<Value> {
        self.get(index)
    }
}

impl Outputs for Vec<Value> {
    #[inline]
    fn append(&mut self, value: Value) -> Result {
        self.push(value);
        Ok(())
    }
}

impl Outputs for List {
    fn append(&mut self, value: Value) -> Result {
        self.push(value)
    }
}

/// For functions without results; a result is `INVALID_ARGUMENT`.
impl Outputs for () {
    fn append(&mut self, _: Value) -> Result {
        Err(crate::Error::invalid("the function has results, and there is nowhere to put them"))
    }
}

//! Growable lists: dense numbers of one type, references, or values of any type.

mod storage;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proact::status::Code;

use super::{Object, Ref, Value, ValueType};
use crate::error::{Error, Result};
use storage::Storage;

/// What a list may hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ElementType {
    /// Values of any type.
    Any,
    /// 8-bit integers, dense.
    I8,
    /// 16-bit integers, dense.
    I16,
    /// 32-bit integers, dense.
    I32,
    /// 64-bit integers, dense.
    I64,
    /// Single-precision numbers, dense.
    F32,
    /// Double-precision numbers, dense.
    F64,
    /// References.
    Ref,
}

/// A list that any number of references share. Each call locks it for its own length, and runs no code of others
/// meanwhile, so a list may hold itself (and is then never freed: references are counted, not traced).
///
/// Errors are the same everywhere: an index past the end is `OUT_OF_RANGE`; a value of a type that the list does not
/// hold, or a number asked for as what it cannot be converted to, is `FAILED_PRECONDITION`; a reference of another type
/// than the list's is `INVALID_ARGUMENT`; more than 2^28 elements, or more than there is memory, `RESOURCE_EXHAUSTED`.
///
/// ```
/// use proact_vm::{ElementType, List, Value};
///
/// let list = List::new(ElementType::I32);
/// list.push(Value::I32(-1))?;
/// assert_eq!(list.get_i64(0)?, -1, "integers are widened with their sign");
/// assert!(list.get_f32(0).is_err(), "but never turned into floats");
/// assert!(list.push(Value::F32(1.0)).is_err());
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub struct List {
    element: ElementType,
    /// For references to one type alone.
    only: Option<Only>,
    storage: Mutex<Storage>,
}

#[derive(Clone, Copy)]
struct Only {
    type_name: &'static str,
    admits: fn(&Ref) -> bool,
}

#[cold]
pub(super) fn out_of_range(index: usize, length: usize) -> Error {
    Error::new(Code::OutOfRange, format!("index {index} of {length}"))
}

impl List {
    /// An empty list.
    pub fn new(element: ElementType) -> List {
        List { element, only: None, storage: Mutex::new(Storage::new(element)) }
    }

    /// An empty list of references to `T`, or null.
    pub fn of<T: Object>() -> List {
        let only = Only { type_name: T::TYPE_NAME, admits: |reference| reference.is_null() || reference.is::<T>() };
        List { element: ElementType::Ref, only: Some(only), storage: Mutex::new(Storage::new(ElementType::Ref)) }
    }

    /// What it holds.
    pub fn element_type(&self) -> ElementType {
        self.element
    }

    /// The name of the only type of references that it takes, if there is one.
    pub fn type_name(&self) -> Option<&'static str> {
        self.only.map(|only| only.type_name)
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, a reference counted.
    pub fn get(&self, index: usize) -> Result<Value> {
        let storage = self.lock();
        storage.get(index).ok_or_else(|| out_of_range(index, storage.len()))
    }

    /// The integer at `index`: a narrower one is widened with its sign, a wider one cut off.
    pub fn get_i32(&self, index: usize) -> Result<i32> {
        self.integer(index, ValueType::I32).map(|value| value as i32)
    }

    /// The integer at `index`: a narrower one is widened with its sign.
    pub fn get_i64(&self, index: usize) -> Result<i64> {
        self.integer(index, ValueType::I64)
    }

    /// The float at `index`: a double is rounded.
    pub fn get_f32(&self, index: usize) -> Result<f32> {
        match self.get(index)? {
            Value::F32(value) => Ok(value),
            Value::F64(value) => Ok(value as f32),
            other => Err(no_conversion(&other, ValueType::F32)),
        }
    }

    /// The float at `index`.
    pub fn get_f64(&self, index: usize) -> Result<f64> {
        match self.get(index)? {
            Value::F32(value) => Ok(value.into()),
            Value::F64(value) => Ok(value),
            other => Err(no_conversion(&other, ValueType::F64)),
        }
    }

    /// The reference at `index`.
    pub fn get_ref(&self, index: usize) -> Result<Ref> {
        match self.get(index)? {
            Value::Ref(value) => Ok(value),
            other => Err(no_conversion(&other, ValueType::Ref)),
        }
    }

    /// Replaces the element at `index`.
    pub fn set(&self, index: usize, value: Value) -> Result {
        self.admit(&value)?;
        let mut storage = self.lock();
        if index >= storage.len() {
            return Err(out_of_range(index, storage.len()));
        }
        let before = storage.set(index, value);
        // The last reference to an object runs that object's end: under no lock.
        drop(storage);
        before.map(drop)
    }

    /// Appends an element.
    pub fn push(&self, value: Value) -> Result {
        self.admit(&value)?;
        let mut storage = self.lock();
        storage.reserve(1)?;
        storage.push(value)
    }

    /// Takes the last element away; `OUT_OF_RANGE` when there is none.
    pub fn pop(&self) -> Result<Value> {
        self.lock().pop().ok_or_else(|| out_of_range(0, 0))
    }

    /// Makes it `length` long: what is new is zero, null or [`Value::None`]. One that becomes shorter gives its memory
    /// back.
    pub fn resize(&self, length: usize) -> Result {
        let mut storage = self.lock();
        let now = storage.len();
        if length >= now {
            storage.reserve(length - now)?;
            storage.resize(length);
            return Ok(());
        }
        let cut = storage.cut(length)?;
        // The last reference to an object runs that object's end: under no lock.
        drop(storage);
        drop(cut);
        Ok(())
    }

    /// Makes room for `more` elements.
    pub fn reserve(&self, more: usize) -> Result {
        self.lock().reserve(more)
    }

    /// Takes all elements away; the room stays.
    pub fn clear(&self) {
        while self.pop().is_ok() {}
    }

    /// Another list with the same elements: references are to the same objects. `RESOURCE_EXHAUSTED` where there is no
    /// memory for them.
    pub fn duplicate(&self) -> Result<List> {
        let storage = self.lock().duplicate()?;
        Ok(List { element: self.element, only: self.only, storage: Mutex::new(storage) })
    }

    /// Exchanges the elements of two lists; `INVALID_ARGUMENT` unless both hold the same.
    pub fn swap(&self, other: &List) -> Result {
        if std::ptr::eq(self, other) {
            return Ok(());
        }
        if self.element != other.element || self.type_name() != other.type_name() {
            return Err(Error::invalid(format!("lists of {:?} and {:?}", self.element, other.element)));
        }
        // Both at once, or what is pushed meanwhile would be lost; in the order of their places, as everyone who
        // exchanges the two, so that no one waits for the other.
        let (first, second) = if std::ptr::from_ref(self) < other { (self, other) } else { (other, self) };
        let mut first = first.lock();
        std::mem::swap(&mut *first, &mut *second.lock());
        Ok(())
    }

    /// Copies `count` elements from `source` at `from` over those at `to`: all of them, or none and an error.
    ///
    /// `OUT_OF_RANGE` past either end; `INVALID_ARGUMENT` for elements that this list does not hold, and for ranges of
    /// one list that overlap.
    pub fn copy(&self, to: usize, source: &List, from: usize, count: usize) -> Result {
        let overlap = std::ptr::eq(self, source) && from < to.saturating_add(count) && to < from.saturating_add(count);
        if overlap && count > 0 {
            return Err(Error::invalid(format!("{count} elements at {from} and at {to} overlap")));
        }
        let mut values = {
            let storage = source.lock();
            let end = from.checked_add(count).filter(|&end| end <= storage.len());
            let end = end.ok_or_else(|| out_of_range(from.saturating_add(count), storage.len()))?;
            storage.values(from..end)?
        };
        for value in &values {
            self.admit_reference(value)?;
            if self.element != ElementType::Any && value.value_type() != self.value_type() {
                return Err(Error::invalid(format!("a {} copied to a list of {:?}", value.value_type(), self.element)));
            }
        }
        let mut storage = self.lock();
        if to.checked_add(count).is_none_or(|end| end > storage.len()) {
            return Err(out_of_range(to.saturating_add(count), storage.len()));
        }
        // What was there takes the place of what is put there, and ends under no lock.
        for (offset, value) in values.iter_mut().enumerate() {
            *value = storage.set(to + offset, std::mem::take(value))?;
        }
        drop(storage);
        drop(values);
        Ok(())
    }

    /// All elements, at one moment. What a program can make long is asked for by [`List::try_to_vec`].
    pub fn to_vec(&self) -> Vec<Value> {
        let storage = self.lock();
        (0..storage.len()).filter_map(|index| storage.get(index)).collect()
    }

    /// As [`List::to_vec`]; `RESOURCE_EXHAUSTED` where there is no memory for them.
    pub fn try_to_vec(&self) -> Result<Vec<Value>> {
        let storage = self.lock();
        storage.values(0..storage.len())
    }

    /// Bytes that its elements take, with the room that it keeps for more.
    pub fn byte_capacity(&self) -> usize {
        self.lock().byte_capacity()
    }

    fn value_type(&self) -> ValueType {
        match self.element {
            ElementType::Any => ValueType::None,
            ElementType::I8 => ValueType::I8,
            ElementType::I16 => ValueType::I16,
            ElementType::I32 => ValueType::I32,
            ElementType::I64 => ValueType::I64,
            ElementType::F32 => ValueType::F32,
            ElementType::F64 => ValueType::F64,
            ElementType::Ref => ValueType::Ref,
        }
    }

    /// Before the lock: what is refused may run code at its end.
    fn admit(&self, value: &Value) -> Result {
        if self.element != ElementType::Any && value.value_type() != self.value_type() {
            return Err(self.refuses(value));
        }
        self.admit_reference(value)
    }

    #[cold]
    fn refuses(&self, value: &Value) -> Error {
        let held = match self.value_type() {
            ValueType::Ref => "references",
            held => held.name(),
        };
        Error::precondition(format!("a list of {held} takes no {}", value.value_type()))
    }

    fn admit_reference(&self, value: &Value) -> Result {
        match (self.only, value) {
            (Some(only), Value::Ref(reference)) if !(only.admits)(reference) => {
                let found = reference.type_name().unwrap_or("null");
                Err(Error::invalid(format!("a list of {} takes no {found}", only.type_name)))
            }
            _ => Ok(()),
        }
    }

    fn integer(&self, index: usize, wanted: ValueType) -> Result<i64> {
        match self.get(index)? {
            Value::I8(value) => Ok(value.into()),
            Value::I16(value) => Ok(value.into()),
            Value::I32(value) => Ok(value.into()),
            Value::I64(value) => Ok(value),
            other => Err(no_conversion(&other, wanted)),
        }
    }

    fn take_storage(&mut self) -> Storage {
        std::mem::replace(self.storage.get_mut().unwrap_or_else(PoisonError::into_inner), Storage::I8(Vec::new()))
    }

    fn lock(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn no_conversion(found: &Value, wanted: ValueType) -> Error {
    Error::precondition(format!("a {} is not converted to {wanted}", found.value_type()))
}

impl Object for List {
    const TYPE_NAME: &'static str = "vm.list";
}

impl Drop for List {
    /// Lists in lists are taken apart one after another: a program may nest them deeper than a thread's stack is.
    fn drop(&mut self) {
        let mut work = vec![self.take_storage()];
        while let Some(storage) = work.pop() {
            storage.for_each_reference(|reference| {
                if !reference.is::<List>() {
                    return;
                }
                if let Some(mut list) = reference.into_cast::<List>().ok().and_then(Arc::into_inner) {
                    work.push(list.take_storage());
                }
            });
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("element", &self.element).field("len", &self.len()).finish()
    }
}

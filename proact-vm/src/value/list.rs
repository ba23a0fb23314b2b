//! Growable lists: dense numbers of one type, references, or values of any type.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proact::status::Code;

use super::{Object, Ref, Value, ValueType};
use crate::error::{Error, Result};

/// Elements in a list at most: what a program asks for beyond it is `RESOURCE_EXHAUSTED`.
const LENGTH_MAX: usize = 1 << 28;

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

enum Storage {
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
pub(super) fn out_of_range(index: usize, length: usize) -> Error {
    Error::new(Code::OutOfRange, format!("index {index} of {length}"))
}

#[cold]
fn exhausted(length: usize) -> Error {
    Error::new(Code::ResourceExhausted, format!("a list of {length} elements"))
}

impl Storage {
    fn new(element: ElementType) -> Storage {
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

    fn len(&self) -> usize {
        each!(self, vec => vec.len())
    }

    #[allow(clippy::useless_conversion)] // a value's is
    fn get(&self, index: usize) -> Option<Value> {
        each!(self, vec => vec.get(index).cloned().map(Value::from))
    }

    fn reserve(&mut self, more: usize) -> Result {
        let length = self.len().saturating_add(more);
        if length > LENGTH_MAX {
            return Err(exhausted(length));
        }
        each!(self, vec => vec.try_reserve(more)).map_err(|_| exhausted(length))
    }

    /// What was there before, or what is not of the list's type.
    fn set(&mut self, index: usize, value: Value) -> Result<Value> {
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

    fn push(&mut self, value: Value) -> Result {
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
    fn pop(&mut self) -> Option<Value> {
        each!(self, vec => vec.pop().map(Value::from))
    }

    fn resize(&mut self, length: usize) {
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

    /// Makes it `length` long: what is new is zero, null or [`Value::None`].
    pub fn resize(&self, length: usize) -> Result {
        let mut storage = self.lock();
        let now = storage.len();
        if length >= now {
            storage.reserve(length - now)?;
            storage.resize(length);
            return Ok(());
        }
        let cut = each!(&mut *storage, vec => {
            let cut = vec.split_off(length);
            drop_later(cut)
        });
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

    /// Another list with the same elements: references are to the same objects.
    pub fn duplicate(&self) -> List {
        let storage = match &*self.lock() {
            Storage::Any(vec) => Storage::Any(vec.clone()),
            Storage::I8(vec) => Storage::I8(vec.clone()),
            Storage::I16(vec) => Storage::I16(vec.clone()),
            Storage::I32(vec) => Storage::I32(vec.clone()),
            Storage::I64(vec) => Storage::I64(vec.clone()),
            Storage::F32(vec) => Storage::F32(vec.clone()),
            Storage::F64(vec) => Storage::F64(vec.clone()),
            Storage::Ref(vec) => Storage::Ref(vec.clone()),
        };
        List { element: self.element, only: self.only, storage: Mutex::new(storage) }
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
        let values = {
            let storage = source.lock();
            let end = from.checked_add(count).filter(|&end| end <= storage.len());
            let end = end.ok_or_else(|| out_of_range(from.saturating_add(count), storage.len()))?;
            (from..end).filter_map(|index| storage.get(index)).collect::<Vec<_>>()
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
        let mut before = Vec::with_capacity(count);
        for (offset, value) in values.into_iter().enumerate() {
            before.push(storage.set(to + offset, value)?);
        }
        drop(storage);
        drop(before);
        Ok(())
    }

    /// All elements, at one moment.
    pub fn to_vec(&self) -> Vec<Value> {
        let storage = self.lock();
        (0..storage.len()).filter_map(|index| storage.get(index)).collect()
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

    fn lock(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn unadmitted(value: &Value) -> Error {
    Error::internal(format!("a {} that was not refused", value.value_type()))
}

#[cold]
fn no_conversion(found: &Value, wanted: ValueType) -> Error {
    Error::precondition(format!("a {} is not converted to {wanted}", found.value_type()))
}

/// Of numbers nothing is left to end; of references the caller ends them when no lock is held.
fn drop_later<T: Into<Value>>(cut: Vec<T>) -> Vec<Value> {
    cut.into_iter().map(Into::into).filter(|value| matches!(value, Value::Ref(_))).collect()
}

impl Object for List {
    const TYPE_NAME: &'static str = "vm.list";
}

impl Drop for List {
    /// Lists in lists are taken apart one after another: a program may nest them deeper than a thread's stack is.
    fn drop(&mut self) {
        let mut work = vec![std::mem::replace(
            self.storage.get_mut().unwrap_or_else(PoisonError::into_inner),
            Storage::I8(Vec::new()),
        )];
        while let Some(storage) = work.pop() {
            let references: Vec<Ref> = match storage {
                Storage::Ref(references) => references,
                Storage::Any(values) => values
                    .into_iter()
                    .filter_map(|value| match value {
                        Value::Ref(reference) => Some(reference),
                        _ => None,
                    })
                    .collect(),
                _ => continue,
            };
            let lists = references.into_iter().filter(Ref::is::<List>).filter_map(|list| list.into_cast::<List>().ok());
            for mut list in lists.filter_map(Arc::into_inner) {
                let storage = list.storage.get_mut().unwrap_or_else(PoisonError::into_inner);
                work.push(std::mem::replace(storage, Storage::I8(Vec::new())));
            }
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("element", &self.element).field("len", &self.len()).finish()
    }
}

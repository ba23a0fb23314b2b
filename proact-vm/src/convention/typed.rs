//! Rust types as arguments and results: which letters they are, and how they are packed.

use std::sync::Arc;

use super::{Packed, Reader};
use crate::error::{Error, Result};
use crate::value::{Object, Ref};

/// A member of a tuple: a number or a reference.
pub trait Element: Sized + Send + 'static {
    /// Its letters in a convention.
    const LETTERS: &'static [&'static str];
    /// The largest alignment of its members.
    const ALIGN: usize;

    /// Takes the next one.
    fn take(reader: &mut Reader<'_>) -> Result<Self>;

    /// Appends it.
    fn put(self, packed: &mut Packed) -> Result;
}

/// One argument of a function: an [`Element`], or a span of them as a `Vec`.
pub trait Argument: Sized + Send + 'static {
    /// Tells its letters, one after another.
    fn letters(emit: &mut dyn FnMut(&'static str));

    /// Takes the next one.
    fn take(reader: &mut Reader<'_>) -> Result<Self>;

    /// Appends it.
    fn put(self, packed: &mut Packed) -> Result;
}

impl<T: Element> Argument for T {
    fn letters(emit: &mut dyn FnMut(&'static str)) {
        T::LETTERS.iter().for_each(|letters| emit(letters));
    }

    #[inline]
    fn take(reader: &mut Reader<'_>) -> Result<T> {
        T::take(reader)
    }

    #[inline]
    fn put(self, packed: &mut Packed) -> Result {
        self.put(packed)
    }
}

impl<T: Element> Argument for Vec<T> {
    fn letters(emit: &mut dyn FnMut(&'static str)) {
        emit("C");
        T::LETTERS.iter().for_each(|letters| emit(letters));
        emit("D");
    }

    fn take(reader: &mut Reader<'_>) -> Result<Vec<T>> {
        let count = reader.next_span(T::ALIGN)?;
        // Each takes at least four bytes: a wrong count does not make us reserve what is not there.
        let mut tuples = Vec::with_capacity(count.min(reader.remaining() / 4));
        for _ in 0..count {
            tuples.push(T::take(reader)?);
        }
        Ok(tuples)
    }

    fn put(self, packed: &mut Packed) -> Result {
        packed.push_span(self.len(), T::ALIGN)?;
        self.into_iter().try_for_each(|tuple| tuple.put(packed))
    }
}

macro_rules! numbers {
    ($($type:ty, $letter:literal, $push:ident, $next:ident;)*) => {$(
        impl Element for $type {
            const LETTERS: &'static [&'static str] = &[$letter];
            const ALIGN: usize = size_of::<$type>();

            #[inline]
            fn take(reader: &mut Reader<'_>) -> Result<$type> {
                Ok(reader.$next()? as $type)
            }

            #[inline]
            fn put(self, packed: &mut Packed) -> Result {
                packed.$push(self as _);
                Ok(())
            }
        }
    )*};
}
// An unsigned number is the signed one of the same bits.
numbers! {
    i32, "i", push_i32, next_i32;
    u32, "i", push_i32, next_i32;
    i64, "I", push_i64, next_i64;
    u64, "I", push_i64, next_i64;
    f32, "f", push_f32, next_f32;
    f64, "F", push_f64, next_f64;
}

/// 0 or 1; another number is `INVALID_ARGUMENT`.
impl Element for bool {
    const LETTERS: &'static [&'static str] = &["i"];
    const ALIGN: usize = 4;

    fn take(reader: &mut Reader<'_>) -> Result<bool> {
        match reader.next_i32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Error::invalid(format!("expected 0 or 1, found {other}"))),
        }
    }

    fn put(self, packed: &mut Packed) -> Result {
        packed.push_i32(self.into());
        Ok(())
    }
}

macro_rules! references {
    ($([$($generic:tt)*] $type:ty, $from:expr;)*) => {$(
        impl<$($generic)*> Element for $type {
            const LETTERS: &'static [&'static str] = &["r"];
            const ALIGN: usize = 8;

            fn take(reader: &mut Reader<'_>) -> Result<$type> {
                let reference = reader.next_ref()?;
                $from(reference)
            }

            fn put(self, packed: &mut Packed) -> Result {
                packed.push_ref(Ref::from(self));
                Ok(())
            }
        }
    )*};
}
references! {
    [] Ref, Ok;
    [T: Object] Arc<T>, Ref::into_cast;
    [T: Object] Option<Arc<T>>, or_null;
}

fn or_null<T: Object>(reference: Ref) -> Result<Option<Arc<T>>> {
    if reference.is_null() { Ok(None) } else { reference.into_cast().map(Some) }
}

/// All arguments of a function, as a tuple.
pub trait Arguments: Sized + Send + 'static {
    /// Tells their letters, one after another.
    fn letters(emit: &mut dyn FnMut(&'static str));

    /// Takes all of them.
    fn take(reader: &mut Reader<'_>) -> Result<Self>;

    /// Appends all of them, and the padding.
    fn put(self, packed: &mut Packed) -> Result;
}

/// What a function answers: nothing, one value, or a tuple.
pub trait Results: Sized + Send + 'static {
    /// Tells their letters, one after another.
    fn letters(emit: &mut dyn FnMut(&'static str));

    /// Takes all of them.
    fn take(reader: &mut Reader<'_>) -> Result<Self>;

    /// Appends all of them, and the padding.
    fn put(self, packed: &mut Packed) -> Result;
}

impl<T: Element + One> Results for T {
    fn letters(emit: &mut dyn FnMut(&'static str)) {
        T::LETTERS.iter().for_each(|letters| emit(letters));
    }

    #[inline]
    fn take(reader: &mut Reader<'_>) -> Result<T> {
        T::take(reader)
    }

    #[inline]
    fn put(self, packed: &mut Packed) -> Result {
        self.put(packed)?;
        packed.finish();
        Ok(())
    }
}

/// A result that is no tuple.
pub trait One {}
macro_rules! one {
    ($($type:ty),*) => { $(impl One for $type {})* };
}
one!(i32, u32, i64, u64, f32, f64, bool, Ref);
impl<T: Object> One for Arc<T> {}
impl<T: Object> One for Option<Arc<T>> {}

const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            fn letters(emit: &mut dyn FnMut(&'static str)) {
                $($name::letters(emit);)*
            }

            #[inline]
            fn take(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(($($name::take(reader)?,)*))
            }

            #[inline]
            fn put(self, packed: &mut Packed) -> Result {
                let ($($name,)*) = self;
                $($name.put(packed)?;)*
                packed.finish();
                Ok(())
            }
        }

        #[allow(non_snake_case, unused_variables)]
        impl<$($name: Element),*> Results for ($($name,)*) {
            fn letters(emit: &mut dyn FnMut(&'static str)) {
                $($name::LETTERS.iter().for_each(|letters| emit(letters));)*
            }

            #[inline]
            fn take(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(($(<$name as Element>::take(reader)?,)*))
            }

            #[inline]
            fn put(self, packed: &mut Packed) -> Result {
                let ($($name,)*) = self;
                $(Element::put($name, packed)?;)*
                packed.finish();
                Ok(())
            }
        }
    };
}

macro_rules! elements {
    ($($name:ident $index:tt)*) => {
        impl<$($name: Element + One),*> Element for ($($name,)*) {
            const LETTERS: &'static [&'static str] = &[$($name::LETTERS[0]),*];
            const ALIGN: usize = {
                let largest = 1;
                $(let largest = max(largest, $name::ALIGN);)*
                largest
            };

            fn take(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(($(<$name as Element>::take(reader)?,)*))
            }

            fn put(self, packed: &mut Packed) -> Result {
                $(Element::put(self.$index, packed)?;)*
                Ok(())
            }
        }
    };
}

tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
elements!(A 0 B 1);
elements!(A 0 B 1 C 2);
elements!(A 0 B 1 C 2 D 3);

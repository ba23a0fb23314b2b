//! `buffer`: bytes of a fixed length, as programs make and use them.

use std::sync::Arc;

use super::argument::{count, utf8};
use super::quota::Quota;
use crate::error::{Error, Result};
use crate::machine::work;
use crate::module::native::NativeModule;
use crate::value::{Access, Buffer};

type State = Arc<Quota>;

/// A copy of `length` bytes at `offset`.
fn part(quota: &Quota, buffer: &Buffer, offset: i64, length: i64, access: Access) -> Result<Arc<Buffer>> {
    let (offset, length) = (count(offset, "offset")?, many(length, "length")?);
    quota.make(length, || {
        let copy = buffer.copied(offset, length)?;
        if access == Access::ReadOnly {
            utf8(&copy, "a text")?;
        }
        Ok(Buffer::new(copy, access))
    })
}

/// As [`count`], of bytes that are worked through.
fn many(length: i64, what: &str) -> Result<usize> {
    count(length, what).inspect(|length| work::did(*length))
}

pub(super) fn module(quota: &Arc<Quota>) -> Result<Arc<NativeModule<State>>> {
    let quota = quota.clone();
    let mut builder = NativeModule::with_state("buffer", move || Ok(quota.clone()))
        .fork(|quota| Ok(quota.clone()))
        .function("create", |quota: &State, length: i64| {
            let length = many(length, "length")?;
            quota.make(length, || Buffer::zeroed(length))
        })
        .function("length", |_: &State, buffer: Arc<Buffer>| buffer.len() as i64)
        .function("fill", |_: &State, buffer: Arc<Buffer>, offset: i64, length: i64, value: i32| {
            let value = u8::try_from(value).map_err(|_| Error::invalid(format!("{value} is no byte")))?;
            buffer.fill(count(offset, "offset")?, many(length, "length")?, value)
        })
        .function("copy", |_: &State, to: Arc<Buffer>, at: i64, from: Arc<Buffer>, offset: i64, length: i64| {
            to.copy(count(at, "offset")?, &from, count(offset, "offset")?, many(length, "length")?)
        })
        .function("is_equal", |_: &State, one: Arc<Buffer>, at: i64, two: Arc<Buffer>, offset: i64, length: i64| {
            one.is_equal(count(at, "offset")?, &two, count(offset, "offset")?, many(length, "length")?)
        })
        .function("read", |_: &State, buffer: Arc<Buffer>, offset: i64, target: Arc<Buffer>| {
            let length = target.len();
            work::did(length);
            target.copy(0, &buffer, count(offset, "offset")?, length)
        })
        .function("write", |_: &State, buffer: Arc<Buffer>, offset: i64, source: Arc<Buffer>| {
            let length = source.len();
            work::did(length);
            buffer.copy(count(offset, "offset")?, &source, 0, length)
        })
        .function("slice", |quota: &State, buffer: Arc<Buffer>, offset: i64, length: i64| {
            part(quota, &buffer, offset, length, Access::Mutable)
        })
        .function("text", |quota: &State, buffer: Arc<Buffer>, offset: i64, length: i64| {
            part(quota, &buffer, offset, length, Access::ReadOnly)
        });
    // Numbers stand in a buffer with their least byte first, wherever.
    macro_rules! numbers {
        ($($stored:ty as $type:ty, $get:literal, $set:literal;)*) => {$(
            builder = builder
                .function($get, |_: &State, buffer: Arc<Buffer>, offset: i64| {
                    let mut bytes = [0; size_of::<$stored>()];
                    buffer.read(count(offset, "offset")?, &mut bytes)?;
                    Ok::<_, Error>(<$stored>::from_le_bytes(bytes) as $type)
                })
                .function($set, |_: &State, buffer: Arc<Buffer>, offset: i64, value: $type| {
                    let stored = value as $stored;
                    // Of a float's own bits nothing is lost; an integer's must be there.
                    if stored as $type != value && size_of::<$stored>() < size_of::<$type>() {
                        let message = format!("{value} does not fit into {} bytes", size_of::<$stored>());
                        return Err(Error::new(proact::status::Code::OutOfRange, message));
                    }
                    buffer.write(count(offset, "offset")?, &stored.to_le_bytes())
                });
        )*};
    }
    numbers! {
        u8 as i32, "get_u8", "set_u8";
        u16 as i32, "get_u16", "set_u16";
        i32 as i32, "get_i32", "set_i32";
        i64 as i64, "get_i64", "set_i64";
        f32 as f32, "get_f32", "set_f32";
        f64 as f64, "get_f64", "set_f64";
    }
    builder.build()
}

//! What programs pass as numbers and bytes, read as what it stands for.

use proact::time::Time;

use crate::error::{Error, Result};
use crate::value::Buffer;

/// Longest path, address or other words that programs pass, in bytes.
const TEXT_MAX: usize = 1 << 16;

/// The words in a buffer: UTF-8, not beyond measure.
pub(super) fn text(buffer: &Buffer, what: &str) -> Result<String> {
    buffer.read_with(|bytes| {
        if bytes.len() > TEXT_MAX {
            return Err(Error::invalid(format!("{what} of {} bytes, of {TEXT_MAX} at most", bytes.len())));
        }
        utf8(bytes, what).map(str::to_owned)
    })
}

pub(super) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid(format!("{what} is not UTF-8 at byte {}", error.valid_up_to())))
}

/// A count, size or place: not negative.
pub(super) fn count(value: i64, what: &str) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::invalid(format!("{what} {value}")))
}

/// As [`count`], of 64 bits.
pub(super) fn wide(value: i64, what: &str) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::invalid(format!("{what} {value}")))
}

/// A time on the call's clock; a negative one means never.
pub(super) fn deadline(nanoseconds: i64) -> Option<Time> {
    u64::try_from(nanoseconds).ok().map(Time::from_nanoseconds)
}

/// 64 bits as programs have them: what does not fit is the largest.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

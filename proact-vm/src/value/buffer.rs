//! Bytes of a fixed length that programs and host share.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use proact::status::Code;

use super::Object;
use crate::error::{Error, Result};

/// Who may write a [`Buffer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everyone who has a reference.
    Mutable,
    /// No one: it holds what it was made with.
    ReadOnly,
}

/// Bytes of a fixed length. Each call is whole: another thread sees its bytes as they were before or after.
///
/// Ranges past the end are `OUT_OF_RANGE`, writes to a read-only buffer `PERMISSION_DENIED`, and copies that there is
/// no memory for `RESOURCE_EXHAUSTED`.
///
/// ```
/// use proact_vm::Buffer;
///
/// let buffer = Buffer::zeroed(4)?;
/// buffer.write(1, b"ab")?;
/// assert_eq!(buffer.to_vec(), [0, b'a', b'b', 0]);
/// assert!(buffer.write(3, b"ab").is_err());
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub struct Buffer {
    access: Access,
    bytes: RwLock<Box<[u8]>>,
}

impl Buffer {
    /// A buffer of zeroes that may be written; `RESOURCE_EXHAUSTED` where there is no memory for it.
    pub fn zeroed(length: usize) -> Result<Buffer> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Error::new(Code::ResourceExhausted, format!("a buffer of {length} bytes")))?;
        bytes.resize(length, 0);
        Ok(Buffer::new(bytes, Access::Mutable))
    }

    /// A buffer of these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>, access: Access) -> Buffer {
        Buffer { access, bytes: RwLock::new(bytes.into()) }
    }

    /// Who may write it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.read_with(<[u8]>::len)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lends the bytes to `look`, while no one writes them.
    pub fn read_with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.bytes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lends the bytes to `change`, while no one reads them.
    pub fn write_with<R>(&self, change: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        if self.access == Access::ReadOnly {
            return Err(Error::new(Code::PermissionDenied, "the buffer is read-only"));
        }
        Ok(change(&mut self.bytes.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Copies the bytes at `offset` to `target`.
    pub fn read(&self, offset: usize, target: &mut [u8]) -> Result {
        self.read_with(|bytes| {
            target.copy_from_slice(&bytes[range(offset, target.len(), bytes.len())?]);
            Ok(())
        })
    }

    /// Copies `source` to the bytes at `offset`.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result {
        self.write_with(|bytes| {
            let range = range(offset, source.len(), bytes.len())?;
            bytes[range].copy_from_slice(source);
            Ok(())
        })?
    }

    /// Sets `length` bytes at `offset` to `value`.
    pub fn fill(&self, offset: usize, length: usize, value: u8) -> Result {
        self.write_with(|bytes| {
            let range = range(offset, length, bytes.len())?;
            bytes[range].fill(value);
            Ok(())
        })?
    }

    /// Copies `length` bytes from `source` at `from` to `to`; ranges of one buffer may overlap.
    pub fn copy(&self, to: usize, source: &Buffer, from: usize, length: usize) -> Result {
        if std::ptr::eq(self, source) {
            return self.write_with(|bytes| {
                let from = range(from, length, bytes.len())?;
                range(to, length, bytes.len())?;
                bytes.copy_within(from, to);
                Ok(())
            })?;
        }
        // One lock at a time, so that two copies in opposite directions do not wait for each other.
        self.write(to, &source.copied(from, length)?)
    }

    /// Whether `length` bytes at `offset` are those of `other` at `at`.
    pub fn is_equal(&self, offset: usize, other: &Buffer, at: usize, length: usize) -> Result<bool> {
        let theirs = other.copied(at, length)?;
        self.read_with(|bytes| Ok(bytes[range(offset, length, bytes.len())?] == theirs[..]))
    }

    /// All bytes. What a program can make long is asked for by [`Buffer::try_to_vec`].
    pub fn to_vec(&self) -> Vec<u8> {
        self.read_with(<[u8]>::to_vec)
    }

    /// As [`Buffer::to_vec`]; `RESOURCE_EXHAUSTED` where there is no memory for them.
    pub fn try_to_vec(&self) -> Result<Vec<u8>> {
        self.read_with(copied)
    }

    /// A copy of `length` bytes at `offset`.
    pub(crate) fn copied(&self, offset: usize, length: usize) -> Result<Vec<u8>> {
        self.read_with(|bytes| copied(&bytes[range(offset, length, bytes.len())?]))
    }
}

/// A copy, for as many bytes as a program asks for.
pub(crate) fn copied(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    let exhausted = |_| Error::new(Code::ResourceExhausted, format!("a copy of {} bytes", bytes.len()));
    copy.try_reserve_exact(bytes.len()).map_err(exhausted)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

fn range(offset: usize, length: usize, of: usize) -> Result<std::ops::Range<usize>> {
    match offset.checked_add(length) {
        Some(end) if end <= of => Ok(offset..end),
        _ => Err(Error::new(Code::OutOfRange, format!("{length} bytes at {offset} of {of}"))),
    }
}

impl Object for Buffer {
    const TYPE_NAME: &'static str = "vm.buffer";
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("access", &self.access).field("len", &self.len()).finish()
    }
}

//! Little-endian fields, read within bounds.

use super::{Kind, WireError};

/// Takes fields off the front of a payload. Nothing it does can read past the end.
pub(super) struct Reader<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(kind: Kind, payload: &'a [u8]) -> Reader<'a> {
        Reader { kind, rest: payload }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated(self.kind))?;
        self.rest = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A length of 16 bits, then so many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::from(self.u16()?);
        let (field, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated(self.kind))?;
        self.rest = rest;
        Ok(field)
    }

    /// Everything must have been taken: bytes left over would be a second meaning of the same frame.
    pub(super) fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Truncated(self.kind)) }
    }

    /// The error for a field that cannot have the value that was read.
    pub(super) fn field(&self, field: &'static str) -> WireError {
        WireError::Field { kind: self.kind, field }
    }
}

/// Appends what [`Reader::bytes`] reads. The caller has bounded `bytes` far below 64 KiB.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("names and messages are bounded below 64 KiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

//! Little-endian fields, written and read within bounds.

use proact::causal::{Axis, Completeness, Domain, Frontier, Knowledge, Session};

use super::{Kind, MessageError};
use crate::remote::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};

/// Appends fields to a frame.
pub(super) struct Writer<'a> {
    pub(super) kind: Kind,
    pub(super) session: Session,
    pub(super) out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u128(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn machine(&mut self, machine: MachineId) {
        self.u8(machine.0);
    }

    /// A count of 16 bits, for what the caller then appends.
    pub(super) fn count(&mut self, count: usize, max: usize, field: &'static str) -> Result<(), MessageError> {
        match u16::try_from(count) {
            Ok(number) if count <= max => self.out.extend_from_slice(&number.to_le_bytes()),
            _ => return Err(MessageError::TooMany { kind: self.kind, field, count, max }),
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8], max: usize, field: &'static str) -> Result<(), MessageError> {
        self.count(bytes.len(), max, field)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str, max: usize, field: &'static str) -> Result<(), MessageError> {
        if text.chars().any(char::is_control) {
            return Err(MessageError::Field { kind: self.kind, field });
        }
        self.bytes(text.as_bytes(), max, field)
    }

    pub(super) fn point(&mut self, point: RemotePoint) {
        self.u64(point.semaphore.to_bits());
        self.u64(point.value);
    }

    /// An absent stage is all zeros: no stage has epoch 0.
    pub(super) fn stage(&mut self, stage: Option<StageId>) {
        self.u64(stage.map_or(0, |stage| stage.axis.to_bits()));
        self.u64(stage.map_or(0, |stage| stage.epoch));
    }

    pub(super) fn set(&mut self, set: MachineSet) {
        set.to_words().into_iter().for_each(|word| self.u64(word));
    }

    pub(super) fn frontier(&mut self, frontier: &Frontier, complete: Completeness) -> Result<(), MessageError> {
        let at = self.out.len();
        self.out.resize(at + Session::encoded_length(frontier.len()), 0);
        let encoded = self.session.encode(frontier, complete, &mut self.out[at..]);
        encoded.map(|_| ()).map_err(|error| MessageError::Frontier { kind: self.kind, error })
    }
}

/// Takes fields off the front of a payload. Nothing it does can read past the end, and it makes no room for more than
/// the bound that each call names.
pub(super) struct Reader<'a> {
    kind: Kind,
    session: Session,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(kind: Kind, session: Session, payload: &'a [u8]) -> Reader<'a> {
        Reader { kind, session, rest: payload }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(MessageError::Truncated { kind: self.kind })?;
        self.rest = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, MessageError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn machine(&mut self) -> Result<MachineId, MessageError> {
        self.u8().map(MachineId)
    }

    pub(super) fn count(&mut self, max: usize, field: &'static str) -> Result<usize, MessageError> {
        let count = usize::from(u16::from_le_bytes(self.array()?));
        if count > max {
            return Err(MessageError::TooMany { kind: self.kind, field, count, max });
        }
        Ok(count)
    }

    pub(super) fn bytes(&mut self, max: usize, field: &'static str) -> Result<&'a [u8], MessageError> {
        let length = self.count(max, field)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(MessageError::Truncated { kind: self.kind })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Text that a terminal may be shown: UTF-8 without control characters.
    pub(super) fn text(&mut self, max: usize, field: &'static str) -> Result<String, MessageError> {
        let bytes = self.bytes(max, field)?;
        let text = core::str::from_utf8(bytes).map_err(|_| self.wrong(field))?;
        if text.chars().any(char::is_control) {
            return Err(self.wrong(field));
        }
        Ok(text.into())
    }

    pub(super) fn point(&mut self) -> Result<RemotePoint, MessageError> {
        let point = RemotePoint::new(SemaphoreName::from_bits(self.u64()?), self.u64()?);
        if point.is_valid() { Ok(point) } else { Err(self.wrong("value")) }
    }

    pub(super) fn stage(&mut self) -> Result<StageId, MessageError> {
        self.stage_if_any()?.ok_or(self.wrong("stage"))
    }

    pub(super) fn stage_if_any(&mut self) -> Result<Option<StageId>, MessageError> {
        let (bits, epoch) = (self.u64()?, self.u64()?);
        if bits == 0 && epoch == 0 {
            return Ok(None);
        }
        let axis = Axis::from_bits(bits).filter(|axis| {
            // The queue's number and its device, and nothing beside them.
            let (Some(device), Some(queue)) = (axis.device(), axis.queue_number()) else { return false };
            axis.domain() == Domain::Queue && Axis::queue(self.session.epoch(), axis.machine(), device, queue) == *axis
        });
        match axis {
            Some(axis) if epoch > 0 => Ok(Some(StageId { axis, epoch })),
            _ => Err(self.wrong("stage")),
        }
    }

    pub(super) fn set(&mut self) -> Result<MachineSet, MessageError> {
        Ok(MachineSet::from_words([self.u64()?, self.u64()?, self.u64()?, self.u64()?]))
    }

    pub(super) fn frontier(&mut self) -> Result<Knowledge, MessageError> {
        let decoded = self.session.decode(self.rest);
        let (knowledge, taken) = decoded.map_err(|error| MessageError::Frontier { kind: self.kind, error })?;
        self.rest = &self.rest[taken..];
        Ok(knowledge)
    }

    /// Everything must have been taken: bytes left over would be a second meaning of the same message.
    pub(super) fn finish(self) -> Result<(), MessageError> {
        if self.rest.is_empty() { Ok(()) } else { Err(MessageError::Trailing { kind: self.kind }) }
    }

    /// The error for a field that cannot have the value that was read.
    pub(super) fn wrong(&self, field: &'static str) -> MessageError {
        MessageError::Field { kind: self.kind, field }
    }
}

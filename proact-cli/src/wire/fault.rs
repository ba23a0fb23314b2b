//! Failures as one side tells them to the other.

use std::fmt;

use super::codec::{Reader, put_bytes};
use super::{Kind, WireError};
use crate::exit::{Exit, Failure};
use crate::path::write_harmless;

/// Most bytes of a message on the wire.
pub const MESSAGE_MAX: usize = 1024;

/// What kind of failure: enough for the other side to choose its exit code. The numbers are the wire's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FaultKind {
    /// None of the others.
    Other = 1,
    /// The sender's files: missing, unreadable, changed while read.
    Source = 2,
    /// The receiver's files: not writable, disk full.
    Destination = 3,
    /// The receiver has a file of that name.
    Exists = 4,
    /// A digest differs.
    Corrupted = 5,
    /// A frame broke the protocol or a limit.
    Protocol = 6,
    /// The connection was silent for too long.
    TimedOut = 7,
    /// The user interrupted it.
    Interrupted = 8,
}

impl FaultKind {
    /// A number that a later version may have added means [`FaultKind::Other`]: its message still helps.
    fn from_wire(number: u8) -> FaultKind {
        match number {
            2 => FaultKind::Source,
            3 => FaultKind::Destination,
            4 => FaultKind::Exists,
            5 => FaultKind::Corrupted,
            6 => FaultKind::Protocol,
            7 => FaultKind::TimedOut,
            8 => FaultKind::Interrupted,
            _ => FaultKind::Other,
        }
    }

    /// The exit code of a program that is told so by its peer. A peer's interruption is not this program's own.
    pub fn exit(self) -> Exit {
        match self {
            FaultKind::Other => Exit::Failed,
            FaultKind::Source => Exit::Source,
            FaultKind::Destination | FaultKind::Exists => Exit::Destination,
            FaultKind::Corrupted => Exit::Corrupted,
            FaultKind::Protocol | FaultKind::TimedOut | FaultKind::Interrupted => Exit::Network,
        }
    }
}

/// A failure told over the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What to show: at most [`MESSAGE_MAX`] bytes on the wire, cut there when it is longer.
    pub message: String,
}

impl Fault {
    /// A fault with what to show.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into() }
    }

    /// The failure of this program that a peer's fault means. `peer` says whose word it is.
    pub fn into_failure(self, peer: impl fmt::Display) -> Failure {
        Failure::new(self.kind.exit(), format!("{peer}: {}", self.message))
    }

    /// Writes an absent fault as the single byte 0, a present one as its kind and its message.
    pub(super) fn encode(fault: Option<&Fault>, out: &mut Vec<u8>) {
        let Some(fault) = fault else { return out.push(0) };
        out.push(fault.kind as u8);
        let mut end = fault.message.len().min(MESSAGE_MAX);
        while !fault.message.is_char_boundary(end) {
            end -= 1;
        }
        put_bytes(out, &fault.message.as_bytes()[..end]);
    }

    /// Reads what [`Fault::encode`] wrote. The message is made harmless to a terminal.
    pub(super) fn decode(kind: Kind, reader: &mut Reader<'_>) -> Result<Option<Fault>, WireError> {
        let number = reader.u8()?;
        if number == 0 {
            return Ok(None);
        }
        let bytes = reader.bytes()?;
        if bytes.len() > MESSAGE_MAX {
            let (value, limit) = (bytes.len() as u64, MESSAGE_MAX as u64);
            return Err(WireError::Limit { what: "bytes of a message", value, limit });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| WireError::Field { kind, field: "message" })?;
        let mut message = String::with_capacity(text.len());
        // Writing to a string cannot fail.
        let _ = write_harmless(&mut message, text);
        Ok(Some(Fault { kind: FaultKind::from_wire(number), message }))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<&WireError> for Fault {
    fn from(error: &WireError) -> Fault {
        let kind = if error.is_corruption() { FaultKind::Corrupted } else { FaultKind::Protocol };
        Fault::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(fault: Option<&Fault>) -> Result<Option<Fault>, WireError> {
        let mut bytes = Vec::new();
        Fault::encode(fault, &mut bytes);
        let mut reader = Reader::new(Kind::Abort, &bytes);
        let back = Fault::decode(Kind::Abort, &mut reader)?;
        reader.finish()?;
        Ok(back)
    }

    #[test]
    fn every_kind_of_fault_survives_the_wire() {
        assert_eq!(round_trip(None), Ok(None));
        for kind in [
            FaultKind::Other,
            FaultKind::Source,
            FaultKind::Destination,
            FaultKind::Exists,
            FaultKind::Corrupted,
            FaultKind::Protocol,
            FaultKind::TimedOut,
            FaultKind::Interrupted,
        ] {
            let fault = Fault::new(kind, "a/b: exists already");
            assert_eq!(round_trip(Some(&fault)), Ok(Some(fault)));
            assert_ne!(kind.exit(), Exit::Ok);
            assert_ne!(kind.exit(), Exit::Interrupted);
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let fault = Fault::new(FaultKind::Other, "é".repeat(MESSAGE_MAX));
        let back = round_trip(Some(&fault)).unwrap().unwrap();
        assert_eq!(back.message, "é".repeat(MESSAGE_MAX / 2));
        let fault = Fault::new(FaultKind::Other, format!("x{}", "é".repeat(MESSAGE_MAX)));
        assert_eq!(round_trip(Some(&fault)).unwrap().unwrap().message.len(), MESSAGE_MAX - 1);
    }

    #[test]
    fn a_message_from_a_peer_cannot_steer_the_terminal() {
        let fault = Fault::new(FaultKind::Other, "\u{1b}]0;owned\u{7}");
        assert_eq!(round_trip(Some(&fault)).unwrap().unwrap().message, "\\u{1b}]0;owned\\u{7}");
    }

    #[test]
    fn unknown_kinds_of_fault_keep_their_message() {
        let mut bytes = vec![200];
        put_bytes(&mut bytes, b"new");
        let fault = Fault::decode(Kind::Abort, &mut Reader::new(Kind::Abort, &bytes)).unwrap().unwrap();
        assert_eq!(fault, Fault::new(FaultKind::Other, "new"));
    }

    #[test]
    fn a_message_that_is_too_long_or_no_text_is_refused() {
        let mut bytes = vec![1];
        put_bytes(&mut bytes, &[b'x'; MESSAGE_MAX + 1]);
        let error = Fault::decode(Kind::Abort, &mut Reader::new(Kind::Abort, &bytes)).unwrap_err();
        assert!(matches!(error, WireError::Limit { value: 1025, limit: 1024, .. }), "{error:?}");
        let mut bytes = vec![1];
        put_bytes(&mut bytes, b"\xff");
        let error = Fault::decode(Kind::Abort, &mut Reader::new(Kind::Abort, &bytes)).unwrap_err();
        assert_eq!(error, WireError::Field { kind: Kind::Abort, field: "message" });
    }

    #[test]
    fn corruption_is_told_apart_from_a_broken_protocol() {
        assert_eq!(Fault::from(&WireError::HeaderCheck).kind, FaultKind::Corrupted);
        assert_eq!(Fault::from(&WireError::Magic).kind, FaultKind::Protocol);
    }
}

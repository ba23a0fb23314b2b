//! What the machines of a session say to each other, and its bytes.
//!
//! A message is a head of eight bytes and a payload. All numbers are little-endian, and nothing is aligned.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 3 | the payload's length, at most what [`Kind::payload_max`] says |
//! | 4 | version: 1 |
//! | 5 | [`Kind`] |
//! | 6, 7 | zero |
//!
//! There is no checksum: TCP has one, as have the links below it, and what is left over is refused where it breaks a
//! rule. A session over something weaker than TCP has to bring its own.

use core::fmt;

use proact::causal::{Session, WireError};

mod fields;
mod message;
#[cfg(test)]
mod tests;

pub(super) use message::bounded_text;
pub use message::{
    Arrival, DEVICES_MAX, FAILURE_TEXT_MAX, Failed, Failure, FailureKind, Hello, Join, Member, Message, NAME_MAX,
    PAYLOAD_MAX, SIGNALS_MAX, SessionSignal, Stage, StageSignal, StageWait, WAITS_MAX, Welcome,
};

/// The version of the messages that this library speaks.
pub const VERSION: u8 = 1;

/// Bytes before a message's payload.
pub const HEAD: usize = 8;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $max:expr;)*) => {
        /// What a message is about. The numbers are the wire's.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The most bytes of a payload of this kind.
            pub const fn payload_max(self) -> usize {
                match self {
                    $(Kind::$name => $max,)*
                }
            }
        }
    };
}

/// A name with its length.
const NAME: usize = 2 + NAME_MAX;
/// A failure: kind, machine, stage, text.
const FAILURE: usize = 2 + 16 + 2 + FAILURE_TEXT_MAX;

kinds! {
    /// A machine asks the coordinator to be let in.
    Join = 1, 2 * NAME + 2 + DEVICES_MAX * NAME;
    /// The coordinator lets it in.
    Welcome = 2, 16 + 3 + 8;
    /// The coordinator does not let it in, or no longer.
    Unwelcome = 3, 2 + FAILURE_TEXT_MAX;
    /// The coordinator tells of a member.
    Member = 4, 1 + 2 * NAME + 2 + DEVICES_MAX * NAME;
    /// A member says that it is alive.
    Renew = 5, 8;
    /// The coordinator has heard it.
    Renewed = 6, 8;
    /// The coordinator tells that a member is out of the session for good.
    Lost = 7, 1 + 2 + FAILURE_TEXT_MAX;
    /// A member cannot reach another one.
    Unreachable = 8, 1 + 2 + FAILURE_TEXT_MAX;
    /// A member leaves.
    Leave = 9, 0;
    /// The first message between two members.
    Hello = 10, 16 + 3;
    /// A client submits a stage.
    Stage = 11, 16 + 2 + WAITS_MAX * 33 + 2 + SIGNALS_MAX * 48 + 2 + PAYLOAD_MAX;
    /// A stage was refused.
    Refused = 12, 16 + FAILURE;
    /// A semaphore was signalled.
    Signal = 13, 16 + 16 + 2 * Session::ENCODED_MAX;
    /// A semaphore has failed.
    Failed = 14, 16 + FAILURE;
    /// A machine asks to be told of a point.
    Watch = 15, 16 + 16;
}

impl Kind {
    /// The most bytes that a message of any kind has, its head included.
    pub const MESSAGE_MAX: usize = HEAD + {
        let (mut max, mut index) = (0, 0);
        while index < Kind::ALL.len() {
            let this = Kind::ALL[index].payload_max();
            max = if this > max { this } else { max };
            index += 1;
        }
        max
    };

    fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|&kind| kind as u8 == number)
    }
}

/// The head of a message: what is needed to take it from a stream of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// What it is about.
    pub kind: Kind,
    /// Bytes of its payload; at most [`Kind::payload_max`].
    pub length: usize,
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// [`MessageError::UnknownVersion`], [`MessageError::UnknownKind`], [`MessageError::NotZero`],
    /// [`MessageError::TooLong`]. After any of them nothing can be told of the bytes that follow.
    pub fn decode(bytes: &[u8; HEAD]) -> Result<Head, MessageError> {
        let [l0, l1, l2, l3, version, kind, zero @ ..] = *bytes;
        if version != VERSION {
            return Err(MessageError::UnknownVersion { version });
        }
        let kind = Kind::from_number(kind).ok_or(MessageError::UnknownKind { kind })?;
        if zero != [0; 2] {
            return Err(MessageError::NotZero { kind });
        }
        let (length, max) = (u32::from_le_bytes([l0, l1, l2, l3]), kind.payload_max());
        match usize::try_from(length) {
            Ok(length) if length <= max => Ok(Head { kind, length }),
            _ => Err(MessageError::TooLong { kind, length: length.into(), max }),
        }
    }
}

/// Why bytes are no message, or a message cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MessageError {
    /// Another version.
    UnknownVersion {
        /// Which.
        version: u8,
    },
    /// No kind that this version knows.
    UnknownKind {
        /// Its number.
        kind: u8,
    },
    /// A byte that must be zero is not.
    NotZero {
        /// Of which message.
        kind: Kind,
    },
    /// The payload would be longer than any of its kind is.
    TooLong {
        /// Of which message.
        kind: Kind,
        /// What it says.
        length: u64,
        /// What it may be.
        max: usize,
    },
    /// It ends too early.
    Truncated {
        /// Of which message.
        kind: Kind,
    },
    /// It goes on after its end.
    Trailing {
        /// Of which message.
        kind: Kind,
    },
    /// More of something than there may be.
    TooMany {
        /// Of which message.
        kind: Kind,
        /// Of what.
        field: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A field that cannot have this value.
    Field {
        /// Of which message.
        kind: Kind,
        /// Which.
        field: &'static str,
    },
    /// What is known of causes does not decode, or may not be told here.
    Frontier {
        /// Of which message.
        kind: Kind,
        /// Why.
        error: WireError,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::UnknownVersion { version } => {
                write!(f, "a message of version {version}, and only {VERSION} is known")
            }
            MessageError::UnknownKind { kind } => write!(f, "a message of kind {kind}, which is not known"),
            MessageError::NotZero { kind } => write!(f, "{kind:?}: a byte of its head is not zero"),
            MessageError::TooLong { kind, length, max } => {
                write!(f, "{kind:?}: {length} bytes, and there are at most {max}")
            }
            MessageError::Truncated { kind } => write!(f, "{kind:?}: it ends too early"),
            MessageError::Trailing { kind } => write!(f, "{kind:?}: it goes on after its end"),
            MessageError::TooMany { kind, field, count, max } => {
                write!(f, "{kind:?}: {count} {field}, and there are at most {max}")
            }
            MessageError::Field { kind, field } => write!(f, "{kind:?}: its {field} cannot be"),
            MessageError::Frontier { kind, error } => write!(f, "{kind:?}: {error}"),
        }
    }
}

impl core::error::Error for MessageError {}

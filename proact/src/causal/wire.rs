//! What is known of causes as bytes, for another process or machine.
//!
//! All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version: 1 |
//! | 1 | completeness: 0 exact, 1 lower bound |
//! | 2 | entries |
//! | 3 to 7 | zero |
//! | 8 to 23 | the session's 128-bit id |
//! | 16 each | axis, epoch: ascending by axis, epochs of at least 1 |
//!
//! The 8 session bits of an axis tell apart sessions that follow one another on the same machines. They do not tell
//! apart strangers, so the whole id goes along, once a message, and a message of another session is refused.

use core::fmt;

use super::{Axis, Completeness, Domain, Entry, Frontier, FrontierError, Knowledge};

#[cfg(test)]
mod tests;

const VERSION: u8 = 1;
const HEAD: usize = 24;
const EACH: usize = 16;

/// One run of a distributed system: a 128-bit id that no other run has, and the 8 bits that stand for it in each
/// [`Axis`]. Encodes and decodes what its members tell each other.
///
/// ```
/// use proact::causal::{Axis, Completeness, Frontier, Session};
///
/// let session = Session::new(0x6f1d_8a3c_0b52_4e97_a1c0_55d2_93fe_1b44, 7);
/// let frontier = Frontier::single(Axis::queue(session.epoch(), 0, 2, 0), 41)?;
/// let mut bytes = [0; Session::ENCODED_MAX];
/// let length = session.encode(&frontier, Completeness::Exact, &mut bytes)?;
/// assert_eq!(length, 40);
///
/// let (known, taken) = session.decode(&bytes[..length])?;
/// assert_eq!((known.requirement(), taken), (Some(&frontier), length));
/// assert!(Session::new(1, 7).decode(&bytes[..length]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Session {
    id: u128,
    epoch: u8,
}

/// Why bytes tell nothing of causes, or why what is known cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end too early.
    Truncated {
        /// How many are needed, as far as can be told.
        needed: usize,
        /// How many there are.
        have: usize,
    },
    /// Another version of the form.
    UnknownVersion {
        /// Which.
        version: u8,
    },
    /// Neither exact nor a lower bound.
    UnknownCompleteness {
        /// What it says.
        completeness: u8,
    },
    /// A byte that must be zero is not.
    NotZero {
        /// Which byte.
        at: usize,
    },
    /// It was said in another session.
    ForeignSession {
        /// Which.
        id: u128,
    },
    /// The axis of this entry belongs to another session than the rest.
    ForeignAxis {
        /// Which entry.
        index: usize,
        /// The session bits of its axis.
        epoch: u8,
    },
    /// The axis of this entry is of a [`Domain`](super::Domain) that this version does not know.
    UnknownDomain {
        /// Which entry.
        index: usize,
        /// The domain's number.
        domain: u8,
    },
    /// The entries make no frontier.
    Frontier(FrontierError),
    /// The encoded form does not fit.
    NoRoom {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        have: usize,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Truncated { needed, have } => write!(f, "{have} bytes where {needed} are needed"),
            WireError::UnknownVersion { version } => write!(f, "version {version}, and only {VERSION} is known"),
            WireError::UnknownCompleteness { completeness } => {
                write!(f, "completeness {completeness}, and only 0 and 1 are known")
            }
            WireError::NotZero { at } => write!(f, "byte {at} is not zero"),
            WireError::ForeignSession { id } => write!(f, "it was said in session {id:032x}"),
            WireError::ForeignAxis { index, epoch } => write!(f, "the axis of entry {index} is of session {epoch}"),
            WireError::UnknownDomain { index, domain } => {
                write!(f, "the axis of entry {index} is of domain {domain}, which is not known")
            }
            WireError::Frontier(error) => write!(f, "{error}"),
            WireError::NoRoom { needed, have } => write!(f, "{needed} bytes do not fit into {have}"),
        }
    }
}

impl core::error::Error for WireError {}

impl From<FrontierError> for WireError {
    fn from(error: FrontierError) -> WireError {
        WireError::Frontier(error)
    }
}

impl Session {
    /// The most bytes that an encoded form takes: that of [`Frontier::ENTRIES_MAX`] entries.
    pub const ENCODED_MAX: usize = HEAD + Frontier::ENTRIES_MAX * EACH;

    /// The session with this id, whose axes have `epoch` as their session bits.
    pub const fn new(id: u128, epoch: u8) -> Session {
        Session { id, epoch }
    }

    /// The 128-bit id.
    pub const fn id(&self) -> u128 {
        self.id
    }

    /// The 8 bits that stand for it in an [`Axis`].
    pub const fn epoch(&self) -> u8 {
        self.epoch
    }

    /// How many bytes a frontier of so many entries takes.
    pub const fn encoded_length(entries: usize) -> usize {
        HEAD + entries * EACH
    }

    /// Writes what is known to the front of `out`. Answers how many bytes that took; nothing is written on an error.
    ///
    /// # Errors
    /// [`WireError::ForeignAxis`] for an axis of another session, [`WireError::NoRoom`].
    pub fn encode(&self, frontier: &Frontier, completeness: Completeness, out: &mut [u8]) -> Result<usize, WireError> {
        let entries = frontier.entries();
        let needed = Session::encoded_length(entries.len());
        if let Some(index) = entries.iter().position(|entry| entry.axis.session() != self.epoch) {
            return Err(WireError::ForeignAxis { index, epoch: entries[index].axis.session() });
        }
        let have = out.len();
        let out = out.get_mut(..needed).ok_or(WireError::NoRoom { needed, have })?;
        let (head, body) = out.split_at_mut(HEAD);
        head.fill(0);
        head[0] = VERSION;
        head[1] = match completeness {
            Completeness::Exact => 0,
            Completeness::LowerBound => 1,
        };
        // A frontier has at most 255.
        head[2] = entries.len() as u8;
        head[8..].copy_from_slice(&self.id.to_le_bytes());
        for (place, entry) in body.chunks_exact_mut(EACH).zip(entries) {
            place[..8].copy_from_slice(&entry.axis.to_bits().to_le_bytes());
            place[8..].copy_from_slice(&entry.epoch.to_le_bytes());
        }
        Ok(needed)
    }

    /// Reads what another member of the session has encoded, from the front of `bytes`. Answers also how many bytes
    /// that were; what follows is not looked at. Any bytes may come: nothing is allocated before they were found long
    /// enough, and then no more than a frontier's [`Frontier::ENTRIES_MAX`] entries take.
    ///
    /// # Errors
    /// Every [`WireError`] but [`WireError::NoRoom`]. [`WireError::Truncated`] says how many bytes to come back with.
    pub fn decode(&self, bytes: &[u8]) -> Result<(Knowledge, usize), WireError> {
        let mut known = Knowledge::exact(Frontier::new());
        let taken = self.decode_into(bytes, &mut known)?;
        Ok((known, taken))
    }

    /// As [`Session::decode`], into what was used before: its storage is used again. On an error it is as it was.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub fn decode_into(&self, bytes: &[u8], known: &mut Knowledge) -> Result<usize, WireError> {
        let (completeness, entries) = self.split(bytes)?;
        let mut before = None;
        for (index, place) in entries.chunks_exact(EACH).enumerate() {
            let entry = self.entry(index, place)?;
            if before >= Some(entry.axis) {
                return Err(FrontierError::NotAscending { index }.into());
            }
            if entry.epoch == 0 {
                return Err(FrontierError::ZeroEpoch { index }.into());
            }
            before = Some(entry.axis);
        }
        // All of it is valid: from here nothing fails.
        let decoded = entries.chunks_exact(EACH).enumerate().filter_map(|(index, place)| self.entry(index, place).ok());
        known.frontier.refill(entries.len() / EACH, decoded);
        known.completeness = completeness;
        Ok(HEAD + entries.len())
    }

    /// Checks the head. Answers the entries' bytes.
    fn split<'a>(&self, bytes: &'a [u8]) -> Result<(Completeness, &'a [u8]), WireError> {
        let truncated = |needed| WireError::Truncated { needed, have: bytes.len() };
        // Asked first: a later version may have another head.
        let &version = bytes.first().ok_or(truncated(HEAD))?;
        if version != VERSION {
            return Err(WireError::UnknownVersion { version });
        }
        let (head, body) = bytes.split_first_chunk::<HEAD>().ok_or(truncated(HEAD))?;
        let completeness = match head[1] {
            0 => Completeness::Exact,
            1 => Completeness::LowerBound,
            completeness => return Err(WireError::UnknownCompleteness { completeness }),
        };
        if let Some(at) = (3..8).find(|&at| head[at] != 0) {
            return Err(WireError::NotZero { at });
        }
        let id = u128::from_le_bytes(head[8..].try_into().expect("16 bytes"));
        if id != self.id {
            return Err(WireError::ForeignSession { id });
        }
        let length = usize::from(head[2]) * EACH;
        Ok((completeness, body.get(..length).ok_or(truncated(HEAD + length))?))
    }

    /// The entry in these [`EACH`] bytes.
    fn entry(&self, index: usize, place: &[u8]) -> Result<Entry, WireError> {
        let number = |at: usize| u64::from_le_bytes(place[at..at + 8].try_into().expect("8 bytes"));
        let bits = number(0);
        let axis = Axis::from_bits(bits).ok_or(WireError::UnknownDomain { index, domain: Domain::number_in(bits) })?;
        if axis.session() != self.epoch {
            return Err(WireError::ForeignAxis { index, epoch: axis.session() });
        }
        Ok(Entry::new(axis, number(8)))
    }
}

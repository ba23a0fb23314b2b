//! Messages between machines, as recordings tell of them.

use serde::{Deserialize, Serialize};

use super::{Entries, json};

/// What a message between two members of a session is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// Who sends on this connection.
    Hello,
    /// A stage is submitted.
    Stage,
    /// A stage was refused.
    Refused,
    /// A value was reached.
    Signal,
    /// A value will not be reached.
    Failed,
    /// Its sender wants to be told of a value.
    Watch,
}

impl MessageKind {
    /// As it stands in a recording.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Hello => "hello",
            MessageKind::Stage => "stage",
            MessageKind::Refused => "refused",
            MessageKind::Signal => "signal",
            MessageKind::Failed => "failed",
            MessageKind::Watch => "watch",
        }
    }
}

/// What a signal tells another machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// The semaphore's number, in the recording in which this stands.
    pub semaphore: u32,
    /// The value that it has reached.
    pub value: u64,
    /// The axis of the queue whose stage reached it.
    #[serde(with = "json::axis")]
    #[cfg_attr(test, schemars(with = "String", regex(pattern = "^0x[0-9a-f]{16}$")))]
    pub axis: u64,
    /// The stage's epoch there.
    pub epoch: u64,
    /// The frontier: what has ended when that stage has.
    #[serde(with = "json::known")]
    #[cfg_attr(test, schemars(with = "Vec<(String, u64)>"))]
    pub known: Entries,
    /// Whether that is all.
    pub exact: bool,
    /// Of an axis of the frontier, up to which epoch it is not said how they ended; all above, up to the entry, have
    /// ended well.
    #[serde(with = "json::known")]
    #[cfg_attr(test, schemars(with = "Vec<(String, u64)>"))]
    pub suspect: Entries,
}

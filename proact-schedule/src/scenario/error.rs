//! Why a file is no scenario, or a scenario cannot be had in a size.

use std::fmt::{self, Write};

/// Why a scenario was refused: the file, the operation where it is about one, and the rule that is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// The file, or the id of a scenario that comes with the library.
    pub file: String,
    /// The id of the operation that it is about; `None` if it is about none.
    pub operation: Option<String>,
    /// What is wrong.
    pub rule: Rule,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if let Some(operation) = &self.operation {
            write!(f, "operation {operation}: ")?;
        }
        // Names out of a file may be shown to a terminal, and must not speak to it.
        self.rule.to_string().chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

impl std::error::Error for ScenarioError {}

/// What is wrong with a scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// It is not JSON, or not what the schema says; with the line and column.
    Syntax(String),
    /// A version of the format that this program does not know.
    Version(u64),
    /// An id that is empty, or has characters that ids do not have.
    Id(String),
    /// Text with a control character, which a terminal would obey.
    Text(&'static str),
    /// There is none of what there must be at least one.
    Missing(&'static str),
    /// Two of a kind with one id.
    Twice {
        /// Of what kind.
        kind: &'static str,
        /// Their id.
        id: String,
    },
    /// A name that stands for nothing in the file.
    Unknown {
        /// What it should name.
        kind: &'static str,
        /// The name.
        id: String,
    },
    /// A number that is out of its bounds.
    Bounds {
        /// What number.
        what: String,
        /// The bounds, in words.
        bounds: &'static str,
    },
    /// Neither `duration` nor `bytes`, or both; or `bytes` on a lane without `bytes_per_tick`.
    Duration(&'static str),
    /// A wait that no signal ever satisfies.
    NobodySignals {
        /// What it waits for.
        semaphore: String,
        /// The value.
        value: u64,
        /// The largest value that is signalled; 0 if none is.
        largest: u64,
    },
    /// A value of a semaphore that two operations signal.
    SignalledTwice {
        /// The semaphore.
        semaphore: String,
        /// The value.
        value: u64,
        /// The other operation.
        other: String,
    },
    /// A value whose operation could run before that of the value below: a timeline would have to fall.
    Unordered {
        /// The semaphore.
        semaphore: String,
        /// The value that the operation signals.
        value: u64,
        /// The value below.
        below: u64,
        /// The operation that signals it.
        other: String,
    },
    /// Operations that wait for each other in a circle.
    Cycle(Vec<String>),
    /// An operation whose past has more semaphores than a frontier holds.
    Frontier {
        /// How many there would be.
        entries: usize,
        /// How many there may be.
        capacity: usize,
    },
    /// A buffer that is taken or freed twice, or freed by an operation that does not follow the one that takes it; or
    /// buffers that do not fit from the start.
    Buffer(String),
    /// More bytes may be kept in a memory than fit: what the operation takes, and what nobody is known to have freed
    /// when it starts.
    MemoryFull {
        /// The memory.
        memory: String,
        /// How many bytes may be kept at most.
        bytes: u128,
        /// How many fit.
        capacity: u64,
    },
    /// The chain of iterations names what is not there.
    Chain(String),
    /// What an annotation claims is not so.
    Claim {
        /// Which annotation, from 0.
        annotation: usize,
        /// What is so, and what was claimed.
        what: String,
    },
    /// More iterations were asked for, and the scenario does not say how they are chained.
    NoDepth,
    /// Another number of lanes was asked for, and no class of hardware is scalable.
    NoLanes,
    /// So many copies that there are more operations than one run may have.
    TooLarge {
        /// How many there would be.
        operations: u128,
        /// How many there may be.
        most: usize,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Syntax(why) => f.write_str(why),
            Rule::Version(version) => {
                write!(f, "version {version} of the format is not known; this program reads version {}", super::VERSION)
            }
            Rule::Id(id) => write!(f, "{id:?} is no id: letters, digits, '-' and '_' are, at least one"),
            Rule::Text(kind) => write!(f, "a {kind} has a control character, such as the end of a line"),
            Rule::Missing(kind) => write!(f, "there must be at least one {kind}"),
            Rule::Twice { kind, id } => write!(f, "there are two of the {kind} {id}"),
            Rule::Unknown { kind, id } => write!(f, "there is no {kind} {id}"),
            Rule::Bounds { what, bounds } => write!(f, "{what}: {bounds}"),
            Rule::Duration(why) => f.write_str(why),
            Rule::NobodySignals { semaphore, value, largest: 0 } => {
                write!(f, "waits for {semaphore} to reach {value}, and nobody signals {semaphore}")
            }
            Rule::NobodySignals { semaphore, value, largest } => {
                write!(f, "waits for {semaphore} to reach {value}, and nobody signals more than {largest}")
            }
            Rule::SignalledTwice { semaphore, value, other } => {
                write!(f, "signals {value} of {semaphore}, and so does {other}")
            }
            Rule::Unordered { semaphore, value, below, other } => write!(
                f,
                "signals {value} of {semaphore} and may run before {other}, which signals {below}: let it wait for \
                 {semaphore} {below}, or for what follows that"
            ),
            Rule::Cycle(operations) => write!(f, "these wait for each other: {}", operations.join(" -> ")),
            Rule::Frontier { entries, capacity } => {
                write!(f, "{entries} semaphores are in its past, and a frontier holds {capacity}")
            }
            Rule::Buffer(why) | Rule::Chain(why) => f.write_str(why),
            Rule::MemoryFull { memory, bytes, capacity } => {
                write!(
                    f,
                    "{bytes} bytes may be kept in {memory} when it starts, and {capacity} fit: let it wait for \
                           more of what frees them"
                )
            }
            Rule::Claim { annotation, what } => write!(f, "annotation {annotation} is wrong: {what}"),
            Rule::NoDepth => f.write_str("has one iteration only: it does not say how iterations are chained"),
            Rule::NoLanes => f.write_str("none of its lanes is scalable, so that their number is fixed"),
            Rule::TooLarge { operations, most } => write!(f, "{operations} operations are more than {most}"),
        }
    }
}

//! What a scenario file says, as it stands in the file: version 1 of the format.
//!
//! `scenarios/scenario.schema.json` is these types as a JSON schema; a test holds the two together. The types only say
//! what may be written. Whether it makes sense is for [`Scenario`](super::Scenario) to judge.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The only version of the format that there is.
pub const VERSION: u32 = 1;

/// Semaphores and their values, written `{"A": 1, "B": 2}`. Naming one twice is an error.
pub type Values = BTreeMap<String, u64>;

/// A whole scenario file.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct File {
    /// Where the schema lies, for editors. Not read.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The version of the format: 1.
    pub version: u32,
    /// The scenario's name on a command line: lower-case letters, digits and hyphens.
    pub id: String,
    /// A second, short name for a command line: the letters that a text refers to it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The name for people.
    pub title: String,
    /// What it shows, in a few sentences.
    pub text: String,
    /// How long a tick is, in nanoseconds. Without it ticks are only compared with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_ns: Option<u64>,
    /// Where the durations come from, in sentences: what was given and what was assumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// The hardware.
    pub lanes: Vec<Lane>,
    /// The timelines.
    pub semaphores: Vec<Semaphore>,
    /// Where bytes are kept, if the scenario looks at that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memories: Vec<Memory>,
    /// What is kept there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buffers: Vec<Buffer>,
    /// What is done. The order is the priority: of two operations that could take a lane, the earlier one does.
    pub operations: Vec<Operation>,
    /// How iterations are chained; without it there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// What is to be noticed when it runs. What they claim is checked when the file is loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
}

/// A class of hardware; each of its lanes runs one operation at a time.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lane {
    /// How operations name it.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// How many there are, at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: usize,
    /// Whether it makes sense to have more or fewer of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scalable: bool,
    /// How many bytes one lane moves in a tick. Operations that say `bytes` need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_tick: Option<u64>,
}

/// A timeline semaphore. In the simulator each is an axis of the frontiers.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Semaphore {
    /// How operations name it.
    pub id: String,
    /// The name for people.
    pub title: String,
}

/// A memory of limited size.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Memory {
    /// How buffers name it.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// How much fits.
    pub bytes: u64,
}

/// Bytes that are kept from the start of the operation that takes them to the end of the one that frees them. What no
/// operation takes is there from the start; what none frees stays.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Buffer {
    /// How operations name it.
    pub id: String,
    /// Where it is kept.
    pub memory: String,
    /// How large it is.
    pub bytes: u64,
}

/// One operation: it waits, occupies a lane for its duration, and signals when it ends.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Operation {
    /// How the rest of the file names it.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// The class of hardware that runs it.
    pub lane: String,
    /// How many ticks it takes, at least 1. Either this or `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    /// How much it moves; the lane's rate then says how long that takes, in whole ticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// It starts when each of these semaphores has reached the value, or passed it.
    #[serde(default, skip_serializing_if = "Values::is_empty", deserialize_with = "values")]
    pub waits: Values,
    /// Its end raises these semaphores to these values.
    #[serde(default, skip_serializing_if = "Values::is_empty", deserialize_with = "values")]
    pub signals: Values,
    /// Buffers that it takes when it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<String>,
    /// Buffers that it frees when it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frees: Vec<String>,
}

/// How one iteration follows another.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Depth {
    /// An operation that waits for nothing waits for this semaphore's last value of the iteration before.
    pub chain_through: String,
    /// Operations that wait for something of the iteration before, besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iteration_deps: Vec<IterationDep>,
}

/// What an operation has to do with the iteration before its own.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IterationDep {
    /// The operation. It signals `semaphore` itself.
    pub operation: String,
    /// It waits for this semaphore's last value of the iteration before.
    pub semaphore: String,
}

/// Something to notice, with claims that are checked.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Annotation {
    /// When it is to be noticed, in ticks.
    pub tick: u64,
    /// The operation that it is about.
    pub operation: String,
    /// What is to be noticed.
    pub text: String,
    /// What the operation is doing at that tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The operation's frontier, the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_values")]
    pub frontier: Option<Values>,
    /// Operations that are in its past.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<String>,
    /// Operations that are not in its past.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows_not: Vec<String>,
}

/// How far an operation has come.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum State {
    /// Something that it waits for has not come.
    Pending,
    /// Everything has come, and no lane is free.
    Ready,
    /// It occupies a lane.
    Running,
    /// It has ended, and its signals are given.
    Done,
}

impl State {
    /// As it is written in a file.
    pub const fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Ready => "ready",
            State::Running => "running",
            State::Done => "done",
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

fn is_false(truth: &bool) -> bool {
    !truth
}

/// A map that says so when a key comes twice, where serde's own would keep the last without a word.
fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
    struct Once(PhantomData<Values>);
    impl<'de> Visitor<'de> for Once {
        type Value = Values;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("semaphores with their values, such as {\"A\": 1}")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Values, M::Error> {
            let mut values = Values::new();
            while let Some((semaphore, value)) = map.next_entry::<String, u64>()? {
                if let Some(before) = values.insert(semaphore.clone(), value) {
                    return Err(M::Error::custom(format!("{semaphore} is named twice, with {before} and {value}")));
                }
            }
            Ok(values)
        }
    }
    deserializer.deserialize_map(Once(PhantomData))
}

fn some_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Values>, D::Error> {
    values(deserializer).map(Some)
}

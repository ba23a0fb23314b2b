//! Recordings as JSON: `recording.schema.json`, beside this crate's manifest, says what they look like.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Recording, Timed};

/// The version of the form. It rises when a reader of the one before would misunderstand the new one.
///
/// Version 2 has names, machines and messages, and three more ways in which a wait is resolved; what could be said in
/// version 1 means the same.
pub const VERSION: u32 = 2;

/// The oldest version that is read.
pub const OLDEST: u32 = 1;

/// A recording as it stands in a file.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    events: &'a [Timed],
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Read {
    /// The version of the form: 1 or 2.
    version: u32,
    /// In the order in which they happened.
    events: Vec<Timed>,
}

/// Why a recording could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It is no recording, or cannot be read at all.
    Json(serde_json::Error),
    /// It is of a version that is not known.
    Version(u32),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Json(error) => write!(f, "no recording: {error}"),
            ReadError::Version(version) => write!(f, "version {version}, and only {OLDEST} to {VERSION} are known"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Json(error) => Some(error),
            ReadError::Version(_) => None,
        }
    }
}

impl Recording {
    /// Writes the events as one JSON object.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_json(&self, out: impl io::Write) -> io::Result<()> {
        serde_json::to_writer(out, &Written { version: VERSION, events: &self.events }).map_err(io::Error::from)
    }

    /// Reads what [`Recording::write_json`] has written.
    ///
    /// ```
    /// use proact::causal::Axis;
    /// use proact_schedule::record::Recording;
    /// use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
    ///
    /// let mut scheduler: Scheduler<(), Recording> =
    ///     Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
    /// scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 0, 2, 0)))?;
    /// let mut text = Vec::new();
    /// scheduler.recorder().write_json(&mut text)?;
    /// assert_eq!(
    ///     std::str::from_utf8(&text)?,
    ///     concat!(
    ///         r#"{"version":2,"events":[{"at_ns":0,"event":{"type":"queue","queue":0,"#,
    ///         r#""axis":"0x0100000200000000","in_order":true,"keeps_barriers":false}}]}"#,
    ///     ),
    /// );
    /// assert_eq!(Recording::read_json(&text)?.events, scheduler.recorder().events);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_json(text: &[u8]) -> Result<Recording, ReadError> {
        /// The version alone: a later form may have other events.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        match serde_json::from_slice(text) {
            Ok(Read { version: OLDEST..=VERSION, events }) => Ok(Recording { events, now_ns: 0 }),
            Ok(Read { version, .. }) => Err(ReadError::Version(version)),
            Err(error) => Err(match serde_json::from_slice(text) {
                Ok(Head { version }) if !(OLDEST..=VERSION).contains(&version) => ReadError::Version(version),
                _ => ReadError::Json(error),
            }),
        }
    }
}

/// An axis as 16 hexadecimal digits in a string: not every reader of JSON keeps 64 bits of a number.
pub(super) mod axis {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(bits: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{bits:#018x}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("an axis begins with 0x"))?;
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}

/// Entries of a frontier: each an axis as above, and an epoch.
pub(super) mod known {
    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::Entries;

    #[derive(Serialize, Deserialize)]
    struct Entry(#[serde(with = "super::axis")] u64, u64);

    pub(in super::super) fn serialize<S: Serializer>(entries: &Entries, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(entries.len()))?;
        entries.iter().try_for_each(|&(axis, epoch)| list.serialize_element(&Entry(axis, epoch)))?;
        list.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Entries, D::Error> {
        let entries = Vec::<Entry>::deserialize(from)?;
        Ok(entries.into_iter().map(|Entry(axis, epoch)| (axis, epoch)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proact::causal::{Axis, Domain, Frontier, Knowledge};
    use proact::status::{Code, Operation, Status};

    use super::*;
    use crate::model::{Point, Submission};
    use crate::pool::PoolOptions;
    use crate::record::Event;
    use crate::{QueueOptions, Scheduler, SchedulerOptions};

    /// A run in which every kind of event happens.
    fn run() -> Recording {
        let mut scheduler: Scheduler<(), Recording> =
            Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
        let queues =
            [0, 1].map(|queue| scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, queue))).unwrap());
        let channel = scheduler.add_channel(Axis::new(1, 0, Domain::Collective, 7).unwrap(), &queues[..1]).unwrap();
        let remote = scheduler.add_axis(Axis::queue(1, 1, 0, 0)).unwrap();
        let [a, b, c] = [0; 3].map(|initial| scheduler.add_semaphore(initial));
        let pool = scheduler.add_pool(PoolOptions::new(1024));
        let buffer = scheduler.acquire(pool, 1024, queues[0]).unwrap().buffer;
        let signals = [Point::new(a, 1)];
        scheduler.submit(&Submission::new(queues[0]).signals(&signals).buffers(&[buffer]), ()).unwrap();
        scheduler.release(buffer).unwrap();
        let contributions = [Submission::new(queues[0])];
        scheduler.submit_collective(channel, &contributions, vec![()], &[Point::new(b, 1)]).unwrap();
        let waits = [Point::new(a, 1), Point::new(b, 1), Point::new(c, 1)];
        scheduler.submit(&Submission::new(queues[1]).waits(&waits), ()).unwrap();
        let causes = Knowledge::exact(Frontier::single(Axis::queue(1, 1, 0, 0), 3).unwrap());
        scheduler.promise(Point::new(c, 1), &causes).unwrap();
        scheduler.advance_axis(remote, 3).unwrap();
        let mut now_ns = 0;
        while let Some(work) = scheduler.next_work() {
            now_ns += 1500;
            scheduler.recorder_mut().now_ns = now_ns;
            scheduler.complete(work.place).unwrap();
        }
        scheduler.fail_semaphore(c, Status::new(Code::DataLoss, Operation::None));
        scheduler.into_recorder()
    }

    #[test]
    fn a_recording_that_is_read_back_is_the_same() {
        let recording = run();
        let mut text = Vec::new();
        recording.write_json(&mut text).unwrap();
        let back = Recording::read_json(&text).unwrap();
        assert_eq!(back.events, recording.events);
        crate::audit::audit(&back.events).unwrap();
        let of_version = |version: &str| String::from_utf8(text.clone()).unwrap().replace("\"version\":2", version);
        let later = of_version("\"version\":3,\"new\":3");
        assert!(matches!(Recording::read_json(later.as_bytes()), Err(ReadError::Version(3))));
        let older = of_version("\"version\":1");
        assert_eq!(Recording::read_json(older.as_bytes()).unwrap().events, recording.events);
        assert!(matches!(Recording::read_json(&text[1..]), Err(ReadError::Json(_))));
    }

    #[test]
    fn a_trace_has_a_slice_for_each_submission_and_an_arrow_for_each_barrier() {
        let recording = run();
        let mut text = Vec::new();
        recording.write_chrome(&mut text).unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
        let ended = recording.events.iter().filter(|timed| matches!(timed.event, Event::Ended { .. })).count();
        assert_eq!((count("M"), count("X"), ended), (4, 4, 4));
        assert_eq!(count("s"), count("f"));
        let slice = events.iter().find(|event| event["ph"] == "X" && event["tid"] == 0).unwrap();
        assert_eq!((&slice["ts"], &slice["dur"]), (&serde_json::json!(0.0), &serde_json::json!(1.5)));
        assert_eq!(events[0]["args"]["name"], "1.0.queue.0.0");
    }

    /// `PROACT_WRITE_SCHEMA=1 cargo test -p proact-schedule schema` writes it anew.
    #[test]
    fn the_schema_of_recordings_is_that_of_the_types() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recording.schema.json");
        let mut schema = schemars::schema_for!(Read);
        schema.insert("title".into(), "A recording of proact's scheduler".into());
        schema.insert("$comment".into(), "Written by a test of proact-schedule from record/mod.rs".into());
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("PROACT_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &text).expect("the schema is written");
        }
        let there = std::fs::read_to_string(&path).expect("the schema is there");
        assert!(there == text, "{} is not what the types say: see this test", path.display());
    }
}

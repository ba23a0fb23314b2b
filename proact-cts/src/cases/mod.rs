//! The cases, one file a subject.

use crate::harness::Case;

pub mod cancel;
pub mod chain;
pub mod cost;
pub mod deadline;
pub mod error;
pub mod event;
pub mod file;
pub mod group;
pub mod lifetime;
pub mod lowered;
pub mod mixed;
pub mod multishot;
pub mod nop;
pub mod pooled;
pub mod remote;
pub mod scope;
pub mod semaphore;
pub mod sequence;
pub mod socket;
pub mod stream;
pub mod timer;

/// Every subject, with its cases.
pub const GROUPS: &[(&str, &[Case])] = &[
    ("nop", nop::CASES),
    ("timer", timer::CASES),
    ("event", event::CASES),
    ("file", file::CASES),
    ("socket", socket::CASES),
    ("stream", stream::CASES),
    ("semaphore", semaphore::CASES),
    ("chain", chain::CASES),
    ("lowered", lowered::CASES),
    ("sequence", sequence::CASES),
    ("cancel", cancel::CASES),
    ("lifetime", lifetime::CASES),
    ("remote", remote::CASES),
    ("cost", cost::CASES),
    ("error", error::CASES),
    ("mixed", mixed::CASES),
    ("multishot", multishot::CASES),
    ("deadline", deadline::CASES),
    ("pooled", pooled::CASES),
    ("scope", scope::CASES),
    ("group", group::CASES),
];

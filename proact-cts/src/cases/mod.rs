//! The cases, one file a subject.

use crate::harness::Case;

pub mod chain;
pub mod event;
pub mod file;
pub mod lowered;
pub mod nop;
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
];

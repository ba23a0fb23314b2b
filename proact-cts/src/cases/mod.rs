//! The cases, one file a subject.

use crate::harness::Case;

pub mod attributes;
pub mod cancel;
pub mod chain;
pub mod cost;
pub mod crossed;
pub mod datagram;
pub mod deadline;
pub mod directory;
pub mod ending;
pub mod error;
pub mod event;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod event_pool;
pub mod exchange;
pub mod failure;
pub mod file;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod futex;
pub mod group;
pub mod import;
#[cfg(target_os = "linux")]
pub mod interrupted;
pub mod lifetime;
pub mod lowered;
pub mod memory;
pub mod message_io;
pub mod mixed;
pub mod multishot;
pub mod nop;
pub mod notification;
pub mod notification_blocking;
pub mod notification_chain;
pub mod op_pool;
pub mod options;
pub mod pipe;
#[cfg(target_os = "linux")]
pub mod pitfall;
pub mod pollable;
pub mod pooled;
pub mod process;
pub mod progress;
pub mod property;
pub mod range;
pub mod registered_descriptor;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod relay;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod relay_notification;
pub mod remote;
pub mod scope;
pub mod semaphore;
pub mod sequence;
pub mod severed;
#[cfg(target_os = "linux")]
pub mod shared_pool;
pub mod socket;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod source;
pub mod splice_lock;
pub mod stream;
pub mod timer;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod watch;
pub mod zero_copy;

/// Every subject, with its cases.
pub const GROUPS: &[(&str, &[Case])] = &[
    ("nop", nop::CASES),
    ("timer", timer::CASES),
    ("event", event::CASES),
    ("file", file::CASES),
    ("range", range::CASES),
    ("attributes", attributes::CASES),
    ("directory", directory::CASES),
    ("pipe", pipe::CASES),
    ("splice_lock", splice_lock::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("watch", watch::CASES),
    ("pollable", pollable::CASES),
    ("process", process::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("futex", futex::CASES),
    ("socket", socket::CASES),
    ("stream", stream::CASES),
    ("crossed", crossed::CASES),
    ("datagram", datagram::CASES),
    ("failure", failure::CASES),
    ("exchange", exchange::CASES),
    ("options", options::CASES),
    ("import", import::CASES),
    ("message_io", message_io::CASES),
    ("semaphore", semaphore::CASES),
    ("notification", notification::CASES),
    ("notification_blocking", notification_blocking::CASES),
    ("notification_chain", notification_chain::CASES),
    ("chain", chain::CASES),
    ("lowered", lowered::CASES),
    ("sequence", sequence::CASES),
    ("cancel", cancel::CASES),
    ("lifetime", lifetime::CASES),
    ("remote", remote::CASES),
    ("cost", cost::CASES),
    ("error", error::CASES),
    ("memory", memory::CASES),
    #[cfg(target_os = "linux")]
    ("shared_pool", shared_pool::CASES),
    #[cfg(target_os = "linux")]
    ("pitfall", pitfall::CASES),
    ("severed", severed::CASES),
    ("mixed", mixed::CASES),
    ("property", property::CASES),
    #[cfg(target_os = "linux")]
    ("interrupted", interrupted::CASES),
    ("multishot", multishot::CASES),
    ("ending", ending::CASES),
    ("deadline", deadline::CASES),
    ("pooled", pooled::CASES),
    ("op_pool", op_pool::CASES),
    ("registered_descriptor", registered_descriptor::CASES),
    ("zero_copy", zero_copy::CASES),
    ("scope", scope::CASES),
    ("group", group::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("event_pool", event_pool::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("source", source::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("relay", relay::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("relay_notification", relay_notification::CASES),
    ("progress", progress::CASES),
];

//! The cases, one file a subject.

use crate::harness::Case;

#[cfg(target_os = "linux")]
pub mod affinity;
pub mod attributes;
#[cfg(target_os = "linux")]
pub mod broken_pipe;
pub mod cancel;
pub mod chain;
pub mod cost;
pub mod crossed;
pub mod datagram;
pub mod deadline;
#[cfg(target_os = "linux")]
pub mod device_fence;
pub mod directory;
pub mod ending;
pub mod error;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod event;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod event_pool;
pub mod exchange;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod export;
pub mod failure;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod fence;
pub mod file;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod futex;
pub mod group;
#[cfg(target_os = "linux")]
pub mod handler;
pub mod import;
#[cfg(target_os = "linux")]
pub mod interrupted;
pub mod lifetime;
pub mod lowered;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod lowered_signal;
pub mod memory;
#[cfg(unix)]
pub mod message;
pub mod message_io;
pub mod mixed;
pub mod multishot;
pub mod name;
pub mod nop;
pub mod notification;
pub mod notification_blocking;
pub mod notification_chain;
#[cfg(target_os = "linux")]
pub mod notification_shared;
pub mod op_pool;
pub mod options;
pub mod pipe;
#[cfg(target_os = "linux")]
pub mod pitfall;
pub mod pollable;
pub mod pooled;
pub mod proactor_pool;
pub mod proactor_thread;
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
#[cfg(target_os = "linux")]
pub mod signal;
pub mod socket;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod source;
pub mod spin;
pub mod splice_lock;
pub mod stream;
pub mod timeline;
pub mod timer;
pub mod tracker;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod watch;
pub mod zero_copy;

/// Every subject, with its cases.
pub const GROUPS: &[(&str, &[Case])] = &[
    ("nop", nop::CASES),
    ("timer", timer::CASES),
    ("spin", spin::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("event", event::CASES),
    ("file", file::CASES),
    ("range", range::CASES),
    ("attributes", attributes::CASES),
    ("directory", directory::CASES),
    ("pipe", pipe::CASES),
    #[cfg(target_os = "linux")]
    ("broken_pipe", broken_pipe::CASES),
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
    #[cfg(unix)]
    ("message", message::CASES),
    #[cfg(target_os = "linux")]
    ("signal", signal::CASES),
    ("semaphore", semaphore::CASES),
    ("tracker", tracker::CASES),
    ("notification", notification::CASES),
    ("notification_blocking", notification_blocking::CASES),
    ("notification_chain", notification_chain::CASES),
    #[cfg(target_os = "linux")]
    ("notification_shared", notification_shared::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("fence", fence::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("export", export::CASES),
    #[cfg(target_os = "linux")]
    ("device_fence", device_fence::CASES),
    ("chain", chain::CASES),
    ("lowered", lowered::CASES),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("lowered_signal", lowered_signal::CASES),
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
    #[cfg(target_os = "linux")]
    ("handler", handler::CASES),
    ("multishot", multishot::CASES),
    ("ending", ending::CASES),
    ("deadline", deadline::CASES),
    ("pooled", pooled::CASES),
    ("op_pool", op_pool::CASES),
    ("registered_descriptor", registered_descriptor::CASES),
    ("zero_copy", zero_copy::CASES),
    ("scope", scope::CASES),
    ("group", group::CASES),
    ("proactor_thread", proactor_thread::CASES),
    ("proactor_pool", proactor_pool::CASES),
    ("timeline", timeline::CASES),
    ("name", name::CASES),
    #[cfg(target_os = "linux")]
    ("affinity", affinity::CASES),
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

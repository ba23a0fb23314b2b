//! Waiting for each other: the library's own means of synchronization, awaited.
//!
//! They belong to [`proact::sync`], and are signalled from any thread, callback or process as is said there. Here is
//! how a task waits for them, without a thread of its own and without a wake that is lost.
//!
//! - **Semaphores**: [`reach`], [`reach_all`], [`reach_any`] wait for values of a timeline, and yield the frontier that
//!   caused them; [`Wait::deadline`] bounds each.
//! - **Frontiers**: [`reach_frontier`].
//! - **Notifications**: [`until`] looks at what they are about, and waits until it has changed.
//! - **Events**: [`Event`].
//! - **Others' fences**: [`import_fence`] takes one in; a semaphore gives one out by
//!   [`export_pollable`](proact::sync::Semaphore::export_pollable).
//! - **Other proactors**: [`send_message`]; [`relay`] passes on without code between.
//!
//! What tasks of one program need among themselves (channels, one-shot values, locks) knows nothing of any runtime and
//! is not made here again: crates such as `futures-channel` and `event-listener` work as they are, from other
//! threads too, and tests have them do so.

mod event;
mod notification;
mod others;
mod relay;
mod wait;

pub use self::event::{Event, Sets};
pub use self::notification::until;
#[cfg(unix)]
pub use self::others::import_fence;
pub use self::others::send_message;
pub use self::relay::{Relay, relay};
pub use self::wait::{Wait, reach, reach_all, reach_any, reach_frontier};

//! What calls wait for, and how they are woken.

mod frame;
mod source;
mod wakeup;

pub use frame::{WaitFrame, WaitKind, WaitOutcome};
pub use source::{SourceKind, WaitSource};
pub(crate) use wakeup::Wakeup;

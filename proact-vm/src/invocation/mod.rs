//! Calls from outside: what a host does with a function that it has looked up.

mod state;
mod synchronous;

pub(crate) use state::at;
pub use state::{InvocationOptions, InvocationState};

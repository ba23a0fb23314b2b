//! Calls from outside: what a host does with a function that it has looked up.
//!
//! Each form drives the same machine, and differs in who waits: [`Context::invoke`](crate::Context::invoke) holds its
//! thread, [`Context::begin`](crate::Context::begin) leaves it to the host, step by step,
//! [`Context::invoke_async`](crate::Context::invoke_async) to the executor of a future, and
//! [`Context::invoke_on`](crate::Context::invoke_on) to a loop.

mod asynchronous;
mod future;
mod handle;
mod lifecycle;
mod policy;
mod registering;
mod state;
mod step;
mod synchronous;

pub use asynchronous::{AsyncInvocation, InvocationCallback, Once, RefusedInvocation};
pub use future::{InvocationFuture, TimerFuture, Timers};
pub use handle::{CancelOnDrop, Finished, Invocation, InvocationStatus};
pub use policy::{OnFailure, Policy};
pub use registering::ContextFuture;
pub(crate) use state::at;
pub use state::{InvocationOptions, InvocationState};
pub use step::{Done, Step, Waiting, Yielded};

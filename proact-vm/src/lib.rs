//! Functions that wait, yield, are cancelled, and take part in timelines.
//!
//! # How the parts meet
//!
//! - [`Value`], [`Ref`], [`List`], [`Buffer`]: what programs compute with. [`Instance`]: types of references by name.
//! - [`convention`]: how arguments and results are packed.
//! - [`module`]: a [`Module`](module::Module) declares functions; its [`ModuleInstance`](module::ModuleInstance) in a
//!   context begins them. A function is given a [`CallFrame`](module::CallFrame) and answers a [`Flow`](module::Flow):
//!   it is done, yields, waits for a [`WaitFrame`](wait::WaitFrame), or wants another function called. Before it stops
//!   it keeps an [`Activation`](module::Activation), which is resumed with the reason, a
//!   [`Resumption`](module::Resumption). It never calls into the machine by itself, so nothing is ever on the thread's
//!   own stack when it stops, and a stop at any depth is the same. [`module::native`]: modules of Rust functions.
//! - [`Context`]: modules that were registered, functions by name.
//! - [`wasm`]: modules of WebAssembly (feature `wasm`, on by default).
//! - [`trace`]: what traced calls tell of themselves.
//! - `machine` (private): the frames of one invocation; `begin` and `resume` run until a `Stop`: done, yield, wait.
//!   Every driver is a loop around these two that differs in what it does at a stop; `poll_wait` polls the wait with
//!   any waker, `next_time` says when to look again at the latest, `waited` ends it with an outcome from elsewhere.
//! - [`InvocationState`] (private `start` or `prepare` and `enter`, `go_on`, `fail`, `finish`, `abort`): a machine with
//!   the call that lies in it and its turn in the context. Drivers that do not hold a thread own one and are loops
//!   around these.
//! - The forms of a call: [`Context::invoke`] holds a thread; [`Context::begin`] is [`Step`] by step;
//!   [`Context::invoke_async`] is a future; and [`Context::invoke_on`] tells its end by a callback of a loop.
//! - [`event_loop`]: loops that run callbacks when what they wait for has come to pass: on the caller's stack, on a
//!   proactor's thread, in a simulated world.
//! - [`executor`]: runs [`Invocation`]s, which live by themselves and are reached through handles, as a [`Policy`]
//!   says.

#![deny(unsafe_code)]

mod atomic;
mod context;
pub mod convention;
mod error;
pub mod event_loop;
pub mod executor;
mod instance;
mod invocation;
mod machine;
pub mod module;
mod panics;
#[allow(unsafe_code)]
mod stack;
pub mod standard;
pub mod trace;
mod value;
pub mod wait;
#[cfg(feature = "wasm")]
pub mod wasm;

pub use context::{Context, ContextBuilder, Overlap};
pub use error::{BacktraceFrame, CallId, Error, FrameKind, Result};
pub use instance::{Instance, ReferenceType};
pub use invocation::{
    AsyncInvocation, ContextFuture, Done, InvocationCallback, InvocationFuture, InvocationOptions, InvocationState,
    Once, RefusedInvocation, Step, TimerFuture, Timers, Waiting, Yielded,
};
pub use invocation::{CancelOnDrop, Finished, Invocation, InvocationStatus, OnFailure, Policy};
pub use module::Function;
pub use stack::{Arena, StackLimits};
pub use value::{Access, Buffer, ElementType, Inputs, List, Object, Outputs, Ref, Value, ValueType};

/// The guide's code.
#[cfg(doctest)]
#[doc = include_str!("../../docs/vm.md")]
mod guide {}

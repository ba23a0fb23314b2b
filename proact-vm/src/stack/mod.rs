//! The frames of an invocation: functions that have stopped before their end, each with what it keeps.

mod arena;
mod storage;

use std::fmt;
use std::pin::Pin;

use proact::status::Code;

use crate::error::{BacktraceFrame, Error, Result};
use crate::machine::Machine;
use crate::module::{Activation, CallFrame, Flow, Function, Resumption};
pub use arena::Arena;
use storage::{Place, Storage};

/// How large the stack of an invocation is at first, and may become. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StackLimits {
    initial: usize,
    maximum: usize,
}

impl Default for StackLimits {
    /// 8 KiB, growing to at most 1 MiB.
    fn default() -> StackLimits {
        StackLimits { initial: 8 << 10, maximum: 1 << 20 }
    }
}

impl StackLimits {
    /// The least that a stack may begin with.
    pub const INITIAL_MIN: usize = 1 << 10;

    /// `INVALID_ARGUMENT` when `initial` is less than [`StackLimits::INITIAL_MIN`] or more than `maximum`.
    pub fn new(initial: usize, maximum: usize) -> Result<StackLimits> {
        if initial < StackLimits::INITIAL_MIN || maximum < initial {
            return Err(Error::invalid(format!("a stack of {initial} to {maximum} bytes")));
        }
        Ok(StackLimits { initial, maximum })
    }
}

/// Frames, of which the top one is resumed. They never move; what they take is kept for later ones, and never shrinks.
/// Dropping it drops the frames from the top down.
pub(crate) struct Stack {
    frames: Vec<Frame>,
    storage: Storage,
    maximum: usize,
}

struct Frame {
    function: Function,
    activation: Place<dyn Activation>,
}

impl Stack {
    pub(crate) fn new(limits: StackLimits) -> Stack {
        Stack { frames: Vec::new(), storage: Storage::new(limits.initial), maximum: limits.maximum }
    }

    /// Another bound; frames that stand stay.
    pub(crate) fn set_limits(&mut self, limits: StackLimits) {
        self.storage.set_initial(limits.initial);
        self.maximum = limits.maximum;
    }

    /// Grows into `arena` from now on, or into memory of its own again. Frames, if there are any, end.
    pub(crate) fn set_arena(&mut self, arena: Option<Arena>) {
        self.clear();
        self.storage.set_arena(arena);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The function of the top frame.
    pub(crate) fn top(&self) -> Option<&Function> {
        self.frames.last().map(|frame| &frame.function)
    }

    /// The functions of its frames, the top one first.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.frames.iter().rev().map(|frame| &frame.function)
    }

    /// How many frames are of loaded programs.
    #[cfg(feature = "wasm")]
    pub(crate) fn programs(&self) -> usize {
        self.frames.iter().filter(|frame| frame.function.0.kind == crate::error::FrameKind::Program).count()
    }

    /// Bytes that its memory takes, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.storage.capacity() + self.frames.capacity() * size_of::<Frame>()
    }

    /// `RESOURCE_EXHAUSTED` over the bound, and where there is no memory.
    pub(crate) fn push<A: Activation + 'static>(&mut self, function: Function, activation: A) -> Result {
        let frames = (self.frames.len() + 1) * size_of::<Frame>();
        let budget = self.maximum.checked_sub(frames).ok_or_else(|| self.full())?;
        self.frames.try_reserve(1).map_err(|_| self.full())?;
        let place = self.storage.place(activation, budget).ok_or_else(|| self.full())?;
        let activation = place.erase(|pointer| pointer as *mut dyn Activation);
        self.frames.push(Frame { function, activation });
        Ok(())
    }

    /// Ends the top frame.
    pub(crate) fn pop(&mut self) -> bool {
        let Some(Frame { function, activation }) = self.frames.pop() else {
            return false;
        };
        self.storage.remove(activation);
        drop(function);
        true
    }

    /// Ends all frames, from the top: also those below one whose destructor panics. Pinned as they are, none may lose
    /// its memory before it has ended.
    #[inline]
    pub(crate) fn clear(&mut self) {
        struct Rest<'a>(&'a mut Stack);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while self.0.pop() {}
            }
        }
        if !self.is_empty() {
            let rest = Rest(self);
            while rest.0.pop() {}
        }
    }

    /// Resumes the top frame. An error when there is none.
    #[inline]
    pub(crate) fn resume_top(machine: &mut Machine, why: Resumption) -> Result<Flow> {
        let Some(frame) = machine.stack.frames.last() else {
            return Err(Error::internal("a resume of nothing"));
        };
        let mut activation = frame.activation.pointer();
        // SAFETY: the frame's activation lives until `pop`, and nothing that a `CallFrame` offers pops: so for this
        // call it is there. It is at its own place outside of `machine`, and no one else has a reference to it: only
        // `resume_top` makes one, `CallFrame` makes none but for a frame that it has just pushed above. It never
        // moves before it is dropped, as `Place` promises.
        let activation = unsafe { Pin::new_unchecked(activation.as_mut()) };
        activation.resume(why, &mut CallFrame::resume(machine))
    }

    /// What stands, the innermost first. `above` is a function that has begun without a frame.
    #[cold]
    pub(crate) fn backtrace(&self, above: Option<&Function>) -> Vec<BacktraceFrame> {
        let above = above.map(|function| line(self.frames.len(), function, None));
        let frames = self.frames.iter().enumerate().rev().map(|(depth, frame)| {
            // SAFETY: the frame's activation lives until `pop`, which takes `&mut self`; it is only looked at, between
            // its steps.
            let pc = unsafe { frame.activation.pointer().as_ref() }.pc();
            line(depth, &frame.function, pc)
        });
        above.into_iter().chain(frames).collect()
    }

    #[cold]
    fn full(&self) -> Error {
        let message = format!("the stack is full: {} frames, {} bytes at most", self.frames.len(), self.maximum);
        Error::new(Code::ResourceExhausted, message)
    }
}

/// A line of a backtrace.
pub(crate) fn line(depth: usize, function: &Function, pc: Option<u64>) -> BacktraceFrame {
    let inner = &function.0;
    let source = pc.and_then(|pc| inner.instance.source(inner.ordinal, pc));
    BacktraceFrame { depth, kind: inner.kind, function: function.name().to_string(), pc, source }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames.iter().map(|frame| &frame.function)).finish()
    }
}

#[cfg(test)]
mod tests;

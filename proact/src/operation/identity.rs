//! The public name of one flight of one operation.

use std::fmt;

use crate::backend::Token;

/// Names one flight of an operation, from submit to its final callback, for [cancel](crate::proactor::Handle::cancel).
///
/// It names the proactor, the slot and the slot's generation, and is never used twice: after the final callback, and on
/// another proactor, it is `NotFound` and harms nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId {
    pub(crate) proactor: u32,
    pub(super) token: Token,
}

/// Names one registration of a [progress callback](crate::proactor::Proactor::add_progress). Never used twice: after
/// its end, and on another proactor, it is `NotFound` and harms nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProgressId {
    pub(super) proactor: u32,
    pub(super) index: u32,
    pub(super) serial: u64,
}

impl fmt::Debug for ProgressId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.progress.{}", self.proactor, self.serial)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.proactor, self.token.slot(), self.token.generation())
    }
}

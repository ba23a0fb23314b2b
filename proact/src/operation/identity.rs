//! The public name of one flight of one operation.

use std::fmt;

use crate::backend::Token;

/// Names one flight of an operation, from submit to its final callback, for [cancel](crate::proactor::Handle::cancel).
///
/// It names the proactor, the slot and the slot's generation, and is never used twice: after the final callback, and on
/// another proactor, it is `NotFound` and harms nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId {
    pub(super) proactor: u32,
    pub(super) token: Token,
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.proactor, self.token.slot(), self.token.generation())
    }
}

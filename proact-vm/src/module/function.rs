//! A function that was found: everything a call of it needs.

use std::fmt;
use std::sync::Arc;

use super::ModuleInstance;
use crate::convention::Convention;
use crate::error::FrameKind;

/// A function of a module in a context, resolved once. A clone is the same one, and costs one count.
#[derive(Clone)]
pub struct Function(pub(crate) Arc<FunctionInner>);

pub(crate) struct FunctionInner {
    pub(crate) instance: Arc<dyn ModuleInstance>,
    pub(crate) ordinal: u32,
    pub(crate) kind: FrameKind,
    pub(crate) convention: Convention,
    /// `module.function`.
    pub(crate) name: Box<str>,
    /// The number of the context that it belongs to.
    pub(crate) context: u64,
}

impl Function {
    /// `module.function`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it takes and answers.
    pub fn convention(&self) -> &Convention {
        &self.0.convention
    }

    /// Whether it always runs to its end.
    #[cfg(feature = "wasm")]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.instance.is_plain(self.0.ordinal)
    }

    /// Its place among the exports of its module.
    pub fn ordinal(&self) -> u32 {
        self.0.ordinal
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Function {}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({} {})", self.name(), self.convention())
    }
}

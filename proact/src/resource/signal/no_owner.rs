//! Who owns the signals of the process, where there are none yet: nobody.

use std::sync::Arc;

use super::{SignalSet, unavailable};
use crate::backend::Wake;
use crate::status::Result;

#[derive(Default)]
pub(crate) struct SignalOwner;

impl SignalOwner {
    /// Unavailable.
    pub(crate) fn begin(&mut self, _: u32, _: &Arc<dyn Wake>, _: SignalSet) -> Result<()> {
        Err(unavailable())
    }

    pub(crate) fn end(&mut self, _: SignalSet) {}

    pub(crate) fn owns(&self) -> bool {
        false
    }

    pub(crate) fn take(&self) -> SignalSet {
        SignalSet::empty()
    }
}

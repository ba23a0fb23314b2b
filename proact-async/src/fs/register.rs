//! Memory that is made known.

use std::sync::Arc;

use proact::memory::Registrable;
use proact::operation::{Register, Registered, Unregister};
use proact::status::Result;

use crate::runtime::operation;

/// Makes memory known to the runtime's proactor: reads and writes of files with it are cheaper from then on, and what
/// they need stays pinned until [`Known::forget`].
///
/// Dropping the future, or what it yields, leaves it known: until it is forgotten by an operation of one's own, or the
/// runtime ends.
///
/// # Errors
/// As for [`Register`].
///
/// # Panics
/// Outside of a runtime.
pub async fn register(memory: impl Into<Arc<dyn Registrable>>) -> Result<Known> {
    let memory = memory.into();
    let registered = operation(Register::new(memory.clone())).await.1.result?;
    Ok(Known { memory, registered })
}

/// Memory that is known: of [`register`].
pub struct Known {
    memory: Arc<dyn Registrable>,
    registered: Registered,
}

impl Known {
    /// What it brought.
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// Gives it up. What is in flight with it ends first.
    ///
    /// # Errors
    /// As for [`Unregister`].
    pub async fn forget(self) -> Result {
        operation(Unregister::new(self.memory)).await.1.result
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("registered", &self.registered).finish_non_exhaustive()
    }
}

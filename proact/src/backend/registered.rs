//! Memory and descriptors that a backend was told of, and whoever keeps them.

use std::sync::Arc;

use super::contract::BufferOwner;

/// Every piece of registered memory, with its owner; or every registered descriptor, by its number. Where the kernel is
/// told as well, it has a number there.
#[derive(Default)]
pub(crate) struct Registered {
    entries: Vec<Entry>,
}

struct Entry {
    owner: Arc<dyn BufferOwner>,
    proactor: u32,
    start: usize,
    number: Option<u16>,
}

impl Registered {
    /// Whether memory that begins at `start` is known: no other can, while its owner is kept.
    pub(crate) fn has(&self, start: *mut u8) -> bool {
        self.entries.iter().any(|entry| entry.start == start as usize)
    }

    /// Keeps `owner`.
    pub(crate) fn add(&mut self, owner: &Arc<dyn BufferOwner>, proactor: u32, start: *mut u8, number: Option<u16>) {
        self.entries.push(Entry { owner: owner.clone(), proactor, start: start as usize, number });
    }

    /// Lets go of the owner, and tells its number. `None`: it was not known.
    pub(crate) fn remove(&mut self, start: *mut u8) -> Option<Option<u16>> {
        let index = self.entries.iter().position(|entry| entry.start == start as usize)?;
        Some(self.entries.swap_remove(index).number)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for entry in &self.entries {
            entry.owner.unregistered(entry.proactor);
        }
    }
}

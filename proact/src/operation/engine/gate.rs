//! Gates: private eventfds that let the kernel itself wait for a semaphore.
//!
//! A lowered wait is a read of a gate's eventfd, linked to the next step. The semaphore's signaller writes it, under
//! the semaphore's lock and before the waiter is detached; failure and cancel detach first, so that no write comes
//! later.

use std::sync::Arc;

use super::remote::Shared;
use crate::backend::{Descriptor, Token};
use crate::status::Result;
use crate::sync::{Event, Sink};

/// Gates that a proactor makes at most: each costs a descriptor.
const GATES_MAX: usize = 64;

/// One gate, and the proactor that a failure is told to.
pub struct Gate {
    event: Event,
    shared: Arc<Shared>,
}

impl Gate {
    pub(super) fn descriptor(&self) -> Descriptor {
        self.event.resource().raw()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.descriptor().0)
    }
}

impl Sink for Gate {
    fn reached(&self, token: Token, index: u32) {
        if self.shared.count_reached(token, index) {
            // An eventfd that is open and whose counter is not at its maximum takes a write. The gate keeps it open,
            // and its counter is at most 1.
            let opened = self.event.set();
            debug_assert!(opened.is_ok(), "{opened:?}");
        }
    }

    fn failed(&self, token: Token, index: u32) {
        self.shared.count_failed(token, index);
    }
}

/// The gates that are free.
#[derive(Default)]
pub(super) struct Gates {
    free: Vec<Arc<Gate>>,
    made: usize,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Gates {
    /// A gate whose counter is 0; `None` when the bound is reached or the system has no descriptor left: the wait then
    /// goes the portable way.
    pub(super) fn take(&mut self, shared: &Arc<Shared>) -> Option<Arc<Gate>> {
        if let Some(gate) = self.free.pop() {
            self.hits += 1;
            return Some(gate);
        }
        self.misses += 1;
        if self.made == GATES_MAX {
            return None;
        }
        let event: Result<Event> = Event::create(shared.home);
        let gate = Gate { event: event.ok()?, shared: shared.clone() };
        self.made += 1;
        self.free.reserve(self.made);
        Some(Arc::new(gate))
    }

    /// Takes a gate back whose counter is 0 and on which no read is pending.
    pub(super) fn put(&mut self, gate: Arc<Gate>) {
        self.free.push(gate);
    }

    /// Lets a gate go whose counter may not be 0.
    pub(super) fn discard(&mut self, gate: Arc<Gate>) {
        self.made -= 1;
        drop(gate);
    }
}

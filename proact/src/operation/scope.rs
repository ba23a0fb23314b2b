//! Scopes: operations that end together.

use std::sync::Arc;

use crate::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::resource::Home;

/// A group of operations in flight that can be ended together, however they came about: on any resource, in chains,
/// from any thread.
///
/// Made by [`Handle::scope`](crate::proactor::Handle::scope); an operation joins it for one flight by
/// [`Op::within`](super::Op::within); [`CancelAll`](super::CancelAll) ends it. A cancelled scope stays so: what is
/// submitted in it afterwards ends cancelled, without effect. A clone is another handle to the same scope; dropping
/// handles ends nothing.
///
/// ```
/// # use proact::operation::{CancelAll, EventWait, Op};
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let scope = proactor.handle().scope();
/// for _ in 0..3 {
///     let event = proactor.handle().event().unwrap();
///     proactor.submit(Op::new(EventWait::new(event), ()).within(&scope)).unwrap();
/// }
/// proactor.submit(Op::new(CancelAll::new(&scope), ())).unwrap();
/// proactor.run().unwrap(); // does not hang
/// assert!(scope.is_cancelled());
/// ```
#[derive(Clone)]
pub struct Scope {
    state: Arc<ScopeState>,
}

struct ScopeState {
    proactor: u32,
    cancelled: AtomicBool,
    /// The first operation in flight in it. Only the home's poll thread touches it, and the next one.
    head: AtomicU32,
    /// The first of the cancels that wait for it to be empty.
    waiting: AtomicU32,
}

impl Scope {
    /// No slot.
    const NONE: u32 = u32::MAX;

    pub(crate) fn new(home: Home) -> Scope {
        let (head, waiting) = (AtomicU32::new(Scope::NONE), AtomicU32::new(Scope::NONE));
        let cancelled = AtomicBool::new(false);
        Scope { state: Arc::new(ScopeState { proactor: home.proactor, cancelled, head, waiting }) }
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Release);
    }

    /// Whether both are the same scope.
    pub(super) fn is(&self, other: &Scope) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    pub(super) fn is_at(&self, home: Home) -> bool {
        self.state.proactor == home.proactor
    }

    pub(super) fn head(&self) -> u32 {
        self.state.head.load(Ordering::Relaxed)
    }

    pub(super) fn set_head(&self, slot: u32) {
        self.state.head.store(slot, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> u32 {
        self.state.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn set_waiting(&self, slot: u32) {
        self.state.waiting.store(slot, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("cancelled", &self.is_cancelled()).finish()
    }
}

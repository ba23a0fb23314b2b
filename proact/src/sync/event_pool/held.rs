//! What the handles of an event share, and what becomes of it when the last one goes.

use std::ops::Deref;
use std::ptr::NonNull;

use super::Shared;
use crate::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use crate::resource::Resource;

/// More handles than there can be without leaking them.
const HANDLES_MAX: u32 = i32::MAX as u32;

/// An event's descriptor, and who has a handle to it.
///
/// Alone in a box, or one of many in the memory of a pool.
#[repr(align(128))]
pub(super) struct Core {
    pub(super) resource: Resource,
    handles: AtomicU32,
    /// It may have been set since it was last known to be reset.
    touched: AtomicBool,
    /// Its descriptor was made elsewhere.
    imported: bool,
    /// In its pool: which one lies below it in a stack.
    pub(super) below: AtomicU32,
    /// Its number in its pool.
    pub(super) index: u32,
    /// Where it goes back to. It lives for as long as one of its events is out.
    pool: Option<NonNull<Shared>>,
}

impl Core {
    pub(super) fn new(resource: Resource, index: u32, pool: Option<NonNull<Shared>>) -> Core {
        Core {
            resource,
            handles: AtomicU32::new(1),
            touched: AtomicBool::new(false),
            imported: false,
            below: AtomicU32::new(0),
            index,
            pool,
        }
    }

    /// Whether it may be set. Says no from now on. Only of one that nobody has.
    #[inline]
    pub(super) fn take_touched(&self) -> bool {
        // What was stored last is seen: the last holder gave the event back since, and this one acquired it.
        let touched = self.touched.load(Ordering::Relaxed);
        if touched {
            self.touched.store(false, Ordering::Relaxed);
        }
        touched
    }

    /// It may be set, as it was before [`Core::take_touched`]. Only of one that nobody has.
    pub(super) fn mark_touched(&self) {
        // Relaxed: whoever takes the event next acquires what was done before it was given back.
        self.touched.store(true, Ordering::Relaxed);
    }
}

/// One handle of an event: keeps it, and gives it back or closes it when it was the last.
pub(crate) struct Held {
    core: NonNull<Core>,
}

// SAFETY: what it points to is shared by handles on any thread: a resource, which is `Send` and `Sync`, and atomics.
// The rest of it is written only while nobody has a handle.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The first handle of an event of no pool.
    pub(crate) fn new(resource: Resource) -> Held {
        Held { core: NonNull::from(Box::leak(Box::new(Core::new(resource, 0, None)))) }
    }

    /// The first handle of an event whose descriptor was made elsewhere.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn imported(resource: Resource) -> Held {
        let core = Core { imported: true, ..Core::new(resource, 0, None) };
        Held { core: NonNull::from(Box::leak(Box::new(core))) }
    }

    /// Whether its descriptor was made elsewhere.
    pub(crate) fn is_imported(&self) -> bool {
        self.core().imported
    }

    /// The first handle of an event that was idle.
    ///
    /// # Safety
    ///
    /// The core is whole, its pool's, and the caller has taken its number: no other handle exists.
    #[inline]
    pub(super) unsafe fn first(core: NonNull<Core>) -> Held {
        // SAFETY: the caller's promise. It was left at one by whoever had the event last, and that has happened.
        debug_assert_eq!(unsafe { core.as_ref() }.handles.load(Ordering::Relaxed), 1);
        Held { core }
    }

    #[inline]
    fn core(&self) -> &Core {
        // SAFETY: a handle keeps its core: it is given back or freed only when the last one goes.
        unsafe { self.core.as_ref() }
    }

    /// It is about to be set.
    #[inline]
    pub(crate) fn touch(&self) {
        let touched = &self.core().touched;
        if !touched.load(Ordering::Relaxed) {
            touched.store(true, Ordering::Relaxed);
        }
    }
}

impl Deref for Held {
    type Target = Resource;

    #[inline]
    fn deref(&self) -> &Resource {
        &self.core().resource
    }
}

impl Clone for Held {
    fn clone(&self) -> Held {
        // Relaxed: whoever clones has a handle already, and hands the new one on by other means.
        if self.core().handles.fetch_add(1, Ordering::Relaxed) >= HANDLES_MAX {
            std::process::abort();
        }
        Held { core: self.core }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        let core = self.core();
        // One handle, which is this one: nobody is left who could make another, so there is nothing to exchange.
        // Acquire: what other handles did before they went has happened.
        if core.handles.load(Ordering::Acquire) != 1 {
            if core.handles.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
            // For the next one, who then need not write it: a write shortly before an exchange is waited for.
            core.handles.store(1, Ordering::Relaxed);
        }
        match core.pool {
            // SAFETY: the pool lives while one of its events is out, which this one is until it has been given back.
            Some(pool) => unsafe { Shared::give(pool, self.core) },
            // SAFETY: made by `Held::new` from a box, and this was the last handle.
            None => drop(unsafe { Box::from_raw(self.core.as_ptr()) }),
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

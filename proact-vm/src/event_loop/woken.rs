//! Which waits are to be looked at again, told from any thread.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::atomic::{AtomicBool, Mutex, MutexGuard, Ordering};

/// What has whoever runs the loop look at it. Called from any thread, under no lock; it must not panic.
pub(super) trait Bell: Send + Sync + 'static {
    fn ring(&self);
}

/// The places of waits whose wakers were called.
pub(super) struct Woken<B> {
    list: Mutex<Vec<u32>>,
    pub(super) bell: B,
}

impl<B: Bell> Woken<B> {
    pub(super) fn new(bell: B) -> Arc<Woken<B>> {
        Arc::new(Woken { list: Mutex::default(), bell })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what was woken to `places`. Room is kept for `waits` more, so that no waker has to make some.
    pub(super) fn take(&self, places: &mut Vec<u32>, waits: usize) {
        let mut list = self.lock();
        if !list.is_empty() {
            places.append(&mut list);
        }
        list.reserve(waits);
    }
}

/// The waker of one place: it is made once, and serves all waits that take the place. So a waker that is called late
/// has another wait looked at in vain, which harms nothing.
pub(super) struct PlaceWaker<B> {
    place: u32,
    /// It stands in the list: another call adds nothing.
    is_listed: AtomicBool,
    woken: Arc<Woken<B>>,
}

impl<B: Bell> PlaceWaker<B> {
    pub(super) fn new(place: u32, woken: Arc<Woken<B>>) -> (Arc<PlaceWaker<B>>, Waker) {
        let own = Arc::new(PlaceWaker { place, is_listed: AtomicBool::new(false), woken });
        let waker = Waker::from(own.clone());
        (own, waker)
    }

    /// Before the wait is looked at: a call from now on is another one. An exchange, so that what a call before it
    /// told of is seen.
    pub(super) fn unlist(&self) {
        self.is_listed.swap(false, Ordering::SeqCst);
    }
}

impl<B: Bell> Wake for PlaceWaker<B> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_listed.swap(true, Ordering::SeqCst) {
            self.woken.lock().push(self.place);
            self.woken.bell.ring();
        }
    }
}

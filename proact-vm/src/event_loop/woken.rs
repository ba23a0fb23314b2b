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

/// What the models of bells have in common.
#[cfg(all(test, loom))]
pub(super) mod model {
    use loom::thread::{self, JoinHandle};

    use super::*;

    /// Two waits, one of which is woken twice, by two threads: three flags, each set before its waker is called.
    /// Relaxed: what a wake does not make seen is a finding.
    pub(in crate::event_loop) struct Wakers<B> {
        woken: Arc<Woken<B>>,
        places: [Arc<PlaceWaker<B>>; 2],
        flags: Arc<[AtomicBool; 3]>,
        seen: [bool; 3],
        to_poll: Vec<u32>,
        threads: Vec<JoinHandle<()>>,
    }

    impl<B: Bell> Wakers<B> {
        pub(in crate::event_loop) fn start(woken: &Arc<Woken<B>>) -> Wakers<B> {
            let flags = Arc::new([(); 3].map(|()| AtomicBool::new(false)));
            let [one, other] = [0, 1].map(|place| PlaceWaker::new(place, woken.clone()));
            let mut threads = Vec::new();
            for (waker, theirs) in [(one.1, 0..1), (other.1, 1..3)] {
                let flags = flags.clone();
                threads.push(thread::spawn(move || {
                    for flag in theirs {
                        flags[flag].store(true, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                }));
            }
            let (woken, to_poll) = (woken.clone(), Vec::new());
            Wakers { woken, places: [one.0, other.0], flags, seen: [false; 3], to_poll, threads }
        }

        /// Looks at the waits that were woken, as a loop does. Says whether all flags were seen.
        pub(in crate::event_loop) fn look(&mut self) -> bool {
            self.woken.take(&mut self.to_poll, 2);
            for place in self.to_poll.drain(..) {
                self.places[place as usize].unlist();
                let theirs = if place == 0 { 0..1 } else { 1..3 };
                theirs.for_each(|flag| self.seen[flag] |= self.flags[flag].load(Ordering::Relaxed));
            }
            self.seen == [true; 3]
        }

        pub(in crate::event_loop) fn join(self) {
            self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
    }
}

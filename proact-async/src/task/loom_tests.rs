//! Tasks under every interleaving: who wakes, runs, completes, aborts and joins, and how a home ends.

use std::pin::Pin;
use std::sync::Arc;
// Counts are the machine's own, so that they order nothing: a model's threads are coroutines of one thread.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Mutex, Notify};
use loom::thread;

mod ends;
mod orders;

use super::{Alarm, Home, HomeRef, JoinHandle, set_here, spawn_here, spawn_send};

/// Counts those that are there.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::Relaxed);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As a proactor's: heard by the next look, if nobody looks now. That a proactor keeps this is what the models of its
/// remote stack say: `loom_no_wake_request_leaves_the_poll_thread_asleep`.
struct Bell {
    rung: Arc<Notify>,
    rings: Arc<AtomicUsize>,
    _alive: Alive,
}

impl Alarm for Bell {
    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.rung.notify();
    }
}

/// A home, and the thread that runs it: the model's own.
struct Owner {
    home: *const Home,
    rung: Arc<Notify>,
    /// How often the alarm rang.
    rings: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

impl Owner {
    fn new() -> Owner {
        let (rung, alive) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Bell { rung: rung.clone(), rings: rings.clone(), _alive: Alive::new(&alive) };
        let home = Home::new(Box::new(bell));
        set_here(home);
        Owner { home, rung, rings, alive }
    }

    fn home(&self) -> &Home {
        // SAFETY: left when this goes.
        unsafe { &*self.home }
    }

    fn reference(&self) -> HomeRef {
        // SAFETY: as above.
        unsafe { HomeRef::new(self.home) }
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        // SAFETY: the home is this thread's.
        unsafe { spawn_here(self.home, future) }
    }

    /// Runs until `done`, and sleeps when nothing is ready: for ever, if a wake was lost, which loom finds.
    fn run_until(&self, mut done: impl FnMut() -> bool) {
        loop {
            self.home().take_remote();
            self.home().run(4);
            if done() {
                return;
            }
            if !self.home().is_ready() {
                self.rung.wait();
            }
        }
    }

    /// Ends all. What others still hold, they free.
    fn leave(self) -> Arc<AtomicUsize> {
        self.home().end_all();
        set_here(std::ptr::null());
        // SAFETY: on its own thread, once.
        unsafe { Home::leave(self.home) };
        self.alive.clone()
    }
}

/// What one thread tells another by a waker.
struct Slot {
    written: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Slot {
    fn new() -> Arc<Slot> {
        Arc::new(Slot { written: AtomicBool::new(false), waker: Mutex::new(None) })
    }

    fn write(&self) {
        self.written.store(true, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Take(Arc<Slot>, #[allow(dead_code)] Alive); // counted

impl Future for Take {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let mut place = self.0.waker.lock().unwrap();
        if place.is_none() && !self.0.written.load(Ordering::Relaxed) {
            *place = Some(cx.waker().clone());
        }
        drop(place);
        if !self.0.written.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Poll::Ready(7)
    }
}

// SAFETY: models run on one thread of the system.
unsafe impl Send for Take {}

fn joined<T>(task: &mut JoinHandle<T>) -> Option<Result<T, super::JoinError>> {
    task.try_join()
}

#[test]
fn loom_a_wake_from_another_thread_is_never_lost() {
    loom::model(|| {
        let owner = Owner::new();
        let slot = Slot::new();
        let mut task = owner.spawn(Take(slot.clone(), Alive::new(&owner.alive)));
        let writer = thread::spawn(move || slot.write());
        let mut output = None;
        owner.run_until(|| {
            output = joined(&mut task);
            output.is_some()
        });
        assert_eq!(output.unwrap().unwrap(), 7);
        writer.join().unwrap();
        drop(task);
        assert_eq!(owner.leave().load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_what_was_done_before_a_wake_is_seen_by_the_poll() {
    loom::model(|| {
        let owner = Owner::new();
        let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
        #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
        let cell = Arc::new(UnsafeCell::new(0));
        let (keep, read) = (kept.clone(), cell.clone());
        let mut first = true;
        let mut task = owner.spawn(std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut first, false) {
                *keep.lock().unwrap() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // SAFETY: written before the wake; that this is seen is what the model checks.
            Poll::Ready(read.with(|value| unsafe { *value }))
        }));
        owner.home().run(1);
        let waker = kept.lock().unwrap().take().unwrap();
        let writer = thread::spawn(move || {
            // SAFETY: as above.
            cell.with_mut(|value| unsafe { *value = 5 });
            waker.wake();
        });
        let mut output = None;
        owner.run_until(|| {
            output = joined(&mut task);
            output.is_some()
        });
        assert_eq!(output.unwrap().unwrap(), 5);
        writer.join().unwrap();
        drop(task);
        assert_eq!(owner.leave().load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_wakers_on_two_threads_and_the_end_of_the_task_free_it_once() {
    loom::model(|| {
        let owner = Owner::new();
        let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let (keep, alive) = (kept.clone(), Alive::new(&owner.alive));
        let mut first = true;
        drop(owner.spawn(std::future::poll_fn(move |cx| {
            let _alive = &alive;
            if std::mem::replace(&mut first, false) {
                *keep.lock().unwrap() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })));
        owner.home().run(1);
        let waker = kept.lock().unwrap().take().unwrap();
        let other = waker.clone();
        let threads = [thread::spawn(move || other.wake()), thread::spawn(move || waker.wake_by_ref())];
        let home = owner.home;
        // SAFETY: the owner has not left.
        owner.run_until(|| unsafe { &*home }.tasks() == 0);
        let alive = owner.leave();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

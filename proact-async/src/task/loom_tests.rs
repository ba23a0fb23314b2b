//! Tasks under every interleaving: who wakes, runs, completes, aborts and joins, and how a home ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Mutex, Notify};
use loom::thread;

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
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// As a proactor's: heard by the next look, if nobody looks now.
struct Bell {
    rung: Arc<Notify>,
    _alive: Alive,
}

impl Alarm for Bell {
    fn ring(&self) {
        self.rung.notify();
    }
}

/// A home, and the thread that runs it: the model's own.
struct Owner {
    home: *const Home,
    rung: Arc<Notify>,
    alive: Arc<AtomicUsize>,
}

impl Owner {
    fn new() -> Owner {
        let (rung, alive) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let home = Home::new(Box::new(Bell { rung: rung.clone(), _alive: Alive::new(&alive) }));
        set_here(home);
        Owner { home, rung, alive }
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
        assert_eq!(owner.leave().load(Ordering::Acquire), 0, "all is freed");
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
        assert_eq!(owner.leave().load(Ordering::Acquire), 0, "all is freed");
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
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

#[test]
fn loom_a_task_is_joined_from_another_thread() {
    loom::model(|| {
        let owner = Owner::new();
        // SAFETY: the home is there.
        let mut task = owner.spawn(std::future::ready(3));
        let rung = Arc::new(Notify::new());
        let told = rung.clone();
        let joiner = thread::spawn(move || {
            struct Tell(Arc<Notify>);
            impl std::task::Wake for Tell {
                fn wake(self: Arc<Self>) {
                    self.0.notify();
                }
            }
            let waker = Waker::from(Arc::new(Tell(told)));
            loop {
                match Pin::new(&mut task).poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(output) => return output.unwrap(),
                    Poll::Pending => rung.wait(),
                }
            }
        });
        owner.home().run(1);
        let alive = owner.leave();
        assert_eq!(joiner.join().unwrap(), 3);
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

#[test]
fn loom_a_handle_dropped_elsewhere_leaves_the_output_to_one_of_both() {
    loom::model(|| {
        let owner = Owner::new();
        let output = Alive::new(&owner.alive);
        let task = owner.spawn(async move { output });
        let dropper = thread::spawn(move || drop(task));
        owner.home().run(1);
        let alive = owner.leave();
        dropper.join().unwrap();
        assert_eq!(alive.load(Ordering::Acquire), 0, "dropped once, and all is freed");
    });
}

#[test]
fn loom_an_abort_from_another_thread_ends_the_task() {
    loom::model(|| {
        let owner = Owner::new();
        let alive = Alive::new(&owner.alive);
        let mut task = owner.spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        let abort = task.abort_handle().unwrap();
        let aborter = thread::spawn(move || abort.abort());
        let mut output = None;
        owner.run_until(|| {
            output = joined(&mut task);
            output.is_some()
        });
        assert!(output.unwrap().unwrap_err().is_cancelled());
        drop(task);
        let alive = owner.leave();
        aborter.join().unwrap();
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

#[test]
fn loom_a_task_from_another_thread_runs_or_is_cancelled_by_the_end_of_its_home() {
    loom::model(|| {
        let owner = Owner::new();
        let (reference, alive) = (owner.reference(), Alive::new(&owner.alive));
        let spawner = thread::spawn(move || {
            // SAFETY: held.
            unsafe { spawn_send(reference.as_ptr(), async move { drop(alive) }) }
        });
        owner.home().take_remote();
        owner.home().run(4);
        let alive = owner.leave();
        let mut task = spawner.join().unwrap();
        let output = joined(&mut task).expect("it has ended one way or the other");
        assert!(output.is_ok() || output.unwrap_err().is_cancelled());
        drop(task);
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

#[test]
fn loom_a_wake_that_meets_the_end_of_the_home_harms_nothing() {
    loom::model(|| {
        let owner = Owner::new();
        let slot = Slot::new();
        drop(owner.spawn(Take(slot.clone(), Alive::new(&owner.alive))));
        owner.home().run(1);
        let writer = thread::spawn(move || slot.write());
        let alive = owner.leave();
        writer.join().unwrap();
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

/// A thread's end as [`Threads`](crate::Threads) asks for it: a flag, and a wake of whoever waits for it.
#[test]
fn loom_a_request_to_stop_is_never_lost() {
    loom::model(|| {
        let owner = Owner::new();
        let stop = Slot::new();
        let (asked, reference) = (stop.clone(), owner.reference());
        let mut root = owner.spawn(Take(stop, Alive::new(&owner.alive)));
        let asker = thread::spawn(move || {
            // SAFETY: held.
            drop(unsafe { spawn_send(reference.as_ptr(), async {}) });
            asked.write();
        });
        owner.run_until(|| joined(&mut root).is_some());
        drop(root);
        let alive = owner.leave();
        asker.join().unwrap();
        assert_eq!(alive.load(Ordering::Acquire), 0, "all is freed");
    });
}

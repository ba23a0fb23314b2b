//! Futures of a pool's buffers under every interleaving: `ci/loom.sh loom_tests::loom_lease`.

use std::task::Wake;

use loom::sync::Notify;
use loom::thread;

use super::*;
use crate::memory::Slab;

/// A waker that is heard by the next look.
struct Bell(Notify);

impl Bell {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new() -> Arc<Bell> {
        Arc::new(Bell(Notify::new()))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn pool() -> BufferPool {
    BufferPool::new(Slab::wrap(vec![0_u8; 1], 1, 1).unwrap()).unwrap()
}

fn poll(future: &mut LeaseFuture, bell: &Arc<Bell>) -> Poll<Lease> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// Polls as one who sleeps in between: for ever if a wake was lost, which loom finds.
fn wait(mut future: LeaseFuture, mut bell: Arc<Bell>) -> Lease {
    loop {
        let next = Bell::new();
        match poll(&mut future, &next) {
            Poll::Ready(lease) => return lease,
            Poll::Pending => bell = next,
        }
        bell.0.wait();
    }
}

fn release(lease: Lease) -> thread::JoinHandle<()> {
    thread::spawn(move || drop(lease))
}

#[test]
fn loom_lease_that_comes_back_wakes_the_last_waker_of_who_waits() {
    loom::model(|| {
        let pool = pool();
        let other = release(pool.acquire().unwrap());
        let (mut future, first) = (pool.lease(), Bell::new());
        match poll(&mut future, &first) {
            Poll::Ready(lease) => drop(lease),
            Poll::Pending => drop(wait(future, first)),
        }
        other.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}

/// The first who waits goes away while the buffer comes back: told or not, it leaves it to the second.
#[test]
fn loom_lease_that_comes_back_to_a_future_that_is_dropped_goes_to_the_next() {
    loom::model(|| {
        let pool = pool();
        let held = pool.acquire().unwrap();
        let (mut first, mut second) = (pool.lease(), pool.lease());
        let bell = Bell::new();
        assert!(poll(&mut first, &Bell::new()).is_pending());
        assert!(poll(&mut second, &bell).is_pending());
        let other = release(held);
        drop(first);
        bell.0.wait();
        drop(wait(second, bell));
        other.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}

/// The buffer is taken by another in between, who gives it back too.
#[test]
fn loom_lease_that_another_takes_first_comes_to_who_waits_in_the_end() {
    loom::model(|| {
        let pool = pool();
        let held = pool.acquire().unwrap();
        let (mut future, bell) = (pool.lease(), Bell::new());
        assert!(poll(&mut future, &bell).is_pending());
        let thief = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.acquire()))
        };
        let other = release(held);
        bell.0.wait();
        drop(wait(future, bell));
        thief.join().unwrap();
        other.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}

/// The pool is there until the future that waits has gone, and the buffer that came back for it.
#[test]
fn loom_lease_and_the_last_future_of_a_pool_go_at_once() {
    loom::model(|| {
        let pool = pool();
        let held = pool.acquire().unwrap();
        let mut future = pool.lease();
        drop(pool);
        assert!(poll(&mut future, &Bell::new()).is_pending());
        let other = release(held);
        drop(future);
        other.join().unwrap();
    });
}

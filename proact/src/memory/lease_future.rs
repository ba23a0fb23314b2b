//! Waiting for a buffer of a pool, under any executor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::waiters::{Starved, WaitKey};
use super::{BufferPool, Lease};
use crate::atomic::Mutex;
use crate::backend::Token;

/// Waits until a pool has a buffer, and takes it: of [`BufferPool::lease`].
///
/// Dropping it at any time takes nothing: a buffer that came back for it goes to the next who waits.
#[must_use = "a future does nothing unless it is polled"]
pub struct LeaseFuture {
    pool: BufferPool,
    wait: Option<(WaitKey, Arc<Told>)>,
}

/// What the wait and the pool share.
struct Told {
    state: Mutex<State>,
}

struct State {
    told: bool,
    waker: Option<Waker>,
}

impl Told {
    fn new(waker: &Waker) -> Arc<Told> {
        Arc::new(Told { state: Mutex::new(State { told: false, waker: Some(waker.clone()) }) })
    }

    /// Whether a buffer came back. If not, `waker` is woken when one does.
    fn look(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.told || state.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        let old = if known { None } else { state.waker.replace(waker.clone()) };
        let told = state.told;
        drop(state);
        // Not under the lock: it may run a user's code, and that give a buffer back, which comes here.
        drop(old);
        told
    }
}

impl Starved for Told {
    fn buffer_returned(&self, _: Token) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.told = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl BufferPool {
    /// Waits until there is a buffer, and takes it, on any thread and under any executor. Those who wait, operations
    /// among them, are served in the order in which they came; one whose buffer was [acquired](BufferPool::acquire) by
    /// somebody in between is the next again.
    ///
    /// ```
    /// use proact::memory::{Allocation, BufferPool, Slab};
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let pool = BufferPool::new(Slab::allocate(4096, 1, &Allocation::new())?)?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let first = pool.acquire()?;
    /// let mut second = pin!(pool.lease());
    /// assert!(second.as_mut().poll(&mut cx).is_pending());
    /// drop(first);
    /// assert!(second.as_mut().poll(&mut cx).is_ready());
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn lease(&self) -> LeaseFuture {
        LeaseFuture { pool: self.clone(), wait: None }
    }
}

impl Future for LeaseFuture {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lease> {
        let this = &mut *self;
        let again = match &this.wait {
            Some((_, told)) if !told.look(cx.waker()) => return Poll::Pending,
            waited => waited.is_some(),
        };
        // Told, so in the queue no more: from here on this is answerable for that buffer.
        this.wait = None;
        loop {
            if let Ok(lease) = this.pool.acquire() {
                return Poll::Ready(lease);
            }
            let told = Told::new(cx.waker());
            let key = match again {
                true => this.pool.await_buffer_again(Token::new(0, 0), told.clone()),
                false => this.pool.await_buffer(Token::new(0, 0), told.clone()),
            };
            if let Some(key) = key {
                this.wait = Some((key, told));
                return Poll::Pending;
            }
        }
    }
}

impl Drop for LeaseFuture {
    fn drop(&mut self) {
        if let Some((key, _)) = self.wait.take() {
            self.pool.forget(key);
        }
    }
}

impl fmt::Debug for LeaseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseFuture").field("pool", &self.pool).field("waits", &self.wait.is_some()).finish()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{Allocation, Slab};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn pool(count: u32) -> BufferPool {
        BufferPool::new(Slab::allocate(64, count, &Allocation::new()).unwrap()).unwrap()
    }

    fn poll(future: &mut LeaseFuture, waker: &Waker) -> Poll<Lease> {
        Pin::new(future).poll(&mut Context::from_waker(waker))
    }

    fn taken(poll: Poll<Lease>) -> Lease {
        match poll {
            Poll::Ready(lease) => lease,
            Poll::Pending => panic!("there is a buffer"),
        }
    }

    #[test]
    fn waits_are_served_in_their_order_and_each_is_woken_once() {
        let pool = pool(1);
        let held = pool.acquire().unwrap();
        let counts: Vec<_> = (0..3).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        let wakers: Vec<_> = counts.iter().map(|count| Waker::from(count.clone())).collect();
        let mut waits: Vec<_> = (0..3).map(|_| pool.lease()).collect();
        for (wait, waker) in waits.iter_mut().zip(&wakers) {
            assert!(poll(wait, waker).is_pending());
        }
        let woken = || counts.iter().map(|count| count.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        drop(held);
        assert_eq!(woken(), [1, 0, 0]);
        let first = taken(poll(&mut waits[0], &wakers[0]));
        drop(first);
        assert_eq!(woken(), [1, 1, 0]);
        taken(poll(&mut waits[1], &wakers[1]));
        assert_eq!(woken(), [1, 1, 1]);
    }

    #[test]
    fn one_whose_buffer_was_taken_is_the_next_again() {
        let pool = pool(1);
        let held = pool.acquire().unwrap();
        let (mut first, mut second) = (pool.lease(), pool.lease());
        assert!(poll(&mut first, Waker::noop()).is_pending());
        assert!(poll(&mut second, Waker::noop()).is_pending());
        drop(held);
        let barged = pool.acquire().unwrap();
        assert!(poll(&mut first, Waker::noop()).is_pending());
        drop(barged);
        let lease = taken(poll(&mut first, Waker::noop()));
        assert!(poll(&mut second, Waker::noop()).is_pending());
        drop(lease);
        taken(poll(&mut second, Waker::noop()));
    }

    #[test]
    fn a_wait_that_was_told_and_dropped_passes_its_buffer_on() {
        let pool = pool(1);
        let held = pool.acquire().unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let (mut first, mut second) = (pool.lease(), pool.lease());
        assert!(poll(&mut first, Waker::noop()).is_pending());
        assert!(poll(&mut second, &Waker::from(count.clone())).is_pending());
        drop(held);
        drop(first);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "the second is told of what the first does not take");
        taken(poll(&mut second, Waker::noop()));
        drop(pool.lease());
        assert_eq!(pool.available(), 1);
    }

    #[test]
    fn a_waker_that_is_replaced_may_give_the_buffer_back_that_is_waited_for() {
        struct Holds(#[allow(dead_code)] Lease); // for its drop
        impl Wake for Holds {
            fn wake(self: Arc<Self>) {}
        }
        let pool = pool(1);
        let (mut wait, count) = (pool.lease(), Arc::new(Count(AtomicUsize::new(0))));
        let first = Waker::from(Arc::new(Holds(pool.acquire().unwrap())));
        assert!(poll(&mut wait, &first).is_pending());
        drop(first);
        let second = Waker::from(count.clone());
        assert!(poll(&mut wait, &second).is_pending(), "the first waker goes at the end of this, with its buffer");
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        taken(poll(&mut wait, &second));
    }

    #[test]
    fn many_threads_share_few_buffers_and_none_waits_for_ever() {
        let pool = pool(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    struct Unpark(std::thread::Thread);
                    impl Wake for Unpark {
                        fn wake(self: Arc<Self>) {
                            self.0.unpark();
                        }
                    }
                    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                    for round in 0..500 {
                        let mut wait = pool.lease();
                        if round % 5 == 0 {
                            let _ = poll(&mut wait, &waker);
                            continue;
                        }
                        while poll(&mut wait, &waker).is_pending() {
                            std::thread::park();
                        }
                    }
                });
            }
        });
        assert_eq!(pool.available(), 2);
    }
}

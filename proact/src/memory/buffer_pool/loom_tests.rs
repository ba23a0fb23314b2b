//! The end of a pool under every interleaving: `ci/loom.sh loom_tests::loom_pool`.

use std::sync::atomic::{AtomicU32 as PlainU32, Ordering as PlainOrdering};

use loom::thread;

use super::*;
use crate::memory::{StableBytes, StableBytesMut};

/// Bytes that count how often they are dropped. Their owner is the pool's region, which is dropped with the pool.
struct Counted(Box<[u8]>, Arc<PlainU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, PlainOrdering::SeqCst);
    }
}

// SAFETY: as a boxed slice, which it is.
unsafe impl StableBytes for Counted {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: as above; nothing else reaches the slice.
unsafe impl StableBytesMut for Counted {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

fn pool(buffers: u32) -> (BufferPool, Arc<PlainU32>) {
    let drops = Arc::new(PlainU32::new(0));
    let bytes = Counted(vec![0; buffers as usize].into(), drops.clone());
    (BufferPool::new(Slab::wrap(bytes, 1, buffers).unwrap()).unwrap(), drops)
}

#[test]
fn loom_pool_is_freed_once_by_the_last_of_handles_and_leases() {
    loom::model(|| {
        let (pool, drops) = pool(2);
        let threads = [pool.acquire().unwrap(), pool.acquire().unwrap()].map(|mut lease| {
            thread::spawn(move || {
                lease[0] = 1;
                drop(lease);
            })
        });
        drop(pool);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(PlainOrdering::SeqCst), 1);
    });
}

#[test]
fn loom_pool_is_not_freed_while_a_clone_is_made_and_dropped() {
    loom::model(|| {
        let (pool, drops) = pool(1);
        let (clone, held) = (pool.clone(), drops.clone());
        let thread = thread::spawn(move || {
            let again = clone.clone();
            drop(clone);
            let lease = again.acquire().unwrap();
            drop(again);
            assert_eq!(held.load(PlainOrdering::SeqCst), 0);
            drop(lease);
        });
        drop(pool);
        thread.join().unwrap();
        assert_eq!(drops.load(PlainOrdering::SeqCst), 1);
    });
}

struct Deaf;

impl Starved for Deaf {
    fn buffer_returned(&self, _: Token) {}
}

/// Telling goes to the waiters after the buffer is back, when nothing but a handle keeps the pool.
#[test]
fn loom_pool_is_there_while_its_waiters_are_told() {
    loom::model(|| {
        let (pool, drops) = pool(1);
        let lease = pool.acquire().unwrap();
        let key = pool.await_buffer(Token::new(0, 1), Arc::new(Deaf)).unwrap();
        let thread = thread::spawn(move || drop(lease));
        pool.forget(key);
        drop(pool);
        thread.join().unwrap();
        assert_eq!(drops.load(PlainOrdering::SeqCst), 1);
    });
}

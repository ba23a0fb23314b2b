use std::io::Write;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::pools::IDLE_MAX;
use super::*;
use crate::backend::{BufferSource, RawBuffer};

const BUFFERS: u32 = 8;
const SIZE: usize = 64;

/// Memory, and which buffers of it are idle.
struct Pool {
    id: u64,
    memory: NonNull<[u8; BUFFERS as usize * SIZE]>,
    idle: Mutex<Vec<u32>>,
}

// SAFETY: the memory is only pointed to; what goes into it is the kernel's affair, by the buffers that were taken.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    fn available(&self) -> u32 {
        self.idle.lock().unwrap().len() as u32
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        assert_eq!(self.available(), BUFFERS, "freed with buffers that are out");
        // SAFETY: made by `Box::leak` in `pool`, and no buffer of it is out.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

// SAFETY: the list hands each number out once until it is put back; the buffers are disjoint and live as the pool does.
unsafe impl BufferSource for Pool {
    fn id(&self) -> u64 {
        self.id
    }

    fn take(&self) -> Option<RawBuffer> {
        let index = self.idle.lock().unwrap().pop()?;
        let pointer = self.memory.as_ptr().cast::<u8>().wrapping_add(index as usize * SIZE);
        Some(RawBuffer { index, pointer, length: SIZE as u32 })
    }

    unsafe fn put(&self, index: u32) {
        self.idle.lock().unwrap().push(index);
    }

    unsafe fn hold(&self, _: u32) {
        unreachable!("it is not filled in parts")
    }

    fn buffer_size(&self) -> u32 {
        SIZE as u32
    }

    fn count(&self) -> u32 {
        BUFFERS
    }
}

/// A pool, and the same as what a backend takes from.
fn pool() -> (Arc<Pool>, Arc<dyn BufferSource>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let memory = NonNull::from(Box::leak(Box::new([0; BUFFERS as usize * SIZE])));
    let (id, idle) = (NEXT.fetch_add(1, Ordering::Relaxed), Mutex::new((0..BUFFERS).collect()));
    let pool = Arc::new(Pool { id, memory, idle });
    (pool.clone(), pool)
}

/// A backend with rings of buffers.
fn driver() -> Option<Driver> {
    let driver = Driver::new()?;
    if driver.backend.capabilities().contains(Capabilities::BUFFER_RINGS) {
        return Some(driver);
    }
    println!("skipped: no rings of buffers");
    None
}

/// Receives into a buffer of the source's, which is given back. Yields the result.
fn receive(driver: &mut Driver, socket: &UnixStream, source: &Arc<dyn BufferSource>) -> i32 {
    let request = Request::ReceivePooled { socket: descriptor(socket), source, multishot: false };
    let token = driver.start(request);
    finish(driver, token, source)
}

fn finish(driver: &mut Driver, token: Token, source: &Arc<dyn BufferSource>) -> i32 {
    let deadline = driver.backend.clock.now() + PATIENCE;
    loop {
        let mut completions = Vec::new();
        driver.backend.poll(Wait::Until(deadline), &mut completions).unwrap();
        if let Some(completion) = completions.into_iter().find(|completion| completion.token == token) {
            if let Some(index) = completion.buffer() {
                // SAFETY: the completion has named it, and nobody looks at it.
                unsafe { source.put(index) };
            }
            return completion.result;
        }
        assert!(driver.backend.clock.now() < deadline, "{token:?} did not complete");
    }
}

/// More often than a ring has places, and not a multiple of that: its end comes to lie everywhere.
const OFTEN: usize = 4 * BUFFERS as usize + 3;

#[test]
fn receives_one_after_another_register_one_ring_and_leave_the_pool_whole_between_them() {
    let Some(mut driver) = driver() else { return };
    let ((pool, source), (mut near, far)) = (pool(), UnixStream::pair().unwrap());
    for round in 0..OFTEN {
        near.write_all(&vec![7; round % 3 + 1]).unwrap();
        assert_eq!(receive(&mut driver, &far, &source), (round % 3 + 1) as i32);
        driver.settle();
        assert_eq!(pool.available(), BUFFERS, "in round {round}");
    }
    // As after a cancel, of one that has taken no buffer.
    let request = Request::ReceivePooled { socket: descriptor(&far), source: &raw const source, multishot: false };
    let token = driver.start(request);
    driver.settle();
    assert!(pool.available() < BUFFERS, "some are with the kernel");
    driver.backend.cancel(token);
    assert_eq!(finish(&mut driver, token, &source), -libc::ECANCELED);
    driver.settle();
    assert_eq!(pool.available(), BUFFERS);
    // And the end of the stream.
    drop(near);
    assert_eq!(receive(&mut driver, &far, &source), 0);
    assert_eq!(driver.backend.table.pools.registrations, 1);
}

#[test]
fn rings_that_rest_starve_no_other_proactor_of_the_pool() {
    let (Some(mut one), Some(mut other)) = (driver(), driver()) else { return };
    let ((pool, source), (mut near, far)) = (pool(), UnixStream::pair().unwrap());
    for round in 0..OFTEN {
        for driver in [&mut one, &mut other] {
            near.write_all(b"x").unwrap();
            assert_eq!(receive(driver, &far, &source), 1);
            driver.settle();
        }
        assert_eq!(pool.available(), BUFFERS, "in round {round}");
    }
    for driver in [one, other] {
        assert_eq!(driver.backend.table.pools.registrations, 1);
    }
}

#[test]
fn a_pool_that_nobody_has_any_more_is_freed_and_its_ring_given_up() {
    let Some(mut driver) = driver() else { return };
    let (mut near, far) = UnixStream::pair().unwrap();
    for round in 1..=3 * IDLE_MAX {
        let (pool, source) = pool();
        near.write_all(b"x").unwrap();
        assert_eq!(receive(&mut driver, &far, &source), 1);
        driver.settle();
        assert_eq!(Arc::strong_count(&pool), 2, "a ring that rests holds no pool");
        drop((pool, source));
        driver.settle();
        let pools = &driver.backend.table.pools;
        assert_eq!((pools.registrations as usize, pools.registered()), (round, 0));
    }
}

#[test]
fn rings_that_rest_are_bounded() {
    let Some(mut driver) = driver() else { return };
    let (mut near, far) = UnixStream::pair().unwrap();
    let sources: Vec<_> = (0..2 * IDLE_MAX).map(|_| pool().1).collect();
    for _ in 0..2 {
        for source in &sources {
            near.write_all(b"x").unwrap();
            assert_eq!(receive(&mut driver, &far, source), 1);
        }
    }
    driver.settle();
    let pools = &driver.backend.table.pools;
    assert_eq!(pools.registered(), IDLE_MAX);
    assert_eq!(pools.registrations as usize, IDLE_MAX + 2 * IDLE_MAX, "those that were kept were used again");
}

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::super::pools::IDLE_MAX;
use super::*;
use crate::backend::BufferSource;
use crate::memory::{BufferPool, Slab};

const BUFFERS: u32 = 8;

fn pool() -> BufferPool {
    BufferPool::new(Slab::allocate(64, BUFFERS, &Default::default()).unwrap()).unwrap()
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
    let (pool, (mut near, far)) = (pool(), UnixStream::pair().unwrap());
    let source = pool.source();
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
    let (pool, (mut near, far)) = (pool(), UnixStream::pair().unwrap());
    let source = pool.source();
    for round in 0..OFTEN {
        for driver in [&mut one, &mut other] {
            near.write_all(b"x").unwrap();
            assert_eq!(receive(driver, &far, &source), 1);
            driver.settle();
        }
        let all: Vec<_> = (0..BUFFERS).map(|_| pool.acquire().unwrap()).collect();
        assert_eq!(pool.available(), 0, "in round {round}");
        drop(all);
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
        let source = pool().source();
        near.write_all(b"x").unwrap();
        assert_eq!(receive(&mut driver, &far, &source), 1);
        driver.settle();
        assert_eq!(Arc::strong_count(&source), 1, "a ring that rests holds no pool");
        drop(source);
        driver.settle();
        let pools = &driver.backend.table.pools;
        assert_eq!((pools.registrations as usize, pools.registered()), (round, 0));
    }
}

#[test]
fn rings_that_rest_are_bounded() {
    let Some(mut driver) = driver() else { return };
    let (mut near, far) = UnixStream::pair().unwrap();
    let sources: Vec<_> = (0..2 * IDLE_MAX).map(|_| pool().source()).collect();
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

//! How regions, slabs, pools and leases behave together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use super::*;
use crate::backend::{BufferSource, Token};
use crate::status::Code;

fn pool(buffer_size: usize, buffer_count: u32) -> BufferPool {
    BufferPool::new(Slab::allocate(buffer_size, buffer_count, &Allocation::new()).unwrap()).unwrap()
}

/// Counts who was told.
#[derive(Default)]
struct Told(Mutex<Vec<u32>>);

impl Starved for Told {
    fn buffer_returned(&self, token: Token) {
        self.0.lock().unwrap().push(token.slot());
    }
}

impl Told {
    fn slots(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Bytes that tell when they are dropped.
struct Noted(Box<[u8]>, Arc<AtomicUsize>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: as a boxed slice, which it is.
unsafe impl StableBytes for Noted {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: as above; nothing else reaches the slice.
unsafe impl StableBytesMut for Noted {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

#[test]
fn the_memory_lives_until_the_last_lease_though_the_pool_is_gone() {
    let drops = Arc::new(AtomicUsize::new(0));
    let slab = Slab::wrap(Noted(vec![0; 64].into(), drops.clone()), 32, 2).unwrap();
    let pool = BufferPool::new(slab).unwrap();
    let other = pool.clone();
    let (mut first, second) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    drop((pool, other));
    first.fill(7);
    drop(second);
    assert_eq!((drops.load(Ordering::SeqCst), &first[..]), (0, &[7; 32][..]));
    std::thread::spawn(move || drop(first)).join().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn pools_and_leases_that_go_at_once_free_the_memory_once() {
    for _ in 0..300 {
        let drops = Arc::new(AtomicUsize::new(0));
        let pool = BufferPool::new(Slab::wrap(Noted(vec![0; 4].into(), drops.clone()), 1, 4).unwrap()).unwrap();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (lease, barrier) = (pool.acquire().unwrap(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    drop(lease);
                });
            }
            barrier.wait();
            drop(pool);
        });
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn the_region_is_free_for_other_uses_once_pool_and_leases_are_gone() {
    let region = Region::allocate(4096, &Allocation::new()).unwrap();
    let slab = Slab::over(region.clone(), 1024, 4).unwrap();
    let pool = BufferPool::new(slab.clone()).unwrap();
    assert_eq!(BufferPool::new(slab.clone()).unwrap_err().code(), Code::FailedPrecondition, "a second pool");
    assert_eq!(region.span(0..1).unwrap_err().code(), Code::FailedPrecondition, "a span of leased memory");
    let lease = pool.acquire().unwrap();
    drop(pool);
    assert!(region.span(0..1).is_err(), "a lease is out");
    drop(lease);
    let span = region.span(0..4096).unwrap();
    assert_eq!(BufferPool::new(slab.clone()).unwrap_err().code(), Code::FailedPrecondition, "a span is out");
    let part = span.part(5..6);
    drop(span);
    assert!(BufferPool::new(slab.clone()).is_err(), "a part of it is out");
    drop(part);
    BufferPool::new(slab).unwrap();
}

#[test]
fn a_waiter_is_told_of_the_next_buffer_and_only_once() {
    let pool = pool(16, 1);
    let told = Arc::new(Told::default());
    assert!(pool.await_buffer(Token::new(0, 1), told.clone()).is_none(), "there is one");
    let lease = pool.acquire().unwrap();
    assert!(pool.await_buffer(Token::new(0, 2), told.clone()).is_some());
    assert_eq!(told.slots(), []);
    drop(lease);
    assert_eq!(told.slots(), [2]);
    drop(pool.acquire().unwrap());
    assert_eq!(told.slots(), []);
}

#[test]
fn one_of_two_waiters_is_told_per_buffer_in_order() {
    let pool = pool(16, 2);
    let told = Arc::new(Told::default());
    let (first, second) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    for slot in [3, 4, 5] {
        assert!(pool.await_buffer(Token::new(0, slot), told.clone()).is_some());
    }
    drop(first);
    assert_eq!(told.slots(), [3]);
    let first = pool.acquire().unwrap();
    drop(second);
    assert_eq!(told.slots(), [4]);
    drop((first, pool.acquire().unwrap()));
    assert_eq!(told.slots(), [5]);
}

#[test]
fn a_waiter_that_is_told_and_forgotten_hands_on_what_it_was_told() {
    let pool = pool(16, 1);
    let told = Arc::new(Told::default());
    let lease = pool.acquire().unwrap();
    let keys: Vec<_> = [6, 7, 8].map(|slot| pool.await_buffer(Token::new(0, slot), told.clone()).unwrap()).into();
    pool.forget(keys[1]);
    drop(lease);
    assert_eq!(told.slots(), [6]);
    pool.forget(keys[0]);
    assert_eq!(told.slots(), [8], "7 does not wait any more");
}

#[test]
fn a_buffer_that_a_backend_takes_is_in_no_other_list() {
    let pool = pool(16, 2);
    let source: Arc<dyn BufferSource> = pool.source();
    assert_eq!((source.buffer_size(), source.count(), source.id() == pool.source().id()), (16, 2, true));
    let (first, second) = (source.take().unwrap(), source.take().unwrap());
    assert_ne!(first.index, second.index);
    assert_eq!(second.pointer as usize - first.pointer as usize, 16);
    assert!(pool.acquire().is_err() && source.take().is_none());
    // SAFETY: taken above, and nothing else was done with it.
    unsafe { source.put(first.index) };
    assert_eq!(pool.available(), 1);
    // SAFETY: as above.
    let lease = unsafe { pool.adopt(second.index, 5) };
    assert_eq!((lease.len(), lease.capacity(), lease.index()), (5, 16, second.index));
    drop(lease);
    assert_eq!(pool.available(), 2);
}

#[test]
fn pools_have_different_ids() {
    assert_ne!(pool(1, 1).source().id(), pool(1, 1).source().id());
}

fn incremental(buffer_size: usize) -> BufferPool {
    BufferPool::incremental(Slab::allocate(buffer_size, 1, &Allocation::new()).unwrap()).unwrap()
}

/// Parts of one buffer, taken for them: each of so many bytes. `finished`: the last is the last that there will be.
fn parts<const N: usize>(pool: &BufferPool, length: u32, finished: bool) -> (u32, [Lease; N]) {
    let index = pool.source().take().unwrap().index;
    let parts = std::array::from_fn(|part| {
        // SAFETY: just taken, and held for each part but the one that ends the first hold.
        unsafe {
            if part + 1 < N || !finished {
                pool.source().hold(index);
            }
            pool.adopt_next(index, length)
        }
    });
    (index, parts)
}

#[test]
fn a_buffer_in_parts_is_back_after_the_last_part_whatever_the_order() {
    let pool = incremental(12);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut parts = parts::<3>(&pool, 4, true).1.map(Some);
        for (fill, part) in parts.iter_mut().enumerate() {
            part.as_mut().unwrap().fill(fill as u8);
        }
        assert_eq!(parts[1].as_ref().unwrap()[..], [1; 4]);
        for (count, part) in order.into_iter().enumerate() {
            assert_eq!(pool.available(), 0, "after {count} of {order:?}");
            parts[part] = None;
        }
        assert_eq!(pool.available(), 1);
    }
}

#[test]
fn a_buffer_whose_last_part_never_comes_is_back_after_the_put() {
    let pool = incremental(12);
    for put_first in [true, false] {
        let (index, part) = parts::<1>(&pool, 6, false);
        let mut part = Some(part);
        for step in [put_first, !put_first] {
            assert_eq!(pool.available(), 0);
            if step {
                // SAFETY: taken above; no part was the last, and no other will come.
                unsafe { pool.source().put(index) };
            } else {
                part = None;
            }
        }
        assert!(part.is_none());
        assert_eq!(pool.available(), 1);
    }
}

#[test]
fn a_part_that_is_told_after_the_put_is_still_whole() {
    let pool = incremental(12);
    for _ in 0..2 {
        let index = pool.source().take().unwrap().index;
        // SAFETY: just taken; the part is held, and told of after its source has given the buffer up.
        let part = unsafe {
            pool.source().hold(index);
            pool.source().put(index);
            assert_eq!(pool.available(), 0);
            pool.adopt_next(index, 5)
        };
        assert_eq!((part.len(), part.offset(), pool.available()), (5, 0, 0));
        drop(part);
        assert_eq!(pool.available(), 1);
    }
}

#[test]
fn parts_dropped_by_several_threads_give_the_buffer_back_once() {
    let pool = incremental(8);
    for _ in 0..500 {
        let mut parts = parts::<8>(&pool, 1, true).1.into_iter();
        std::thread::scope(|scope| {
            let half: Vec<Lease> = parts.by_ref().take(4).collect();
            scope.spawn(move || drop(half));
            parts.for_each(drop);
        });
        assert_eq!(pool.available(), 1);
    }
}

#[test]
fn more_than_four_gib_of_buffers_are_addressed_right() {
    if usize::BITS < 64 {
        return;
    }
    let slab = Slab::allocate(1 << 20, 5 << 10, &Allocation::new().lazy()).unwrap();
    assert_eq!(slab.total_size(), 5 << 30);
    let pool = BufferPool::new(slab).unwrap();
    let mut leases: Vec<Lease> = (0..pool.capacity()).map(|_| pool.acquire().unwrap()).collect();
    leases.sort_by_key(|lease| lease.index());
    let mut last = leases.pop().unwrap();
    assert_eq!(last.offset(), (5 << 30) - (1 << 20));
    last.fill(0xab);
    // What 32 bits would have made of its address lies in another buffer, which has none of it.
    assert!(leases[1023].iter().chain(&leases[0][..]).all(|byte| *byte == 0));
    assert!(last.iter().all(|byte| *byte == 0xab));
}

#[test]
fn foreign_memory_is_checked_and_copied_and_never_lent() {
    let (region, fd) = Region::create_shared(10_000).unwrap();
    assert_eq!((region.sharing(), region.source()), (Sharing::Foreign, Source::Mapped));
    use std::os::fd::AsFd;
    let other = Region::map_shared(fd.as_fd(), 5_001, 3_000, Access::READ).unwrap();
    let bytes: Vec<u8> = (0..2_991).map(|index| index as u8).collect();
    region.copy_in(5_004, &bytes).unwrap();
    let mut back = vec![0; 2_991];
    other.copy_out(3, &mut back).unwrap();
    assert_eq!(back, bytes, "through the other mapping, at another offset within a word");
    assert_eq!(other.copy_in(0, b"x").unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(other.copy_out(2_999, &mut [0; 2]).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(other.copy_out(usize::MAX, &mut [0; 2]).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(region.span(0..1).unwrap_err().code(), Code::FailedPrecondition);
    let slab = Slab::over(region.clone(), 100, 100).unwrap();
    assert_eq!(BufferPool::new(slab).unwrap_err().code(), Code::FailedPrecondition);
    assert!({ region }.get_mut().is_none());
}

#[test]
fn copies_of_every_length_and_alignment_are_whole() {
    let (region, _fd) = Region::create_shared(64).unwrap();
    for offset in 0..9 {
        for length in 0..30 {
            region.copy_in(0, &[0; 64]).unwrap();
            let bytes: Vec<u8> = (1..=length).collect();
            region.copy_in(offset, &bytes).unwrap();
            let mut all = [9; 64];
            region.copy_out(0, &mut all).unwrap();
            assert_eq!(all[offset..offset + bytes.len()], bytes);
            assert_eq!(all.iter().filter(|byte| **byte != 0).count(), bytes.len(), "nothing beside it");
            let mut part = vec![0; bytes.len()];
            region.copy_out(offset, &mut part).unwrap();
            assert_eq!(part, bytes);
        }
    }
}

#[test]
fn an_object_that_could_be_cut_short_is_sealed_or_refused() {
    use std::os::fd::AsFd;
    let fd = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, 4096).unwrap();
    let region = Region::map_shared(fd.as_fd(), 0, 4096, Access::all()).unwrap();
    assert_eq!(rustix::fs::ftruncate(&fd, 0), Err(rustix::io::Errno::PERM));
    region.copy_in(4095, b"!").unwrap();
    assert_eq!(Region::map_shared(fd.as_fd(), 0, 4097, Access::all()).unwrap_err().code(), Code::OutOfRange);
    let none = Region::map_shared(fd.as_fd(), 0, 1, Access::empty());
    assert_eq!(none.unwrap_err().code(), Code::InvalidArgument);
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(Region::map_shared(file.as_fd(), 0, 16, Access::READ).unwrap_err().code(), Code::FailedPrecondition);
    let trusted = Region::map_trusted(file.as_fd(), 0, 4, Access::READ).unwrap();
    let mut magic = [0; 4];
    trusted.copy_out(0, &mut magic).unwrap();
    assert_eq!(&magic, b"\x7fELF");
}

#[test]
fn a_descriptor_that_is_no_dmabuf_is_not_called_one() {
    let fd = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::empty()).unwrap();
    let refused = Region::import_dmabuf(fd, 0, 1, Access::READ).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

#[test]
fn memory_on_the_first_node_is_said_to_be_there_and_on_none_is_refused() {
    match Region::allocate(1 << 16, &Allocation::new().node(0)) {
        Ok(region) => assert_eq!(region.node(), Some(0)),
        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
    }
    let nowhere = Region::allocate(1 << 16, &Allocation::new().node(100_000)).unwrap_err();
    assert_eq!(nowhere.code(), Code::InvalidArgument);
    assert_eq!(Region::allocate(1, &Allocation::new()).unwrap().node(), None);
}

#[test]
fn a_region_is_filled_by_its_only_handle_and_then_shared() {
    let mut region = Region::allocate(8, &Allocation::new()).unwrap();
    region.get_mut().unwrap().copy_from_slice(b"abcdefgh");
    let span = region.span(2..5).unwrap();
    assert!(region.get_mut().is_none());
    let clone = span.clone();
    drop(span);
    assert_eq!((&clone[..], clone.offset(), clone.access()), (&b"cde"[..], 2, Access::all()));
    assert_eq!(region.span(5..9).unwrap_err().code(), Code::OutOfRange);
    drop(clone);
    assert!(region.get_mut().is_some());
}

#[test]
fn registrations_of_a_region_are_answered_by_its_spans_leases_and_parts() {
    let pool = pool(8, 1);
    let lease = pool.acquire().unwrap();
    assert_eq!(lease.registration(5), None);
    pool.slab().region().registrations().add(5, Some(Fixed { index: 2 }));
    assert_eq!(lease.registration(5), Some(Fixed { index: 2 }));
    assert_eq!(Part::new(lease, 1..3).registration(5), Some(Fixed { index: 2 }));
    let region = Region::wrap(vec![1, 2, 3]);
    region.registrations().add(6, Some(Fixed { index: 1 }));
    assert_eq!(region.span(0..1).unwrap().registration(6), Some(Fixed { index: 1 }));
    assert_eq!(vec![0u8].registration(6), None);
}

#[test]
fn pages_are_counted_where_they_lie() {
    let mut region = Region::allocate(64 << 10, &Allocation::new()).unwrap();
    let pages = (64 << 10) / rustix::param::page_size();
    match region.pages() {
        Ok(before) => assert_eq!((before.present(), before.absent()), (0, pages)),
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            return;
        }
    }
    region.get_mut().unwrap()[..1].fill(1);
    assert_eq!(region.pages().unwrap().present(), 1);
    region.get_mut().unwrap().fill(1);
    let all = region.pages().unwrap();
    assert_eq!((all.present(), all.absent()), (pages, 0));
    assert_eq!(all.nodes().iter().map(|(node, _)| all.on(*node)).sum::<usize>(), pages);
    assert_eq!(all.on(9_999), 0);
    assert_eq!(Region::wrap(Vec::<u8>::new()).pages().unwrap(), crate::topology::Pages::default());
}

/// On every node of this machine: asked for, touched by a thread that is pinned to another node where there is one, and
/// then asked of the kernel.
#[test]
fn pages_lie_on_the_node_that_they_were_asked_for_whoever_touches_them() {
    use crate::topology::Topology;
    const LENGTH: usize = 256 << 10;
    let topology = Topology::read();
    for node in topology.nodes().iter().filter(|node| node.has_memory()) {
        let other = topology.nodes().iter().rev().find(|other| other.number() != node.number());
        let toucher = other.unwrap_or(node).affinity();
        let mut region = match Region::allocate(LENGTH, &Allocation::new().near(&node.affinity())) {
            Ok(region) => region,
            Err(status) => {
                // A sandbox. Then nothing may say that the memory was placed.
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                continue;
            }
        };
        let region = std::thread::spawn(move || {
            toucher.pin_thread().unwrap();
            region.get_mut().unwrap().fill(1);
            region
        });
        let region = region.join().unwrap();
        assert_eq!(region.node(), Some(node.number()));
        match region.pages() {
            // Preferred, not forced: only a node that is full lets pages go elsewhere.
            Ok(pages) => assert_eq!(pages.on(node.number()), LENGTH / rustix::param::page_size(), "{pages:?}"),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
    }
}

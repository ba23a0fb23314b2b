//! Pools that processes share: here two handles over one memory, each by a mapping of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proact::memory::{Access, Allocation, Geometry, Region, SharedLease, SharedPool};
use proact::status::{Code, Result};

use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;

cases![
    bookkeeping_costs_four_bytes_a_buffer.real("memory that processes share").only(Only::Once),
    a_geometry_that_cannot_be_is_refused.real("memory that processes share").only(Only::Once),
    a_pool_that_is_damaged_or_other_than_expected_is_not_opened.real("memory that processes share").only(Only::Once),
    both_handles_agree_on_what_is_there.real("memory that processes share").only(Only::Once),
    an_empty_pool_is_empty_for_all_until_one_releases.real("memory that processes share").only(Only::Once),
    bytes_written_through_one_mapping_are_seen_through_the_other.real("memory that processes share").only(Only::Once),
    no_buffer_is_held_by_two_handles.real("memory that processes share").only(Only::Once),
    four_threads_over_two_handles_never_share_a_buffer.real("memory that processes share").only(Only::Once),
    a_pool_that_is_made_anew_tells_its_old_users.real("memory that processes share").only(Only::Once),
    a_buffer_that_was_taken_away_is_not_given_back_twice.real("memory that processes share").only(Only::Once),
    owners_that_cannot_be_are_data_loss_and_not_exhaustion.real("memory that processes share").only(Only::Once),
    a_peer_that_scribbles_over_everything_leads_no_one_out_of_the_pool
        .real("memory that processes share")
        .only(Only::Once),
];

const GEOMETRY: Geometry = Geometry { buffer_size: 4096, buffer_count: 16 };

fn mapped(fd: &OwnedFd, geometry: Geometry) -> Region {
    Region::map_shared(fd.as_fd(), 0, geometry.total_size().unwrap(), Access::all()).unwrap()
}

/// Two handles over one memory, each by a mapping of its own, and a third mapping to look with.
fn two_of(geometry: Geometry) -> (SharedPool, SharedPool, Region) {
    let (region, fd) = Region::create_shared(geometry.total_size().unwrap()).unwrap();
    let first = SharedPool::create(region, geometry).unwrap();
    let second = SharedPool::open(mapped(&fd, geometry), geometry).unwrap();
    (first, second, mapped(&fd, geometry))
}

fn code<T>(result: Result<T>) -> Code {
    result.map(|_| ()).map_or_else(|status| status.code(), |()| Code::Ok)
}

/// Random numbers that need not be good.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn bookkeeping_costs_four_bytes_a_buffer(_: &mut Cts) {
    assert_eq!(SharedPool::bookkeeping_size(17) - SharedPool::bookkeeping_size(16), 4);
    assert_eq!(SharedPool::bookkeeping_size(1000) - SharedPool::bookkeeping_size(0), 4000);
}

fn a_geometry_that_cannot_be_is_refused(_: &mut Cts) {
    let total = |buffer_size, buffer_count| code(Geometry { buffer_size, buffer_count }.total_size());
    assert_eq!(total(0, 1), Code::InvalidArgument);
    assert_eq!(total(1, 0), Code::InvalidArgument);
    assert_eq!(total(1, (1 << 24) + 1), Code::InvalidArgument);
    assert_eq!(total(usize::MAX / 2, 3), Code::OutOfRange);
    let private = Region::allocate(GEOMETRY.total_size().unwrap(), &Allocation::new()).unwrap();
    assert_eq!(code(SharedPool::create(private, GEOMETRY)), Code::FailedPrecondition);
}

fn a_pool_that_is_damaged_or_other_than_expected_is_not_opened(_: &mut Cts) {
    let total = GEOMETRY.total_size().unwrap();
    let (region, fd) = Region::create_shared(total).unwrap();
    let open = |geometry| code(SharedPool::open(mapped(&fd, GEOMETRY), geometry));
    assert_eq!(open(GEOMETRY), Code::InvalidArgument, "nothing was made there");
    let _pool = SharedPool::create(region, GEOMETRY).unwrap();
    assert_eq!(open(GEOMETRY), Code::Ok);
    assert_eq!(open(Geometry { buffer_size: 2048, ..GEOMETRY }), Code::InvalidArgument);
    assert_eq!(open(Geometry { buffer_count: 15, ..GEOMETRY }), Code::InvalidArgument);
    let short = Region::map_shared(fd.as_fd(), 0, total - 1, Access::all()).unwrap();
    assert_eq!(code(SharedPool::open(short, GEOMETRY)), Code::InvalidArgument, "too small");
    let unaligned = Region::map_shared(fd.as_fd(), 8, total - 8, Access::all()).unwrap();
    assert_eq!(code(SharedPool::open(unaligned, GEOMETRY)), Code::InvalidArgument, "not on a boundary");
    let read_only = Region::map_shared(fd.as_fd(), 0, total, Access::READ).unwrap();
    assert_eq!(code(SharedPool::open(read_only, GEOMETRY)), Code::FailedPrecondition);
    // Each field of the header, damaged and made good again.
    let view = mapped(&fd, GEOMETRY);
    for (offset, length) in [(0, 8), (8, 4), (12, 4), (16, 8), (24, 4)] {
        let mut good = vec![0; length];
        view.copy_out(offset, &mut good).unwrap();
        let bad: Vec<u8> = good.iter().map(|byte| byte ^ 0x11).collect();
        view.copy_in(offset, &bad).unwrap();
        assert_eq!(open(GEOMETRY), Code::InvalidArgument, "damaged at {offset}");
        view.copy_in(offset, &good).unwrap();
    }
    assert_eq!(open(GEOMETRY), Code::Ok);
}

fn both_handles_agree_on_what_is_there(_: &mut Cts) {
    let (first, second, _) = two_of(GEOMETRY);
    for pool in [&first, &second] {
        assert_eq!((pool.capacity(), pool.buffer_size(), pool.available()), (16, 4096, 16));
    }
    for (one, other) in [(&first, &second), (&second, &first)] {
        let lease = one.acquire().unwrap();
        assert_eq!(other.available(), 15);
        drop(lease);
        assert_eq!(other.available(), 16);
    }
}

fn an_empty_pool_is_empty_for_all_until_one_releases(_: &mut Cts) {
    let (first, second, _) = two_of(Geometry { buffer_size: 64, buffer_count: 4 });
    let mut leases: Vec<_> = (0..4).map(|_| first.acquire().unwrap()).collect();
    assert_eq!(code(second.acquire()), Code::ResourceExhausted);
    leases.pop().unwrap().release().unwrap();
    assert_eq!(code(second.acquire()), Code::Ok);
}

fn bytes_written_through_one_mapping_are_seen_through_the_other(_: &mut Cts) {
    let (first, second, view) = two_of(GEOMETRY);
    let _ = second;
    let lease = first.acquire().unwrap();
    lease.copy_in(100, b"across").unwrap();
    let mut seen = [0; 6];
    view.copy_out(lease.offset() + 100, &mut seen).unwrap();
    assert_eq!(&seen, b"across");
    assert_eq!(lease.copy_in(4095, b"xy").unwrap_err().code(), Code::OutOfRange, "into the neighbour");
    assert_eq!(lease.copy_out(usize::MAX, &mut seen).unwrap_err().code(), Code::OutOfRange);
}

fn no_buffer_is_held_by_two_handles(_: &mut Cts) {
    let (first, second, _) = two_of(GEOMETRY);
    let leases: Vec<_> =
        (0..16).map(|i| if i % 2 == 0 { first.acquire() } else { second.acquire() }.unwrap()).collect();
    let mut indices: Vec<u32> = leases.iter().map(SharedLease::index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..16).collect::<Vec<_>>());
    assert_eq!(leases.iter().map(SharedLease::offset).max(), Some(GEOMETRY.total_size().unwrap() - 4096));
}

fn four_threads_over_two_handles_never_share_a_buffer(_: &mut Cts) {
    let (first, second, _) = two_of(Geometry { buffer_size: 64, buffer_count: 64 });
    let held: Vec<AtomicBool> = (0..64).map(|_| AtomicBool::new(false)).collect();
    let rounds = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for pool in [&first, &second, &first, &second] {
            let (held, rounds) = (&held, &rounds);
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let Ok(lease) = pool.acquire() else { continue };
                    assert!(!held[lease.index() as usize].swap(true, Ordering::SeqCst), "two owners");
                    held[lease.index() as usize].store(false, Ordering::SeqCst);
                    lease.release().unwrap();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((first.available(), rounds.into_inner()), (64, 4_000), "four threads cannot empty it");
}

fn a_pool_that_is_made_anew_tells_its_old_users(_: &mut Cts) {
    let (first, second, _) = two_of(GEOMETRY);
    let lease = second.acquire().unwrap();
    let anew = SharedPool::create(first.region().clone(), GEOMETRY).unwrap();
    assert_eq!(code(second.acquire()), Code::DataLoss);
    assert_eq!(code(second.reclaim()), Code::DataLoss);
    assert_eq!(code(lease.release()), Code::DataLoss);
    assert_eq!((anew.available(), code(anew.acquire())), (16, Code::Ok));
}

fn a_buffer_that_was_taken_away_is_not_given_back_twice(_: &mut Cts) {
    let (first, second, view) = two_of(Geometry { buffer_size: 64, buffer_count: 1 });
    let lease = first.acquire().unwrap();
    let word = SharedPool::bookkeeping_size(0);
    view.copy_in(word, &[0; 4]).unwrap();
    let stolen = second.acquire().unwrap();
    assert_eq!(code(lease.release()), Code::DataLoss);
    assert_eq!(code(first.acquire()), Code::ResourceExhausted, "the second still has it");
    stolen.release().unwrap();
}

fn owners_that_cannot_be_are_data_loss_and_not_exhaustion(_: &mut Cts) {
    let (first, second, view) = two_of(Geometry { buffer_size: 64, buffer_count: 2 });
    let word = SharedPool::bookkeeping_size(0);
    let _held = second.acquire().unwrap();
    view.copy_in(word + 4, &u32::to_ne_bytes(200)).unwrap();
    assert_eq!(code(first.acquire()), Code::DataLoss, "there is no peer 200");
    view.copy_in(word + 4, &u32::to_ne_bytes(1 | 77 << 8)).unwrap();
    assert_eq!(code(first.acquire()), Code::DataLoss, "peer 1 has not been there 77 times");
}

fn a_peer_that_scribbles_over_everything_leads_no_one_out_of_the_pool(_: &mut Cts) {
    let geometry = Geometry { buffer_size: 96, buffer_count: 37 };
    let (first, second, view) = two_of(geometry);
    let bookkeeping = SharedPool::bookkeeping_size(37);
    let stop = AtomicBool::new(false);
    let mut good = vec![0; bookkeeping];
    view.copy_out(0, &mut good).unwrap();
    let mut codes = [0u32; 16];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 0x9e37_79b9_7f4a_7c15;
            while !stop.load(Ordering::Relaxed) {
                // Mostly beyond the header, whose damage ends all else; made good now and then.
                for _ in 0..200 {
                    let from = if random(&mut state) % 16 == 0 { 0 } else { 64 };
                    let at = from + random(&mut state) as usize % (bookkeeping - from - 8);
                    view.copy_in(at, &random(&mut state).to_ne_bytes()[..1 + at % 8]).unwrap();
                }
                view.copy_in(0, &good).unwrap();
            }
        });
        for round in 0..20_000 {
            let pool = if round % 2 == 0 { &first } else { &second };
            let result = pool.acquire().and_then(|lease| {
                assert!(lease.index() < 37 && lease.offset() >= bookkeeping);
                assert!(lease.offset() + 96 <= geometry.total_size().unwrap());
                lease.copy_in(0, &[7; 96])?;
                lease.release()
            });
            codes[result.map_or_else(|status| status.code(), |()| Code::Ok) as usize] += 1;
            let _ = (pool.available(), pool.reclaim());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let expected = [Code::Ok, Code::ResourceExhausted, Code::DataLoss].map(|code| codes[code as usize]);
    assert_eq!(expected.iter().sum::<u32>(), 20_000, "other codes: {codes:?}");
    assert!(expected[0] > 0, "it was never usable");
}

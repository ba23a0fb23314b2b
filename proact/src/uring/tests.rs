//! What a ring does, without any operation of the library. Where no ring can be had the tests say so and pass.

use std::time::{Duration, Instant};

use super::*;

fn ring(entries: u32) -> Option<Ring> {
    match Ring::new(&RingOptions { entries, registered: true, no_array: true }) {
        Ok(ring) => Some(ring),
        Err(errno) => {
            println!("skipped: {}", unavailable(errno));
            None
        }
    }
}

fn push(ring: &mut Ring, user_data: u64, fill: impl FnOnce(&mut Entry)) -> bool {
    let Some(entry) = ring.free() else { return false };
    fill(entry);
    entry.set_user_data(user_data);
    // SAFETY: just filled; the tests' entries point to statics, to nothing, or to what outlives their completions.
    unsafe { ring.commit() };
    true
}

fn nop(entry: &mut Entry) {
    entry.set(Op::IORING_OP_NOP, -1, 0, 0, 0, 0);
}

fn taken(ring: &mut Ring) -> Vec<(u64, i32)> {
    let mut all = Vec::new();
    ring.reap(|completed| all.push((completed.user_data, completed.result)));
    all
}

#[test]
fn every_way_of_setting_up_completes_a_batch_in_order() {
    for (registered, no_array) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut ring = match Ring::new(&RingOptions { entries: 8, registered, no_array }) {
            Ok(ring) => ring,
            Err(errno) => return println!("skipped: {}", unavailable(errno)),
        };
        assert!(registered || !ring.is_registered());
        assert!(no_array || !ring.is_without_array());
        // More batches than the queue has entries, so that positions wrap.
        for batch in 0..9 {
            for index in 0..5 {
                assert!(push(&mut ring, batch * 5 + index, nop));
            }
            ring.enter(5, None).unwrap();
            let expected: Vec<_> = (0..5).map(|index| (batch * 5 + index, 0)).collect();
            assert_eq!(taken(&mut ring), expected);
        }
        assert_eq!((ring.enters(), ring.accepted()), (9, 45));
    }
}

#[test]
fn full_queue_gives_no_entry_until_it_was_handed_over() {
    let Some(mut ring) = ring(4) else { return };
    assert_eq!(ring.capacity(), 4);
    for index in 0..4 {
        assert_eq!(ring.room(), 4 - index);
        assert!(push(&mut ring, index.into(), nop));
    }
    assert!(!push(&mut ring, 4, nop));
    ring.enter(0, None).unwrap();
    assert_eq!((ring.room(), ring.pending()), (4, 0));
    assert_eq!(taken(&mut ring).len(), 4);
}

#[test]
fn completions_beyond_the_queue_wait_and_none_is_lost() {
    let Some(mut ring) = ring(4) else { return };
    let count = 100;
    let mut sent = 0;
    while sent < count {
        while sent < count && push(&mut ring, sent, nop) {
            sent += 1;
        }
        ring.enter(0, None).unwrap();
    }
    assert!(ring.has_overflowed());
    let mut all = Vec::new();
    while all.len() < count as usize {
        let before = all.len();
        all.append(&mut taken(&mut ring));
        assert!(all.len() > before, "only {before} of {count} came");
        if ring.has_overflowed() {
            ring.enter(0, None).unwrap();
        }
    }
    let expected: Vec<_> = (0..count).map(|index| (index, 0)).collect();
    assert_eq!(all, expected);
    assert!(!ring.has_deferred());
}

#[test]
fn partly_taken_batch_keeps_the_rest_for_the_next_enter() {
    let Some(mut ring) = ring(8) else { return };
    for index in 0..5 {
        push(&mut ring, index, nop);
    }
    ring.enter_with(2, 0, None).unwrap();
    assert_eq!((ring.pending(), ring.accepted()), (3, 2));
    assert_eq!(taken(&mut ring), [(0, 0), (1, 0)]);
    ring.enter(3, None).unwrap();
    assert_eq!(taken(&mut ring), [(2, 0), (3, 0), (4, 0)]);
}

#[test]
fn rest_of_a_split_chain_is_rewritten_and_what_follows_is_not() {
    let Some(mut ring) = ring(8) else { return };
    for index in 0..6 {
        push(&mut ring, index, |entry| {
            nop(entry);
            if index < 3 {
                entry.link();
            }
        });
    }
    ring.enter_with(2, 0, None).unwrap();
    let mut rest = Vec::new();
    ring.mend_split_chain(|entry| {
        rest.push(entry.user_data());
        nop(entry);
        entry.set_user_data(100 + rest.len() as u64);
    });
    assert_eq!(rest, [2, 3]);
    // The kernel runs the part that it took from a thread of its own.
    let mut all = Vec::new();
    while all.len() < 6 {
        ring.enter(1, Some(Duration::from_secs(10))).unwrap();
        let more = taken(&mut ring);
        assert!(!more.is_empty(), "only {all:?} came");
        all.extend(more);
    }
    all.sort_unstable();
    assert_eq!(all, [(0, 0), (1, 0), (4, 0), (5, 0), (101, 0), (102, 0)]);

    // A boundary between chains splits none.
    for index in 0..4 {
        push(&mut ring, index, |entry| {
            nop(entry);
            if index % 2 == 0 {
                entry.link();
            }
        });
    }
    ring.enter_with(2, 0, None).unwrap();
    ring.mend_split_chain(|_| panic!("nothing was split"));
    ring.enter(2, None).unwrap();
    assert_eq!(taken(&mut ring).len(), 4);
}

#[test]
fn wait_lasts_until_its_time_and_is_no_error() {
    let Some(mut ring) = ring(4) else { return };
    let timeout = Duration::from_millis(5);
    let start = Instant::now();
    // An early return for another reason is allowed; only a time that ran out may end the loop.
    while start.elapsed() < timeout {
        ring.enter(1, Some(timeout - start.elapsed())).unwrap();
        assert_eq!(ring.ready(), 0);
    }
    assert!(start.elapsed() >= timeout);
    ring.enter(1, Some(Duration::ZERO)).unwrap();
}

#[test]
fn cancel_of_everything_ends_a_waiting_poll() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    push(&mut ring, 1, |entry| entry.set_poll(std::os::fd::AsRawFd::as_raw_fd(&reader), libc::POLLIN));
    push(&mut ring, 2, Entry::set_cancel_all);
    ring.enter(2, Some(Duration::from_secs(10))).unwrap();
    let mut all = taken(&mut ring);
    all.sort_unstable();
    assert_eq!(all, [(1, -libc::ECANCELED), (2, 1)]);
}

/// Kernels before 6.9 do not, for the lowest numbers of groups.
#[test]
fn a_ring_of_buffers_begins_anew_when_its_group_is_used_again() {
    let Some(mut ring) = ring(4) else { return };
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut memory = [0u8; 8];
    for round in 0..5 {
        let mut buffers = match BufferRing::register(&ring, 0, 2, false) {
            Ok(buffers) => buffers,
            Err(errno) => return println!("skipped: error number {errno}"),
        };
        for (id, part) in memory.chunks_mut(4).enumerate() {
            // SAFETY: two buffers, as the ring has entries, which live until it was unregistered.
            unsafe { buffers.offer(part.as_mut_ptr(), 4, id as u16) };
        }
        buffers.publish();
        // As many as leave the kernel at another place in each round.
        for id in 0..=round % 2 {
            rustix::io::write(&writer, &[round as u8; 3]).unwrap();
            push(&mut ring, 1, |entry| {
                entry.set(Op::IORING_OP_READ, std::os::fd::AsRawFd::as_raw_fd(&reader), u64::MAX, 0, 4, 0);
                entry.select_buffer(0);
            });
            ring.enter(1, Some(Duration::from_secs(10))).unwrap();
            let mut all = Vec::new();
            ring.reap(|completed| all.push((completed.result, completed.flags >> IORING_CQE_BUFFER_SHIFT)));
            assert_eq!(all, [(3, id)], "in round {round}");
        }
        buffers.unregister(&ring);
    }
}

#[test]
fn probe_knows_what_six_one_has_and_no_more_than_there_is() {
    let Some(ring) = ring(4) else { return };
    let probe = ring.probe().unwrap();
    for op in [Op::IORING_OP_NOP, Op::IORING_OP_RENAMEAT, Op::IORING_OP_SEND, Op::IORING_OP_SEND_ZC] {
        assert!(probe.has(op), "{op:?}");
    }
}

#[test]
fn a_thread_may_own_more_rings_than_it_has_registered_descriptors() {
    // 16 places a thread: those that find none run on their plain descriptors.
    let mut rings = Vec::new();
    for _ in 0..18 {
        let Some(ring) = ring(2) else { return };
        rings.push(ring);
    }
    assert!(rings[0].is_registered());
    assert!(!rings[17].is_registered());
    for ring in &mut rings {
        push(ring, 7, nop);
        ring.enter(1, None).unwrap();
        assert_eq!(taken(ring), [(7, 0)]);
    }
    drop(rings);
    // Dropping gave the places back.
    assert!(ring(2).is_some_and(|ring| ring.is_registered()));
}

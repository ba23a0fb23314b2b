//! Stop: everyone who waits is told, and who waits no more leaves nothing behind.

use std::alloc::System;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proact_async::Stop;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, count: &Arc<Count>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(count.clone())))
}

/// One test in this program: what is allocated is counted for the whole process.
#[test]
fn everyone_who_waits_is_told_and_who_waits_no_more_leaves_nothing() {
    all_who_wait_are_told_by_their_newest_waker_and_who_comes_later_does_not_wait();
    who_waits_no_more_is_forgotten_and_the_place_is_the_next_ones();
}

fn all_who_wait_are_told_by_their_newest_waker_and_who_comes_later_does_not_wait() {
    let (stop, counts) = (Stop::new(), [(); 4].map(|()| Arc::new(Count::default())));
    let [first, second, third, old] = &counts;
    let (mut one, mut two, mut three) = (pin!(stop.requested()), pin!(stop.requested()), pin!(stop.requested()));
    assert!(poll(one.as_mut(), first).is_pending());
    assert!(poll(two.as_mut(), old).is_pending());
    assert!(poll(three.as_mut(), third).is_pending());
    assert!(poll(two.as_mut(), second).is_pending());
    assert!(!stop.is_requested());
    stop.clone().request();
    stop.request();
    assert!(stop.is_requested());
    assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [1, 1, 1, 0]);
    for waits in [one, two, three] {
        assert!(poll(waits, old).is_ready());
    }
    assert!(poll(pin!(stop.requested()), old).is_ready());
}

fn who_waits_no_more_is_forgotten_and_the_place_is_the_next_ones() {
    let (stop, count) = (Stop::new(), Arc::new(Count::default()));
    let mut kept = pin!(stop.requested());
    let round = || {
        let mut waits = Box::pin(stop.requested());
        for _ in 0..3 {
            // Polled again it stays in its place.
            assert!(poll(waits.as_mut(), &count).is_pending());
        }
        assert_eq!(Arc::strong_count(&count), 3, "the one that is kept, and this one once");
    };
    assert!(poll(kept.as_mut(), &count).is_pending());
    round();
    assert_eq!(Arc::strong_count(&count), 2, "who has gone keeps no task");
    // A future, its waker, and no place more: by the thousand they would be seen, 16 bytes each.
    let region = Region::new(ALLOCATOR);
    round();
    let each = region.change();
    let region = Region::new(ALLOCATOR);
    for _ in 0..1000 {
        round();
    }
    let all = region.change();
    let grown = all.bytes_allocated as isize - all.bytes_deallocated as isize + all.bytes_reallocated;
    assert!(grown.unsigned_abs() < 8000, "{grown} bytes more after a thousand; one takes {}", each.bytes_allocated);
    assert!(poll(kept.as_mut(), &count).is_pending());
    stop.request();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(poll(kept.as_mut(), &count).is_ready());
}

//! Wakers are code of a user: they may use the tracker, at any time, and panic.

use super::*;

/// A waker that comes back into the tracker, as an executor that polls at once does.
struct Advances(Tracker);

impl Wake for Advances {
    fn wake(self: Arc<Advances>) {
        self.0.advance(axis(0), 100).unwrap();
        self.0.fail(axis(0), lost());
        self.0.retire(axis(1));
        _ = self.0.register(axis(2)).unwrap();
    }
}

#[test]
fn a_waker_may_use_the_tracker() {
    for ending in 0..3 {
        let tracker = with(0..2);
        let mut reached = Box::pin(tracker.reached(frontier(&[(0, 1)])));
        let waker = Waker::from(Arc::new(Advances(tracker.clone())));
        assert!(reached.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        match ending {
            0 => assert!(tracker.advance(axis(0), 1).unwrap()),
            1 => assert!(tracker.fail(axis(0), lost())),
            _ => assert!(tracker.retire(axis(0))),
        }
        assert_eq!(tracker.epoch(axis(2)), Some(0));
    }
}

/// As soon as a wait has been handed a waker, an axis may come as far: also while the waker is being cloned.
#[test]
fn cloning_a_waker_may_use_the_tracker() {
    let (done, outcome) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let tracker = with(0..1);
        let mut reached = Box::pin(tracker.reached(frontier(&[(0, 1)])));
        let advances = tracker.clone();
        let waker = crate::sync::hooked::waker(move || _ = advances.advance(axis(0), 1).unwrap(), || ());
        let polled = reached.as_mut().poll(&mut Context::from_waker(&waker));
        done.send(polled).unwrap();
    });
    let polled = outcome.recv_timeout(std::time::Duration::from_secs(10));
    assert!(matches!(polled.expect("the clone of the waker ran under a lock"), Poll::Ready(Ok(()))));
}

#[test]
fn a_waker_that_panics_takes_nothing_from_those_behind_it() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {
            panic!("a waker of a user");
        }
    }

    for ending in 0..4 {
        let tracker = tracker(2);
        let semaphore = Semaphore::new(0);
        let handle = tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
        let mut bad = Box::pin(tracker.reached(frontier(&[(0, 1)])));
        let waker = Waker::from(Arc::new(Panics));
        assert!(bad.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut good: Vec<Waiting> = (0..12).map(|_| wait(&tracker, &[(0, 1)])).collect();
        if ending == 3 {
            drop(tracker.register(axis(1)).unwrap());
            good.push(wait(&tracker, &[(1, 1)]));
        }
        let end = std::panic::AssertUnwindSafe(|| match ending {
            0 => assert!(handle.advance(1).unwrap()),
            1 => assert!(handle.fail(lost())),
            2 => assert!(handle.retire()),
            _ => drop((tracker, handle)),
        });
        assert!(std::panic::catch_unwind(end).is_err());
        assert!(good.iter().all(|waiting| waiting.wakes() == 1));
        assert_eq!((semaphore.value(), semaphore.status().is_some()), (u64::from(ending == 0), ending == 1));
    }
}

//! Futures, under an executor made by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn woken() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (woken.clone(), Waker::from(woken))
}

fn poll(future: &mut SemaphoreFuture, waker: &Waker) -> Poll<Result<Knowledge>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Runs a future to its end on this thread, which sleeps between polls.
fn block_on(future: impl Future<Output = Result<Knowledge>>) -> Result<Knowledge> {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_future_ends_with_its_value_and_yields_its_causes() {
    let semaphore = Semaphore::new(0);
    let (woken, waker) = woken();
    let mut future = semaphore.future(2);
    assert!(poll(&mut future, &waker).is_pending() && poll(&mut future, &waker).is_pending());
    semaphore.signal(1, None).unwrap();
    assert_eq!(woken.count(), 0);
    semaphore.signal(2, Some(&causes(2))).unwrap();
    semaphore.signal(3, Some(&causes(3))).unwrap();
    assert_eq!(woken.count(), 1, "woken once");
    for _ in 0..2 {
        let Poll::Ready(Ok(known)) = poll(&mut future, &waker) else { panic!("woken and not ready") };
        assert_eq!(known, Knowledge::exact(causes(2)));
    }
    let Poll::Ready(Ok(_)) = poll(&mut semaphore.future(3), &waker) else { panic!("reached before") };
    assert_eq!(woken.count(), 1);
}

#[test]
fn a_failure_ends_futures_with_its_text() {
    let semaphore = Semaphore::new(0);
    let (woken, waker) = woken();
    let mut waiting = semaphore.future(1);
    assert!(poll(&mut waiting, &waker).is_pending());
    semaphore.fail(broken());
    assert_eq!(woken.count(), 1);
    for mut future in [waiting, semaphore.future(1)] {
        let Poll::Ready(Err(status)) = poll(&mut future, &waker) else { panic!("it failed") };
        assert_eq!(status.message(), Some("broken"));
    }
    assert!(matches!(poll(&mut semaphore.future(0), &waker), Poll::Ready(Ok(_))), "reached before the failure");
}

#[test]
fn the_last_waker_is_woken() {
    let semaphore = Semaphore::new(0);
    let ((first, first_waker), (second, second_waker)) = (woken(), woken());
    let mut future = semaphore.future(1);
    assert!(poll(&mut future, &first_waker).is_pending());
    assert!(poll(&mut future, &second_waker).is_pending());
    drop(first_waker);
    assert_eq!(Arc::strong_count(&first), 1, "the first waker was given back");
    semaphore.signal(1, None).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn futures_of_one_signal_are_woken_by_value_and_then_in_order() {
    struct Order(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Order {
        fn wake(self: Arc<Order>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    let (semaphore, order) = (Semaphore::new(0), Arc::new(Mutex::new(Vec::new())));
    let mut futures: Vec<_> = [3, 1, 2, 3, 1].map(|value| semaphore.future(value)).into();
    for (index, future) in futures.iter_mut().enumerate() {
        assert!(poll(future, &Waker::from(Arc::new(Order(index, order.clone())))).is_pending());
    }
    semaphore.signal(3, None).unwrap();
    assert_eq!(*order.lock().unwrap(), [1, 4, 2, 0, 3]);
}

#[test]
fn a_future_may_be_dropped_at_every_step() {
    let (woken, waker) = woken();
    for step in 0..5 {
        let semaphore = Semaphore::new(0);
        let mut future = semaphore.future(1);
        if step > 0 {
            assert!(poll(&mut future, &waker).is_pending());
        }
        if step > 1 {
            assert!(poll(&mut future, &waker).is_pending());
        }
        if step > 2 {
            semaphore.signal(1, None).unwrap();
        }
        if step > 3 {
            assert!(poll(&mut future, &waker).is_ready());
        }
        drop(future);
        assert!(semaphore.inner.lock().waiters.is_empty(), "step {step}");
        let _ = semaphore.signal_if_later(1, None).unwrap();
        assert_eq!(Arc::strong_count(&semaphore.inner), 1, "step {step}");
    }
    drop(waker);
    assert_eq!((woken.count(), Arc::strong_count(&woken)), (2, 1), "woken at steps 3 and 4");
}

/// A waker is a user's code: it may signal, wait, drop the future, and panic.
#[test]
fn a_waker_may_use_the_semaphore_that_woke_it() {
    struct Signals(Semaphore, Mutex<Option<SemaphoreFuture>>);

    impl Wake for Signals {
        fn wake(self: Arc<Signals>) {
            drop(self.1.lock().unwrap().take());
            self.0.signal(self.0.value() + 1, None).unwrap();
        }
    }

    let semaphore = Semaphore::new(0);
    let signals = Arc::new(Signals(semaphore.clone(), Mutex::new(Some(semaphore.future(1)))));
    let waker = Waker::from(signals.clone());
    assert!(poll(signals.1.lock().unwrap().as_mut().unwrap(), &waker).is_pending());
    semaphore.signal(1, None).unwrap();
    assert_eq!(semaphore.value(), 2);
}

#[test]
fn a_waker_that_panics_takes_nothing_from_those_behind_it() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {
            panic!("a waker of a user");
        }
    }

    let (semaphore, target) = (Semaphore::new(0), Semaphore::new(0));
    let (woken, waker) = woken();
    let (mut bad, mut good) = (semaphore.future(1), semaphore.future(1));
    assert!(poll(&mut bad, &Waker::from(Arc::new(Panics))).is_pending());
    assert!(poll(&mut good, &waker).is_pending());
    semaphore.link(1, &target, 1).unwrap().detach();
    let signal = std::panic::AssertUnwindSafe(|| semaphore.signal(1, None));
    assert!(std::panic::catch_unwind(signal).is_err());
    assert_eq!((woken.count(), target.value(), semaphore.value()), (1, 1, 1));
    semaphore.signal(2, None).unwrap();
}

/// A waker's clone and its end are a user's code too: here of a clone that came too late, whose end waits for the
/// signaller.
#[test]
fn a_waker_is_dropped_under_no_lock() {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(10);

    /// The first of two: stops the signaller when both waits have ended and only one was woken.
    struct Holds(Sender<()>, Mutex<Receiver<()>>);

    impl Wake for Holds {
        fn wake(self: Arc<Holds>) {
            self.0.send(()).unwrap();
            self.1.lock().unwrap().recv().unwrap();
        }
    }

    let semaphore = Semaphore::new(0);
    let (held, is_held) = channel();
    let (let_go, may_go) = channel();
    let (signalled, is_signalled) = channel();
    let (mut first, mut second) = (semaphore.future(1), semaphore.future(1));
    let holds = Waker::from(Arc::new(Holds(held, Mutex::new(may_go))));
    assert!(poll(&mut first, &holds).is_pending());
    assert!(poll(&mut second, &woken().1).is_pending());

    let is_held = Mutex::new(is_held);
    let signaller = semaphore.clone();
    let cloned = move || {
        let (semaphore, signalled) = (signaller.clone(), signalled.clone());
        std::thread::spawn(move || {
            semaphore.signal(1, None).unwrap();
            signalled.send(()).unwrap();
        });
        is_held.lock().unwrap().recv_timeout(SOON).unwrap();
    };
    let in_time = Arc::new(AtomicUsize::new(0));
    let is_signalled = Mutex::new(is_signalled);
    let counts = in_time.clone();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let dropped = move || {
        // The future's clone; the one below goes after it, and waits for nobody.
        if !is_over.load(SeqCst) && let_go.send(()).is_ok() && is_signalled.lock().unwrap().recv_timeout(SOON).is_ok() {
            counts.fetch_add(1, SeqCst);
        }
    };
    let waker = crate::sync::hooked::waker(cloned, dropped);
    assert!(poll(&mut second, &waker).is_ready());
    assert_eq!(in_time.load(SeqCst), 1, "the signaller could not go on while the waker was dropped");
    over.store(true, SeqCst);
}

#[test]
fn futures_under_an_executor_end_while_others_signal_fail_and_drop() {
    for round in 0..200_u64 {
        let semaphore = Semaphore::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=20 {
                    semaphore.signal(value, Some(&causes(value))).unwrap();
                }
                semaphore.fail(broken());
            });
            for thread in 0..3 {
                let semaphore = &semaphore;
                scope.spawn(move || {
                    for value in 1..=22 {
                        let (_, waker) = woken();
                        let mut dropped = semaphore.future(value);
                        let _ = poll(&mut dropped, &waker);
                        if (value + round + thread) % 2 == 0 {
                            drop(dropped);
                        }
                        match block_on(semaphore.future(value)) {
                            Ok(known) if known.is_exact() => assert_eq!(known.frontier, causes(value)),
                            Ok(_) => assert!(value <= 20),
                            Err(status) => assert!(value > 20 && status.code() == Code::DataLoss),
                        }
                    }
                });
            }
        });
        assert!(semaphore.inner.lock().waiters.is_empty());
    }
}

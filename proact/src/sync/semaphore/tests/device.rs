//! Semaphores that a device drives.

use std::sync::Weak;

use super::*;
use crate::sync::{Driver, Primitive, Timeline};

#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Awaited(u64),
    Signalled(u64),
    Failed(Code),
}

/// Writes down what it hears, and can be given something to do when it hears it.
#[derive(Default)]
struct Device {
    heard: Mutex<Vec<Heard>>,
    inside: AtomicU32,
    driver: Mutex<Weak<Driver>>,
    /// How far it has come by itself: whatever is awaited up to here it reports inside the call.
    reached: AtomicU64,
}

impl Device {
    fn hear(&self, heard: Heard) {
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "one call at a time");
        self.heard.lock().unwrap().push(heard);
        if let Some(driver) = self.driver.lock().unwrap().upgrade() {
            let _ = driver.advance_tainted(self.reached.load(SeqCst));
        }
        self.inside.fetch_sub(1, SeqCst);
    }

    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Timeline for Device {
    fn awaited(&self, value: u64) {
        self.hear(Heard::Awaited(value));
    }

    fn signalled(&self, value: u64) {
        self.hear(Heard::Signalled(value));
    }

    fn failed(&self, status: &Status) {
        self.hear(Heard::Failed(status.code()));
    }

    fn export_primitive(&self, value: u64) -> Result<Primitive> {
        match value {
            0..100 => Ok(Primitive::Native { interface: "test", bits: value }),
            _ => Err(Status::new(Code::Unavailable, Operation::None).with_message("99 is as far as the device counts")),
        }
    }

    fn enqueue_signal(&self, value: u64) -> Result {
        self.hear(Heard::Signalled(value));
        Ok(())
    }
}

fn driven() -> (Semaphore, Driver, Arc<Device>) {
    let device = Arc::new(Device::default());
    let (semaphore, driver) = SemaphoreOptions::new().drive(device.clone());
    (semaphore, driver, device)
}

fn known(epoch: u64) -> Knowledge {
    Knowledge::exact(causes(epoch))
}

#[test]
fn a_device_hears_the_least_awaited_value_and_the_next_when_that_was_reached() {
    let (semaphore, driver, device) = driven();
    let recorder = Arc::new(Recorder::default());
    let arm = |value| pending(semaphore.arm(value, recorder.waiter(value as u32)));
    arm(5);
    arm(9);
    arm(5);
    assert_eq!(device.take(), [Heard::Awaited(5)], "what lies above is not news yet");
    let key = arm(3);
    assert_eq!(device.take(), [Heard::Awaited(3)]);
    assert_eq!(driver.least_awaited(), Some(3));
    assert!(semaphore.disarm(key));
    assert!(driver.advance(4, &known(4)).unwrap());
    assert_eq!(device.take(), [Heard::Awaited(5)], "told anew: 3 was reached, though nobody awaited it any more");
    assert!(driver.advance(5, &known(5)).unwrap());
    assert_eq!((device.take(), recorder.take()), (vec![Heard::Awaited(9)], vec![Told::Reached(5); 2]));
    assert!(driver.advance(20, &known(20)).unwrap());
    assert_eq!((device.take(), recorder.take()), (vec![], vec![Told::Reached(9)]));
    assert_eq!((semaphore.causes(5), semaphore.causes(9)), (Some(known(5)), Some(known(20))));
    assert_eq!(driver.least_awaited(), None);
}

#[test]
fn whatever_a_device_reports_it_breaks_nothing() {
    let (semaphore, driver, device) = driven();
    assert!(driver.advance(5, &known(5)).unwrap());
    assert!(!driver.advance(5, &known(6)).unwrap() && !driver.advance_tainted(2).unwrap());
    assert_eq!((semaphore.value(), semaphore.causes(5)), (5, Some(known(5))));
    assert_eq!(driver.advance_tainted(u64::MAX).unwrap_err().code(), Code::InvalidArgument);
    assert!(driver.fail(broken()) && !driver.fail(Status::new(Code::Aborted, Operation::None)));
    assert_eq!(driver.advance_tainted(9).unwrap_err().code(), Code::DataLoss);
    assert_eq!((semaphore.value(), semaphore.status().unwrap().code()), (5, Code::DataLoss));
    assert_eq!(device.take(), [], "a device hears nothing of what it said itself");
    drop(driver);
    assert_eq!(semaphore.status().unwrap().code(), Code::DataLoss);
}

#[test]
fn a_device_hears_what_programs_signal_and_how_they_fail() {
    let (semaphore, driver, device) = driven();
    semaphore.signal(1, None).unwrap();
    semaphore.signal(2, Some(&causes(2))).unwrap();
    let other = Semaphore::new(0);
    other.link(1, &semaphore, 3).unwrap().detach();
    other.signal(1, None).unwrap();
    assert_eq!(device.take(), [1, 2, 3].map(Heard::Signalled));
    assert!(driver.advance_tainted(4).unwrap());
    assert_eq!((device.take(), semaphore.untainted_value()), (vec![], 3));
    semaphore.fail(broken());
    assert_eq!(device.take(), [Heard::Failed(Code::DataLoss)]);
}

#[test]
fn a_device_that_is_gone_fails_its_semaphore_and_a_semaphore_that_is_gone_is_told_to_the_device() {
    let (semaphore, driver, _) = driven();
    let recorder = Arc::new(Recorder::default());
    pending(semaphore.arm(1, recorder.waiter(0)));
    drop(driver);
    assert_eq!(recorder.take(), [Told::Failed(0)]);
    let status = semaphore.status().unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, Some("the device that drives the semaphore is gone"))
    );

    let (semaphore, driver, device) = driven();
    drop(semaphore);
    assert_eq!(driver.advance_tainted(1).unwrap_err().code(), Code::NotFound);
    assert!(!driver.fail(broken()) && driver.least_awaited().is_none());
    assert_eq!(Arc::strong_count(&device), 1, "nothing holds the device");
}

#[test]
fn a_device_that_is_there_already_says_so_inside_the_call() {
    let (semaphore, driver, device) = driven();
    let driver = Arc::new(driver);
    *device.driver.lock().unwrap() = Arc::downgrade(&driver);
    device.reached.store(7, SeqCst);
    semaphore.wait(7, crate::time::Timeout::Infinite, crate::sync::WaitFlags::empty()).unwrap();
    assert_eq!((semaphore.value(), device.take()), (7, vec![Heard::Awaited(7)]));
}

/// Once it has a driver, reports each awaited value as soon as it hears of it.
struct Eager(Mutex<Weak<Driver>>);

impl Timeline for Eager {
    fn awaited(&self, value: u64) {
        let driver = self.0.lock().unwrap().upgrade();
        if let Some(driver) = driver {
            driver.advance_tainted(value).unwrap();
        }
    }
}

/// Each value that is reported brings the next that is awaited: one after another, not one inside another.
#[test]
fn a_device_that_always_has_an_answer_does_not_recurse() {
    const WAITS: u64 = 20_000;
    let run = || {
        let device = Arc::new(Eager(Mutex::new(Weak::new())));
        let (semaphore, driver) = SemaphoreOptions::new().waiters(WAITS as usize).drive(device.clone());
        let recorder = Arc::new(Recorder::default());
        for value in 1..=WAITS {
            pending(semaphore.arm(value, recorder.waiter(value as u32)));
        }
        let driver = Arc::new(driver);
        *device.0.lock().unwrap() = Arc::downgrade(&driver);
        driver.advance_tainted(1).unwrap();
        assert_eq!(semaphore.value(), WAITS);
        assert!(recorder.take().into_iter().eq((1..=WAITS as u32).map(Told::Reached)));
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_device_that_panics_is_told_the_next_time() {
    struct Panics(AtomicU32);

    impl Timeline for Panics {
        fn awaited(&self, _: u64) {
            assert!(self.0.fetch_add(1, SeqCst) != 0, "a device's own mistake");
        }
    }

    let device = Arc::new(Panics(AtomicU32::new(0)));
    let (semaphore, driver) = SemaphoreOptions::new().drive(device.clone());
    let recorder = Arc::new(Recorder::default());
    let arm = std::panic::AssertUnwindSafe(|| semaphore.arm(5, recorder.waiter(0)));
    assert!(std::panic::catch_unwind(arm).is_err());
    pending(semaphore.arm(5, recorder.waiter(1)));
    assert_eq!(device.0.load(SeqCst), 2);
    driver.advance_tainted(5).unwrap();
    // Nobody has the key of the first, so nobody could take it out of the line.
    assert_eq!(recorder.take(), [Told::Reached(1)]);
}

#[test]
fn a_device_exports_and_queues_what_it_can_and_says_why_not() {
    let (semaphore, driver, device) = driven();
    assert!(matches!(semaphore.export_primitive(7), Ok(Primitive::Native { interface: "test", bits: 7 })));
    let refused = semaphore.export_primitive(100).unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, Some("99 is as far as the device counts")));
    semaphore.enqueue_signal(3).unwrap();
    assert_eq!((semaphore.value(), device.take()), (0, vec![Heard::Signalled(3)]), "the device reports it later");
    assert_eq!(semaphore.enqueue_wait(3).unwrap_err().code(), Code::Unavailable);
    driver.advance_tainted(3).unwrap();
    assert_eq!(code(semaphore.enqueue_signal(3)), Code::InvalidArgument);
    assert_eq!(code(semaphore.enqueue_signal(u64::MAX)), Code::InvalidArgument);
    driver.fail(broken());
    assert_eq!(code(semaphore.enqueue_signal(9)), Code::DataLoss);
    assert_eq!(code(semaphore.enqueue_wait(9)), Code::DataLoss);
    assert_eq!(semaphore.export_primitive(9).unwrap_err().code(), Code::DataLoss);
    assert!(semaphore.export_primitive(3).is_ok(), "reached before the failure");
    let undriven = SemaphoreOptions::new().name("frames").build();
    assert!(semaphore.is_driven() && !undriven.is_driven());
    for refused in [undriven.export_primitive(1).map(drop), undriven.enqueue_signal(1), undriven.enqueue_wait(1)] {
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unavailable, Some("no device drives this semaphore")));
        assert!(refused.to_string().contains("\"frames\""));
    }
}

/// A device that counts up on a thread of its own, as far as it was last told that anyone cares.
#[test]
fn a_device_on_its_own_thread_ends_every_wait_while_others_wait_signal_and_give_up() {
    struct Counter(Mutex<u64>, std::sync::Condvar);

    impl Timeline for Counter {
        fn awaited(&self, value: u64) {
            let mut asked = self.0.lock().unwrap();
            *asked = (*asked).max(value);
            self.1.notify_one();
        }
    }

    let device = Arc::new(Counter(Mutex::new(0), std::sync::Condvar::new()));
    let (semaphore, driver) = SemaphoreOptions::new().drive(device.clone());
    const LAST: u64 = 3_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let driver = driver;
            let mut value = 0;
            while value < LAST {
                let mut asked = device.0.lock().unwrap();
                while *asked <= value {
                    asked = device.1.wait(asked).unwrap();
                }
                value = *asked;
                drop(asked);
                driver.advance(value, &known(value)).unwrap();
            }
        });
        for thread in 0..3 {
            let semaphore = &semaphore;
            scope.spawn(move || {
                let recorder = Arc::new(Recorder::default());
                for value in 1..=LAST {
                    if (value + thread) % 3 == 0 {
                        if let Armed::Pending(key) = semaphore.arm(value, recorder.waiter(0)) {
                            semaphore.disarm(key);
                        }
                    } else if value % 3 == thread || value == LAST {
                        semaphore.wait(value, crate::time::Timeout::Infinite, crate::sync::WaitFlags::empty()).unwrap();
                    }
                }
            });
        }
    });
    assert!(semaphore.value() >= LAST);
}

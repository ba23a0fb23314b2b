//! Values of semaphores as descriptors.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use proact::operation::{PollHandle, Readiness};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;

use super::fence::{code_of, fence, is_readable, set};
use crate::bench::Cts;
use crate::cases;
use crate::system::descriptors;

cases![
    an_export_becomes_readable_with_its_value_and_stays_so,
    an_export_of_a_reached_value_is_readable_at_once,
    fences_in_and_out_make_a_pipeline_of_two_proactors.real("a descriptor of the operating system"),
    an_export_of_a_semaphore_that_fails_stays_unreadable,
    an_export_of_a_failed_semaphore_stays_unreadable,
    several_exports_are_told_each_at_its_own_value,
    a_device_that_has_a_descriptor_gives_it_out_itself.real("a descriptor of the operating system"),
    the_callers_end_of_an_export_may_be_closed_first,
    an_export_outlives_its_semaphore_unreadable.alone(),
];

fn an_export_becomes_readable_with_its_value_and_stays_so(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(3).unwrap();
    let flags = rustix::fs::fcntl_getfl(&export).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    assert!(rustix::io::fcntl_getfd(&export).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    for value in [1, 2] {
        semaphore.signal(value, None).unwrap();
        assert!(!is_readable(&export), "at value {value}");
    }
    semaphore.signal(4, None).unwrap();
    assert!(is_readable(&export) && is_readable(&export));
    semaphore.fail(Status::new(Code::DataLoss, Operation::None));
    assert!(is_readable(&export), "what was reached stays reached");
    let mut count = [0; 8];
    rustix::io::read(&export, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 1, "written once");
}

fn an_export_of_a_reached_value_is_readable_at_once(_: &mut Cts) {
    let semaphore = Semaphore::new(7);
    assert!(is_readable(semaphore.export_pollable(7).unwrap()));
    assert!(is_readable(semaphore.export_pollable(0).unwrap()));
    assert!(!is_readable(semaphore.export_pollable(8).unwrap()));
    semaphore.fail(Status::new(Code::DataLoss, Operation::None));
    assert!(is_readable(semaphore.export_pollable(7).unwrap()), "a failed one has still reached it");
}

fn fences_in_and_out_make_a_pipeline_of_two_proactors(cts: &mut Cts) {
    let (theirs, ours) = fence();
    let (first, second) = (Semaphore::new(0), Semaphore::new(0));
    cts.handle().import_fence(theirs, &first, 10).unwrap();
    let between = first.export_pollable(10).unwrap();
    let config = cts.config;
    let told = second.clone();
    let thread = std::thread::spawn(move || {
        let mut other = Cts::beside(config);
        other.handle().import_fence(between, &told, 20).unwrap();
        other.until("the second import", || told.value() == 20);
    });
    let out = second.export_pollable(20).unwrap();
    let seen = cts.handle().import_pollable(out.try_clone().unwrap());
    let poll = cts.start(PollHandle::readable(seen));
    cts.look();
    assert!(!is_readable(&out));
    set(&ours);
    cts.until("the end of the pipeline", || poll.is_done());
    assert_eq!(poll.only().result.unwrap(), Readiness::READABLE);
    assert!(is_readable(&out));
    assert_eq!((first.value(), second.value()), (10, 20));
    thread.join().unwrap();
}

fn an_export_of_a_semaphore_that_fails_stays_unreadable(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1).unwrap();
    semaphore.fail(Status::new(Code::DataLoss, Operation::None));
    assert!(!is_readable(&export));
    assert_eq!(code_of(&semaphore), Code::DataLoss);
    semaphore.signal(1, None).unwrap_err();
    assert!(!is_readable(&export));
}

fn an_export_of_a_failed_semaphore_stays_unreadable(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    semaphore.fail(Status::new(Code::Aborted, Operation::None));
    let export = semaphore.export_pollable(1).unwrap();
    assert!(!is_readable(&export));
}

fn several_exports_are_told_each_at_its_own_value(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let exports: Vec<_> = [1, 2, 2, 5].map(|value| (value, semaphore.export_pollable(value).unwrap())).into();
    for value in [1, 3, 4, 6] {
        semaphore.signal(value, None).unwrap();
        for (awaited, export) in &exports {
            assert_eq!(is_readable(export), *awaited <= value, "the export of {awaited} at {value}");
        }
    }
}

fn a_device_that_has_a_descriptor_gives_it_out_itself(cts: &mut Cts) {
    use std::sync::Mutex;

    use proact::status::Result;
    use proact::sync::{Primitive, SemaphoreOptions, Timeline};

    /// A device of which some values can be polled for.
    #[derive(Default)]
    struct Queue(Mutex<Option<OwnedFd>>);
    impl Timeline for Queue {
        fn awaited(&self, _: u64) {}
        fn export_primitive(&self, value: u64) -> Result<Primitive> {
            let failed = |code| Err(Status::new(code, Operation::None));
            match value {
                5 => Ok(Primitive::Descriptor(self.0.lock().unwrap().take().unwrap())),
                6 => Ok(Primitive::Native { interface: "a test's", bits: 6 }),
                7 => failed(Code::Unavailable),
                _ => failed(Code::Internal),
            }
        }
    }

    let (theirs, ours) = fence();
    let number = theirs.as_raw_fd();
    let (semaphore, driver) = SemaphoreOptions::new().drive(Arc::new(Queue(Mutex::new(Some(theirs)))));
    let exports = [5, 6, 7].map(|value| semaphore.export_pollable(value).unwrap());
    assert_eq!(exports[0].as_raw_fd(), number);
    let refused = semaphore.export_pollable(8).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::Internal, Operation::FenceExport));
    driver.advance_tainted(7).unwrap();
    assert_eq!(exports.each_ref().map(is_readable), [false, true, true], "the first is the device's own affair");
    assert!(is_readable(semaphore.export_pollable(7).unwrap()), "what is reached needs no device");
    // It is a fence like any other.
    let seen = Semaphore::new(0);
    let [first, ..] = exports;
    cts.handle().import_fence(first, &seen, 1).unwrap();
    cts.look();
    assert_eq!(seen.value(), 0);
    set(&ours);
    cts.until("the device's fence", || seen.value() == 1);
    driver.fail(Status::new(Code::DataLoss, Operation::None));
    assert!(!is_readable(semaphore.export_pollable(8).unwrap()), "a failed one never is");
}

fn the_callers_end_of_an_export_may_be_closed_first(_: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (first, second) = (semaphore.export_pollable(1).unwrap(), semaphore.export_pollable(1).unwrap());
    drop(first);
    semaphore.signal(1, None).unwrap();
    assert!(is_readable(second));
}

fn an_export_outlives_its_semaphore_unreadable(_: &mut Cts) {
    let before = descriptors();
    let semaphore = Semaphore::new(0);
    let exports: Vec<_> = (1..=3).map(|value| semaphore.export_pollable(value).unwrap()).collect();
    assert_eq!(descriptors(), before + 6);
    semaphore.signal(1, None).unwrap();
    assert_eq!(descriptors(), before + 5, "the writing end goes when it has been written");
    drop(semaphore);
    assert_eq!(descriptors(), before + 3, "and with the semaphore");
    assert_eq!([0, 1, 2].map(|index| is_readable(&exports[index])), [true, false, false]);
}

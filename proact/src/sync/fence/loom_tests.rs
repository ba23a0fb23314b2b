//! Exports against signallers, failures and a kernel that tells by itself, under every interleaving.

use loom::thread;

use crate::status::{Code, Operation, Status};
use crate::sync::Semaphore;

/// How often the descriptor was written.
fn count(export: &std::os::fd::OwnedFd) -> u64 {
    let mut count = [0; 8];
    rustix::io::read(export, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
}

fn signaller(semaphore: &Semaphore) -> thread::JoinHandle<bool> {
    let semaphore = semaphore.clone();
    thread::spawn(move || semaphore.signal_if_later(1, None).is_ok_and(|rose| rose))
}

#[test]
fn loom_a_value_that_is_signalled_while_it_is_exported_is_told_once() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let signal = signaller(&semaphore);
        let export = semaphore.export_pollable(1).unwrap();
        signal.join().unwrap();
        assert_eq!(count(&export), 1);
    });
}

#[test]
fn loom_a_value_that_the_kernel_has_told_is_written_again_by_a_rival_at_most() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let told = semaphore.exports().at(1).expect("it was exported a moment ago");
        let rival = signaller(&semaphore);
        // What the kernel does, and then the engine that finds it done.
        rustix::io::write(&export, &1u64.to_ne_bytes()).unwrap();
        told.told_by_kernel();
        let rose = semaphore.signal_if_later(1, None).unwrap();
        let rival = rival.join().unwrap();
        assert!(rose != rival, "one of them has raised it");
        let count = count(&export);
        assert!(count == 1 || (rival && count == 2), "written {count} times");
        assert!(semaphore.exports().at(1).is_none(), "it is told");
    });
}

#[test]
fn loom_an_export_is_readable_exactly_when_its_value_was_reached() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let signal = signaller(&semaphore);
        let fail = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.fail(Status::new(Code::DataLoss, Operation::None)))
        };
        let rose = signal.join().unwrap();
        assert!(fail.join().unwrap(), "nobody else fails it");
        assert_eq!((count(&export) == 1, semaphore.value() == 1), (rose, rose));
    });
}

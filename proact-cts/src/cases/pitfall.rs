//! Faults that others have had and that belong to no other subject. See [`faults`](crate::faults).

use std::sync::atomic::{AtomicU32, Ordering};

use proact::operation::{Close, Read, Receive, SemaphoreWait, Send};
use proact::status::Code;
use proact::sync::Semaphore;

use crate::bench::Cts;
use crate::cases;

cases![
    a_wait_for_three_hundred_semaphores_is_one_wait,
    a_file_closed_with_work_pending_ends_all_of_it.alone(),
    a_broken_pipe_raises_no_signal_and_leaves_its_handler.alone(),
];

fn a_wait_for_three_hundred_semaphores_is_one_wait(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..300).map(|_| Semaphore::new(0)).collect();
    let all = semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect::<Vec<_>>();
    let wait = cts.start(SemaphoreWait::all(all.clone()));
    let any = cts.start(SemaphoreWait::any(all));
    for (index, semaphore) in semaphores.iter().enumerate().rev() {
        cts.look();
        assert!(!wait.is_done(), "{} of 300 are still to be reached", index + 1);
        assert_eq!(any.is_done(), index < 299, "the first signal ends the wait for any");
        semaphore.signal(1, None).unwrap();
    }
    cts.drain();
    wait.only().result.unwrap();
    any.only().result.unwrap();
}

fn a_file_closed_with_work_pending_ends_all_of_it(cts: &mut Cts) {
    let content: Vec<u8> = (0..100_000usize).map(|index| index as u8).collect();
    let file = cts.file("f", &content);
    cts.get(Read::exact(file.clone(), 0, vec![0; 10])); // threads and rings are there
    let before = cts.descriptors();
    let reads: Vec<_> = (0..50).map(|_| cts.start(Read::exact(file.clone(), 0, vec![0; 100_000]))).collect();
    let close = cts.start(Close::new(file.clone()));
    let refused = cts.watch(Read::exact(file, 0, vec![0; 10])).0;
    assert_eq!(cts.submit(refused).map(|_| ()).unwrap_err().status.code(), Code::FailedPrecondition);
    cts.drain();
    close.only().result.unwrap();
    for read in reads {
        let told = read.only();
        match told.result {
            Ok(count) => assert!(count == content.len() && told.kind.buffer == content),
            Err(status) => assert_eq!(status.code(), Code::Cancelled),
        }
    }
    assert_eq!(cts.descriptors(), before - 1);
}

static BROKEN: AtomicU32 = AtomicU32::new(0);

extern "C" fn broken(_: libc::c_int) {
    BROKEN.fetch_add(1, Ordering::Relaxed);
}

/// What is set for SIGPIPE now; with `handler`, that from now on.
fn pipe_signal(handler: Option<usize>) -> usize {
    // SAFETY: zeroed is an empty mask and no flags; what is set is a handler that only counts, or what was set before.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        let new = match handler {
            Some(handler) => {
                action.sa_sigaction = handler;
                &raw const action
            }
            None => std::ptr::null(),
        };
        assert_eq!(libc::sigaction(libc::SIGPIPE, new, &raw mut before), 0);
        before.sa_sigaction
    }
}

fn a_broken_pipe_raises_no_signal_and_leaves_its_handler(cts: &mut Cts) {
    let ours = broken as extern "C" fn(libc::c_int) as usize;
    let before = pipe_signal(Some(ours));
    cts.rebuild(|builder| builder);
    let (client, server) = cts.pair();
    cts.get(Close::new(server));
    // The first send is answered with a reset, the next finds the connection gone.
    let mut failed = None;
    for _ in 0..1000 {
        if let Err(status) = cts.one(Send::exact(client.clone(), vec![1; 1000])).result {
            failed = Some(status.code());
            break;
        }
    }
    assert!(failed.is_some(), "sends to a peer that is gone fail");
    cts.one(Receive::some(client.clone(), vec![0; 1]));
    for _ in 0..3 {
        cts.fails(Send::exact(client.clone(), vec![1; 1]));
    }
    let after = pipe_signal(Some(before));
    assert_eq!(after, ours, "what a program has set for SIGPIPE is its own");
    assert_eq!(BROKEN.load(Ordering::Relaxed), 0, "SIGPIPE was raised");
}

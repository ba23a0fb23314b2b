//! Workers and their end under every interleaving: `ci/loom.sh loom_tests::loom_workers`.

use std::io::Read;
use std::os::fd::IntoRawFd;

use super::*;
use crate::backend::Descriptor;

/// Stands for what the poll thread sleeps in.
struct Bell {
    rung: Mutex<u32>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_one();
    }
}

impl Bell {
    /// A wake that is never sent leaves this waiting, which loom reports as a deadlock.
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == 0 {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = 0;
    }
}

struct Rig {
    workers: Workers,
    bell: std::sync::Arc<Bell>,
}

impl Rig {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new(workers_max: usize) -> Rig {
        let bell = std::sync::Arc::new(Bell { rung: Mutex::new(0), changed: Condvar::new() });
        let config = BackendConfig { workers_max, ..BackendConfig::default() };
        Rig { workers: Workers::new(&config, bell.clone()), bell }
    }

    fn submit(&mut self, slot: u32, request: Request) -> Token {
        let token = Token::new(1, slot);
        // SAFETY: no request of these models points to anything, and each slot is used once.
        unsafe { self.workers.submit(token, &request) };
        token
    }

    /// Submits the close of a pipe's end, and answers the other.
    fn submit_close(&mut self, slot: u32) -> std::io::PipeReader {
        let (reader, writer) = std::io::pipe().unwrap();
        self.submit(slot, Request::Close { descriptor: Descriptor(writer.into_raw_fd().into()) });
        reader
    }

    /// Collects by wakes alone until `count` jobs have ended: the result of each slot.
    fn collect(&mut self, count: usize) -> Vec<(u32, i32)> {
        let mut completions = Vec::new();
        while completions.len() < count {
            self.bell.wait();
            self.workers.collect(&mut completions);
        }
        let mut results: Vec<_> = completions.iter().map(|ended| (ended.token.slot(), ended.result)).collect();
        results.sort_unstable();
        results
    }
}

fn is_closed(mut reader: std::io::PipeReader) -> bool {
    // The end of the pipe, at once; a writer that is left would have this wait, and the test time out.
    matches!(reader.read(&mut [0]), Ok(0))
}

/// The end comes before a worker looks for a job, between that and its sleep, or in its sleep.
#[test]
fn loom_workers_that_are_about_to_sleep_hear_of_the_end() {
    loom::model(|| {
        let mut rig = Rig::new(2);
        rig.submit(0, Request::Nop);
        rig.submit(1, Request::Nop);
        let shared = rig.workers.shared.clone();
        drop(rig);
        assert!(shared.performed.load(Ordering::Relaxed) <= 2);
        assert!(shared.lock().queue.is_empty(), "nothing is left that nobody will take");
    });
}

/// A close is carried out by a worker, or by the end: its descriptor goes in any case, and once.
#[test]
fn loom_workers_close_what_was_given_up_whenever_the_end_comes() {
    loom::model(|| {
        let mut rig = Rig::new(1);
        rig.submit(0, Request::Nop);
        let reader = rig.submit_close(1);
        drop(rig);
        assert!(is_closed(reader));
    });
}

/// Of each job one completion, and the poll thread wakes for the last of them, whoever has ended it.
#[test]
fn loom_workers_end_every_job_once_and_wake_for_the_last() {
    loom::model(|| {
        let mut rig = Rig::new(2);
        rig.submit(0, Request::Nop);
        rig.submit(1, Request::Nop);
        assert_eq!(rig.collect(2), [(0, 0), (1, 0)]);
    });
}

/// A worker that went to sleep takes the job that comes next.
#[test]
fn loom_workers_that_sleep_are_woken_by_the_next_job() {
    loom::model(|| {
        let mut rig = Rig::new(1);
        rig.submit(0, Request::Nop);
        assert_eq!(rig.collect(1), [(0, 0)]);
        rig.submit(1, Request::Nop);
        assert_eq!(rig.collect(1), [(1, 0)]);
    });
}

/// A job is cancelled or carried out, and the answer to the cancel says which.
#[test]
fn loom_workers_and_a_cancel_agree_on_who_has_the_job() {
    loom::model(|| {
        let mut rig = Rig::new(1);
        let token = rig.submit(0, Request::Nop);
        let cancelled = rig.workers.cancel(token);
        let expected = if cancelled { -libc::ECANCELED } else { 0 };
        assert_eq!(rig.collect(1), [(0, expected)]);
        assert!(!rig.workers.cancel(token), "it has ended");
    });
}

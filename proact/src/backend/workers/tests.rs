use std::ffi::CString;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::*;
use crate::atomic::AtomicU32;
use crate::backend::{Descriptor, FileRequest, OpenFlags};

/// Counts wakes and tells a channel of each.
struct Bell {
    rung: AtomicU32,
    line: mpsc::SyncSender<()>,
}

impl Wake for Bell {
    fn wake(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        let _ = self.line.try_send(());
    }
}

struct Rig {
    workers: Workers,
    bell: std::sync::Arc<Bell>,
    line: mpsc::Receiver<()>,
    completions: Vec<Completion>,
}

impl Rig {
    fn new(workers_max: usize) -> Rig {
        let (sender, line) = mpsc::sync_channel(64);
        let bell = std::sync::Arc::new(Bell { rung: AtomicU32::new(0), line: sender });
        let config = BackendConfig { workers_max, name: String::from("bench"), ..BackendConfig::default() };
        Rig { workers: Workers::new(&config, bell.clone()), bell, line, completions: Vec::new() }
    }

    fn submit(&mut self, slot: u32, request: Request) -> Token {
        let token = Token::new(1, slot);
        // SAFETY: every test keeps what its requests point to until it has the completion, or drops the pool first.
        unsafe { self.workers.submit(token, &request) };
        token
    }

    /// Collects by wakes alone until `count` completions are there.
    fn collect(&mut self, count: usize) -> &[Completion] {
        while self.completions.len() < count {
            // Long: under a sanitizer the backtrace of a job that panics takes its time.
            let waited = self.line.recv_timeout(Duration::from_secs(120));
            assert!(waited.is_ok(), "{} of {count} completions came", self.completions.len());
            self.workers.collect(&mut self.completions);
        }
        &self.completions
    }

    fn result(&self, token: Token) -> i32 {
        self.completions.iter().find(|completion| completion.token == token).expect("completed").result
    }
}

/// A pool whose only thread waits for room in a full pipe until [`Stuck::release`].
struct Stuck {
    reader: OwnedFd,
    /// What the request names, kept until its end.
    _kept: [OwnedFd; 2],
    token: Token,
}

impl Stuck {
    /// Returns when the thread is at it.
    fn in_slot(rig: &mut Rig, slot: u32) -> Stuck {
        let file = rustix::fs::memfd_create("proact-workers", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, &[7; 4096]).unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        rustix::fs::fcntl_setfl(&writer, OFlags::empty()).unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
        let of = |fd: &OwnedFd| Descriptor(fd.as_raw_fd().into());
        let request =
            FileRequest::SpliceFile { file: of(&file), offset: 0, pipe: of(&writer), length: 4096, into_pipe: true };
        let token = rig.submit(slot, Request::File(request));
        until("a worker takes the job", || (rig.workers.shared.lock().queued == 0).then_some(()));
        Stuck { reader, _kept: [file, writer], token }
    }

    /// Makes room.
    fn release(&self) {
        let mut bytes = [0; 4096];
        while rustix::io::read(&self.reader, &mut bytes).is_ok_and(|count| count > 0) {}
    }
}

/// Asks again and again, for at most 20 seconds.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::yield_now();
    }
}

impl Bell {
    /// Unique among the tests of this process.
    fn line_id(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

#[test]
fn no_thread_starts_before_the_first_job_and_one_is_enough_for_one_after_the_other() {
    let mut rig = Rig::new(4);
    assert_eq!((rig.workers.alive(), rig.workers.jobs()), (0, 0));
    for slot in 0..100 {
        rig.submit(slot, Request::Nop);
        rig.collect(slot as usize + 1);
        assert_eq!(rig.workers.alive(), 1);
    }
    assert_eq!(rig.workers.jobs(), 100);
    assert!(rig.completions.iter().all(|completion| completion.result == 0));
}

#[test]
fn jobs_in_other_slots_than_before_grow_nothing() {
    let mut rig = Rig::new(1);
    let sizes = |rig: &Rig| {
        let state = rig.workers.shared.lock();
        (state.jobs.slots().count(), state.results.capacity())
    };
    rig.submit(0, Request::Nop);
    let (places, results) = sizes(&rig);
    assert!(results >= places && places > 100, "{places} jobs, {results} results");
    for slot in (2..200).step_by(2) {
        rig.submit(slot, Request::Nop);
    }
    assert_eq!(sizes(&rig), (places, results));
    rig.collect(100);
}

#[test]
fn many_jobs_start_at_most_the_configured_number_of_threads() {
    let mut rig = Rig::new(3);
    for slot in 0..500 {
        rig.submit(slot, Request::Nop);
        assert!(rig.workers.alive() <= 3);
    }
    rig.collect(500);
    let mut slots: Vec<_> = rig.completions.iter().map(|completion| completion.token.slot()).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..500).collect::<Vec<_>>());
}

#[test]
fn wake_comes_once_for_all_results_that_wait_to_be_collected() {
    let mut rig = Rig::new(1);
    for slot in 0..50 {
        rig.submit(slot, Request::Nop);
    }
    until("all jobs were carried out", || (rig.workers.jobs() == 50).then_some(()));
    // The last job was counted before its result was listed: joining is the way to see all of them listed.
    rig.workers.shared.lock().ending = true;
    rig.workers.shared.changed.notify_all();
    rig.workers.threads.drain(..).for_each(|thread| thread.join().unwrap());
    assert_eq!(rig.bell.rung.load(Ordering::Relaxed), 1);
    rig.workers.collect(&mut rig.completions);
    assert_eq!(rig.completions.len(), 50);
}

#[test]
fn cancel_reaches_a_queued_job_and_neither_a_running_nor_an_ended_one() {
    let mut rig = Rig::new(1);
    let stuck = Stuck::in_slot(&mut rig, 0);
    let queued = rig.submit(1, Request::Nop);
    let kept = rig.submit(2, Request::Nop);
    stuck.release();
    rig.collect(3);
    assert_eq!(rig.result(stuck.token), 4096);
    assert!(!rig.workers.cancel(queued), "ended jobs are not found");
    assert_eq!(rig.result(kept), 0);

    rig.completions.clear();
    let stuck = Stuck::in_slot(&mut rig, 0);
    let running_or_first = stuck.token;
    let queued = rig.submit(1, Request::Nop);
    let kept = rig.submit(2, Request::Nop);
    assert!(!rig.workers.cancel(Token::new(2, 1)), "another generation's job is not this one");
    assert!(rig.workers.cancel(queued));
    assert!(!rig.workers.cancel(queued), "cancelled once");
    assert!(!rig.workers.cancel(running_or_first));
    stuck.release();
    rig.collect(3);
    assert_eq!(rig.result(queued), -libc::ECANCELED);
    assert_eq!(rig.result(kept), 0);
    assert_eq!(rig.result(running_or_first), 4096);
}

#[test]
fn queued_close_is_not_cancelled_and_survives_the_pool() {
    let mut rig = Rig::new(1);
    let stuck = Stuck::in_slot(&mut rig, 0);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let close = rig.submit(1, Request::Close { descriptor: Descriptor(writer.into_raw_fd().into()) });
    assert!(!rig.workers.cancel(close));
    stuck.release();
    drop(rig);
    assert_eq!(rustix::io::read(&reader, &mut [0u8; 8]), Ok(0), "end of stream: no writer is left");
}

#[test]
fn a_file_that_nobody_is_told_of_is_closed() {
    let mut rig = Rig::new(1);
    let path = std::env::temp_dir().join(format!("proact-workers-{}-{:?}", std::process::id(), rig.bell.line_id()));
    let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    rig.submit(0, Request::Open { path: path.as_ptr(), flags: OpenFlags::READ, mode: 0 });
    until("the pipe is opened", || (rig.workers.jobs() == 1).then_some(()));
    drop(rig);
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    assert_eq!(rustix::fs::open(&path, flags, Mode::empty()).unwrap_err(), Errno::NXIO, "no reader is left");
    rustix::fs::unlink(&path).unwrap();
}

#[test]
fn job_that_panics_still_completes() {
    let mut rig = Rig::new(1);
    // A request that no worker may be given asserts in debug builds and is answered in release builds.
    let token = rig.submit(0, Request::EventWait { event: Descriptor::NONE });
    rig.collect(1);
    let expected = if cfg!(debug_assertions) { -libc::EIO } else { -libc::EOPNOTSUPP };
    assert_eq!(rig.result(token), expected);
    let next = rig.submit(1, Request::Nop);
    rig.collect(2);
    assert_eq!(rig.result(next), 0);
}

//! Worker threads for requests that would block.
//!
//! Files have no readiness to wait for, so whoever cannot hand them to the kernel asynchronously hands them to these
//! threads. Workers only make system calls: callbacks and everything else stay on the poll thread, which collects
//! results from a return list and is woken when that list stops being empty.

pub(crate) mod files;
pub(crate) mod futex;
pub(crate) mod perform;
pub(crate) mod quiet;
pub(crate) mod slot_list;
mod walk;

pub(crate) use futex::Futexes;
pub(crate) use perform::{borrow, outcome_of, perform, retried};

use std::sync::PoisonError;

use crate::atomic::{Arc, AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, ThreadBuilder};
use crate::backend::{BackendConfig, BySlot, Completion, FileRequest, Request, Token, Wake};
use crate::fault;
use slot_list::{SlotLinks, SlotList};

/// A bounded pool of threads that carry out requests with blocking system calls.
///
/// One thread, the poll thread, owns it and makes every call on it.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    /// All threads ever started: none ends before the pool does.
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    name: String,
    /// Jobs taken and not yet collected: while there are none, nothing needs the lock.
    outstanding: usize,
}

struct Shared {
    state: Mutex<State>,
    /// A job came, or the end.
    changed: Condvar,
    wake: std::sync::Arc<dyn Wake>,
    /// Jobs carried out so far.
    performed: AtomicU64,
}

struct State {
    /// By slot: the job that waits, runs or ran there last. Kept so that queueing allocates nothing, whichever slots
    /// the jobs come in: that is a matter of time.
    jobs: BySlot<Option<Job>>,
    links: SlotLinks,
    queue: SlotList,
    queued: usize,
    /// Threads that carry out no job now. A thread counts from its start, and again from the moment its result can be
    /// seen, so that one job after the other never makes a second thread.
    idle: usize,
    results: Vec<Completion>,
    ending: bool,
}

#[derive(Clone, Copy)]
struct Job {
    token: Token,
    request: Request,
    /// Still in the queue.
    queued: bool,
}

// SAFETY: a job's pointers are what keeps it from being Send. `Workers::submit`'s caller gives their memory to the pool
// until the completion is collected, and exactly one thread takes each job from the queue, so only it touches them.
unsafe impl Send for Job {}

impl Workers {
    /// A pool without threads; they come with the jobs.
    pub(crate) fn new(config: &BackendConfig, wake: std::sync::Arc<dyn Wake>) -> Workers {
        let state = State {
            jobs: BySlot::new(),
            links: SlotLinks::default(),
            queue: SlotList::EMPTY,
            queued: 0,
            idle: 0,
            results: Vec::new(),
            ending: false,
        };
        Workers {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Condvar::new(),
                wake,
                performed: AtomicU64::new(0),
            }),
            threads: Vec::new(),
            threads_max: config.workers_max.max(1),
            name: config.name.clone(),
            outstanding: 0,
        }
    }

    /// Queues a job, and starts another thread when more jobs wait than threads do, up to the limit. When there is not
    /// one thread and none can be had, the job ends with `-EAGAIN` (a close is carried out here and now: its
    /// descriptor must go).
    ///
    /// # Safety
    ///
    /// The pointers in `request` are valid, and the memory exclusively the pool's, until `token`'s completion was
    /// collected; `token`'s slot has no other job here.
    pub(crate) unsafe fn submit(&mut self, token: Token, request: &Request) {
        self.outstanding += 1;
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.push(Job { token, request: *request, queued: true });
        if state.queued > state.idle && self.threads.len() < self.threads_max && self.spawn().is_ok() {
            state.idle += 1;
        }
        if self.threads.is_empty() {
            let taken = state.take(token);
            debug_assert!(taken, "only threads take jobs, and there is none");
            let result = match request {
                // SAFETY: the caller's promise, passed on.
                Request::Close { .. } => unsafe { perform(request) },
                _ => -libc::EAGAIN,
            };
            drop(shared.finish(state, token, result));
            return;
        }
        drop(state);
        shared.changed.notify_one();
    }

    /// Takes a job that is still queued out of the queue; it ends with `-ECANCELED`. `false`: it runs, has ended, was
    /// never here, or is a close, whose descriptor must go in any case.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        if self.outstanding == 0 {
            return false;
        }
        let mut state = self.shared.lock();
        let job = state.jobs.get(token.slot()).copied().flatten();
        if job.is_some_and(|job| matches!(job.request, Request::Close { .. })) || !state.take(token) {
            return false;
        }
        drop(self.shared.finish(state, token, -libc::ECANCELED));
        true
    }

    /// Appends the completions of all jobs that have ended.
    #[inline(always)]
    pub(crate) fn collect(&mut self, completions: &mut Vec<Completion>) {
        if self.outstanding > 0 {
            self.collect_ended(completions);
        }
    }

    #[inline(never)]
    fn collect_ended(&mut self, completions: &mut Vec<Completion>) {
        let mut state = self.shared.lock();
        self.outstanding -= state.results.len();
        completions.append(&mut state.results);
    }

    /// Threads alive now.
    pub(crate) fn alive(&self) -> u64 {
        self.threads.len() as u64
    }

    /// Jobs that threads have carried out.
    pub(crate) fn jobs(&self) -> u64 {
        self.shared.performed.load(Ordering::Relaxed)
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        fault::check().map_err(std::io::Error::from_raw_os_error)?;
        let shared = self.shared.clone();
        let name = thread_name(&self.name, &format!("-w{}", self.threads.len()));
        // It runs where the poll thread, which starts it, is pinned to (sched_setaffinity(2): inherited).
        self.threads.push(ThreadBuilder::new().name(name).spawn(move || shared.work())?);
        Ok(())
    }
}

/// What a thread is called: of a long `name` only the beginning, so that its end is among the 15 bytes that Linux keeps
/// (prctl(2), `PR_SET_NAME`).
pub(crate) fn thread_name(name: &str, end: &str) -> String {
    const SHOWN: usize = 15;
    // The standard library panics at a name with a NUL in it.
    let mut name = name.replace('\0', "");
    while name.len() > SHOWN.saturating_sub(end.len()) && name.pop().is_some() {}
    name + end
}

impl Drop for Workers {
    /// Lets running jobs end, and joins. Jobs still queued never run, except closes; descriptors that no one will
    /// collect are closed.
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker's panic was turned into a result; one outside `perform` has been printed.
            let _ = thread.join();
        }
        let mut state = self.shared.lock();
        while let Some(job) = state.pop() {
            if let Request::Close { .. } = job.request {
                // SAFETY: the request gives the descriptor up, and has no pointers.
                unsafe { perform(&job.request) };
            }
        }
        for completion in std::mem::take(&mut state.results) {
            let job = state.jobs[completion.token.slot() as usize];
            let opens =
                |job: Job| matches!(job.request, Request::Open { .. } | Request::File(FileRequest::OpenAt { .. }));
            if completion.result >= 0 && job.is_some_and(opens) {
                // SAFETY: the descriptor was made by this pool and handed to no one.
                unsafe { rustix::io::close(completion.result) };
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock with the state half changed, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker thread's life.
    fn work(&self) {
        quiet::never_here();
        let mut state = self.lock();
        while !state.ending {
            let Some(job) = state.pop() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.idle -= 1;
            drop(state);
            // SAFETY: `submit`'s caller keeps the memory valid and untouched until the completion is collected, which
            // `finish` only makes possible afterwards; this thread alone took the job.
            let result = unsafe { perform(&job.request) };
            self.performed.fetch_add(1, Ordering::Relaxed);
            state = self.lock();
            state.idle += 1;
            state = self.finish(state, job.token, result);
        }
    }

    /// Puts a result on the return list and wakes the poll thread if it was empty: otherwise the wake of its first
    /// entry is still to be answered by a `collect`, which will take this one too.
    fn finish<'a>(&'a self, mut state: MutexGuard<'a, State>, token: Token, result: i32) -> MutexGuard<'a, State> {
        state.results.push(Completion { token, result, flags: 0 });
        if state.results.len() > 1 {
            return state;
        }
        drop(state);
        self.wake.wake();
        self.lock()
    }
}

impl State {
    fn push(&mut self, job: Job) {
        let slot = job.token.slot();
        if self.jobs.reach(slot, || None) {
            // As many results can wait as there are places: finishing must not allocate.
            self.results.reserve(self.jobs.slots().count() - self.results.len());
        }
        self.jobs[slot as usize] = Some(job);
        self.links.push(&mut self.queue, slot);
        self.queued += 1;
    }

    fn pop(&mut self) -> Option<Job> {
        let slot = self.links.pop(&mut self.queue)?;
        self.queued -= 1;
        let job = self.jobs[slot as usize].as_mut()?;
        job.queued = false;
        Some(*job)
    }

    /// Takes `token`'s job out of the queue, if it is there.
    fn take(&mut self, token: Token) -> bool {
        let slot = token.slot();
        match self.jobs.get_mut(slot) {
            Some(Some(job)) if job.token == token && job.queued => job.queued = false,
            _ => return false,
        }
        self.links.remove(&mut self.queue, slot);
        self.queued -= 1;
        true
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

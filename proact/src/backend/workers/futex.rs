//! Waiting for futexes without a ring's help: helper threads that sleep in `futex_waitv` (Linux 5.16).
//!
//! A helper sleeps on up to 127 words and on a control word of its own, which the poll thread changes to make it look
//! at its list again. Only the helper itself ends a wait, so that nobody reads a word after its wait was told.
//!
//! The kernel tells a helper of one woken word at a time, and between two sleeps it hears of none. What changed
//! meanwhile it finds by the words' values; a wake that left the word as it was expected may go unheard then. Every
//! protocol on futexes changes the word before it wakes, since a waiter may always be late. All waits of one helper for
//! the woken word end together: the wake's count does not know that several stand behind one sleeper.

use std::sync::PoisonError;
use std::thread::JoinHandle;

use linux_raw_sys::general::__NR_futex_waitv;
use rustix::io::Errno;

use super::{outcome_of, retried};
use crate::atomic::{Arc, KernelWord, Mutex, MutexGuard, Ordering};
use crate::backend::{BackendConfig, Completion, Token, WaitRequest, Wake};
use crate::fault::tried;
use crate::status::Operation;

/// Words that one call can wait for.
const WORDS_MAX: usize = 128;

// `linux/futex.h`.
const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;

/// `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Waiter {
    expected: u64,
    word: u64,
    flags: u32,
    reserved: u32,
}

/// The waits of one backend, and the threads that sleep for them. One thread, the poll thread, makes every call on it.
pub(crate) struct Futexes {
    helpers: Vec<Helper>,
    results: Arc<Results>,
    name: String,
    /// Waits taken and not yet collected: while there are none, nothing needs a lock.
    outstanding: usize,
}

struct Helper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Where helpers put what has ended.
struct Results {
    list: Mutex<Vec<Completion>>,
    wake: std::sync::Arc<dyn Wake>,
}

/// What a helper and the poll thread share.
struct Shared {
    /// Changed, and woken, when the helper must look again.
    control: KernelWord,
    state: Mutex<State>,
}

struct State {
    waits: Vec<Waiting>,
    ending: bool,
}

#[derive(Clone, Copy)]
struct Waiting {
    token: Token,
    word: *const u32,
    expected: u32,
    shared: bool,
    cancelled: bool,
}

// SAFETY: the word's pointer is what keeps it from being Send. Whoever started the wait keeps the word alive until its
// completion was collected, and the word is only ever read atomically.
unsafe impl Send for Waiting {}

impl Futexes {
    /// No wait and no thread.
    pub(crate) fn new(config: &BackendConfig, wake: std::sync::Arc<dyn Wake>) -> Futexes {
        Futexes {
            helpers: Vec::new(),
            results: Arc::new(Results { list: Mutex::new(Vec::new()), wake }),
            name: config.name.clone(),
            outstanding: 0,
        }
    }

    /// Carries out a wake, or takes a wait in. A result that is known at once is returned; others are collected.
    ///
    /// # Safety
    ///
    /// The word is valid until the result was returned or collected. `token`'s slot has no other wait here.
    pub(crate) unsafe fn start(&mut self, token: Token, request: &WaitRequest) -> Option<i32> {
        match *request {
            WaitRequest::FutexWake { word, count, shared } => Some(wake(word, count, shared)),
            WaitRequest::FutexWait { word, expected, shared } => {
                // SAFETY: the caller's promise.
                if unsafe { KernelWord::from_ptr(word.cast_mut()) }.load(Ordering::SeqCst) != expected {
                    return Some(1);
                }
                self.take(Waiting { token, word, expected, shared, cancelled: false })
            }
            _ => unreachable!("{request:?} is no futex operation"),
        }
    }

    fn take(&mut self, waiting: Waiting) -> Option<i32> {
        let room = self.helpers.iter().position(|helper| helper.shared.lock().waits.len() < WORDS_MAX - 1);
        let index = match room {
            Some(index) => index,
            None => match self.spawn() {
                Ok(()) => self.helpers.len() - 1,
                Err(_) => return Some(-libc::EAGAIN),
            },
        };
        self.outstanding += 1;
        // As many results can wait as there are waits: ending one must not allocate.
        self.results.lock().reserve(self.outstanding);
        let shared = &self.helpers[index].shared;
        shared.lock().waits.push(waiting);
        shared.look_again();
        None
    }

    /// Ends a wait with `-ECANCELED`, or as it ends if that comes first. `false`: it is not here.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        for helper in &self.helpers {
            let mut state = helper.shared.lock();
            if let Some(waiting) = state.waits.iter_mut().find(|waiting| waiting.token == token) {
                waiting.cancelled = true;
                drop(state);
                helper.shared.look_again();
                return true;
            }
        }
        false
    }

    /// Appends what has ended.
    #[inline(always)]
    pub(crate) fn collect(&mut self, completions: &mut Vec<Completion>) {
        if self.outstanding > 0 {
            self.collect_ended(completions);
        }
    }

    #[inline(never)]
    fn collect_ended(&mut self, completions: &mut Vec<Completion>) {
        let mut list = self.results.lock();
        self.outstanding -= list.len();
        completions.append(&mut list);
    }

    /// Threads alive now.
    pub(crate) fn alive(&self) -> u64 {
        self.helpers.len() as u64
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        crate::fault::check().map_err(std::io::Error::from_raw_os_error)?;
        let state = State { waits: Vec::with_capacity(WORDS_MAX), ending: false };
        let shared = Arc::new(Shared { control: KernelWord::new(0), state: Mutex::new(state) });
        let (of_helper, results) = (shared.clone(), self.results.clone());
        let name = super::thread_name(&self.name, &format!("-f{}", self.helpers.len()));
        let thread = std::thread::Builder::new().name(name).spawn(move || of_helper.sleep(&results))?;
        self.helpers.push(Helper { shared, thread: Some(thread) });
        Ok(())
    }
}

impl Drop for Futexes {
    /// Ends the helpers: from then on no word is read.
    fn drop(&mut self) {
        for helper in &self.helpers {
            helper.shared.lock().ending = true;
            helper.shared.look_again();
        }
        for helper in &mut self.helpers {
            if let Some(thread) = helper.thread.take() {
                // A panic of its own has been printed.
                let _ = thread.join();
            }
        }
    }
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, Vec<Completion>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the poll thread when the list stops being empty: otherwise the wake of its first entry is still to be
    /// answered.
    fn tell(&self, token: Token, result: i32) {
        let mut list = self.lock();
        list.push(Completion { token, result, flags: 0 });
        let first = list.len() == 1;
        drop(list);
        if first {
            self.wake.wake();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock with the list half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_again(&self) {
        self.control.fetch_add(1, Ordering::SeqCst);
        // Of a word of this process's own, which cannot fail: no fault is put here either.
        wake_once(self.control.as_ptr(), 1, false);
    }

    /// A helper's life.
    fn sleep(&self, results: &Results) {
        let none = Waiter { expected: 0, word: 0, flags: 0, reserved: 0 };
        let mut waiters = [none; WORDS_MAX];
        loop {
            // Before the list is read: what is added after that changes it, and the sleep does not begin.
            let control = self.control.load(Ordering::SeqCst);
            let count = {
                let mut state = self.lock();
                if state.ending {
                    return;
                }
                state.waits.retain(|waiting| match waiting.early_result() {
                    Some(result) => {
                        results.tell(waiting.token, result);
                        false
                    }
                    None => true,
                });
                // Behind the control word: of several that were woken the kernel names the last.
                waiters[0] = waiter_of(self.control.as_ptr(), control, false);
                for (at, waiting) in state.waits.iter().enumerate() {
                    waiters[at + 1] = waiter_of(waiting.word, waiting.expected, waiting.shared);
                }
                state.waits.len() + 1
            };
            let failure = match tried(|| wait_any(&waiters[..count])) {
                Ok(0) | Err(Errno::AGAIN | Errno::INTR) => continue,
                Ok(index) => {
                    let word = waiters[index].word;
                    self.end(results, |waiting| (waiting.word as u64 == word).then_some(0));
                    continue;
                }
                Err(errno) => errno,
            };
            // Memory for the sleep is short, or a word is not where the system can wait for it.
            self.end(results, |_| Some(-failure.raw_os_error()));
        }
    }

    /// Ends the waits for which `result` has one.
    fn end(&self, results: &Results, result: impl Fn(&Waiting) -> Option<i32>) {
        self.lock().waits.retain(|waiting| match result(waiting) {
            Some(result) => {
                results.tell(waiting.token, result);
                false
            }
            None => true,
        });
    }
}

impl Waiting {
    /// How it ends without a sleep, if it does.
    fn early_result(&self) -> Option<i32> {
        if self.cancelled {
            return Some(-libc::ECANCELED);
        }
        // SAFETY: whoever started the wait keeps the word until the completion was collected, and it has not been told.
        let value = unsafe { KernelWord::from_ptr(self.word.cast_mut()) }.load(Ordering::SeqCst);
        // Seen to be another after the wait had begun: somebody changed it, which is what a wake tells.
        (value != self.expected).then_some(0)
    }
}

fn waiter_of(word: *const u32, expected: u32, shared: bool) -> Waiter {
    let flags = FUTEX2_SIZE_U32 | if shared { 0 } else { FUTEX2_PRIVATE };
    Waiter { expected: expected.into(), word: word as u64, flags, reserved: 0 }
}

/// Sleeps until one of the words is woken: which. `AGAIN`: one of them was another than expected.
fn wait_any(waiters: &[Waiter]) -> Result<usize, Errno> {
    let no_timeout = std::ptr::null::<libc::timespec>();
    // SAFETY: as many waiters as are said; the kernel reads the words they name, and those are kept by whoever started
    // the waits.
    let answer =
        unsafe { libc::syscall(__NR_futex_waitv as libc::c_long, waiters.as_ptr(), waiters.len(), 0, no_timeout, 0) };
    outcome_of(answer as isize).map(|index| index as usize)
}

/// Wakes at most `count` who wait for `word`: how many, or a negated errno. The kernel does not read the word.
pub(crate) fn wake(word: *const u32, count: u32, shared: bool) -> i32 {
    retried(|| wake_once(word, count, shared)).unwrap_or_else(|errno| -errno.raw_os_error())
}

fn wake_once(word: *const u32, count: u32, shared: bool) -> isize {
    let operation = libc::FUTEX_WAKE | if shared { 0 } else { libc::FUTEX_PRIVATE_FLAG };
    let count = count.min(i32::MAX as u32) as i32;
    // SAFETY: the kernel takes the address as a name, and refuses one that is none.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, count) as isize }
}

/// What is missing here, with the reason: nothing where `futex_waitv` is there.
pub(crate) fn missing() -> Vec<(Operation, String)> {
    // No waiters at all: a kernel that knows the call says that this is wrong.
    match wait_any(&[]) {
        Err(Errno::INVAL) => Vec::new(),
        Err(errno) => {
            let why = match errno {
                Errno::NOSYS => "the kernel is older than 5.16 and has no futex_waitv",
                _ => "futex_waitv is filtered",
            };
            vec![(Operation::FutexWait, format!("{why} (os error {})", errno.raw_os_error()))]
        }
        Ok(_) => Vec::new(),
    }
}

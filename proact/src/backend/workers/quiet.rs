//! Writing without SIGPIPE.
//!
//! A write to a pipe that nobody reads, and a splice to a connection that is gone, raise SIGPIPE in the thread that
//! makes the call, and no flag of theirs says otherwise before Linux 6.18. What a program has set for that signal is
//! its own: a library neither ends it nor changes that. So the signal is blocked for the call, taken if the call has
//! raised it, and the thread's mask set back. The system raises it for the thread; one that another process sends to
//! this one in that very moment, while every thread blocks it, may be taken instead.

use std::mem::MaybeUninit;
use std::ptr;

use rustix::io::Errno;

/// Blocks SIGPIPE for the calling thread until it is dropped, and takes what was raised by then.
pub(crate) struct Quiet {
    before: libc::sigset_t,
    /// One waits that was there before, because the program blocks it: that one is not to be taken.
    waits: bool,
}

fn only_pipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call fills the set, the second changes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

/// Blocks SIGPIPE in a thread of our own, for good: what it raises there waits, and goes with the thread.
pub(crate) fn never_here() {
    // SAFETY: the set lives throughout.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &only_pipe(), ptr::null_mut()) };
}

impl Quiet {
    pub(crate) fn begin() -> Quiet {
        let mut before = MaybeUninit::uninit();
        // Neither call fails with such arguments.
        // SAFETY: the first fills `before`, the other `pending`; all sets live throughout.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &only_pipe(), before.as_mut_ptr());
            let before = before.assume_init();
            // One that was let through could not wait.
            let waits = libc::sigismember(&before, libc::SIGPIPE) == 1 && {
                let mut pending = MaybeUninit::uninit();
                libc::sigpending(pending.as_mut_ptr());
                libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
            };
            Quiet { before, waits }
        }
    }

    /// Nothing was raised: there is nothing to take.
    fn end_unraised(mut self) {
        self.waits = true;
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: all structures live throughout, and no information on the signal is asked for.
        unsafe {
            if !self.waits {
                let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                libc::sigtimedwait(&only_pipe(), ptr::null_mut(), &at_once);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut());
        }
    }
}

/// Makes a call that may raise SIGPIPE, which it tells as `EPIPE` as well.
pub(crate) fn quietly<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let quiet = Quiet::begin();
    let result = call();
    match result {
        Err(Errno::PIPE) => drop(quiet),
        _ => quiet.end_unraised(),
    }
    result
}

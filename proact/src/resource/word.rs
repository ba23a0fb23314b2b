//! A word that threads sleep for while it has a value.

use crate::atomic::AtomicU32;
use crate::status::Result;
use crate::time::Time;

/// How a sleep ended, where there is any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slept {
    /// Woken, or for no reason: look at the word.
    #[cfg(any(loom, target_os = "linux", target_os = "android"))]
    Woken,
    /// The time is up.
    #[cfg(any(loom, target_os = "linux", target_os = "android"))]
    TimedOut,
}

/// A word of this process that threads sleep for: a futex, where the system has them.
///
/// A wake allocates nothing, takes no lock and leaves `errno` alone: it is fit for a signal handler.
pub(crate) struct Word {
    value: AtomicU32,
    #[cfg(loom)]
    model: model::Sleepers,
}

impl Word {
    pub(crate) fn new(value: u32) -> Word {
        Word {
            value: AtomicU32::new(value),
            #[cfg(loom)]
            model: model::Sleepers::default(),
        }
    }

    /// The word itself.
    pub(crate) fn atomic(&self) -> &AtomicU32 {
        &self.value
    }
}

#[cfg(all(not(loom), any(target_os = "linux", target_os = "android")))]
impl Word {
    /// Sleeps while the word is `expected`, until someone wakes it or the monotonic clock shows `until`.
    pub(crate) fn sleep(&self, expected: u32, until: Time) -> Result<Slept> {
        futex::sleep(&self.value, expected, until, false)
    }

    /// Wakes at most `count` who sleep.
    pub(crate) fn wake(&self, count: u32) {
        futex::wake(&self.value, count, futex::THREADS, false);
    }
}

#[cfg(all(not(loom), not(any(target_os = "linux", target_os = "android"))))]
impl Word {
    /// Unavailable: nobody sleeps here.
    pub(crate) fn sleep(&self, _: u32, _: Time) -> Result<Slept> {
        use crate::status::{Code, Operation, Status};
        let status = Status::new(Code::Unavailable, Operation::NotificationWait);
        Err(status.with_message("no blocking waits on this system yet"))
    }

    pub(crate) fn wake(&self, _: u32) {}
}

/// The system's futexes (futex(2)), by calls that touch nothing but the word.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg_attr(loom, allow(dead_code))]
pub(crate) mod futex {
    use core::num::NonZeroU32;

    use rustix::io::Errno;
    use rustix::thread::{Timespec, futex};

    use super::Slept;
    use crate::atomic::KernelWord;
    use crate::status::{Operation, Result, Status, preserving_errno};
    use crate::time::Time;

    /// Threads sleep with this bit. Operations, and other programs' plain waits, stand for every bit.
    pub(crate) const THREADS: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
    /// No thread sleeps with this bit.
    pub(crate) const OPERATIONS: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
    /// Every bit.
    pub(crate) const ANYONE: NonZeroU32 = NonZeroU32::MAX;

    fn flags(shared: bool) -> futex::Flags {
        if shared { futex::Flags::empty() } else { futex::Flags::PRIVATE }
    }

    /// Sleeps while `word` is `expected`, until someone wakes it or the monotonic clock shows `until`.
    pub(crate) fn sleep(word: &KernelWord, expected: u32, until: Time, shared: bool) -> Result<Slept> {
        let nanoseconds = until.as_nanoseconds();
        let deadline =
            Timespec { tv_sec: (nanoseconds / 1_000_000_000) as _, tv_nsec: (nanoseconds % 1_000_000_000) as _ };
        let deadline = (until != Time::FAR_FUTURE).then_some(&deadline);
        match futex::wait_bitset(word, flags(shared), expected, deadline, THREADS) {
            // AGAIN: the word is another. INTR: a signal handler ran.
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(Slept::Woken),
            Err(Errno::TIMEDOUT) => Ok(Slept::TimedOut),
            Err(errno) => Err(Status::from_os_error(Operation::NotificationWait, errno.raw_os_error())),
        }
    }

    /// Whether the system can wait for a word of shared memory at all: a wake is refused where a wait would be.
    pub(crate) fn probe(word: &KernelWord) -> Result {
        match futex::wake(word, flags(true), 0) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Status::from_os_error(Operation::NotificationCreate, errno.raw_os_error())),
        }
    }

    /// Wakes at most `count` of those who sleep with one of these bits.
    pub(crate) fn wake(word: &KernelWord, count: u32, bits: NonZeroU32, shared: bool) {
        let count = count.min(i32::MAX as u32);
        // A word that was slept for is one that can be woken; and no one else can be told of a failure here.
        let _ = preserving_errno(|| futex::wake_bitset(word, flags(shared), count, bits));
    }
}

/// The same for a model: the lock stands for the kernel's, under which it compares and puts to sleep, or wakes.
#[cfg(loom)]
mod model {
    use super::{Result, Slept, Time, Word};
    use crate::atomic::{Condvar, Mutex, Ordering};

    #[derive(Default)]
    pub(super) struct Sleepers {
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Word {
        pub(crate) fn sleep(&self, expected: u32, _: Time) -> Result<Slept> {
            let guard = self.model.lock.lock().unwrap();
            if self.atomic().load(Ordering::Relaxed) == expected {
                drop(self.model.woken.wait(guard).unwrap());
            }
            Ok(Slept::Woken)
        }

        pub(crate) fn wake(&self, count: u32) {
            let _guard = self.model.lock.lock().unwrap();
            if count == 1 { self.model.woken.notify_one() } else { self.model.woken.notify_all() }
        }
    }
}

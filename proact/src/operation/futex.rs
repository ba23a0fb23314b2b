//! Futexes: waiting for a word of memory, and waking who waits.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest};
use crate::resource::{FutexWord, Home, Lane};
use crate::status::{Operation, Result};

/// How a [`FutexWait`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FutexWaited {
    /// Woken. Look at the word: as with every futex, nobody need have meant it.
    Woken,
    /// The word was another than expected when the wait began.
    Changed,
}

/// Waits until someone wakes a word, unless it has another value than expected when the wait begins.
///
/// Whoever wakes it (a thread's `futex` system call, [`FutexWord::wake`], a [`FutexWake`], another process) changes the
/// word first, as in every protocol on futexes: then no wake is lost, however late this one comes.
///
/// Kernel-native on io_uring (Linux 6.7, [`KERNEL_FUTEX`](crate::backend::Capabilities::KERNEL_FUTEX)). Elsewhere
/// emulated: one thread for every 127 waits of the proactor sleeps for them (`futex_waitv`, Linux 5.16). There a wake
/// that left the word unchanged may be missed, and one that is counted once may end several waits of this proactor for
/// that word.
///
/// # Errors
/// `Unavailable` at submit, with the reason, where neither is there.
///
/// ```
/// # use proact::operation::{FutexWait, Op};
/// # use proact::resource::FutexWord;
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let word = FutexWord::new(0);
/// if proactor.submit(Op::new(FutexWait::new(word.clone(), 1), ())).is_ok() {
///     proactor.run().unwrap(); // it is not 1: this ends at once
/// }
/// ```
#[derive(Clone, Debug)]
pub struct FutexWait {
    /// The word.
    pub word: FutexWord,
    /// What it is expected to be.
    pub expected: u32,
}

impl FutexWait {
    /// Waits for `word` while it is `expected`.
    pub fn new(word: FutexWord, expected: u32) -> FutexWait {
        FutexWait { word, expected }
    }
}

impl Sealed for FutexWait {}

impl Kind for FutexWait {
    type Output = FutexWaited;
    const OPERATION: Operation = Operation::FutexWait;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn request(&mut self, _: usize) -> Request {
        let (word, shared) = (self.word.as_ptr(), self.word.is_shared());
        Request::Wait(WaitRequest::FutexWait { word, expected: self.expected, shared })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<FutexWaited> {
        Ok(if value == 0 { FutexWaited::Woken } else { FutexWaited::Changed })
    }
}

/// Wakes who waits for a word. Yields how many were woken.
///
/// Change the word before. Kernel-native on io_uring (Linux 6.7), a system call on the poll thread elsewhere.
///
/// ```
/// # use proact::operation::{FutexWake, Op};
/// # use proact::resource::FutexWord;
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let word = FutexWord::new(0);
/// proactor.submit(Op::new(FutexWake::all(word), ())).unwrap();
/// # proactor.run().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct FutexWake {
    /// The word.
    pub word: FutexWord,
    /// At most so many are woken.
    pub count: u32,
}

impl FutexWake {
    /// Wakes at most `count`.
    pub fn new(word: FutexWord, count: u32) -> FutexWake {
        FutexWake { word, count }
    }

    /// Wakes all.
    pub fn all(word: FutexWord) -> FutexWake {
        FutexWake::new(word, i32::MAX as u32)
    }
}

impl Sealed for FutexWake {}

impl Kind for FutexWake {
    type Output = u32;
    const OPERATION: Operation = Operation::FutexWake;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn request(&mut self, _: usize) -> Request {
        let (word, shared) = (self.word.as_ptr(), self.word.is_shared());
        Request::Wait(WaitRequest::FutexWake { word, count: self.count.min(i32::MAX as u32), shared })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<u32> {
        Ok(value as u32)
    }
}

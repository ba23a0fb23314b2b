//! Threads that wait for semaphores by themselves, without a proactor.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::node::{Action, Ended, Entry, Node};
use super::{Armed, Semaphore};
use crate::atomic::Condvar;
use crate::heap::HeapKey;
use crate::status::{Code, Operation, Result, Status};
use crate::sync::wait_flags::{Spin, WaitFlags};
use crate::time::{Clock, Time, Timeout};

/// Waiting in the calling thread.
///
/// Times are of [`Clock::monotonic`]. A wait spins first, as its [`WaitFlags`] say, and then blocks; before it blocks
/// it makes one allocation, or two for several semaphores. Any thread may wait, but not one that polls: nothing on its
/// proactor would move meanwhile.
impl Semaphore {
    /// Waits until the semaphore has reached `value`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use proact::status::Code;
    /// use proact::sync::{Semaphore, WaitFlags};
    /// use proact::time::Timeout;
    ///
    /// let semaphore = Semaphore::new(0);
    /// let signaller = std::thread::spawn({
    ///     let semaphore = semaphore.clone();
    ///     move || semaphore.signal(3, None)
    /// });
    /// semaphore.wait(3, Timeout::Infinite, WaitFlags::YIELD)?;
    /// signaller.join().unwrap()?;
    /// let late = semaphore.wait(4, Duration::from_millis(1), WaitFlags::empty()).unwrap_err();
    /// assert_eq!(late.code(), Code::DeadlineExceeded);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    ///
    /// # Errors
    /// The semaphore's failure, if it fails, or has failed, below the value. DeadlineExceeded. InvalidArgument for
    /// flags that are not known.
    #[track_caller]
    pub fn wait(&self, value: u64, timeout: impl Into<Timeout>, flags: WaitFlags) -> Result {
        Semaphore::wait_all(std::slice::from_ref(&(self.clone(), value)), timeout, flags)
    }

    /// Waits until every semaphore has reached its value; any number of them. None at all are reached at once.
    ///
    /// # Errors
    /// The failure of the first that fails below its value, or has failed; with its text. DeadlineExceeded.
    /// InvalidArgument for flags that are not known.
    #[track_caller]
    pub fn wait_all(semaphores: &[(Semaphore, u64)], timeout: impl Into<Timeout>, flags: WaitFlags) -> Result {
        Wait { semaphores, any: false }.run(timeout.into(), flags).map(|_| ())
    }

    /// Waits until the first semaphore has reached its value; any number of them. Answers which.
    ///
    /// If one fails while another is reached, the wait succeeds: a failure counts only when, by then, none is reached.
    ///
    /// # Errors
    /// The failure of one that fails below its value, or has failed, while none is reached; with its text.
    /// DeadlineExceeded. InvalidArgument for flags that are not known, and for no semaphores: that would never end.
    #[track_caller]
    pub fn wait_any(semaphores: &[(Semaphore, u64)], timeout: impl Into<Timeout>, flags: WaitFlags) -> Result<usize> {
        if semaphores.is_empty() {
            return Err(Status::new(Code::InvalidArgument, Operation::SemaphoreWait)
                .with_message("a wait for any of no semaphores would never end"));
        }
        Wait { semaphores, any: true }.run(timeout.into(), flags)
    }
}

struct Wait<'a> {
    semaphores: &'a [(Semaphore, u64)],
    any: bool,
}

/// What stands in the semaphores' lines, until it is dropped.
struct Lines<'a> {
    semaphores: &'a [(Semaphore, u64)],
    /// Of the first semaphore, which most waits have alone: no memory is taken for that.
    first: Option<HeapKey>,
    others: Vec<Option<HeapKey>>,
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        for (key, (semaphore, _)) in std::iter::once(&self.first).chain(&self.others).zip(self.semaphores) {
            if let Some(key) = *key {
                semaphore.disarm(key);
            }
        }
    }
}

impl Wait<'_> {
    #[track_caller]
    fn run(&self, timeout: Timeout, flags: WaitFlags) -> Result<usize> {
        let mut spin = flags.spin(Operation::SemaphoreWait)?;
        let clock = Clock::monotonic();
        // Semaphores before this one have been seen to be reached, of a wait for all.
        let mut reached = 0;
        if let Some(outcome) = self.look(&mut reached) {
            return outcome;
        }
        let deadline = match timeout {
            Timeout::Immediate => return Err(self.late()),
            Timeout::After(duration) => clock.now() + duration,
            Timeout::At(time) => time,
            Timeout::Infinite => Time::FAR_FUTURE,
        };
        while spin.again(&clock, deadline) {
            if let Some(outcome) = self.look(&mut reached) {
                return outcome;
            }
        }
        match spin {
            // Such a wait ends before its deadline or at it.
            Spin::Active { .. } => self.look(&mut reached).unwrap_or_else(|| Err(self.late())),
            _ => self.block(&clock, deadline),
        }
    }

    /// What the wait has come to, if it is over. A wait for any succeeds if one is reached, whoever else has failed.
    fn look(&self, reached: &mut usize) -> Option<Result<usize>> {
        if self.any {
            let at = self.semaphores.iter().position(|(semaphore, value)| semaphore.value() >= *value);
            return at.map(Ok).or_else(|| self.failure().map(Err));
        }
        while let Some((semaphore, value)) = self.semaphores.get(*reached) {
            if semaphore.value() < *value {
                return self.failure().map(Err);
            }
            *reached += 1;
        }
        Some(Ok(0))
    }

    /// The failure of the first that cannot reach its value any more.
    fn failure(&self) -> Option<Status> {
        self.semaphores.iter().find_map(|(semaphore, value)| {
            // In this order: a value does not rise after a failure.
            let status = semaphore.status()?;
            (semaphore.value() < *value).then_some(status)
        })
    }

    #[track_caller]
    #[cold]
    fn block(&self, clock: &Clock, deadline: Time) -> Result<usize> {
        let count = self.semaphores.len();
        let node = Node::new(Action::Unpark(Condvar::new()), if self.any { 1 } else { count });
        let mut lines = Lines { semaphores: self.semaphores, first: None, others: Vec::with_capacity(count - 1) };
        let mut unreached = 0;
        for (index, (semaphore, value)) in self.semaphores.iter().enumerate() {
            let entry = Entry::Node(Arc::clone(&node), u32::try_from(index).unwrap_or(u32::MAX));
            let key = match semaphore.arm_entry(*value, entry) {
                Armed::Pending(key) => {
                    unreached += 1;
                    Some(key)
                }
                Armed::Reached if self.any => return Ok(index),
                Armed::Reached => None,
                // Another may be reached, of a wait for any.
                Armed::Failed(_) if self.any => None,
                Armed::Failed(status) => return Err(status),
            };
            match index {
                0 => lines.first = key,
                _ => lines.others.push(key),
            }
        }
        if unreached < count {
            let mut from_the_first = 0;
            if let Some(outcome) = self.look(&mut from_the_first) {
                return outcome;
            }
        }
        if !self.any {
            node.less(count - unreached);
        }
        let Action::Unpark(condition) = node.action() else { unreachable!("made above") };
        let mut state = node.lock();
        while state.ended.is_none() {
            let left = match deadline {
                Time::FAR_FUTURE => None,
                _ => Some(deadline.since(clock.now())),
            };
            state = match left {
                None => condition.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => condition.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        // It stays ended: the node stands in other lines still, and must not come into a second thread's work.
        let ended = match &state.ended {
            Some(Ended::Reached { index, .. }) => Some(Ok(if self.any { *index as usize } else { 0 })),
            Some(Ended::Failed(status)) => Some(Err(status.clone())),
            None => None,
        };
        drop(state);
        match ended {
            Some(Ok(index)) => Ok(index),
            // Told of a failure, or late: what is reached by now counts all the same.
            Some(Err(status)) => self.look(&mut 0).unwrap_or(Err(status)),
            None => self.look(&mut 0).unwrap_or_else(|| Err(self.late())),
        }
    }

    #[track_caller]
    #[cold]
    fn late(&self) -> Status {
        let mut missing = self.semaphores.iter().filter(|(semaphore, value)| semaphore.value() < *value);
        let status = Status::new(Code::DeadlineExceeded, Operation::SemaphoreWait);
        match (missing.next(), missing.count()) {
            (Some((semaphore, value)), others) => {
                let present = semaphore.value();
                let late = format!("value {value} was not reached in time, the present value is {present}");
                let message = if others == 0 { late } else { format!("{late}; nor were {others} others") };
                semaphore.inner.about(status.with_message(message))
            }
            (None, _) => status,
        }
    }
}

//! A place for something that is made once, when it is first asked for, by whoever asks first.
//!
//! Who asks for one that is there takes no lock. While it is made no lock is held: others who ask for the same wait,
//! and everyone else is not concerned. What was made while another closed is either seen by the one who closes, or told
//! to its maker to be ended: nothing is left that nobody knows of.

use std::sync::{OnceLock, PoisonError};
use std::time::Instant;

use crate::atomic::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, ThreadId, current_thread};
use crate::status::Result;

#[cfg(all(test, loom))]
mod loom_tests;

pub(super) struct Once<T> {
    /// Set under the lock.
    made: OnceLock<T>,
    state: Mutex<State>,
    changed: Condvar,
    /// Stored under the lock too; who only asks whether reads it without.
    closed: AtomicBool,
}

struct State {
    /// Who makes it now.
    maker: Option<ThreadId>,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Asked<'a, T> {
    There(&'a T),
    /// It was made for this asker, and closed meanwhile: it is to be ended.
    MadeTooLate(&'a T),
    Closed,
    /// The thread that makes it asks for it.
    ByItsMaker,
}

impl<T> Once<T> {
    pub(super) fn new() -> Once<T> {
        Once {
            made: OnceLock::new(),
            state: Mutex::new(State { maker: None }),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there already.
    pub(super) fn get(&self) -> Option<&T> {
        self.made.get()
    }

    /// Whether it is closed. Who reads `false` while it is closed gets what is about to end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What is there, or what `make` makes. When that fails, the next who asks tries again.
    pub(super) fn get_or_make(&self, make: impl FnOnce() -> Result<T>) -> Result<Asked<'_, T>> {
        let mut state = self.lock();
        loop {
            if self.is_closed() {
                return Ok(Asked::Closed);
            }
            if let Some(made) = self.made.get() {
                return Ok(Asked::There(made));
            }
            match state.maker {
                None => break,
                Some(maker) if maker == current_thread().id() => return Ok(Asked::ByItsMaker),
                Some(_) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        state.maker = Some(current_thread().id());
        drop(state);
        // However `make` ends, by a panic too, others can go on.
        let making = Making(self);
        let value = make()?;
        let state = self.lock();
        let made = self.made.get_or_init(|| value);
        let closed = self.is_closed();
        drop(state);
        drop(making);
        Ok(if closed { Asked::MadeTooLate(made) } else { Asked::There(made) })
    }

    /// From now on nothing is begun to be made. Answers with what is there; what is being made is ended by its maker.
    pub(super) fn close(&self) -> Option<&T> {
        let _state = self.lock();
        self.closed.store(true, Ordering::Release);
        self.made.get()
    }

    /// What is there, when nothing is being made any more; `Err` if that is not so by `deadline`.
    pub(super) fn settled(&self, deadline: Option<Instant>) -> Result<Option<&T>, ()> {
        let mut state = self.lock();
        while state.maker.is_some() {
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(());
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(state);
        Ok(self.made.get())
    }

    pub(super) fn into_inner(self) -> Option<T> {
        self.made.into_inner()
    }
}

struct Making<'a, T>(&'a Once<T>);

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        self.0.lock().maker = None;
        self.0.changed.notify_all();
    }
}

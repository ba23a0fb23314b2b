//! System calls that fail or come back short on purpose.
//!
//! Every backend makes its system calls through the few functions at the end of this file. Without the feature
//! `fault-injection` they do nothing but make the call. With it a test may count the calls of each site, a line of the
//! source, and then have one of them, chosen by site and number, fail or move less than it was asked to. That is how
//! `proact-cts` shows that whatever call fails, every operation ends once and nothing leaks.
//!
//! A call that is made to fail is not made at all, with three exceptions: a close happens (its descriptor is gone
//! whatever it answers), a connect does (one that was interrupted goes on), and a wake's write is left alone (that of
//! an eventfd cannot fail).

use rustix::io::Errno;

#[cfg(feature = "fault-injection")]
pub use plan::{Calls, Fault, Site, What, arm, count, disarm};

#[cfg(feature = "fault-injection")]
mod plan {
    use core::panic::Location;
    use std::sync::PoisonError;

    use crate::atomic::{AtomicBool, Mutex, MutexGuard, Ordering};

    /// What a fault can be done to.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
    pub enum What {
        /// A system call, which may fail.
        Call,
        /// A call that hands a batch to the kernel or waits for it, which may fail.
        Enter,
        /// A length, which may be cut.
        Length,
        /// A ring's entry, which may fail.
        Entry,
    }

    /// A place in the source where a fault can be put.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
    pub struct Site {
        /// The file.
        pub file: &'static str,
        /// The line in it.
        pub line: u32,
        /// The column in it.
        pub column: u32,
        /// What can be done there.
        pub what: What,
    }

    /// How a call goes wrong.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Fault {
        /// With this error number.
        Error(i32),
        /// It moves, or takes, one of what it was given.
        Short,
    }

    /// The sites that were passed, with how often.
    pub type Calls = Vec<(Site, u64)>;

    struct State {
        calls: Calls,
        plan: Option<(Site, u64, Fault)>,
        fired: bool,
    }

    /// One for the process: backends make calls on threads of their own. Off, it costs a load.
    static ON: AtomicBool = AtomicBool::new(false);
    static STATE: Mutex<State> = Mutex::new(State { calls: Vec::new(), plan: None, fired: false });

    fn state() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(plan: Option<(Site, u64, Fault)>) {
        let mut state = state();
        *state = State { calls: Vec::new(), plan, fired: false };
        ON.store(true, Ordering::Relaxed);
    }

    /// Counts calls from now on, in the whole process, and changes none.
    pub fn count() {
        start(None);
    }

    /// Has the call number `call` (from 0) at `site` go wrong, in the whole process.
    pub fn arm(site: Site, call: u64, fault: Fault) {
        start(Some((site, call, fault)));
    }

    /// Ends both. Tells what was counted since, and whether the fault that was armed has come.
    pub fn disarm() -> (Calls, bool) {
        ON.store(false, Ordering::Relaxed);
        let mut state = state();
        state.plan = None;
        (std::mem::take(&mut state.calls), state.fired)
    }

    /// Counts a call, and answers with the fault that is meant for it.
    pub(super) fn at(location: &'static Location<'static>, what: What) -> Option<Fault> {
        if !ON.load(Ordering::Relaxed) {
            return None;
        }
        let site = Site { file: location.file(), line: location.line(), column: location.column(), what };
        let mut state = state();
        let index = match state.calls.iter().position(|(known, _)| *known == site) {
            Some(index) => index,
            None => {
                state.calls.push((site, 0));
                state.calls.len() - 1
            }
        };
        let number = state.calls[index].1;
        state.calls[index].1 += 1;
        match state.plan {
            Some((planned, call, fault)) if planned == site && call == number => {
                state.fired = true;
                Some(fault)
            }
            _ => None,
        }
    }
}

/// The error number that the call made here is to fail with, if it is to.
#[cfg(feature = "fault-injection")]
#[track_caller]
fn error(what: What) -> Option<i32> {
    match plan::at(core::panic::Location::caller(), what) {
        Some(Fault::Error(errno)) => Some(errno),
        _ => None,
    }
}

/// A length to ask for here: all of `length`, or, of more than one, just one.
#[cfg(all(feature = "fault-injection", any(target_os = "linux", target_os = "android")))]
#[track_caller]
pub(crate) fn shorten(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    match plan::at(core::panic::Location::caller(), What::Length) {
        Some(Fault::Short) => 1,
        _ => length,
    }
}

/// A length to ask for here: all of `length`.
#[cfg(all(not(feature = "fault-injection"), any(target_os = "linux", target_os = "android")))]
#[inline(always)]
pub(crate) fn shorten(length: usize) -> usize {
    length
}

/// The error number that the ring's entry filled here is to fail with, if it is to.
#[cfg(all(feature = "fault-injection", any(target_os = "linux", target_os = "android")))]
#[track_caller]
pub(crate) fn entry() -> Option<i32> {
    error(What::Entry)
}

/// The error number that the ring's entry filled here is to fail with: none.
#[cfg(all(not(feature = "fault-injection"), any(target_os = "linux", target_os = "android")))]
#[inline(always)]
pub(crate) fn entry() -> Option<i32> {
    None
}

/// The error number that the call made here, which enters the kernel for a batch or a wait, is to fail with.
#[cfg(all(feature = "fault-injection", any(target_os = "linux", target_os = "android")))]
#[track_caller]
pub(crate) fn entering() -> Result<(), i32> {
    error(What::Enter).map_or(Ok(()), Err)
}

/// The call made here may enter the kernel.
#[cfg(all(not(feature = "fault-injection"), any(target_os = "linux", target_os = "android")))]
#[inline(always)]
pub(crate) fn entering() -> Result<(), i32> {
    Ok(())
}

/// Whether the call made here is to fail, as an error number.
#[cfg(feature = "fault-injection")]
#[track_caller]
pub(crate) fn check() -> Result<(), i32> {
    error(What::Call).map_or(Ok(()), Err)
}

/// The call made here may be made.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn check() -> Result<(), i32> {
    Ok(())
}

/// Makes a system call once.
#[cfg_attr(feature = "fault-injection", track_caller)]
#[inline(always)]
pub(crate) fn tried<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    check().map_err(Errno::from_raw_os_error)?;
    call()
}

/// Makes a call once that fails with the standard library's errors.
#[cfg_attr(feature = "fault-injection", track_caller)]
#[inline(always)]
pub(crate) fn tried_io<T>(call: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    check().map_err(std::io::Error::from_raw_os_error)?;
    call()
}

/// Repeats a system call while a signal cuts it short.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[cfg_attr(feature = "fault-injection", track_caller)]
#[inline(always)]
pub(crate) fn retry_on_intr<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match check().map_err(Errno::from_raw_os_error).and_then(|()| call()) {
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}

//! Signals of the process, and who is told of them.

use std::fmt;
use std::str::FromStr;

use crate::status::{Code, Operation, Result, Status};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod disposition;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod hook;
/// Elsewhere there are no signals yet: nobody comes to own one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod no_owner;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod owner;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use no_owner::SignalOwner;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use owner::SignalOwner;

/// A signal that a process is sent, by a user, a terminal or another process.
///
/// ```
/// use proact::resource::Signal;
/// assert_eq!("HANG_UP".parse::<Signal>().unwrap(), Signal::HangUp);
/// assert_eq!(Signal::Interrupt.to_string(), "INTERRUPT");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Signal {
    /// The terminal's user wants an end: Ctrl-C (`SIGINT`).
    Interrupt,
    /// Another process wants an end (`SIGTERM`).
    Terminate,
    /// The terminal is gone; to a service, its settings have changed (`SIGHUP`).
    HangUp,
    /// The terminal's user wants an end at once: Ctrl-\ (`SIGQUIT`).
    Quit,
    /// What the program says (`SIGUSR1`).
    User1,
    /// What the program says (`SIGUSR2`).
    User2,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 6] =
        [Signal::Interrupt, Signal::Terminate, Signal::HangUp, Signal::Quit, Signal::User1, Signal::User2];

    /// Its name, as it is shown and read.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "INTERRUPT",
            Signal::Terminate => "TERMINATE",
            Signal::HangUp => "HANG_UP",
            Signal::Quit => "QUIT",
            Signal::User1 => "USER1",
            Signal::User2 => "USER2",
        }
    }

    /// The system's number of it.
    #[cfg(unix)]
    pub const fn number(self) -> i32 {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
            Signal::HangUp => libc::SIGHUP,
            Signal::Quit => libc::SIGQUIT,
            Signal::User1 => libc::SIGUSR1,
            Signal::User2 => libc::SIGUSR2,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Signal {
    type Err = Status;

    /// By its [name](Signal::name). `InvalidArgument` for anything else.
    fn from_str(text: &str) -> Result<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.name() == text).ok_or_else(|| {
            Status::new(Code::InvalidArgument, Operation::SignalWait).with_message(format!("no signal {text:?}"))
        })
    }
}

bitflags::bitflags! {
    /// Some signals.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct SignalSet: u32 {
        /// [`Signal::Interrupt`].
        const INTERRUPT = 1 << Signal::Interrupt as u32;
        /// [`Signal::Terminate`].
        const TERMINATE = 1 << Signal::Terminate as u32;
        /// [`Signal::HangUp`].
        const HANG_UP = 1 << Signal::HangUp as u32;
        /// [`Signal::Quit`].
        const QUIT = 1 << Signal::Quit as u32;
        /// [`Signal::User1`].
        const USER1 = 1 << Signal::User1 as u32;
        /// [`Signal::User2`].
        const USER2 = 1 << Signal::User2 as u32;
    }
}

impl From<Signal> for SignalSet {
    fn from(signal: Signal) -> SignalSet {
        SignalSet::from_bits_retain(1 << signal as u32)
    }
}

impl SignalSet {
    /// Those in it.
    pub(crate) fn signals(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.contains((*signal).into()))
    }
}

/// Blocks `signals` for the calling thread, and so for every thread that it starts from then on: called first of all,
/// for the whole process.
///
/// It is not needed: a signal that is subscribed to is taken on whichever thread the system picks, and is not lost. But
/// that thread's system call may be interrupted by it (`EINTR`). Where all threads block the signals, the system has
/// none to pick but the poll thread that has subscribed, which lets through what it has subscribed to, for as long. A
/// signal that nobody has subscribed to waits then, and no longer ends the process.
///
/// # Errors
/// `InvalidArgument` for an unknown bit, `Unavailable` on systems without signals.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn block_signals(signals: SignalSet) -> Result<()> {
    if !SignalSet::all().contains(signals) {
        return Err(Status::new(Code::InvalidArgument, Operation::SignalWait).with_message("an unknown signal"));
    }
    signals.signals().try_for_each(|signal| disposition::set_blocked(signal, true).map(|_| ()))
}

/// Blocks signals for the calling thread: not on this system yet.
///
/// # Errors
/// `Unavailable`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn block_signals(_: SignalSet) -> Result<()> {
    Err(unavailable())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unavailable() -> Status {
    Status::new(Code::Unavailable, Operation::SignalWait).with_message("no signals on this system yet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown_and_nothing_else_is() {
        for signal in Signal::ALL {
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
        for text in ["", "NONE", "UNKNOWN", "interrupt", "SIGINT", "COUNT"] {
            assert_eq!(text.parse::<Signal>().unwrap_err().code(), Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = Signal::ALL.into_iter().fold(SignalSet::empty(), |set, signal| set | signal.into());
        assert_eq!(set, SignalSet::all());
        let some = SignalSet::QUIT | SignalSet::INTERRUPT;
        assert_eq!(some.signals().collect::<Vec<_>>(), [Signal::Interrupt, Signal::Quit]);
    }
}

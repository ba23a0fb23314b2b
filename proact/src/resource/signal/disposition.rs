//! What the process does at a signal, and whether a thread lets it through.

use std::mem::MaybeUninit;
use std::ptr;

use rustix::io::Errno;

use super::Signal;
use crate::fault::tried;
use crate::status::{Operation, Result, Status};

fn checked(result: i32) -> Result<(), Errno> {
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

fn told(errno: Errno) -> Status {
    Status::from_os_error(Operation::SignalWait, errno.raw_os_error())
}

/// What was set for a signal before.
pub(super) struct Disposition(libc::sigaction);

/// Has `handler` called at `signal`. Answers what was set before.
///
/// Calls that it interrupts go on where the system can make them; it runs on a thread's alternate stack where it has
/// one, as other languages' threads ask for; and no other signal interrupts it.
pub(super) fn set_handler(signal: Signal, handler: extern "C" fn(libc::c_int)) -> Result<Disposition> {
    let mut before = MaybeUninit::zeroed();
    tried(|| {
        // SAFETY: zeroed is an empty mask and no flags; the handler's type is the one that a disposition without
        // SA_SIGINFO has; both structures live throughout.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigfillset(&raw mut action.sa_mask);
            checked(libc::sigaction(signal.number(), &raw const action, before.as_mut_ptr()))
        }
    })
    .map_err(told)?;
    // SAFETY: zeroed, which is valid, and then filled by the system.
    Ok(Disposition(unsafe { before.assume_init() }))
}

/// Sets again what was set before `handler` was; unless someone else has set another in between, which stays then.
pub(super) fn restore(signal: Signal, handler: extern "C" fn(libc::c_int), before: &Disposition) {
    // Neither fails: the signal is known, and may be handled.
    // SAFETY: `current` is filled by the first call; what is set is what the system itself told, and both structures
    // live throughout.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal.number(), ptr::null(), &raw mut current);
        if current.sa_sigaction == handler as usize {
            libc::sigaction(signal.number(), &raw const before.0, ptr::null_mut());
        }
    }
}

/// Has the calling thread block `signal`, or let it through. Answers whether it was blocked before.
pub(super) fn set_blocked(signal: Signal, blocked: bool) -> Result<bool> {
    let how = if blocked { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    tried(|| change_mask(signal, how)).map_err(told)
}

/// Has the calling thread block `signal` again, as it did before it let it through.
pub(super) fn block_again(signal: Signal) {
    // It fails for what is no way to change a mask, and for nothing else (sigprocmask(2)): so no failure is put here.
    let blocked = change_mask(signal, libc::SIG_BLOCK);
    debug_assert!(blocked.is_ok(), "{blocked:?}");
}

fn change_mask(signal: Signal, how: libc::c_int) -> Result<bool, Errno> {
    // SAFETY: both sets are made here and live throughout.
    unsafe {
        let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal.number());
        match libc::pthread_sigmask(how, &raw const set, &raw mut before) {
            0 => Ok(libc::sigismember(&raw const before, signal.number()) == 1),
            errno => Err(Errno::from_raw_os_error(errno)),
        }
    }
}

/// Sends this process `signal`, from anywhere, a signal handler too.
pub(super) fn raise(number: i32) {
    if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
        // A process may always signal itself.
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

//! The one proactor of a process that is told of its signals.
//!
//! Why a handler, and no signalfd: a library finds threads that run already. A signalfd tells only of what every thread
//! blocks, and a signal that one thread does not block does, there, what it always did: end the process. A handler is
//! called whichever thread the system picks. Why no library for it: what is set here is set back when the last
//! subscription ends, exactly as it was, and `signal-hook-registry`, which knows more of handlers than this needs,
//! keeps its own for good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hook::{Hook, WakerBox};
use super::{Signal, SignalSet, disposition};
use crate::backend::Wake;
use crate::status::{Code, Operation, Result, Status};

#[cfg(not(loom))]
static HOOK: Hook = Hook::new();

#[cfg(not(loom))]
fn hook() -> &'static Hook {
    &HOOK
}

/// Models have hooks of their own.
#[cfg(loom)]
fn hook() -> &'static Hook {
    unreachable!("no model subscribes to signals of its process")
}

/// Which proactor, by number. Handlers do not come here.
static OWNER: Mutex<Option<u32>> = Mutex::new(None);

fn owner() -> MutexGuard<'static, Option<u32>> {
    OWNER.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn handle(number: libc::c_int) {
    let bit = Signal::ALL.into_iter().find(|signal| signal.number() == number).map_or(0, |signal| 1 << signal as u32);
    // The wake is a system call without `errno`, as is the other.
    if !hook().tell(bit) {
        // It was picked while this was its handler, and comes to what is set since.
        disposition::raise(number);
    }
}

/// What a signal is set back to.
struct Before {
    disposition: disposition::Disposition,
    /// The poll thread blocked it.
    blocked: bool,
}

/// A proactor's subscriptions, on its poll thread.
#[derive(Default)]
pub(crate) struct SignalOwner {
    counts: [u32; Signal::ALL.len()],
    before: [Option<Before>; Signal::ALL.len()],
    /// It is the owner.
    owns: bool,
    /// Kept from one ownership to the next, so that a subscription allocates nothing.
    waker: Option<Box<WakerBox>>,
}

impl SignalOwner {
    /// Adds a subscription, and becomes the owner with the first; `waker` is then called by handlers.
    pub(crate) fn begin(&mut self, proactor: u32, waker: &Arc<dyn Wake>, signals: SignalSet) -> Result<()> {
        if !self.owns {
            let mut owner = owner();
            if let Some(other) = *owner {
                return Err(Status::new(Code::FailedPrecondition, Operation::SignalWait).with_message(format!(
                    "proactor {other} of this process has subscribed to signals, and one at a time may"
                )));
            }
            *owner = Some(proactor);
            // Before the first handler is set.
            hook().hold(self.waker.take().unwrap_or_else(|| Box::new(waker.clone())));
            self.owns = true;
        }
        for signal in signals.signals() {
            if let Err(status) = self.add(signal) {
                // Others may have subscribed: only what this call has added goes.
                let added = signals.signals().take_while(|added| *added != signal);
                added.for_each(|added| self.remove(added));
                self.release_if_idle();
                return Err(status);
            }
        }
        Ok(())
    }

    /// Ends a subscription. With the last of a signal what was set for it is set again; with the last of all the
    /// process has no owner.
    pub(crate) fn end(&mut self, signals: SignalSet) {
        signals.signals().for_each(|signal| self.remove(signal));
        self.release_if_idle();
    }

    /// Whether there is a subscription.
    #[inline]
    pub(crate) fn owns(&self) -> bool {
        self.owns
    }

    /// What has come since the last call. What nobody has subscribed to any more was picked by the system while
    /// somebody had: it is sent anew, to do what is set for it now.
    pub(crate) fn take(&self) -> SignalSet {
        let come = SignalSet::from_bits_truncate(hook().take());
        let mut subscribed = SignalSet::empty();
        for signal in come.signals() {
            match self.counts[signal as usize] {
                0 => disposition::raise(signal.number()),
                _ => subscribed |= signal.into(),
            }
        }
        subscribed
    }

    fn add(&mut self, signal: Signal) -> Result<()> {
        if self.counts[signal as usize] == 0 {
            let before = disposition::set_handler(signal, handle)?;
            // Where every thread blocks it, this one must not.
            match disposition::set_blocked(signal, false) {
                Ok(blocked) => self.before[signal as usize] = Some(Before { disposition: before, blocked }),
                Err(status) => {
                    disposition::restore(signal, handle, &before);
                    return Err(status);
                }
            }
        }
        self.counts[signal as usize] += 1;
        Ok(())
    }

    fn remove(&mut self, signal: Signal) {
        self.counts[signal as usize] -= 1;
        if self.counts[signal as usize] > 0 {
            return;
        }
        if let Some(before) = self.before[signal as usize].take() {
            // What comes between the two is handled here still, or waits again.
            if before.blocked {
                disposition::block_again(signal);
            }
            disposition::restore(signal, handle, &before.disposition);
        }
    }

    fn release_if_idle(&mut self) {
        if !self.owns || self.counts.iter().any(|count| *count > 0) {
            return;
        }
        let mut owner = owner();
        self.waker = hook().release();
        self.take();
        self.owns = false;
        *owner = None;
    }
}

impl Drop for SignalOwner {
    /// A proactor that leaves subscriptions behind, because it broke, leaves the process as it was.
    fn drop(&mut self) {
        for signal in Signal::ALL {
            while self.counts[signal as usize] > 0 {
                self.remove(signal);
            }
        }
        self.release_if_idle();
    }
}

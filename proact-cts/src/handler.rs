//! Calls from a real signal handler, which interrupts a thread wherever it is.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use proact::proactor::Handle;
use proact::sync::{Event, Notification};

/// The signal: nothing else of the suite uses it. One that is pending is not sent twice, so that none queue up.
const SIGNAL: libc::c_int = libc::SIGPROF;

/// What the handler finds in `errno`, and must leave there.
const ERRNO: libc::c_int = 4242;

/// What the handler calls, in turn, and what it saw.
pub struct Calls {
    /// Woken.
    pub handle: Handle,
    /// Signalled, every other time only if observed.
    pub notification: Notification,
    /// The same, in shared memory.
    pub shared: Notification,
    /// Set.
    pub event: Event,
    /// Tells of every allocation so far.
    pub allocations: fn() -> usize,
    handled: AtomicU64,
    faults: AtomicUsize,
}

impl Calls {
    /// Nothing has been called.
    pub fn new(
        handle: Handle,
        notification: Notification,
        shared: Notification,
        event: Event,
        allocations: fn() -> usize,
    ) -> Calls {
        let (handled, faults) = (AtomicU64::new(0), AtomicUsize::new(0));
        Calls { handle, notification, shared, event, allocations, handled, faults }
    }

    /// How often the handler has run.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Acquire)
    }

    /// How often a call allocated, failed, or left another `errno`.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::Acquire)
    }

    fn call(&self) {
        let before = (self.allocations)();
        let number = self.handled.load(Ordering::Relaxed);
        // SAFETY: this thread's own variable.
        unsafe { *libc::__errno_location() = ERRNO };
        let done = match number % 6 {
            0 => {
                self.handle.wake();
                true
            }
            1 => {
                self.notification.signal(1);
                true
            }
            2 => {
                self.notification.signal_if_observed(1);
                true
            }
            3 => {
                self.shared.signal(1);
                true
            }
            4 => {
                self.shared.signal_if_observed(Notification::ALL);
                true
            }
            _ => self.event.set().is_ok(),
        };
        // SAFETY: as above.
        let kept = unsafe { *libc::__errno_location() } == ERRNO;
        if !done || !kept || (self.allocations)() != before {
            self.faults.fetch_add(1, Ordering::Release);
        }
        self.handled.fetch_add(1, Ordering::Release);
    }
}

static CALLS: AtomicPtr<Calls> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn handler(_: libc::c_int) {
    // SAFETY: this thread's own variable, kept for what the handler interrupts.
    let errno = unsafe { *libc::__errno_location() };
    let calls = CALLS.load(Ordering::Acquire);
    // SAFETY: set by `Interruptions` to calls that live until it is null again and no signal is on its way.
    if let Some(calls) = unsafe { calls.as_ref() } {
        calls.call();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Signals to the calling thread, at times of their own, whose handler makes the calls. Over when dropped, by the same
/// thread. Only in a case that runs alone.
///
/// A timer of the system sends them, so that they come also where no other thread gets a turn.
pub struct Interruptions {
    calls: Arc<Calls>,
    timer: libc::timer_t,
    of_this_thread: PhantomData<*const ()>,
}

/// Between two. No divisor of what a round takes, so that it is interrupted everywhere.
const PERIOD_NS: libc::c_long = 23_017;

impl Interruptions {
    /// Begins them.
    pub fn of_this_thread(calls: Arc<Calls>) -> Interruptions {
        // SAFETY: zeroed is an empty mask and no flags, so that interrupted calls are not restarted. The handler makes
        // calls that say of themselves that they may be made there: that is what is tested.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            assert_eq!(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()), 0);
        }
        let own = Arc::as_ptr(&calls).cast_mut();
        let first = CALLS.compare_exchange(std::ptr::null_mut(), own, Ordering::AcqRel, Ordering::Acquire);
        assert!(first.is_ok(), "two at once");
        let mut timer: libc::timer_t = std::ptr::null_mut();
        // SAFETY: zeroed is a valid event, which is filled in; all pointers live through the calls that read them.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::gettid();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
            let period = libc::timespec { tv_sec: 0, tv_nsec: PERIOD_NS };
            let times = libc::itimerspec { it_interval: period, it_value: period };
            assert_eq!(libc::timer_settime(timer, 0, &raw const times, std::ptr::null_mut()), 0);
        }
        Interruptions { calls, timer, of_this_thread: PhantomData }
    }

    /// What is called.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }
}

impl Drop for Interruptions {
    fn drop(&mut self) {
        // SAFETY: made by `of_this_thread`, and not used again.
        unsafe { libc::timer_delete(self.timer) };
        // A signal to this thread that is on its way is handled before the call returns.
        CALLS.store(std::ptr::null_mut(), Ordering::Release);
    }
}

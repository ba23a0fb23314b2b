//! Notifications: a counter that signals advance, and who waits for it to move.
//!
//! # Why no signal is missed
//!
//! A signal takes no lock and looks for waiters only after it has advanced the epoch. So a waiter and a signaller can
//! pass each other: one stores that it waits and then looks at the epoch, the other stores the epoch and then looks who
//! waits. A sequentially consistent fence between store and load, on both sides, makes sure that at least one sees the
//! other. That holds for each of the three ways to wait, which are counted apart:
//!
//! - who [observes](Notification::observe), in `observers`;
//! - threads that block, in `sleepers`, with the system's futex behind it, which compares the epoch once more;
//! - operations of a proactor, in that proactor's [`Subscription`].
//!
//! # Why signals are safe in a signal handler
//!
//! They add to a word, look at words, push a node that is there already on a lock-free stack, and make at most one
//! system call each to end a sleep. Nothing is allocated, freed or locked, and `errno` is left alone.

use std::fmt;

use crate::atomic::{Arc, AtomicPtr, AtomicU32, Ordering, fence};
#[cfg(any(loom, target_os = "linux", target_os = "android"))]
use crate::resource::Slept;
use crate::resource::Word;
use crate::status::Result;
use crate::time::{Clock, Time, Timeout};

#[cfg(all(test, loom))]
mod loom_tests;
mod observation;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod shared;
mod subscription;
#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests;

pub use self::observation::{Epoch, Observation};
pub(crate) use self::subscription::{Listener, Subscription};

/// A counter that signals advance: who looks at something that others change waits here until they say that they did.
///
/// It holds no condition of its own. The waiter **observes, checks its condition, and waits** for a signal after the
/// observation; whoever changes the condition signals afterwards. However the two fall together, the waiter finds the
/// condition changed or is woken. Signals coalesce: many before a waiter looks are one wake, and none says how many
/// there were.
///
/// | who waits | with |
/// |---|---|
/// | a thread that does not poll | [`Observation::wait`], [`Notification::wait`] |
/// | a proactor | [`NotificationWait`](crate::operation::NotificationWait) |
///
/// A notification belongs to no proactor: operations of any may wait for it, any thread may signal it, also from a
/// signal handler. Clones are the same notification. One [in shared memory](Notification::create_shared) is met by
/// other processes too. The counter has 32 bits and wraps: a waiter that sleeps through exactly 2^32 signals misses
/// them.
///
/// ```
/// use proact::sync::Notification;
/// use proact::time::Timeout;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static READY: AtomicBool = AtomicBool::new(false);
///
/// let notification = Notification::new();
/// let signaller = notification.clone();
/// std::thread::spawn(move || {
///     READY.store(true, Ordering::Release);
///     signaller.broadcast();
/// });
/// loop {
///     let observation = notification.observe();
///     if READY.load(Ordering::Acquire) {
///         break;
///     }
///     observation.wait(Timeout::Infinite)?;
/// }
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct Notification {
    inner: Arc<Inner>,
}

struct Inner {
    words: Words,
    /// The newest of the proactors' subscriptions, each with a pointer to the next. Only added to, until the end.
    subscriptions: AtomicPtr<Subscription>,
}

/// Where the epoch and the count of those who observe it lie.
enum Words {
    Own {
        epoch: Word,
        observers: AtomicU32,
        sleepers: AtomicU32,
    },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Shared(shared::SharedWords),
}

impl Notification {
    /// As [`Notification::signal`] takes it: every thread that waits.
    pub const ALL: u32 = i32::MAX as u32;

    /// A notification of this process alone.
    #[allow(clippy::new_without_default)] // each is another one, which `default()` would not tell
    pub fn new() -> Notification {
        Notification::over(Words::Own {
            epoch: Word::new(0),
            observers: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
        })
    }

    fn over(words: Words) -> Notification {
        Notification { inner: Arc::new(Inner { words, subscriptions: AtomicPtr::new(std::ptr::null_mut()) }) }
    }

    /// Where the counter stands. Who sees a value also sees all that was done before the signal that made it.
    pub fn epoch(&self) -> Epoch {
        Epoch::new(self.inner.words.epoch())
    }

    /// Whether it lies in memory that other processes share.
    pub fn is_shared(&self) -> bool {
        !matches!(self.inner.words, Words::Own { .. })
    }

    /// Advances the epoch, wakes at most `count` of the threads that sleep in a wait, and completes **every** operation
    /// that waits.
    ///
    /// `count` is for threads, which cost a wake each; a proactor is told once, however many of its operations wait. A
    /// thread that is left asleep by it has been satisfied nonetheless: it finds so when its time is up, or at the next
    /// signal. 0 wakes no thread.
    ///
    /// Any thread, and signal handlers: it allocates nothing, takes no lock, and leaves `errno` alone.
    pub fn signal(&self, count: u32) {
        self.inner.signal(count, true);
    }

    /// [`Notification::signal`] of every thread.
    pub fn broadcast(&self) {
        self.signal(Notification::ALL);
    }

    /// [`Notification::signal`], but nobody is woken where nobody observes: no [`Observation`] is held, no thread waits
    /// and no operation does. Says whether somebody did. The epoch advances in any case.
    ///
    /// For a condition that is checked separately, between observing and waiting. An operation observes from when it
    /// has been started: one that another thread has submitted just now, or whose turn in a chain has not come, is not
    /// counted yet, and finds the epoch moved when it is.
    ///
    /// In shared memory the count of observers is every process's to write: a process that ended without counting
    /// itself out leaves it too high, which costs wakes that nobody needs.
    pub fn signal_if_observed(&self, count: u32) -> bool {
        self.inner.signal(count, false)
    }

    /// Begins to observe: from here on a signal is not missed, and [`Notification::signal_if_observed`] knows of
    /// someone.
    pub fn observe(&self) -> Observation<'_> {
        Observation::begin(self)
    }

    /// Blocks until a signal comes, for at most `timeout`. Says whether one came.
    ///
    /// For a condition that may change just before the call, [observe](Notification::observe) first. `Timeout::At` is
    /// on [`Clock::monotonic`]. **Not on a poll thread**: nothing else on its proactor moves meanwhile.
    ///
    /// # Errors
    /// `Unavailable` where the system has no futexes; of shared memory, what the system says of it.
    pub fn wait(&self, timeout: impl Into<Timeout>) -> Result<bool> {
        self.observe().wait(timeout)
    }

    /// Blocks until the epoch is another than `since`, for at most `timeout`. Says whether it is. As
    /// [`Notification::wait`] otherwise.
    ///
    /// # Errors
    /// As for [`Notification::wait`].
    pub fn wait_since(&self, since: Epoch, timeout: impl Into<Timeout>) -> Result<bool> {
        let _counted = self.observe();
        self.inner.words.wait(since.number(), timeout.into())
    }

    // For the engine.

    /// Counts an operation that the kernel waits for as an observer, until [`Notification::unobserve`].
    pub(crate) fn count_observer(&self) {
        self.inner.words.observers().fetch_add(1, Ordering::Relaxed);
        // See the head of this file. The other half is in `signal`.
        fence(Ordering::SeqCst);
    }

    /// Ends what [`Notification::count_observer`] began.
    pub(crate) fn uncount_observer(&self) {
        self.inner.words.observers().fetch_sub(1, Ordering::Relaxed);
    }

    /// The word that an operation waits for in the kernel: of a shared one alone.
    pub(crate) fn shared_word(&self) -> Option<*const u32> {
        match &self.inner.words {
            Words::Own { .. } => None,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Words::Shared(words) => Some(words.epoch().as_ptr()),
        }
    }

    /// The subscription of the proactor of this number, if there is one.
    pub(crate) fn subscription(&self, proactor: u32) -> Option<&Subscription> {
        self.inner.subscriptions().find(|subscription| subscription.proactor() == proactor)
    }

    /// Adds the subscription of a proactor that has none. Only its poll thread. From here on signals reach `listener`
    /// while something [waits](Subscription::begin_wait).
    pub(crate) fn subscribe(&self, proactor: u32, listener: std::sync::Arc<dyn Listener>) -> Arc<Subscription> {
        debug_assert!(self.subscription(proactor).is_none());
        let subscription = Arc::new(Subscription::new(proactor, listener));
        let node = Arc::into_raw(subscription.clone()).cast_mut();
        let mut head = self.inner.subscriptions.load(Ordering::Relaxed);
        loop {
            subscription.set_next(head);
            // Release: a signaller finds the subscription as it was made.
            match self.inner.subscriptions.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return subscription,
                Err(now) => head = now,
            }
        }
    }
}

impl Inner {
    /// The proactors' subscriptions.
    fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        let mut at = self.subscriptions.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: what the list holds is counted by it and stays until the notification itself ends.
            let subscription = unsafe { at.as_ref() }?;
            at = subscription.next();
            Some(subscription)
        })
    }

    /// Advances, and wakes who waits: whoever it is, or `always` in shared memory. Says whether someone observed.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(unused_variables))]
    fn signal(&self, count: u32, always: bool) -> bool {
        self.words.advance();
        // See the head of this file. The other halves are where somebody begins to wait.
        fence(Ordering::SeqCst);
        let mut observed = self.words.observers().load(Ordering::Relaxed) > 0;
        for subscription in self.subscriptions() {
            observed |= subscription.tell();
        }
        match &self.words {
            Words::Own { epoch, sleepers, .. } => {
                if count > 0 && sleepers.load(Ordering::Relaxed) > 0 {
                    epoch.wake(count);
                }
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Words::Shared(words) => {
                if observed || always {
                    words.wake(count);
                }
            }
        }
        observed
    }
}

impl Drop for Inner {
    /// No one signals any more, and no operation waits: each of these holds the notification. Its proactors are told to
    /// forget it; one that has shut down has forgotten it already.
    fn drop(&mut self) {
        // Relaxed: who drops the last handle comes after all that was done through the others.
        let mut at = self.subscriptions.load(Ordering::Relaxed);
        while !at.is_null() {
            // SAFETY: the list's own count, which `subscribe` put there, and which nobody else takes.
            let subscription = unsafe { Arc::from_raw(at.cast_const()) };
            at = subscription.next();
            subscription.retire();
        }
    }
}

impl Words {
    fn epoch(&self) -> u32 {
        match self {
            Words::Own { epoch, .. } => epoch.atomic().load(Ordering::Acquire),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Words::Shared(words) => words.load(),
        }
    }

    fn advance(&self) {
        match self {
            Words::Own { epoch, .. } => {
                // Release: who sees the epoch sees what came before this signal, and before those that it follows.
                epoch.atomic().fetch_add(1, Ordering::Release);
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Words::Shared(words) => words.advance(),
        }
    }

    fn observers(&self) -> &AtomicU32 {
        match self {
            Words::Own { observers, .. } => observers,
            #[cfg(all(not(loom), any(target_os = "linux", target_os = "android")))]
            Words::Shared(words) => words.observers(),
            #[cfg(all(loom, any(target_os = "linux", target_os = "android")))]
            Words::Shared(_) => unreachable!("no model shares memory with a process"),
        }
    }

    /// Blocks while the epoch is `since`.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(irrefutable_let_patterns))]
    fn wait(&self, since: u32, timeout: Timeout) -> Result<bool> {
        let until = match timeout {
            Timeout::Immediate => return Ok(self.epoch() != since),
            Timeout::Infinite => Time::FAR_FUTURE,
            Timeout::At(time) => time,
            Timeout::After(duration) => Clock::monotonic().now() + duration,
        };
        if let Words::Own { sleepers, .. } = self {
            sleepers.fetch_add(1, Ordering::Relaxed);
            // See the head of this file. The other half is in `signal`.
            fence(Ordering::SeqCst);
        }
        let waited = loop {
            if self.epoch() != since {
                break Ok(true);
            }
            let slept = match self {
                Words::Own { epoch, .. } => epoch.sleep(since, until),
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Words::Shared(words) => words.sleep(since, until),
            };
            match slept {
                #[cfg(any(loom, target_os = "linux", target_os = "android"))]
                Ok(Slept::Woken) => {}
                // A signal that left this thread asleep satisfies it all the same.
                #[cfg(any(loom, target_os = "linux", target_os = "android"))]
                Ok(Slept::TimedOut) => break Ok(self.epoch() != since),
                Err(status) => break Err(status),
            }
        };
        if let Words::Own { sleepers, .. } = self {
            sleepers.fetch_sub(1, Ordering::Relaxed);
        }
        waited
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = if self.is_shared() { ", shared" } else { "" };
        write!(f, "Notification(at {}{shared})", self.inner.words.epoch())
    }
}

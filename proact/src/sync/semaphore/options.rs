//! What a semaphore is made with.

use std::sync::Arc;

use super::{Device, History, Inner, Semaphore, State};
use crate::atomic::{AtomicU32, AtomicU64, Mutex};
use crate::heap::IndexedHeap;
use crate::sync::fence::Exports;
use crate::sync::timeline::{Driver, Timeline};

/// Waiters that find room without an allocation.
const WAITERS_RESERVED: usize = 4;

/// How to make a [`Semaphore`].
///
/// ```
/// use proact::sync::SemaphoreOptions;
/// let frames = SemaphoreOptions::new().name("frames").initial(7).build();
/// assert_eq!(format!("{frames:?}"), "Semaphore { name: \"frames\", value: 7 }");
/// let refused = frames.signal(7, None).unwrap_err();
/// assert!(refused.to_string().starts_with("semaphore signal \"frames\": value 7 is not above"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SemaphoreOptions {
    initial: u64,
    history: usize,
    waiters: usize,
    name: Option<Box<str>>,
}

impl Default for SemaphoreOptions {
    fn default() -> SemaphoreOptions {
        SemaphoreOptions { initial: 0, history: Semaphore::HISTORY_DEFAULT, waiters: WAITERS_RESERVED, name: None }
    }
}

impl SemaphoreOptions {
    /// At 0, without a name, with the usual history.
    pub fn new() -> SemaphoreOptions {
        SemaphoreOptions::default()
    }

    /// The value that it begins with.
    ///
    /// # Panics
    /// If it is above [`Semaphore::VALUE_MAX`].
    pub fn initial(mut self, value: u64) -> SemaphoreOptions {
        assert!(value <= Semaphore::VALUE_MAX, "initial value {value} is above Semaphore::VALUE_MAX");
        self.initial = value;
        self
    }

    /// Of how many signals with causes it remembers them; [`Semaphore::HISTORY_DEFAULT`] unless told.
    pub fn history(mut self, entries: usize) -> SemaphoreOptions {
        self.history = entries;
        self
    }

    /// How many may wait at once before waiting allocates; 4 unless told.
    pub fn waiters(mut self, count: usize) -> SemaphoreOptions {
        self.waiters = count;
        self
    }

    /// A name, for people: it stands in `Debug`, and in the failures of signals and waits.
    pub fn name(mut self, name: impl Into<String>) -> SemaphoreOptions {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Makes the semaphore.
    pub fn build(self) -> Semaphore {
        self.make(None)
    }

    /// Makes a semaphore that a device drives: the device is told what is awaited, by `timeline`, and reports through
    /// the [`Driver`] how far it has come. See [`Timeline`].
    pub fn drive(self, timeline: Arc<dyn Timeline>) -> (Semaphore, Driver) {
        let semaphore = self.make(Some(timeline));
        let driver = Driver::new(semaphore.downgrade());
        (semaphore, driver)
    }

    fn make(self, timeline: Option<Arc<dyn Timeline>>) -> Semaphore {
        let mut waiters = IndexedHeap::new();
        waiters.reserve(self.waiters);
        let device = Device::new(self.initial);
        let state = State { waiters, history: History::new(self.history), failure: None, device };
        Semaphore {
            inner: Arc::new(Inner {
                word: AtomicU64::new(self.initial),
                awaited: AtomicU64::new(if timeline.is_some() { 0 } else { u64::MAX }),
                final_value: AtomicU64::new(self.initial),
                lowered_waits: AtomicU32::new(0),
                exports: Exports::new(),
                state: Mutex::new(state),
                timeline,
                name: self.name,
            }),
        }
    }
}

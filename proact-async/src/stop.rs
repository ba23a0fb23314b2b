//! Asking many to stop, once.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use crate::atomic::{Mutex, MutexGuard};

/// A request to stop that anyone may make, from any thread, and many may wait for: tasks that serve until then.
///
/// ```
/// use proact_async::{Runtime, Stop, spawn};
///
/// let (runtime, stop) = (Runtime::new()?, Stop::new());
/// let asked = stop.clone();
/// runtime.block_on(async move {
///     let server = spawn(async move { asked.requested().await });
///     stop.request();
///     server.await.unwrap();
/// });
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Default)]
pub struct Stop {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requested: bool,
    /// Who waits, each in a place of its own. Empty places are used again.
    waiting: Vec<Option<Waker>>,
}

impl Stop {
    /// One that nobody has requested.
    pub fn new() -> Stop {
        Stop::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests it. All who wait go on, and all who come later do not wait. Once is enough.
    pub fn request(&self) {
        let mut state = self.lock();
        state.requested = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether it was requested.
    pub fn is_requested(&self) -> bool {
        self.lock().requested
    }

    /// Waits until it is requested. The future may be dropped at any time.
    pub async fn requested(&self) {
        let mut place = Place { stop: self, index: None };
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.requested {
                return Poll::Ready(());
            }
            let free = || state.waiting.iter().position(Option::is_none);
            let index = place.index.or_else(free).unwrap_or(state.waiting.len());
            place.index = Some(index);
            if index == state.waiting.len() {
                state.waiting.push(None);
            }
            let old = state.waiting[index].replace(cx.waker().clone());
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await
    }
}

/// Where one waits, freed when it does no more.
struct Place<'a> {
    stop: &'a Stop,
    index: Option<usize>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let mut state = self.stop.lock();
        let old = state.waiting.get_mut(index).and_then(Option::take);
        drop(state);
        drop(old);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("requested", &self.is_requested()).finish()
    }
}

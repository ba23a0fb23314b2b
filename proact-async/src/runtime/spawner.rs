//! Giving a runtime tasks from other threads.

use std::fmt;
use std::panic::Location;

use proact::proactor::Handle;

use crate::task::{HomeRef, JoinHandle, spawn_made, spawn_send};
use crate::trace;

/// Gives a runtime tasks, from any thread. A clone is another handle to the same runtime, which it does not keep.
///
/// ```
/// let runtime = proact_async::Runtime::new()?;
/// let spawner = runtime.spawner();
/// let sum = runtime.block_on(async move {
///     let thread = std::thread::spawn(move || spawner.spawn(async { 1 + 2 }));
///     thread.join().unwrap().await.unwrap()
/// });
/// assert_eq!(sum, 3);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct Spawner {
    home: HomeRef,
    handle: Handle,
}

impl Spawner {
    pub(super) fn new(home: HomeRef, handle: Handle) -> Spawner {
        Spawner { home, handle }
    }

    /// Runs a future as a task of the runtime. It never blocks. After the runtime's end the future is dropped at once,
    /// and the handle yields that it was cancelled.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        // SAFETY: this holds the home.
        unsafe { spawn_send(self.home.as_ptr(), trace::task(future, Location::caller())) }
    }

    /// Has the runtime make a future, on its own thread, and run it as a task: it need not be `Send`.
    #[track_caller]
    pub fn spawn_with<M, F>(&self, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send,
    {
        let spawned_at = Location::caller();
        // SAFETY: this holds the home.
        unsafe { spawn_made(self.home.as_ptr(), move || trace::task(make(), spawned_at)) }
    }

    /// The handle of the runtime's proactor.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("handle", &self.handle).finish()
    }
}

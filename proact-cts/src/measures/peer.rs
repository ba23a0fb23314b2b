//! Two threads that tell each other something, on one processor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Keeps the calling thread on one processor; where it may run again is put back at the end.
pub(crate) struct Pinned(rustix::thread::CpuSet);

/// The processor that this thread, and those it starts, stay on.
pub(crate) fn pinned() -> io::Result<Pinned> {
    let before = rustix::thread::sched_getaffinity(None)?;
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu));
    let mut one = rustix::thread::CpuSet::new();
    one.set(first.ok_or_else(|| io::Error::other("no processor may be used"))?);
    rustix::thread::sched_setaffinity(None, &one)?;
    Ok(Pinned(before))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = rustix::thread::sched_setaffinity(None, &self.0);
    }
}

/// The other side of a row. Ends, when it is told once more, at the end.
pub(crate) struct Peer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    last_word: Box<dyn Fn()>,
}

impl Peer {
    /// A thread that runs `body` until the flag that it is given is set. `last_word` tells it to look.
    pub(crate) fn spawn(body: impl FnOnce(&AtomicBool) + Send + 'static, last_word: impl Fn() + 'static) -> Peer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = Some(std::thread::spawn(move || body(&stopped)));
        Peer { stop, thread, last_word: Box::new(last_word) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        (self.last_word)();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_one_processor_and_let_go_again() {
        let before = rustix::thread::sched_getaffinity(None).unwrap();
        let pinned = pinned().unwrap();
        assert_eq!(rustix::thread::sched_getaffinity(None).unwrap().count(), 1);
        drop(pinned);
        assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), before);
    }
}

//! The driver that has a thread to itself: it waits by parking it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use proact::time::Time;

use super::{Machine, Stop};
use crate::error::{Error, Result};
use crate::module::Resumption;

/// Of how many yields one lets other threads run.
const YIELDS_TO_THE_SYSTEM: u32 = 32;

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    /// One for each thread: a wait allocates none.
    static PARKER: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(parker.clone());
        (parker, waker)
    };
}

/// Lends this thread's parker.
fn with_parker<R>(run: impl FnOnce(&Parker, &Waker) -> R) -> R {
    PARKER.with(|(parker, waker)| run(parker, waker))
}

impl Machine {
    /// Runs a machine that has stopped to its end, on this thread.
    pub(crate) fn block(&mut self, mut stop: Stop) -> Result {
        let mut yields = 0u32;
        loop {
            stop = match stop {
                Stop::Done(result) => return result,
                Stop::Yield => {
                    // Others may run now: other threads are all there are. The system is asked for it now and then,
                    // since that costs ten times what the resume does.
                    yields = yields.wrapping_add(1);
                    if yields % YIELDS_TO_THE_SYSTEM == 0 {
                        thread::yield_now();
                    }
                    self.resume(Resumption::Yielded)
                }
                Stop::Wait => {
                    let why = self.block_wait();
                    self.resume(why)
                }
            };
        }
    }

    /// Parks this thread until the wait is over.
    pub(crate) fn block_wait(&mut self) -> Resumption {
        self.block_wait_until(None)
    }

    /// As [`Machine::block_wait`], until that time at the latest: then the wait fails with `DEADLINE_EXCEEDED`.
    pub(crate) fn block_wait_until(&mut self, latest: Option<Time>) -> Resumption {
        with_parker(|parker, waker| {
            loop {
                // Before the poll: a waker that is called after it is seen below.
                parker.woken.store(false, Ordering::SeqCst);
                if let Poll::Ready(why) = self.poll_wait(&mut Context::from_waker(waker)) {
                    // To a wait on this thread within which this one stood: it may have taken its wake.
                    parker.woken.store(true, Ordering::SeqCst);
                    return why;
                }
                // Someone else's unpark, or none at all, wakes a thread as well: polling once more does no harm.
                if latest.is_some_and(|latest| self.clock.now() >= latest) {
                    parker.woken.store(true, Ordering::SeqCst);
                    return self.waited(Err(Error::deadline_exceeded()));
                }
                let time = self.next_time().into_iter().chain(latest).min();
                if parker.woken.load(Ordering::SeqCst) {
                    continue;
                }
                match time {
                    Some(time) => thread::park_timeout(time.since(self.clock.now())),
                    None => thread::park(),
                }
            }
        })
    }
}

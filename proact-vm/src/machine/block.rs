//! The driver that has a thread to itself: it waits by parking it, or as whoever lends it a way to wait does.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use proact::time::Time;

use super::{Machine, Stop};
use crate::atomic::{AtomicBool, Ordering, Parking};
use crate::error::{Error, Result};
use crate::module::Resumption;

/// Of how many yields one lets other threads run.
const YIELDS_TO_THE_SYSTEM: u32 = 32;

/// Holds a thread until what it waits for is there.
struct Parker {
    parking: Parking,
    woken: AtomicBool,
}

impl Parker {
    /// Of this thread.
    fn new() -> Arc<Parker> {
        Arc::new(Parker { parking: Parking::of_this_thread(), woken: AtomicBool::new(false) })
    }

    /// Looks until that has an answer, and parks the thread in between, each time for as long at most as the look says:
    /// it has given its wakers away.
    fn wait<R>(&self, mut look: impl FnMut() -> ControlFlow<R, Option<Duration>>) -> R {
        loop {
            // Before the look: a waker that is called after it is seen below.
            self.woken.store(false, Ordering::SeqCst);
            match look() {
                ControlFlow::Break(answer) => {
                    // To a wait on this thread within which this one stood: it may have taken its wake.
                    self.woken.store(true, Ordering::SeqCst);
                    return answer;
                }
                // Someone else's unpark, or none at all, ends a park as well: looking once more does no harm.
                ControlFlow::Continue(_) if self.woken.load(Ordering::SeqCst) => {}
                ControlFlow::Continue(time) => self.parking.park(time),
            }
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.parking.unpark();
    }
}

thread_local! {
    /// One for each thread: a wait allocates none.
    static PARKER: (Arc<Parker>, Waker) = {
        let parker = Parker::new();
        let waker = Waker::from(parker.clone());
        (parker, waker)
    };
}

/// Lends this thread's parker.
fn with_parker<R>(run: impl FnOnce(&Parker, &Waker) -> R) -> R {
    PARKER.with(|(parker, waker)| run(parker, waker))
}

/// What a thread does while a machine has stopped on it. A failure is the call's.
pub(crate) trait Holder {
    /// Lets others run.
    fn give_way(&mut self) -> Result;

    /// Waits until the machine's wait is over.
    fn wait(&mut self, machine: &mut Machine) -> Result<Resumption>;
}

/// Parks the thread.
#[derive(Default)]
pub(crate) struct Parks {
    yields: u32,
}

impl Holder for Parks {
    /// Other threads are all there are. The system is asked for it now and then, since that costs ten times what the
    /// resume does.
    fn give_way(&mut self) -> Result {
        self.yields = self.yields.wrapping_add(1);
        if self.yields % YIELDS_TO_THE_SYSTEM == 0 {
            thread::yield_now();
        }
        Ok(())
    }

    fn wait(&mut self, machine: &mut Machine) -> Result<Resumption> {
        Ok(machine.block_wait())
    }
}

impl Machine {
    /// Runs a machine that has stopped to its end, on this thread.
    pub(crate) fn block(&mut self, mut stop: Stop, holder: &mut impl Holder) -> Result {
        loop {
            let why = match stop {
                Stop::Done(result) => return result,
                Stop::Yield => holder.give_way().map(|()| Resumption::Yielded),
                Stop::Wait => holder.wait(self),
            };
            stop = match why {
                Ok(why) => self.resume(why),
                Err(error) => return Err(self.fail(error)),
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
            parker.wait(|| {
                if let Poll::Ready(why) = self.poll_wait(&mut Context::from_waker(waker)) {
                    return ControlFlow::Break(why);
                }
                let Some(time) = self.next_time().into_iter().chain(latest).min() else {
                    return ControlFlow::Continue(None);
                };
                let now = self.clock.now();
                match latest.is_some_and(|latest| now >= latest) {
                    true => ControlFlow::Break(self.waited(Err(Error::deadline_exceeded()))),
                    false => ControlFlow::Continue(Some(time.since(now))),
                }
            })
        })
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

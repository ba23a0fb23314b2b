//! Waiting on a thread that polls a proactor meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use proact::proactor::{Handle, Proactor};
use proact::time::Timeout;

use super::{Holder, Machine};
use crate::error::Result;
use crate::module::Resumption;

/// Has a wait looked at again, and the thread's proactor return from its poll for that.
#[derive(Default)]
struct Bell {
    woken: AtomicBool,
    /// The proactor that is polled while the thread waits.
    polled: Mutex<Option<Handle>>,
}

impl Bell {
    /// Another proactor, or none; answers the one before.
    fn exchange(&self, handle: Option<Handle>) -> Option<Handle> {
        std::mem::replace(&mut *self.polled.lock().unwrap_or_else(PoisonError::into_inner), handle)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // First: who polls looks at it before it does, and a wake that comes later has that poll return.
        self.woken.store(true, Ordering::SeqCst);
        let polled = self.polled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handle) = polled {
            handle.wake();
        }
    }
}

thread_local! {
    /// One for each thread: a wait allocates none. Who keeps its waker longer than a wait wakes another one in vain.
    static BELL: (Arc<Bell>, Waker) = {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        (bell, waker)
    };
}

/// Polls a proactor while the machine has stopped.
pub(crate) struct Polls<'p> {
    proactor: &'p mut Proactor,
    bell: Arc<Bell>,
    waker: Waker,
    /// Of a call on this thread within which this one stands.
    outer: Option<Handle>,
}

impl<'p> Polls<'p> {
    pub(crate) fn new(proactor: &'p mut Proactor) -> Polls<'p> {
        let (bell, waker) = BELL.with(|(bell, waker)| (bell.clone(), waker.clone()));
        let outer = bell.exchange(Some(proactor.handle().clone()));
        Polls { proactor, bell, waker, outer }
    }
}

impl Drop for Polls<'_> {
    fn drop(&mut self) {
        drop(self.bell.exchange(self.outer.take()));
        // To that call: this one may have taken its wake.
        self.bell.woken.store(true, Ordering::SeqCst);
    }
}

impl Holder for Polls<'_> {
    /// What the proactor has at hand.
    fn give_way(&mut self) -> Result {
        self.proactor.poll(Timeout::Immediate)?;
        Ok(())
    }

    fn wait(&mut self, machine: &mut Machine) -> Result<Resumption> {
        loop {
            // Before the poll: a waker that is called after it is seen below.
            self.bell.woken.store(false, Ordering::SeqCst);
            if let Poll::Ready(why) = machine.poll_wait(&mut Context::from_waker(&self.waker)) {
                return Ok(why);
            }
            let timeout = match machine.next_time() {
                // What is awaited may wake itself, again and again: the proactor has its turn between.
                _ if self.bell.woken.load(Ordering::SeqCst) => Timeout::Immediate,
                Some(time) => Timeout::At(time),
                None => Timeout::Infinite,
            };
            self.proactor.poll(timeout)?;
        }
    }
}

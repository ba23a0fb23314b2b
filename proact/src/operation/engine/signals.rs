//! Signals of the process, told to the operations that have subscribed.

use super::entry::Phase;
use super::{BY_ENGINE, Engine};
use crate::backend::{Completion, flags};
use crate::operation::kind::Portable;
use crate::resource::{SignalOwner, SignalSet};

/// Who has subscribed, in the order in which they began.
#[derive(Default)]
pub(super) struct Signals {
    subscribers: Vec<(u32, SignalSet)>,
    owner: SignalOwner,
}

impl Engine {
    /// A subscription begins.
    pub(super) fn start_signals(&mut self, slot: u32) {
        let Portable::Signals(set) = self.portable(slot) else { unreachable!("of this class") };
        let shared = self.shared.clone();
        if let Err(status) = self.signals.owner.begin(shared.home.proactor, shared.waker(), set) {
            // SAFETY: the operation is in flight, and nothing changes it meanwhile.
            let location = unsafe { self.raw(slot).as_ref() }.location;
            return self.end(slot, Err(status.located(location)));
        }
        self.signals.subscribers.push((slot, set));
        self.entries[slot as usize].phase = Phase::Signals;
    }

    /// A subscription is to end.
    pub(super) fn end_signals(&mut self, slot: u32) {
        if let Some(index) = self.signals.subscribers.iter().position(|(subscriber, _)| *subscriber == slot) {
            let (_, set) = self.signals.subscribers.remove(index);
            self.signals.owner.end(set);
        }
        self.end_cancelled(slot);
    }

    /// Puts what has come on the queue, for each who has subscribed to it.
    #[inline]
    pub(super) fn take_signals(&mut self) {
        if self.signals.owner.owns() {
            self.take_signals_owned();
        }
    }

    #[cold]
    fn take_signals_owned(&mut self) {
        for signal in self.signals.owner.take().signals() {
            for (slot, _) in self.signals.subscribers.iter().filter(|(_, set)| set.contains(signal.into())) {
                let token = self.entries[*slot as usize].token;
                self.queue.push(Completion { token, result: signal as i32, flags: BY_ENGINE | flags::MORE });
            }
        }
    }
}

//! Messages: told to the receiver at the end of a pass, on the poll thread, under no lock.
//!
//! By a queue and a wake of who sleeps, also from ring to ring. The kernel's own way (`IORING_OP_MSG_RING`) was
//! measured beside it (`proact bench --filter message`, Linux 6.18, two processors): a stream between two threads that
//! poll takes 16 ns a message by the queue and 411 ns by entries of 64 a call; there and back between two that sleep
//! takes 5.2 µs by the queue and 5.4 µs by entries. And an entry can be sent from a poll thread alone, and to a ring
//! alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::mailbox::Unsent;
use super::{Engine, Shared};
use crate::operation::context::Context;
use crate::status::{Code, Operation, Result, Status};

/// Whom messages are told to.
pub(crate) type Receiver = Box<dyn FnMut(u64, &mut Context<'_>)>;

/// Messages that one pass tells: a flood of them holds up no completion for longer, and each pass asks the backend for
/// more of those.
const MESSAGES_PER_PASS: usize = 256;

impl Engine {
    /// From now on messages are told to `receiver`; they are kept while there is none.
    pub(crate) fn set_receiver(&mut self, receiver: Option<Receiver>) {
        self.receiver = receiver;
        self.receiver_is_new = true;
    }

    /// Whether a message is there, and somebody to tell it to.
    #[inline]
    pub(super) fn has_message(&self) -> bool {
        self.receiver.is_some() && self.inbox.is_due(&self.shared.mailbox)
    }

    /// Whether messages that were taken are still to be told. Only when no more are taken.
    pub(super) fn owes_messages(&self) -> bool {
        self.receiver.is_some() && !self.inbox.is_over(&self.shared.mailbox)
    }

    /// Tells what is there, up to [`MESSAGES_PER_PASS`]. Answers how many.
    #[inline(always)]
    pub(super) fn tell_messages(&mut self) -> usize {
        if self.has_message() { self.tell_some_messages() } else { 0 }
    }

    #[inline(never)]
    fn tell_some_messages(&mut self) -> usize {
        let shared = self.shared.clone();
        let mut told = 0;
        // Out of the engine while it runs: it is lent the engine.
        while told < MESSAGES_PER_PASS {
            let Some(mut receiver) = self.receiver.take() else { break };
            self.receiver_is_new = false;
            let run = catch_unwind(AssertUnwindSafe(|| {
                while !self.receiver_is_new && told < MESSAGES_PER_PASS {
                    let Some(message) = self.inbox.take(&shared.mailbox) else { return false };
                    told += 1;
                    receiver(message, &mut Context { engine: self });
                }
                true
            }));
            if !self.receiver_is_new {
                // A panic has not ended it: the next message is told to it.
                self.receiver = Some(receiver);
            }
            match run {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) => resume_unwind(panic),
            }
        }
        told
    }

    /// How many messages were told.
    pub(crate) fn messages_delivered(&self) -> u64 {
        self.inbox.delivered
    }
}

impl Shared {
    /// Sends a message, from any thread or signal handler: a refusal allocates nothing either.
    #[track_caller]
    #[inline]
    pub(crate) fn send_message(&self, message: u64) -> Result<()> {
        self.refuse_elsewhere(Operation::Message)?;
        match self.mailbox.push(message) {
            Ok(()) => {
                self.notify();
                Ok(())
            }
            Err(Unsent::Full) => Err(Status::bare(Code::ResourceExhausted, Operation::Message, 0)),
            Err(Unsent::Closed) => Err(Status::bare(Code::Aborted, Operation::Message, 0)),
        }
    }
}

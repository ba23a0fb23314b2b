//! Messages to a proactor, as operations.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::engine::Shared;
use super::kind::{Class, Kind, sealed::Sealed};
use crate::resource::Home;
use crate::status::{Operation, Result};

/// Sends 64 bits to a proactor, its own or another, when its turn in the chain comes.
///
/// It completes when the message is taken: the receiver
/// ([`Proactor::on_message`](crate::proactor::Proactor::on_message)) is told in a later pass. Sender and receiver may
/// run on different backends. One that needs no callback of its own is no operation:
/// [`Handle::send_message`](crate::proactor::Handle::send_message).
///
/// | backend | path |
/// |---|---|
/// | all | by the poll thread: into the receiver's queue, and a system call only to end its sleep |
/// | in a kernel chain | no: a chain with this step is run step by step |
///
/// # Errors
/// `ResourceExhausted` when as many messages wait as may
/// ([`Builder::messages`](crate::proactor::Builder::messages)), `Aborted` when the receiver has shut down. The message
/// was not taken then.
///
/// ```
/// use proact::operation::{Chain, Message, Nop, Op};
/// use proact::proactor::Builder;
/// use proact::time::Timeout;
///
/// let mut here = Builder::new().build()?;
/// let mut there = Builder::new().build()?;
/// let (told, messages) = std::sync::mpsc::channel();
/// there.on_message(move |message, _| told.send(message).unwrap());
/// let message = Op::new(Message::new(there.handle(), 42), ());
/// here.submit(Chain::new((Op::new(Nop, ()), message))).unwrap();
/// here.run()?;
/// there.poll(Timeout::Infinite)?;
/// assert_eq!(messages.try_recv(), Ok(42));
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct Message {
    to: Arc<Shared>,
    /// What is sent.
    pub message: u64,
}

impl Message {
    pub(crate) fn to_shared(to: Arc<Shared>, message: u64) -> Message {
        Message { to, message }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:#x} to proactor {})", self.message, self.to.home.proactor)
    }
}

impl Sealed for Message {}

impl Kind for Message {
    type Output = ();
    const OPERATION: Operation = Operation::Message;
    const CLASS: Class = Class::Immediate;

    fn perform(&mut self, location: &'static Location<'static>) -> Result<i32> {
        match self.to.send_message(self.message) {
            Ok(()) => Ok(0),
            Err(status) => Err(status.located(location)),
        }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}

//! What a kind of operation tells the engine about itself.

use std::panic::Location;
use std::ptr::NonNull;

use super::cancel::CancelState;
use super::frontier::FrontierState;
use super::interval::IntervalState;
use super::notification::NotificationState;
use super::semaphore::WaitState;
use super::sequence::SequenceState;
use crate::backend::Request;
use crate::resource::{Home, Lane, Resource, SignalSet};
use crate::status::{Operation, Result, Status};
use crate::sync::Event;
use crate::time::Time;

/// A kind of operation: its parameters, and what it yields. Implemented by this crate's kinds alone.
///
/// The hidden items are how the engine asks; they are no interface.
pub trait Kind: sealed::Sealed + Sized + 'static {
    /// What a successful one yields.
    type Output;

    #[doc(hidden)]
    const OPERATION: Operation;
    #[doc(hidden)]
    const CLASS: Class;

    /// It has no parameters: nothing to validate, no resource, and it moves no bytes. The engine asks for none of these
    /// then: after a system call most processors have forgotten where calls through tables go, and each costs dearly.
    #[doc(hidden)]
    const BARE: bool = false;

    /// It takes several requests of different meaning, and [`Kind::absorb`] says what each result meant.
    #[doc(hidden)]
    const STAGED: bool = false;

    /// It may come to several outcomes, told by [`Complete::more`](super::Complete::more), before its last. Only of the
    /// classes `Kernel`, `Timer` and `Signals`.
    #[doc(hidden)]
    const MULTISHOT: bool = false;

    /// A success has an effect beyond its output, which whatever follows relies on: [`Kind::adopt`]. So may a failure:
    /// [`Kind::abandon`].
    #[doc(hidden)]
    const ADOPTS: bool = false;

    /// Whether it may be submitted at `home`, before anything has happened.
    #[doc(hidden)]
    fn validate(&mut self, home: Home) -> Result<()> {
        let _ = home;
        Ok(())
    }

    /// The resource it works on.
    #[doc(hidden)]
    fn resource(&self) -> Option<&Resource> {
        None
    }

    /// How much it moves.
    #[doc(hidden)]
    fn transfer(&self) -> Transfer {
        Transfer::NONE
    }

    /// The request for what is left after `progress` bytes. Only of [`Class::Kernel`].
    #[doc(hidden)]
    fn request(&mut self, progress: usize) -> Request {
        let _ = progress;
        Request::Nop
    }

    /// What a result was worth: bytes of the transfer, or `None` when it only made the next request possible. Only of
    /// kinds that are [`Kind::STAGED`], for results that are no errors.
    #[doc(hidden)]
    fn absorb(&mut self, value: i32) -> Option<usize> {
        Some(value as usize)
    }

    /// Whether a failure after `moved` bytes is that of the other resource, and leaves the stream that the operation
    /// stands in as good as it was. Only of kinds that are [`Kind::STAGED`].
    #[doc(hidden)]
    fn spares(&self, status: &Status, moved: usize) -> bool {
        let _ = (status, moved);
        false
    }

    /// The state that the engine's portable machinery works on. Only of the other classes.
    #[doc(hidden)]
    fn portable(&mut self) -> Portable {
        Portable::None
    }

    /// Does it, now, and says the result: what needs no waiting (a signal, a message). `location` is where it was
    /// submitted. It must neither block nor call back into the engine; what it wakes of this proactor, it reaches by
    /// the stack that other threads use. Only of [`Class::Immediate`].
    #[doc(hidden)]
    fn perform(&mut self, location: &'static Location<'static>) -> Result<i32> {
        let _ = location;
        unreachable!("{} is not done at once", Self::OPERATION)
    }

    /// What the kernel can do of it, as a step of a lowered chain that is not the first: what others outside of this
    /// process see. The rest is [`Kind::adopt`]'s, as soon as the completion is there. `None`: nothing, now. Only of
    /// [`Class::Immediate`], and of kinds that are [`Kind::ADOPTS`].
    #[doc(hidden)]
    fn lowered(&mut self) -> Option<Request> {
        None
    }

    /// Takes the effect of the success `value`, of the backend or of what the engine waited for, before the chain goes
    /// on and anyone is told. It may fail the operation. As [`Kind::perform`], it must neither block nor call back, and
    /// what has been performed is not adopted. Only of kinds that are [`Kind::ADOPTS`].
    ///
    /// Of a kind that is [`Kind::MULTISHOT`] it is asked for each outcome, while the backend goes on: the requests of
    /// such a kind hold no pointers into it.
    #[doc(hidden)]
    fn adopt(&mut self, value: i32, location: &'static Location<'static>) -> Result<i32> {
        let _ = location;
        Ok(value)
    }

    /// It fails with `status`, or is left to a backend that does not give it back. `begun`: its turn had come;
    /// otherwise an earlier step has failed, and it must have no effect. As [`Kind::adopt`].
    #[doc(hidden)]
    fn abandon(&mut self, status: &Status, begun: bool) {
        let _ = (status, begun);
    }

    /// Makes the output of a result that is not an error; adopts the resource it names.
    #[doc(hidden)]
    fn settle(&mut self, value: i64, home: Home) -> Result<Self::Output>;

    /// What a success has reset, and others may wait for: it is set again when nobody is told of that success, for its
    /// future or stream was dropped.
    #[doc(hidden)]
    fn reset(&self) -> Option<&Event> {
        None
    }

    /// Whether the success `value` of a multishot operation is its last.
    #[doc(hidden)]
    fn is_last(&self, value: i64) -> bool {
        let _ = value;
        false
    }

    /// [`Kind::settle`] for an outcome of a multishot operation that goes on. The operation is only looked at: the
    /// backend may hold pointers into it.
    #[doc(hidden)]
    fn settle_more(&self, value: i64, home: Home) -> Result<Self::Output> {
        let _ = (value, home);
        unreachable!("{} has one outcome", Self::OPERATION)
    }

    /// Where its bytes go, when the backend is to take a buffer as they come.
    #[doc(hidden)]
    fn pool(&self) -> Option<&crate::memory::BufferPool> {
        None
    }

    /// Names what a failure was about: a path, an address.
    #[doc(hidden)]
    fn explain(&self, status: Status) -> Status {
        status
    }
}

pub(crate) mod sealed {
    /// Keeps `Kind` to this crate.
    pub trait Sealed {}
}

/// Who carries an operation out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The backend, standing in this lane of its resource.
    Kernel(Lane),
    /// The engine's timers.
    Timer,
    /// The engine and the semaphores' waiter queues, or the kernel when lowered.
    SemaphoreWait,
    /// The engine and the lines of the axes.
    FrontierWait,
    /// The engine and the notification; the backend for one in shared memory.
    NotificationWait,
    /// As the source of the relay: the engine and the notification, or the backend, in no lane of its resource.
    Relay,
    /// The operation itself, on the poll thread, when its turn comes: [`Kind::perform`].
    Immediate,
    /// The engine, which tells what the process's signal handlers have noted.
    Signals,
    /// The engine, step by step.
    Sequence,
    /// The engine first, which ends what is pending on the resource, then the backend.
    Close,
    /// The engine: it asks others to end.
    Cancel,
}

/// How many bytes an operation moves, and whether less is a success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// All of it; [`usize::MAX`] means that the result is no count.
    pub length: usize,
    /// Anything short is a failure.
    pub exact: bool,
    /// Which counter the bytes go to.
    pub flow: Flow,
}

/// Which way bytes move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// No bytes.
    None,
    /// From a file.
    Read,
    /// To a file.
    Written,
    /// From a socket.
    Received,
    /// To a socket.
    Sent,
}

impl Transfer {
    /// The result is no count of bytes.
    pub const NONE: Transfer = Transfer { length: usize::MAX, exact: false, flow: Flow::None };
}

/// What the portable machinery works on. The pointers are into the operation, and good while it is in flight.
#[derive(Clone, Copy)]
pub enum Portable {
    /// Nothing.
    None,
    /// When to fire.
    Timer(Time),
    /// When to fire, again and again.
    Interval(NonNull<IntervalState>),
    /// What to wait for.
    Wait(NonNull<WaitState>),
    /// What to wait for, of a tracker's axes.
    Frontier(NonNull<FrontierState>),
    /// Which signals to tell of.
    Signals(SignalSet),
    /// What to be notified by.
    Notification(NonNull<NotificationState>),
    /// What to run.
    Sequence(NonNull<SequenceState>),
    /// Whom to end.
    Cancel(NonNull<CancelState>),
}

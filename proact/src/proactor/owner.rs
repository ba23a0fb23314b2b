//! The one who polls.

use std::time::Duration;

use super::{Handle, Latencies, Polled, Statistics};
use crate::operation::engine::Engine;
use crate::operation::{Batch, Context, OperationId, ProgressId, Refused};
use crate::status::Result;
use crate::time::{Clock, Time, Timeout};

/// How long dropping a proactor waits for what is in flight to end.
const DROP_DEADLINE: Duration = Duration::from_secs(5);

/// Submits operations and runs their callbacks, on the thread that built it.
///
/// A proactor is not `Send`: the thread that builds it polls it, so there is no second poller to forbid. Other threads
/// use its [`Handle`]. [`ProactorThread`](super::ProactorThread) gives one a thread of its own.
///
/// Nothing happens by itself: operations are handed to the kernel, and callbacks run, inside [`Proactor::poll`].
///
/// Dropping it is [`Proactor::shutdown`] with five seconds.
pub struct Proactor {
    engine: Engine,
    handle: Handle,
    /// Not `Send`, not `Sync`, whatever the engine becomes.
    _here: std::marker::PhantomData<*mut ()>,
}

impl Proactor {
    pub(super) fn new(engine: Engine) -> Proactor {
        let handle = Handle::new(engine.shared.clone());
        Proactor { engine, handle, _here: std::marker::PhantomData }
    }

    /// Submits a batch: one operation, or many as a tuple, array, vector or chain.
    ///
    /// All of it is checked before any of it has an effect. Callbacks run in a later [`Proactor::poll`], never in here.
    /// Nothing is allocated on the way, but for a `Vec` of identities when a `Vec` is submitted by value.
    ///
    /// # Errors
    /// The batch comes back whole with `InvalidArgument` for a wrong parameter or a resource of another proactor,
    /// `FailedPrecondition` for one being closed, `Unavailable` for what the backend cannot do, `ResourceExhausted` at
    /// the limit of operations in flight, `Aborted` after a shutdown.
    #[track_caller]
    pub fn submit<B: Batch>(&mut self, batch: B) -> Result<B::Ids, Refused<B>> {
        self.engine.submit(batch)
    }

    /// Asks that an operation end early. Its callback comes all the same, once: `Cancelled`, or its natural outcome if
    /// that was faster. Asking twice changes nothing.
    ///
    /// # Errors
    /// `NotFound` when it is not pending here: its callback has run, or it was never here.
    #[track_caller]
    pub fn cancel(&mut self, id: OperationId) -> Result<()> {
        self.engine.cancel(id)
    }

    /// Sets a [`Timer`](crate::operation::Timer) that waits to another deadline, as if it had been submitted with that
    /// (which its parameters go on to say the old one of, when they come back).
    ///
    /// A later deadline costs a look at the timer and nothing among the others: this is for time-outs that are set anew
    /// whenever something arrives. An earlier one costs what a cancel and a submit cost, without a callback. Among
    /// timers of exactly one deadline, those that were reset come in no particular order.
    ///
    /// ```
    /// # use proact::operation::{Op, Timer};
    /// # use std::time::Duration;
    /// let mut proactor = proact::proactor::Builder::new().build().unwrap();
    /// let soon = proactor.now() + Duration::from_millis(1);
    /// let id = proactor.submit(Op::new(Timer::new(soon), ())).unwrap();
    /// let later = soon + Duration::from_millis(1);
    /// proactor.reset_timer(id, later).unwrap();
    /// proactor.run().unwrap();
    /// assert!(proactor.now() >= later);
    /// assert!(proactor.reset_timer(id, later).is_err(), "it has fired");
    /// ```
    ///
    /// # Errors
    /// `NotFound` when it is no timer, or does not wait here: it has fired or was cancelled, its turn in a chain has
    /// not come, or it was submitted by another thread and is still on the way.
    #[track_caller]
    pub fn reset_timer(&mut self, id: OperationId, deadline: Time) -> Result<()> {
        self.engine.reset_timer(id, deadline)
    }

    /// Registers a function that is called in every pass, before it would sleep: for what no descriptor tells of, a
    /// ring in shared memory or a device without interrupts. It is told its own identity and lent the proactor, and
    /// answers how much it did, which [`Polled::progressed`] and the statistics tell.
    ///
    /// As long as one is registered no pass sleeps, whatever its timeout: it would not know when to wake. They are
    /// called in the order in which they came; one that comes from within another has its turn in the next pass. Each
    /// may end any registration, also its own, at any time. A shutdown ends all of them before anything else.
    ///
    /// What they share with the rest of the program they own; it is dropped when the registration ends, or, if it is
    /// the one being called, when it returns. A function that panics stays registered, and its panic goes on from poll.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use std::cell::Cell;
    /// let mut proactor = proact::proactor::Builder::new().build()?;
    /// let ring = Rc::new(Cell::new(3)); // what somebody else has put there
    /// let mine = ring.clone();
    /// proactor.add_progress(move |own, cx| {
    ///     let taken = mine.take();
    ///     if taken == 0 {
    ///         cx.remove_progress(own).unwrap();
    ///     }
    ///     taken
    /// });
    /// assert_eq!(proactor.poll(proact::time::Timeout::Infinite)?.progressed, 3);
    /// assert_eq!(proactor.poll(proact::time::Timeout::Infinite)?.progressed, 0);
    /// assert_eq!(Rc::strong_count(&ring), 1);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn add_progress(&mut self, call: impl FnMut(ProgressId, &mut Context<'_>) -> usize + 'static) -> ProgressId {
        self.engine.add_progress(Box::new(call))
    }

    /// Ends such a registration, in constant time: the function is called no more, and dropped.
    ///
    /// # Errors
    /// `NotFound` when it has ended before, or was never here.
    #[track_caller]
    pub fn remove_progress(&mut self, id: ProgressId) -> Result<()> {
        self.engine.remove_progress(id)
    }

    /// One pass: hands over what was submitted, waits until something completes, and runs the callbacks of all that
    /// has. Returns after at least one callback, a [`wake`](Handle::wake), or the timeout; it may return sooner with
    /// nothing done, and always does while a [progress callback](Proactor::add_progress) is registered.
    ///
    /// # Errors
    /// The backend is broken for good. Drop the proactor then.
    ///
    /// # Panics
    /// Goes on with a callback's panic. The completions that were not delivered yet stay for the next poll.
    pub fn poll(&mut self, timeout: impl Into<Timeout>) -> Result<Polled> {
        self.engine.poll(timeout.into())
    }

    /// Polls until nothing is in flight.
    ///
    /// # Errors
    /// As for [`Proactor::poll`].
    ///
    /// # Panics
    /// As [`Proactor::poll`] does.
    pub fn run(&mut self) -> Result<()> {
        while self.engine.pending() > 0 {
            self.engine.poll(Timeout::Infinite)?;
        }
        Ok(())
    }

    /// Tells messages ([`Handle::send_message`], [`Message`](crate::operation::Message)) to `receiver` from now on,
    /// instead of to the one before: inside [`Proactor::poll`], one after another, under no lock, each sender's in
    /// their order. Those that came before there was a receiver are told first.
    ///
    /// A pass tells at most 256, after its other callbacks, and asks the backend for more of those before the next: a
    /// flood of messages holds up neither timers nor I/O. A message ends [`Proactor::poll`] as a callback does;
    /// [`Proactor::run`] does not wait for messages. The receiver must not block. It may submit, cancel, send, and
    /// [replace itself](Context::on_message). One that panics goes on with the next message.
    pub fn on_message(&mut self, receiver: impl FnMut(u64, &mut Context<'_>) + 'static) {
        self.engine.set_receiver(Some(Box::new(receiver)));
    }

    /// Tells messages to nobody from now on, as before the first [`Proactor::on_message`]: they wait for a receiver, up
    /// to [their limit](super::Builder::messages), and do not end a poll.
    pub fn hold_messages(&mut self) {
        self.engine.set_receiver(None);
    }

    /// How many operations are in flight, steps of sequences included.
    pub fn pending(&self) -> usize {
        self.engine.pending()
    }

    /// When its first timer or deadline comes, if it has any: what a loop of one's own need not poll before, as far as
    /// timers go. Of timers that were [reset](Proactor::reset_timer) to a later time, or called off, it may tell a time
    /// that is none any more.
    pub fn next_timer(&self) -> Option<Time> {
        self.engine.next_timer()
    }

    /// Whether it stands in a simulated process that has died.
    #[cfg(feature = "simulated")]
    pub(crate) fn is_gone(&self) -> bool {
        self.engine.shared.system.as_ref().is_some_and(|registration| registration.system().is_gone())
    }

    /// For other threads, and to make resources.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The time, read now.
    pub fn now(&self) -> Time {
        self.handle.clock().now()
    }

    /// The clock that deadlines are on.
    pub fn clock(&self) -> &Clock {
        self.handle.clock()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.engine)
    }

    /// How long operations took, where [`Builder::measure_latencies`](super::Builder::measure_latencies) asked for it.
    pub fn latencies(&self) -> Option<&Latencies> {
        self.engine.latencies.as_ref()
    }

    /// Refuses new operations and messages, cancels all that are in flight, and runs their callbacks, for at most
    /// `deadline`. Messages taken before are told, if there is a receiver.
    ///
    /// Answers how many did not end. Their memory, descriptors and backend are leaked on purpose: the kernel may still
    /// use them.
    ///
    /// # Panics
    /// Goes on with the first panic of a callback, after all others have had theirs.
    pub fn shutdown(mut self, deadline: Duration) -> usize {
        self.engine.shutdown(deadline)
    }
}

impl Drop for Proactor {
    fn drop(&mut self) {
        self.engine.shutdown(DROP_DEADLINE);
    }
}

impl std::fmt::Debug for Proactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proactor").field("handle", &self.handle).field("pending", &self.pending()).finish()
    }
}

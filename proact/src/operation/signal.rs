//! Being told of the process's signals.

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::resource::{Home, Signal, SignalSet};
use crate::status::{Code, Operation, Result, Status};

/// Tells of signals that the process is sent, each time one comes: a multishot operation, which ends by a cancel.
///
/// While it is in flight its signals do not do what is set for them, such as ending the process, and when the last
/// that tells of a signal has ended, all is again as it was: what was set, and whether the poll thread blocks it. An
/// earlier handler is not called in between. A signal that comes at the very end, and is told to nobody, does what is
/// set for it again.
///
/// Several may tell of the same signal; each does, in the order in which they began. One proactor of a process at a
/// time may have such operations: it owns them from the first to the end of its last, or its shutdown. Signals that
/// come faster than they are told coalesce, as they do in the system: each kind is told at least once after the last
/// came.
///
/// It makes no difference which thread the system picks, and none need block anything; see
/// [`block_signals`](crate::resource::block_signals) for when one may want to.
///
/// | backend | path |
/// |---|---|
/// | all | by a signal handler that wakes the poll thread, and nothing more |
///
/// # Errors
/// At submit `InvalidArgument` for no signal or an unknown one, `Unavailable` on systems without signals. When it
/// begins, `FailedPrecondition` while another proactor owns the process's signals, which the message names.
///
/// ```no_run
/// use proact::operation::{Complete, Context, Op, Outcome, SignalWait};
/// use proact::resource::{Signal, SignalSet};
///
/// struct Stop;
///
/// impl Complete<SignalWait> for Stop {
///     fn more(&mut self, _: &SignalWait, outcome: Outcome<SignalWait>, cx: &mut Context<'_>) {
///         match outcome.result {
///             Ok(Signal::HangUp) => println!("reading the settings again"),
///             Ok(signal) => println!("ending at {signal}, with {} operations in flight", cx.pending()),
///             Err(_) => {}
///         }
///     }
///     fn done(_: Box<Op<SignalWait, Self>>, _: Outcome<SignalWait>, _: &mut Context<'_>) {}
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let signals = SignalSet::INTERRUPT | SignalSet::TERMINATE | SignalSet::HANG_UP;
/// proactor.submit(Op::new(SignalWait::new(signals), Stop)).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignalWait {
    signals: SignalSet,
}

impl SignalWait {
    /// Tells of each of `signals`.
    pub fn new(signals: impl Into<SignalSet>) -> SignalWait {
        SignalWait { signals: signals.into() }
    }

    /// Which it tells of.
    pub fn signals(&self) -> SignalSet {
        self.signals
    }
}

impl Sealed for SignalWait {}

impl Kind for SignalWait {
    type Output = Signal;
    const OPERATION: Operation = Operation::SignalWait;
    const CLASS: Class = Class::Signals;
    const MULTISHOT: bool = true;

    fn validate(&mut self, _: Home) -> Result<()> {
        if self.signals.is_empty() || !SignalSet::all().contains(self.signals) {
            let why = "no signal, or one that is not known";
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message(why));
        }
        if cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return Err(Status::new(Code::Unavailable, Self::OPERATION).with_message("no signals on this system yet"));
        }
        Ok(())
    }

    fn portable(&mut self) -> Portable {
        Portable::Signals(self.signals)
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<Signal> {
        let signal = usize::try_from(value).ok().and_then(|index| Signal::ALL.get(index));
        signal.copied().ok_or_else(|| Status::new(Code::Internal, Self::OPERATION).with_message("an unknown signal"))
    }

    fn settle(&mut self, value: i64, home: Home) -> Result<Signal> {
        self.settle_more(value, home)
    }
}

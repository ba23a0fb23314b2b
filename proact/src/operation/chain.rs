//! Chains: operations of one batch of which each starts when the one before it has succeeded.

/// Whether a chain is handed to the kernel whole.
///
/// The results are the same either way. What differs is who takes the step from one operation to the next: the kernel
/// itself, or the poll thread on its next pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lowering {
    /// Step by step, by the poll thread.
    Never,
    /// By the kernel where every step qualifies and measurements say that it pays.
    #[default]
    Auto,
    /// By the kernel wherever every step qualifies.
    Always,
}

/// Links the operations of a batch: each starts only after the one before it has succeeded.
///
/// When one fails or is cancelled, every later one gets one callback with `Cancelled`, and none of its effects happen.
/// Callbacks come in the chain's order, one each. Whether a later step has already *started* when a callback runs is
/// not specified: a lowered chain runs in the kernel. Code that must run between two steps belongs into a
/// [`Sequence`](super::Sequence).
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native where every step qualifies: linked entries (Linux 5.3; `KERNEL_CHAINS`) |
/// | otherwise, and on epoll and poll | step by step, by the poll thread |
///
/// At most 64 steps go to the kernel. A step qualifies when the ring carries it out as one entry and its failure keeps
/// what is behind it from starting, or nothing is behind it; only the last may be a transfer for which less is a
/// success; a transfer on a stream must be next in that stream's queue; a connect only begins a chain.
/// [`Outcome::lowered`](super::Outcome::lowered) tells what became of it.
///
/// ```
/// # use proact::operation::{Chain, Nop, Op, Timer};
/// # use proact::time::Timeout;
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let soon = proactor.now() + std::time::Duration::from_micros(50);
/// let chain = Chain::new((Op::new(Timer::new(soon), ()), Op::new(Nop, ())));
/// let (timer, nop) = proactor.submit(chain).unwrap();
/// # assert_ne!(timer, nop);
/// # while proactor.pending() > 0 { proactor.poll(Timeout::Infinite).unwrap(); }
/// ```
#[derive(Debug)]
pub struct Chain<B> {
    pub(super) batch: B,
    pub(super) lowering: Lowering,
}

impl<B: super::Batch> Chain<B> {
    /// Links the operations of `batch`, in its order.
    pub fn new(batch: B) -> Chain<B> {
        Chain { batch, lowering: Lowering::Auto }
    }

    /// Says who takes the steps, where there is a choice.
    #[must_use]
    pub fn lowering(mut self, lowering: Lowering) -> Chain<B> {
        self.lowering = lowering;
        self
    }

    /// Gives the batch back.
    pub fn into_inner(self) -> B {
        self.batch
    }
}

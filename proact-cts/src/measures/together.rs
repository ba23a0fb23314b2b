//! Operations that are submitted, come back, and are submitted again: what most measures do.

use std::cell::RefCell;

use proact::operation::{Complete, Context, Kind, Op, Outcome};
use proact::proactor::Proactor;
use proact::time::Timeout;

use super::compare::Timing;
use super::effort;
use super::figures::{Costs, Figures};
use super::tally;

/// An operation that goes home.
pub(crate) type Homing<K> = Box<Op<K, Home<K>>>;
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile<K> = RefCell<Vec<Homing<K>>>;

/// Puts its operation on the pile. What it yields is dropped; that it succeeds is checked.
pub(crate) struct Home<K: Kind>(&'static Pile<K>);

impl<K: Kind> Clone for Home<K> {
    fn clone(&self) -> Home<K> {
        Home(self.0)
    }
}

impl<K: Kind> Complete<K> for Home<K> {
    #[inline]
    fn done(op: Homing<K>, outcome: Outcome<K>, _: &mut Context<'_>) {
        if let Err(status) = outcome.result {
            panic!("an operation of a measure failed: {status}");
        }
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// Operations of one kind with the place that they come back to.
pub(crate) struct Together<K: Kind> {
    /// Those that may be submitted, in the order in which they have ended.
    #[allow(clippy::vec_box)] // as above
    pub(crate) ready: Vec<Homing<K>>,
    pile: &'static Pile<K>,
    count: usize,
}

impl<K: Kind> Together<K> {
    pub(crate) fn new(kinds: impl IntoIterator<Item = K>) -> Together<K> {
        // One small vector a row lives to the program's end: cheaper to reach than a counted one, and safe.
        let pile: &'static Pile<K> = Box::leak(Box::default());
        let ready: Vec<_> = kinds.into_iter().map(|kind| Op::new(kind, Home(pile))).collect();
        pile.borrow_mut().reserve_exact(ready.len());
        Together { count: ready.len(), ready, pile }
    }

    /// Submits all of them.
    #[inline]
    pub(crate) fn submit(&mut self, proactor: &mut Proactor) {
        if let Err(refused) = proactor.submit(&mut self.ready) {
            panic!("an operation of a measure was refused: {}", refused.status);
        }
    }

    /// Polls until all of them are back.
    #[inline]
    pub(crate) fn collect(&mut self, proactor: &mut Proactor) {
        while self.pile.borrow().len() < self.count {
            proactor.poll(Timeout::Infinite).expect("the backend works");
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }

    /// Submits all of them and polls until they are back.
    #[inline]
    pub(crate) fn round(&mut self, proactor: &mut Proactor) {
        self.submit(proactor);
        self.collect(proactor);
    }
}

/// A proactor and what a measure does with it.
pub(crate) struct Stage<T> {
    pub(crate) proactor: Proactor,
    pub(crate) of: T,
}

impl<T> Stage<T> {
    /// The figures of a `timing`, with what rounds of `each` operations take beside time.
    pub(crate) fn figures(
        &mut self,
        timing: Timing,
        each: f64,
        absent: &'static str,
        round: impl FnMut(&mut Stage<T>),
    ) -> Figures {
        Figures::of(timing, each, absent, self.costs(each, round))
    }

    /// What rounds of `each` operations take beside time.
    pub(crate) fn costs(&mut self, each: f64, round: impl FnMut(&mut Stage<T>)) -> Costs {
        let enters = |stage: &Stage<T>| stage.proactor.statistics().enters;
        // Rounds over which costs are counted.
        let rounds = effort::size(100, 5) as u32;
        tally::rounds(rounds, self, round, enters).over(f64::from(rounds) * each)
    }
}

//! State machines over operations: what sender, session and server have in common.
//!
//! A machine lives in a counted cell. Each operation that it submits carries a closure which is given the machine when
//! the operation ends; afterwards the machine looks, in [`Machine::step`], what it can start now. No closure blocks,
//! and none runs inside a submit, so the machine is never borrowed twice.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use proact::operation::{Batch, Complete, Context, Kind, Nop, Op, OperationId, Outcome};
use proact::proactor::Proactor;
use proact::status::Status;

type Closure<K> = Box<dyn FnOnce(K, Outcome<K>, &mut Context<'_>)>;

/// An operation's state that calls a closure with the operation's parameters and outcome.
pub struct Then<K: Kind>(Closure<K>);

impl<K: Kind> Complete<K> for Then<K> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let op = *op;
        (op.state.0)(op.kind, outcome, cx);
    }
}

/// What every machine keeps for [`Machine`].
pub struct Base<M> {
    me: Weak<RefCell<M>>,
    /// Operations in flight.
    pub outstanding: usize,
}

/// A state machine whose inputs are the ends of its operations.
pub trait Machine: Sized + 'static {
    /// The common part.
    fn base(&mut self) -> &mut Base<Self>;

    /// Starts whatever can be started now. Called after every end of an operation.
    fn step(&mut self, cx: &mut Context<'_>);

    /// An operation was refused at submit, and will never end.
    fn refused(&mut self, status: Status, cx: &mut Context<'_>);

    /// The state for an operation that is about to be submitted with [`Machine::submit`]: counts it.
    fn then<K: Kind>(&mut self, f: impl FnOnce(&mut Self, K, Outcome<K>, &mut Context<'_>) + 'static) -> Then<K> {
        let base = self.base();
        base.outstanding += 1;
        let me = base.me.clone();
        Then(Box::new(move |kind, outcome, cx| {
            let Some(me) = me.upgrade() else { return };
            let mut machine = me.borrow_mut();
            machine.base().outstanding -= 1;
            f(&mut machine, kind, outcome, cx);
            machine.step(cx);
        }))
    }

    /// Submits a batch of `count` operations whose states came from [`Machine::then`].
    fn submit<B: Batch>(&mut self, batch: B, count: usize, cx: &mut Context<'_>) -> Option<B::Ids> {
        match cx.submit(batch) {
            Ok(ids) => Some(ids),
            Err(refused) => {
                self.base().outstanding -= count;
                let status = refused.status.clone();
                drop(refused);
                self.refused(status, cx);
                None
            }
        }
    }

    /// Submits one operation.
    fn call<K: Kind>(
        &mut self,
        kind: K,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Self, K, Outcome<K>, &mut Context<'_>) + 'static,
    ) -> Option<OperationId> {
        let then = self.then(f);
        self.submit(Op::new(kind, then), 1, cx)
    }
}

/// Puts a machine into its cell.
pub fn assemble<M>(make: impl FnOnce(Base<M>) -> M) -> Rc<RefCell<M>> {
    Rc::new_cyclic(|me| RefCell::new(make(Base { me: me.clone(), outstanding: 0 })))
}

/// Runs `f` on the machine in the next poll, where it may submit. For what comes from outside: the start, an interrupt.
///
/// # Errors
/// The proactor has shut down.
pub fn kick<M: Machine>(
    proactor: &mut Proactor,
    machine: &Rc<RefCell<M>>,
    f: impl FnOnce(&mut M, &mut Context<'_>) + 'static,
) -> Result<(), Status> {
    let then = machine.borrow_mut().then::<Nop>(move |machine, _, _, cx| f(machine, cx));
    proactor.submit(Op::new(Nop, then)).map(|_| ()).map_err(|refused| refused.status)
}

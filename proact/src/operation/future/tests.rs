//! Wakers whose own code panics or ends the operation: nothing is lost, freed twice or left locked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

use super::flight::{FlightPtr, Look};
use crate::operation::Nop;
use crate::operation::op::{Marks, Outcome};

/// Panics when the last of it is dropped.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        std::mem::forget(self);
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a waker's drop");
    }
}

thread_local! {
    /// What the next clone of an [`ending`] waker does.
    static ON_CLONE: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// A waker whose clone is a moment in which something happens.
fn ending(happens: impl FnOnce() + 'static) -> Waker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            if let Some(happens) = ON_CLONE.take() {
                happens();
            }
            RawWaker::new(data, &TABLE)
        },
        |_| (),
        |_| (),
        |_| (),
    );
    ON_CLONE.set(Some(Box::new(happens)));
    // SAFETY: it has no data.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

fn look(flight: FlightPtr<Nop>, waker: &Waker) -> std::thread::Result<Option<u64>> {
    // SAFETY: in flight by definition, and not used after its end.
    catch_unwind(AssertUnwindSafe(|| match unsafe { flight.look::<true>(waker) } {
        Look::Ready(Nop, outcome) => Some(outcome.moved as u64),
        Look::Pending => None,
        Look::Ending => panic!("nobody else is at work on it"),
    }))
}

/// An operation that waits with a [`Bomb`].
fn flight() -> FlightPtr<Nop> {
    let flight = FlightPtr::new::<true>(Nop);
    // SAFETY: not in flight yet.
    unsafe { flight.set_waker(&Waker::from(Arc::new(Bomb))) };
    flight
}

fn end(flight: FlightPtr<Nop>) {
    // SAFETY: in flight by definition; once.
    unsafe { flight.end_shared(Outcome { result: Ok(()), moved: 7, marks: Marks::empty() }) };
}

#[test]
fn a_waker_that_panics_when_it_is_replaced_leaves_the_future_pending() {
    let flight = flight();
    assert!(look(flight, Waker::noop()).is_err());
    assert_eq!(look(flight, Waker::noop()).unwrap(), None);
    end(flight);
    assert_eq!(look(flight, Waker::noop()).unwrap(), Some(7));
}

#[test]
fn an_outcome_that_comes_while_a_waker_is_replaced_outlives_the_panic_of_the_old_one() {
    for taken in [true, false] {
        let flight = flight();
        assert!(look(flight, &ending(move || end(flight))).is_err());
        if taken {
            assert_eq!(look(flight, Waker::noop()).unwrap(), Some(7));
        } else {
            // SAFETY: ended, not taken, and not used again.
            assert!(!unsafe { flight.abandon::<true>() }, "all is freed");
        }
    }
}

#[test]
fn a_waker_that_panics_when_it_is_cloned_leaves_nothing_locked() {
    let flight = flight();
    let panics = move || {
        end(flight);
        panic!("a waker's clone");
    };
    assert!(look(flight, &ending(panics)).is_err());
    assert!(look(flight, Waker::noop()).is_err(), "the old one goes, before the storage does");
    assert_eq!(look(flight, Waker::noop()).unwrap(), Some(7));
}

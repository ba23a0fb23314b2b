//! Functions that are called in every pass.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proact::operation::{Complete, Context, EventWait, Nop, Op, Outcome, ProgressId};
use proact::status::Code;
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;

cases![
    it_is_called_once_a_pass_until_it_is_removed,
    no_pass_sleeps_while_one_is_registered,
    what_they_did_is_counted,
    they_are_called_in_the_order_in_which_they_came,
    one_that_is_registered_from_within_another_has_its_turn_in_the_next_pass,
    one_removes_itself_and_registers_another_at_once,
    one_removes_the_next_and_the_one_before,
    all_are_removed_by_one_of_them,
    they_submit_and_cancel,
    operations_register_and_remove_them,
    one_that_panics_stays_and_the_others_have_their_turn_next,
    what_one_owns_goes_with_its_end,
    an_identity_that_has_ended_or_is_anothers_is_not_found,
    a_shutdown_ends_them_before_anything_else,
    one_that_comes_in_a_shutdown_has_ended_with_it,
];

type Log = Rc<RefCell<Vec<u32>>>;

/// One that notes its number.
fn noting(log: &Log, number: u32) -> impl FnMut(ProgressId, &mut Context<'_>) -> usize + 'static {
    let log = log.clone();
    move |_, _| {
        log.borrow_mut().push(number);
        1
    }
}

#[track_caller]
fn pass(cts: &mut Cts) {
    cts.poll(Timeout::Infinite).unwrap();
}

fn it_is_called_once_a_pass_until_it_is_removed(cts: &mut Cts) {
    let log = Log::default();
    let id = cts.add_progress(noting(&log, 7));
    assert!(log.borrow().is_empty(), "called when it was registered");
    for round in 1..=3 {
        pass(cts);
        assert_eq!(log.borrow().len(), round);
    }
    cts.remove_progress(id).unwrap();
    cts.look();
    assert_eq!(log.borrow().len(), 3);
}

fn no_pass_sleeps_while_one_is_registered(cts: &mut Cts) {
    let wait = cts.start(EventWait::new(cts.handle().event().unwrap()));
    let id = cts.add_progress(|_, _| 0);
    for _ in 0..3 {
        let polled = cts.poll(Timeout::Infinite).unwrap();
        assert_eq!((polled.completed, polled.progressed), (0, 0));
    }
    cts.remove_progress(id).unwrap();
    // And sleeps again after it.
    let start = cts.now();
    let deadline = start + std::time::Duration::from_millis(2);
    let mut passes = 0;
    while cts.now() < deadline {
        cts.poll(deadline).unwrap();
        passes += 1;
    }
    assert!(passes < 10, "{passes} passes in two milliseconds");
    assert!(!wait.is_done());
}

fn what_they_did_is_counted(cts: &mut Cts) {
    let before = cts.statistics();
    for did in [3, 0, 4] {
        cts.add_progress(move |_, _| did);
    }
    assert_eq!(cts.poll(Timeout::Infinite).unwrap().progressed, 7);
    assert_eq!(cts.poll(Timeout::Immediate).unwrap().progressed, 7);
    let after = cts.statistics();
    assert_eq!(after.progress_calls - before.progress_calls, 6);
    assert_eq!(after.progress_made - before.progress_made, 14);
}

fn they_are_called_in_the_order_in_which_they_came(cts: &mut Cts) {
    let log = Log::default();
    let ids: Vec<ProgressId> = (0..5).map(|number| cts.add_progress(noting(&log, number))).collect();
    cts.remove_progress(ids[1]).unwrap();
    cts.add_progress(noting(&log, 9));
    pass(cts);
    assert_eq!(*log.borrow(), [0, 2, 3, 4, 9]);
}

/// Also when it is the last that registers, and the first that goes (W-14).
fn one_that_is_registered_from_within_another_has_its_turn_in_the_next_pass(cts: &mut Cts) {
    let log = Log::default();
    let inner = log.clone();
    let mut added = 0;
    cts.add_progress(move |own, cx| {
        inner.borrow_mut().push(100 + added);
        cx.add_progress(noting(&inner, added));
        added += 1;
        if added == 3 {
            cx.remove_progress(own).unwrap();
        }
        0
    });
    for _ in 0..4 {
        pass(cts);
    }
    assert_eq!(*log.borrow(), [100, 101, 0, 102, 0, 1, 0, 1, 2]);
}

fn one_removes_itself_and_registers_another_at_once(cts: &mut Cts) {
    let log = Log::default();
    for number in 0..3 {
        let inner = log.clone();
        cts.add_progress(move |own, cx| {
            inner.borrow_mut().push(number);
            cx.remove_progress(own).unwrap();
            assert_eq!(cx.remove_progress(own).unwrap_err().code(), Code::NotFound);
            cx.add_progress(noting(&inner, number + 10)); // in the very place
            0
        });
    }
    pass(cts);
    pass(cts);
    assert_eq!(*log.borrow(), [0, 1, 2, 10, 11, 12], "none was lost, and none called twice (W-14)");
}

fn one_removes_the_next_and_the_one_before(cts: &mut Cts) {
    let log = Log::default();
    let ids = Rc::new(RefCell::new(Vec::new()));
    for number in 0..5u32 {
        let (inner, all) = (log.clone(), ids.clone());
        let id = cts.add_progress(move |_, cx| {
            inner.borrow_mut().push(number);
            if number == 2 && inner.borrow().len() == 3 {
                for other in [3, 1] {
                    let id: ProgressId = all.borrow()[other];
                    cx.remove_progress(id).unwrap();
                }
            }
            0
        });
        ids.borrow_mut().push(id);
    }
    pass(cts);
    pass(cts);
    assert_eq!(*log.borrow(), [0, 1, 2, 4, 0, 2, 4]);
}

fn all_are_removed_by_one_of_them(cts: &mut Cts) {
    for remover in 0..4usize {
        let log = Log::default();
        let ids = Rc::new(RefCell::new(Vec::<ProgressId>::new()));
        for number in 0..4usize {
            let (inner, all) = (log.clone(), ids.clone());
            let id = cts.add_progress(move |_, cx| {
                inner.borrow_mut().push(number as u32);
                if number == remover {
                    all.borrow().iter().for_each(|id| cx.remove_progress(*id).unwrap());
                }
                0
            });
            ids.borrow_mut().push(id);
        }
        pass(cts);
        cts.poll(Timeout::Immediate).unwrap();
        assert_eq!(log.borrow().len(), remover + 1, "by number {remover}");
    }
}

struct Count(Rc<Cell<u32>>);

impl Complete<Nop> for Count {
    fn done(op: Box<Op<Nop, Self>>, outcome: Outcome<Nop>, _: &mut Context<'_>) {
        outcome.result.unwrap();
        op.state.0.set(op.state.0.get() + 1);
    }
}

impl Complete<EventWait> for Count {
    fn done(op: Box<Op<EventWait, Self>>, outcome: Outcome<EventWait>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap_err().code(), Code::Cancelled);
        op.state.0.set(op.state.0.get() + 10);
    }
}

fn they_submit_and_cancel(cts: &mut Cts) {
    let count = Rc::new(Cell::new(0));
    let event = cts.handle().event().unwrap();
    let (inner, mut flight) = (count.clone(), None);
    cts.add_progress(move |own, cx| {
        match flight.take() {
            None => {
                cx.submit(Op::new(Nop, Count(inner.clone()))).unwrap();
                flight = Some(cx.submit(Op::new(EventWait::new(event.clone()), Count(inner.clone()))).unwrap());
            }
            Some(id) => {
                cx.cancel(id).unwrap();
                cx.remove_progress(own).unwrap();
            }
        }
        1
    });
    cts.until("both to end", || count.get() == 11);
    assert_eq!(cts.pending(), 0);
}

/// Registers one, and the next time removes it.
struct Toggle {
    log: Log,
    id: Option<ProgressId>,
}

impl Complete<Nop> for Toggle {
    fn done(mut op: Box<Op<Nop, Self>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
        match op.state.id {
            None => {
                op.state.id = Some(cx.add_progress(noting(&op.state.log, 1)));
                cx.submit(op).unwrap();
            }
            Some(id) => cx.remove_progress(id).unwrap(),
        }
    }
}

fn operations_register_and_remove_them(cts: &mut Cts) {
    let log = Log::default();
    cts.submit(Op::new(Nop, Toggle { log: log.clone(), id: None })).unwrap();
    cts.drain();
    let calls = log.borrow().len();
    cts.look();
    assert_eq!(log.borrow().len(), calls, "it was removed");
}

fn one_that_panics_stays_and_the_others_have_their_turn_next(cts: &mut Cts) {
    let log = Log::default();
    cts.add_progress(noting(&log, 0));
    let (inner, mut calls) = (log.clone(), 0);
    cts.add_progress(move |_, _| {
        calls += 1;
        inner.borrow_mut().push(calls * 100);
        assert!(calls > 1, "the first call panics");
        0
    });
    cts.add_progress(noting(&log, 2));
    let nop = cts.start(Nop);
    assert!(catch_unwind(AssertUnwindSafe(|| cts.poll(Timeout::Immediate))).is_err());
    assert_eq!(*log.borrow(), [0, 100]);
    cts.until("an operation beside it", || nop.is_done());
    assert_eq!(log.borrow()[2..5], [0, 200, 2]);
}

fn what_one_owns_goes_with_its_end(cts: &mut Cts) {
    let owned = Rc::new(Cell::new(0));
    let inner = owned.clone();
    let id = cts.add_progress(move |_, _| inner.get());
    cts.remove_progress(id).unwrap();
    assert_eq!(Rc::strong_count(&owned), 1);
    // Of the one that is being called, when it returns.
    let inner = owned.clone();
    cts.add_progress(move |own, cx| {
        cx.remove_progress(own).unwrap();
        inner.set(Rc::strong_count(&inner));
        0
    });
    pass(cts);
    assert_eq!((owned.get(), Rc::strong_count(&owned)), (2, 1));
}

fn an_identity_that_has_ended_or_is_anothers_is_not_found(cts: &mut Cts) {
    let first = cts.add_progress(|_, _| 0);
    cts.remove_progress(first).unwrap();
    let second = cts.add_progress(|_, _| 0);
    assert_ne!(first, second);
    assert_eq!(cts.remove_progress(first).unwrap_err().code(), Code::NotFound);
    let mut other = Cts::beside(cts.config);
    assert_eq!(other.remove_progress(second).unwrap_err().code(), Code::NotFound);
    cts.remove_progress(second).unwrap();
}

fn a_shutdown_ends_them_before_anything_else(cts: &mut Cts) {
    let owned = Rc::new(Cell::new(0));
    let inner = owned.clone();
    cts.add_progress(move |_, _| {
        inner.set(inner.get() + 1);
        0
    });
    let wait = cts.start(EventWait::new(cts.handle().event().unwrap()));
    pass(cts);
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!((owned.get(), Rc::strong_count(&owned)), (1, 1));
    assert_eq!(wait.only().status().code(), Code::Cancelled);
}

/// Registers a function when it ends.
struct Registers(Rc<Cell<u32>>);

impl Complete<EventWait> for Registers {
    fn done(op: Box<Op<EventWait, Self>>, _: Outcome<EventWait>, cx: &mut Context<'_>) {
        let called = op.state.0.clone();
        let id = cx.add_progress(move |_, _| {
            called.set(called.get() + 1);
            0
        });
        assert_eq!(Rc::strong_count(&op.state.0), 2, "what it owns was kept");
        assert_eq!(cx.remove_progress(id).unwrap_err().code(), Code::NotFound);
    }
}

fn one_that_comes_in_a_shutdown_has_ended_with_it(cts: &mut Cts) {
    let called = Rc::new(Cell::new(0));
    let event = cts.handle().event().unwrap();
    cts.submit(Op::new(EventWait::new(event), Registers(called.clone()))).unwrap();
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!((called.get(), Rc::strong_count(&called)), (0, 1));
}

//! Timers that are called off and made anew, in virtual time: none is due before its place has been left.

#![cfg(not(loom))]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proact::operation::{Complete, Context, Op, Outcome, Timer};
use proact::proactor::Proactor;
use proact::simulated::{Stalled, World};
use proact::time::Timeout;

type Log = Rc<RefCell<Vec<(char, bool)>>>;

struct Note(char, Log);

impl Complete<Timer> for Note {
    fn done(op: Box<Op<Timer, Note>>, outcome: Outcome<Timer>, _: &mut Context<'_>) {
        op.state.1.borrow_mut().push((op.state.0, outcome.result.is_ok()));
    }
}

/// Goes on until nothing is left to happen.
fn run(world: &World, proactor: &mut Proactor) {
    assert_eq!(world.run(&mut [proactor], Duration::from_secs(120)).unwrap(), Stalled::Done);
}

#[test]
fn a_place_that_was_left_is_taken_over_and_the_order_is_that_of_the_submits() {
    let world = World::new(0);
    let mut proactor = world.host("one").builder().build().unwrap();
    let log = Log::default();
    let (soon, far) = (proactor.now() + Duration::from_millis(2), proactor.now() + Duration::from_secs(60));
    let timer = |name, at| Op::new(Timer::new(at), Note(name, log.clone()));
    let first = proactor.submit(timer('a', far)).unwrap();
    let second = proactor.submit(timer('b', soon)).unwrap();
    proactor.submit(timer('c', soon)).unwrap();
    // Both places are left: the first for an earlier timer, which has to move, the second for one of the same time.
    for (id, name) in [(first, 'd'), (second, 'e')] {
        proactor.cancel(id).unwrap();
        proactor.poll(Timeout::Immediate).unwrap();
        proactor.submit(timer(name, soon)).unwrap();
    }
    assert_eq!(proactor.next_timer(), Some(soon));
    run(&world, &mut proactor);
    // What was cancelled stands in the log too.
    let mut fired = log.borrow().clone();
    fired.retain(|&(_, fired)| fired);
    let names: String = fired.iter().map(|&(name, _)| name).filter(|name| "cde".contains(*name)).collect();
    assert_eq!(names, "cde", "{:?}", log.borrow());
    assert_eq!(proactor.next_timer(), None, "nothing is left of what was called off");
}

#[test]
fn a_place_that_is_taken_over_for_the_same_time_is_behind_those_that_were_set_to_it_since() {
    let world = World::new(0);
    let mut proactor = world.host("one").builder().build().unwrap();
    let log = Log::default();
    let (first, soon) = (proactor.now() + Duration::from_millis(2), proactor.now() + Duration::from_millis(3));
    let timer = |name, at| Op::new(Timer::new(at), Note(name, log.clone()));
    // So that the place that is left does not stand first, where it would go at once.
    proactor.submit(timer('a', first)).unwrap();
    let left = proactor.submit(timer('b', soon)).unwrap();
    proactor.submit(timer('c', soon)).unwrap();
    proactor.cancel(left).unwrap();
    proactor.poll(Timeout::Immediate).unwrap();
    proactor.submit(timer('d', soon)).unwrap();
    run(&world, &mut proactor);
    let fired: String = log.borrow().iter().filter(|&&(_, fired)| fired).map(|&(name, _)| name).collect();
    assert_eq!(fired, "acd", "{:?}", log.borrow());
}

//! Turns under every interleaving: `ci/loom.sh loom_tests::loom_turn`.

use std::pin::pin;

use loom::thread;

use super::*;
use crate::atomic::model::Rung;

/// Waits for its turn as an invocation does.
fn enter(gate: &Gate) {
    if gate.try_enter() {
        return;
    }
    let rung = Rung::new();
    let waker = rung.waker();
    let mut turn = pin!(Turn(gate.join()));
    while turn.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        rung.wait();
    }
}

#[test]
fn loom_turns_are_one_after_another_and_none_is_lost() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        let inside = Arc::new(loom::cell::UnsafeCell::new(0));
        let call = |gate: Arc<Gate>, inside: Arc<loom::cell::UnsafeCell<i32>>| {
            enter(&gate);
            // SAFETY: only who has the turn does this, which is what loom looks at.
            #[allow(unsafe_code)]
            inside.with_mut(|inside| unsafe { *inside += 1 });
            gate.leave();
        };
        let others = [(); 2].map(|()| {
            let (gate, inside) = (gate.clone(), inside.clone());
            thread::spawn(move || call(gate, inside))
        });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(gate.try_enter() && gate.queue().is_empty());
        // SAFETY: the others have ended.
        #[allow(unsafe_code)]
        inside.with(|inside| assert_eq!(unsafe { *inside }, 2));
    });
}

#[test]
fn loom_turns_that_are_given_up_go_to_the_next() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        assert!(gate.try_enter());
        let (first, second) = (gate.join(), gate.join());
        let shared = gate.clone();
        let giver = thread::spawn(move || shared.give_up(&first));
        gate.leave();
        giver.join().unwrap();
        assert!(second.is_granted() && !gate.try_enter());
        gate.leave();
        assert!(gate.try_enter());
    });
}

#[test]
fn loom_turns_are_first_come_first_served() {
    loom::model(|| {
        let gate = Arc::new(Gate::default());
        assert!(gate.try_enter());
        let waits = gate.join();
        let shared = gate.clone();
        let late = thread::spawn(move || assert!(!shared.try_enter(), "another stands in line"));
        gate.leave();
        late.join().unwrap();
        assert!(waits.is_granted());
    });
}

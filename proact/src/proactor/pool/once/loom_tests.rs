//! Every interleaving of those who ask, make and close.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Asked, Once};
use crate::status::{Code, Operation, Status};

fn failure() -> Status {
    Status::new(Code::Unavailable, Operation::ProactorPool)
}

/// Asks, and says whether it got the thing, has to end it, or came too late.
fn ask(once: &Once<usize>, makes: &AtomicUsize) -> &'static str {
    let make = || {
        let made = makes.fetch_add(1, Ordering::Relaxed) + 1;
        // Others run while it is made.
        thread::yield_now();
        Ok(made)
    };
    match once.get_or_make(make).unwrap() {
        Asked::There(_) => "there",
        Asked::MadeTooLate(_) => "too late",
        Asked::Closed => "closed",
        Asked::ByItsMaker => "maker",
    }
}

#[test]
fn loom_two_who_ask_get_the_same_and_it_is_made_once() {
    loom::model(|| {
        let (once, makes) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        let (theirs, their_makes) = (once.clone(), makes.clone());
        let other = thread::spawn(move || ask(&theirs, &their_makes));
        assert_eq!(ask(&once, &makes), "there");
        assert_eq!(other.join().unwrap(), "there");
        assert_eq!((makes.load(Ordering::Relaxed), once.get()), (1, Some(&1)));
    });
}

/// Whatever was made is known to the one who closes, or told to its maker: no thread is left that nobody stops.
#[test]
fn loom_what_is_made_while_another_closes_is_ended_by_one_of_them() {
    loom::model(|| {
        let (once, makes) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        let (theirs, their_makes) = (once.clone(), makes.clone());
        let other = thread::spawn(move || ask(&theirs, &their_makes));
        let seen = once.close().is_some();
        let settled = once.settled(None).unwrap().is_some();
        let asked = other.join().unwrap();
        match asked {
            "closed" => assert_eq!((seen, settled, makes.load(Ordering::Relaxed)), (false, false, 0)),
            "there" => assert!(seen && settled, "made before the close, and not seen by it"),
            "too late" => assert!(!seen && settled),
            other => panic!("{other}"),
        }
        assert_eq!(ask(&once, &makes), "closed");
    });
}

#[test]
fn loom_one_who_waits_for_a_maker_that_fails_makes_it() {
    loom::model(|| {
        let (once, makes) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        let theirs = once.clone();
        let other = thread::spawn(move || theirs.get_or_make(|| Err(failure())).is_err());
        assert_eq!(ask(&once, &makes), "there");
        other.join().unwrap();
        assert_eq!(once.get(), Some(&1));
    });
}

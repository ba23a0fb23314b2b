//! What it costs to wake a futex: one that nobody waits for, and one that a thread or a proactor sleeps on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proact::operation::{FutexWait, FutexWake};
use proact::resource::FutexWord;
use rustix::thread::futex;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::peer::{Peer, pinned};
use super::tally;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("futex/wake-none", wake_none),
    Measure::each("futex/operation-none", operation_none),
    Measure::each("futex/across", across),
];

/// Wakes in a round of the row that only wakes.
const WAKES: u32 = 64;

/// The call, on a word that nobody waits for; the floor is the bare system call.
fn wake_none() -> Result<Figures, Failure> {
    let (word, raw) = (FutexWord::new(0), AtomicU32::new(0));
    let mut round = || (0..WAKES).for_each(|_| assert_eq!(word.wake(1), 0));
    let floor = || (0..WAKES).for_each(|_| assert_eq!(futex::wake(&raw, futex::Flags::PRIVATE, 1), Ok(0)));
    let timing = compare(&mut round, Some(floor));
    const COUNTED: u32 = 100;
    let counted = tally::count(|| (0..COUNTED).for_each(|_| round()));
    Ok(Figures::of(timing, WAKES.into(), "", counted.over(f64::from(COUNTED * WAKES))))
}

/// The same as an operation.
fn operation_none(config: Configuration) -> Result<Figures, Failure> {
    let of = Together::new([FutexWake::new(FutexWord::new(0), 1)]);
    let mut stage = Stage { proactor: config.builder().build()?, of };
    let raw = AtomicU32::new(0);
    let round = |stage: &mut Stage<Together<FutexWake>>| stage.of.round(&mut stage.proactor);
    let floor = || assert_eq!(futex::wake(&raw, futex::Flags::PRIVATE, 1), Ok(0));
    let timing = compare(|| round(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", round))
}

/// Adds one to a word and wakes who sleeps on it.
fn signal(word: &AtomicU32) {
    word.fetch_add(1, Ordering::Release);
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}

/// Sleeps while the word is `seen`. Answers what it is then.
fn wait(word: &AtomicU32, seen: u32) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        let _ = futex::wait(word, futex::Flags::PRIVATE, seen, None);
    }
}

/// A thread that answers every signal on the one word by a signal on the other, in its own way.
fn answering(word: Arc<AtomicU32>, mut answer: impl FnMut() + Send + 'static) -> Peer {
    let last = word.clone();
    let body = move |stop: &AtomicBool| {
        let mut seen = 0;
        while !stop.load(Ordering::SeqCst) {
            seen = wait(&word, seen);
            answer();
        }
    };
    Peer::spawn(body, move || signal(&last))
}

/// There and back to another thread on the same processor, which sleeps on a futex; here an operation waits for the
/// answer. The floor waits by the bare system call.
fn across(config: Configuration) -> Result<Figures, Failure> {
    let _pinned = pinned()?;
    let there = Arc::new(AtomicU32::new(0));
    let back = FutexWord::new(0);
    let answers = back.clone();
    let _peer = answering(there.clone(), move || {
        answers.atomic().fetch_add(1, Ordering::Release);
        answers.wake(1);
    });
    let of = Together::new([FutexWait::new(back.clone(), 0)]);
    let mut stage = Stage { proactor: config.builder().build()?, of };
    let round = |stage: &mut Stage<Together<FutexWait>>| {
        let seen = back.atomic().load(Ordering::Acquire);
        stage.of.ready.iter_mut().for_each(|op| op.kind.expected = seen);
        stage.of.submit(&mut stage.proactor);
        signal(&there);
        stage.of.collect(&mut stage.proactor);
        // A wait may end before the word has changed.
        wait(back.atomic(), seen);
    };
    let raw = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let (asked, mine) = (raw.clone(), raw.clone());
    let last = raw.clone();
    let body = move |stop: &AtomicBool| {
        let mut seen = 0;
        while !stop.load(Ordering::SeqCst) {
            seen = wait(&asked[0], seen);
            signal(&mine[1]);
        }
    };
    let _floor = Peer::spawn(body, move || signal(&last[0]));
    let floor = || {
        let seen = raw[1].load(Ordering::Acquire);
        signal(&raw[0]);
        wait(&raw[1], seen);
    };
    let timing = compare(|| round(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", round))
}

//! What it costs to tell another: notifications, events, and waking a poll thread.
//!
//! Two threads that tell each other in turn are pinned to one processor, on both sides of a row: then a round trip is
//! two switches and what is paid beside them, and not what another processor's sleep costs on this machine.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use proact::operation::{Complete, Context, EventWait, Kind, NotificationWait, Op, Outcome};
use proact::proactor::{Handle, Proactor};
use proact::status::Status;
use proact::sync::{Epoch, Notification};
use proact::time::Timeout;
use rustix::thread::futex;

use super::compare::{Timing, compare};
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::peer::{Peer, pinned};
use super::raw::{RawBell, RawEvent};
use super::tally::{self, Counted};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("notification/signal", signal),
    Measure::each("notification/wait", |config| waits(config, 1)),
    Measure::each("notification/fan-out/8", |config| waits(config, 8)),
    Measure::each("notification/fan-out/64", |config| waits(config, 64)),
    Measure::each("notification/fan-out/256", |config| waits(config, 256)),
    Measure::once("notification/blocking", blocking),
    Measure::each("notification/round-trip", round_trip),
    Measure::each("wake", wake),
    Measure::each("event/set-wait", event),
];

/// Signals in a round of the row that only signals: one is shorter than a look at the clock.
const SIGNALS: u32 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

fn failed(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

fn no_floor(error: io::Error) -> Failure {
    Failure::new(format!("the floor: {error}"))
}

fn figures(timing: Timing, each: u32, without: &'static str, counted: Counted) -> Figures {
    let each = f64::from(each);
    Figures::of(timing, each, without, counted.over(f64::from(COUNTED_ROUNDS) * each))
}

/// Signals that nobody observes; the floor is the addition and the fence without which a waiter could be missed.
fn signal() -> Result<Figures, Failure> {
    let notification = Notification::new();
    let (epoch, observers) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut subject = || (0..SIGNALS).for_each(|_| std::hint::black_box(&notification).signal(1));
    let floor = || {
        for _ in 0..SIGNALS {
            std::hint::black_box(&epoch).fetch_add(1, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            std::hint::black_box(observers.load(Ordering::Relaxed));
        }
    };
    let timing = compare(&mut subject, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| subject()));
    Ok(figures(timing, SIGNALS, "", counted))
}

/// Operations between their flights.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Home<K> = Vec<Box<Op<K, Return<K>>>>;

/// Gives its operation back.
struct Return<K: Kind> {
    home: Rc<Cell<Home<K>>>,
}

impl<K: Kind> Complete<K> for Return<K> {
    #[inline]
    fn done(op: Box<Op<K, Return<K>>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_ok(), "a wait succeeds");
        let home = op.state.home.clone();
        let mut all = home.take();
        all.push(op);
        home.set(all);
    }
}

/// Operations that are submitted, told, and come back, over and over.
struct Waits<K: Kind> {
    proactor: Proactor,
    ready: Home<K>,
    home: Rc<Cell<Home<K>>>,
}

impl<K: Kind> Waits<K> {
    fn new(proactor: Proactor, count: u32, mut kind: impl FnMut(&Proactor) -> K) -> Waits<K> {
        let home = Rc::new(Cell::new(Vec::with_capacity(count as usize)));
        let ready = (0..count).map(|_| Op::new(kind(&proactor), Return { home: home.clone() })).collect();
        Waits { proactor, ready, home }
    }

    fn enters(&self) -> u64 {
        self.proactor.statistics().enters
    }

    #[inline]
    fn round(&mut self, tell: impl FnOnce()) {
        let count = self.ready.len();
        for op in self.ready.drain(..) {
            self.proactor.submit(op).expect("there is room");
        }
        tell();
        let mut ended = 0;
        while ended < count {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        self.ready = self.home.replace(std::mem::take(&mut self.ready));
    }
}

/// `count` operations wait for one notification, which is signalled once. Figures are of the whole round: submits,
/// signal and callbacks. The floor of one is an eventfd that is written and read.
fn waits(config: Configuration, count: u32) -> Result<Figures, Failure> {
    let notification = Notification::new();
    let proactor = config.builder().build().map_err(failed(config))?;
    let mut waits = Waits::new(proactor, count, |_| NotificationWait::new(notification.clone()));
    let round = |waits: &mut Waits<NotificationWait>| waits.round(|| notification.signal(1));
    let timing = if count == 1 {
        let event = RawEvent::new().map_err(no_floor)?;
        compare(|| round(&mut waits), Some(|| event.round()))
    } else {
        compare(|| round(&mut waits), None::<fn()>)
    };
    let counted = tally::rounds(COUNTED_ROUNDS, &mut waits, round, Waits::enters);
    Ok(figures(timing, 1, "one signal is one wake, however many wait", counted))
}

/// A wait for an event that is set after the submit; the floor is a bare loop that sleeps for one that is written.
fn event(config: Configuration) -> Result<Figures, Failure> {
    let proactor = config.builder().build().map_err(failed(config))?;
    let event = proactor.handle().event().map_err(failed(config))?;
    let mut waits = Waits::new(proactor, 1, |_| EventWait::new(event.clone()));
    let raw = RawEvent::new().map_err(no_floor)?;
    let mut bell = RawBell::new(config, &raw).map_err(no_floor)?;
    let round = |waits: &mut Waits<EventWait>| waits.round(|| event.set().expect("the event is open"));
    let floor = || {
        raw.ring();
        bell.wait();
    };
    let timing = compare(|| round(&mut waits), Some(floor));
    let counted = tally::rounds(COUNTED_ROUNDS, &mut waits, round, Waits::enters);
    Ok(figures(timing, 1, "", counted))
}

/// Two threads that block, each for a notification of the other's; the floor is the same with two bare futexes.
fn blocking() -> Result<Figures, Failure> {
    let _pinned = pinned().map_err(no_floor)?;
    let (here, there) = (Notification::new(), Notification::new());
    let (mine, theirs) = (here.clone(), there.clone());
    let body = move |stop: &AtomicBool| {
        let mut seen = Epoch::new(0);
        while !stop.load(Ordering::SeqCst) {
            theirs.wait_since(seen, Timeout::Infinite).expect("this system has futexes");
            seen = theirs.epoch();
            mine.signal(1);
        }
    };
    let last = there.clone();
    let _peer = Peer::spawn(body, move || last.signal(1));
    let mut subject = || {
        let since = here.epoch();
        there.signal(1);
        here.wait_since(since, Timeout::Infinite).expect("this system has futexes");
    };
    let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let (mine, last) = (words.clone(), words.clone());
    let _floor = Peer::spawn(
        move |stop| {
            let mut seen = 0;
            while !stop.load(Ordering::SeqCst) {
                seen = futex_wait(&mine[1], seen);
                futex_signal(&mine[0]);
            }
        },
        move || futex_signal(&last[1]),
    );
    let floor = || {
        let seen = words[0].load(Ordering::Acquire);
        futex_signal(&words[1]);
        futex_wait(&words[0], seen);
    };
    let timing = compare(&mut subject, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| subject()));
    Ok(figures(timing, 1, "", counted))
}

fn futex_wait(word: &AtomicU32, seen: u32) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        let _ = futex::wait(word, futex::Flags::PRIVATE, seen, None);
    }
}

fn futex_signal(word: &AtomicU32) {
    word.fetch_add(1, Ordering::Release);
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}

/// Polls until somebody has woken it.
fn until_woken(proactor: &mut Proactor) {
    while !proactor.poll(Timeout::Infinite).expect("the backend works").woken {}
}

/// Two proactors on two threads that wake each other; the floor is two bare loops over eventfds, on the same interface
/// of the kernel.
fn wake(config: Configuration) -> Result<Figures, Failure> {
    let _pinned = pinned().map_err(no_floor)?;
    let mut proactor = config.builder().build().map_err(failed(config))?;
    let back = proactor.handle().clone();
    let (sender, receiver) = std::sync::mpsc::channel::<Handle>();
    let body = move |stop: &AtomicBool| {
        let mut proactor = config.builder().build().expect("as the first one");
        sender.send(proactor.handle().clone()).expect("the other side listens");
        loop {
            until_woken(&mut proactor);
            if stop.load(Ordering::SeqCst) {
                return;
            }
            back.wake();
        }
    };
    // Which handle that will be is told by the thread itself.
    let there: Arc<std::sync::OnceLock<Handle>> = Arc::default();
    let last = there.clone();
    let _peer = Peer::spawn(body, move || last.get().into_iter().for_each(Handle::wake));
    let handle = receiver.recv().map_err(|_| Failure::new("the second proactor was not built"))?;
    let _ = there.set(handle.clone());
    let mut subject = || {
        handle.wake();
        until_woken(&mut proactor);
    };
    let timing = against_bells(config, &mut subject)?;
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| subject()));
    Ok(figures(timing, 1, "", counted))
}

/// The same by operations that wait for notifications: a submit and a callback on each side beside the wake.
fn round_trip(config: Configuration) -> Result<Figures, Failure> {
    let _pinned = pinned().map_err(no_floor)?;
    let (here, there) = (Notification::new(), Notification::new());
    let build = move || config.builder().build();
    let mut waits = Waits::new(build().map_err(failed(config))?, 1, |_| NotificationWait::new(here.clone()));
    let (mine, theirs) = (here.clone(), there.clone());
    let body = move |stop: &AtomicBool| {
        let proactor = build().expect("as the first one");
        let wait = NotificationWait::since(theirs.clone(), Epoch::new(0));
        let mut waits = Waits::new(proactor, 1, |_| wait.clone());
        while !stop.load(Ordering::SeqCst) {
            waits.round(|| ());
            let seen = theirs.epoch();
            waits.ready.iter_mut().for_each(|op| op.kind.set_since(Some(seen)));
            mine.signal(1);
        }
    };
    let last = there.clone();
    let _peer = Peer::spawn(body, move || last.signal(1));
    let mut subject = || waits.round(|| there.signal(1));
    let timing = against_bells(config, &mut subject)?;
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| subject()));
    Ok(figures(timing, 1, "", counted))
}

/// Times `subject` against two bare loops that ring each other.
fn against_bells(config: Configuration, subject: &mut impl FnMut()) -> Result<Timing, Failure> {
    let (here, there) = (RawEvent::new().map_err(no_floor)?, RawEvent::new().map_err(no_floor)?);
    let mut bell = RawBell::new(config, &here).map_err(no_floor)?;
    let (mine, theirs) = (here.clone(), there.clone());
    let body = move |stop: &AtomicBool| {
        let mut bell = RawBell::new(config, &theirs).expect("as the first one");
        while !stop.load(Ordering::SeqCst) {
            bell.wait();
            mine.ring();
        }
    };
    let last = there.clone();
    let _floor = Peer::spawn(body, move || last.ring());
    Ok(compare(
        subject,
        Some(|| {
            there.ring();
            bell.wait();
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn rounds_bring_every_operation_back_whatever_is_told() {
        for config in settings() {
            let Ok(proactor) = config.builder().build() else {
                eprintln!("skipped: {}", config.name);
                continue;
            };
            let notification = Notification::new();
            let mut waits = Waits::new(proactor, 5, |_| NotificationWait::new(notification.clone()));
            (0..3).for_each(|_| waits.round(|| notification.signal(1)));
            assert_eq!((waits.ready.len(), waits.proactor.statistics().completed), (5, 15));
        }
    }
}

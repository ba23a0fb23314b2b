//! Timers: what they cost among a hundred thousand others, and how late they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proact::operation::{Complete, Context, Op, OperationId, Outcome, Timer};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::time::{Time, Timeout};

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally::{self, Counted};
use crate::config::Configuration;
use crate::random::Random;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("timer/replace/100000", replace),
    Measure::each("timer/reset/100000", reset),
    Measure::each("timer/insert/100000", |config| half(config, Half::Insert)),
    Measure::each("timer/cancel/100000", |config| half(config, Half::Cancel)),
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure::each("timer/late/100us", |config| super::timer_late::late(config, Duration::ZERO)),
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure::each("timer/late-spin/100us", |config| super::timer_late::late(config, super::timer_late::SPIN)),
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure::each("timer/cpu/100us", |config| super::timer_late::cpu(config, Duration::ZERO)),
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure::each("timer/cpu-spin/100us", |config| super::timer_late::cpu(config, super::timer_late::SPIN)),
];

/// How many timers wait.
fn waiting() -> usize {
    effort::size(100_000, 1000)
}
/// Timers that one round of the halves inserts or cancels.
const BATCH: usize = 256;
/// Rounds of the halves: odd, so that a median is one of them.
const ROUNDS: usize = 401;
/// Timers over which costs are counted.
fn counted_rounds() -> u32 {
    effort::size(10_000, 100) as u32
}
/// How far in the future they lie.
const FAR: Duration = Duration::from_secs(60);

/// Where timers go when they have ended, each with its place.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<Timer, Return>>>>;

struct Return(&'static Pile);

impl Complete<Timer> for Return {
    #[inline]
    fn done(op: Box<Op<Timer, Return>>, _: Outcome<Timer>, _: &mut Context<'_>) {
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// A proactor with its timers.
struct Timers {
    proactor: Proactor,
    ids: Vec<OperationId>,
    pile: &'static Pile,
    random: Random,
    /// When the next timer is due: each is set to a little later than the one before, as deadlines are that are set
    /// anew when something arrives.
    next: Time,
}

impl Timers {
    fn new(config: Configuration) -> Result<Timers, Status> {
        let proactor = config.builder().operations(2 * waiting() as u32).build()?;
        // One vector a row lives to the program's end: cheaper to reach than a counted one.
        let pile: &'static Pile = Box::leak(Box::new(RefCell::new(Vec::with_capacity(BATCH))));
        let next = proactor.now() + FAR;
        let mut timers = Timers { proactor, ids: Vec::new(), pile, random: Random::new(1), next };
        for _ in 0..waiting() {
            let id = timers.insert(Op::new(Timer::new(next), Return(pile)));
            timers.ids.push(id);
        }
        // Until nothing lies in the order in which it was made.
        (0..2 * waiting()).for_each(|_| timers.replace());
        Ok(timers)
    }

    #[inline]
    fn insert(&mut self, mut op: Box<Op<Timer, Return>>) -> OperationId {
        self.next = self.next + Duration::from_nanos(100);
        op.kind.deadline = self.next;
        self.proactor.submit(op).expect("a timer is valid")
    }

    fn enters(&self) -> u64 {
        self.proactor.statistics().enters
    }

    fn poll(&mut self) {
        self.proactor.poll(Timeout::Immediate).expect("the backend works");
    }

    /// Cancels those at `places`, which are told in one pass.
    #[inline]
    fn cancel_all(&mut self, places: &[usize]) {
        for &place in places {
            self.proactor.cancel(self.ids[place]).expect("it waits");
        }
        self.poll();
    }

    /// Submits those that were cancelled again, by way of a vector with room for them.
    #[allow(clippy::vec_box)] // as above
    #[inline]
    fn insert_all(&mut self, places: &[usize], ready: &mut Vec<Box<Op<Timer, Return>>>) {
        std::mem::swap(ready, &mut self.pile.borrow_mut());
        assert_eq!(ready.len(), places.len(), "all were cancelled and told");
        for (&place, op) in places.iter().zip(ready.drain(..)) {
            self.ids[place] = self.insert(op);
        }
    }

    /// Sets any of them to a later time.
    #[inline]
    fn reset(&mut self) {
        let place = self.random.below(self.ids.len());
        self.next = self.next + Duration::from_nanos(100);
        self.proactor.reset_timer(self.ids[place], self.next).expect("it waits");
    }

    /// Cancels any of them, waits for its callback, and submits it again.
    #[inline]
    fn replace(&mut self) {
        let place = self.random.below(self.ids.len());
        self.proactor.cancel(self.ids[place]).expect("it waits");
        self.poll();
        let op = self.pile.borrow_mut().pop().expect("it was cancelled");
        self.ids[place] = self.insert(op);
    }
}

fn failed(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

/// The same in the standard library's sorted map, keyed by time and number: what a program has without a proactor, and
/// it has told nobody.
fn sorted_map() -> impl FnMut() {
    let mut map = BTreeMap::new();
    let mut random = Random::new(1);
    let (mut number, mut next) = (0u64, FAR.as_nanos() as u64);
    let mut insert = move |map: &mut BTreeMap<(u64, u64), usize>, place| {
        (number, next) = (number + 1, next + 100);
        map.insert((next, number), place);
        (next, number)
    };
    let mut keys: Vec<(u64, u64)> = (0..waiting()).map(|place| insert(&mut map, place)).collect();
    move || {
        let place = random.below(waiting());
        assert_eq!(map.remove(&keys[place]), Some(place));
        keys[place] = insert(&mut map, place);
    }
}

/// A timer among many is cancelled, tells so, and is set anew: one pass of the proactor each.
fn replace(config: Configuration) -> Result<Figures, Failure> {
    let mut timers = Timers::new(config).map_err(failed(config))?;
    let timing = compare(|| timers.replace(), Some(sorted_map()));
    let counted = tally::rounds(counted_rounds(), &mut timers, Timers::replace, Timers::enters);
    Ok(Figures::of(timing, 1.0, "", counted.over(f64::from(counted_rounds()))))
}

/// A timer among many is set to a later time.
fn reset(config: Configuration) -> Result<Figures, Failure> {
    let mut timers = Timers::new(config).map_err(failed(config))?;
    let timing = compare(|| timers.reset(), Some(sorted_map()));
    let counted = tally::rounds(counted_rounds(), &mut timers, Timers::reset, Timers::enters);
    Ok(Figures::of(timing, 1.0, "", counted.over(f64::from(counted_rounds()))))
}

#[derive(Clone, Copy, PartialEq)]
enum Half {
    Insert,
    Cancel,
}

/// Many are cancelled at once and told in one pass, and submitted one by one. Timed and counted is one of the two.
fn half(config: Configuration, half: Half) -> Result<Figures, Failure> {
    let mut timers = Timers::new(config).map_err(failed(config))?;
    let mut ready = Vec::with_capacity(BATCH);
    let mut places = Vec::with_capacity(BATCH);
    let rounds = effort::rounds(ROUNDS);
    let mut samples = Vec::with_capacity(rounds);
    let mut taken = vec![usize::MAX; waiting()];
    let (mut counted, mut entered) = (Counted::default(), 0);
    for round in 0..rounds {
        places.clear();
        while places.len() < BATCH {
            let place = timers.random.below(waiting());
            if std::mem::replace(&mut taken[place], round) != round {
                places.push(place);
            }
        }
        let mut work = |timers: &mut Timers, which: Half| {
            let before = timers.enters();
            let mut spent = Duration::ZERO;
            let count = tally::count(|| {
                let start = Instant::now();
                match which {
                    Half::Cancel => timers.cancel_all(&places),
                    Half::Insert => timers.insert_all(&places, &mut ready),
                }
                spent = start.elapsed();
            });
            if which == half {
                samples.push(spent.as_nanos() as f64 / BATCH as f64);
                counted += count;
                entered += timers.enters() - before;
            }
        };
        work(&mut timers, Half::Cancel);
        work(&mut timers, Half::Insert);
    }
    counted.set_enters(entered);
    let costs = counted.over((rounds * BATCH) as f64);
    Ok(Figures::new(median(samples), Err("half of timer/replace, which has one"), costs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::whole;
    use proact::proactor::Choice;

    #[test]
    fn a_replaced_timer_waits_again_and_all_the_others_still_do() {
        let mut timers = Timers::new(whole(Choice::Poll)).unwrap();
        timers.replace();
        let statistics = timers.proactor.statistics();
        assert_eq!(statistics.queue_depth, waiting() as u64);
        assert_eq!(statistics.completed, 2 * waiting() as u64 + 1);
        assert!(timers.pile.borrow().is_empty());
    }
}

//! The wheel against a sorted map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use super::wheel::{REACH_NS, Wheel};

/// SplitMix64: every failure is found again from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Notes which timer woke it.
struct Bell {
    name: u64,
    log: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.log.lock().unwrap().push(self.name);
    }
}

/// Times, and then the order in which they were set, to names and places.
type Waiting = BTreeMap<(u64, u64), (u64, u32)>;

/// A wheel, and what it should do.
struct Pair {
    wheel: Wheel,
    waiting: Waiting,
    /// Never to fire.
    nowhere: Vec<(u64, u32)>,
    /// Not removed since.
    fired: Vec<(u64, u32)>,
    now: u64,
    set: u64,
    log: Arc<Mutex<Vec<u64>>>,
    seed: u64,
}

impl Pair {
    fn new(seed: u64, now: u64) -> Pair {
        let (waiting, log) = (Waiting::new(), Arc::default());
        Pair { wheel: Wheel::new(), waiting, nowhere: Vec::new(), fired: Vec::new(), now, set: 0, log, seed }
    }

    fn waker(&self, name: u64) -> Waker {
        Waker::from(Arc::new(Bell { name, log: self.log.clone() }))
    }

    /// Near and far, past and equal, and both ends.
    fn time(&self, random: &mut Random) -> u64 {
        match random.below(12) {
            0 => self.now.saturating_sub(random.below(1 << 20)),
            1 => self.now,
            2 => random.below(3),
            3 => u64::MAX - random.below(3),
            4 | 5 => {
                let nth = random.below(self.waiting.len().max(1) as u64) as usize;
                let beside = self.waiting.keys().nth(nth).map_or(self.now, |(at, _)| *at);
                beside.saturating_add(random.below(3)).saturating_sub(1)
            }
            6 => (self.now | 0xffff).saturating_add(random.below(3)),
            _ => self.now.saturating_add(random.next() >> random.below(64)),
        }
    }

    fn note(&mut self, at: u64, name: u64, slot: u32) {
        self.set += 1;
        if at == u64::MAX {
            self.nowhere.push((name, slot));
        } else {
            self.waiting.insert((at, self.set), (name, slot));
        }
    }

    fn insert(&mut self, at: u64, name: u64) {
        let slot = self.wheel.insert(at, self.waker(name)).0;
        let used = self.waiting.values().chain(&self.nowhere).chain(&self.fired).any(|(_, other)| *other == slot);
        assert!(!used, "seed {}: place {slot} was given twice", self.seed);
        self.note(at, name, slot);
    }

    /// One that waits.
    fn any(&self, random: &mut Random) -> Option<(u64, u64)> {
        let nth = random.below(self.waiting.len().max(1) as u64) as usize;
        self.waiting.keys().nth(nth).copied()
    }

    fn remove(&mut self, random: &mut Random) {
        if let Some(key) = self.any(random) {
            let (_, slot) = self.waiting.remove(&key).unwrap();
            self.give_up(slot, true, random);
        }
    }

    /// Gives up a place, and looks at it now or leaves that to what comes next.
    fn give_up(&mut self, slot: u32, waits: bool, random: &mut Random) {
        drop(self.wheel.remove(slot));
        if random.below(2) == 0 {
            assert_eq!(self.wheel.settle().is_some(), waits, "seed {}: it has its waker", self.seed);
        }
    }

    fn reset(&mut self, random: &mut Random) {
        let at = self.time(random);
        let known = match random.below(8) {
            0 => self.nowhere.pop(),
            1 => self.fired.pop().inspect(|&(name, slot)| {
                let waker = self.waker(name);
                assert!(self.wheel.set_waker(slot, waker).is_none(), "seed {}: it has fired", self.seed);
            }),
            _ => self.any(random).and_then(|key| self.waiting.remove(&key)),
        };
        if let Some((name, slot)) = known {
            drop(self.wheel.reset(slot, at));
            assert!(!self.wheel.has_fired(slot), "seed {}: it waits anew", self.seed);
            self.note(at, name, slot);
        }
    }

    /// Fires one after another, and compares.
    fn fire(&mut self) {
        drop(self.wheel.settle());
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (key, (name, slot)) = entry.remove_entry();
            let waker = self.wheel.fire(self.now);
            let waker = waker.unwrap_or_else(|| panic!("seed {}: {key:?} is due at {}", self.seed, self.now));
            waker.wake();
            assert_eq!(self.log.lock().unwrap().pop(), Some(name), "seed {}: {key:?} is first", self.seed);
            assert!(self.wheel.has_fired(slot));
            self.fired.push((name, slot));
        }
        assert!(self.wheel.fire(self.now).is_none(), "seed {}: nothing is due at {}", self.seed, self.now);
    }

    /// Asks when to fire next, and compares.
    fn next(&mut self) -> Option<u64> {
        let (now, seed) = (self.now, self.seed);
        let first = self.waiting.first_key_value().map(|((at, _), _)| *at);
        drop(self.wheel.settle());
        let next = self.wheel.next(|| now);
        match (next, first) {
            (None, None) => assert!(self.wheel.is_idle(), "seed {seed}"),
            (Some(next), Some(first)) if first.saturating_sub(now) <= REACH_NS => {
                assert_eq!(next, first, "seed {seed}: at {now}");
            }
            (Some(next), Some(first)) => assert!(next > now && next <= first, "seed {seed}: {now} {next} {first}"),
            _ => panic!("seed {seed}: {next:?} instead of {first:?}"),
        }
        next
    }
}

#[test]
fn any_mix_of_calls_agrees_with_a_sorted_map() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let start = random.next() >> random.below(64);
        let mut pair = Pair::new(seed, start);
        for step in 0..300 {
            match random.below(if step < 150 { 10 } else { 16 }) {
                0..6 => {
                    let at = pair.time(&mut random);
                    pair.insert(at, step);
                }
                6 | 7 => pair.reset(&mut random),
                8 | 10 | 11 => pair.remove(&mut random),
                9 | 12 | 13 => {
                    // To when there is something to do, as a runtime does.
                    if let Some(next) = pair.next() {
                        pair.now = pair.now.max(next);
                    }
                    pair.fire();
                }
                _ => {
                    pair.now = pair.now.saturating_add(random.next() >> random.below(64)).min(u64::MAX - 1);
                    pair.fire();
                }
            }
            if random.below(8) == 0 {
                if let Some((_, slot)) = pair.fired.pop() {
                    pair.give_up(slot, false, &mut random);
                }
            }
        }
        pair.now = u64::MAX - 1;
        pair.fire();
        assert!(pair.wheel.is_idle(), "seed {seed}: what never comes is nothing to wait for");
    }
}

#[test]
fn the_way_to_a_far_time_has_few_stops() {
    for bits in 0..64 {
        let mut pair = Pair::new(bits, 12_345_678_901);
        pair.insert((1 << bits) + pair.now, 0);
        let mut stops = 0;
        while let Some(next) = pair.next() {
            pair.now = next;
            pair.fire();
            stops += 1;
        }
        assert!(stops <= 8, "{stops} stops on 2^{bits} ns");
        assert_eq!(pair.now, (1 << bits) + 12_345_678_901, "and the last is the time itself");
    }
}

#[test]
fn places_are_used_again_and_the_dead_are_cleared_away() {
    let mut pair = Pair::new(0, 1 << 40);
    let mut random = Random(0);
    let slots: Vec<u32> = (0..1000).map(|_| pair.wheel.insert(pair.now + (1 << 20), pair.waker(0)).0).collect();
    // All are in the heap from here on.
    assert_eq!(pair.wheel.next(|| pair.now), Some(pair.now + (1 << 20)));
    let room = pair.wheel.room();
    for _ in 0..100_000 {
        let nth = random.below(1000) as usize;
        assert!(pair.wheel.remove(slots[nth]).is_none());
        let made = pair.wheel.insert(pair.now + (1 << 20), pair.waker(0));
        assert_eq!(made.0, slots[nth], "the place is taken over");
        assert!(made.1.is_some(), "and its waker handed out");
    }
    assert_eq!(pair.wheel.room().0, room.0);
    assert!(pair.wheel.room().1 <= 4096, "{:?}", pair.wheel.room());
}

/// Figures, not a check: `cargo test --release -p proact-async --lib wheel_costs -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn wheel_costs() {
    for (name, span) in [("far", 60_000_000_000), ("within 200 ms", 100_000_000)] {
        for count in [100, 10_000, 100_000] {
            for (kind, wheel) in [("wheel", Wheel::new()), ("heap alone", Wheel::heap())] {
                let each = replaced(wheel, count, span);
                println!("replace one of {count}, {name}, {kind}: {each:.0} ns");
            }
        }
    }
}

/// Replaces timers for `span` to twice that, and does in between what a runtime does. Answers what it takes each.
fn replaced(mut wheel: Wheel, count: u64, span: u64) -> f64 {
    let mut random = Random(1);
    let mut now = 1 << 45;
    let mut at = |random: &mut Random| {
        now += 100;
        (now, now + span + random.below(span))
    };
    let mut slots: Vec<u32> = (0..count).map(|_| wheel.insert(at(&mut random).1, Waker::noop().clone()).0).collect();
    let (rounds, start) = (20_000, std::time::Instant::now());
    for _ in 0..rounds {
        for _ in 0..64 {
            let nth = random.below(count) as usize;
            wheel.remove(slots[nth]);
            slots[nth] = wheel.insert(at(&mut random).1, Waker::noop().clone()).0;
        }
        let (now, _) = at(&mut random);
        wheel.settle();
        while wheel.fire(now).is_some() {}
        wheel.next(|| now);
    }
    start.elapsed().as_nanos() as f64 / f64::from(rounds * 64)
}

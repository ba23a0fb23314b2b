//! The timers of a runtime: buckets for what is far, a heap for what is near.
//!
//! Most timers never fire: they are time-outs, called off or set to a later time long before. So what is far is only
//! put into a bucket, by [`GRAIN`] and in levels, each bucket of a level as wide as all of the level below. To put a
//! timer there, to take it out and to set it to a later time takes the same few steps whatever their number. A bucket
//! that is next is opened: on the lowest level into a heap, where timers stand exactly, to the nanosecond; on others
//! into buckets below. A timer that is set to a later time stays in its bucket until that is opened.
//!
//! **The horizon** parts the two: what is before it is in the heap, what is not before it is in a bucket. It may lie
//! ahead of the clock, because the heap takes any time, but no further than [`REACH`], lest everything end up there.
//! Where a first bucket lies further, its beginning is when to look again.
//!
//! What leaves the heap before its time leaves a dead entry behind, which is known by its number and dropped when it
//! comes first, or when half of the heap is dead. Timers are kept in a slab, whose places are used again. What leaves a
//! bucket before its time leaves its place there: the next timer that is made takes it over where it is, if its time is
//! no earlier, as if the old one had been set to a later time. So a time-out that is called off and made anew touches
//! no neighbour, which among many would be in no cache.
//!
//! Nor is the place itself looked at by who gives it up, or sets it to another time: the last of these is only noted,
//! and carried out with the next call or the next turn; a place that was given up is taken over by a timer that is made
//! next. A look at it would wait for memory right after the wait for what named it, and nobody wants to know what is
//! there. What notes it writes a mark to the place, which nobody waits for, and by the next call the place is at hand.
//!
//! Wakers run code of others when they are cloned, woken or dropped. None of it happens in here: they come and go by
//! value.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

/// Width of the lowest buckets, 2^16 ns or 66 µs: few enough timers share one that the heap stays small.
const GRAIN: u32 = 16;
/// A level has 2^6 buckets, which one word tells apart.
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
/// As many as it takes to tell all times apart.
const LEVELS: usize = ((u64::BITS - GRAIN) / BITS) as usize;
const _: () = assert!((u64::BITS - GRAIN) % BITS == 0);

/// How far ahead of the clock buckets are opened, a quarter of a second. A timer that lies further costs its runtime at
/// most one wake a level on the way.
const REACH: u64 = 1 << (28 - GRAIN);

/// Later than every time.
const NEVER: u64 = u64::MAX;

/// No place.
const NONE: u32 = u32::MAX;

/// Dead entries that are not worth a search.
const DEAD_MIN: usize = 64;

/// See the module's documentation.
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    /// The places that are nobody's, the last one given up first, by `free`.
    free: u32,
    /// What was asked for last, where it has not been carried out.
    noted: Noted,
    /// In widths of the lowest buckets.
    horizon: u64,
    /// Which buckets have timers, a word a level.
    occupied: [u64; LEVELS],
    /// The first timer of each.
    first: [[u32; BUCKETS]; LEVELS],
    near: BinaryHeap<Reverse<Near>>,
    /// Entries of `near` whose timer is not there any more.
    dead: usize,
    /// How many timers are in buckets or in the heap.
    waiting: usize,
    /// The last number given.
    orders: u64,
}

#[repr(align(64))] // a cache line: the look at one is all that most calls cost
struct Node {
    at: u64,
    /// Which was set when: of those with equal times the first is first. No two are equal.
    order: u64,
    next: u32,
    previous: u32,
    free: u32,
    place: Place,
    /// Nobody's: also in a bucket, until another takes it over or the bucket is opened.
    vacant: bool,
    /// Something is noted of it and not carried out.
    noted: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Nobody's, or set to a time that never comes.
    Nowhere,
    /// In a bucket for `at` or before.
    Bucket { level: u8, bucket: u8 },
    /// In the heap.
    Near,
    /// Its time has come.
    Fired,
}

/// What is to be done with a place. Until then it is as it was.
#[derive(Clone, Copy)]
enum Noted {
    Nothing,
    /// It was given up.
    GivenUp(u32),
    /// It was set to another time.
    Reset {
        slot: u32,
        at: u64,
        order: u64,
    },
}

/// An entry of the heap. In the order of its fields.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    at: u64,
    order: u64,
    slot: u32,
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel {
            nodes: Vec::new(),
            free: NONE,
            noted: Noted::Nothing,
            horizon: 0,
            occupied: [0; LEVELS],
            first: [[NONE; BUCKETS]; LEVELS],
            near: BinaryHeap::new(),
            dead: 0,
            waiting: 0,
            orders: 0,
        }
    }

    /// Whether nothing can become due.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0 && matches!(self.noted, Noted::Nothing)
    }

    /// A timer for `at`. The answer is its place, until [`Wheel::remove`], and a waker to be dropped, of who had the
    /// place before.
    #[inline]
    pub(crate) fn insert(&mut self, at: u64, waker: Waker) -> (u32, Option<Waker>) {
        if let Noted::GivenUp(slot) = self.noted {
            self.noted = Noted::Nothing;
            let order = self.order();
            self.set(slot, at, order);
            return (slot, self.set_waker(slot, waker));
        }
        self.settle();
        (self.insert_new(at, waker), None)
    }

    fn insert_new(&mut self, at: u64, waker: Waker) -> u32 {
        let order = self.order();
        let (slot, place) = (self.free, Place::Nowhere);
        let Some(node) = self.nodes.get_mut(slot as usize) else {
            let slot = self.nodes.len();
            assert!(slot < NONE as usize, "more timers than can be numbered");
            let (next, previous, free, waker) = (NONE, NONE, NONE, Some(waker));
            self.nodes.push(Node { at, order, next, previous, free, place, vacant: false, noted: false, waker });
            self.place(slot as u32);
            return slot as u32;
        };
        self.free = node.free;
        let stays = node.may_stay(at);
        if !stays {
            self.unlink(slot);
        }
        let node = self.node(slot);
        (node.at, node.order, node.vacant, node.waker) = (at, order, false, Some(waker));
        if stays {
            self.waiting += 1;
        } else {
            self.place(slot);
        }
        slot
    }

    /// Gives up a place. A waker is for the caller to drop: of the one that was given up before.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Waker> {
        let waker = self.settle();
        self.noted = Noted::GivenUp(slot);
        self.node(slot).noted = true;
        waker
    }

    /// Carries out what is only noted yet. The waker of a place that was given up, if there still is one, is for the
    /// caller to drop. Before [`Wheel::fire`] and [`Wheel::next`], which know nothing of it.
    #[inline]
    pub(crate) fn settle(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.noted, Noted::Nothing) {
            Noted::Nothing => None,
            Noted::GivenUp(slot) => self.release(slot),
            Noted::Reset { slot, at, order } => {
                self.set(slot, at, order);
                None
            }
        }
    }

    fn release(&mut self, slot: u32) -> Option<Waker> {
        if let Place::Bucket { .. } = self.nodes[slot as usize].place {
            self.waiting -= 1;
        } else {
            self.take_out(slot);
        }
        let free = std::mem::replace(&mut self.free, slot);
        let node = self.node(slot);
        (node.free, node.vacant, node.noted) = (free, true, false);
        node.waker.take()
    }

    /// Sets a timer to another time. It keeps its waker; one that has fired has none. A waker is for the caller to
    /// drop: of the one that was given up before.
    #[inline]
    pub(crate) fn reset(&mut self, slot: u32, at: u64) -> Option<Waker> {
        let waker = self.settle();
        let order = self.order();
        self.noted = Noted::Reset { slot, at, order };
        self.node(slot).noted = true;
        waker
    }

    fn set(&mut self, slot: u32, at: u64, order: u64) {
        let node = self.node(slot);
        node.noted = false;
        if node.may_stay(at) {
            (node.at, node.order) = (at, order);
            return;
        }
        self.take_out(slot);
        let node = self.node(slot);
        (node.at, node.order) = (at, order);
        self.place(slot);
    }

    /// Whether it has fired.
    #[inline]
    pub(crate) fn has_fired(&self, slot: u32) -> bool {
        let node = &self.nodes[slot as usize];
        // Noted: it was set to another time since.
        node.place == Place::Fired && !node.noted
    }

    /// Whom it wakes.
    pub(crate) fn waker(&self, slot: u32) -> Option<&Waker> {
        self.nodes[slot as usize].waker.as_ref()
    }

    /// Has it wake another. Answers whom it woke before.
    pub(crate) fn set_waker(&mut self, slot: u32, waker: Waker) -> Option<Waker> {
        self.node(slot).waker.replace(waker)
    }

    /// Fires the first timer whose time has come, and answers whom it wakes. In the order of their times, and of those
    /// with equal times as they were set.
    pub(crate) fn fire(&mut self, now: u64) -> Option<Waker> {
        self.catch_up(now >> GRAIN);
        while self.first_near().is_some_and(|at| at <= now) {
            let Some(Reverse(near)) = self.near.pop() else { unreachable!("there is a first") };
            self.waiting -= 1;
            let node = self.node(near.slot);
            node.place = Place::Fired;
            // None: it was set anew after it had fired, and nobody has asked since.
            if let Some(waker) = node.waker.take() {
                return Some(waker);
            }
        }
        None
    }

    /// When to fire next: when the first timer comes, or sooner if that is far. `None`: never. The clock is asked only
    /// if a bucket is to be opened.
    pub(crate) fn next(&mut self, now: impl FnOnce() -> u64) -> Option<u64> {
        if let Some(at) = self.first_near() {
            return Some(at);
        }
        if self.waiting == 0 {
            return None;
        }
        let now = now() >> GRAIN;
        self.catch_up(now);
        loop {
            if let Some(at) = self.first_near() {
                return Some(at);
            }
            let (level, bucket, start) = self.first_bucket()?;
            if start > now + REACH {
                return Some(start << GRAIN);
            }
            self.open(level, bucket, start);
        }
    }

    fn node(&mut self, slot: u32) -> &mut Node {
        &mut self.nodes[slot as usize]
    }

    fn order(&mut self) -> u64 {
        self.orders += 1;
        self.orders
    }

    /// Puts a timer that is nowhere where its time belongs.
    fn place(&mut self, slot: u32) {
        let Node { at, order, .. } = self.nodes[slot as usize];
        if at == NEVER {
            self.node(slot).place = Place::Nowhere;
            return;
        }
        self.waiting += 1;
        let tick = at >> GRAIN;
        if tick < self.horizon {
            self.node(slot).place = Place::Near;
            self.near.push(Reverse(Near { at, order, slot }));
            return;
        }
        // The highest digit in which it differs from the horizon tells the level, and is the bucket there. What was put
        // in before has the horizon of then, but `advance` moves what the horizon comes to share a digit with.
        let differs = (tick ^ self.horizon) | (BUCKETS as u64 - 1);
        let level = (u64::BITS - 1 - differs.leading_zeros()) / BITS;
        let bucket = (tick >> (level * BITS)) as usize % BUCKETS;
        let next = std::mem::replace(&mut self.first[level as usize][bucket], slot);
        self.occupied[level as usize] |= 1 << bucket;
        let node = self.node(slot);
        (node.previous, node.next) = (NONE, next);
        node.place = Place::Bucket { level: level as u8, bucket: bucket as u8 };
        if next != NONE {
            self.node(next).previous = slot;
        }
    }

    /// Takes a timer out of wherever it is.
    fn take_out(&mut self, slot: u32) {
        match self.nodes[slot as usize].place {
            Place::Bucket { .. } => self.unlink(slot),
            Place::Near => self.dead += 1,
            Place::Nowhere | Place::Fired => {
                self.node(slot).place = Place::Nowhere;
                return;
            }
        }
        self.waiting -= 1;
        self.node(slot).place = Place::Nowhere;
        if self.dead > DEAD_MIN.max(self.near.len() / 2) {
            let nodes = &self.nodes;
            self.near.retain(|Reverse(near)| near.is_alive(nodes));
            self.dead = 0;
        }
    }

    /// Takes a place out of its bucket, if it is in one.
    fn unlink(&mut self, slot: u32) {
        let Node { next, previous, place: Place::Bucket { level, bucket }, .. } = self.nodes[slot as usize] else {
            return;
        };
        if next != NONE {
            self.node(next).previous = previous;
        }
        if previous != NONE {
            self.node(previous).next = next;
            return;
        }
        self.first[level as usize][bucket as usize] = next;
        if next == NONE {
            self.occupied[level as usize] &= !(1 << bucket);
        }
    }

    /// When the first of the heap comes.
    #[inline]
    fn first_near(&mut self) -> Option<u64> {
        loop {
            let Reverse(near) = self.near.peek()?;
            if near.is_alive(&self.nodes) {
                return Some(near.at);
            }
            self.near.pop();
            self.dead -= 1;
        }
    }

    /// The bucket with what comes first of all that are in buckets: its level, which it is there, and when it begins.
    fn first_bucket(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let bucket = self.occupied[level].trailing_zeros();
        // What its timers have in common with the horizon, and its own digit.
        let (low, high) = (level as u32 * BITS, (level as u32 + 1) * BITS);
        Some((level, bucket as usize, self.horizon >> high << high | u64::from(bucket) << low))
    }

    /// Has the horizon be at `now` or after.
    fn catch_up(&mut self, now: u64) {
        if now < self.horizon {
            return;
        }
        while let Some((level, bucket, start)) = self.first_bucket() {
            if start > now {
                break;
            }
            self.open(level, bucket, start);
        }
        if self.horizon < now {
            self.advance(now);
        }
    }

    /// Moves what is in the first bucket to where it belongs once that is next.
    fn open(&mut self, level: usize, bucket: usize, start: u64) {
        if level > 0 {
            // The horizon comes to share its digit.
            return self.advance(start);
        }
        let first = self.empty(level, bucket);
        self.advance(start + 1);
        self.place_all(first);
    }

    /// Moves the horizon to a time before which no bucket has timers, and those that share a digit more with it now to
    /// the levels below.
    fn advance(&mut self, horizon: u64) {
        self.horizon = horizon;
        for level in (1..LEVELS).rev() {
            let bucket = (horizon >> (level as u32 * BITS)) as usize % BUCKETS;
            if self.occupied[level] & 1 << bucket != 0 {
                let first = self.empty(level, bucket);
                self.place_all(first);
            }
        }
    }

    /// Empties a bucket. Answers the first of its timers, which are still linked.
    fn empty(&mut self, level: usize, bucket: usize) -> u32 {
        self.occupied[level] &= !(1 << bucket);
        std::mem::replace(&mut self.first[level][bucket], NONE)
    }

    fn place_all(&mut self, mut slot: u32) {
        while slot != NONE {
            let node = self.node(slot);
            let next = node.next;
            if node.vacant {
                node.place = Place::Nowhere;
            } else {
                self.waiting -= 1;
                self.place(slot);
            }
            slot = next;
        }
    }
}

impl Node {
    /// Whether it is in a bucket that is opened early enough for `at`.
    #[inline]
    fn may_stay(&self, at: u64) -> bool {
        matches!(self.place, Place::Bucket { .. }) && at >= self.at && at != NEVER
    }
}

impl Near {
    #[inline]
    fn is_alive(&self, nodes: &[Node]) -> bool {
        let node = &nodes[self.slot as usize];
        node.place == Place::Near && node.order == self.order
    }
}

#[cfg(test)]
pub(super) const REACH_NS: u64 = REACH << GRAIN;

#[cfg(test)]
impl Wheel {
    /// One that has everything in its heap: what the buckets are measured against.
    pub(super) fn heap() -> Wheel {
        Wheel { horizon: 1 << (u64::BITS - GRAIN), ..Wheel::new() }
    }

    /// How many timers there is room for, and how many entries of the heap.
    pub(super) fn room(&self) -> (usize, usize) {
        (self.nodes.capacity(), self.near.capacity())
    }
}

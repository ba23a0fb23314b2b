//! Functions that are called in every pass, for what no descriptor tells of: rings in shared memory, devices without
//! interrupts.
//!
//! They stand in one list, in the order in which they came, whose links are numbers: any of them leaves it in constant
//! time, and the pass that walks through it keeps its place in the engine, where a removal finds it.

use super::Engine;
use super::record::NIL;
use crate::operation::context::Context;
use crate::operation::identity::ProgressId;
use crate::status::{Code, Operation, Result, Status};

/// What is called. Told its own identity, answers how much it did.
type Progress = Box<dyn FnMut(ProgressId, &mut Context<'_>) -> usize>;

/// A place in the list.
struct Place {
    /// `None`: the place is free, or its function is being called.
    call: Option<Progress>,
    /// Who has the place: rises through the list, and is never used twice. [`FREE`]: nobody.
    serial: u64,
    previous: u32,
    next: u32,
}

const FREE: u64 = 0;

pub(super) struct ProgressList {
    places: Vec<Place>,
    free: Vec<u32>,
    first: u32,
    last: u32,
    live: u32,
    /// The last serial that was given.
    serial: u64,
    /// Whom the walk comes to next.
    cursor: u32,
}

impl Default for ProgressList {
    fn default() -> ProgressList {
        let (places, free) = (Vec::new(), Vec::new());
        ProgressList { places, free, first: NIL, last: NIL, live: 0, serial: FREE, cursor: NIL }
    }
}

impl ProgressList {
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn insert(&mut self, call: Progress) -> (u32, u64) {
        self.serial += 1;
        let (serial, previous) = (self.serial, self.last);
        let place = Place { call: Some(call), serial, previous, next: NIL };
        let index = match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = place;
                index
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        match previous {
            NIL => self.first = index,
            last => self.places[last as usize].next = index,
        }
        self.last = index;
        self.live += 1;
        (index, serial)
    }

    /// Takes a place out of the list, if it is whose it was. Answers its function, unless that is being called.
    fn remove(&mut self, index: u32, serial: u64) -> Option<Option<Progress>> {
        let place = self.places.get_mut(index as usize).filter(|place| place.serial == serial)?;
        place.serial = FREE;
        let (previous, next) = (place.previous, place.next);
        let call = place.call.take();
        match previous {
            NIL => self.first = next,
            previous => self.places[previous as usize].next = next,
        }
        match next {
            NIL => self.last = previous,
            next => self.places[next as usize].previous = previous,
        }
        if self.cursor == index {
            self.cursor = next;
        }
        self.live -= 1;
        self.free.push(index);
        Some(call)
    }

    /// Goes on to the next place whose serial is at most `until`: those who come meanwhile stand behind, and have their
    /// turn in the next walk.
    fn step(&mut self, until: u64) -> Option<(u32, u64)> {
        let index = self.cursor;
        let place = self.places.get(index as usize).filter(|place| place.serial <= until)?;
        self.cursor = place.next;
        Some((index, place.serial))
    }
}

impl Engine {
    pub(crate) fn add_progress(&mut self, call: Progress) -> ProgressId {
        let (index, serial) = self.progress.insert(call);
        if self.closing {
            // The shutdown has ended all of them, and so this one.
            drop(self.progress.remove(index, serial));
        }
        ProgressId { proactor: self.shared.home.proactor, index, serial }
    }

    #[track_caller]
    pub(crate) fn remove_progress(&mut self, id: ProgressId) -> Result<()> {
        let here = id.proactor == self.shared.home.proactor;
        match here.then(|| self.progress.remove(id.index, id.serial)).flatten() {
            // Dropped when the list is in order: what it owns may have a drop of its own.
            Some(call) => {
                drop(call);
                Ok(())
            }
            None => Err(Status::new(Code::NotFound, Operation::Progress).with_message("it is not registered here")),
        }
    }

    /// Calls each function once. Answers how much they did.
    #[cold]
    pub(super) fn make_progress(&mut self) -> usize {
        let before = self.counts.progress_made;
        self.progress.cursor = self.progress.first;
        let until = self.progress.serial;
        while let Some((index, serial)) = self.progress.step(until) {
            let Some(call) = self.progress.places[index as usize].call.take() else { continue };
            self.counts.progress_calls += 1;
            let id = ProgressId { proactor: self.shared.home.proactor, index, serial };
            let mut called = Called { engine: self, call: Some(call), id };
            let done = called.call();
            drop(called);
            self.counts.progress_made += done as u64;
        }
        (self.counts.progress_made - before) as usize
    }

    /// Lets all of them go: the proactor shuts down.
    pub(super) fn end_progress(&mut self) {
        drop(std::mem::take(&mut self.progress));
    }
}

/// A function that is being called. When that is over, also by a panic, it goes back to its place if that is still its
/// own.
struct Called<'a> {
    engine: &'a mut Engine,
    call: Option<Progress>,
    id: ProgressId,
}

impl Called<'_> {
    fn call(&mut self) -> usize {
        let id = self.id;
        self.call.as_mut().map_or(0, |call| call(id, &mut Context { engine: self.engine }))
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        let place = self.engine.progress.places.get_mut(self.id.index as usize);
        if let Some(place) = place.filter(|place| place.serial == self.id.serial) {
            place.call = self.call.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Progress {
        Box::new(|_, _| 0)
    }

    /// The places in the order of the list, forwards, after checking that backwards is the same.
    fn order(list: &ProgressList) -> Vec<u32> {
        let walk = |mut at: u32, step: fn(&Place) -> u32| {
            std::iter::from_fn(move || {
                let here = (at != NIL).then_some(at)?;
                at = step(&list.places[here as usize]);
                Some(here)
            })
        };
        let forwards: Vec<u32> = walk(list.first, |place| place.next).collect();
        let mut backwards: Vec<u32> = walk(list.last, |place| place.previous).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.len(), list.live as usize);
        forwards
    }

    #[test]
    fn removal_keeps_the_others_in_order_and_a_place_is_used_again_under_another_serial() {
        let mut list = ProgressList::default();
        let ids: Vec<(u32, u64)> = (0..4).map(|_| list.insert(nothing())).collect();
        assert!(list.remove(ids[1].0, ids[1].1).unwrap().is_some());
        assert_eq!(order(&list), [0, 2, 3]);
        assert!(list.remove(ids[1].0, ids[1].1).is_none(), "twice");
        let again = list.insert(nothing());
        assert_eq!((again.0, order(&list)), (1, vec![0, 2, 3, 1]));
        assert!(list.remove(ids[1].0, ids[1].1).is_none(), "an id of the place's earlier use");
        for (index, serial) in [ids[0], ids[3], again, ids[2]] {
            assert!(list.remove(index, serial).is_some());
            order(&list);
        }
        assert!(list.is_empty() && list.remove(9, 1).is_none());
    }

    /// Every place of the walk against every removal: each that stays is visited once, in order, and no other.
    #[test]
    fn a_walk_visits_each_that_stays_once_whatever_is_removed_and_added_meanwhile() {
        for count in 1..5u32 {
            for at in 0..count {
                for gone in 0..count {
                    let mut list = ProgressList::default();
                    let ids: Vec<(u32, u64)> = (0..count).map(|_| list.insert(nothing())).collect();
                    let mut visited = Vec::new();
                    list.cursor = list.first;
                    let until = list.serial;
                    while let Some((index, _)) = list.step(until) {
                        visited.push(index);
                        if index == at && visited.len() == at as usize + 1 {
                            list.insert(nothing());
                            assert!(list.remove(ids[gone as usize].0, ids[gone as usize].1).is_some());
                            list.insert(nothing()); // in the very place
                        }
                    }
                    let expected: Vec<u32> = (0..count).filter(|index| *index != gone || gone <= at).collect();
                    assert_eq!(visited, expected, "{count} of which {gone} goes at {at}");
                }
            }
        }
    }
}

//! Which operations are in flight on which resource, and whose turn it is.
//!
//! The kernel keeps no order among several sends, or several receives, on one stream: two concurrent 4 MiB receives
//! were seen to mix their bytes. So each stream has a queue each way, and only its head is handed down. The records
//! also are how a close finds what it must cancel, and when it may go ahead.

use super::Engine;
use crate::resource::{Lane, Resource};

/// No slot, or no record.
pub(super) const NIL: u32 = u32::MAX;

/// The operations in flight on one resource: three lists of slots, linked through their entries.
pub(super) struct Record {
    heads: [u32; 3],
    tails: [u32; 3],
    /// A close that waits for the lists to be empty.
    closer: u32,
}

#[derive(Default)]
pub(super) struct Records {
    records: Vec<Record>,
    free: Vec<u32>,
}

/// What became of a record when an operation left it.
pub(super) enum Left {
    /// Nothing to do.
    Nothing,
    /// This slot is the stream's head now.
    Next(u32),
    /// The lists are empty and this close may go ahead.
    Close(u32),
}

impl Engine {
    /// Puts `slot` at the end of its lane.
    pub(super) fn join(&mut self, slot: u32, resource: &Resource, lane: Lane) {
        let mut index = resource.record();
        if index == Resource::NO_RECORD {
            index = self.records.free.pop().unwrap_or_else(|| {
                let records = &mut self.records.records;
                if records.len() == records.capacity() {
                    // As tables by slot: not doubled.
                    records.reserve_exact(records.len() / 8 + 64);
                }
                records.push(Record { heads: [NIL; 3], tails: [NIL; 3], closer: NIL });
                records.len() as u32 - 1
            });
            resource.set_record(index);
        }
        self.append(slot, index, lane);
    }

    fn append(&mut self, slot: u32, index: u32, lane: Lane) {
        let record = &mut self.records.records[index as usize];
        let tail = std::mem::replace(&mut record.tails[lane as usize], slot);
        if tail == NIL {
            record.heads[lane as usize] = slot;
        } else {
            self.entries[tail as usize].lane_next = slot;
        }
        let entry = &mut self.entries[slot as usize];
        entry.record = index;
        entry.lane = lane;
        entry.lane_previous = tail;
        entry.lane_next = NIL;
    }

    /// Takes `slot` out of its lane, if it stands in one.
    pub(super) fn leave(&mut self, slot: u32) -> Left {
        let entry = &mut self.entries[slot as usize];
        let index = std::mem::replace(&mut entry.record, NIL);
        if index == NIL {
            return Left::Nothing;
        }
        let next = self.unlink(slot, index);
        let record = &mut self.records.records[index as usize];
        if record.heads == [NIL; 3] {
            let closer = std::mem::replace(&mut record.closer, NIL);
            self.records.free.push(index);
            if let Some(resource) = self.resource(slot) {
                // SAFETY: the operation that leaves still holds its resource.
                unsafe { resource.as_ref() }.set_record(Resource::NO_RECORD);
            }
            return if closer == NIL { Left::Nothing } else { Left::Close(closer) };
        }
        next.map_or(Left::Nothing, Left::Next)
    }

    /// Moves `slot` to the lane in which nobody waits for anybody: it holds up its stream no more, but still its
    /// resource's close. Answers who heads the stream by that.
    pub(super) fn step_aside(&mut self, slot: u32) -> Option<u32> {
        let index = self.entries[slot as usize].record;
        let next = self.unlink(slot, index);
        self.append(slot, index, Lane::Other);
        next
    }

    /// Takes `slot` out of the list that it stands in. Answers who heads its stream by that.
    fn unlink(&mut self, slot: u32, index: u32) -> Option<u32> {
        let entry = &self.entries[slot as usize];
        let (lane, previous, next) = (entry.lane, entry.lane_previous, entry.lane_next);
        let record = &mut self.records.records[index as usize];
        match previous {
            NIL => record.heads[lane as usize] = next,
            previous => self.entries[previous as usize].lane_next = next,
        }
        match next {
            NIL => record.tails[lane as usize] = previous,
            next => self.entries[next as usize].lane_previous = previous,
        }
        (previous == NIL && next != NIL && lane != Lane::Other).then_some(next)
    }

    /// The first of a lane.
    pub(super) fn lane_head(&self, resource: &Resource, lane: Lane) -> u32 {
        match resource.record() {
            Resource::NO_RECORD => NIL,
            index => self.records.records[index as usize].heads[lane as usize],
        }
    }

    /// Lets the close in `slot` wait until everything on the resource has ended. `false`: nothing is in flight.
    pub(super) fn wait_to_close(&mut self, slot: u32, resource: &Resource) -> bool {
        match resource.record() {
            Resource::NO_RECORD => false,
            index => {
                self.records.records[index as usize].closer = slot;
                true
            }
        }
    }
}

//! What is known: merging causes, leaving out what has ended, and channels that stand for their members.

use proact::causal::{Axis, Completeness, Frontier, Knowledge};
use proact::status::{Code, Operation, Result, Status};

use super::line::Line;
use super::semaphore::Record;
use super::{Recorder, Scheduler};
use crate::model::Place;

/// A queue's knowledge is pruned after it has learned so often,
const PRUNE_EACH: u32 = 8;
/// if it has so many entries: fewer are not worth the look.
const PRUNE_MIN: usize = 8;

/// From an axis to its line.
#[derive(Debug, Default)]
pub(super) struct Axes {
    /// Ascending.
    sorted: Vec<(Axis, u32)>,
}

impl Axes {
    pub(super) fn find(&self, axis: Axis) -> Option<u32> {
        let index = self.sorted.binary_search_by_key(&axis, |&(axis, _)| axis).ok()?;
        Some(self.sorted[index].1)
    }

    pub(super) fn add(&mut self, axis: Axis, line: u32) -> Result {
        match self.sorted.binary_search_by_key(&axis, |&(axis, _)| axis) {
            Ok(_) => Err(Status::new(Code::AlreadyExists, Operation::AxisRegister)
                .with_context(format!("axis {axis}"))
                .with_message("the scheduler knows it already")),
            Err(index) => {
                self.sorted.insert(index, (axis, line));
                Ok(())
            }
        }
    }
}

/// Whether `knowledge` says that `place` has ended.
///
/// An entry (axis, epoch) of a frontier says that **all** epochs of the axis up to that one have ended; nothing weaker
/// is ever put into one. So an entry at or above the place is enough, on overlapping queues too.
///
/// **An entry of a channel stands for its members.** Epoch n of a channel ends when each member's contribution to it
/// has ended (it has a barrier on each, see `collective.rs`), and members are in-order queues. So whoever knows that
/// the channel has come to n knows that each member has come to its contribution to n. Nothing more follows: of what a
/// member did after its contribution the channel says nothing.
#[inline]
pub(super) fn implies(lines: &[Line], knowledge: &Frontier, place: Place) -> bool {
    let line = &lines[place.queue.index()];
    knowledge.epoch(line.axis) >= place.epoch
        || line.channels.iter().any(|&(channel, member)| {
            let channel = &lines[channel as usize];
            let epoch = knowledge.epoch(channel.axis);
            epoch > 0 && channel.contribution(epoch, member) >= place.epoch
        })
}

/// Leaves out of `knowledge` what has ended, and what its channels say anyway. Returns how many entries that were.
///
/// What has ended needs no entry: whoever would look for it finds that it has ended before looking here.
pub(super) fn prune(lines: &[Line], axes: &Axes, knowledge: &mut Frontier) -> usize {
    let before = knowledge.len();
    knowledge.retain(|entry| axes.find(entry.axis).is_none_or(|line| lines[line as usize].ended < entry.epoch));
    before - knowledge.len()
}

/// Leaves out of `knowledge` axes that the scheduler does not know. Returns how many.
///
/// They come with values that were signalled from outside, and are learned when these have been reached: so they have
/// ended. Nothing here waits for them, and nobody will say how far they come.
fn prune_unknown(axes: &Axes, knowledge: &mut Frontier) -> usize {
    let before = knowledge.len();
    knowledge.retain(|entry| axes.find(entry.axis).is_some());
    before - knowledge.len()
}

/// Leaves out of `knowledge` the members of `channel` that the entry of the channel in it stands for.
pub(super) fn compress(lines: &[Line], knowledge: &mut Frontier, channel: u32) {
    let line = &lines[channel as usize];
    let super::Kind::Channel(group) = &line.kind else { return };
    let Some(index) = knowledge.epoch(line.axis).checked_sub(line.ended + 1) else { return };
    if let Some(contributions) = group.contributions.get(index as usize) {
        compress_to(lines, knowledge, channel, contributions);
    }
}

/// Leaves out of `knowledge` the members of `channel` that have come no further than these contributions.
pub(super) fn compress_to(lines: &[Line], knowledge: &mut Frontier, channel: u32, contributions: &[u64]) {
    let super::Kind::Channel(group) = &lines[channel as usize].kind else { return };
    // Members are sorted by axis, and so are the entries: one walk.
    let mut members = group.members.iter().map(|&member| lines[member as usize].axis).zip(contributions).peekable();
    knowledge.retain(|entry| {
        while members.next_if(|&(axis, _)| axis < entry.axis).is_some() {}
        !members.peek().is_some_and(|&(axis, &epoch)| axis == entry.axis && entry.epoch <= epoch)
    });
}

impl<P, R: Recorder> Scheduler<P, R> {
    /// Adds `more` to what `line` knows. Says whether all of it found room.
    pub(super) fn learn(&mut self, line: u32, more: &Frontier) -> bool {
        let mut knowledge = std::mem::take(&mut self.lines[line as usize].knowledge);
        let room = knowledge.merge_bounded(more, self.options.capacity).is_ok();
        self.keep(line, knowledge, room, more)
    }

    /// Puts back what `line` knows, after `more` was merged into it, or found no `room`. Says whether it has found
    /// some.
    #[inline]
    pub(super) fn keep(&mut self, line: u32, mut knowledge: Frontier, mut room: bool, more: &Frontier) -> bool {
        let learned = &mut self.lines[line as usize].learned;
        *learned += 1;
        if self.options.pruning && (!room || (*learned >= PRUNE_EACH && knowledge.len() >= PRUNE_MIN)) {
            *learned = 0;
            let mut pruned = prune(&self.lines, &self.axes, &mut knowledge);
            if !room {
                // What of the more has ended needs no room either.
                let mut rest = more.clone();
                pruned += prune(&self.lines, &self.axes, &mut rest);
                room = knowledge.merge_bounded(&rest, self.options.capacity).is_ok();
                if !room {
                    pruned += prune_unknown(&self.axes, &mut knowledge) + prune_unknown(&self.axes, &mut rest);
                    room = knowledge.merge_bounded(&rest, self.options.capacity).is_ok();
                }
            }
            self.statistics.pruned += pruned as u64;
        }
        self.lines[line as usize].knowledge = knowledge;
        if !room {
            self.statistics.overflows += 1;
        }
        room
    }

    /// All that `record` is caused by, its producer included.
    pub(super) fn causes_of(&self, record: &Record) -> Knowledge {
        let mut frontier = record.known.clone();
        let mut exact = record.exact;
        if let Some(place) = record.producer {
            let own = Frontier::single(self.lines[place.queue.index()].axis, place.epoch);
            // Of an overlapping queue the entry would say too much: that all before it have ended as well.
            exact &= record.prefix && own.is_ok_and(|own| frontier.merge(&own).is_ok());
        }
        let completeness = if exact { Completeness::Exact } else { Completeness::LowerBound };
        Knowledge { frontier, completeness }
    }
}

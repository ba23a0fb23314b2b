//! Collectives: work of many queues that ends as one, and is known by one entry.
//!
//! **The rule.** Epoch n of a channel ends when the contribution of each member to it has ended; the scheduler sees to
//! that itself, with a barrier on every contribution. Members are in-order queues, so when a contribution has ended,
//! all before it on its queue has. Hence who knows (channel, n) knows (member, contribution to n) of each member, and
//! all that the contributions were caused by. An entry of the channel may stand for an entry (member, e) exactly if e
//! is at or below that member's contribution; of what a member does after it, the channel says nothing.
//!
//! While epoch n has not ended, the scheduler keeps the contributions to it, so that the rule can be applied
//! ([`implies`](super::knowledge::implies)). When it has ended, so have all contributions, and nobody need look.

use proact::causal::{Axis, Domain};
use proact::status::{Result, Status};

use super::knowledge::compress_to;
use super::line::{Channel, Kind, Line};
use super::{Recorder, Scheduler, invalid};
use crate::model::{Place, Point, QueueId, Submission};
use crate::options::{Order, Policy};
use crate::record::Event;

impl<P, R: Recorder> Scheduler<P, R> {
    /// Adds the channel of a group of in-order queues.
    ///
    /// # Errors
    /// `InvalidArgument` if the axis is not of the domain [`Domain::Collective`], if there is no member, or one twice,
    /// or one that is not an in-order queue. `AlreadyExists` if the axis is known already.
    pub fn add_channel(&mut self, axis: Axis, members: &[QueueId]) -> Result<QueueId> {
        if axis.domain() != Domain::Collective {
            return Err(invalid(format!("axis {axis} is not that of a collective channel")));
        }
        let in_order = |member: &QueueId| {
            let line = self.lines.get(member.index());
            line.is_some_and(|line| line.is_in_order() && matches!(line.kind, Kind::Queue))
        };
        if members.is_empty() || !members.iter().all(in_order) {
            return Err(invalid("the members of a channel are one or more in-order queues"));
        }
        let mut lines: Vec<u32> = members.iter().map(|member| member.0).collect();
        lines.sort_unstable_by_key(|&member| self.lines[member as usize].axis);
        if lines.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("a queue is a member of a channel once"));
        }
        let channel = Channel { members: lines.clone(), ..Channel::default() };
        let channel = self.add_line(Line::new(axis, Order::InOrder, Kind::Channel(Box::new(channel))))?;
        for (index, &member) in lines.iter().enumerate() {
            self.lines[member as usize].channels.push((channel.0, index as u32));
        }
        if R::ENABLED {
            self.recorder.record(Event::Channel { queue: channel.0, axis: axis.to_bits(), members: lines });
        }
        Ok(channel)
    }

    /// Takes the contributions of all members of a channel to its next epoch, and promises `signals` for when all of
    /// them have ended. Answers the place on the channel; whoever waits for one of `signals` has one barrier, on the
    /// channel, and one entry for all members.
    ///
    /// If a contribution fails, the epoch fails with its cause. `payloads` are those of `contributions`, in order.
    ///
    /// # Errors
    /// With the payloads, and without any effect: `InvalidArgument` unless each member contributes once, there is a
    /// payload for each contribution, and the signals rise; the status of a
    /// channel that was failed or retired; and what [`Scheduler::submit`] answers for a contribution.
    pub fn submit_collective(
        &mut self,
        channel: QueueId,
        contributions: &[Submission<'_>],
        payloads: Vec<P>,
        signals: &[Point],
    ) -> Result<Place, (Vec<P>, Status)> {
        if let Err(status) = self.validate_collective(channel, contributions, payloads.len(), signals) {
            return Err((payloads, status));
        }
        let line = channel.0;
        let places: Vec<Place> = contributions
            .iter()
            .zip(payloads)
            .map(|(contribution, payload)| self.take(contribution, Some(payload), &[]))
            .collect();
        // What the members knew when they contributed, less what the new epoch itself will say.
        let Kind::Channel(group) = &mut self.lines[line as usize].kind else { unreachable!("validated") };
        let mut epochs = group.spare.pop().unwrap_or_default();
        epochs.clear();
        let epoch_of = |member: &u32| places.iter().find(|place| place.queue.0 == *member).expect("validated").epoch;
        epochs.extend(group.members.iter().map(epoch_of));
        if self.options.policy == Policy::Frontiers {
            for place in &places {
                let mut known = self.lines[place.queue.index()].knowledge.clone();
                compress_to(&self.lines, &mut known, line, &epochs);
                let loose = self.lines[place.queue.index()].loose_until > self.sequence_ended;
                if !self.learn(line, &known) || loose {
                    self.lines[line as usize].loose_until = self.sequence + 1;
                }
            }
            let mut known = std::mem::take(&mut self.lines[line as usize].knowledge);
            compress_to(&self.lines, &mut known, line, &epochs);
            self.lines[line as usize].knowledge = known;
        }
        let Kind::Channel(group) = &mut self.lines[line as usize].kind else { unreachable!("validated") };
        group.contributions.push_back(epochs);
        let place = self.take(&Submission::new(channel).signals(signals), None, &places);
        self.run();
        Ok(place)
    }

    fn validate_collective(
        &self,
        channel: QueueId,
        contributions: &[Submission<'_>],
        payloads: usize,
        signals: &[Point],
    ) -> Result {
        let Some(Line { kind: Kind::Channel(group), failure, .. }) = self.lines.get(channel.index()) else {
            return Err(invalid(format!("{channel:?} is no channel of this scheduler")));
        };
        if let Some(status) = failure {
            return Err(status.clone());
        }
        let each_once = contributions.len() == group.members.len()
            && group.members.iter().all(|&member| contributions.iter().any(|own| own.queue.0 == member));
        if !each_once || payloads != contributions.len() {
            return Err(invalid("each member of a channel contributes once, with one payload"));
        }
        for (index, contribution) in contributions.iter().enumerate() {
            self.validate(contribution)?;
            let others = contributions[..index].iter().flat_map(|other| other.signals).chain(signals);
            let mut own = contribution.signals.iter();
            if let Some(twice) = own.find(|own| others.clone().any(|other| other.semaphore == own.semaphore)) {
                return Err(invalid(format!("{:?} is to be signalled twice by one collective", twice.semaphore)));
            }
        }
        self.validate_own_signals(signals)
    }
}

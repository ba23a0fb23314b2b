//! Proves of the recordings of a session's machines that what each took for true of the others was told to it.
//!
//! Of each machine by itself: every value of another machine's semaphore that it took for reached was told by the
//! owner, or is what a stage had promised of which a message before said that it has ended well. Of all together: a
//! message came as it was sent, none twice and none before another, and whoever sent a frontier had every entry of it
//! from its own work, or from a message before. Nothing is known that nobody did: by these rules each entry goes back
//! to
//! the machine whose work it is about.

use std::collections::{BTreeMap, HashMap};

use super::{Audit, Violation, audit};
use crate::record::{Event, MessageKind, Signal, Timed};

/// What an audit of a session has proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionAudit {
    /// The machines' own audits, added up.
    pub machines: Audit,
    /// Messages that came.
    pub messages: usize,
    /// Messages to machines that have a recording, which did not come.
    pub lost: usize,
    /// Values of other machines' semaphores that their owners told.
    pub told: usize,
    /// Values of other machines' semaphores that were concluded from what somebody else knew.
    pub concluded: usize,
}

/// A semaphore by its name in the session.
type Name = (u8, u8, u64);
/// A message by whom it is from, whom it is for, and its number.
type MessageId = (u8, u8, u64);

/// What is known of an axis: how far it has come, and runs of epochs that ended well, first one excluded.
#[derive(Default)]
struct Progress {
    ended: u64,
    well: Vec<(u64, u64)>,
}

impl Progress {
    fn learn(&mut self, ended: u64, suspect: u64) {
        self.ended = self.ended.max(ended);
        if suspect < ended {
            self.well.push((suspect, ended));
        }
    }

    /// Whether all epochs above `from`, up to `to`, are known to have ended well.
    fn is_well(&self, from: u64, to: u64) -> bool {
        let mut done = from;
        while done < to {
            let further = self.well.iter().filter(|run| run.0 <= done).map(|run| run.1).max();
            match further.filter(|&further| further > done) {
                Some(further) => done = further,
                None => return false,
            }
        }
        true
    }
}

/// One machine, as far as its recording was read.
#[derive(Default)]
struct Machine {
    own: u8,
    axes: HashMap<u32, u64>,
    names: HashMap<u32, Name>,
    known: BTreeMap<u64, Progress>,
    told: HashMap<u32, u64>,
    promised: HashMap<(u32, u64), Vec<(u64, u64)>>,
    last_sent: HashMap<u8, u64>,
    last_got: HashMap<u8, u64>,
}

/// A message with its signal's semaphore named as in the whole session.
type Content = (MessageKind, Option<(Name, Signal)>);

/// Proves that what the machines of a session took for true of each other was told to them. Each recording is that of
/// one machine; there need not be one of every machine.
///
/// # Errors
/// The first thing that it could not prove.
pub fn audit_session(recordings: &[&[Timed]]) -> Result<SessionAudit, Violation> {
    let mut session = SessionAudit::default();
    let mut sent: HashMap<MessageId, Content> = HashMap::new();
    let mut got: Vec<(MessageId, Content)> = Vec::new();
    let mut machines = Vec::new();
    for events in recordings {
        let own = audit(events)?;
        session.machines.submissions += own.submissions;
        session.machines.waits += own.waits;
        session.machines.elided += own.elided;
        session.machines.reuses += own.reuses;
        let mut machine = Machine::default();
        for (index, timed) in events.iter().enumerate() {
            machine.read(index, &timed.event, &mut session, &mut sent, &mut got)?;
        }
        machines.push(machine.own);
    }
    session.messages = got.len();
    for (id, content) in &got {
        if machines.contains(&id.0) && sent.remove(id).as_ref() != Some(content) {
            return Err(Violation::ForgedMessage { from: id.0, to: id.1, number: id.2 });
        }
    }
    session.lost = sent.keys().filter(|id| machines.contains(&id.1)).count();
    Ok(session)
}

impl Machine {
    fn read(
        &mut self,
        index: usize,
        event: &Event,
        session: &mut SessionAudit,
        sent: &mut HashMap<MessageId, Content>,
        got: &mut Vec<(MessageId, Content)>,
    ) -> Result<(), Violation> {
        let unknown = Violation::Unknown { index };
        match event {
            Event::Machine { machine, own: true, .. } => self.own = *machine,
            Event::Queue { queue, axis, .. } => _ = self.axes.insert(*queue, *axis),
            Event::Shared { semaphore, owner, client, number } => {
                self.names.insert(*semaphore, (*owner, *client, *number));
            }
            Event::Promised { semaphore, value, known, exact: true } => {
                self.promised.insert((*semaphore, *value), known.clone());
            }
            Event::Ended { queue, epoch, failure } => {
                let axis = *self.axes.get(queue).ok_or(unknown)?;
                let suspect = if failure.is_none() { epoch - 1 } else { *epoch };
                self.known.entry(axis).or_default().learn(*epoch, suspect);
            }
            Event::Sent { to, number, kind, signal, .. } => {
                let last = self.last_sent.insert(*to, *number).unwrap_or_default();
                let forged = Violation::ForgedMessage { from: self.own, to: *to, number: *number };
                if *number != last + 1 || !signal.iter().all(|signal| self.may_say(signal)) {
                    return Err(forged);
                }
                let content = (*kind, self.named(signal.as_ref()).ok_or(unknown)?);
                sent.insert((self.own, *to, *number), content);
            }
            Event::Got { from, number, kind, signal } => {
                let last = self.last_got.insert(*from, *number).unwrap_or_default();
                if *number != last + 1 {
                    return Err(Violation::ForgedMessage { from: *from, to: self.own, number: *number });
                }
                let content = (*kind, self.named(signal.as_ref()).ok_or(unknown)?);
                got.push(((*from, self.own, *number), content));
                if let Some(signal) = signal {
                    self.learn(signal);
                }
            }
            Event::Reached { semaphore, value, .. } => {
                let Some(&(owner, ..)) = self.names.get(semaphore) else { return Ok(()) };
                if owner == self.own {
                    return Ok(());
                }
                if self.told.get(semaphore).is_some_and(|told| told >= value) {
                    session.told += 1;
                } else if self.is_implied(*semaphore, *value) {
                    session.concluded += 1;
                } else {
                    return Err(Violation::Unlearned { machine: self.own, semaphore: *semaphore, value: *value });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn named(&self, signal: Option<&Signal>) -> Option<Option<(Name, Signal)>> {
        let Some(signal) = signal else { return Some(None) };
        let name = *self.names.get(&signal.semaphore)?;
        Some(Some((name, Signal { semaphore: 0, ..signal.clone() })))
    }

    fn learn(&mut self, signal: &Signal) {
        let told = self.told.entry(signal.semaphore).or_default();
        *told = (*told).max(signal.value);
        for &(axis, epoch) in &signal.known {
            self.known.entry(axis).or_default().learn(epoch, suspect(signal, axis));
        }
        // Its own entry may have found no room.
        self.known.entry(signal.axis).or_default().learn(signal.epoch, signal.epoch - 1);
    }

    /// Whether every entry of what is to be sent was known before.
    fn may_say(&self, signal: &Signal) -> bool {
        signal.known.iter().all(|&(axis, epoch)| {
            let known = self.known.get(&axis);
            known.is_some_and(|known| known.ended >= epoch && known.is_well(suspect(signal, axis), epoch))
        })
    }

    /// Whether what was promised to reach a value is known to have ended well.
    fn is_implied(&self, semaphore: u32, value: u64) -> bool {
        let Some(needed) = self.promised.get(&(semaphore, value)) else { return false };
        !needed.is_empty()
            && needed.iter().all(|&(axis, epoch)| {
                epoch > 0 && self.known.get(&axis).is_some_and(|known| known.is_well(epoch - 1, epoch))
            })
    }
}

/// Up to which epoch of an axis a signal does not say how they ended.
fn suspect(signal: &Signal, axis: u64) -> u64 {
    signal.suspect.iter().find(|entry| entry.0 == axis).map_or(0, |entry| entry.1)
}

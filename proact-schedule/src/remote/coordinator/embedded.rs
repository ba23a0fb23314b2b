//! A coordinator that lives in a machine of the session.

use std::time::Duration;

use proact::causal::Session;
use proact::time::Time;

use super::{Actions, Coordinator, CoordinatorAction, MembershipEvent};
use crate::remote::wire::bounded_text;
use crate::remote::{Join, Link, MachineId, Member, Message, Welcome};

/// The coordinator of a session, in the machine that starts it. That machine is [`MachineId`] 0.
///
/// It keeps nothing: when its machine is lost, every member is out of the session. A session that has to outlive any
/// one machine needs a [`Coordinator`] that is replicated.
#[derive(Debug)]
pub struct EmbeddedCoordinator {
    session: Session,
    lease: Duration,
    /// By index; every one that was ever given out.
    seats: Vec<Seat>,
    joined: bool,
    actions: Actions,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    /// `None`: this machine itself.
    link: Option<Link>,
    /// When it is lost, unless it is heard of before. `None`: it is lost already, or it is this machine.
    until: Option<Time>,
    present: bool,
}

impl EmbeddedCoordinator {
    /// The coordinator of a new session, whose id nobody else may have: it must be random. A member is lost after it
    /// was silent for `lease`; members speak four times as often.
    pub fn new(session: Session, lease: Duration) -> EmbeddedCoordinator {
        EmbeddedCoordinator { session, lease, seats: Vec::new(), joined: false, actions: Actions::default() }
    }

    fn present(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.present)
    }

    fn seat_of(&self, link: Link) -> Option<usize> {
        self.seats.iter().position(|seat| seat.present && seat.link == Some(link))
    }

    fn welcome(&self, machine: MachineId) -> Welcome {
        let lease = u64::try_from(self.lease.as_nanos()).unwrap_or(u64::MAX);
        Welcome { session: self.session, machine, host: MachineId(0), lease }
    }

    /// Lets someone in: tells it who is there, and those that it is.
    fn admit(&mut self, now: Time, link: Link, join: Join) {
        let Ok(index) = u8::try_from(self.seats.len()) else {
            let why = "the session has given out all of its 256 indices".into();
            self.actions.send(link, Message::Unwelcome { why });
            return self.actions.close(link);
        };
        let member = Member { machine: MachineId(index), join };
        self.actions.send(link, Message::Welcome(self.welcome(member.machine)));
        for index in 0..self.seats.len() {
            let seat = &self.seats[index];
            if seat.present {
                let (known, to) = (seat.member.clone(), seat.link);
                self.actions.send(link, Message::Member(known));
                match to {
                    Some(to) => self.actions.send(to, Message::Member(member.clone())),
                    None => self.actions.tell(MembershipEvent::Member(member.clone())),
                }
            }
        }
        self.seats.push(Seat { member, link: Some(link), until: Some(now + self.lease), present: true });
    }

    fn lose(&mut self, index: usize, why: &str) {
        let seat = &mut self.seats[index];
        if !std::mem::replace(&mut seat.present, false) {
            return;
        }
        seat.until = None;
        let (machine, why) = (seat.member.machine, bounded_text(why));
        if let Some(link) = seat.link {
            self.actions.send(link, Message::Unwelcome { why: why.clone() });
            self.actions.close(link);
        }
        let links: Vec<Option<Link>> = self.present().map(|seat| seat.link).collect();
        for link in links {
            match link {
                Some(link) => self.actions.send(link, Message::Lost { machine, why: why.clone() }),
                None => self.actions.tell(MembershipEvent::Lost { machine, why: why.clone() }),
            }
        }
    }
}

impl Coordinator for EmbeddedCoordinator {
    fn join(&mut self, _: Time, join: &Join, _: Option<Link>) {
        if std::mem::replace(&mut self.joined, true) {
            return;
        }
        let member = Member { machine: MachineId(0), join: join.clone() };
        self.actions.tell(MembershipEvent::Joined(self.welcome(MachineId(0))));
        self.seats.push(Seat { member, link: None, until: None, present: true });
    }

    fn leave(&mut self, _: Time) {
        let why = "the machine that hosts the coordinator left";
        for index in 1..self.seats.len() {
            self.lose(index, why);
        }
        self.actions.tell(MembershipEvent::Out { why: why.into() });
    }

    fn report(&mut self, _: Time, machine: MachineId, why: &str) {
        let index = usize::from(machine.0);
        // Nobody's word can put out the machine that hosts the coordinator: the others are out without it.
        if index > 0 && index < self.seats.len() {
            self.lose(index, &format!("it could not be reached: {why}"));
        }
    }

    fn receive(&mut self, now: Time, link: Link, message: Message) -> Result<(), &'static str> {
        let seat = self.seat_of(link);
        match (message, seat) {
            (Message::Join(join), None) if self.joined => self.admit(now, link, join),
            (Message::Join(_), None) => return Err("it asks to join before the session has begun"),
            (Message::Renew { number }, Some(index)) => {
                self.seats[index].until = Some(now + self.lease);
                self.actions.send(link, Message::Renewed { number });
            }
            (Message::Leave, Some(index)) => self.lose(index, "it left"),
            (Message::Unreachable { machine, why }, Some(index)) => {
                let reporter = self.seats[index].member.machine;
                if machine == MachineId(0) {
                    self.lose(index, &format!("it could not reach the machine that hosts the coordinator: {why}"));
                } else {
                    self.report(now, machine, &format!("{reporter} says: {why}"));
                }
            }
            // Late words of one that is lost: it is being told.
            (Message::Renew { .. } | Message::Leave | Message::Unreachable { .. }, None) => {}
            _ => return Err("it is not for this coordinator"),
        }
        Ok(())
    }

    fn closed(&mut self, _: Time, link: Link, why: &str) {
        if let Some(index) = self.seat_of(link) {
            self.lose(index, &format!("its connection ended: {why}"));
        }
    }

    fn advance(&mut self, now: Time) {
        for index in 0..self.seats.len() {
            if self.seats[index].until.is_some_and(|until| until <= now) {
                self.lose(index, &format!("nothing was heard of it for its lease of {:?}", self.lease));
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.seats.iter().filter_map(|seat| seat.until).min()
    }

    fn next_action(&mut self) -> Option<CoordinatorAction> {
        self.actions.0.pop_front()
    }
}

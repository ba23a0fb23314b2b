//! The coordinator as a member sees it that does not host it.

use std::time::Duration;

use proact::time::Time;

use super::{Actions, Coordinator, CoordinatorAction, MembershipEvent};
use crate::remote::wire::bounded_text;
use crate::remote::{Join, Link, MachineId, Message};

/// How many times in a lease a member says that it is alive.
const RENEWALS: u32 = 4;
/// How long a machine that asks to be let in waits for the answer: no lease has been granted yet that would say.
const ANSWER: Duration = Duration::from_secs(30);

/// Speaks with an [`EmbeddedCoordinator`](super::EmbeddedCoordinator) in another machine, over the session's own
/// transport.
#[derive(Debug, Default)]
pub struct FarCoordinator {
    link: Option<Link>,
    state: State,
    number: u64,
    actions: Actions,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Outside,
    Asked {
        /// When it gives up.
        until: Time,
    },
    In {
        lease: Duration,
        renew_at: Time,
        /// When it is out, unless a renewal is heard of before. Counted from when that one was sent: the coordinator
        /// counts from when it came, which is later.
        until: Time,
        /// Renewals that nobody has confirmed: number and when. At most one for each part of a lease.
        sent: Vec<(u64, Time)>,
        /// It has said that it leaves, and waits to hear that the coordinator knows.
        leaving: bool,
    },
    Out,
}

impl FarCoordinator {
    /// For a node that is told where to [join](super::super::Node::join).
    pub fn new() -> FarCoordinator {
        FarCoordinator::default()
    }

    fn out(&mut self, why: &str) {
        if matches!(self.state, State::Out) {
            return;
        }
        self.state = State::Out;
        self.actions.tell(MembershipEvent::Out { why: bounded_text(why) });
        if let Some(link) = self.link.take() {
            self.actions.close(link);
        }
    }
}

impl Coordinator for FarCoordinator {
    fn join(&mut self, now: Time, join: &Join, link: Option<Link>) {
        if !matches!(self.state, State::Outside) {
            return;
        }
        let Some(link) = link else { return self.out("nobody said where the coordinator is") };
        self.link = Some(link);
        self.state = State::Asked { until: now + ANSWER };
        self.actions.send(link, Message::Join(join.clone()));
    }

    fn leave(&mut self, _: Time) {
        // Not out at once: connections to others that end before the coordinator knows why would pass for a loss.
        if let (Some(link), State::In { leaving, .. }) = (self.link, &mut self.state) {
            if !std::mem::replace(leaving, true) {
                self.actions.send(link, Message::Leave);
            }
        } else {
            self.out("it left");
        }
    }

    fn report(&mut self, _: Time, machine: MachineId, why: &str) {
        if let (Some(link), State::In { .. }) = (self.link, &self.state) {
            self.actions.send(link, Message::Unreachable { machine, why: bounded_text(why) });
        }
    }

    fn receive(&mut self, now: Time, link: Link, message: Message) -> Result<(), &'static str> {
        if Some(link) != self.link {
            return Err("it is for a coordinator, and here is none");
        }
        match (message, &mut self.state) {
            (Message::Welcome(welcome), State::Asked { .. }) => {
                let lease = Duration::from_nanos(welcome.lease);
                let sent = Vec::new();
                let (renew_at, until) = (now + lease / RENEWALS, now + lease);
                self.state = State::In { lease, renew_at, until, sent, leaving: false };
                self.actions.tell(MembershipEvent::Joined(welcome));
            }
            (Message::Member(member), State::In { .. }) => self.actions.tell(MembershipEvent::Member(member)),
            (Message::Lost { machine, why }, State::In { .. }) => {
                self.actions.tell(MembershipEvent::Lost { machine, why });
            }
            (Message::Renewed { number }, State::In { lease, until, sent, .. }) => {
                if let Some(at) = sent.iter().position(|&(renewal, _)| renewal == number) {
                    *until = sent[at].1 + *lease;
                    sent.drain(..=at);
                }
            }
            (Message::Unwelcome { why }, State::Asked { .. } | State::In { .. }) => self.out(&why),
            (_, State::Out) => {}
            _ => return Err("a coordinator does not say that, or not now"),
        }
        Ok(())
    }

    fn closed(&mut self, _: Time, link: Link, why: &str) {
        if Some(link) == self.link {
            self.link = None;
            self.out(&format!("the connection to the coordinator ended: {why}"));
        }
    }

    fn advance(&mut self, now: Time) {
        if matches!(self.state, State::Asked { until } if until <= now) {
            return self.out(&format!("the coordinator did not answer for {ANSWER:?}"));
        }
        let State::In { lease, renew_at, until, sent, .. } = &mut self.state else { return };
        if *until <= now {
            let why = format!("the coordinator was not heard of for the lease of {lease:?}");
            return self.out(&why);
        }
        if *renew_at <= now {
            *renew_at = now + *lease / RENEWALS;
            self.number += 1;
            sent.push((self.number, now));
            if let Some(link) = self.link {
                self.actions.send(link, Message::Renew { number: self.number });
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        match self.state {
            State::In { renew_at, until, .. } => Some(renew_at.min(until)),
            State::Asked { until } => Some(until),
            State::Outside | State::Out => None,
        }
    }

    fn next_action(&mut self) -> Option<CoordinatorAction> {
        self.actions.0.pop_front()
    }
}

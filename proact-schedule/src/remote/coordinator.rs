//! Who belongs to a session.
//!
//! A coordinator decides three things, and everybody takes its word: the session's id and epoch, each member's index,
//! and that a member is lost. What it must keep to:
//!
//! - An index is given to one machine and never again: a lost machine that comes back is another member.
//! - Losses and members are told to each member in one order, a member before its loss.
//! - A member that was silent for longer than its lease is lost, and told to all. It need not be dead: it may be cut
//!   off. Whoever has been told of a loss takes nothing from that machine any more, so a loss is final whether it was
//!   true or not.
//! - A member that does not hear from the coordinator for a lease is out as well, and knows it.
//!
//! So a loss is known to all within one lease and the time of one message. More is not promised: members hear of a loss
//! one after another, and one may act on a signal of a machine that another one knows to be lost.

use std::collections::VecDeque;

use proact::time::Time;

use super::{Join, Link, MachineId, Member, Message, Welcome};

mod embedded;
mod far;
#[cfg(test)]
mod tests;

pub use embedded::EmbeddedCoordinator;
pub use far::FarCoordinator;

/// What a member is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MembershipEvent {
    /// It is a member now.
    Joined(Welcome),
    /// There is another member.
    Member(Member),
    /// A member is out of the session for good.
    Lost {
        /// Which.
        machine: MachineId,
        /// Why.
        why: String,
    },
    /// It is out itself, or was never let in.
    Out {
        /// Why.
        why: String,
    },
}

/// What a coordinator wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CoordinatorAction {
    /// A message over the session's own transport.
    Send {
        /// Where it goes.
        link: Link,
        /// What.
        message: Message,
    },
    /// A connection of the session's own transport is of no use any more.
    Close {
        /// Which.
        link: Link,
    },
    /// Something that the member has to know.
    Tell(MembershipEvent),
}

/// A member's side of what keeps a session together; see the [module](self) for what it has to keep to.
///
/// It is a state machine as the [`Node`](super::Node) is, which drives it. One that keeps its facts elsewhere, in a
/// replicated store for instance, needs no messages of the session, and does its own input and output.
pub trait Coordinator {
    /// Asks to be let in; the answer comes as [`MembershipEvent::Joined`] or [`MembershipEvent::Out`]. `link` goes to
    /// the machine that hosts the coordinator, if the node was given one.
    fn join(&mut self, now: Time, join: &Join, link: Option<Link>);

    /// The member leaves. It is lost to all others, with that as the reason, and out when the coordinator knows.
    fn leave(&mut self, now: Time);

    /// The member cannot reach another one, or does not understand it. One of the two will be lost: what was on its way
    /// between them may be.
    fn report(&mut self, now: Time, machine: MachineId, why: &str);

    /// A message of the session's own transport that is for coordinators. What it should not have got is an error,
    /// which costs the other side its connection.
    ///
    /// # Errors
    /// Why it cannot be.
    fn receive(&mut self, now: Time, link: Link, message: Message) -> Result<(), &'static str>;

    /// A connection has ended.
    fn closed(&mut self, now: Time, link: Link, why: &str);

    /// Time has passed.
    fn advance(&mut self, now: Time);

    /// When [`Coordinator::advance`] has something to do, if nothing happens until then.
    fn deadline(&self) -> Option<Time>;

    /// What it wants done next.
    fn next_action(&mut self) -> Option<CoordinatorAction>;
}

impl<C: Coordinator + ?Sized> Coordinator for Box<C> {
    fn join(&mut self, now: Time, join: &Join, link: Option<Link>) {
        (**self).join(now, join, link);
    }

    fn leave(&mut self, now: Time) {
        (**self).leave(now);
    }

    fn report(&mut self, now: Time, machine: MachineId, why: &str) {
        (**self).report(now, machine, why);
    }

    fn receive(&mut self, now: Time, link: Link, message: Message) -> Result<(), &'static str> {
        (**self).receive(now, link, message)
    }

    fn closed(&mut self, now: Time, link: Link, why: &str) {
        (**self).closed(now, link, why);
    }

    fn advance(&mut self, now: Time) {
        (**self).advance(now);
    }

    fn deadline(&self) -> Option<Time> {
        (**self).deadline()
    }

    fn next_action(&mut self) -> Option<CoordinatorAction> {
        (**self).next_action()
    }
}

/// Actions in the order in which they were wanted.
#[derive(Debug, Default)]
struct Actions(VecDeque<CoordinatorAction>);

impl Actions {
    fn send(&mut self, link: Link, message: Message) {
        self.0.push_back(CoordinatorAction::Send { link, message });
    }

    fn tell(&mut self, event: MembershipEvent) {
        self.0.push_back(CoordinatorAction::Tell(event));
    }

    fn close(&mut self, link: Link) {
        self.0.push_back(CoordinatorAction::Close { link });
    }
}

//! Who is let in, and who is lost when.

use std::time::Duration;

use proact::causal::Session;

use super::*;

const LEASE: Duration = Duration::from_secs(4);
const SESSION: Session = Session::new(77, 5);

fn at(seconds: u64) -> Time {
    Time::ORIGIN + Duration::from_secs(seconds)
}

fn join(name: &str) -> Join {
    Join { name: name.into(), address: name.into(), devices: vec![] }
}

fn actions(coordinator: &mut dyn Coordinator) -> Vec<CoordinatorAction> {
    std::iter::from_fn(|| coordinator.next_action()).collect()
}

/// A coordinator with members 1, on link 1, and 2, on link 2, whose words so far have been taken.
fn session() -> EmbeddedCoordinator {
    let mut coordinator = EmbeddedCoordinator::new(SESSION, LEASE);
    coordinator.join(at(0), &join("host"), None);
    for link in [1, 2] {
        coordinator.receive(at(0), Link::Accepted(link), Message::Join(join("member"))).unwrap();
    }
    actions(&mut coordinator);
    coordinator
}

fn lost(machine: u8, why: &str) -> Message {
    Message::Lost { machine: MachineId(machine), why: why.into() }
}

#[test]
fn a_member_is_told_who_is_there_and_they_are_told_of_it() {
    let mut coordinator = EmbeddedCoordinator::new(SESSION, LEASE);
    assert!(coordinator.receive(at(0), Link::Accepted(1), Message::Join(join("early"))).is_err());
    coordinator.join(at(0), &join("host"), None);
    let welcome =
        |machine| Welcome { session: SESSION, machine: MachineId(machine), host: MachineId(0), lease: 4_000_000_000 };
    assert_eq!(actions(&mut coordinator), [CoordinatorAction::Tell(MembershipEvent::Joined(welcome(0)))]);

    coordinator.receive(at(0), Link::Accepted(1), Message::Join(join("b"))).unwrap();
    let host = Member { machine: MachineId(0), join: join("host") };
    let member = Member { machine: MachineId(1), join: join("b") };
    let link = Link::Accepted(1);
    assert_eq!(
        actions(&mut coordinator),
        [
            CoordinatorAction::Send { link, message: Message::Welcome(welcome(1)) },
            CoordinatorAction::Send { link, message: Message::Member(host) },
            CoordinatorAction::Tell(MembershipEvent::Member(member)),
        ]
    );
}

#[test]
fn silence_for_a_lease_is_a_loss_and_renewing_is_not() {
    let mut coordinator = session();
    assert_eq!(coordinator.deadline(), Some(at(4)));
    coordinator.receive(at(3), Link::Accepted(1), Message::Renew { number: 9 }).unwrap();
    let (link, message) = (Link::Accepted(1), Message::Renewed { number: 9 });
    assert_eq!(actions(&mut coordinator), [CoordinatorAction::Send { link, message }]);

    coordinator.advance(at(4));
    let why = "nothing was heard of it for its lease of 4s";
    let unwelcome = Message::Unwelcome { why: why.into() };
    let tell = MembershipEvent::Lost { machine: MachineId(2), why: why.into() };
    assert_eq!(
        actions(&mut coordinator),
        [
            CoordinatorAction::Send { link: Link::Accepted(2), message: unwelcome },
            CoordinatorAction::Close { link: Link::Accepted(2) },
            CoordinatorAction::Tell(tell),
            CoordinatorAction::Send { link: Link::Accepted(1), message: lost(2, why) },
        ]
    );
    assert_eq!(coordinator.deadline(), Some(at(7)));
    // What it says after that is not heard.
    coordinator.receive(at(5), Link::Accepted(2), Message::Renew { number: 1 }).unwrap();
    assert_eq!(actions(&mut coordinator), []);
}

#[test]
fn an_index_is_not_given_out_again() {
    let mut coordinator = session();
    coordinator.closed(at(1), Link::Accepted(1), "reset");
    actions(&mut coordinator);
    coordinator.receive(at(1), Link::Accepted(3), Message::Join(join("again"))).unwrap();
    let given = actions(&mut coordinator).into_iter().find_map(|action| match action {
        CoordinatorAction::Send { message: Message::Welcome(welcome), .. } => Some(welcome.machine),
        _ => None,
    });
    assert_eq!(given, Some(MachineId(3)));
}

#[test]
fn of_two_that_cannot_reach_each_other_the_one_reported_first_is_lost() {
    let mut coordinator = session();
    let report = |machine| Message::Unreachable { machine: MachineId(machine), why: "refused".into() };
    coordinator.receive(at(1), Link::Accepted(1), report(2)).unwrap();
    coordinator.receive(at(1), Link::Accepted(2), report(1)).unwrap();
    let told: Vec<MembershipEvent> = actions(&mut coordinator)
        .into_iter()
        .filter_map(|action| match action {
            CoordinatorAction::Tell(event) => Some(event),
            _ => None,
        })
        .collect();
    let why = "it could not be reached: machine 1 says: refused".to_string();
    assert_eq!(told, [MembershipEvent::Lost { machine: MachineId(2), why }]);
}

#[test]
fn who_cannot_reach_the_host_is_lost_itself() {
    let mut coordinator = session();
    let report = Message::Unreachable { machine: MachineId(0), why: "refused".into() };
    coordinator.receive(at(1), Link::Accepted(1), report).unwrap();
    let lost = actions(&mut coordinator)
        .into_iter()
        .any(|action| matches!(action, CoordinatorAction::Tell(MembershipEvent::Lost { machine: MachineId(1), .. })));
    assert!(lost);
}

/// A member that was welcomed, and its link to the coordinator.
fn joined() -> (FarCoordinator, Link) {
    let mut far = FarCoordinator::new();
    let link = Link::Opened(1);
    far.join(at(0), &join("b"), Some(link));
    let welcome =
        Welcome { session: SESSION, machine: MachineId(1), host: MachineId(0), lease: LEASE.as_nanos() as u64 };
    far.receive(at(0), link, Message::Welcome(welcome)).unwrap();
    actions(&mut far);
    (far, link)
}

#[test]
fn a_member_that_is_not_answered_for_a_lease_is_out() {
    let (mut far, link) = joined();
    for second in 1..=3 {
        far.advance(at(second));
        let message = Message::Renew { number: second };
        assert_eq!(actions(&mut far), [CoordinatorAction::Send { link, message }]);
    }
    // The one that was sent in the second second is confirmed in the third: it holds from when it was sent.
    far.receive(at(3), link, Message::Renewed { number: 2 }).unwrap();
    for second in 4..=5 {
        far.advance(at(second));
        assert_eq!(actions(&mut far).len(), 1);
    }
    far.advance(at(6));
    let why = "the coordinator was not heard of for the lease of 4s".to_string();
    assert_eq!(
        actions(&mut far),
        [CoordinatorAction::Tell(MembershipEvent::Out { why }), CoordinatorAction::Close { link }]
    );
    assert_eq!(far.deadline(), None);
}

#[test]
fn who_is_not_answered_is_out_at_a_stated_time() {
    let mut coordinator = FarCoordinator::new();
    coordinator.join(at(5), &join("b"), Some(Link::Opened(0)));
    actions(&mut coordinator);
    assert_eq!(coordinator.deadline(), Some(at(35)));
    coordinator.advance(at(34));
    assert_eq!(actions(&mut coordinator), []);
    coordinator.advance(at(35));
    let why = "the coordinator did not answer for 30s".into();
    let link = Link::Opened(0);
    let told = [CoordinatorAction::Tell(MembershipEvent::Out { why }), CoordinatorAction::Close { link }];
    assert_eq!(actions(&mut coordinator), told);
    assert_eq!(coordinator.deadline(), None);
}

#[test]
fn who_leaves_is_out_when_the_coordinator_knows() {
    let (mut far, link) = joined();
    far.leave(at(1));
    far.leave(at(1));
    assert_eq!(actions(&mut far), [CoordinatorAction::Send { link, message: Message::Leave }], "said once");
    let why = "it left".to_string();
    far.receive(at(2), link, Message::Unwelcome { why: why.clone() }).unwrap();
    let out = CoordinatorAction::Tell(MembershipEvent::Out { why });
    assert_eq!(actions(&mut far), [out, CoordinatorAction::Close { link }]);
}

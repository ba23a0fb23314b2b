//! One seed decides everything, and a failing one replays.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    Op, Open, Receive, ReceiveFrom, SemaphoreSignal, SemaphoreWait, Send, SendTo, Sync, Timer, Write,
};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, SocketOptions};
use proact::simulated::{Command, Device, Exhausted, Link, Storage, World, exhaust, explore};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::{connected, proactor, start};

/// A world with a little of everything: two hosts over a bad link, a disk with faults, a device, a crash.
fn busy(world: &World) {
    let (near, far) = (world.host("near"), world.host("far"));
    let jitter = Duration::from_micros(300);
    world.link(&near, &far, Link { loss: 50_000, short: 300_000, jitter, ..Link::default() });
    far.storage(Storage { short: 300_000, failing: 20_000, jitter, ..Storage::default() });
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (sender, receiver) = connected(world, &mut client, &mut server, &far, 80);
    let queue = Device::new(&far).queue();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let opened = start(&mut server, Open::new("/f", flags));
    let there = |_: &mut [&mut Proactor]| opened.is_there();
    world.run_until(&mut [&mut client, &mut server], Duration::from_secs(3600), there).unwrap();
    let file = opened.take().unwrap();
    for round in 0..10u64 {
        drop(start(&mut client, Send::exact(sender.clone(), vec![round as u8; 5000])));
        drop(start(&mut server, Receive::exact(receiver.clone(), vec![0; 5000])));
        drop(start(&mut server, Write::exact(file.clone(), round * 1000, vec![round as u8; 1000])));
        queue.submit(Command::new(jitter)).unwrap();
        drop(start(&mut server, SemaphoreWait::new(queue.semaphore().clone(), round + 1)));
    }
    drop(start(&mut server, Sync::all(file.clone())));
    let crashing = far.clone();
    world.after(Duration::from_micros(2000 + world.random(3000)), move |_| crashing.crash());
    world.run(&mut [&mut client, &mut server], Duration::from_secs(3600)).unwrap();
    // Where all has ended before it, the crash is still to come.
    world.pass_until(world.now() + Duration::from_millis(6));
    far.restart();
    let left = far.read_file("/f").map_or(0, |bytes| bytes.len());
    world.after(Duration::from_nanos(left as u64), |_| {});
}

#[test]
fn the_same_seed_does_the_same_and_others_do_not() {
    let mut digests = BTreeSet::new();
    for seed in 0..20 {
        let run = || {
            let world = World::new(seed);
            world.keep_log();
            busy(&world);
            (world.digest(), world.events(), world.now(), world.take_log())
        };
        let (first, second) = (run(), run());
        assert!(first.1 > 30, "only {} things happened: {:#?}", first.1, first.3);
        assert_eq!(first, second, "seed {seed}");
        digests.insert(first.0);
    }
    assert_eq!(digests.len(), 20, "every seed is another run");
}

/// A program with a fault that few schedules show: it takes the reply for there before it has come.
fn faulty(world: &World) {
    let (near, far) = (world.host("near"), world.host("far"));
    world.link(&near, &far, Link { jitter: Duration::from_millis(1), ..Link::default() });
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (one, other) = connected(world, &mut client, &mut server, &far, 80);
    drop(start(&mut client, Send::exact(one.clone(), vec![1])));
    drop(start(&mut server, Send::exact(other.clone(), vec![1])));
    let here = start(&mut client, Receive::exact(one, vec![0; 1]));
    let there = start(&mut server, Receive::exact(other, vec![0; 1]));
    let enough = world.now() + Duration::from_micros(1050);
    world.run(&mut [&mut client, &mut server], enough - world.now()).unwrap();
    assert!(here.is_there() || there.is_there(), "neither has come");
}

#[test]
fn a_failing_seed_is_found_and_replays_exactly() {
    let mut found = None;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        explore(0..10_000, |world| {
            found = Some(world.clone());
            faulty(world);
        });
    }));
    let text = ran.expect_err("no schedule shows the fault");
    assert_eq!(text.downcast_ref::<&str>(), Some(&"neither has come"));
    let found = found.unwrap();
    for _ in 0..3 {
        let again = World::new(found.seed());
        catch_unwind(AssertUnwindSafe(|| faulty(&again))).expect_err("the seed that failed does not fail again");
        assert_eq!((again.digest(), again.events(), again.now()), (found.digest(), found.events(), found.now()));
    }
}

#[test]
fn a_small_world_is_explored_in_every_way_it_can_go() {
    let mut orders = BTreeSet::new();
    let explored = exhaust(1000, |world| {
        let order = std::rc::Rc::<std::cell::RefCell<Vec<u8>>>::default();
        let mut proactors: Vec<Proactor> = (0..3u8).map(|name| proactor(&world.host(&name.to_string()))).collect();
        for (name, proactor) in proactors.iter_mut().enumerate() {
            struct Note(std::rc::Rc<std::cell::RefCell<Vec<u8>>>, u8);
            impl proact::operation::Complete<Timer> for Note {
                fn done(
                    op: Box<Op<Timer, Note>>,
                    _: proact::operation::Outcome<Timer>,
                    _: &mut proact::operation::Context<'_>,
                ) {
                    op.state.0.borrow_mut().push(op.state.1);
                }
            }
            proactor.submit(Op::new(Timer::new(Time::ORIGIN), Note(order.clone(), name as u8))).unwrap();
        }
        let mut all: Vec<&mut Proactor> = proactors.iter_mut().collect();
        world.run_until(&mut all, Duration::from_secs(1), |_| order.borrow().len() == 3).unwrap();
        orders.insert(order.take());
    });
    assert_eq!(orders.len(), 6, "three proactors take their turns in every order: {orders:?}");
    assert_eq!(explored, Exhausted { runs: 6, complete: true });
}

#[test]
fn an_exploration_ends_at_its_bound_and_says_so() {
    let explored = exhaust(10, |world| {
        for _ in 0..20 {
            world.choose(2);
        }
    });
    assert_eq!(explored, Exhausted { runs: 10, complete: false });
}

#[test]
fn a_fault_that_one_choice_in_many_shows_is_found_without_chance() {
    let test = |world: &World| {
        let chosen: Vec<usize> = (0..5).map(|_| world.choose(4)).collect();
        assert_ne!(chosen, [3, 1, 2, 0, 3], "the one");
    };
    assert!(catch_unwind(|| exhaust(100_000, test)).is_err());
    // As it says, these choices show it again, and those of the run before do not.
    assert!(catch_unwind(|| test(&World::with_choices(&[3, 1, 2, 0, 3]))).is_err());
    test(&World::with_choices(&[3, 1, 2, 0, 2]));
}

#[test]
fn semaphores_join_the_hosts_of_a_world() {
    let world = World::new(1);
    let (mut one, mut other) = (proactor(&world.host("a")), proactor(&world.host("b")));
    let semaphore = Semaphore::new(0);
    let waited = start(&mut one, SemaphoreWait::new(semaphore.clone(), 1));
    drop(start(&mut other, SemaphoreSignal::new(semaphore, 1)));
    world.run(&mut [&mut one, &mut other], Duration::from_secs(1)).unwrap();
    waited.take().unwrap();
}

#[test]
fn every_way_of_a_datagram_is_tried_once() {
    let mut came = Vec::new();
    let explored = exhaust(1000, |world| {
        let host = world.host("a");
        world.link(&host, &host, Link { loss: 1, duplication: 1, ..Link::default() });
        let mut own = proactor(&host);
        let address = Address::from(host.address(53));
        let theirs = own.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
        theirs.bind(&address).unwrap();
        let sender = own.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
        drop(start(&mut own, SendTo::new(sender, vec![1; 4], address)));
        own.run().unwrap();
        world.pass_until(world.now() + Duration::from_secs(1));
        let received = [0, 1].map(|_| start(&mut own, ReceiveFrom::new(theirs.clone(), vec![0; 4])));
        while own.poll(Timeout::Immediate).unwrap().completed > 0 {}
        came.push(received.iter().filter(|received| received.is_there()).count());
        own.shutdown(Duration::from_secs(1));
    });
    // Alone it is lost or not. Of two, each is lost or not, and if neither is, one of them comes first.
    assert_eq!((explored.runs, explored.complete), (2 + 3 + 2, true));
    came.sort_unstable();
    assert_eq!(came, [0, 0, 1, 1, 1, 2, 2]);
}

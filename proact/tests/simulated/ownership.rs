//! What belongs to a world, and what becomes of it when that is used wrongly, elsewhere or too late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::operation::{Complete, Context, Nop, Op, Outcome, Receive, Send, Timer};
use proact::proactor::Proactor;
use proact::resource::{Domain, SocketOptions};
use proact::simulated::{Device, Link, Stalled, World, exhaust, explore};
use proact::status::Code;
use proact::time::{Time, Timeout};

use crate::{connected, proactor, start};

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn panics_of_another_world(call: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("a host of another world is taken for one's own");
    let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.contains("another world"), "{text}");
}

#[test]
fn hosts_of_another_world_are_refused() {
    let (world, other) = (World::new(1), World::new(2));
    let (own, foreign) = (world.host("a"), other.host("a"));
    panics_of_another_world(|| world.link(&own, &foreign, Link::INSTANT));
    panics_of_another_world(|| world.partition(&foreign, &own));
    panics_of_another_world(|| world.heal(&own, &foreign));
    panics_of_another_world(|| world.reset(&own, &foreign));
    assert_eq!(world.events(), 0);
}

#[test]
fn proactors_of_another_world_and_of_none_are_refused_by_a_run() {
    let (world, other) = (World::new(1), World::new(2));
    let mut own = proactor(&world.host("a"));
    let mut foreign = proactor(&other.host("a"));
    drop(start(&mut foreign, Timer::new(Time::from_nanoseconds(1000))));
    let status = world.run(&mut [&mut own, &mut foreign], SECOND).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.to_string().contains("another world"), "{status}");
    #[cfg(unix)]
    {
        let mut real = proact::proactor::Builder::new().build().unwrap();
        let status = world.run(&mut [&mut own, &mut real], SECOND).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    assert_eq!(other.run(&mut [&mut foreign], SECOND).unwrap(), Stalled::Done);
}

#[test]
fn a_resource_of_another_world_is_refused() {
    let (world, other) = (World::new(1), World::new(2));
    let mut own = proactor(&world.host("a"));
    let foreign = proactor(&other.host("a"));
    let socket = foreign.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let refused = own.submit(Op::new(Receive::some(socket, vec![0; 1]), ())).map(|_| ()).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

#[test]
fn a_run_does_not_wait_for_proactors_whose_process_has_died() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let process = far.process();
    let (mut client, mut server) = (proactor(&near), process.builder().build().unwrap());
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    drop(start(&mut server, Receive::exact(theirs, vec![0; 10])));
    let received = start(&mut client, Receive::some(socket, vec![0; 1]));
    world.after(SECOND, move |_| process.kill());
    assert_eq!(world.run(&mut [&mut client, &mut server], 10 * SECOND).unwrap(), Stalled::Done);
    assert_eq!((received.take().unwrap(), server.pending()), (0, 1));
}

/// Asks for itself again as soon as it has ended.
struct Again;

impl Complete<Nop> for Again {
    fn done(op: Box<Op<Nop, Again>>, outcome: Outcome<Nop>, cx: &mut Context<'_>) {
        if outcome.result.is_ok() {
            let _ = cx.submit(op);
        }
    }
}

#[test]
fn a_run_of_a_program_that_never_rests_ends_with_its_time() {
    let world = World::new(1);
    let mut spinning = proactor(&world.host("a"));
    spinning.submit(Op::new(Nop, Again)).unwrap();
    let timer = start(&mut spinning, Timer::new(Time::from_nanoseconds(5_000_000)));
    let end = Duration::from_millis(10);
    assert_eq!(world.run(&mut [&mut spinning], end).unwrap(), Stalled::TimeOver);
    assert!(timer.is_there() && world.now() >= Time::ORIGIN + end);
}

#[test]
fn two_worlds_on_two_threads_do_what_one_does() {
    let run = |seed| {
        let world = World::new(seed);
        let (near, far) = (world.host("near"), world.host("far"));
        world.link(&near, &far, Link { loss: 100_000, short: 300_000, ..Link::default() });
        let (mut client, mut server) = (proactor(&near), proactor(&far));
        let (one, other) = connected(&world, &mut client, &mut server, &far, 80);
        drop(start(&mut client, Send::exact(one, vec![1; 50_000])));
        drop(start(&mut server, Receive::exact(other, vec![0; 50_000])));
        assert_eq!(world.run(&mut [&mut client, &mut server], 3600 * SECOND).unwrap(), Stalled::Done);
        (world.digest(), world.events(), world.now())
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(move || [0, 1, 2, 3].map(run))).collect();
    let here = [0, 1, 2, 3].map(run);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), here);
    }
}

#[test]
fn a_world_goes_on_after_a_panic_of_what_was_planned() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let told = start(&mut waiting, Timer::new(Time::from_nanoseconds(2000)));
    world.after(Duration::from_micros(1), |_| panic!("planned"));
    let panic = catch_unwind(AssertUnwindSafe(|| waiting.poll(Timeout::Infinite))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"planned"));
    waiting.run().unwrap();
    told.take().unwrap();
    assert_eq!(world.now().as_nanoseconds(), 2000);
}

#[test]
fn what_is_kept_beyond_its_world_is_dropped_in_any_order() {
    for order in 0..6 {
        let world = World::new(1);
        let host = world.host("a");
        let queue = Device::new(&host).queue();
        let (mut client, mut server) = (proactor(&host), proactor(&host));
        let (one, other) = connected(&world, &mut client, &mut server, &host, 80);
        let event = client.handle().event().unwrap();
        let handle = client.handle().clone();
        drop(start(&mut server, Receive::exact(other.clone(), vec![0; 1])));
        drop(world);
        match order {
            0 => drop((one, other, client, server)),
            1 => drop((client, server, one, other)),
            2 => drop((client, one, other, server)),
            3 => drop((server, other, one, client)),
            4 => drop((host, one, client, other, server)),
            _ => drop((other, client, server, one)),
        }
        assert!(handle.submit(Op::new(Nop, ())).is_err(), "the proactor has gone");
        drop((event, handle, queue));
    }
}

#[test]
fn an_explored_world_is_given_back_with_what_was_still_planned_in_it() {
    let kept = Arc::new(());
    let plan = |world: &World| {
        let (own, kept, host) = (world.clone(), kept.clone(), world.host("a"));
        let event = proactor(&host).handle().event().unwrap();
        world.after(SECOND, move |_| drop((own, kept, host, event)));
    };
    explore(0..10, plan);
    assert_eq!(Arc::strong_count(&kept), 1, "worlds are left behind");
    exhaust(10, plan);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn what_is_planned_goes_with_the_world_whatever_it_holds() {
    let kept = Arc::new(());
    let world = World::new(1);
    let host = world.host("a");
    let event = proactor(&host).handle().event().unwrap();
    for _ in 0..2 {
        let held = (kept.clone(), host.clone(), event.clone());
        world.after(SECOND, move |_| drop(held));
    }
    let other = world.clone();
    drop(world);
    assert_eq!(Arc::strong_count(&kept), 3, "the world is still there");
    drop(other);
    assert_eq!(Arc::strong_count(&kept), 1, "what is planned keeps its world, and that what is planned");
}

#[test]
fn what_is_planned_happens_while_a_proactor_is_left() {
    let kept = Arc::new(());
    let (world, happened) = (World::new(1), Arc::new(AtomicUsize::new(0)));
    let host = world.host("a");
    let plan = |world: &World, delay| {
        let (held, happened) = ((kept.clone(), host.clone()), happened.clone());
        world.after(delay, move |_| {
            happened.fetch_add(1, Ordering::Relaxed);
            drop(held);
        });
    };
    plan(&world, SECOND);
    let mut waiting = proactor(&host);
    let told = start(&mut waiting, Timer::new(world.now() + 3 * SECOND));
    drop(world);
    // By a host, as a test does that gave its world away.
    plan(host.world(), 2 * SECOND);
    plan(host.world(), 9 * SECOND);
    waiting.run().unwrap();
    told.take().unwrap();
    assert_eq!(happened.load(Ordering::Relaxed), 2);
    assert_eq!(Arc::strong_count(&kept), 2, "one is still to happen");
    drop(waiting);
    assert_eq!(Arc::strong_count(&kept), 1, "nobody is left who lets it happen");
    plan(host.world(), SECOND);
    assert_eq!(Arc::strong_count(&kept), 1, "nor what is planned later");
    assert_eq!(happened.load(Ordering::Relaxed), 2);
}

#[test]
fn a_wake_from_another_thread_decides_nothing() {
    let run = |wake: bool| {
        let world = World::new(1);
        let mut proactors: Vec<Proactor> = (0..3).map(|name| proactor(&world.host(&name.to_string()))).collect();
        for (at, proactor) in proactors.iter_mut().enumerate() {
            drop(start(proactor, Timer::new(Time::from_nanoseconds(1000 * (at as u64 + 1)))));
        }
        let handle = proactors[0].handle().clone();
        if wake {
            std::thread::spawn(move || handle.wake()).join().unwrap();
        }
        let mut all: Vec<&mut Proactor> = proactors.iter_mut().collect();
        world.run(&mut all, SECOND).unwrap();
        (0..4).map(|_| world.random(1 << 60)).collect::<Vec<_>>()
    };
    assert_eq!(run(false), run(true));
}

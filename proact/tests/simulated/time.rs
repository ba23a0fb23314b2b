//! Virtual time, and the one thread of a world.

use std::time::{Duration, Instant};

use proact::operation::{EventWait, Nop, Op, SemaphoreWait, Timer};
use proact::resource::{Domain, SocketOptions};
use proact::simulated::{Stalled, World};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::{one, proactor, start};

#[test]
fn a_year_of_waiting_takes_no_time() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let year = Duration::from_secs(365 * 86_400);
    let began = Instant::now();
    one(&mut waiting, Timer::new(Time::ORIGIN + year)).unwrap();
    assert_eq!(world.now(), Time::ORIGIN + year, "the timer's time and not a moment more");
    assert!(waiting.clock().is_simulated());
    // Not how long it takes, but that it is another order of time altogether.
    assert!(began.elapsed() < Duration::from_secs(600));
}

#[test]
fn timers_of_two_proactors_fire_in_the_order_of_their_times() {
    let world = World::new(1);
    let (mut one, mut other) = (proactor(&world.host("a")), proactor(&world.host("b")));
    let late = start(&mut one, Timer::new(Time::from_nanoseconds(3_000)));
    let early = start(&mut other, Timer::new(Time::from_nanoseconds(1_000)));
    let first = |_: &mut [&mut proact::proactor::Proactor]| early.is_there();
    assert_eq!(world.run_until(&mut [&mut one, &mut other], Duration::from_secs(1), first).unwrap(), Stalled::Done);
    assert_eq!((world.now().as_nanoseconds(), late.is_there()), (1_000, false));
    assert_eq!(world.run(&mut [&mut one, &mut other], Duration::from_secs(1)).unwrap(), Stalled::Done);
    assert_eq!((world.now().as_nanoseconds(), late.is_there()), (3_000, true));
}

#[test]
fn a_world_at_rest_is_told_instead_of_waited_for() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let event = waiting.handle().event().unwrap();
    let told = start(&mut waiting, EventWait::new(event.clone()));
    let status = waiting.poll(Timeout::Infinite).unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.to_string().contains("at rest"), "{status}");
    assert_eq!(world.run(&mut [&mut waiting], Duration::from_secs(1)).unwrap(), Stalled::AtRest);
    // And it goes on when there is something again.
    event.set().unwrap();
    assert_eq!(world.run(&mut [&mut waiting], Duration::from_secs(1)).unwrap(), Stalled::Done);
    told.take().unwrap();
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let told = start(&mut waiting, Timer::new(Time::from_nanoseconds(5_000_000)));
    assert_eq!(world.run(&mut [&mut waiting], Duration::from_millis(4)).unwrap(), Stalled::TimeOver);
    assert_eq!((world.now().as_nanoseconds(), told.is_there()), (4_000_000, false));
    assert_eq!(world.run(&mut [&mut waiting], Duration::from_millis(4)).unwrap(), Stalled::Done);
    assert_eq!(world.now().as_nanoseconds(), 5_000_000);
}

#[test]
fn a_timer_that_was_called_off_is_no_time_to_go_on_to() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let event = waiting.handle().event().unwrap();
    let never = start(&mut waiting, EventWait::new(event));
    let fires = start(&mut waiting, Timer::new(Time::from_nanoseconds(1_000)));
    let off = waiting.submit(Op::new(Timer::new(Time::from_nanoseconds(5_000_000)), ())).unwrap();
    // It does not stand first among the timers: that comes to it when the other has fired.
    waiting.cancel(off).unwrap();
    assert_eq!(world.run(&mut [&mut waiting], Duration::from_secs(1)).unwrap(), Stalled::AtRest);
    assert_eq!((world.now().as_nanoseconds(), fires.is_there(), never.is_there()), (1_000, true, false));
}

#[test]
fn a_program_that_polls_without_waiting_comes_to_its_timer() {
    let world = World::new(1);
    let mut spinning = proactor(&world.host("a"));
    let told = start(&mut spinning, Timer::new(Time::from_nanoseconds(50_000)));
    let mut polls = 0;
    while !told.is_there() {
        spinning.poll(Timeout::Immediate).unwrap();
        polls += 1;
        assert!(polls < 1000, "time stands still");
    }
    assert!(world.now().as_nanoseconds() >= 50_000);
}

#[test]
fn other_threads_are_refused_and_told_why() {
    let world = World::new(1);
    let host = world.host("a");
    let mut here = proactor(&host);
    let handle = here.handle().clone();
    let event = handle.event().unwrap();
    let id = here.submit(Op::new(SemaphoreWait::new(Semaphore::new(0), 1), ())).unwrap();
    let builder = host.builder();
    let refused = std::thread::spawn(move || {
        let submitted = handle.submit(Op::new(Nop, ())).map(|_| ()).unwrap_err().status;
        let cancelled = handle.cancel(id).unwrap_err();
        let message = handle.send_message(1).unwrap_err();
        let set = event.set().unwrap_err();
        let built = builder.build().map(|_| ()).unwrap_err();
        let made = handle.socket(Domain::Ipv4, &SocketOptions::default()).unwrap_err();
        let event = handle.event().unwrap_err();
        [submitted, cancelled, message, set, built, made, event]
    });
    for status in refused.join().unwrap() {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.to_string().contains("thread that made it"), "{status}");
    }
    assert_eq!(here.pending(), 1, "and nothing of it happened");
    here.cancel(id).unwrap();
    here.run().unwrap();
}

#[test]
fn a_world_is_asked_by_its_own_thread_alone_and_resources_may_go_anywhere() {
    let world = World::new(1);
    let here = proactor(&world.host("a"));
    let socket = here.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let before = world.digest();
    std::thread::spawn(move || drop(socket)).join().unwrap();
    let elsewhere = world.clone();
    let panic = std::thread::spawn(move || elsewhere.host("b")).join().unwrap_err();
    let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.contains("thread that made it"), "{text}");
    assert_eq!(world.digest(), before);
}

#[test]
fn what_is_planned_happens_at_its_time() {
    let world = World::new(1);
    let mut waiting = proactor(&world.host("a"));
    let event = waiting.handle().event().unwrap();
    let sets = event.clone();
    world.after(Duration::from_millis(7), move |_| sets.set().unwrap());
    one(&mut waiting, EventWait::new(event)).unwrap();
    assert_eq!(world.now().as_nanoseconds(), 7_000_000);
}

#[cfg(unix)]
#[test]
fn descriptors_of_the_operating_system_go_neither_in_nor_out() {
    let world = World::new(1);
    let simulated = proactor(&world.host("a"));
    let socket = simulated.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    for status in [
        socket.try_with_fd(|_| ()).unwrap_err(),
        socket.duplicate().map(|_| ()).unwrap_err(),
        socket.into_fd().map(|_| ()).unwrap_err().status,
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    let real = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = simulated.handle().import_socket(real.into()).unwrap_err();
    assert_eq!(refused.status.code(), Code::Unavailable);
    assert!(std::net::TcpListener::from(refused.resource).local_addr().is_ok(), "it comes back as it was");
}

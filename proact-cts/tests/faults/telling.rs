//! Whoever tells others: events and pools of them, relays, sources, notifications, messages, signals of the process.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use proact::memory::{Access, Region};
use proact::operation::{
    Close, EventSet, EventWait, EventWaitMany, Kind, Message, NotificationSignal, NotificationWait, PollHandleMany,
    Readiness, Relay, RelayMany, RelaySink, SignalWait,
};
use proact::resource::{Signal, SignalSet, block_signals};
use proact::sync::{Event, Notification};
use proact::time::Timeout;
use proact_cts::bench::patience;
use rustix::event::{EventfdFlags, eventfd};

use crate::driver::{Driver, Flight, Part};

pub const PARTS: &[Part] = &[
    events,
    pool_of_events,
    relays,
    lasting_relays,
    sources,
    event_sources,
    notifications,
    shared_notifications,
    messages,
    signals,
];

fn counter() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an event")
}

fn raise(counter: &OwnedFd) {
    rustix::io::write(counter, &1u64.to_ne_bytes()).expect("an event takes a count");
}

/// What was in it.
fn lower(counter: impl AsFd) -> u64 {
    let mut bytes = [0; 8];
    rustix::io::read(counter, &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
}

fn event(driver: &mut Driver<'_>) -> Option<Event> {
    let event = driver.proactor.handle().event();
    driver.call("event", event)
}

/// Nobody has set it, or what should have was not told.
fn is_not_set(driver: &mut Driver<'_>, name: &'static str, event: &Event) {
    let wait = driver.start(name, EventWait::new(event.clone()));
    if driver.pass().is_some() {
        driver.right(name, !wait.is_done() || wait.failed(), "the event is set");
    }
    driver.give_up(&wait);
}

/// The sink of a relay that has fired: whether it was set. An eventfd says EAGAIN of a write that it has no room for,
/// and is set then: where that is the fault, it is not, and nobody can know.
fn is_set(driver: &mut Driver<'_>, name: &'static str, sink: &Event) -> bool {
    if driver.errno != Some(libc::EAGAIN) {
        return driver.one(name, EventWait::new(sink.clone()), |_| true).is_some();
    }
    let wait = driver.start(name, EventWait::new(sink.clone()));
    driver.pass();
    let set = wait.is_done() && !wait.failed();
    driver.give_up(&wait);
    set
}

/// Waits for an outcome of an operation with many, or its end.
fn until_told<K: Kind>(driver: &mut Driver<'_>, name: &'static str, flight: &Flight<K>, count: usize) {
    driver.until(name, || flight.outcomes() >= count || flight.is_done());
}

fn events(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let event = event(driver)?;
    let wait = driver.start("wait for an event", EventWait::new(event.clone()));
    driver.pass()?;
    driver.one("set of an event", EventSet::new(event.clone()), |_| true);
    driver.end(&wait, |_, _| true);
    // What is no eventfd is refused before anything is changed, and comes back.
    let file = std::fs::File::open("/dev/null").expect("a file");
    let refused = driver.proactor.handle().import_event(file.into());
    driver.right("import of no event", refused.is_err(), "it was taken for one");
    let ours = counter();
    let theirs = ours.try_clone().expect("another descriptor");
    let imported = driver.proactor.handle().import_event(theirs).map_err(|returned| returned.status);
    let imported = driver.call("import of an event", imported)?;
    raise(&ours);
    let wait = driver.one("wait for an imported event", EventWait::new(imported.clone()), |_| true);
    driver.right(
        "imported event",
        lower(&ours) == u64::from(wait.is_none()),
        "it was taken and not told, or not taken",
    );
    driver.one("close of an event", Close::new(imported), |_| true)
}

/// More than its first memory holds, some of them set and some closed when they come back.
fn pool_of_events(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    const COUNT: usize = 20;
    let pool = driver.proactor.handle().event_pool(2);
    let pool = driver.call("pool of events", pool)?;
    for _ in 0..2 {
        let mut events = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let acquired = pool.acquire();
            events.extend(driver.call("acquire", acquired));
        }
        for event in &events[..2] {
            is_not_set(driver, "fresh event", event);
        }
        driver.call("set", events[0].set());
        driver.call("set", events[1].set());
        driver.one("close of one of the pool", Close::new(events[2].clone()), |_| true);
        // Those that were set come back last, and so are given out first.
        events.reverse();
        drop(events);
        driver.pass();
    }
    driver.right("pool of events", pool.len() as usize <= COUNT, "events that came back are not given out");
    Some(())
}

fn relays(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (source, sink) = (event(driver)?, event(driver)?);
    let relay = driver.start("relay", Relay::new(source.clone(), sink.clone()));
    driver.pass()?;
    driver.call("set", source.set())?;
    if driver.end(&relay, |_, _| true).is_some() {
        is_set(driver, "sink", &sink);
    } else {
        // One that failed may have taken the set, and has told nobody.
        is_not_set(driver, "sink of a failed relay", &sink);
    }
    // A descriptor to one whose count is looked at.
    let (ready, counted) = (counter(), counter());
    let handle = driver.proactor.handle().import_pollable(ready.try_clone().expect("another descriptor"));
    let theirs = counted.try_clone().expect("another descriptor");
    let imported = driver.proactor.handle().import_event(theirs).map_err(|returned| returned.status);
    let imported = driver.call("import of a sink", imported)?;
    let relay = driver.start("relay of a descriptor", Relay::new(handle, RelaySink::add(imported, 5)));
    driver.pass()?;
    raise(&ready);
    let fired = driver.end(&relay, |_, _| true).is_some();
    let sum = lower(&counted);
    let lost = sum == 0 && driver.errno == Some(libc::EAGAIN); // see `is_set`
    driver.right("counted sink", sum == 5 * u64::from(fired) || lost, "another sum than was to be added");
    // One that is never ready.
    let (source, sink) = (event(driver)?, event(driver)?);
    let relay = driver.start("relay that is given up", Relay::new(source, sink.clone()));
    driver.pass()?;
    driver.give_up(&relay);
    is_not_set(driver, "sink of a relay that was given up", &sink);
    Some(())
}

fn lasting_relays(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (source, sink) = (event(driver)?, event(driver)?);
    let notification = Notification::new();
    // An event to a notification, and that to an event.
    let first = driver.start("lasting relay", RelayMany::new(source.clone(), notification.clone()));
    let second = driver.start("relay of a notification", RelayMany::new(notification.clone(), sink.clone()));
    driver.pass()?;
    let mut left = false;
    for round in 1..=2 {
        let before = notification.epoch();
        driver.call("set", source.set())?;
        until_told(driver, "lasting relay", &first, round);
        if first.is_done() {
            break; // it has told nobody else
        }
        driver.right("notification", notification.epoch() != before, "the relay fired, and nobody signalled");
        until_told(driver, "relay of a notification", &second, round);
        if second.is_done() {
            break;
        }
        left |= !is_set(driver, "sink of two relays", &sink);
    }
    driver.end_cancelled(&first);
    driver.end_cancelled(&second);
    driver.right("relay's observer", !notification.signal_if_observed(1), "a relay that ended observes still");
    if !left {
        is_not_set(driver, "sink of ended relays", &sink);
    }
    Some(())
}

/// A counter that is told of whenever there is something in it, and emptied.
fn sources(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    for edge in [false, true] {
        let ready = counter();
        let handle = driver.proactor.handle().import_pollable(ready.try_clone().expect("another descriptor"));
        let kind = PollHandleMany::readable(handle.clone());
        let source = driver.start("source", if edge { kind.edge_triggered() } else { kind });
        driver.pass()?;
        for _ in 0..3 {
            source.take_outcomes();
            raise(&ready);
            until_told(driver, "source", &source, 1);
            lower(&ready);
        }
        let right = source.take_outcomes().iter().all(|ready| ready.contains(Readiness::READABLE));
        driver.right("source", right, "it was told of something else");
        if edge {
            driver.one("close of a source", Close::new(handle), |_| true);
        }
        driver.end_cancelled(&source);
        if source.id.is_some() {
            raise(&ready);
            driver.pass();
            driver.right("ended source", source.outcomes() == 0, "it was told after its end");
        }
    }
    Some(())
}

fn event_sources(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let event = event(driver)?;
    let source = driver.start("event source", EventWaitMany::new(event.clone()));
    driver.pass()?;
    for round in 1..=3 {
        driver.call("set", event.set())?;
        until_told(driver, "event source", &source, round);
    }
    // Where one was told the event is reset; a later set is for others.
    let whole = !source.is_done();
    driver.end_cancelled(&source);
    if whole {
        is_not_set(driver, "event of a source", &event);
    }
    Some(())
}

fn notifications(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let notification = Notification::new();
    let wait = driver.start("wait for a notification", NotificationWait::new(notification.clone()));
    let given_up = driver.start("notification wait that is given up", NotificationWait::new(Notification::new()));
    driver.pass()?;
    driver.one("signal", NotificationSignal::new(notification.clone(), 1), |_| true);
    driver.end(&wait, |_, _| true);
    driver.end_cancelled(&given_up);
    driver.right("observer", !notification.signal_if_observed(1), "a wait that ended observes still");
    Some(())
}

fn shared_notifications(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (region, fd) = driver.call("shared memory", Region::create_shared(4096))?;
    let mapped = driver.call("another mapping", Region::map_shared(fd.as_fd(), 0, 4096, Access::all()))?;
    let ours = driver.call("notification", Notification::create_shared(region, 0))?;
    let theirs = driver.call("the same", Notification::open_shared(mapped, 0))?;
    let waits = [(); 3].map(|()| driver.start("wait in shared memory", NotificationWait::new(ours.clone())));
    let early = driver.start("wait for what was", NotificationWait::since(ours.clone(), ours.epoch()));
    driver.pass()?;
    driver.cancel(&waits[2]);
    theirs.signal(1);
    for wait in &waits[..2] {
        driver.end(wait, |_, _| true);
    }
    driver.end(&early, |_, _| true);
    driver.give_up(&waits[2]);
    let given_up = driver.start("wait in shared memory that is given up", NotificationWait::new(ours.clone()));
    driver.pass()?;
    driver.end_cancelled(&given_up);
    // Where the proactor broke, what it has is left to it.
    let observed = theirs.signal_if_observed(1);
    driver.right("observers", !observed, "a wait that ended observes still");
    Some(())
}

fn messages(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let built = driver.config.builder().entries(8).build();
    let mut other = driver.call("build", built)?;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&seen);
    other.on_message(move |message, _| noted.borrow_mut().push(message));
    let sent = driver.one("message", Message::new(other.handle(), 7), |_| true).is_some();
    driver.call("direct message", other.handle().send_message(8));
    let deadline = other.now() + patience();
    while seen.borrow().len() < 1 + usize::from(sent) && other.now() < deadline {
        // It sleeps between two, and is woken by nothing: what was sent before is seen before it sleeps.
        if let Err(status) = other.poll(Timeout::Immediate) {
            let _: Option<()> = driver.call("poll of the other", Err(status));
            break;
        }
    }
    let broken = other.poll(Timeout::Immediate).is_err();
    let expected: &[u64] = if sent { &[7, 8] } else { &[8] };
    let whole = *seen.borrow() == expected;
    driver.right("messages", whole || broken, "a message is lost, or another came");
    driver.right("the other", other.shutdown(patience()) == 0, "it had something in flight");
    Some(())
}

/// What is set for a signal, and whether this thread blocks it.
fn set(signal: Signal) -> (usize, bool) {
    // SAFETY: zeroed structures, which the system fills.
    unsafe {
        let (mut action, mut mask): (libc::sigaction, libc::sigset_t) = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal.number(), std::ptr::null(), &raw mut action), 0);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask), 0);
        (action.sa_sigaction, libc::sigismember(&raw const mask, signal.number()) == 1)
    }
}

/// What a broken proactor was not told of any more acts when its subscription ends: here it does nothing then.
fn ignore(signal: Signal) {
    // SAFETY: ignoring a signal runs no code.
    assert_ne!(unsafe { libc::signal(signal.number(), libc::SIG_IGN) }, libc::SIG_ERR);
}

fn signals(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    ignore(Signal::User1);
    ignore(Signal::User2);
    let blocked = driver.call("blocked signal", block_signals(SignalSet::USER2)).is_some();
    let before = [Signal::User1, Signal::User2].map(set);
    let one = driver.start("one signal", SignalWait::new(SignalSet::USER1));
    // Where this one fails half way, the other is still subscribed, and the process still owned (W-41).
    let both = driver.start("signals", SignalWait::new(SignalSet::USER1 | SignalSet::USER2));
    driver.pass();
    for (signal, subscribed) in [(Signal::User1, &both), (Signal::User1, &one), (Signal::User2, &both)] {
        let handled = set(signal).0 != before[signal as usize - Signal::User1 as usize].0;
        driver.right("signals", handled || subscribed.is_done(), "a subscription that is in flight handles nothing");
        if !handled || subscribed.is_done() {
            continue;
        }
        subscribed.take_outcomes();
        // SAFETY: no pointers. Handled before this returns: this thread lets it through.
        assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
        until_told(driver, "signals", subscribed, 1);
        let told = subscribed.take_outcomes();
        driver.right("signals", subscribed.is_done() || told == [signal], "another signal was told, or one twice");
    }
    driver.end_cancelled(&both);
    driver.end_cancelled(&one);
    driver.right("signals", [Signal::User1, Signal::User2].map(set) == before, "the process is not what it was");
    if blocked {
        // SAFETY: a set that is made here.
        unsafe {
            let mut unblocked: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut unblocked, Signal::User2.number());
            assert_eq!(libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const unblocked, std::ptr::null_mut()), 0);
        }
    }
    Some(())
}

//! What may be called from a signal handler is: thousands of times, while the interrupted thread polls and submits.

use std::sync::Arc;
use std::time::Duration;

use proact::memory::Region;
use proact::operation::{Close, EventWait, Nop, NotificationWait, Op, Timer};
use proact::status::Code;
use proact::sync::{Event, Notification};
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;
use crate::handler::{Calls, Interruptions};

cases![
    a_handler_wakes_signals_and_sets_while_its_thread_polls_and_submits.real("signals of the operating system").alone(),
    a_handler_sets_an_event_while_its_thread_closes_others.real("signals of the operating system").alone(),
    a_handler_signals_while_its_thread_makes_and_drops_notifications.real("signals of the operating system").alone(),
];

/// How often the handler runs in a case, at least.
const CALLS_MIN: u64 = 2000;

fn calls(cts: &Cts) -> Arc<Calls> {
    let (region, _fd) = Region::create_shared(4096).unwrap();
    let shared = Notification::create_shared(region, 0).unwrap();
    let event: Event = cts.handle().event().unwrap();
    Arc::new(Calls::new(cts.handle().clone(), Notification::new(), shared, event, || 0))
}

fn a_handler_wakes_signals_and_sets_while_its_thread_polls_and_submits(cts: &mut Cts) {
    let interruptions = Interruptions::of_this_thread(calls(cts));
    let calls = interruptions.calls();
    let (mut notified, mut shared, mut set, mut woken) = (0u64, 0u64, 0u64, 0u64);
    let mut waits_shared = true;
    while calls.handled() < CALLS_MIN || notified.min(set).min(woken) < 20 {
        let local = cts.start(NotificationWait::new(calls.notification.clone()));
        let event = cts.start(EventWait::new(calls.event.clone()));
        let (op, elsewhere) = cts.watch(NotificationWait::new(calls.shared.clone()));
        waits_shared = waits_shared && cts.submit(op).is_ok();
        let batch: Vec<_> = (0..16).map(|_| Op::new(Nop, ())).collect();
        cts.submit(batch).unwrap();
        let soon = cts.now() + Duration::from_micros(30);
        cts.submit(Op::new(Timer::new(soon), ())).unwrap();
        let both = || local.is_done() && event.is_done() && (!waits_shared || elsewhere.is_done());
        // Each ends by a call of the handler that comes after its submit, whatever it interrupts.
        cts.until_with("the handler's calls to end the waits", |proactor| {
            woken += u64::from(proactor.poll(Timeout::Immediate).unwrap().woken);
            both()
        });
        notified += u64::from(local.only().result.is_ok());
        set += u64::from(event.only().result.is_ok());
        shared += u64::from(waits_shared && elsewhere.only().result.is_ok());
    }
    assert_eq!(calls.faults(), 0, "a call failed, or changed errno");
    assert!(!waits_shared || shared == notified);
    drop(interruptions);
    cts.drain();
}

fn a_handler_sets_an_event_while_its_thread_closes_others(cts: &mut Cts) {
    let interruptions = Interruptions::of_this_thread(calls(cts));
    let calls = interruptions.calls();
    while calls.handled() < CALLS_MIN {
        let event = cts.handle().event().unwrap();
        let wait = cts.start(EventWait::new(event.clone()));
        let close = cts.start(Close::new(event.clone()));
        cts.until("the close", || close.is_done());
        assert_eq!(wait.code(), Some(Code::Cancelled));
        close.only().result.unwrap();
        assert_eq!(event.set().unwrap_err().code(), Code::FailedPrecondition);
    }
    assert_eq!(calls.faults(), 0, "a call failed, or changed errno");
    drop(interruptions);
}

fn a_handler_signals_while_its_thread_makes_and_drops_notifications(cts: &mut Cts) {
    let interruptions = Interruptions::of_this_thread(calls(cts));
    let calls = interruptions.calls();
    let mut round = 0;
    while calls.handled() < CALLS_MIN {
        round += 1;
        let own = Notification::new();
        let wait = cts.start(NotificationWait::new(own.clone()));
        let (op, other) = cts.watch(NotificationWait::new(calls.notification.clone()));
        let id = cts.submit(op).unwrap();
        if round % 2 == 0 {
            // Unless the handler was faster.
            let _ = cts.cancel(id);
        }
        own.signal(1);
        drop(own);
        cts.until("both waits", || wait.is_done() && other.is_done());
        // The thread itself blocks for what its own handler tells it, which no lock could survive.
        if round % 4 == 0 {
            let before = calls.handled();
            // No sleep here: Linux adds its timer slack (50 µs) to what is left of one that is interrupted, so that one
            // which is interrupted more often than that never ends.
            let deadline = std::time::Instant::now() + crate::bench::patience();
            while calls.handled() == before {
                assert!(std::time::Instant::now() < deadline, "the handler does not run");
                std::thread::yield_now();
            }
            let observation = calls.notification.observe();
            assert!(observation.wait(crate::bench::patience()).unwrap(), "the handler's signal was lost");
        }
    }
    assert_eq!(calls.faults(), 0, "a call failed, or changed errno");
    drop(interruptions);
}

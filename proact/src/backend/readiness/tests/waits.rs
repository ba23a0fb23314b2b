//! Waits, wakes, deadlines, events, cancels, and descriptors whose number changes hands.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::super::epoll::EpollSet;
use super::super::poll::PollSet;
use super::super::{WatchSet, milliseconds_up};
use super::{Rig, Watchdog, descriptor, drain, event, fill, on_every_set, pair, receive, receive_exact, send, write};
use crate::backend::{Backend, Capabilities, DescriptorMode, Request, Token, Wait};
use crate::time::Time;

on_every_set! {
    nop_completes_by_the_next_poll_without_entering_the_kernel
    event_wait_is_reset_by_its_completion
    wake_ends_the_next_wait_and_only_one
    wake_from_another_thread_ends_a_wait
    deadline_never_ends_early
    cancel_takes_a_parked_request_out_of_the_middle
    cancel_of_a_completed_or_unknown_token_does_nothing
    cancelled_progress_does_not_leak_into_the_slots_next_use
    descriptor_number_closed_and_reused_elsewhere_is_watched_anew
    stale_interest_of_a_cancelled_request_does_not_hide_a_new_owner
    duplicate_of_a_closed_descriptor_does_not_make_waits_spin
    close_ends_what_is_parked_and_hangs_up
    bad_descriptor_fails_at_once
    nothing_is_missing_and_masked_capabilities_are_not_in_force
}

fn nop_completes_by_the_next_poll_without_entering_the_kernel(rig: &mut Rig<impl WatchSet>) {
    let tokens = [rig.start(Request::Nop), rig.start(Request::Nop)];
    assert!(rig.results.is_empty(), "told by a poll only");
    let watchdog = Watchdog::over("known results are told");
    rig.poll(Wait::Until(Time::FAR_FUTURE));
    drop(watchdog);
    assert_eq!(rig.order, tokens);
    assert_eq!(rig.results[&tokens[0]], 0);
    assert_eq!(rig.backend.counters().enters, 0);
}

fn event_wait_is_reset_by_its_completion(rig: &mut Rig<impl WatchSet>) {
    let event = event();
    let wait = Request::EventWait { event: descriptor(&event) };
    let parked = [rig.start(wait), rig.start(wait)];
    rig.assert_waits(parked[0]);
    write(&event, &2u64.to_ne_bytes());
    assert!(rig.finish(parked[0]) >= 0);
    rig.assert_waits(parked[1]);
    write(&event, &1u64.to_ne_bytes());
    assert!(rig.finish(parked[1]) >= 0);
    write(&event, &1u64.to_ne_bytes());
    assert!(rig.perform(wait) >= 0, "one that is set already");
    let parked = rig.start(wait);
    rig.assert_waits(parked);
}

fn wake_ends_the_next_wait_and_only_one(rig: &mut Rig<impl WatchSet>) {
    let event = event();
    rig.start(Request::EventWait { event: descriptor(&event) });
    let waker = rig.backend.waker();
    let _watchdog = Watchdog::over("a wake before the wait ends it");
    for _ in 0..3 {
        waker.wake();
        waker.wake();
        assert_eq!(rig.poll(Wait::Until(Time::FAR_FUTURE)), 0);
        let deadline = rig.clock.now() + Duration::from_micros(300);
        rig.poll(Wait::Until(deadline));
        assert!(rig.clock.now() >= deadline, "both wakes were answered by the first wait");
    }
}

fn wake_from_another_thread_ends_a_wait(rig: &mut Rig<impl WatchSet>) {
    let _watchdog = Watchdog::over("a wake from another thread ends the wait");
    for _ in 0..200 {
        let waker = rig.backend.waker();
        let thread = std::thread::spawn(move || waker.wake());
        // Nothing is parked: only the wake can end it, whichever of the two comes first.
        rig.poll(Wait::Until(Time::FAR_FUTURE));
        rig.poll(Wait::No); // nothing to wait for: the flag alone is looked at
        thread.join().unwrap();
    }
}

fn deadline_never_ends_early(rig: &mut Rig<impl WatchSet>) {
    for microseconds in [1, 50, 300, 999, 1000, 1001, 2500] {
        let deadline = rig.clock.now() + Duration::from_micros(microseconds);
        rig.poll(Wait::Until(deadline));
        assert!(rig.clock.now() >= deadline, "a wait of {microseconds} µs was cut short");
    }
    rig.poll(Wait::Until(Time::ORIGIN)); // long past: returns
}

#[test]
fn milliseconds_are_rounded_up_and_bounded() {
    assert_eq!(milliseconds_up(Duration::ZERO), 0);
    assert_eq!(milliseconds_up(Duration::from_nanos(1)), 1);
    assert_eq!(milliseconds_up(Duration::from_millis(7)), 7);
    assert_eq!(milliseconds_up(Duration::from_nanos(7_000_001)), 8);
    assert_eq!(milliseconds_up(Duration::MAX), i32::MAX);
}

fn cancel_takes_a_parked_request_out_of_the_middle(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffers = [[0u8; 2]; 3];
    let tokens = buffers.each_mut().map(|buffer| rig.start(receive(&ours, buffer)));
    assert!(rig.backend.cancel(tokens[1]));
    assert_eq!(rig.finish(tokens[1]), -libc::ECANCELED);
    write(&theirs, b"abcd");
    assert_eq!((rig.finish(tokens[0]), rig.finish(tokens[2])), (2, 2));
    assert_eq!(buffers, [*b"ab", [0; 2], *b"cd"]);
    assert_eq!(rig.order, [tokens[1], tokens[0], tokens[2]]);
}

fn cancel_of_a_completed_or_unknown_token_does_nothing(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    write(&theirs, b"ab");
    let mut buffer = [0u8; 2];
    let known = rig.start(receive(&ours, &mut buffer));
    assert!(rig.backend.cancel(known), "the result is known, only not yet told");
    assert_eq!(rig.finish(known), 2);
    let parked = rig.start_in(known.slot(), receive(&ours, &mut buffer));
    assert!(rig.backend.cancel(known), "a stale token of the same slot");
    assert!(rig.backend.cancel(Token::new(1 << 30, 5_000_000)));
    rig.assert_waits(parked);
    assert_eq!(rig.results.len(), 1);
}

fn cancelled_progress_does_not_leak_into_the_slots_next_use(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffer = [0u8; 4];
    let first = rig.start_in(9, receive_exact(&ours, &mut buffer));
    write(&theirs, b"xy");
    rig.assert_waits(first);
    assert!(rig.backend.cancel(first));
    // What has moved is told, and no more: whoever cancelled knows that the rest is not to come.
    assert_eq!(rig.finish(first), 2);
    write(&theirs, b"abcd");
    let second = rig.start_in(9, receive_exact(&ours, &mut buffer));
    assert_eq!(rig.finish(second), 4);
    assert_eq!(&buffer, b"abcd");
}

/// Puts `source` in the place of `number`, closing what was there: what a close and an open elsewhere may come to.
fn replace(number: &mut OwnedFd, source: &OwnedFd) {
    rustix::io::dup2(source, number).unwrap();
}

fn descriptor_number_closed_and_reused_elsewhere_is_watched_anew(rig: &mut Rig<impl WatchSet>) {
    let (mut ours, theirs) = pair();
    let mut buffer = [0u8; 2];
    let token = rig.start(receive(&ours, &mut buffer));
    rig.assert_waits(token);
    write(&theirs, b"ab");
    assert_eq!(rig.finish(token), 2);
    let (new_ours, new_theirs) = pair();
    replace(&mut ours, &new_ours);
    drop((theirs, new_ours));
    let token = rig.start(receive(&ours, &mut buffer));
    rig.assert_waits(token);
    write(&new_theirs, b"cd");
    assert_eq!(rig.finish(token), 2);
    assert_eq!(&buffer, b"cd");
}

fn stale_interest_of_a_cancelled_request_does_not_hide_a_new_owner(rig: &mut Rig<impl WatchSet>) {
    let (mut ours, theirs) = pair();
    let mut buffer = [0u8; 2];
    let token = rig.start(receive(&ours, &mut buffer));
    rig.assert_waits(token); // armed in the kernel by now
    rig.backend.cancel(token);
    let (new_ours, new_theirs) = pair();
    replace(&mut ours, &new_ours);
    drop((theirs, new_ours));
    let token = rig.start(receive(&ours, &mut buffer)); // before any poll could notice
    write(&new_theirs, b"cd");
    assert_eq!(rig.finish(token), 2);
}

fn duplicate_of_a_closed_descriptor_does_not_make_waits_spin(rig: &mut Rig<impl WatchSet>) {
    let (mut ours, theirs) = pair();
    let mut buffer = [0u8; 2];
    let token = rig.start(receive(&ours, &mut buffer));
    rig.assert_waits(token);
    rig.backend.cancel(token);
    let elsewhere = rustix::io::fcntl_dupfd_cloexec(&ours, 0).unwrap();
    let (new_ours, new_theirs) = pair();
    replace(&mut ours, &new_ours);
    drop(new_ours);
    let token = rig.start(receive(&ours, &mut buffer));
    write(&theirs, b"old"); // readable for the duplicate, whose registration bears the reused number
    rig.assert_waits(token);
    let enters = rig.backend.counters().enters;
    let deadline = rig.clock.now() + Duration::from_millis(2);
    while rig.clock.now() < deadline {
        rig.poll(Wait::Until(deadline));
    }
    assert!(rig.backend.counters().enters - enters <= 2, "waits slept");
    write(&new_theirs, b"cd");
    assert_eq!(rig.finish(token), 2);
    assert_eq!(drain(&elsewhere), 3);
}

fn close_ends_what_is_parked_and_hangs_up(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffer = [0u8; 2];
    fill(&ours);
    let parked = [rig.start(receive(&ours, &mut buffer)), rig.start(send(&ours, b"late", true))];
    rig.assert_waits(parked[0]);
    let number = std::os::fd::IntoRawFd::into_raw_fd(ours);
    let close = rig.start(Request::Close { descriptor: crate::backend::Descriptor(number.into()) });
    assert_eq!(rig.finish(close), 0);
    assert_eq!(parked.map(|token| rig.results[&token]), [-libc::ECANCELED; 2]);
    assert!(drain(&theirs) > 0);
    assert_eq!(rustix::io::read(&theirs, &mut [0u8; 1]), Ok(0), "the end of the stream");
    assert_eq!(rig.backend.counters().workers, 0, "a socket needs no worker to close");
}

fn bad_descriptor_fails_at_once(rig: &mut Rig<impl WatchSet>) {
    let none = crate::backend::Descriptor::NONE;
    let mut buffer = [0u8; 2];
    let (buffer, length) = (buffer.as_mut_ptr(), 2);
    for request in [
        Request::Receive { socket: none, buffer, length, exact: true },
        Request::Send { socket: none, buffer, length, exact: true, more: true, zero_copy: false },
        Request::Accept { listener: none, peer: std::ptr::null_mut(), multishot: false },
        Request::Connect { socket: none, address: &crate::backend::RawAddress::EMPTY },
        Request::EventWait { event: none },
        Request::Close { descriptor: none },
    ] {
        assert_eq!(rig.perform(request), -libc::EBADF, "{request:?}");
    }
}

fn nothing_is_missing_and_masked_capabilities_are_not_in_force<S: WatchSet>(rig: &mut Rig<S>) {
    assert!(rig.backend.missing().is_empty());
    assert_eq!(rig.backend.descriptor_mode(), DescriptorMode::NonBlocking);
    assert_eq!(rig.backend.name(), S::NAME);
    let mut masked = Rig::<S>::new(Capabilities::all() - Capabilities::NANOSECOND_WAITS);
    assert_eq!(masked.backend.capabilities(), Capabilities::empty());
    assert!(!masked.backend.links(&Request::Nop));
    let token = masked.start(Request::Nop);
    assert_eq!(masked.finish(token), 0);

    let (outcome, capabilities) = super::Readiness::<S>::report();
    assert!(outcome.is_ok(), "{outcome:?}");
    let detected = capabilities.iter().filter(|line| line.detected).fold(Capabilities::empty(), |all, line| {
        assert!(!line.since.is_empty() && !line.note.is_empty());
        all | line.capability
    });
    let all = Rig::<S>::new(Capabilities::all());
    assert_eq!(all.backend.capabilities(), detected, "doctor and backend agree");
}

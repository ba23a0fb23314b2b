use std::os::unix::net::UnixStream;

use rustix::event::EventfdFlags;

use super::*;

impl Driver {
    fn cancel(&mut self, token: Token) {
        assert!(self.backend.cancel(token));
    }
}

#[test]
fn cancelled_receive_completes_once() {
    let Some(mut driver) = Driver::new() else { return };
    for non_blocking in [false, true] {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(non_blocking).unwrap();
        let mut buffer = [0u8; 8];
        let (socket, buffer) = (descriptor(&near), buffer.as_mut_ptr());
        let receive = driver.start(Request::Receive { socket, buffer, length: 8, exact: true });
        driver.settle();
        driver.cancel(receive);
        assert_eq!(driver.finish(receive), -libc::ECANCELED);
        driver.settle();
        assert!(!driver.has(receive.with_role(role::CANCEL_MISSED)));
    }
    assert_eq!(driver.backend.table.in_flight, 0);
}

#[test]
fn request_cancelled_before_the_kernel_saw_it_ends() {
    let Some(mut driver) = Driver::new() else { return };
    for flags in [EventfdFlags::empty(), EventfdFlags::NONBLOCK] {
        let event = event(flags);
        let wait = driver.start(Request::EventWait { event: descriptor(&event) });
        driver.cancel(wait);
        assert_eq!(driver.finish(wait), -libc::ECANCELED);
    }
}

#[test]
fn cancel_between_two_tries_ends_the_request() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::NONBLOCK);
    let wait = Request::EventWait { event: descriptor(&event) };
    // The wait for readiness is not handed over yet.
    let token = driver.refused(wait, libc::EAGAIN, false);
    driver.cancel(token);
    assert_eq!(driver.finish(token), -libc::ECANCELED);

    // While readiness is awaited.
    let token = driver.refused(wait, libc::EAGAIN, false);
    driver.settle();
    driver.cancel(token);
    assert_eq!(driver.finish(token), -libc::ECANCELED);
    assert!(!driver.has(token.with_role(role::CANCEL_MISSED)));

    // It is ready, but the next try has not been made: the cancel comes in time and nothing is read.
    let token = driver.refused(wait, libc::EAGAIN, false);
    driver.settle();
    signal(&event);
    driver.cancel(token);
    assert_eq!(driver.finish(token), -libc::ECANCELED);
    assert_eq!(rustix::io::read(&event, &mut [0; 8]), Ok(8));
    assert_eq!(driver.backend.table.in_flight, 0);
}

#[test]
fn cancelled_head_takes_its_follower_along() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::empty());
    let (near, _far) = UnixStream::pair().unwrap();
    let buffer = b"x".as_ptr();
    let send =
        Request::Send { socket: descriptor(&near), buffer, length: 1, exact: true, more: false, zero_copy: false };
    let [wait, sent] = driver.chain([Request::EventWait { event: descriptor(&event) }, send]);
    driver.settle();
    // A follower is not to be found before it runs.
    driver.cancel(sent);
    assert_eq!(driver.finish(sent.with_role(role::CANCEL_MISSED)), -libc::ENOENT);
    assert!(!driver.has(sent));
    driver.cancel(wait);
    assert_eq!((driver.finish(wait), driver.finish(sent)), (-libc::ECANCELED, -libc::ECANCELED));
}

#[test]
fn cancel_of_what_has_ended_is_missed() {
    let Some(mut driver) = Driver::new() else { return };
    let nop = driver.start(Request::Nop);
    assert_eq!(driver.finish(nop), 0);
    driver.cancel(nop);
    assert_eq!(driver.finish(nop.with_role(role::CANCEL_MISSED)), -libc::ENOENT);
    // One that the slot has forgotten, and one that it never had.
    for stranger in [Token::new(77, nop.slot()), Token::new(1, 60), Token::new(1, 1 << 20)] {
        driver.cancel(stranger);
        assert_eq!(driver.finish(stranger.with_role(role::CANCEL_MISSED)), -libc::ENOENT);
    }
}

#[test]
fn close_is_never_cancelled() {
    let Some(mut driver) = Driver::new() else { return };
    let fd = std::os::fd::IntoRawFd::into_raw_fd(event(EventfdFlags::empty()));
    let close = driver.start(Request::Close { descriptor: Descriptor(fd.into()) });
    driver.cancel(close);
    assert_eq!(driver.finish(close), 0);
}

#[test]
fn cancel_finds_room_in_a_full_queue() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::empty());
    let wait = driver.start(Request::EventWait { event: descriptor(&event) });
    driver.settle();
    while driver.backend.ring.room() > 0 {
        driver.start(Request::Nop);
    }
    driver.cancel(wait);
    assert_eq!(driver.finish(wait), -libc::ECANCELED);
}

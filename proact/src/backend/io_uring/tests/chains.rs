use std::io::Read;
use std::os::unix::net::UnixStream;

use rustix::event::EventfdFlags;

use super::*;

fn send(socket: &UnixStream, bytes: &'static [u8]) -> Request {
    let (buffer, length) = (bytes.as_ptr(), bytes.len());
    Request::Send { socket: descriptor(socket), buffer, length, exact: true, more: false, zero_copy: false }
}

#[test]
fn chain_runs_whole_in_one_enter() {
    let Some(mut driver) = Driver::new() else { return };
    let scratch = Scratch::new("chain");
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(scratch.file("f")).unwrap();
    let file = descriptor(&file);
    let mut buffer = [0u8; 5];
    let tokens = driver.chain([
        Request::Write { file, offset: 0, buffer: b"linked".as_ptr(), length: 6, fixed: None },
        Request::Read { file, offset: 1, buffer: buffer.as_mut_ptr(), length: 5, fixed: None },
        Request::Sync { file, data_only: true },
    ]);
    assert_eq!(tokens.map(|token| driver.finish(token)), [6, 5, 0]);
    assert_eq!(&buffer, b"inked");
    assert_eq!(driver.backend.counters().chains, 1);
}

#[test]
fn nothing_is_linked_behind_what_does_not_sever_its_link() {
    let Some(mut driver) = Driver::new() else { return };
    let sync = Request::Sync { file: crate::backend::Descriptor::NONE, data_only: false };
    let steps = [sync, Request::Nop].map(|request| (driver.token(), request));
    // SAFETY: neither has pointers.
    assert!(!unsafe { driver.backend.start_linked(&steps) }, "the nop would run behind a failed sync");
    assert_eq!(driver.backend.counters().chains, 0);
}

#[test]
fn short_read_severs_what_follows() {
    let Some(mut driver) = Driver::new() else { return };
    let scratch = Scratch::new("severed");
    std::fs::write(scratch.file("f"), "ab").unwrap();
    let file = std::fs::File::open(scratch.file("f")).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut buffer = [0u8; 4];
    let tokens = driver.chain([
        Request::Read { file: descriptor(&file), offset: 0, buffer: buffer.as_mut_ptr(), length: 4, fixed: None },
        send(&near, b"never"),
        Request::Nop,
    ]);
    assert_eq!(tokens.map(|token| driver.finish(token)), [2, -libc::ECANCELED, -libc::ECANCELED]);
    far.set_nonblocking(true).unwrap();
    assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn event_starts_the_send_behind_it() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::empty());
    let (near, mut far) = UnixStream::pair().unwrap();
    let [wait, sent] = driver.chain([Request::EventWait { event: descriptor(&event) }, send(&near, b"go")]);
    driver.settle();
    assert!(!driver.has(wait) && !driver.has(sent));
    signal(&event);
    assert_eq!(driver.finish(sent), 2);
    assert!(driver.finish(wait) >= 0);
    let mut buffer = [0; 2];
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"go");
}

#[test]
fn step_that_the_kernel_would_not_wait_for_is_handed_back() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::NONBLOCK);
    let wait = Request::EventWait { event: descriptor(&event) };
    // A wait for readiness could not bring the severed link back.
    let token = driver.refused(wait, libc::EAGAIN, true);
    assert_eq!(driver.finish(token), -libc::ECANCELED);
    // The last step has no one behind it and is waited for as ever.
    let token = driver.refused(wait, libc::EAGAIN, false);
    driver.settle();
    assert!(!driver.has(token));
    signal(&event);
    assert!(driver.finish(token) >= 0);
}

#[test]
fn chain_is_started_whole_or_not_at_all() {
    let Some(mut driver) = Driver::new() else { return };
    for _ in 0..14 {
        driver.start(Request::Nop);
    }
    let steps = [1, 2, 3].map(|slot| (Token::new(500 + slot, slot as u32), Request::Nop));
    // SAFETY: NOPs have no pointers.
    unsafe {
        assert!(!driver.backend.start_linked(&steps));
        assert!(driver.backend.start_linked(&steps[..2]));
    }
    assert_eq!(driver.poll(Wait::No), 16);

    let close = Request::Close { descriptor: Descriptor::NONE };
    assert!(!driver.backend.links(&close));
    // SAFETY: no pointers.
    assert!(!unsafe { driver.backend.start_linked(&[steps[2], (Token::new(600, 5), close)]) });
    assert_eq!(driver.poll(Wait::No), 0);
}

#[test]
fn chain_split_by_the_kernel_gives_its_rest_back_as_cancelled() {
    let Some(mut driver) = Driver::new() else { return };
    let event = event(EventfdFlags::empty());
    let (near, mut far) = UnixStream::pair().unwrap();
    let wait = Request::EventWait { event: descriptor(&event) };
    let [head, second, third] = driver.chain([wait, send(&near, b"too early"), Request::Nop]);
    let after = driver.start(Request::Nop);
    // What the kernel does when memory for requests runs out in the middle of a batch.
    driver.backend.ring.enter_with(1, 0, None).unwrap();
    driver.backend.mend_split_chain();
    assert_eq!(driver.finish(second), -libc::ECANCELED);
    assert_eq!(driver.finish(third), -libc::ECANCELED);
    assert_eq!(driver.finish(after), 0);
    assert!(!driver.has(head));
    far.set_nonblocking(true).unwrap();
    assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    signal(&event);
    assert!(driver.finish(head) >= 0);
    assert_eq!(driver.backend.table.in_flight, 0);
}

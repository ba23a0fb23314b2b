use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use super::*;
use crate::backend::{IoSlice, RawMessage};

/// A message with room for `bytes`, and for one descriptor.
struct Room {
    bytes: Vec<u8>,
    slices: [IoSlice; 2],
    control: [u64; 3],
    message: RawMessage,
}

impl Room {
    fn new(bytes: usize) -> Box<Room> {
        let slices = [IoSlice { base: std::ptr::null_mut(), length: 0 }; 2];
        let mut room = Box::new(Room { bytes: vec![0; bytes], slices, control: [0; 3], message: RawMessage::EMPTY });
        let (half, base) = (bytes / 2, room.bytes.as_mut_ptr());
        room.slices = [IoSlice { base, length: half }, IoSlice { base: base.wrapping_add(half), length: bytes - half }];
        room.message.slices = room.slices.as_ptr();
        room.message.count = 2;
        room.message.control = room.control.as_mut_ptr().cast();
        room.message.control_length = size_of_val(&room.control);
        room
    }

    fn receive(&mut self, socket: &impl AsRawFd, exact: bool) -> Request {
        Request::ReceiveMessage { socket: descriptor(socket), message: &raw mut self.message, exact, datagram: false }
    }
}

fn send_with(socket: &UnixStream, sent: std::os::fd::BorrowedFd<'_>) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sent = [sent];
    assert!(control.push(SendAncillaryMessage::ScmRights(&sent)));
    assert_eq!(sendmsg(socket, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty()), Ok(1));
}

#[test]
fn received_message_tells_sender_length_and_what_was_cut() {
    let Some(mut driver) = Driver::new() else { return };
    let scratch = Scratch::new("messages");
    let receiver = UnixDatagram::bind(scratch.file("receiver")).unwrap();
    let sender = UnixDatagram::bind(scratch.file("sender")).unwrap();
    let mut room = Room::new(6);
    let token = driver.start(room.receive(&receiver, false));
    driver.settle();
    assert!(!driver.has(token));
    sender.send_to(b"too long", scratch.file("receiver")).unwrap();
    assert_eq!(driver.finish(token), 6);
    assert_eq!((&*room.bytes, room.message.flags & libc::MSG_TRUNC), (b"too lo".as_slice(), libc::MSG_TRUNC));
    assert_eq!(room.message.control_length, 0);
    // Two bytes of family, the path, and its end.
    let path = scratch.file("sender");
    assert_eq!(room.message.address.length as usize, 2 + path.as_os_str().len() + 1);
}

#[test]
fn exact_message_goes_on_over_all_of_its_slices() {
    let Some(mut driver) = Driver::new() else { return };
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut room = Room::new(8);
    // With room for control messages the kernel comes back with what there is.
    room.message.control = std::ptr::null_mut();
    let token = driver.start(room.receive(&near, true));
    driver.settle();
    far.write_all(b"abc").unwrap();
    driver.settle();
    assert!(!driver.has(token));
    far.write_all(b"defgh").unwrap();
    assert_eq!((driver.finish(token), &*room.bytes), (8, b"abcdefgh".as_slice()));
    let send = Request::SendMessage {
        socket: descriptor(&near),
        message: &raw mut room.message,
        exact: true,
        more: false,
        datagram: false,
    };
    assert_eq!(driver.run(send), 8);
    let mut text = [0; 8];
    far.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"abcdefgh");
}

#[test]
fn descriptor_of_a_message_that_no_one_was_told_of_is_closed() {
    let Some(mut driver) = Driver::new() else { return };
    let (near, far) = UnixStream::pair().unwrap();
    let (mut kept, sent) = UnixStream::pair().unwrap();
    let mut room = Room::new(4);
    driver.start(room.receive(&near, false));
    driver.settle();
    send_with(&far, sent.as_fd());
    drop(sent);
    // The kernel has received it, or is asked to while the backend goes.
    drop(driver);
    drop((near, far));
    let mut text = Vec::new();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(kept.read_to_end(&mut text).unwrap(), 0, "the other end is open somewhere");
}

#[test]
fn cancelled_message_takes_nothing() {
    let Some(mut driver) = Driver::new() else { return };
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut room = Room::new(4);
    let token = driver.start(room.receive(&near, false));
    driver.settle();
    assert!(driver.backend.cancel(token));
    assert_eq!(driver.finish(token), -libc::ECANCELED);
    far.write_all(b"next").unwrap();
    let mut room = Room::new(4);
    assert_eq!((driver.run(room.receive(&near, false)), &*room.bytes), (4, b"next".as_slice()));
}

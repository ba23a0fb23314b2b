use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

use socket2::{Domain, SockAddr, Socket, Type};

use super::*;

fn raw_address(address: SocketAddr) -> RawAddress {
    let address = SockAddr::from(address);
    let mut raw = RawAddress { length: address.len(), ..RawAddress::EMPTY };
    // SAFETY: an address of `len` bytes, which fit into the 128 of the storage.
    unsafe {
        std::ptr::copy_nonoverlapping(address.as_ptr().cast(), raw.bytes.as_mut_ptr(), address.len() as usize);
    }
    raw
}

fn connect_and_talk(non_blocking: bool) {
    let Some(mut driver) = Driver::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(non_blocking).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(non_blocking).unwrap();

    let mut peer = RawAddress::EMPTY;
    let accept =
        driver.start(Request::Accept { listener: descriptor(&listener), peer: &raw mut peer, multishot: false });
    driver.settle();
    assert!(!driver.has(accept));
    let address = raw_address(listener.local_addr().unwrap());
    assert_eq!(driver.run(Request::Connect { socket: descriptor(&socket), address: &raw const address }), 0);
    let fd = driver.finish(accept);
    assert!(fd > 2, "{fd}");
    // SAFETY: the backend made this descriptor for us.
    let mut accepted = unsafe { TcpStream::from_raw_fd(fd) };
    // SAFETY: it is only looked at.
    let flags = unsafe { (libc::fcntl(fd, libc::F_GETFD), libc::fcntl(fd, libc::F_GETFL) & libc::O_NONBLOCK) };
    assert_eq!(flags, (libc::FD_CLOEXEC, 0));
    let local = raw_address(socket.local_addr().unwrap().as_socket().unwrap());
    assert_eq!((peer.length, &peer.bytes[..8]), (16, &local.bytes[..8]));

    // A receive that has to wait, in two pieces: the exact one takes both, the other is content with what there is.
    let mut buffer = [0u8; 8];
    let receive = |buffer: &mut [u8], exact| Request::Receive {
        socket: descriptor(&socket),
        buffer: buffer.as_mut_ptr(),
        length: buffer.len(),
        exact,
    };
    let exact = driver.start(receive(&mut buffer, true));
    driver.settle();
    accepted.write_all(b"abc").unwrap();
    driver.settle();
    assert!(!driver.has(exact));
    accepted.write_all(b"defgh").unwrap();
    assert_eq!(driver.finish(exact), 8);
    assert_eq!(&buffer, b"abcdefgh");
    let some = driver.start(receive(&mut buffer, false));
    driver.settle();
    assert!(!driver.has(some));
    accepted.write_all(b"xyz").unwrap();
    assert_eq!(driver.finish(some), 3);
    assert_eq!(&buffer[..3], b"xyz");

    // More than the socket holds: the peer reads while the send goes on. A non-blocking socket may send it in parts.
    let large = vec![7u8; 8 << 20];
    let total = large.len();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; total];
        accepted.read_exact(&mut received).unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        accepted
    });
    let mut sent = 0;
    while sent < total {
        let (buffer, length) = (large[sent..].as_ptr(), total - sent);
        let send =
            Request::Send { socket: descriptor(&socket), buffer, length, exact: true, more: false, zero_copy: false };
        let count = driver.run(send);
        assert!(count > 0, "{count}");
        assert!(non_blocking || count as usize == total, "{count}");
        sent += count as usize;
    }
    drop(reader.join().unwrap());

    let mut end = [0u8; 4];
    assert_eq!(driver.run(receive(&mut end, true)), 0);
}

#[test]
fn sockets_connect_and_talk() {
    connect_and_talk(false);
}

#[test]
fn non_blocking_sockets_are_waited_for() {
    connect_and_talk(true);
}

#[test]
fn connect_to_nobody_is_refused() {
    let Some(mut driver) = Driver::new() else { return };
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        raw_address(listener.local_addr().unwrap())
    };
    for non_blocking in [false, true] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(non_blocking).unwrap();
        let connect = Request::Connect { socket: descriptor(&socket), address: &raw const address };
        assert_eq!(driver.run(connect), -libc::ECONNREFUSED);
    }
}

#[test]
fn send_to_a_closed_peer_raises_no_signal() {
    let Some(mut driver) = Driver::new() else { return };
    let (near, far) = UnixStream::pair().unwrap();
    drop(far);
    // Rust programs ignore SIGPIPE, but a blocked signal is kept pending even so.
    let is_pending = || {
        // SAFETY: plain integers, for which zero is a value; the calls only fill and read them.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigpending(&raw mut set);
            libc::sigismember(&raw const set, libc::SIGPIPE) == 1
        }
    };
    // SAFETY: only this thread's mask changes, and it ends with the test.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    let buffer = b"x".as_ptr();
    let send =
        Request::Send { socket: descriptor(&near), buffer, length: 1, exact: true, more: false, zero_copy: false };
    assert_eq!(driver.run(send), -libc::EPIPE);
    assert!(!is_pending());
    // SAFETY: one readable byte.
    assert_eq!(unsafe { libc::send(near.as_raw_fd(), buffer.cast(), 1, 0) }, -1);
    assert!(is_pending(), "the check sees a signal where there is one");
}

#[test]
fn failed_accept_leaves_no_address() {
    let Some(mut driver) = Driver::new() else { return };
    let mut peer = RawAddress::EMPTY;
    let result = driver.run(Request::Accept { listener: Descriptor::NONE, peer: &raw mut peer, multishot: false });
    assert_eq!((result, peer.length), (-libc::EBADF, 0));
}

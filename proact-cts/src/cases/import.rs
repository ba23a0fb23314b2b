//! Descriptors that were there already, taken in and given out.

use std::io::{Read as _, Seek, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};

use proact::operation::{Accept, Close, Connect, Read, Receive, ReceiveFrom, Send, SendTo, Write};
use proact::resource::{Address, Domain, SocketState, SocketType};
use proact::status::Code;

use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;
use crate::system::descriptors;

cases![
    sockets_of_every_kind_and_state_are_taken_in.real("a descriptor of the operating system"),
    either_blocking_mode_is_taken_in_and_suits_the_backend.real("a descriptor of the operating system"),
    a_socket_that_is_taken_in_is_closed_on_exec.real("a descriptor of the operating system"),
    what_is_no_socket_is_refused_and_comes_back_as_it_was.real("a descriptor of the operating system").alone(),
    failures_stick_to_a_connection_that_was_taken_in.real("a descriptor of the operating system"),
    the_last_handle_gives_the_socket_out.real("a descriptor of the operating system"),
    other_handles_and_operations_keep_the_socket.real("a descriptor of the operating system"),
    a_closed_socket_has_nothing_to_give_out.real("a descriptor of the operating system"),
    a_duplicate_is_another_descriptor_of_the_same_socket.real("a descriptor of the operating system").alone(),
    a_socket_goes_from_one_proactor_to_another.real("a descriptor of the operating system"),
    files_are_taken_in_and_given_out.real("a descriptor of the operating system"),
    what_has_no_offsets_is_refused_as_a_file.real("a descriptor of the operating system"),
    a_file_that_says_it_would_not_block_is_read_like_any_other
        .real("a descriptor of the operating system")
        .only(Only::Extremes),
];

fn non_blocking(fd: &impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

fn sockets_of_every_kind_and_state_are_taken_in(cts: &mut Cts) {
    let handle = cts.handle().clone();
    // A listener, and one of its connections.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let listener = handle.import_socket(listener.into()).unwrap();
    assert_eq!((listener.state(), listener.domain()), (SocketState::Listening, Domain::Ipv4));
    assert_eq!(listener.local_address().unwrap(), address);
    let mut outside = std::net::TcpStream::connect(address.to_string()).unwrap();
    let server = cts.get(Accept::new(listener.clone())).socket;
    outside.write_all(b"from outside").unwrap();
    assert_eq!(cts.one(Receive::exact(server, vec![0; 12])).kind.buffer, b"from outside");
    // A connection.
    let client = handle.import_socket(outside.into()).unwrap();
    assert_eq!((client.state(), client.socket_type()), (SocketState::Connected, SocketType::Stream));
    cts.get(Send::exact(client, b"x".as_slice()));
    // One that is neither.
    let fresh = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let fresh = handle.import_socket(fresh.into()).unwrap();
    assert_eq!(fresh.state(), SocketState::Created);
    cts.get(Connect::new(fresh, address));
    // Datagrams.
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = Address::from(udp.local_addr().unwrap());
    let udp = handle.import_socket(udp.into()).unwrap();
    assert_eq!(udp.socket_type(), SocketType::Datagram);
    cts.get(SendTo::new(udp.clone(), b"self".as_slice(), to));
    assert_eq!(cts.get(ReceiveFrom::new(udp, vec![0; 8])).length, 4);
    // Unix.
    let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
    let (one, two) = (handle.import_socket(one.into()).unwrap(), handle.import_socket(two.into()).unwrap());
    assert_eq!((one.domain(), one.state()), (Domain::Unix, SocketState::Connected));
    cts.get(Send::exact(one, b"pair".as_slice()));
    assert_eq!(cts.get(Receive::exact(two, vec![0; 4])), 4);
}

fn either_blocking_mode_is_taken_in_and_suits_the_backend(cts: &mut Cts) {
    for mode in [true, false] {
        let (mut outside, inside) = std::os::unix::net::UnixStream::pair().unwrap();
        inside.set_nonblocking(mode).unwrap();
        let socket = cts.handle().import_socket(inside.into()).unwrap();
        assert_eq!(socket.try_with_fd(|fd| non_blocking(&fd)).unwrap(), !cts.config.is_ring());
        // A receive that has to wait does not hold the poll thread, nor fails.
        let receive = cts.start(Receive::exact(socket, vec![0; 2]));
        cts.look();
        assert_eq!(receive.calls(), 0);
        outside.write_all(b"ok").unwrap();
        cts.until("the bytes", || receive.is_done());
        assert_eq!(receive.only().kind.buffer, b"ok");
    }
}

fn a_socket_that_is_taken_in_is_closed_on_exec(cts: &mut Cts) {
    let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&one, rustix::io::FdFlags::empty()).unwrap();
    let socket = cts.handle().import_socket(one.into()).unwrap();
    let flags = socket.try_with_fd(|fd| rustix::io::fcntl_getfd(fd).unwrap()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

fn what_is_no_socket_is_refused_and_comes_back_as_it_was(cts: &mut Cts) {
    let path = cts.path("file");
    cts.look();
    let before = descriptors();
    let raw = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    for (fd, why) in
        [(OwnedFd::from(raw), "neither a stream nor a datagram"), (file.into(), "a file"), (reader, "a pipe")]
    {
        let (number, mode) = (fd.as_raw_fd(), non_blocking(&fd));
        let on_exec = rustix::io::fcntl_getfd(&fd).unwrap();
        let returned = cts.handle().import_socket(fd).expect_err("a refusal");
        assert_eq!(returned.status.code(), Code::InvalidArgument);
        assert!(returned.to_string().contains(why), "{returned}");
        let fd = returned.resource;
        assert_eq!((fd.as_raw_fd(), non_blocking(&fd)), (number, mode));
        assert_eq!(rustix::io::fcntl_getfd(&fd).unwrap(), on_exec);
    }
    drop(writer);
    assert_eq!(descriptors(), before);
}

fn failures_stick_to_a_connection_that_was_taken_in(cts: &mut Cts) {
    let (outside, inside) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = cts.handle().import_socket(inside.into()).unwrap();
    drop(outside);
    let first = cts.fails(Send::exact(socket.clone(), b"x".as_slice()));
    assert_eq!(first.code(), Code::Unavailable);
    assert_eq!(socket.failure().unwrap().to_string(), first.to_string());
}

fn the_last_handle_gives_the_socket_out(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(server.clone(), b"before".as_slice()));
    let number = client.try_with_fd(|fd| fd.as_raw_fd()).unwrap();
    let fd = client.into_fd().unwrap();
    assert_eq!(fd.as_raw_fd(), number);
    let mut outside = std::net::TcpStream::from(fd);
    outside.set_nonblocking(false).unwrap();
    let mut text = [0; 6];
    outside.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"before");
    outside.write_all(b"after").unwrap();
    assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; 5])).kind.buffer, b"after");
    // And in again.
    let again = cts.handle().import_socket(outside.into()).unwrap();
    cts.get(Send::exact(server, b"again".as_slice()));
    assert_eq!(cts.get(Receive::exact(again, vec![0; 5])), 5);
}

fn other_handles_and_operations_keep_the_socket(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let other = client.clone();
    let returned = client.into_fd().expect_err("another handle keeps it");
    assert_eq!(returned.status.code(), Code::FailedPrecondition);
    drop(other);
    let client = returned.resource;
    let receive = cts.start(Receive::exact(client.clone(), vec![0; 2]));
    let client = client.into_fd().expect_err("the operation keeps it").resource;
    cts.get(Send::exact(server, b"ok".as_slice()));
    cts.until("the receive", || receive.is_done());
    drop(receive);
    assert!(client.into_fd().is_ok());
}

fn a_closed_socket_has_nothing_to_give_out(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    cts.get(Close::new(client.clone()));
    let returned = client.into_fd().expect_err("nothing to give out");
    assert_eq!(returned.status.code(), Code::FailedPrecondition);
    assert_eq!(returned.resource.state(), SocketState::Closed);
}

fn a_duplicate_is_another_descriptor_of_the_same_socket(cts: &mut Cts) {
    cts.look();
    let before = descriptors();
    let (client, server) = cts.pair();
    let duplicate = client.duplicate().unwrap();
    assert!(rustix::io::fcntl_getfd(&duplicate).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let second = cts.handle().import_socket(duplicate).unwrap();
    assert_eq!(second.peer_address().unwrap(), server.local_address().unwrap());
    // The socket lives on when either is closed.
    cts.get(Close::new(client));
    cts.get(Send::exact(second.clone(), b"still".as_slice()));
    assert_eq!(cts.get(Receive::exact(server.clone(), vec![0; 5])), 5);
    cts.get(Close::new(second));
    assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 5])), 0, "the end, now that both are gone");
    cts.get(Close::new(server));
    assert_eq!(descriptors(), before);
}

fn a_socket_goes_from_one_proactor_to_another(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client, b"moved".as_slice()));
    let fd = server.into_fd().unwrap();
    let _first = cts.take();
    cts.rebuild(|builder| builder);
    let server = cts.handle().import_socket(fd).unwrap();
    assert_eq!(cts.one(Receive::exact(server, vec![0; 5])).kind.buffer, b"moved");
}

fn files_are_taken_in_and_given_out(cts: &mut Cts) {
    let path = cts.path("file");
    let outside = std::fs::File::options().create(true).truncate(true).read(true).write(true).open(path).unwrap();
    rustix::io::fcntl_setfd(&outside, rustix::io::FdFlags::empty()).unwrap();
    let file = cts.handle().import_file(outside.into()).unwrap();
    let flags = file.try_with_fd(|fd| rustix::io::fcntl_getfd(fd).unwrap()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    cts.get(Write::exact(file.clone(), 3, b"inside".as_slice()));
    let copy = cts.handle().import_file(file.duplicate().unwrap()).unwrap();
    assert_eq!(cts.one(Read::exact(copy, 0, vec![0; 9])).kind.buffer, b"\0\0\0inside");
    let other = file.clone();
    let file = file.into_fd().expect_err("another handle keeps it").resource;
    drop(other);
    let mut outside = std::fs::File::from(file.into_fd().unwrap());
    assert_eq!(outside.stream_position().unwrap(), 0, "its position was not used");
    let mut text = String::new();
    outside.read_to_string(&mut text).unwrap();
    assert_eq!(text, "\0\0\0inside");
    let file = cts.handle().import_file(outside.into()).unwrap();
    cts.get(Close::new(file.clone()));
    assert_eq!(file.into_fd().expect_err("nothing to give out").status.code(), Code::FailedPrecondition);
}

fn what_has_no_offsets_is_refused_as_a_file(cts: &mut Cts) {
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut refused = vec![(reader, "a pipe"), (OwnedFd::from(socket), "a socket")];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Opened without CLOEXEC, which being refused must not add.
        let path = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        refused.push((path, "O_PATH"));
    }
    for (fd, why) in refused {
        let (number, flags) = (fd.as_raw_fd(), rustix::io::fcntl_getfd(&fd).unwrap());
        let returned = cts.handle().import_file(fd).expect_err("a refusal");
        assert_eq!((returned.status.code(), returned.resource.as_raw_fd()), (Code::InvalidArgument, number));
        assert!(returned.to_string().contains(why), "{returned}");
        assert_eq!(rustix::io::fcntl_getfd(&returned.resource).unwrap(), flags, "as it was");
    }
    // A directory is one.
    let folder = std::fs::File::open("/").unwrap();
    cts.handle().import_file(folder.into()).unwrap();
}

fn a_file_that_says_it_would_not_block_is_read_like_any_other(cts: &mut Cts) {
    use rustix::fs::{Mode, OFlags};
    // One of a file system whose files the kernel never reads without waiting.
    let fd = rustix::fs::open("/proc/self/status", OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let file = cts.handle().import_file(fd).unwrap();
    let told = cts.one(Read::some(file, 0, vec![0; 64]));
    assert!(told.result.unwrap() > 0 && told.kind.buffer.starts_with(b"Name:"));
}

//! Bytes on real sockets: framing, bounds, ends.

use proact::proactor::{Builder, Choice, survey};

use super::*;
use crate::random::Random;
use crate::remote::wire::{Kind as MessageKind, Message, PAYLOAD_MAX};
use proact::causal::Session;

const SESSION: Session = Session::new(1, 1);
const PATIENCE: Duration = Duration::from_secs(30);

fn choices() -> Vec<Choice> {
    survey().into_iter().filter(|report| report.usable.is_ok()).map(|report| report.choice).collect()
}

fn transport(choice: Choice) -> SocketTransport {
    let proactor = Builder::new().backend(choice).build().unwrap();
    SocketTransport::listen(proactor, &"127.0.0.1:0".parse().unwrap()).unwrap()
}

fn message(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Message::Renew { number }.encode(SESSION, &mut bytes).unwrap();
    bytes
}

/// Waits on both until one is told something.
#[track_caller]
fn next(here: &mut SocketTransport, there: &mut SocketTransport) -> Input {
    let until = here.now() + PATIENCE;
    loop {
        if let Some(input) = here.next_input() {
            return input;
        }
        assert!(here.now() < until, "nothing came");
        there.wait(there.now()).unwrap();
        here.wait(here.now() + Duration::from_millis(5)).unwrap();
    }
}

#[test]
fn messages_come_whole_however_the_bytes_are_cut() {
    let proactor = Builder::new().build().unwrap();
    let (socket, _other) = proactor.handle().socket_pair(proact::resource::SocketType::Stream).unwrap();
    let mut random = Random::new(5);
    for _ in 0..200 {
        let mut expected = Vec::new();
        for _ in 0..random.below(20) {
            let mut bytes = Vec::new();
            let reason = "x".repeat(random.below(400) as usize);
            let any = [Message::Leave, Message::Renew { number: random.next() }, Message::Unwelcome { why: reason }];
            any[random.below(3) as usize].encode(SESSION, &mut bytes).unwrap();
            expected.push(bytes);
        }
        let stream = expected.concat();
        let mut connection = Connection::new(socket.clone(), true);
        let mut got = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(1 + random.below(rest.len().min(90) as u64) as usize);
            got.extend(connection.take_messages(piece).unwrap());
            rest = more;
        }
        assert_eq!(got, expected);
        assert!(connection.partial.is_empty());
    }
}

#[test]
fn what_is_sent_arrives_in_order_and_then_the_end() {
    for choice in choices() {
        let (mut here, mut there) = (transport(choice), transport(choice));
        let link = Link::Opened(7);
        here.carry_out(Output::Open { link, address: there.address().into() });
        for number in 0..1000 {
            here.carry_out(Output::Send { link, bytes: message(number) });
        }
        // Closed at once, and still all of it goes.
        here.carry_out(Output::Close { link });
        let other = Link::Accepted(1);
        for number in 0..1000 {
            assert_eq!(next(&mut there, &mut here), Input::Received { link: other, bytes: message(number) });
        }
        let Input::Closed { link, .. } = next(&mut there, &mut here) else { panic!("it goes on") };
        assert_eq!(link, other);
        assert_eq!(here.next_input(), None, "who closes is not told of the end");
        assert_eq!((here.shutdown(PATIENCE), there.shutdown(PATIENCE)), (0, 0));
    }
}

#[test]
fn an_address_where_nobody_listens_or_that_is_none_ends_the_connection_with_the_reason() {
    for choice in choices() {
        let gone = transport(choice);
        let address = gone.address().to_string();
        gone.shutdown(PATIENCE);
        let (mut here, mut other) = (transport(choice), transport(choice));
        for (number, address) in [(1, address.as_str()), (2, "memory:0")] {
            let link = Link::Opened(number);
            here.carry_out(Output::Open { link, address: address.into() });
            here.carry_out(Output::Send { link, bytes: message(1) });
            let Input::Closed { link: closed, why } = next(&mut here, &mut other) else { panic!() };
            assert_eq!(closed, link);
            assert!(why.contains(address), "{why}");
        }
        assert_eq!(here.next_input(), None);
    }
}

#[test]
fn bytes_that_are_no_message_end_the_connection() {
    for choice in choices() {
        let (mut here, mut there) = (transport(choice), transport(choice));
        let link = Link::Opened(1);
        here.carry_out(Output::Open { link, address: there.address().into() });
        here.carry_out(Output::Send { link, bytes: b"GET / HTTP/1.1\r\n\r\n".to_vec() });
        let Input::Closed { why, .. } = next(&mut there, &mut here) else { panic!() };
        assert_eq!(why, "a message of version 47, and only 1 is known");
        let Input::Closed { link: closed, .. } = next(&mut here, &mut there) else { panic!() };
        assert_eq!(closed, link);
    }
}

/// A peer that takes nothing: the node is told, later told that it is over when the peer takes it after all, and the
/// connection ends when the peer does not.
#[test]
fn what_waits_to_be_sent_is_bounded() {
    let large = || {
        let mut bytes = vec![0; HEAD];
        bytes[..4].copy_from_slice(&(MessageKind::Stage.payload_max() as u32).to_le_bytes());
        bytes[4..6].copy_from_slice(&[1, MessageKind::Stage as u8]);
        bytes.resize(HEAD + MessageKind::Stage.payload_max(), 0);
        assert!(bytes.len() > PAYLOAD_MAX);
        bytes
    };
    for choice in choices() {
        for takes_it in [true, false] {
            let mut here = transport(choice);
            // A listener whose connection nobody receives from, until it does.
            let deaf = Builder::new().backend(choice).build().unwrap();
            let options = SocketOptions::default();
            let listener = deaf.handle().listen(&"127.0.0.1:0".parse().unwrap(), &options).unwrap();
            let address = listener.local_address().unwrap().to_string();
            let link = Link::Opened(1);
            here.carry_out(Output::Open { link, address });
            let mut sent = 0;
            let congested = loop {
                let bytes = large();
                sent += bytes.len();
                here.carry_out(Output::Send { link, bytes });
                here.wait(here.now()).unwrap();
                if let Some(input) = here.next_input() {
                    break input;
                }
                assert!(sent < QUEUE_BYTES_MAX);
            };
            assert_eq!(congested, Input::Congested { link, congested: true });
            if !takes_it {
                let mut ended = None;
                while ended.is_none() && sent < 3 * QUEUE_BYTES_MAX {
                    let bytes = large();
                    sent += bytes.len();
                    here.carry_out(Output::Send { link, bytes });
                    ended = here.next_input();
                }
                let Some(Input::Closed { why, .. }) = ended else { panic!("{ended:?} after {sent} bytes") };
                assert!(why.starts_with("the peer does not take the "), "{why}");
                continue;
            }
            let taken = take_all(deaf, listener, sent);
            let mut other = transport(choice);
            assert_eq!(next(&mut here, &mut other), Input::Congested { link, congested: false });
            here.carry_out(Output::Close { link });
            assert_eq!(here.shutdown(PATIENCE), 0);
            assert_eq!(taken.join().unwrap(), sent);
        }
    }
}

/// Takes a connection, and all that comes on it, on a thread of its own.
fn take_all(_deaf: Proactor, listener: Socket, expected: usize) -> std::thread::JoinHandle<usize> {
    let fd = listener.try_with_fd(|fd| fd.try_clone_to_owned().unwrap()).unwrap();
    std::thread::spawn(move || {
        use std::io::Read;
        let listener = std::net::TcpListener::from(fd);
        listener.set_nonblocking(false).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let (mut total, mut buffer) = (0, vec![0; 1 << 16]);
        while total < expected {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        total
    })
}

//! Splices whose socket has nothing to give, or no room: whoever else uses the pipe is kept from nothing.

use std::time::Duration;

use proact::operation::{Close, ReadStream, Receive, Send, Splice, WriteStream};
use proact::resource::SocketOptions;
use proact::status::Code;

use crate::bench::Cts;
use crate::cases;

cases![
    a_splice_that_waits_for_its_socket_keeps_no_one_from_its_pipe.real("splices"),
    a_splice_into_a_full_socket_keeps_no_one_from_its_pipe.real("splices"),
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Time for a worker of the kernel to take what was submitted, and to wait in it.
fn settle(cts: &mut Cts) {
    for _ in 0..10 {
        cts.look();
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn a_splice_that_waits_for_its_socket_keeps_no_one_from_its_pipe(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (reader, writer) = cts.handle().pipe().unwrap();
    let splice = cts.start(Splice::socket_to_pipe(server, writer.clone(), 100));
    settle(cts);
    // The pipe is locked as long as a worker of the kernel waits in it, and these would hang with the poll thread.
    let read = cts.start(ReadStream::exact(reader.clone(), vec![0; 100]));
    settle(cts);
    cts.get(Send::exact(client.clone(), pattern(100)));
    cts.until("the bytes", || read.is_done() && splice.is_done());
    assert_eq!(read.only().kind.buffer, pattern(100));
    let (splice, waits) = (splice.only().kind, cts.start(ReadStream::exact(reader.clone(), vec![0; 1])));
    let splice = cts.start(splice);
    settle(cts);
    cts.get(Close::new(writer));
    cts.get(Close::new(reader));
    cts.until("the read to be cancelled", || waits.is_done());
    assert!(!splice.is_done(), "it has the pipe to itself, and waits for bytes");
    cts.get(Close::new(client));
    cts.until("the splice", || splice.is_done());
    assert_eq!(splice.only().status().code(), Code::Unavailable, "no one reads the pipe any more");
}

fn a_splice_into_a_full_socket_keeps_no_one_from_its_pipe(cts: &mut Cts) {
    let length = 3 << 20;
    let options =
        SocketOptions { send_buffer: Some(64 << 10), receive_buffer: Some(64 << 10), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let (reader, writer) = cts.handle().pipe().unwrap();
    let splice = cts.start(Splice::pipe_to_socket(reader.clone(), client, length));
    let write = cts.start(WriteStream::exact(writer.clone(), pattern(length)));
    // The write has begun, or the close below would leave nothing to be spliced.
    cts.get(Receive::exact(server.clone(), vec![0; 1]));
    settle(cts);
    assert!(!splice.is_done() && !write.is_done(), "the socket holds it all");
    // Nothing of this waits for the peer.
    let closed = cts.start(Close::new(writer));
    cts.until("the close", || closed.is_done() && write.is_done());
    let sent = write.only().moved;
    let received = cts.start(Receive::exact(server, vec![0; sent - 1]));
    cts.until("what was written before", || received.is_done());
    cts.until("the end of the pipe", || splice.is_done());
    assert!(received.only().kind.buffer == pattern(length)[1..sent]);
    assert_eq!(splice.only().status().code(), Code::OutOfRange, "the pipe's end came early");
    drop(reader);
}

//! Pipes, and bytes that move between descriptors.

use std::io::Write as _;

use proact::backend::OpenFlags;
use proact::operation::{Close, Kind, Op, Open, ReadStream, Receive, Send, SendFile, Splice, WriteStream};
use proact::resource::{Shutdown, Socket, SocketOptions, Stream};
use proact::status::{Code, Operation};

use super::datagram::refused;
use crate::bench::{Cts, Told};
use crate::cases;

// Those in which no one reads run alone: a child that another case starts has all descriptors of this process until it
// executes its program.
cases![
    bytes_come_out_of_a_pipe_as_they_went_in,
    a_read_waits_for_a_writer_and_some_takes_what_is_there,
    reads_are_filled_in_the_order_of_submission,
    the_end_of_a_pipe_is_zero_and_an_exact_read_out_of_range,
    a_write_that_no_one_reads_is_unavailable_and_stays_so.alone(),
    a_large_write_goes_on_as_the_reader_makes_room,
    a_waiting_read_is_cancelled_and_the_pipe_usable,
    closing_an_end_cancels_what_waits_on_it,
    an_imported_pipe_end_is_used_and_a_file_refused.real("a descriptor of the operating system"),
    a_file_is_sent_whole_over_a_socket.real("splices"),
    a_file_is_sent_while_the_receiver_is_slow.real("splices"),
    files_are_sent_in_turn_with_other_sends.real("splices"),
    a_file_that_ends_early_tears_the_stream.real("splices"),
    a_sent_file_may_be_closed_meanwhile.real("splices"),
    sending_a_file_is_cancelled_and_sent_again.real("splices"),
    bytes_move_between_pipe_and_file.real("splices"),
    bytes_move_between_pipe_and_socket.real("splices"),
    a_splice_waits_for_the_pipe_and_tells_its_end.real("splices"),
    a_splice_is_cancelled_while_it_waits.real("splices"),
    the_wrong_end_of_a_pipe_is_refused.real("splices"),
    a_pipe_that_no_one_reads_does_not_fail_the_socket_that_fills_it.real("splices").alone(),
    a_file_that_takes_nothing_does_not_fail_the_pipe_that_fills_it.real("splices"),
    a_source_that_gives_nothing_does_not_fail_the_socket.real("splices"),
    an_imported_end_is_closed_on_exec.real("a descriptor of the operating system"),
];

fn pattern(length: usize) -> Vec<u8> {
    let mut period: Vec<u8> = (0..251).collect::<Vec<u8>>().repeat(length / 251 + 1);
    period.truncate(length);
    period
}

/// A connection that takes little before its receiver takes some of it.
fn narrow(cts: &mut Cts) -> (Socket, Socket) {
    let options =
        SocketOptions { send_buffer: Some(64 << 10), receive_buffer: Some(64 << 10), ..SocketOptions::default() };
    cts.pair_on("127.0.0.1:0", &options)
}

fn pipe(cts: &mut Cts) -> (Stream, Stream) {
    cts.handle().pipe().unwrap()
}

fn bytes_come_out_of_a_pipe_as_they_went_in(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    assert_eq!(cts.get(WriteStream::exact(writer, pattern(5000))), 5000);
    let told: Told<ReadStream<Vec<u8>>> = cts.one(ReadStream::exact(reader.clone(), vec![0; 5000]));
    assert_eq!(told.kind.buffer, pattern(5000));
    assert_eq!(cts.get(ReadStream::exact(reader, Vec::new())), 0);
}

fn a_read_waits_for_a_writer_and_some_takes_what_is_there(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let read = cts.start(ReadStream::some(reader, vec![0; 100]));
    cts.look();
    assert!(!read.is_done());
    cts.get(WriteStream::exact(writer, b"hello".as_slice()));
    cts.until("the read", || read.is_done());
    let told = read.only();
    assert_eq!(told.result.unwrap(), 5);
    assert_eq!(told.kind.buffer[..5], *b"hello");
}

fn reads_are_filled_in_the_order_of_submission(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let reads: Vec<_> = (0..20).map(|_| cts.start(ReadStream::exact(reader.clone(), vec![0; 1000]))).collect();
    for chunk in pattern(20_000).chunks(777) {
        cts.get(WriteStream::exact(writer.clone(), chunk.to_vec()));
    }
    cts.drain();
    let read: Vec<_> = reads.into_iter().flat_map(|read| read.only().kind.buffer).collect();
    assert_eq!(read, pattern(20_000));
}

fn the_end_of_a_pipe_is_zero_and_an_exact_read_out_of_range(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    cts.get(WriteStream::exact(writer.clone(), b"abc".as_slice()));
    cts.get(Close::new(writer));
    let told = cts.one(ReadStream::exact(reader.clone(), vec![0; 5]));
    assert_eq!(told.kind.buffer[..3], *b"abc");
    let status = told.status();
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::StreamRead));
    assert_eq!(cts.get(ReadStream::some(reader, vec![0; 5])), 0);
}

fn a_write_that_no_one_reads_is_unavailable_and_stays_so(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    cts.get(Close::new(reader));
    let status = cts.fails(WriteStream::exact(writer.clone(), b"abc".as_slice()));
    assert_eq!((status.code(), status.operation()), (Code::Unavailable, Operation::StreamWrite));
    assert_eq!(writer.failure().map(|status| status.code()), Some(Code::Unavailable));
    assert_eq!(cts.fails(WriteStream::exact(writer, b"abc".as_slice())).code(), Code::Unavailable);
}

fn a_large_write_goes_on_as_the_reader_makes_room(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let length = 3 << 20;
    let write = cts.start(WriteStream::exact(writer, pattern(length)));
    let told = cts.one(ReadStream::exact(reader, vec![0; length]));
    assert!(told.kind.buffer == pattern(length));
    cts.until("the write", || write.is_done());
    assert_eq!(write.only().result.unwrap(), length);
}

fn a_waiting_read_is_cancelled_and_the_pipe_usable(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let (op, watch) = cts.watch(ReadStream::some(reader.clone(), vec![0; 8]));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled read", || watch.is_done());
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    cts.get(WriteStream::exact(writer, b"still".as_slice()));
    assert_eq!(cts.one(ReadStream::exact(reader, vec![0; 5])).kind.buffer, b"still");
}

fn closing_an_end_cancels_what_waits_on_it(cts: &mut Cts) {
    let (reader, _writer) = pipe(cts);
    let reads: Vec<_> = (0..3).map(|_| cts.start(ReadStream::some(reader.clone(), vec![0; 8]))).collect();
    cts.look();
    cts.get(Close::new(reader.clone()));
    cts.drain();
    for read in reads {
        assert_eq!(read.only().status().code(), Code::Cancelled);
    }
    let refused = cts.submit(Op::new(ReadStream::some(reader, vec![0; 8]), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn an_imported_pipe_end_is_used_and_a_file_refused(cts: &mut Cts) {
    let (reader, writer) = crate::system::pipe();
    let reader = cts.handle().import_stream(reader).unwrap();
    let read = cts.start(ReadStream::exact(reader, vec![0; 6]));
    cts.look();
    std::fs::File::from(writer).write_all(b"native").unwrap();
    cts.until("the read", || read.is_done());
    assert_eq!(read.only().kind.buffer, b"native");
    cts.file("f", b"x");
    let file = std::fs::File::open(cts.path("f")).unwrap();
    let refused = cts.handle().import_stream(file.into()).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    assert!(rustix::fs::fstat(&refused.resource).is_ok(), "handed back open");
}

fn receives(cts: &mut Cts, socket: &Socket, length: usize) -> Vec<u8> {
    let told = cts.one(Receive::exact(socket.clone(), vec![0; length]));
    told.result.unwrap();
    told.kind.buffer
}

fn a_file_is_sent_whole_over_a_socket(cts: &mut Cts) {
    let file = cts.file("f", &pattern(1_000_003));
    let (client, server) = cts.pair();
    let sent = cts.start(SendFile::new(server.clone(), file.clone(), 3, 1_000_000));
    assert!(receives(cts, &client, 1_000_000) == pattern(1_000_003)[3..]);
    cts.until("the end of the send", || sent.is_done());
    let told = sent.only();
    assert_eq!(told.result.unwrap(), 1_000_000);
    // The same storage again, with its pipe, and nothing at all.
    let mut again = told.kind;
    again.length = 10;
    let sent = cts.start(again);
    assert_eq!(receives(cts, &client, 10), pattern(13)[3..]);
    cts.until("the second send", || sent.is_done());
    assert_eq!(sent.only().result.unwrap(), 10);
    assert_eq!(cts.get(SendFile::new(server, file, 0, 0)), 0);
    assert_eq!(cts.statistics().bytes_sent, 1_000_010);
}

fn a_file_is_sent_while_the_receiver_is_slow(cts: &mut Cts) {
    let length = 3 << 20;
    let file = cts.file("f", &pattern(length));
    let (client, server) = narrow(cts);
    let sent = cts.start(SendFile::new(server, file, 0, length));
    // More than the buffers between the two hold: it stands, and the poll thread is free.
    cts.look();
    assert!(!sent.is_done());
    let other = cts.file("g", b"meanwhile");
    assert_eq!(cts.one(proact::operation::Read::exact(other, 0, vec![0; 9])).kind.buffer, b"meanwhile");
    assert!(!sent.is_done());
    assert!(receives(cts, &client, length) == pattern(length));
    cts.until("the end of the send", || sent.is_done());
    assert_eq!(sent.only().result.unwrap(), length);
}

fn files_are_sent_in_turn_with_other_sends(cts: &mut Cts) {
    let file = cts.file("f", &[b'f'; 100_000]);
    let (client, server) = cts.pair();
    cts.start(Send::exact(server.clone(), b"head".as_slice()));
    cts.start(SendFile::new(server.clone(), file.clone(), 0, 100_000));
    cts.start(Send::exact(server.clone(), b"between".as_slice()));
    cts.start(SendFile::new(server.clone(), file, 0, 50));
    cts.start(Send::exact(server, b"tail".as_slice()));
    let read = receives(cts, &client, 100_065);
    cts.drain();
    assert_eq!(read[..4], *b"head");
    assert!(read[4..100_004].iter().all(|byte| *byte == b'f'));
    assert_eq!(read[100_004..100_011], *b"between");
    assert_eq!(read[100_061..], *b"tail");
}

fn a_file_that_ends_early_tears_the_stream(cts: &mut Cts) {
    let file = cts.file("f", &pattern(1000));
    let (client, server) = cts.pair();
    let status = cts.fails(SendFile::new(server.clone(), file, 900, 500));
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::SendFile));
    assert!(status.to_string().contains("100 of 500"), "{status}");
    assert_eq!(receives(cts, &client, 100), pattern(1000)[900..]);
    let status = cts.fails(Send::exact(server, b"later".as_slice()));
    assert_eq!(status.operation(), Operation::SendFile, "what tore the stream: {status}");
}

fn a_sent_file_may_be_closed_meanwhile(cts: &mut Cts) {
    let length = 1 << 20;
    let file = cts.file("f", &pattern(length));
    let (client, server) = cts.pair();
    let sent = cts.start(SendFile::new(server, file.clone(), 0, length));
    cts.get(Close::new(file));
    assert!(receives(cts, &client, length) == pattern(length));
    cts.drain();
    assert_eq!(sent.only().result.unwrap(), length);
}

fn sending_a_file_is_cancelled_and_sent_again(cts: &mut Cts) {
    let length = 3 << 20;
    let file = cts.file("f", &pattern(length));
    let (client, server) = narrow(cts);
    let (op, watch) = cts.watch(SendFile::new(server.clone(), file.clone(), 0, length));
    let id = cts.submit(op).unwrap();
    // Some of it has gone, so the cancel tears the stream.
    assert_eq!(receives(cts, &client, 1000), pattern(1000));
    cts.cancel(id).unwrap();
    cts.until("the cancelled send", || watch.is_done());
    let told = watch.only();
    assert_eq!(told.result.unwrap_err().code(), Code::Cancelled);
    assert!(server.failure().is_some());
    // The storage is as good as new: what its pipe still held does not come again.
    let (client, server) = cts.pair();
    let mut again = told.kind;
    (again.socket, again.length) = (server, 5000);
    let sent = cts.start(again);
    assert_eq!(receives(cts, &client, 5000), pattern(5000));
    cts.until("the second send", || sent.is_done());
    assert_eq!(sent.only().result.unwrap(), 5000);
}

fn bytes_move_between_pipe_and_file(cts: &mut Cts) {
    let length = 300_000; // more than a pipe holds
    let (from, to) = (cts.file("from", &pattern(length)), cts.file("to", b"."));
    let (reader, writer) = pipe(cts);
    let fill = cts.start(Splice::file_to_pipe(from, 0, writer.clone(), length));
    let empty = cts.start(Splice::pipe_to_file(reader, to.clone(), 1, length));
    cts.drain();
    assert_eq!(fill.only().result.unwrap(), length);
    assert_eq!(empty.only().result.unwrap(), length);
    let told = cts.one(proact::operation::Read::exact(to, 1, vec![0; length]));
    assert!(told.kind.buffer == pattern(length));
}

fn bytes_move_between_pipe_and_socket(cts: &mut Cts) {
    let length = 300_000;
    let (client, server) = cts.pair();
    let (in_reader, in_writer) = pipe(cts);
    let (out_reader, out_writer) = pipe(cts);
    let send = cts.start(Splice::pipe_to_socket(in_reader, client, length));
    let receive = cts.start(Splice::socket_to_pipe(server, out_writer, length));
    let write = cts.start(WriteStream::exact(in_writer, pattern(length)));
    let told = cts.one(ReadStream::exact(out_reader, vec![0; length]));
    assert!(told.kind.buffer == pattern(length));
    cts.drain();
    assert_eq!(send.only().result.unwrap(), length);
    assert_eq!(receive.only().result.unwrap(), length);
    assert_eq!(write.only().result.unwrap(), length);
}

fn a_splice_waits_for_the_pipe_and_tells_its_end(cts: &mut Cts) {
    let to = cts.file("to", b"");
    let (reader, writer) = pipe(cts);
    let some = cts.start(Splice::pipe_to_file(reader.clone(), to.clone(), 0, 100).some());
    cts.look();
    assert!(!some.is_done());
    cts.get(WriteStream::exact(writer.clone(), b"seven..".as_slice()));
    cts.until("the splice", || some.is_done());
    assert_eq!(some.only().result.unwrap(), 7);
    cts.get(WriteStream::exact(writer.clone(), b"12345".as_slice()));
    cts.get(Close::new(writer));
    let status = cts.fails(Splice::pipe_to_file(reader.clone(), to.clone(), 7, 6));
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::Splice));
    assert!(status.to_string().contains("5 of 6"), "{status}");
    assert_eq!(cts.get(Splice::pipe_to_file(reader, to.clone(), 0, 6).some()), 0);
    assert_eq!(cts.one(proact::operation::Read::exact(to, 0, vec![0; 12])).kind.buffer, b"seven..12345");
    let (client, server) = cts.pair();
    client.shutdown(Shutdown::Send).unwrap();
    let (_reader, writer) = pipe(cts);
    assert_eq!(cts.get(Splice::socket_to_pipe(server, writer, 6).some()), 0);
}

fn a_splice_is_cancelled_while_it_waits(cts: &mut Cts) {
    fn cancelled<K: Kind>(cts: &mut Cts, kind: K) {
        let (op, watch) = cts.watch(kind);
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the cancelled splice", || watch.is_done());
        assert_eq!(watch.only().status().code(), Code::Cancelled);
    }
    let file = cts.file("f", b"content");
    let (reader, writer) = pipe(cts);
    let (client, server) = cts.pair();
    cancelled(cts, Splice::pipe_to_file(reader.clone(), file.clone(), 0, 5));
    cancelled(cts, Splice::pipe_to_socket(reader.clone(), client.clone(), 5));
    cancelled(cts, Splice::socket_to_pipe(server.clone(), writer.clone(), 5));
    // All of them are as good as before.
    assert_eq!(cts.get(Splice::file_to_pipe(file, 0, writer.clone(), 7)), 7);
    assert_eq!(cts.get(Splice::pipe_to_socket(reader.clone(), client, 7)), 7);
    assert_eq!(cts.get(Splice::socket_to_pipe(server, writer, 7)), 7);
    assert_eq!(cts.one(ReadStream::exact(reader, vec![0; 7])).kind.buffer, b"content");
}

fn the_wrong_end_of_a_pipe_is_refused(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let file = cts.file("f", &pattern(10));
    let (near, _far) = cts.pair();
    for status in [
        refused(cts, Splice::file_to_pipe(file.clone(), 0, reader.clone(), 4)),
        refused(cts, Splice::pipe_to_file(writer.clone(), file, 0, 4)),
        refused(cts, Splice::socket_to_pipe(near.clone(), reader.clone(), 4)),
        refused(cts, Splice::pipe_to_socket(writer.clone(), near, 4)),
    ] {
        assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::Splice));
    }
    assert_eq!(cts.fails(ReadStream::some(writer, vec![0; 4])).code(), Code::InvalidArgument);
    assert_eq!(cts.fails(WriteStream::some(reader, vec![0; 4])).code(), Code::InvalidArgument);
}

fn a_pipe_that_no_one_reads_does_not_fail_the_socket_that_fills_it(cts: &mut Cts) {
    let (reader, writer) = pipe(cts);
    let (near, far) = cts.pair();
    cts.get(Close::new(reader));
    cts.get(Send::exact(far.clone(), b"abc".as_slice()));
    assert_eq!(cts.fails(Splice::socket_to_pipe(near.clone(), writer, 3)).code(), Code::Unavailable);
    assert_eq!(near.failure().map(|status| status.code()), None, "the socket is as good as before");
    assert_eq!(cts.get(Send::exact(near, b"answer".as_slice())), 6);
    assert_eq!(cts.one(Receive::exact(far, vec![0; 6])).kind.buffer, b"answer");
}

fn a_file_that_takes_nothing_does_not_fail_the_pipe_that_fills_it(cts: &mut Cts) {
    cts.file("full", b"");
    let path = cts.path("full");
    let file = cts.get(Open::new(path, OpenFlags::READ));
    let (reader, writer) = pipe(cts);
    cts.get(WriteStream::exact(writer.clone(), b"kept".as_slice()));
    cts.fails(Splice::pipe_to_file(reader.clone(), file, 0, 4));
    assert_eq!(reader.failure().map(|status| status.code()), None, "the pipe is as good as before");
    assert_eq!(cts.one(ReadStream::exact(reader.clone(), vec![0; 4])).kind.buffer, b"kept");
    cts.get(Close::new(writer));
    assert_eq!(cts.get(ReadStream::some(reader, vec![0; 4])), 0, "its end is its end");
}

fn a_source_that_gives_nothing_does_not_fail_the_socket(cts: &mut Cts) {
    cts.file("mute", b"abc");
    let path = cts.path("mute");
    let mute = cts.get(Open::new(path, OpenFlags::WRITE));
    let (near, far) = cts.pair();
    assert_eq!(cts.fails(SendFile::new(near.clone(), mute, 0, 3)).code(), Code::InvalidArgument);
    let (reader, writer) = pipe(cts);
    cts.get(Close::new(writer));
    assert_eq!(cts.fails(Splice::pipe_to_socket(reader, near.clone(), 3)).code(), Code::OutOfRange);
    assert_eq!(near.failure().map(|status| status.code()), None, "not a byte is missing");
    assert_eq!(cts.get(Send::exact(near, b"whole".as_slice())), 5);
    assert_eq!(receives(cts, &far, 5), b"whole");
}

fn an_imported_end_is_closed_on_exec(cts: &mut Cts) {
    let (reader, _writer) = crate::system::pipe();
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
    let stream = cts.handle().import_stream(reader).unwrap();
    let flags = stream.try_with_fd(|fd| rustix::io::fcntl_getfd(fd).unwrap()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

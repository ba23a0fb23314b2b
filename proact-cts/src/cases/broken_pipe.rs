//! W-74: no write raises SIGPIPE, and nothing changes what is set for it. Each case is a process in which that signal
//! does what it does by default: it ends it.

use proact::backend::OpenFlags;
use proact::operation::{
    Close, Kind, Op, Open, Send, SendFile, SendVectored, Splice, Write, WriteStream, WriteVectored,
};
use proact::resource::{Socket, SocketType, Stream};
use proact::status::Code;
use rustix::fs::{Mode, OFlags};

use crate::bench::Cts;
use crate::{cases, child};

cases![
    writes_to_what_nobody_reads_fail_and_raise_nothing.real("pipes and signals of the operating system"),
    a_write_that_waits_when_the_reader_goes_raises_nothing.real("pipes and signals of the operating system"),
    a_pipe_signal_of_the_programs_own_is_left_to_it.real("pipes and signals of the operating system"),
    a_write_to_a_fifo_that_nobody_reads_raises_nothing.real("pipes and signals of the operating system"),
];

/// What is set for SIGPIPE, whether this thread blocks it, and whether one waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PipeSignal {
    handler: usize,
    blocked: bool,
    waits: bool,
}

fn pipe_signal() -> PipeSignal {
    // SAFETY: zeroed structures, which the system fills.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action), 0);
        let (mut mask, mut pending): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        libc::sigpending(&raw mut pending);
        let has = |set: &libc::sigset_t| libc::sigismember(set, libc::SIGPIPE) == 1;
        PipeSignal { handler: action.sa_sigaction, blocked: has(&mask), waits: has(&pending) }
    }
}

fn by_default() {
    // SAFETY: no handler is set.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) }, libc::SIG_ERR);
    // A child inherits the mask of the thread that started it, and a case's thread that of the harness's.
    assert_eq!(pipe_signal(), PipeSignal { handler: libc::SIG_DFL, blocked: false, waits: false });
}

/// A pipe of which only the end that is written is left.
fn unread(cts: &mut Cts) -> Stream {
    let (reader, writer) = cts.handle().pipe().unwrap();
    cts.get(Close::new(reader));
    writer
}

/// A pipe with bytes in it.
fn filled(cts: &mut Cts) -> Stream {
    let (reader, writer) = cts.handle().pipe().unwrap();
    cts.get(WriteStream::exact(writer, vec![7; 100]));
    reader
}

/// Two connected sockets, of which one is closed.
fn abandoned(cts: &mut Cts, tcp: bool) -> Socket {
    let (socket, peer) = if tcp { cts.pair() } else { cts.handle().socket_pair(SocketType::Stream).unwrap() };
    cts.get(Close::new(peer));
    socket
}

/// Starts `write` again and again until it fails: what a TCP peer that is gone is sent is answered with a reset first.
#[track_caller]
fn fails_at_last<K: Kind>(cts: &mut Cts, mut write: impl FnMut(&mut Cts) -> K) {
    for _ in 0..1000 {
        let kind = write(cts);
        match cts.submit(Op::new(kind, ())) {
            Ok(_) => cts.drain(),
            // The socket keeps its failure, and refuses what comes after it.
            Err(_) => return,
        }
        let kind = write(cts);
        if cts.one(kind).result.is_err() {
            return;
        }
    }
    panic!("a thousand writes to a peer that is gone succeeded");
}

/// Every way to write to what nobody reads. Each must fail, and this process must live.
fn every_write(cts: &mut Cts) {
    let before = pipe_signal();
    let file = cts.file("f", &[7; 100]);
    for _ in 0..3 {
        let writer = unread(cts);
        assert_eq!(cts.fails(WriteStream::exact(writer, vec![1; 100])).code(), Code::Unavailable);
        assert_eq!(pipe_signal(), before, "a write to a pipe");
        let writer = unread(cts);
        cts.fails(Splice::<true>::file_to_pipe(file.clone(), 0, writer, 100));
        assert_eq!(pipe_signal(), before, "a splice into a pipe");
        for tcp in [false, true] {
            let socket = abandoned(cts, tcp);
            fails_at_last(cts, |_| Send::exact(socket.clone(), vec![1; 100]));
            let socket = abandoned(cts, tcp);
            fails_at_last(cts, |_| Send::exact(socket.clone(), vec![1; 20_000]).zero_copy());
            let socket = abandoned(cts, tcp);
            fails_at_last(cts, |_| SendVectored::exact(socket.clone(), vec![vec![1; 100], vec![2; 100]]));
            assert_eq!(pipe_signal(), before, "a send, tcp: {tcp}");
            let socket = abandoned(cts, tcp);
            fails_at_last(cts, |cts| {
                let from = filled(cts);
                Splice::<true>::pipe_to_socket(from, socket.clone(), 100)
            });
            assert_eq!(pipe_signal(), before, "a splice into a socket, tcp: {tcp}");
            let socket = abandoned(cts, tcp);
            fails_at_last(cts, |_| SendFile::new(socket.clone(), file.clone(), 0, 100));
            assert_eq!(pipe_signal(), before, "a file that is sent, tcp: {tcp}");
        }
    }
}

fn writes_to_what_nobody_reads_fail_and_raise_nothing(cts: &mut Cts) {
    child::alone(cts, "broken_pipe", "writes_to_what_nobody_reads_fail_and_raise_nothing", |cts| {
        by_default();
        every_write(cts);
    });
}

/// Opened by name, as a file.
fn a_write_to_a_fifo_that_nobody_reads_raises_nothing(cts: &mut Cts) {
    child::alone(cts, "broken_pipe", "a_write_to_a_fifo_that_nobody_reads_raises_nothing", |cts| {
        by_default();
        let before = pipe_signal();
        let path = cts.path("fifo");
        crate::system::make_fifo(&path);
        let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let file = cts.get(Open::new(&path, OpenFlags::WRITE));
        drop(reader);
        cts.fails(Write::exact(file.clone(), 0, vec![1; 10]));
        cts.fails(WriteVectored::exact(file, 0, vec![vec![1; 10], vec![2; 10]]));
        assert_eq!(pipe_signal(), before);
    });
}

fn a_write_that_waits_when_the_reader_goes_raises_nothing(cts: &mut Cts) {
    child::alone(cts, "broken_pipe", "a_write_that_waits_when_the_reader_goes_raises_nothing", |cts| {
        by_default();
        let before = pipe_signal();
        for _ in 0..5 {
            let (reader, writer) = cts.handle().pipe().unwrap();
            // More than a pipe holds.
            let write = cts.start(WriteStream::exact(writer.clone(), vec![1; 1 << 20]));
            let behind = cts.start(WriteStream::exact(writer, vec![2; 10]));
            cts.look();
            assert!(!write.is_done());
            cts.get(Close::new(reader));
            cts.drain();
            assert_eq!(write.only().status().code(), Code::Unavailable);
            assert_eq!(behind.only().status().code(), Code::Unavailable);
            let (socket, peer) = cts.handle().socket_pair(SocketType::Stream).unwrap();
            let write = cts.start(Send::exact(socket, vec![1; 16 << 20]));
            cts.look();
            cts.get(Close::new(peer));
            cts.drain();
            write.only().status();
            assert_eq!(pipe_signal(), before);
        }
    });
}

/// One that the program itself was sent, and blocks, still waits after our writes; and where none waits, none does
/// after them.
fn a_pipe_signal_of_the_programs_own_is_left_to_it(cts: &mut Cts) {
    child::alone(cts, "broken_pipe", "a_pipe_signal_of_the_programs_own_is_left_to_it", |cts| {
        by_default();
        // SAFETY: a set made here, and a signal to this thread, which blocks it.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGPIPE);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()), 0);
        }
        assert_eq!(pipe_signal(), PipeSignal { handler: libc::SIG_DFL, blocked: true, waits: false });
        every_write(cts);
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::raise(libc::SIGPIPE) }, 0);
        assert_eq!(pipe_signal(), PipeSignal { handler: libc::SIG_DFL, blocked: true, waits: true });
        every_write(cts);
    });
}

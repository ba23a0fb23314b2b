//! What one pass delivers is bounded, for each descriptor: a socket whose peer never stops holds up neither another
//! socket nor a timer, on any configuration. Counted in passes and callbacks; time has no part in it.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use proact::memory::{BufferPool, Slab};
use proact::operation::{
    Complete, Context, Kind, Op, Outcome, Receive, ReceiveFrom, ReceiveMany, ReceivePooled, ReceivePooledMany, SendTo,
    Timer,
};
use proact::proactor::Proactor;
use proact::resource::Socket;
use proact::time::Timeout;
use proact_cts::config::{self, Configuration};

/// Bytes of a receive: the busy socket has thousands of them at any time.
const LENGTH: usize = 16;
/// Callbacks of one descriptor in one pass, at most. A pool of 64 buffers is what a ring may fill in one go; then there
/// is what was armed anew.
const A_PASS: u64 = 256;
/// Passes within which what is quiet is told: in the first it is armed or seen, in the next it is delivered.
const PASSES: usize = 3;
/// Rounds of each kind.
const ROUNDS: usize = 20;

/// Counts, and begins again where the operation has ended by itself.
struct Busy(Rc<Cell<u64>>);

impl<K: Kind> Complete<K> for Busy {
    fn more(&mut self, _: &K, _: Outcome<K>, _: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
    }
    fn done(op: Box<Op<K, Busy>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        if outcome.result.is_ok() {
            op.state.0.set(op.state.0.get() + 1);
            let _ = cx.submit(op);
        }
    }
}

/// Says that it was told.
struct Quiet(Rc<Cell<bool>>);

impl<K: Kind> Complete<K> for Quiet {
    fn done(op: Box<Op<K, Quiet>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_ok());
        op.state.0.set(true);
    }
}

/// A local connection: the end of the system's, and the proactor's.
fn connection(proactor: &Proactor) -> (UnixStream, Socket) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (theirs, proactor.handle().import_socket(ours.into()).unwrap())
}

/// Fills the connection as far as it goes.
fn feed(peer: &mut UnixStream) {
    for _ in 0..1000 {
        match peer.write(&[7; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn built(config: &Configuration) -> Option<Proactor> {
    config.builder().build().map_err(|status| eprintln!("skipped: {}: {status}", config.name)).ok()
}

/// Starts a busy socket by `start`, and holds what is quiet against it.
fn holds_up_nobody(config: &Configuration, kind: &str, start: impl Fn(&mut Proactor, Socket, Busy)) {
    let Some(mut proactor) = built(config) else { return };
    let (mut peer, socket) = connection(&proactor);
    let (mut sender, quiet) = connection(&proactor);
    let count = Rc::new(Cell::new(0));
    start(&mut proactor, socket, Busy(count.clone()));
    let (mut most, mut busy) = (0, 0);
    // One pass, before which there is as much as there can be.
    let mut pass = |proactor: &mut Proactor| {
        feed(&mut peer);
        let before = count.get();
        proactor.poll(Timeout::Immediate).unwrap();
        most = most.max(count.get() - before);
        busy = count.get();
    };
    (0..10).for_each(|_| pass(&mut proactor));
    for round in 0..ROUNDS {
        let (received, fired) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let receive = Receive::exact(quiet.clone(), vec![0; 1]);
        proactor.submit(Op::new(receive, Quiet(received.clone()))).unwrap();
        pass(&mut proactor);
        sender.write_all(&[1]).unwrap();
        proactor.submit(Op::new(Timer::new(proactor.now()), Quiet(fired.clone()))).unwrap();
        (0..PASSES).for_each(|_| pass(&mut proactor));
        let told = (received.get(), fired.get());
        assert_eq!(told, (true, true), "{}, {kind}, round {round}: not told in {PASSES} passes", config.name);
    }
    assert!(busy >= ROUNDS as u64, "{}, {kind}: the busy socket has not been busy: {busy}", config.name);
    assert!(most <= A_PASS, "{}, {kind}: {most} callbacks of one socket in a pass", config.name);
}

fn each(kind: &str, start: impl Fn(&mut Proactor, Socket, Busy)) {
    for config in config::all().iter().filter(|config| !config.is_simulated()) {
        holds_up_nobody(config, kind, &start);
    }
}

fn pool() -> BufferPool {
    BufferPool::new(Slab::allocate(LENGTH.max(64), 64, &Default::default()).unwrap()).unwrap()
}

#[test]
fn a_receive_that_is_submitted_again_by_its_callback() {
    each("receive", |proactor, socket, busy| {
        proactor.submit(Op::new(Receive::some(socket, vec![0; LENGTH]), busy)).map_err(|r| r.status).unwrap();
    });
}

#[test]
fn a_receive_that_goes_on() {
    each("receive many", |proactor, socket, busy| {
        proactor.submit(Op::new(ReceiveMany::new(socket, vec![0; LENGTH]), busy)).map_err(|r| r.status).unwrap();
    });
}

#[test]
fn a_receive_into_a_pool_that_is_submitted_again_by_its_callback() {
    let pool = pool();
    each("receive pooled", |proactor, socket, busy| {
        proactor.submit(Op::new(ReceivePooled::new(socket, &pool), busy)).map_err(|r| r.status).unwrap();
    });
}

#[test]
fn a_receive_into_a_pool_that_goes_on() {
    each("receive pooled many", |proactor, socket, busy| {
        proactor.submit(Op::new(ReceivePooledMany::new(socket, &pool()), busy)).map_err(|r| r.status).unwrap();
    });
}

/// As many as are submitted at a time may be delivered in a pass, and no more.
#[test]
fn many_receives_in_line_each_have_their_turn() {
    each("receives in line", |proactor, socket, busy| {
        for _ in 0..32 {
            let receive = Receive::some(socket.clone(), vec![0; LENGTH]);
            proactor.submit(Op::new(receive, Busy(busy.0.clone()))).map_err(|r| r.status).unwrap();
        }
    });
}

/// Datagrams that wait: fewer than a socket keeps.
const DATAGRAMS: u64 = 200;
/// Those of which a pass tells, at most: what is carried out as soon as it is asked for leads to the next.
const DATAGRAMS_A_PASS: u64 = 40;

#[test]
fn datagrams_that_wait_are_told_in_several_passes() {
    for config in config::all().iter().filter(|config| !config.is_simulated()) {
        let Some(mut proactor) = built(config) else { continue };
        let (theirs, ours) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        (0..DATAGRAMS).for_each(|_| assert_eq!(theirs.send(&[7]).unwrap(), 1));
        let socket = proactor.handle().import_socket(ours.into()).unwrap();
        let (count, mut most) = (Rc::new(Cell::new(0)), 0);
        let receive = ReceiveFrom::new(socket, vec![0; LENGTH]);
        proactor.submit(Op::new(receive, Busy(count.clone()))).map_err(|r| r.status).unwrap();
        for _ in 0..2 * DATAGRAMS {
            let before = count.get();
            proactor.poll(Timeout::Immediate).unwrap();
            most = most.max(count.get() - before);
        }
        assert_eq!(count.get(), DATAGRAMS, "{}", config.name);
        assert!(most <= DATAGRAMS_A_PASS, "{}: {most} datagrams in a pass", config.name);
    }
}

#[test]
fn datagrams_go_in_their_order_however_many_are_submitted_at_once() {
    for config in config::all().iter().filter(|config| !config.is_simulated()) {
        let Some(mut proactor) = built(config) else { continue };
        let (theirs, ours) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        ours.connect(theirs.local_addr().unwrap()).unwrap();
        let socket = proactor.handle().import_socket(ours.into()).unwrap();
        let sent = Rc::new(Cell::new(0u8));
        for number in 0..100u8 {
            let send = SendTo::peer(socket.clone(), vec![number]);
            proactor.submit(Op::new(send, Told(number, sent.clone()))).map_err(|r| r.status).unwrap();
        }
        proactor.run().unwrap();
        assert_eq!(sent.get(), 100, "{}", config.name);
        theirs.set_nonblocking(true).unwrap();
        let mut came = [0];
        for number in 0..100u8 {
            assert_eq!(theirs.recv(&mut came).unwrap(), 1);
            assert_eq!(came[0], number, "{}", config.name);
        }
    }
}

/// Which one it is, and how many were told before.
struct Told(u8, Rc<Cell<u8>>);

impl Complete<SendTo<Vec<u8>>> for Told {
    fn done(op: Box<Op<SendTo<Vec<u8>>, Told>>, outcome: Outcome<SendTo<Vec<u8>>>, _: &mut Context<'_>) {
        assert_eq!((outcome.result.unwrap(), op.state.1.get()), (1, op.state.0), "in the order of their submission");
        op.state.1.set(op.state.0 + 1);
    }
}

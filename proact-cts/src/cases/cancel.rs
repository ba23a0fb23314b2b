//! Cancel: from anywhere, at any time, of anything.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use proact::operation::{
    Accept, AnyOp, Chain, Close, Complete, Context, EventWait, Kind, Nop, Op, OperationId, Outcome, Read, Receive,
    SemaphoreWait, Send, Sequence, Timer,
};
use proact::resource::SocketOptions;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::bench::Cts;
use crate::cases;

cases![
    everything_in_flight_can_be_cancelled,
    a_cancel_from_another_thread_ends_the_sleep.real("other threads"),
    a_cancel_of_what_was_submitted_from_another_thread_overtakes_nothing,
    a_send_cancelled_on_its_way_from_another_thread_holds_up_no_stream,
    a_cancel_twice_gives_one_callback,
    a_cancel_after_the_end_is_not_found,
    a_callback_cancels_another_operation,
    a_callback_submits_its_operation_again_and_cancels_that,
    a_callback_cannot_cancel_itself,
    cancel_races_from_four_threads_end_every_operation_once.real("other threads"),
    cancels_beyond_the_rings_room_all_arrive,
    a_close_that_waits_for_room_cannot_be_cancelled_any_more,
    a_cancelled_read_of_a_file_ends_once,
    a_whole_receive_that_came_in_many_pieces_can_be_cancelled,
    a_whole_send_that_went_in_many_pieces_can_be_cancelled,
    a_whole_receive_is_cancelled_while_its_bytes_come.real("other threads"),
];

fn far() -> Timer {
    Timer::new(Time::FAR_FUTURE)
}

/// One operation of every kind that can wait for ever.
pub(super) fn everything(cts: &mut Cts) -> Vec<AnyOp> {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let (listener, _) = cts.listener();
    let event = cts.handle().event().unwrap();
    let semaphore = Semaphore::new(0);
    let wait = || SemaphoreWait::new(semaphore.clone(), 1);
    let steps = Sequence::new().step(Nop).step(wait()).step(Nop);
    let nested = Sequence::new().step(Sequence::new().step(far())).on_step(|_| Ok(()));
    vec![
        Op::new(far(), ()).into(),
        Op::new(EventWait::new(event), ()).into(),
        Op::new(Accept::new(listener), ()).into(),
        Op::new(Receive::exact(client.clone(), vec![0; 8]), ()).into(),
        Op::new(Receive::some(client.clone(), vec![0; 8]), ()).into(),
        Op::new(Send::exact(client.clone(), vec![0; 8 << 20]), ()).into(),
        Op::new(Send::exact(client, vec![0; 8 << 20]), ()).into(),
        Op::new(Receive::some(server.clone(), vec![0; 0]), ()).into(),
        Op::new(wait(), ()).into(),
        Op::new(SemaphoreWait::any(vec![(semaphore.clone(), 1), (Semaphore::new(0), 1)]), ()).into(),
        Op::new(steps, ()).into(),
        Op::new(nested, ()).into(),
        Op::new(Receive::some(server, vec![0; 8]), ()).into(),
    ]
}

fn everything_in_flight_can_be_cancelled(cts: &mut Cts) {
    for settled in [false, true] {
        for remote in [false, true] {
            let ops = everything(cts);
            let chain = Chain::new((Op::new(far(), ()), Op::new(Nop, ()), Op::new(far(), ())));
            let (mut ids, chained) = cts.submit((ops, chain)).unwrap();
            ids.extend([chained.0, chained.1, chained.2]);
            if settled {
                cts.look();
            }
            for id in ids.into_iter().rev() {
                // What has ended by itself (the transfer of no bytes, one that found data) is gone already.
                let _ = if remote { cts.handle().cancel(id) } else { cts.cancel(id) };
            }
            cts.drain();
        }
    }
}

fn a_cancel_from_another_thread_ends_the_sleep(cts: &mut Cts) {
    let (op, timer) = cts.watch(far());
    let id = cts.submit(op).unwrap();
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        handle.cancel(id).unwrap();
    });
    cts.until("a cancel from another thread", || timer.is_done());
    thread.join().unwrap();
    assert_eq!(timer.only().status().code(), Code::Cancelled);
}

fn a_cancel_of_what_was_submitted_from_another_thread_overtakes_nothing(cts: &mut Cts) {
    let handle = cts.handle().clone();
    for remote in [true, false] {
        let (op, timer) = cts.watch(far());
        let id = handle.submit(op).unwrap();
        // Not taken in yet: the poll thread has not polled since.
        assert_eq!(cts.pending(), 0);
        if remote {
            handle.cancel(id).unwrap()
        } else {
            cts.cancel(id).unwrap()
        }
        cts.until("the cancelled timer", || timer.is_done());
        assert_eq!(timer.only().status().code(), Code::Cancelled);
        assert_eq!(handle.cancel(id).unwrap_err().code(), Code::NotFound);
    }
}

fn a_send_cancelled_on_its_way_from_another_thread_holds_up_no_stream(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let handle = cts.handle().clone();
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(client.clone(), vec![1; 3]));
    let (_, id) = handle.submit(Chain::new((wait, send))).unwrap();
    handle.cancel(id).unwrap();
    cts.look();
    let later = cts.start(Send::exact(client, vec![2; 3]));
    cts.until("the later send", || later.is_done());
    assert_eq!(cts.one(Receive::exact(server, vec![0; 3])).kind.buffer, [2; 3]);
    assert!(!waited.is_done() && !sent.is_done(), "callbacks of a chain come in order");
    semaphore.signal(1, None).unwrap();
    cts.drain();
    waited.only().result.unwrap();
    assert_eq!(sent.only().status().code(), Code::Cancelled);
}

fn a_cancel_twice_gives_one_callback(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (op, wait) = cts.watch(EventWait::new(event));
    let id = cts.submit(op).unwrap();
    cts.look();
    for _ in 0..3 {
        cts.cancel(id).unwrap();
        cts.handle().cancel(id).unwrap();
    }
    cts.drain();
    assert_eq!(wait.only().status().code(), Code::Cancelled);
}

/// W-16, W-66, W-100: the reference never says so, and touches what was freed.
fn a_cancel_after_the_end_is_not_found(cts: &mut Cts) {
    let (op, nop) = cts.watch(Nop);
    let id = cts.submit(op).unwrap();
    cts.until("the nop", || nop.is_done());
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    assert_eq!(cts.handle().cancel(id).unwrap_err().code(), Code::NotFound);
    cts.look();
    nop.only().result.unwrap();
}

struct Canceller(OperationId, Sender<Result<(), Code>>);

impl<K: Kind> Complete<K> for Canceller {
    fn done(op: Box<Op<K, Canceller>>, _: Outcome<K>, cx: &mut Context<'_>) {
        op.state.1.send(cx.cancel(op.state.0).map_err(|status| status.code())).unwrap();
    }
}

fn a_callback_cancels_another_operation(cts: &mut Cts) {
    let (sender, answers) = channel();
    let (op, timer) = cts.watch(far());
    let id = cts.submit(op).unwrap();
    cts.submit(Op::new(Nop, Canceller(id, sender))).unwrap();
    cts.drain();
    assert_eq!(answers.recv().unwrap(), Ok(()));
    assert_eq!(timer.only().status().code(), Code::Cancelled);
}

/// Submits its operation again, once, and cancels that flight.
struct Twice(Vec<Code>, Sender<Vec<Code>>);

impl Complete<Timer> for Twice {
    fn done(mut op: Box<Op<Timer, Twice>>, outcome: Outcome<Timer>, cx: &mut Context<'_>) {
        op.state.0.push(outcome.result.map_or_else(|status| status.code(), |()| Code::Ok));
        if op.state.0.len() == 1 {
            op.kind.deadline = Time::FAR_FUTURE;
            let id = cx.submit(op).unwrap();
            cx.cancel(id).unwrap();
        } else {
            let codes = std::mem::take(&mut op.state.0);
            op.state.1.send(codes).unwrap();
        }
    }
}

fn a_callback_submits_its_operation_again_and_cancels_that(cts: &mut Cts) {
    let (sender, codes) = channel();
    cts.submit(Op::new(Timer::new(Time::ORIGIN), Twice(Vec::new(), sender))).unwrap();
    cts.drain();
    assert_eq!(codes.recv().unwrap(), [Code::Ok, Code::Cancelled]);
}

/// Learns its own identity from the case, and cancels it from inside its callback.
struct Own(std::sync::mpsc::Receiver<OperationId>, Sender<Result<(), Code>>);

impl Complete<Nop> for Own {
    fn done(op: Box<Op<Nop, Own>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
        let own = op.state.0.try_recv().unwrap();
        op.state.1.send(cx.cancel(own).map_err(|status| status.code())).unwrap();
    }
}

fn a_callback_cannot_cancel_itself(cts: &mut Cts) {
    let ((own, receiver), (sender, answer)) = (channel(), channel());
    own.send(cts.submit(Op::new(Nop, Own(receiver, sender))).unwrap()).unwrap();
    cts.drain();
    assert_eq!(answer.recv().unwrap(), Err(Code::NotFound), "its end is told already");
}

fn cancel_races_from_four_threads_end_every_operation_once(cts: &mut Cts) {
    let now = cts.now();
    let (ops, watches): (Vec<_>, Vec<_>) =
        (0..2000).map(|index| cts.watch(Timer::new(now + Duration::from_micros(index * 5)))).unzip();
    let ids = cts.submit(ops).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|offset| {
            let (handle, ids) = (cts.handle().clone(), ids.clone());
            std::thread::spawn(move || {
                for id in ids.iter().skip(offset).step_by(3) {
                    // `NotFound` once it has fired.
                    let _ = handle.cancel(*id);
                }
            })
        })
        .collect();
    cts.drain();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    cts.look();
    let codes: Vec<Code> = watches
        .into_iter()
        .map(|watch| watch.only().result.map_or_else(|status| status.code(), |()| Code::Ok))
        .collect();
    assert!(codes.iter().all(|code| matches!(code, Code::Ok | Code::Cancelled)));
    assert_eq!(cts.pending(), 0);
}

fn cancels_beyond_the_rings_room_all_arrive(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(8));
    let events: Vec<_> = (0..100).map(|_| cts.handle().event().unwrap()).collect();
    let (ops, watches): (Vec<_>, Vec<_>) = events.iter().map(|event| cts.watch(EventWait::new(event.clone()))).unzip();
    let ids = cts.submit(ops).unwrap();
    cts.poll(Timeout::Immediate).unwrap();
    for id in ids {
        cts.cancel(id).unwrap();
    }
    cts.drain();
    for watch in watches {
        assert_eq!(watch.only().status().code(), Code::Cancelled);
    }
}

fn a_close_that_waits_for_room_cannot_be_cancelled_any_more(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(4));
    let event = cts.handle().event().unwrap();
    for _ in 0..4 {
        cts.submit(Op::new(Nop, ())).unwrap();
    }
    // The ring is full, and the descriptor has left the event.
    let (close, closed) = cts.watch(Close::new(event.clone()));
    let id = cts.submit(close).unwrap();
    cts.cancel(id).unwrap();
    cts.drain();
    closed.only().result.unwrap();
    assert_eq!(event.set().unwrap_err().code(), Code::FailedPrecondition);
}

fn a_cancelled_read_of_a_file_ends_once(cts: &mut Cts) {
    let file = cts.file("f", &[7; 1 << 16]);
    for round in 0..50 {
        let (ops, watches): (Vec<_>, Vec<_>) =
            (0..8).map(|_| cts.watch(Read::exact(file.clone(), 0, vec![0; 1 << 16]))).unzip();
        let ids = cts.submit(ops).unwrap();
        if round % 2 == 0 {
            cts.look();
        }
        for id in ids {
            let _ = cts.cancel(id);
        }
        cts.drain();
        for watch in watches {
            let told = watch.only();
            match told.result {
                Ok(length) => assert!(length == 1 << 16 && told.kind.buffer.iter().all(|byte| *byte == 7)),
                Err(status) => assert_eq!(status.code(), Code::Cancelled),
            }
        }
    }
}

/// More pieces than io_uring waits for readiness on behalf of one request (128, `APOLL_MAX_RETRY` in `io_uring/poll.c`)
/// before it hands it to a thread of its own, where a cancel has to interrupt it.
const PIECES: usize = 200;

fn a_whole_receive_that_came_in_many_pieces_can_be_cancelled(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (op, watch) = cts.watch(Receive::exact(server, vec![0; 1 << 20]));
    let id = cts.submit(op).unwrap();
    for _ in 0..PIECES {
        cts.get(Send::exact(client.clone(), vec![7]));
        cts.look();
    }
    cts.cancel(id).unwrap();
    cts.drain();
    let told = watch.only();
    assert!(told.moved <= PIECES, "{}", told.moved);
    assert!(told.kind.buffer[..told.moved].iter().all(|byte| *byte == 7));
    assert_eq!(told.status().code(), Code::Cancelled);
}

fn a_whole_send_that_went_in_many_pieces_can_be_cancelled(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let (op, watch) = cts.watch(Send::exact(client, vec![7; 64 << 20]));
    let id = cts.submit(op).unwrap();
    let mut taken = 0;
    for _ in 0..PIECES {
        taken += cts.get(Receive::some(server.clone(), vec![0; 4096]));
        cts.look();
    }
    cts.cancel(id).unwrap();
    cts.drain();
    let told = watch.only();
    assert!(told.moved >= taken, "{} of which {taken} came", told.moved);
    assert_eq!(told.status().code(), Code::Cancelled);
}

/// io_uring does not find a request whose socket becomes ready just as it begins to wait for it.
fn a_whole_receive_is_cancelled_while_its_bytes_come(cts: &mut Cts) {
    const ROUNDS: usize = 200;
    let (listener, address) = cts.listener();
    let mut peer = TcpStream::connect(address.to_string()).expect("a connection");
    peer.set_nodelay(true).expect("no delay");
    let socket = cts.get(Accept::new(listener)).socket;
    let (go, gone) = channel::<()>();
    let writer = std::thread::spawn(move || {
        for () in gone {
            for _ in 0..50 {
                peer.write_all(&[7]).expect("sent");
            }
        }
    });
    let mut sent = 0;
    for round in 0..ROUNDS {
        let (op, watch) = cts.watch(Receive::exact(socket.clone(), vec![0; 1 << 20]));
        let id = cts.submit(op).unwrap();
        go.send(()).expect("the writer waits");
        for _ in 0..round % 40 {
            cts.poll(Timeout::Immediate).unwrap();
        }
        cts.cancel(id).unwrap();
        cts.drain();
        let told = watch.only();
        sent += told.moved;
        assert_eq!(told.status().code(), Code::Cancelled);
    }
    drop(go);
    writer.join().expect("the writer has ended");
    assert!(sent <= ROUNDS * 50);
}

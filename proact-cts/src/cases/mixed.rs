//! Everything at once, at random: chains, sequences, signals, failures, cancels and closes in any order. What must hold
//! whatever comes is checked at the end. A failure names its seed; `PROACT_CTS_SEED` runs that one alone.

use std::cell::RefCell;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use proact::operation::{
    Accept, AnyOp, Chain, Close, Complete, Connect, Context, EventWait, Kind, Lowering, Nop, Op, OperationId, Outcome,
    Receive, ReceiveMany, SemaphoreSignal, SemaphoreWait, Send, Sequence, Timer,
};
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::{Code, Operation, Status};
use proact::sync::{Event, Semaphore};
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;
use crate::random::{Random, seeds};

cases![
    whatever_comes_every_operation_ends_once_in_order_and_streams_stay_whole,
    whatever_comes_a_shutdown_ends_every_operation_once,
];

/// The outcomes of one chain's operations, in the order of their callbacks: which step, and how it ended.
type Log = Rc<RefCell<Vec<(usize, Code)>>>;

struct Note {
    step: usize,
    log: Log,
}

impl<K: Kind> Complete<K> for Note {
    fn done(op: Box<Op<K, Note>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let code = outcome.result.err().map_or(Code::Ok, |status| status.code());
        op.state.log.borrow_mut().push((op.state.step, code));
    }
}

/// A connection whose other end somebody reads to the end.
struct Stream {
    socket: Socket,
    reader: Reader,
    /// Sends in the order of their submission: number, and where its outcome will stand.
    sends: Vec<(u32, Option<(Log, usize)>)>,
    /// Those that take their turn when they start: steps that a step function may change.
    unordered: Vec<u32>,
}

/// Who reads, and what it has read.
enum Reader {
    /// A thread, with a socket of the system's own kind.
    Thread(JoinHandle<Vec<u8>>),
    /// In a simulated world, which has one thread: an operation of the same proactor.
    Operation(Rc<RefCell<Vec<u8>>>),
}

/// The state of a reader's operation.
struct Collect(Rc<RefCell<Vec<u8>>>);

impl Complete<ReceiveMany<Vec<u8>>> for Collect {
    fn more(&mut self, kind: &ReceiveMany<Vec<u8>>, outcome: Outcome<ReceiveMany<Vec<u8>>>, _: &mut Context<'_>) {
        self.0.borrow_mut().extend_from_slice(&kind.buffer[..outcome.result.unwrap()]);
    }

    // A reset is an end too, and so is a shutdown.
    fn done(_: Box<Op<ReceiveMany<Vec<u8>>, Self>>, _: Outcome<ReceiveMany<Vec<u8>>>, _: &mut Context<'_>) {}
}

impl Reader {
    fn bytes(self) -> Vec<u8> {
        match self {
            Reader::Thread(thread) => thread.join().unwrap(),
            Reader::Operation(bytes) => bytes.take(),
        }
    }
}

impl Stream {
    /// A connection in a simulated world, with little room for what was not read.
    fn open_simulated(cts: &mut Cts, address: Address) -> Stream {
        let options = SocketOptions { receive_buffer: Some(4096), ..SocketOptions::default() };
        let listener = cts.handle().listen(&address, &options).unwrap();
        let accept = cts.start(Accept::new(listener));
        let socket = cts.handle().socket(Domain::Unix, &options).unwrap();
        cts.get(Connect::new(socket.clone(), address));
        cts.until("the connection to be accepted", || accept.is_done());
        let bytes = Rc::<RefCell<Vec<u8>>>::default();
        let receive = ReceiveMany::new(accept.only().result.unwrap().socket, vec![0; 2048]);
        cts.submit(Op::new(receive, Collect(bytes.clone()))).unwrap();
        Stream { socket, reader: Reader::Operation(bytes), sends: Vec::new(), unordered: Vec::new() }
    }

    fn open(cts: &mut Cts, name: usize) -> Stream {
        let path = cts.path(&format!("socket-{name}"));
        if cts.config.is_simulated() {
            return Stream::open_simulated(cts, Address::Unix(path));
        }
        let listener = UnixListener::bind(&path).unwrap();
        let options = SocketOptions { send_buffer: Some(4096), ..SocketOptions::default() };
        let socket = cts.handle().socket(Domain::Unix, &options).unwrap();
        cts.get(Connect::new(socket.clone(), Address::Unix(path)));
        let reader = std::thread::spawn(move || {
            let (mut stream, mut bytes) = (listener.accept().unwrap().0, vec![0; 2048]);
            let mut read = Vec::new();
            // Slowly, so that sends wait for room. A reset is an end too.
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                read.extend_from_slice(&bytes[..count]);
                std::thread::sleep(Duration::from_micros(20));
            }
            read
        });
        Stream { socket, reader: Reader::Thread(reader), sends: Vec::new(), unordered: Vec::new() }
    }

    /// A record: its number, its length, and that many bytes more.
    fn record(&self, random: &mut Random) -> (u32, Vec<u8>) {
        let number = self.sends.len() as u32;
        let length = [0, 10, 1000, 20_000][random.below(4)] + random.below(10) as u32;
        let mut bytes = [number.to_le_bytes(), length.to_le_bytes()].concat();
        bytes.resize(8 + length as usize, number as u8);
        (number, bytes)
    }

    /// Whole records in the order of their sends, of all that succeeded, and at most the last of them torn.
    fn check(self) {
        let bytes = self.reader.bytes();
        let mut rest = &bytes[..];
        let mut whole = Vec::new();
        while rest.len() >= 8 {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let (number, length) = (word(0), word(4) as usize);
            let body = &rest[8..rest.len().min(8 + length)];
            assert!(body.iter().all(|&byte| byte == number as u8), "record {number} is mixed with another");
            if body.len() < length {
                break;
            }
            whole.push(number);
            rest = &rest[8 + length..];
        }
        let ordered: Vec<_> = whole.iter().filter(|number| !self.unordered.contains(number)).collect();
        assert!(ordered.is_sorted_by(|one, next| one < next), "out of order: {ordered:?}");
        for (number, outcome) in &self.sends {
            let Some((log, step)) = outcome else { continue };
            let code = log.borrow().iter().find(|(at, _)| at == step).map(|(_, code)| *code);
            let arrived = whole.contains(number);
            // One that failed may have arrived: it was cancelled too late, and was told so only by its last byte.
            assert!(arrived || code != Some(Code::Ok), "record {number} succeeded and did not arrive");
        }
    }
}

struct World<'a> {
    cts: &'a mut Cts,
    /// Streams ever made: names their addresses.
    serial: &'a mut usize,
    random: Random,
    streams: Vec<Stream>,
    closed: Vec<Stream>,
    semaphores: Vec<(Semaphore, u64)>,
    dead: Vec<Semaphore>,
    events: Vec<Event>,
    ids: Vec<OperationId>,
    logs: Vec<(Log, usize)>,
}

impl<'a> World<'a> {
    fn new(cts: &'a mut Cts, seed: u64, serial: &'a mut usize) -> World<'a> {
        let streams = (0..2)
            .map(|_| {
                *serial += 1;
                Stream::open(cts, *serial)
            })
            .collect();
        let events = (0..2).map(|_| cts.handle().event().unwrap()).collect();
        let semaphores = (0..3).map(|_| (Semaphore::new(0), 0)).collect();
        let (ids, logs, closed, dead) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        World { cts, serial, random: Random::new(seed), streams, closed, semaphores, dead, events, ids, logs }
    }

    fn wait(&mut self) -> SemaphoreWait {
        let mut one = || {
            let (semaphore, value) = &self.semaphores[self.random.below(3)];
            (semaphore.clone(), value + self.random.below(3) as u64)
        };
        let (first, second) = (one(), one());
        match self.random.below(4) {
            0 => SemaphoreWait::all(vec![first, second]),
            1 => SemaphoreWait::any(vec![first, second]),
            _ => SemaphoreWait::new(first.0, first.1),
        }
    }

    fn soon(&mut self) -> Timer {
        Timer::new(self.cts.now() + Duration::from_micros(self.random.below(300) as u64))
    }

    /// One operation, at `step` of the chain that `log` is of. Waits are more frequent at its head, where they are
    /// handed to the kernel, and sends behind it.
    fn operation(&mut self, step: usize, log: &Log) -> AnyOp {
        let note = || Note { step, log: log.clone() };
        let choice = self.random.below(14);
        match if step == 0 && choice > 10 { 1 } else { choice } {
            0 => Op::new(Nop, note()).into(),
            1 | 2 => Op::new(self.wait(), note()).into(),
            3 => Op::new(self.soon(), note()).into(),
            4 => {
                let event = self.events[self.random.below(2)].clone();
                Op::new(EventWait::new(event), note()).into()
            }
            5 => {
                let (semaphore, value) = &mut self.semaphores[self.random.below(3)];
                *value += 1;
                Op::new(SemaphoreSignal::new(semaphore.clone(), *value), note()).into()
            }
            6 => {
                let socket = self.streams[self.random.below(2)].socket.clone();
                Op::new(Receive::exact(socket, vec![0; 4]), note()).into()
            }
            7 => Op::new(self.sequence(), note()).into(),
            _ => self.send(step, log),
        }
    }

    fn send(&mut self, step: usize, log: &Log) -> AnyOp {
        let stream = &mut self.streams[self.random.below(2)];
        let (number, bytes) = stream.record(&mut self.random);
        stream.sends.push((number, Some((log.clone(), step))));
        Op::new(Send::exact(stream.socket.clone(), bytes), Note { step, log: log.clone() }).into()
    }

    fn sequence(&mut self) -> Sequence {
        let mut sequence = Sequence::new();
        let stepwise = self.random.one_in(2);
        for _ in 0..self.random.below(4) {
            sequence = match self.random.below(4) {
                0 => sequence.step(self.wait()),
                1 => sequence.step(self.soon()),
                2 => {
                    let at = self.random.below(2);
                    let (number, bytes) = self.streams[at].record(&mut self.random);
                    self.streams[at].sends.push((number, None));
                    if stepwise {
                        self.streams[at].unordered.push(number);
                    }
                    sequence.step(Send::exact(self.streams[at].socket.clone(), bytes))
                }
                _ => sequence.step(Sequence::new().step(Nop).step(self.wait())),
            };
        }
        match self.random.below(2) {
            _ if !stepwise => sequence,
            0 => sequence.on_step(|_| Ok(())),
            _ => sequence.on_step(|step| match step.completed() {
                1 => Err(Status::new(Code::DataLoss, Operation::None)),
                _ => Ok(()),
            }),
        }
    }

    fn submit(&mut self) {
        let log = Log::default();
        let steps = 1 + self.random.below(4);
        // One in three is what goes to the kernel whole, where anything does.
        let (ops, lowering) = if self.random.one_in(3) {
            let wait = self.wait();
            let mut ops: Vec<AnyOp> = vec![Op::new(wait, Note { step: 0, log: log.clone() }).into()];
            ops.extend((1..steps).map(|step| self.send(step, &log)));
            (ops, Lowering::Always)
        } else {
            let ops = (0..steps).map(|step| self.operation(step, &log)).collect();
            (ops, [Lowering::Never, Lowering::Auto, Lowering::Always][self.random.below(3)])
        };
        let chain = Chain::new(ops).lowering(lowering);
        self.ids.extend(self.cts.submit(chain).unwrap_or_else(|refused| panic!("refused: {refused}")));
        self.logs.push((log, steps));
    }

    fn act(&mut self) {
        match self.random.below(16) {
            0..7 => self.submit(),
            7..9 => {
                let id = match self.ids.len() {
                    0 => return,
                    // Mostly what came lately.
                    count if self.random.one_in(2) => self.ids[count - 1 - self.random.below(count.min(4))],
                    count => self.ids[count - 1 - self.random.below(count.min(20))],
                };
                let remote = self.random.one_in(3);
                // What has ended by itself is not found any more.
                let _ = if remote { self.cts.handle().cancel(id) } else { self.cts.cancel(id) };
            }
            9..11 => {
                let (semaphore, value) = &mut self.semaphores[self.random.below(3)];
                *value += 1;
                // A signal that is an operation may still be on its way, and this one be later: then it is refused.
                let _ = semaphore.signal(*value, None);
            }
            11 => self.events[self.random.below(2)].set().unwrap(),
            12 if self.random.one_in(4) => {
                let at = self.random.below(3);
                self.semaphores[at].0.fail(Status::new(Code::DataLoss, Operation::None));
                let (dead, _) = std::mem::replace(&mut self.semaphores[at], (Semaphore::new(0), 0));
                self.dead.push(dead);
            }
            13 if self.random.one_in(4) => {
                *self.serial += 1;
                let at = self.random.below(2);
                let socket = self.streams[at].socket.clone();
                let close = self.cts.start(Close::new(socket));
                self.cts.until("a close, which no semaphore can hold up", || close.is_done());
                close.only().result.unwrap();
                let stream = Stream::open(self.cts, *self.serial);
                self.closed.push(std::mem::replace(&mut self.streams[at], stream));
            }
            _ => drop(self.cts.poll(Timeout::Immediate).unwrap()),
        }
    }

    /// Lets everything end: by itself where it can, or by a cancel.
    fn finish(&mut self) {
        if self.random.one_in(2) {
            while let Some(id) = self.ids.pop() {
                let _ = self.cts.cancel(id);
            }
        }
        for (semaphore, _) in &self.semaphores {
            // One that a chain has still to signal refuses that then.
            semaphore.signal_if_later(1 << 40, None).unwrap();
        }
        for stream in &self.streams {
            self.cts.submit(Op::new(Close::new(stream.socket.clone()), ())).unwrap();
        }
        let events = self.events.clone();
        self.cts.until_with("everything in flight to end", |proactor| {
            events.iter().for_each(|event| event.set().unwrap());
            proactor.pending() == 0
        });
    }

    /// One callback each, in the chain's order; and after the first failure nothing but cancelled ones.
    fn check(mut self) {
        for (log, steps) in &self.logs {
            let log = log.borrow();
            let order: Vec<usize> = log.iter().map(|(step, _)| *step).collect();
            assert_eq!(order, (0..*steps).collect::<Vec<_>>(), "callbacks of one chain: {log:?}");
            let failed = log.iter().position(|(_, code)| *code != Code::Ok).unwrap_or(*steps);
            let after = log.iter().skip(failed + 1);
            assert!(after.clone().all(|(_, code)| *code == Code::Cancelled), "after a failure: {log:?}");
        }
        for stream in self.streams.drain(..).chain(self.closed.drain(..)) {
            assert!(stream.socket.local_address().is_err(), "closed by the end");
            stream.check();
        }
    }
}

fn whatever_comes_every_operation_ends_once_in_order_and_streams_stay_whole(cts: &mut Cts) {
    let mut serial = 0;
    for seed in seeds(20) {
        // A small ring is full more often.
        cts.rebuild(|builder| if seed % 2 == 0 { builder.entries(4) } else { builder });
        cts.say(&format!("seed {seed}"));
        let named = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(cts, seed, &mut serial);
            for _ in 0..150 {
                world.act();
            }
            world.finish();
            world.check();
        }));
        if let Err(panic) = named {
            println!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn whatever_comes_a_shutdown_ends_every_operation_once(cts: &mut Cts) {
    let mut serial = 0;
    for seed in seeds(20) {
        cts.rebuild(|builder| builder);
        let mut world = World::new(cts, seed + 1_000_000, &mut serial);
        for _ in 0..100 {
            world.act();
        }
        let left = world.cts.take().shutdown(crate::bench::patience());
        assert_eq!(left, 0, "seed {seed}: operations that did not end");
        for (log, steps) in &world.logs {
            let log = log.borrow();
            let order: Vec<usize> = log.iter().map(|(step, _)| *step).collect();
            assert_eq!(order, (0..*steps).collect::<Vec<_>>(), "seed {seed}: callbacks of one chain: {log:?}");
        }
    }
    cts.rebuild(|builder| builder);
}

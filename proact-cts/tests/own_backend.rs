//! A backend from outside the crate, over the public contract: it completes every request at once.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use proact::backend::*;
use proact::operation::{Chain, Complete, Context, Kind, Lowering, Nop, Op, Outcome, Send, StatPath};
use proact::proactor::Builder;
use proact::resource::{Domain, SocketOptions, SocketType};
use proact::status::{Code, Operation, Result, Status};
use proact::time::Timeout;

struct Instant {
    known: Vec<Completion>,
}

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

// SAFETY: every accepted request has completed by the next poll, and its pointers are not used at all.
unsafe impl Backend for Instant {
    fn name(&self) -> &'static str {
        "instant"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }
    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::NonBlocking
    }
    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Nobody)
    }
    fn missing(&self) -> Vec<(Operation, String)> {
        vec![(Operation::FileStat, String::from("an instant knows no files"))]
    }
    fn grow(&mut self, _: u32) {}
    unsafe fn start(&mut self, token: Token, _: &Request) -> Start {
        if self.known.len() == 2 {
            return Start::Full;
        }
        self.known.push(Completion { token, result: 0, flags: 0 });
        Start::Accepted
    }
    fn cancel(&mut self, _: Token) -> bool {
        true
    }
    fn poll(&mut self, _: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        completions.append(&mut self.known);
        Ok(())
    }
    fn counters(&self) -> BackendCounters {
        BackendCounters::default()
    }
}

struct Tell<T>(Sender<Result<T>>);

impl<K: Kind> Complete<K> for Tell<K::Output> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        op.state.0.send(outcome.result).expect("the test listens");
    }
}

#[test]
fn a_backend_from_outside_runs_operations_and_refuses_what_it_lacks() {
    let mut proactor = Builder::new().build_on(|_| Ok(Box::new(Instant { known: Vec::new() }))).unwrap();
    assert_eq!(proactor.handle().backend(), "instant");
    let (sender, receiver) = channel();
    // More than it takes at a time: the rest waits in the proactor.
    for _ in 0..5 {
        proactor.submit(Op::new(Nop, Tell(sender.clone()))).unwrap();
    }
    proactor.run().unwrap();
    drop(sender);
    assert_eq!(receiver.iter().map(|result| result.unwrap()).count(), 5);
    let refused = proactor.submit(Op::new(StatPath::new("/"), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::Unavailable);
    assert!(refused.status.to_string().contains("an instant knows no files"), "{refused}");
}

/// What a backend was asked for and has room for, seen from outside.
#[derive(Default)]
struct Seen {
    sends: Vec<usize>,
    full: bool,
}

/// Takes half of every send, and is full at will.
struct Halving {
    seen: Arc<Mutex<Seen>>,
    known: Vec<Completion>,
}

// SAFETY: every accepted request has completed by the next poll, and its pointers are not used at all.
unsafe impl Backend for Halving {
    fn name(&self) -> &'static str {
        "halving"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }
    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::NonBlocking
    }
    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Nobody)
    }
    fn missing(&self) -> Vec<(Operation, String)> {
        Vec::new()
    }
    fn grow(&mut self, _: u32) {}
    unsafe fn start(&mut self, token: Token, request: &Request) -> Start {
        let mut seen = self.seen.lock().unwrap();
        if seen.full {
            return Start::Full;
        }
        let Request::Send { length, .. } = *request else { panic!("only sends are tried here, no {request:?}") };
        seen.sends.push(length);
        seen.full = true;
        self.known.push(Completion { token, result: length as i32 / 2, flags: 0 });
        Start::Accepted
    }
    fn cancel(&mut self, _: Token) -> bool {
        true
    }
    fn poll(&mut self, _: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        completions.append(&mut self.known);
        Ok(())
    }
    fn counters(&self) -> BackendCounters {
        BackendCounters::default()
    }
}

#[test]
fn a_send_cancelled_midway_while_it_waits_for_room_lets_no_later_send_go() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let told = seen.clone();
    let mut proactor = Builder::new().build_on(|_| Ok(Box::new(Halving { seen: told, known: Vec::new() }))).unwrap();
    // With a peer: of a socket that has none no failure stays.
    let (socket, _peer) = proactor.handle().socket_pair(SocketType::Stream).unwrap();
    let (sender, receiver) = channel();
    let first = proactor.submit(Op::new(Send::exact(socket.clone(), vec![1; 6]), Tell(sender.clone()))).unwrap();
    proactor.submit(Op::new(Send::exact(socket, vec![2; 8]), Tell(sender))).unwrap();
    // Half of the first is gone, and there is no room for the other half.
    proactor.poll(Timeout::Immediate).unwrap();
    proactor.cancel(first).unwrap();
    seen.lock().unwrap().full = false;
    for _ in 0..10 {
        proactor.poll(Timeout::Immediate).unwrap();
        seen.lock().unwrap().full = false;
    }
    let codes: Vec<_> = receiver.iter().map(|result| result.unwrap_err().code()).collect();
    assert_eq!(codes, [Code::Cancelled, Code::Aborted]);
    assert_eq!(seen.lock().unwrap().sends, [6], "the later send left bytes behind half of the first");
}

/// What a backend was asked to start, and whether it has room for a cancel.
#[derive(Default)]
struct Asked {
    started: Vec<(Token, usize)>,
    cancels: Vec<Token>,
    room: bool,
}

/// Takes chains; takes half of their first send, and severs the rest. What is started alone ends when it is cancelled.
struct Severing {
    asked: Arc<Mutex<Asked>>,
    known: Vec<Completion>,
}

// SAFETY: no request's pointers are used at all, and each accepted one completes once: by a poll, or by its cancel.
unsafe impl Backend for Severing {
    fn name(&self) -> &'static str {
        "severing"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::KERNEL_CHAINS
    }
    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::NonBlocking
    }
    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Nobody)
    }
    fn missing(&self) -> Vec<(Operation, String)> {
        Vec::new()
    }
    fn grow(&mut self, _: u32) {}
    unsafe fn start(&mut self, token: Token, request: &Request) -> Start {
        let Request::Send { length, .. } = *request else { panic!("only sends are started alone, no {request:?}") };
        self.asked.lock().unwrap().started.push((token, length));
        Start::Accepted
    }
    unsafe fn start_linked(&mut self, steps: &[(Token, Request)]) -> bool {
        let Request::Send { length, .. } = steps[0].1 else { panic!("a chain begins with a send here") };
        self.known.push(Completion { token: steps[0].0, result: length as i32 / 2, flags: 0 });
        let severed = |&(token, _): &(Token, Request)| Completion { token, result: -125, flags: 0 };
        self.known.extend(steps[1..].iter().map(severed));
        true
    }
    fn links(&self, _: &Request) -> bool {
        true
    }
    fn cancel(&mut self, token: Token) -> bool {
        let mut asked = self.asked.lock().unwrap();
        if asked.room {
            asked.cancels.push(token);
            if asked.started.iter().any(|(started, _)| *started == token) {
                self.known.push(Completion { token, result: -125, flags: 0 });
            }
        }
        asked.room
    }
    fn poll(&mut self, _: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        completions.append(&mut self.known);
        Ok(())
    }
    fn counters(&self) -> BackendCounters {
        BackendCounters::default()
    }
}

#[test]
fn a_cancel_that_waited_for_room_does_not_end_the_step_that_nobody_asked_to_end() {
    let asked = Arc::new(Mutex::new(Asked::default()));
    let told = asked.clone();
    let mut proactor = Builder::new().build_on(|_| Ok(Box::new(Severing { asked: told, known: Vec::new() }))).unwrap();
    let socket = proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (sender, sends) = channel();
    let (nop, nops) = channel();
    let head = Op::new(Send::exact(socket, vec![1; 6]), Tell(sender));
    let chain = Chain::new((head, Op::new(Nop, Tell(nop)))).lowering(Lowering::Always);
    let (_, tail) = proactor.submit(chain).unwrap();
    // The chain is to be called back by a cancel of its head, for which there is no room; and then the head comes back
    // by itself, short, and the proactor goes on with it.
    proactor.cancel(tail).unwrap();
    proactor.poll(Timeout::Immediate).unwrap();
    assert_eq!(asked.lock().unwrap().started.len(), 1, "the other half of the send");
    asked.lock().unwrap().room = true;
    for _ in 0..5 {
        proactor.poll(Timeout::Immediate).unwrap();
    }
    assert!(asked.lock().unwrap().cancels.is_empty(), "that half is not what the cancel was meant for");
    assert!(sends.try_recv().is_err() && nops.try_recv().is_err(), "the send is under way");
    // Asked for itself it ends, and the step behind it, which was cancelled long ago, ends in its turn.
    assert_eq!(proactor.shutdown(std::time::Duration::from_secs(10)), 0);
    assert_eq!(sends.recv().unwrap().unwrap_err().code(), Code::Cancelled);
    assert_eq!(nops.recv().unwrap().unwrap_err().code(), Code::Cancelled);
}

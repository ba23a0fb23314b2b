//! A backend from outside the crate, over the public contract: it completes every request at once.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use proact::backend::*;
use proact::operation::{Complete, Context, Kind, Nop, Op, Outcome, Send, StatPath};
use proact::proactor::Builder;
use proact::resource::{Domain, SocketOptions};
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
    let socket = proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
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

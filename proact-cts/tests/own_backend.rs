//! A backend from outside the crate, over the public contract: it completes every request at once.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use proact::backend::*;
use proact::operation::{Complete, Context, Kind, Nop, Op, Outcome, StatPath};
use proact::proactor::Builder;
use proact::status::{Code, Operation, Result, Status};

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

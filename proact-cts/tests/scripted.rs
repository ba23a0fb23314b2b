//! What the proactor makes of completions that a kernel gives seldom: a backend that completes what the test says, when
//! it says so.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proact::backend::*;
use proact::operation::{AcceptMany, Close, Complete, Context, Kind, Op, OperationId, Outcome, Send};
use proact::proactor::{Builder, Proactor};
use proact::resource::{Domain, SocketOptions, SocketType};
use proact::status::{Code, Operation, Status};
use proact::time::Timeout;

/// What was asked of the backend, and what it is to say next.
#[derive(Default)]
struct Script {
    started: Vec<(Token, Request)>,
    cancelled: Vec<Token>,
    known: Vec<Completion>,
}

impl Script {
    fn say(&mut self, token: Token, result: i32, flags: u32) {
        self.known.push(Completion { token, result, flags });
    }

    fn closes(&self) -> usize {
        self.started.iter().filter(|(_, request)| matches!(request, Request::Close { .. })).count()
    }
}

/// A test that failed meanwhile is no reason for another failure.
fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Scripted(Arc<Mutex<Script>>);

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

// SAFETY: no request's pointers are used at all, and the tests complete each accepted request once.
unsafe impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
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
        lock(&self.0).started.push((token, *request));
        Start::Accepted
    }
    fn cancel(&mut self, token: Token) -> bool {
        lock(&self.0).cancelled.push(token);
        true
    }
    fn poll(&mut self, _: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        completions.append(&mut lock(&self.0).known);
        Ok(())
    }
    fn counters(&self) -> BackendCounters {
        BackendCounters::default()
    }
}

struct Stage {
    script: Arc<Mutex<Script>>,
    proactor: Proactor,
    told: Arc<Mutex<Vec<(&'static str, Code)>>>,
}

/// Notes the end of an operation under a name.
struct Note(&'static str, Arc<Mutex<Vec<(&'static str, Code)>>>);

impl<K: Kind> Complete<K> for Note {
    fn done(op: Box<Op<K, Note>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let code = outcome.result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        op.state.1.lock().unwrap().push((op.state.0, code));
    }
}

impl Stage {
    fn new() -> Stage {
        let script = Arc::<Mutex<Script>>::default();
        let backend = Box::new(Scripted(script.clone()));
        let proactor = Builder::new().build_on(|_| Ok(backend)).unwrap();
        Stage { script, proactor, told: Arc::default() }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    /// Submits `kind`, which is asked of the backend at once. Answers with the request's token.
    fn start<K: Kind>(&mut self, name: &'static str, kind: K) -> (Token, OperationId) {
        let id = self.proactor.submit(Op::new(kind, Note(name, self.told.clone()))).unwrap();
        (self.script().started.last().unwrap().0, id)
    }

    fn look(&mut self) {
        for _ in 0..3 {
            self.proactor.poll(Timeout::Immediate).unwrap();
        }
    }

    fn told(&self) -> Vec<(&'static str, Code)> {
        self.told.lock().unwrap().clone()
    }
}

#[test]
fn a_close_waits_for_memory_that_is_given_back_after_the_last_byte_has_gone() {
    let mut stage = Stage::new();
    let socket = stage.proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (send, _) = stage.start("send", Send::exact(socket.clone(), vec![1; 6]).zero_copy());
    stage.start("close", Close::new(socket));
    // Too late to cancel: all bytes are gone, but the memory is still read.
    stage.script().say(send, 6, flags::MORE);
    stage.look();
    assert_eq!(stage.script().closes(), 0, "closed under an operation that has not ended");
    stage.script().say(send, 6, 0);
    stage.look();
    assert_eq!(stage.told(), [("send", Code::Ok)]);
    let (close, Request::Close { descriptor }) = *stage.script().started.last().unwrap() else { panic!("no close") };
    // SAFETY: the request gave the descriptor up.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor.fd()) });
    stage.script().say(close, 0, 0);
    stage.look();
    assert_eq!(stage.told(), [("send", Code::Ok), ("close", Code::Ok)]);
}

#[test]
fn an_operation_with_many_outcomes_that_the_system_gave_up_is_asked_for_again() {
    const ECANCELED: i32 = 125;
    let mut stage = Stage::new();
    let listener = stage.proactor.handle().listen(&"127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
    let (accept, id) = stage.start("accept", AcceptMany::new(listener));
    // As a kernel may say that had no room for an outcome.
    stage.script().say(accept, -ECANCELED, 0);
    stage.look();
    assert_eq!(stage.told(), [], "nobody asked it to end");
    assert_eq!(stage.script().started.len(), 2);
    // Asked to end, it does.
    stage.proactor.cancel(id).unwrap();
    assert_eq!(stage.script().cancelled, [accept]);
    stage.script().say(accept, -ECANCELED, 0);
    stage.look();
    assert_eq!(stage.told(), [("accept", Code::Cancelled)]);
}

#[test]
fn what_the_system_gave_up_before_it_began_is_asked_for_again() {
    const ECANCELED: i32 = 125;
    let mut stage = Stage::new();
    let (socket, _peer) = stage.proactor.handle().socket_pair(SocketType::Stream).unwrap();
    let (send, id) = stage.start("send", Send::exact(socket, vec![1; 6]));
    for times in 2..5 {
        // As a kernel says that could not start a thread for it.
        stage.script().say(send, -ECANCELED, 0);
        stage.look();
        assert_eq!((stage.told().len(), stage.script().started.len()), (0, times), "nobody asked it to end");
    }
    // The rest of what went halfway, too.
    stage.script().say(send, 4, 0);
    stage.script().say(send, -ECANCELED, 0);
    stage.look();
    let Request::Send { length, .. } = stage.script().started.last().unwrap().1 else { panic!("no send") };
    assert_eq!((length, stage.script().started.len()), (2, 6));
    stage.proactor.cancel(id).unwrap();
    stage.script().say(send, -ECANCELED, 0);
    stage.look();
    assert_eq!(stage.told(), [("send", Code::Cancelled)]);
}

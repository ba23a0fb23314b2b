//! What the proactor makes of completions that a kernel gives seldom: a backend that completes what the test says, when
//! it says so.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proact::backend::*;
use proact::operation::{
    AcceptMany, Chain, Close, Complete, Context, Kind, Nop, Op, OperationId, Outcome, SemaphoreSignal, Send,
};
use proact::proactor::{Builder, Proactor};
use proact::resource::{Domain, SocketOptions, SocketType};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;

/// What was asked of the backend, and what it is to say next.
#[derive(Default)]
struct Script {
    started: Vec<(Token, Request)>,
    cancelled: Vec<Token>,
    known: Vec<Completion>,
    /// What it can do, if anything.
    capabilities: Option<Capabilities>,
    /// It can do nothing any more.
    broken: bool,
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
        lock(&self.0).capabilities.unwrap_or(Capabilities::empty())
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
    unsafe fn start_linked(&mut self, steps: &[(Token, Request)]) -> bool {
        lock(&self.0).started.extend(steps);
        true
    }
    fn links(&self, _: &Request) -> bool {
        true
    }
    fn cancel(&mut self, token: Token) -> bool {
        lock(&self.0).cancelled.push(token);
        true
    }
    fn poll(&mut self, _: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        let mut script = lock(&self.0);
        completions.append(&mut script.known);
        if script.broken { Err(Status::new(Code::Unavailable, Operation::Poll)) } else { Ok(()) }
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
        Stage::with(Capabilities::empty())
    }

    fn with(capabilities: Capabilities) -> Stage {
        let script = Arc::<Mutex<Script>>::default();
        lock(&script).capabilities = Some(capabilities);
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

/// The kernel looks for a step's descriptor when it comes to the step, which may be after the proactor's end.
#[test]
fn a_lowered_signal_that_the_system_keeps_keeps_what_it_writes() {
    let mut stage = Stage::with(Capabilities::KERNEL_CHAINS);
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1).unwrap();
    let signal = Op::new(SemaphoreSignal::new(semaphore.clone(), 1), ());
    stage.proactor.submit(Chain::new((Op::new(Nop, ()), signal))).unwrap();
    let (_, Request::EventSet { event }) = *stage.script().started.last().unwrap() else { panic!("not lowered") };
    assert_eq!(stage.proactor.shutdown(Duration::from_millis(1)), 2);
    // Another was faster.
    semaphore.signal(1, None).unwrap();
    drop(export);
    // SAFETY: a look at a descriptor's number, whatever it names.
    assert_ne!(unsafe { libc::fcntl(event.fd(), libc::F_GETFD) }, -1, "closed under a write to come");
}

#[test]
fn a_broken_backend_keeps_no_message_back() {
    let mut stage = Stage::new();
    let told = Arc::<Mutex<Vec<u64>>>::default();
    let messages = told.clone();
    stage.proactor.on_message(move |message, _| messages.lock().unwrap().push(message));
    stage.script().broken = true;
    stage.proactor.handle().send_message(1).unwrap();
    stage.proactor.poll(Timeout::Immediate).unwrap_err();
    assert_eq!(*told.lock().unwrap(), [1]);
    stage.proactor.handle().send_message(2).unwrap();
    drop(stage.proactor);
    assert_eq!(*told.lock().unwrap(), [1, 2], "taken, so it was to be told");
}

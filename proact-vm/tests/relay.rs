//! The example program, `programs/relay.rs` and its text form: a file that a compute queue looks at piece by piece, and
//! that is sent as far as it has got. Descriptors are counted for the whole process: one test at a time. On the backend
//! that `PROACT_BACKEND` names.
#![cfg(feature = "wasm")]

#[path = "support/compiled.rs"]
mod compiled;

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use compiled::{PROGRAMS, compiled};
use proact::causal::Axis;
use proact::proactor::{Builder, Handle, Proactor, ProactorThread};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_schedule::executor::{Runtime, Threads};
use proact_schedule::model::{Point, QueueId, SemaphoreId, Submission};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
use proact_vm::executor::Executor;
use proact_vm::module::Module;
use proact_vm::standard::{self, DirectoryAccess, Grants, Host};
use proact_vm::wasm::WasmModule;
use proact_vm::{Access, Buffer, Context, Error, Instance, InvocationOptions, InvocationStatus, Policy, Ref, Value};

/// Bytes of a piece, as the program has them.
const PIECE: usize = 4096;
/// Three whole pieces and a part of one.
const LENGTH: usize = 3 * PIECE + 1000;
/// Then a test has failed that waits.
const PATIENCE: Duration = Duration::from_secs(60);

fn assembled() -> WasmModule {
    let text = std::fs::read_to_string(Path::new(PROGRAMS).join("relay.wat")).expect("the program's text");
    let binary = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    WasmModule::builder("relay").load(&binary).unwrap_or_else(|error| panic!("{error}"))
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn bytes(text: &str) -> Value {
    Value::Ref(Ref::new(Buffer::new(text.as_bytes(), Access::ReadOnly)))
}

/// A file, someone to send it to, and the semaphore that says how far it may go.
struct Stage {
    directory: PathBuf,
    contents: Arc<[u8]>,
    server: TcpListener,
    looked_at: Semaphore,
}

/// Held by each test from its first line on: also a compiler that is started has descriptors here.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn new() -> Stage {
        let directory = std::env::temp_dir().join(format!("proact-vm-relayed-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let contents: Arc<[u8]> = (0..LENGTH).map(|index| (index * 31 % 251) as u8).collect();
        std::fs::write(directory.join("file"), &contents).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        Stage { directory, contents, server, looked_at: Semaphore::new(0) }
    }

    fn address(&self) -> String {
        self.server.local_addr().unwrap().to_string()
    }

    fn context(&self, handle: &Handle, program: WasmModule) -> Context {
        let grants = Grants::new().directory("data", &self.directory, DirectoryAccess::ReadOnly);
        let host = Host::new().grant(handle, grants.connect(self.address().parse().unwrap()));
        let builder = Context::builder(&Instance::new());
        let modules = standard::modules(&host).unwrap();
        let builder = modules.into_iter().fold(builder, |builder, module| builder.module(module));
        builder.module(Arc::new(program)).build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether this process has the file open. Links of descriptors that are closed meanwhile cannot be read.
    fn file_is_open(&self) -> bool {
        let file = self.directory.join("file").canonicalize().unwrap();
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        descriptors.flatten().any(|each| std::fs::read_link(each.path()).is_ok_and(|link| link == file))
    }

    fn inputs(&self) -> [Value; 3] {
        [bytes("data/file"), bytes(&self.address()), Arc::new(self.looked_at.clone()).into()]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A compute queue that looks at pieces of the contents, and raises the semaphore by one for each.
struct Compute {
    runtime: Runtime<usize>,
    queue: QueueId,
    done: SemaphoreId,
}

impl Compute {
    fn new(stage: &Stage) -> Compute {
        let mut runtime: Runtime<usize> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
        let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0))).unwrap();
        let done = runtime.scheduler().add_shown_semaphore(stage.looked_at.clone());
        let contents = stage.contents.clone();
        let look = move |piece: usize| match contents.chunks(PIECE).nth(piece).map(<[u8]>::len) {
            Some(1..) => Ok(()),
            _ => Err(Status::new(Code::OutOfRange, Operation::None)),
        };
        let threads = Threads::new(&runtime, 1, look).unwrap();
        runtime.attach(queue, threads);
        Compute { runtime, queue, done }
    }

    fn looks_at(&mut self, pieces: std::ops::Range<usize>) {
        for piece in pieces {
            let signals = [Point::new(self.done, piece as u64 + 1)];
            self.runtime.scheduler().submit(&Submission::new(self.queue).signals(&signals), piece).unwrap();
        }
        self.runtime.run();
    }
}

/// Takes a connection, and reads what comes: tells of the first `early` bytes when they are there, answers all.
fn receiver(stage: &Stage, early: usize) -> (mpsc::Receiver<()>, JoinHandle<Vec<u8>>) {
    let (server, (told, heard)) = (stage.server.try_clone().unwrap(), mpsc::channel());
    let thread = std::thread::spawn(move || {
        let mut stream = server.accept().unwrap().0;
        let mut all = vec![0; early];
        stream.read_exact(&mut all).unwrap();
        let _ = told.send(());
        stream.read_to_end(&mut all).unwrap();
        all
    });
    (heard, thread)
}

fn relays(program: WasmModule) {
    let signatures: Vec<String> = program.signatures().map(|(name, signature)| format!("{name}{signature}")).collect();
    assert_eq!((signatures, program.version()), (vec![String::from("relay(ref, ref, ref) -> i64")], 1));
    let stage = Stage::new();
    let thread = ProactorThread::spawn(Builder::new()).unwrap();
    let context = stage.context(thread.handle(), program);
    let relay = context.lookup("relay.relay").unwrap();
    let call = |inputs: &[Value]| -> Result<i64, Error> {
        let mut outputs = Vec::new();
        context.invoke_with(&InvocationOptions::new().deadline(PATIENCE), &relay, inputs, &mut outputs)?;
        match outputs[..] {
            [Value::I64(answer)] => Ok(answer),
            _ => panic!("{outputs:?}"),
        }
    };

    // The queue looks at the pieces while the program waits for them.
    let inputs = stage.inputs();
    let counts = || inputs.each_ref().map(|input| input.reference().unwrap().count());
    let before = counts();
    let (_, received) = receiver(&stage, 0);
    let sent = std::thread::scope(|scope| {
        let running = scope.spawn(|| call(&inputs));
        Compute::new(&stage).looks_at(0..4);
        running.join().unwrap()
    });
    assert_eq!(sent.unwrap_or_else(|error| panic!("{error:?}")), LENGTH as i64);
    assert_eq!(received.join().unwrap(), *stage.contents);
    assert_eq!(counts(), before, "the program has released what it was given");

    // Without a semaphore it waits for none.
    let [path, address, semaphore] = inputs;
    let (_, received) = receiver(&stage, 0);
    assert_eq!(call(&[path.clone(), address.clone(), Value::Ref(Ref::NULL)]).unwrap(), LENGTH as i64);
    assert_eq!(received.join().unwrap(), *stage.contents);

    // Failures that it is told it answers, negated.
    let absent = call(&[bytes("data/absent"), address, semaphore.clone()]);
    assert_eq!(absent.unwrap(), -(Code::NotFound as i64));
    let elsewhere = call(&[path, bytes("127.0.0.1:1"), semaphore]);
    assert_eq!(elsewhere.unwrap(), -(Code::PermissionDenied as i64));
    drop(context);
    thread.join().unwrap();
}

#[test]
fn it_sends_each_piece_when_the_queue_has_looked_at_it_as_assembled() {
    let _alone = alone();
    relays(assembled());
}

#[test]
fn it_sends_each_piece_when_the_queue_has_looked_at_it_as_compiled() {
    let _alone = alone();
    if let Some(program) = compiled("relay") {
        relays(program);
    }
}

/// Polls the proactor until something has come to pass on another thread.
fn poll_until(proactor: &mut Proactor, mut done: impl FnMut() -> bool) {
    let latest = proactor.now() + PATIENCE;
    while !done() {
        proactor.poll(Timeout::At(proactor.now() + Duration::from_millis(5))).unwrap();
        assert!(proactor.now() < latest, "what is waited for does not come");
    }
}

/// Has the program send two pieces of four, and cancels it while it waits for the third.
fn cancelled_half_way(stage: &Stage, proactor: &mut Proactor, context: &Context, executor: &Executor) {
    let inputs = stage.inputs();
    let counts = || inputs.each_ref().map(|input| input.reference().unwrap().count());
    let before = counts();
    let (half, received) = receiver(stage, 2 * PIECE);
    let relay = context.lookup("relay.relay").unwrap();
    let invocation = executor.create(context, &relay, &Policy::new(), &inputs).unwrap();
    poll_until(proactor, || half.try_recv().is_ok());
    assert!(!invocation.is_finished());
    invocation.cancel();
    poll_until(proactor, || invocation.is_finished());
    assert_eq!((invocation.status(), invocation.code()), (InvocationStatus::Cancelled, Some(Code::Cancelled)));
    let told = format!("{:?}", invocation.error().unwrap().backtrace());
    assert!(told.contains("relay.relay"), "{told}");
    drop(invocation);
    // Nothing of it is left: the connection ends behind what was sent, and no one holds what it was given.
    poll_until(proactor, || received.is_finished());
    assert_eq!(received.join().unwrap(), stage.contents[..2 * PIECE]);
    poll_until(proactor, || counts() == before);
}

#[test]
fn cancelled_half_way_it_leaves_nothing() {
    let _alone = alone();
    let mut stage = Stage::new();
    let mut proactor = Builder::new().build().unwrap();
    let context = stage.context(proactor.handle(), assembled());
    let executor = Executor::new(1).unwrap();
    let mut before = 0;
    // The first time makes what is kept: threads of workers, and what they wait on.
    for round in 0..3 {
        stage.looked_at = Semaphore::new(0);
        Compute::new(&stage).looks_at(0..2);
        cancelled_half_way(&stage, &mut proactor, &context, &executor);
        // Its end closed the connection, or the peer would still wait. The file is closed when the executor's thread
        // has let go of it and the proactor has heard of that.
        poll_until(&mut proactor, || !stage.file_is_open());
        match round {
            0 => before = descriptors(),
            _ => assert_eq!(descriptors(), before, "round {round}"),
        }
    }
    // And the context runs another to its end.
    stage.looked_at = Semaphore::new(0);
    Compute::new(&stage).looks_at(0..4);
    let (_, received) = receiver(&stage, 0);
    let relay = context.lookup("relay.relay").unwrap();
    let whole = executor.create(&context, &relay, &Policy::new(), &stage.inputs()).unwrap();
    poll_until(&mut proactor, || whole.is_finished() && received.is_finished());
    assert_eq!(whole.outputs(), Some(&[Value::I64(LENGTH as i64)][..]), "{:?}", whole.error());
    assert_eq!(received.join().unwrap(), *stage.contents);
}

//! Descriptors are counted for the whole process: a program with one test. On the backend that `PROACT_BACKEND` names.

use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::proactor::{Builder, Proactor};
use proact::time::Timeout;
use proact_vm::standard::{self, DirectoryAccess, Grants, Host};
use proact_vm::{Access, Buffer, Context, Error, Instance, InvocationOptions, Ref, Value};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn bytes(text: &str) -> Value {
    Value::Ref(Ref::new(Buffer::new(text.as_bytes(), Access::ReadOnly)))
}

/// Runs the call to its end, or for so many steps and gives it up.
fn run<const N: usize>(
    proactor: &mut Proactor,
    context: &Context,
    function: &str,
    inputs: [Value; N],
    steps: usize,
) -> Option<Result<Value, Error>> {
    let function = context.lookup(function).unwrap();
    let mut future = pin!(context.invoke_async(&function, &InvocationOptions::new(), &inputs).unwrap());
    for step in 0..=steps {
        if let Poll::Ready(ended) = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            return Some(ended.map(|mut outputs| outputs.pop().unwrap_or(Value::None)));
        }
        if step < steps {
            turn(proactor);
        }
    }
    None
}

/// Polls the proactor for something that the test waits for.
fn turn(proactor: &mut Proactor) {
    let latest = proactor.now() + Duration::from_secs(60);
    proactor.poll(Timeout::At(latest)).unwrap();
    assert!(proactor.now() < latest, "what is waited for does not come");
}

fn settle(proactor: &mut Proactor) {
    proactor.poll(Timeout::Immediate).unwrap();
    while proactor.pending() > 0 {
        turn(proactor);
    }
}

#[test]
fn calls_that_end_fail_or_are_given_up_leave_no_descriptor_open() {
    let mut proactor = Builder::new().build().unwrap();
    let directory = std::env::temp_dir().join(format!("proact-vm-leaks-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("a/b")).unwrap();
    std::fs::write(directory.join("a/b/file"), b"content").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let grants = Grants::new()
        .directory("data", &directory, DirectoryAccess::ReadWrite)
        .connect(address.parse().unwrap())
        .listen("127.0.0.1:0".parse().unwrap());
    let host = Host::new().grant(proactor.handle(), grants);
    let builder = Context::builder(&Instance::new());
    let modules = standard::modules(&host).unwrap();
    let context = modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap();

    let all = |proactor: &mut Proactor| {
        for steps in (0..12).chain([usize::MAX]) {
            for path in ["data/a/b/file", "data/a/b/absent", "data/a/file/x", "data/a/b"] {
                drop(run(proactor, &context, "file.open", [bytes(path), Value::I32(1)], steps));
            }
            drop(run(proactor, &context, "socket.connect", [bytes(&address)], steps));
            let listener = run(proactor, &context, "socket.listen", [bytes("127.0.0.1:0")], 0).unwrap().unwrap();
            let words = run(proactor, &context, "socket.local_address", [listener.clone()], 0).unwrap().unwrap();
            let words = words.reference().unwrap().get::<Buffer>().unwrap().to_vec();
            let client = TcpStream::connect(String::from_utf8(words).unwrap()).unwrap();
            if let Some(socket) = run(proactor, &context, "socket.accept", [listener], steps) {
                let room = Value::from(Arc::new(Buffer::zeroed(4).unwrap()));
                // Nothing comes: it is given up, and the socket goes with it.
                assert!(run(proactor, &context, "socket.receive", [socket.unwrap(), room], 0).is_none());
            }
            drop(client);
            settle(proactor);
        }
        server.set_nonblocking(true).unwrap();
        while server.accept().is_ok() {}
    };
    // The first time makes what is kept: threads of workers, and what they wait on.
    all(&mut proactor);
    let before = descriptors();
    all(&mut proactor);
    settle(&mut proactor);
    assert_eq!(descriptors(), before);
    std::fs::remove_dir_all(&directory).unwrap();
}

//! The standard modules, as programs and hosts meet them. On the backend that `PROACT_BACKEND` names.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod given_up;
mod grants;
mod memory;
mod pipeline;
mod semaphores;
mod sockets;
#[cfg(feature = "wasm")]
mod wasm;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::proactor::{Builder, Handle, Proactor, ProactorThread};
use proact::status::Code;
use proact::time::Timeout;
use proact_vm::module::Module;
use proact_vm::standard::{self, Grants, Host};
use proact_vm::{Access, Buffer, Context, Error, Instance, InvocationFuture, InvocationOptions, Ref, Value};

/// Then a test has failed that waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of its own, until it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proact-vm-standard-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A proactor on a thread of its own.
fn thread() -> ProactorThread {
    ProactorThread::spawn(Builder::new()).unwrap()
}

/// What the host allows, and modules of a test beside it.
fn context_with(host: &Host, more: impl IntoIterator<Item = Arc<dyn Module>>) -> Context {
    let instance = Instance::new();
    standard::register(&instance).unwrap();
    let modules = standard::modules(host).unwrap_or_else(|error| panic!("{error}"));
    let builder = Context::builder(&instance);
    modules.into_iter().chain(more).fold(builder, |builder, module| builder.module(module)).build().unwrap()
}

fn context(host: &Host) -> Context {
    context_with(host, [])
}

fn granted(handle: &Handle, grants: Grants) -> Context {
    context(&Host::new().grant(handle, grants))
}

fn call<const N: usize>(context: &Context, function: &str, inputs: [Value; N]) -> Result<Value, Error> {
    let mut outputs = Vec::new();
    let options = InvocationOptions::new().deadline(PATIENCE);
    context.invoke_with(&options, &context.lookup(function)?, &inputs, &mut outputs)?;
    Ok(outputs.pop().unwrap_or(Value::None))
}

/// A call whose failure is asked for.
#[track_caller]
fn refused<const N: usize>(context: &Context, function: &str, inputs: [Value; N]) -> (Code, String) {
    match call(context, function, inputs) {
        Err(error) => (error.code(), error.to_string()),
        Ok(value) => panic!("{function} answered {value:?}"),
    }
}

fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    Value::Ref(Ref::new(Buffer::new(bytes.as_ref(), Access::ReadOnly)))
}

fn room(length: usize) -> Arc<Buffer> {
    Arc::new(Buffer::zeroed(length).unwrap())
}

fn reference(value: &Value) -> &Ref {
    value.reference().unwrap()
}

fn contents(value: &Value) -> Vec<u8> {
    reference(value).get::<Buffer>().unwrap().to_vec()
}

/// A call as a future, begun by its first poll.
fn begin<const N: usize>(context: &Context, function: &str, inputs: [Value; N]) -> Pin<Box<InvocationFuture>> {
    let function = context.lookup(function).unwrap();
    Box::pin(context.invoke_async(&function, &InvocationOptions::new(), &inputs).unwrap())
}

/// Polls once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// Polls the proactor for something that a test waits for.
fn turn(proactor: &mut Proactor) {
    let latest = proactor.now() + PATIENCE;
    proactor.poll(Timeout::At(latest)).unwrap();
    assert!(proactor.now() < latest, "what is waited for does not come; {} operations are pending", proactor.pending());
}

/// Runs a call to its end on this thread's proactor.
fn finish(proactor: &mut Proactor, future: impl Future<Output = Result<Vec<Value>, Error>>) -> Result<Value, Error> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(outputs) = poll(future.as_mut()) {
            return outputs.map(|mut outputs| outputs.pop().unwrap_or(Value::None));
        }
        turn(proactor);
    }
}

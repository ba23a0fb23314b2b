//! A proactor on a thread of its own.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Builder, Handle, Proactor, Statistics};
use crate::status::{Code, Operation, Result, Status};
use crate::time::Timeout;

/// A proactor that is built and polled by a thread of its own, and reached through its [`Handle`].
///
/// [`ProactorThread::join`] stops it, shuts it down, and reports; dropping it does the same and reports nothing. One of
/// its own callbacks may drop it too: the thread then ends by itself, after the callback.
pub struct ProactorThread {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Ended>>>,
}

/// How a proactor thread ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// What was counted, before the shutdown.
    pub statistics: Statistics,
    /// Operations that the shutdown had to leave to the kernel.
    pub leaked: usize,
}

/// How long the shutdown at the end of the thread may take.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

impl ProactorThread {
    /// Starts a thread, named as the builder says, that builds the proactor and polls it until it is stopped.
    ///
    /// # Errors
    /// What [`Builder::build`] answers, or `ResourceExhausted` when the system has no thread to give.
    pub fn spawn(builder: Builder) -> Result<ProactorThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let name = builder.thread_name();
        let (sender, receiver) = mpsc::channel();
        let body = move || {
            let mut proactor = match builder.build() {
                Ok(proactor) => proactor,
                Err(status) => {
                    let _ = sender.send(Err(status.clone()));
                    return Err(status);
                }
            };
            let _ = sender.send(Ok(proactor.handle().clone()));
            drop(sender);
            run(&mut proactor, &stopped)?;
            let statistics = proactor.statistics();
            Ok(Ended { statistics, leaked: proactor.shutdown(SHUTDOWN_DEADLINE) })
        };
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(body)
            .map_err(|error| Status::from_io_error(Operation::Build, &error))?;
        match receiver.recv() {
            Ok(Ok(handle)) => Ok(ProactorThread { handle, stop, thread: Some(thread) }),
            Ok(Err(status)) => {
                let _ = thread.join();
                Err(status)
            }
            Err(_) => Err(panicked(thread.join().err())),
        }
    }

    /// For submits from any thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks the thread to stop polling and shut its proactor down, and does not wait for it.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.handle.wake();
    }

    /// Stops the thread and waits for its end. What is in flight is cancelled.
    ///
    /// # Errors
    /// The failure of the backend that ended it early, or `Internal` with the message of a callback's panic.
    /// `FailedPrecondition` in a callback on that thread itself, which is stopped all the same.
    pub fn join(mut self) -> Result<Ended> {
        self.finish()
    }

    fn finish(&mut self) -> Result<Ended> {
        self.stop();
        let thread = self.thread.take().expect("joined once");
        if thread.thread().id() == std::thread::current().id() {
            // It would wait for itself, which the standard library answers with a panic.
            return Err(Status::new(Code::FailedPrecondition, Operation::None)
                .with_message("a proactor thread cannot join itself"));
        }
        match thread.join() {
            Ok(ended) => ended,
            Err(panic) => Err(panicked(Some(panic))),
        }
    }
}

fn run(proactor: &mut Proactor, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Acquire) {
        proactor.poll(Timeout::Infinite)?;
    }
    Ok(())
}

fn panicked(panic: Option<Box<dyn Any + Send>>) -> Status {
    let text = panic
        .as_ref()
        .and_then(|panic| panic.downcast_ref::<&str>().map(|text| text.to_string()))
        .or_else(|| panic.as_ref().and_then(|panic| panic.downcast_ref::<String>().cloned()))
        .unwrap_or_else(|| String::from("no message"));
    Status::new(Code::Internal, Operation::Poll).with_message(format!("the proactor thread panicked: {text}"))
}

impl Drop for ProactorThread {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.finish();
        }
    }
}

impl fmt::Debug for ProactorThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProactorThread").field("handle", &self.handle).finish()
    }
}

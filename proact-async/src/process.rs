//! Child processes: made by the standard library's [`Command`], awaited here.

use std::os::fd::OwnedFd;
use std::process::Command;

use proact::operation::ProcessWait;
use proact::resource::{Exit, Process};
use proact::status::{Code, Operation, Result, Status};

use crate::pipe::{Reader, Writer};
use crate::runtime::{handle, is_running, operation, spawn as spawn_task};

/// Starts a process. What of its input and outputs is [piped](std::process::Stdio::piped) becomes a pipe of this
/// runtime's.
///
/// The standard library makes the process, on this thread: the thread waits until the new program has taken over,
/// most of a millisecond.
///
/// ```
/// use std::process::{Command, Stdio};
/// use proact_async::process;
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let child = process::spawn(Command::new("echo").arg("hello").stdout(Stdio::piped()))?;
///     let ended = child.output().await?;
///     assert!(ended.exit.is_success());
///     assert_eq!(ended.stdout, b"hello\n");
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// What the system says: `NotFound` for a program that is not there. `Unavailable` before Linux 5.3; the process was
/// ended again then.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn(command: &mut Command) -> Result<Child> {
    let handle = handle();
    let mut child = command.spawn().map_err(|error| {
        let status = match error.raw_os_error() {
            Some(errno) => Status::from_os_error(Operation::ProcessWait, errno),
            None => Status::new(Code::InvalidArgument, Operation::ProcessWait),
        };
        status.with_context(format!("starting {:?}: {error}", command.get_program()))
    })?;
    let process = match handle.process(&child) {
        Ok(process) => process,
        Err(status) => {
            // It cannot be awaited: its end is taken here, which is near.
            let _ = child.kill();
            let _ = child.wait();
            return Err(status);
        }
    };
    let import = |fd: OwnedFd| handle.import_stream(fd).map_err(Status::from);
    let mut own = Child { process, stdin: None, stdout: None, stderr: None, kill_on_drop: true };
    own.stdin = child.stdin.take().map(|end| import(end.into())).transpose()?.map(Writer::from_resource);
    own.stdout = child.stdout.take().map(|end| import(end.into())).transpose()?.map(Reader::from_resource);
    own.stderr = child.stderr.take().map(|end| import(end.into())).transpose()?.map(Reader::from_resource);
    own.kill_on_drop = false;
    Ok(own)
}

/// A child process: of [`spawn`].
///
/// Dropped before its end was awaited it goes on, unless it [is to be killed](Child::kill_on_drop); the runtime takes
/// its end as long as it is there, so that nothing of it stays behind.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// Its input, if it was piped. Drop it, and the child reads to the end.
    pub stdin: Option<Writer>,
    /// Its output, if it was piped.
    pub stdout: Option<Reader>,
    /// What it says of itself, if it was piped.
    pub stderr: Option<Reader>,
    kill_on_drop: bool,
}

/// What a process has left: of [`Child::output`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// All its output, if that was piped.
    pub stdout: Vec<u8>,
    /// All that it said of itself, if that was piped.
    pub stderr: Vec<u8>,
}

impl Child {
    /// Whether the process is ended when this is dropped.
    #[must_use]
    pub fn kill_on_drop(mut self, yes: bool) -> Child {
        self.kill_on_drop = yes;
        self
    }

    /// The process, for operations of one's own.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its number, which is its own as long as its end was not awaited.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end. Also again: the answer stays. Dropping the future takes nothing.
    ///
    /// # Errors
    /// As for [`ProcessWait`].
    pub async fn wait(&self) -> Result<Exit> {
        if let Some(exit) = self.process.exit() {
            return Ok(exit);
        }
        operation(ProcessWait::new(self.process.clone())).await.1.result
    }

    /// Reads its outputs to their ends, side by side, and waits for its own. Its input is closed first.
    ///
    /// # Errors
    /// As for reading, and for [`Child::wait`].
    pub async fn output(mut self) -> Result<Ended> {
        self.stdin = None;
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let all = async |end: Option<Reader>| match end {
            Some(end) => end.read_to_end().await,
            None => Ok(Vec::new()),
        };
        let (stdout, stderr) = both(all(stdout), all(stderr)).await;
        Ok(Ended { stdout: stdout?, stderr: stderr?, exit: self.wait().await? })
    }

    /// Ends it at once (`SIGKILL`). Its end is still to be awaited.
    ///
    /// # Errors
    /// As for [`Process::kill`].
    pub fn kill(&self) -> Result {
        self.process.kill()
    }

    /// Asks it to end (`SIGTERM`).
    ///
    /// # Errors
    /// As for [`Process::terminate`].
    pub fn terminate(&self) -> Result {
        self.process.terminate()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.process.exit().is_some() {
            return;
        }
        if self.kill_on_drop {
            // There is nobody to be told. One that cannot be ended is awaited all the same.
            let _ = self.process.kill();
        }
        if is_running() {
            drop(spawn_task(operation(ProcessWait::new(self.process.clone()))));
        }
    }
}

/// Both outputs, of two futures that run side by side.
async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut left, mut right) = (None, None);
    std::future::poll_fn(|cx| {
        if left.is_none() {
            left = ready(one.as_mut().poll(cx));
        }
        if right.is_none() {
            right = ready(other.as_mut().poll(cx));
        }
        match (left.take(), right.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (left, right) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: std::task::Poll<T>) -> Option<T> {
    match poll {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

//! Resources beyond sockets and events that a handle makes or takes in.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::Handle;
#[cfg(unix)]
use crate::operation::{ImportFence, Op, OperationId};
#[cfg(unix)]
use crate::resource::{Pollable, Returned};
use crate::resource::{Process, Stream, Watcher};
use crate::status::Result;
#[cfg(unix)]
use crate::sync::{Event, Semaphore};

impl Handle {
    /// Makes a pipe: the end that is read, and the end that is written.
    ///
    /// # Errors
    /// `ResourceExhausted` at the limit of descriptors.
    pub fn pipe(&self) -> Result<(Stream, Stream)> {
        Stream::pipe(self.home())
    }

    /// Takes an open pipe end, FIFO, terminal or other character device in. On failure it is handed back. It is closed
    /// on exec from now on.
    ///
    /// Where the backend waits for readiness the descriptor becomes non-blocking, and so does every duplicate of it, in
    /// other processes too: standard input of a terminal is one that others share.
    ///
    /// # Errors
    /// `InvalidArgument` for a file or a socket.
    #[cfg(unix)]
    pub fn import_stream(&self, fd: OwnedFd) -> Result<Stream, Returned<OwnedFd>> {
        Stream::import(self.home(), fd)
    }

    /// Takes a descriptor in of which only readiness is asked. Nothing of it is changed, its blocking mode neither.
    #[cfg(unix)]
    pub fn import_pollable(&self, fd: OwnedFd) -> Pollable {
        Pollable::import(self.home(), fd)
    }

    /// Takes a fence in: `semaphore` is raised to `value` when the descriptor becomes readable, at the next poll if it
    /// is already. The short form of an [`ImportFence`], which says how it fails; submitting one tells how it ended,
    /// and may be a step of a chain. The identity is for [`Handle::cancel`], which fails the semaphore.
    ///
    /// The proactor owns the descriptor from now on, and closes it when the fence has been told. The limit is that of
    /// [`Builder::remote_operations`](super::Builder::remote_operations).
    ///
    /// # Errors
    /// Gives the descriptor back as it was: `InvalidArgument` for what has no readiness and for a value that no
    /// semaphore reaches, `ResourceExhausted` at the limit, `Aborted` after a shutdown.
    ///
    /// ```
    /// use proact::operation::{Op, SemaphoreWait};
    /// use proact::sync::Semaphore;
    ///
    /// let (device, host) = (Semaphore::new(0), Semaphore::new(0));
    /// let mut proactor = proact::proactor::Builder::new().build()?;
    /// let fence = device.export_pollable(1)?; // a fence of another's
    /// proactor.handle().import_fence(fence, &host, 8)?;
    /// proactor.submit(Op::new(SemaphoreWait::new(host.clone(), 8), ())).unwrap();
    /// device.signal(1, None)?;
    /// proactor.run()?;
    /// assert_eq!(host.value(), 8);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[cfg(unix)]
    #[track_caller]
    pub fn import_fence(
        &self,
        fd: OwnedFd,
        semaphore: &Semaphore,
        value: u64,
    ) -> Result<OperationId, Returned<OwnedFd>> {
        let fence = ImportFence::new(self.import_pollable(fd), semaphore.clone(), value);
        self.submit(Op::new(fence, ())).map_err(|refused| {
            let status = refused.status;
            match refused.batch.kind.into_fence().into_fd() {
                Ok(resource) => Returned { resource, status },
                Err(_) => unreachable!("a refused operation is the only holder of what it was given"),
            }
        })
    }

    /// Takes an eventfd in as an event: somebody else's, a device's or another library's. It never blocks from now on,
    /// whoever reads or writes it, and is closed on exec.
    ///
    /// # Errors
    /// Gives the descriptor back: `InvalidArgument` for anything that is no eventfd, `Unavailable` on systems without
    /// events.
    #[cfg(unix)]
    pub fn import_event(&self, fd: OwnedFd) -> Result<Event, Returned<OwnedFd>> {
        Event::import(self.home(), fd)
    }

    /// Makes a watcher of files and directories, which watches nothing yet.
    ///
    /// # Errors
    /// `ResourceExhausted` at the user's limit of watchers.
    pub fn watcher(&self) -> Result<Watcher> {
        Watcher::create(self.home())
    }

    /// A child process that was started by the standard library. Once a wait has told its end,
    /// [`Child::wait`](std::process::Child::wait) fails: the system tells an end once.
    ///
    /// # Errors
    /// `Unavailable` before Linux 5.3, `NotFound` when its end has been told already.
    pub fn process(&self, child: &std::process::Child) -> Result<Process> {
        Process::open(self.home(), child.id())
    }

    /// The process of this number, which is a child of this one and whose end no one has been told: otherwise the
    /// number may mean another by now.
    ///
    /// # Errors
    /// As for [`Handle::process`], and `InvalidArgument` for 0.
    pub fn process_by_id(&self, id: u32) -> Result<Process> {
        Process::open(self.home(), id)
    }
}

#[cfg(all(test, not(loom), any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use crate::operation::SemaphoreWait;
    use crate::proactor::{Builder, Choice};
    use crate::status::Operation;
    use crate::sync::pretend;

    /// Imports a fence that is readable, and that says of itself to be a `sync_file` with this status.
    fn import(choice: Choice, status: i32) -> Semaphore {
        let mut proactor = Builder::new().backend(choice).build().unwrap();
        let (device, host) = (Semaphore::new(1), Semaphore::new(0));
        pretend(Some(status));
        let fence = proactor.handle().import_pollable(device.export_pollable(1).unwrap());
        proactor.submit(Op::new(ImportFence::new(fence, host.clone(), 1), ())).unwrap();
        proactor.submit(Op::new(SemaphoreWait::new(host.clone(), 1), ())).unwrap();
        proactor.run().unwrap();
        pretend(None);
        host
    }

    #[test]
    fn a_fence_whose_work_failed_fails_the_semaphore_with_its_error() {
        for choice in [Choice::IoUring, Choice::Epoll, Choice::Poll] {
            if Builder::new().backend(choice).build().is_err() {
                eprintln!("skipped: no {}", choice.name());
                continue;
            }
            let failed = import(choice, -libc::EIO);
            let status = failed.status().expect("it failed");
            assert_eq!((status.os_error(), status.operation()), (Some(libc::EIO), Operation::FenceImport));
            assert_eq!(failed.value(), 0);
            assert_eq!(import(choice, 1).value(), 1, "one that did not fail raises it");
        }
    }
}

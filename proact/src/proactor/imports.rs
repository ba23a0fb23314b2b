//! Resources beyond sockets and events that a handle makes or takes in.

#[cfg(unix)]
use std::os::fd::OwnedFd;

use super::Handle;
#[cfg(unix)]
use crate::resource::{Pollable, Returned};
use crate::resource::{Process, Stream, Watcher};
use crate::status::Result;
#[cfg(unix)]
use crate::sync::Event;

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

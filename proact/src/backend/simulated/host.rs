//! Hosts and processes as tests see them.

use std::net::{IpAddr, SocketAddr};

use super::disk::{Content, Disk, Kind, ROOT, Storage};
use super::state::{self, State};
use super::world::World;
use crate::backend::Metadata;
use crate::status::{Code, Operation, Result, Status};

/// A machine of a [`World`]: an address, a disk, and processes.
///
/// Its loopback addresses are its own. Others reach it by [`Host::ip`].
#[derive(Clone)]
pub struct Host {
    pub(super) world: World,
    pub(super) number: u32,
}

impl Host {
    /// What it is called.
    pub fn name(&self) -> String {
        self.world.inner.lock_anywhere().hosts[self.number as usize].name.clone()
    }

    /// Its world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Its IPv4 address.
    pub fn ip(&self) -> IpAddr {
        State::public_address(self.number, false)
    }

    /// Its IPv6 address.
    pub fn ipv6(&self) -> IpAddr {
        State::public_address(self.number, true)
    }

    /// Where its port is reached from other hosts.
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    /// Starts a process, which may have several proactors.
    pub fn process(&self) -> Process {
        let mut state = self.world.inner.lock();
        let alive = state.hosts[self.number as usize].up;
        state.processes.push(state::Process { host: self.number, alive });
        Process { host: self.clone(), number: state.processes.len() as u32 - 1 }
    }

    /// Says how its disk fares from now on.
    pub fn storage(&self, storage: Storage) {
        self.world.inner.lock().hosts[self.number as usize].disk.storage = storage;
    }

    /// Loses power: its processes are gone, and nobody hears of it. Of its disk there stays what was synced, and of the
    /// rest what the seed leaves.
    ///
    /// Its proactors fail at their next poll; drop them. Peers notice when they send, or when it is up again.
    pub fn crash(&self) {
        let mut guard = self.world.inner.lock();
        let state = &mut *guard;
        state.note("crash", &[self.number.into()]);
        // First of all: nothing leaves it any more.
        state.hosts[self.number as usize].up = false;
        for process in 0..state.processes.len() as u32 {
            if state.processes[process as usize].host == self.number {
                state.end_process(process, true);
            }
        }
        let host = &mut state.hosts[self.number as usize];
        host.disk.crash(&mut state.chance);
        let also = std::mem::take(&mut host.at_crash);
        drop(guard);
        also.into_iter().for_each(|call| call());
    }

    /// Has something else go with the host when it crashes.
    pub(crate) fn at_crash(&self, call: impl FnOnce() + Send + 'static) {
        self.world.inner.lock().hosts[self.number as usize].at_crash.push(Box::new(call));
    }

    /// Starts again after a crash, without any process.
    pub fn restart(&self) {
        let mut state = self.world.inner.lock();
        state.note("restart", &[self.number.into()]);
        state.hosts[self.number as usize].up = true;
    }

    /// How many descriptors its processes have open: what was not closed shows.
    ///
    /// ```
    /// let world = proact::simulated::World::new(1);
    /// let host = world.host("a");
    /// let proactor = host.builder().build()?;
    /// let before = host.descriptors();
    /// let event = proactor.handle().event()?;
    /// assert_eq!(host.descriptors(), before + 1);
    /// drop(event);
    /// assert_eq!(host.descriptors(), before);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn descriptors(&self) -> usize {
        self.world.inner.lock().descriptors_of(self.number)
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.world.inner.lock().hosts[self.number as usize].up
    }

    /// Puts a file on its disk, durably, with the directories that lead to it: what was there before the test began.
    ///
    /// # Errors
    /// `FailedPrecondition` where a directory has that name, `ResourceExhausted` on a full disk.
    pub fn put_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut state = self.world.inner.lock();
        let now = state.now;
        let disk = &mut state.hosts[self.number as usize].disk;
        let mut put = || {
            let bytes_of = path.as_bytes();
            if let Some(parent) = bytes_of.iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0) {
                make_directories(disk, &bytes_of[..parent], now)?;
            }
            let found = disk.find(ROOT, bytes_of, true)?;
            let node = match found.node {
                Some(node) => node,
                None => {
                    let node = disk.make(Kind::File(Content::default()), 0o644, now);
                    disk.change_names(vec![(found.directory, found.name, Some(node))], now);
                    node
                }
            };
            disk.resize(node, 0)?;
            if !bytes.is_empty() && disk.write(node, 0, bytes)? < bytes.len() {
                return Err(super::errno::ENOSPC);
            }
            disk.sync(node)?;
            disk.sync(found.directory)
        };
        told(put(), path)
    }

    /// Puts a symbolic link on its disk, durably, that says `target`.
    ///
    /// # Errors
    /// `AlreadyExists` where something has that name, `NotFound` without the directory it would stand in.
    pub fn put_link(&self, path: &str, target: &str) -> Result<()> {
        let mut state = self.world.inner.lock();
        let now = state.now;
        let disk = &mut state.hosts[self.number as usize].disk;
        let mut put = || {
            let found = disk.find(ROOT, path.as_bytes(), false)?;
            if found.node.is_some() {
                return Err(super::errno::EEXIST);
            }
            let node = disk.make(Kind::Link(target.as_bytes().to_vec()), 0o777, now);
            disk.change_names(vec![(found.directory, found.name, Some(node))], now);
            disk.sync(found.directory)
        };
        told(put(), path)
    }

    /// Makes a directory on its disk, durably, with those that lead to it.
    ///
    /// # Errors
    /// `FailedPrecondition` where a file stands in its way.
    pub fn put_directory(&self, path: &str) -> Result<()> {
        let mut state = self.world.inner.lock();
        let now = state.now;
        told(make_directories(&mut state.hosts[self.number as usize].disk, path.as_bytes(), now), path)
    }

    /// What a program would read in a file now.
    ///
    /// # Errors
    /// `NotFound`, and `FailedPrecondition` for a directory.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        let mut state = self.world.inner.lock();
        let disk = &mut state.hosts[self.number as usize].disk;
        let read = disk.existing(ROOT, path.as_bytes(), true).and_then(|node| Ok(disk.content(node)?.bytes.clone()));
        told(read, path)
    }

    /// Whether a path leads to anything.
    pub fn exists(&self, path: &str) -> bool {
        self.world.inner.lock().hosts[self.number as usize].disk.existing(ROOT, path.as_bytes(), true).is_ok()
    }

    /// What is known of what a path leads to, or of the link at its end.
    ///
    /// # Errors
    /// `NotFound`, and `FailedPrecondition` where the way leads through a file.
    pub fn stat(&self, path: &str, follow: bool) -> Result<Metadata> {
        let mut state = self.world.inner.lock();
        let disk = &mut state.hosts[self.number as usize].disk;
        let known = disk.existing(ROOT, path.as_bytes(), follow).and_then(|node| disk.metadata(node));
        told(known, path)
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// `NotFound`, and `FailedPrecondition` for a file.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut state = self.world.inner.lock();
        let disk = &mut state.hosts[self.number as usize].disk;
        let names = disk.existing(ROOT, path.as_bytes(), true).and_then(|node| Ok(disk.names(node)?.clone()));
        let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
        Ok(told(names, path)?.keys().map(text).collect())
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({:?})", self.name())
    }
}

fn make_directories(disk: &mut Disk, path: &[u8], now: u64) -> Result<(), i32> {
    let ends = (1..=path.len()).filter(|&end| end == path.len() || path[end] == b'/');
    for end in ends {
        let found = disk.find(ROOT, &path[..end], true)?;
        match found.node {
            Some(node) if disk.is_directory(node) => {}
            Some(_) => return Err(super::errno::ENOTDIR),
            None => {
                let kind = Kind::Directory { parent: found.directory, names: Default::default() };
                let node = disk.make(kind, 0o755, now);
                disk.change_names(vec![(found.directory, found.name, Some(node))], now);
                disk.sync(found.directory)?;
            }
        }
    }
    Ok(())
}

#[track_caller]
fn told<T>(result: Result<T, i32>, path: &str) -> Result<T> {
    result.map_err(|errno| Status::from_os_error(Operation::None, errno).with_context(format!("{path:?}")))
}

/// A program that runs on a [`Host`], as far as the world knows it: the proactors that were made for it.
#[derive(Clone)]
pub struct Process {
    pub(super) host: Host,
    pub(super) number: u32,
}

impl Process {
    /// Where it runs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Ends it at once. The host closes what it had open, so that peers are told; what it wrote stays as it was
    /// written. Its proactors fail at their next poll; drop them.
    pub fn kill(&self) {
        self.host.world.inner.lock().end_process(self.number, false);
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        self.host.world.inner.lock().processes[self.number as usize].alive
    }

    /// Why no proactor can be built for it, if none can.
    pub(super) fn check(&self) -> Result<()> {
        let refused =
            |why: &'static str| Err(Status::new(Code::FailedPrecondition, Operation::Build).with_message(why));
        if !self.host.world.inner.is_here() {
            return refused("a simulated world is used by the thread that made it, and by no other");
        }
        if !self.is_alive() {
            return refused("the simulated process has ended");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Process({} of {:?})", self.number, self.host.name())
    }
}

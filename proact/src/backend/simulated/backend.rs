//! The backend: requests that wait for sockets and events are tried when something has changed, as over readiness;
//! those for files are the disk's until it has carried them out. A poll that may wait lets the world's time pass.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::attempt::{attempt, side_of};
use super::errno::{EAGAIN, ECANCELED, EEXIST, ENOENT, noted};
use super::files::{Answer, Yields};
use super::host::Process;
use super::memory::{put, scatter};
use super::state::{self, State};
use super::system::Calls;
use super::world::World;
use crate::backend::registered::Registered;
use crate::backend::{
    Backend, BackendCounters, Capabilities, Completion, CopyMethod, DescriptorMode, FileRequest, Request, Start,
    System, Token, Wait, Wake, registration, role,
};
use crate::status::{Code, Operation, Result, Status};
use crate::time::{Clock, Time};

/// A request that waits for its turn on an object.
struct Parked {
    request: Request,
    object: u32,
    writes: bool,
    /// It was tried before.
    begun: bool,
}

pub(crate) struct Simulated {
    world: World,
    port: u32,
    calls: Arc<Calls>,
    woken: Arc<Woken>,
    parked: BTreeMap<u64, Parked>,
    /// Who waits on each side of an object, first in, first out.
    queues: BTreeMap<(u32, bool), VecDeque<Token>>,
    /// What the disk has in hand.
    on_disk: BTreeMap<u64, Request>,
    out: Vec<Completion>,
    memory: Registered,
    descriptors: Registered,
    counters: BackendCounters,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Polls in a row, of all proactors of a world, that find nothing to wait for before that counts as the end: others may
/// have timers of their own and be polled in turn.
const IDLE_POLLS_MAX: u32 = 1000;

impl Simulated {
    /// A proactor's place in a process.
    pub(crate) fn new(process: &Process) -> Result<Simulated> {
        process.check()?;
        let world = process.host.world.keeping_plans();
        let port = {
            let mut state = world.inner.lock();
            state.ports.push(state::Port { process: process.number, ready: Default::default(), done: VecDeque::new() });
            state.ports.len() as u32 - 1
        };
        let calls = Arc::new(Calls { world: world.inner.clone(), port });
        Ok(Simulated {
            world,
            port,
            calls,
            woken: Arc::new(Woken(AtomicBool::new(false))),
            parked: BTreeMap::new(),
            queues: BTreeMap::new(),
            on_disk: BTreeMap::new(),
            out: Vec::new(),
            memory: Registered::default(),
            descriptors: Registered::default(),
            counters: BackendCounters::default(),
        })
    }

    /// The clock that its proactor's deadlines are on.
    pub(crate) fn clock(process: &Process) -> Clock {
        process.host.world.clock()
    }

    fn tell(&mut self, token: Token, result: Result<i32, i32>) {
        self.out.push(Completion::new(token, result.unwrap_or_else(|error| -error)));
    }

    /// Tries a request, unless others wait on the same side of the same object. `None`: it waits.
    ///
    /// # Safety
    ///
    /// The request's pointers are valid, and the memory exclusively the backend's.
    unsafe fn try_or_park(&mut self, token: Token, request: &Request) -> Option<Completion> {
        let failed = |error: i32| Some(Completion::new(token, -error));
        let Some((descriptor, writes)) = side_of(request) else { return failed(super::errno::EOPNOTSUPP) };
        let mut state = self.world.inner.lock();
        let object = match state.object_of(descriptor.0) {
            Ok(object) => object,
            Err(error) => return failed(error),
        };
        let first = self.queues.get(&(object, writes)).is_none_or(VecDeque::is_empty);
        if first {
            // SAFETY: the caller's promise.
            match unsafe { attempt(&mut state, object, request, true) } {
                Err(EAGAIN) => {}
                Ok((result, flags)) => return Some(Completion { token, result, flags }),
                Err(error) => return failed(error),
            }
        }
        self.queues.entry((object, writes)).or_default().push_back(token);
        self.parked.insert(token.to_bits(), Parked { request: *request, object, writes, begun: first });
        None
    }

    /// Tries what waits on an object, in order.
    fn serve(&mut self, state: &mut State, object: u32) {
        for writes in [false, true] {
            while let Some(&token) = self.queues.get(&(object, writes)).and_then(VecDeque::front) {
                let Some(parked) = self.parked.get_mut(&token.to_bits()) else { break };
                let first = !std::mem::replace(&mut parked.begun, true);
                // SAFETY: the engine keeps what a request points to until its completion, which is yet to come.
                let (result, flags) = match unsafe { attempt(state, object, &parked.request, first) } {
                    Err(EAGAIN) => break,
                    Ok(done) => done,
                    Err(error) => (-error, 0),
                };
                self.counters.entries += 1;
                self.forget(token);
                self.out.push(Completion { token, result, flags });
            }
        }
    }

    /// A parked request waits no more.
    fn forget(&mut self, token: Token) -> Option<Parked> {
        let parked = self.parked.remove(&token.to_bits())?;
        let side = (parked.object, parked.writes);
        if let Some(queue) = self.queues.get_mut(&side) {
            queue.retain(|waiting| *waiting != token);
            if queue.is_empty() {
                self.queues.remove(&side);
            }
        }
        Some(parked)
    }

    /// Takes what has completed since.
    fn collect(&mut self) {
        let world = self.world.clone();
        let mut state = world.inner.lock();
        loop {
            let port = self.port as usize;
            let many = state.ports[port].ready.len();
            if many == 0 {
                break;
            }
            let chosen = state.chance.choose(many);
            let Some(object) = state.ports[port].ready.iter().nth(chosen).copied() else { break };
            state.ports[port].ready.remove(&object);
            self.serve(&mut state, object);
        }
        while let Some((token, answer)) = state.ports[self.port as usize].done.pop_front() {
            let Some(request) = self.on_disk.remove(&token.to_bits()) else { continue };
            // SAFETY: as in `serve`.
            let result = unsafe { yield_to(&request, answer) };
            self.tell(token, result);
        }
    }

    fn at_rest(&self) -> Status {
        let why = "the simulated world is at rest: nothing will ever happen that this poll waits for";
        Status::new(Code::FailedPrecondition, Operation::None).with_message(why)
    }
}

/// Puts what a disk yields where the request wants it.
///
/// # Safety
///
/// The request's pointers are valid, and the memory exclusively the backend's.
unsafe fn yield_to(request: &Request, answer: Answer) -> Result<i32, i32> {
    let result = answer.result?;
    // SAFETY (of every unsafe block below): the caller's promise; no more bytes are yielded than were asked for.
    match (answer.yields, *request) {
        (Yields::Bytes(bytes), Request::Read { buffer, .. } | Request::File(FileRequest::ReadLink { buffer, .. })) => {
            // SAFETY: as said above.
            unsafe { put(&bytes, buffer) };
        }
        (Yields::Bytes(bytes), Request::File(FileRequest::ReadVectored { slices, count, .. })) => {
            // SAFETY: as said above.
            unsafe { scatter(&bytes, slices, count as usize) };
        }
        (Yields::Bytes(bytes), Request::File(FileRequest::ReadDirectory { buffer, .. })) => {
            // SAFETY: as said above.
            unsafe { put(&bytes, buffer) };
        }
        (Yields::Metadata(known), Request::StatFile { metadata, .. } | Request::StatPath { metadata, .. }) => {
            // SAFETY: as said above.
            unsafe { metadata.write(*known) };
        }
        (Yields::Entries(found), Request::ListDirectory { entries, .. }) => {
            // SAFETY: as said above.
            unsafe { (*entries).extend(found) };
        }
        (Yields::Nothing, Request::File(FileRequest::Copy { arguments })) => {
            // SAFETY: as said above.
            unsafe { (*arguments).method = CopyMethod::Kernel };
        }
        _ => {}
    }
    Ok(result as i32)
}

// SAFETY: pointers are used inside `start` and `poll` alone, by this thread, and a request is forgotten before its
// completion is returned: the world itself keeps none. Every accepted token stands in exactly one of `out`, `parked`
// and `on_disk`, and leaves each only into a completion.
unsafe impl Backend for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::Own
    }

    fn system(&self) -> Option<Arc<dyn System>> {
        Some(self.calls.clone())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.woken.clone()
    }

    fn missing(&self) -> Vec<(Operation, String)> {
        let because = |operation, why: &str| (operation, format!("not simulated: {why}"));
        vec![
            because(Operation::HandlePoll, "it asks the readiness of a descriptor of the operating system"),
            because(Operation::FenceImport, "it waits for a descriptor of the operating system"),
            because(Operation::ProcessWait, "it waits for a process of the operating system"),
            because(Operation::DirectoryWatch, "no changes of directories are told"),
            because(Operation::FutexWait, "a futex is the operating system's"),
            because(Operation::FutexWake, "a futex is the operating system's"),
            because(Operation::Splice, "bytes are moved by reads and writes"),
            because(Operation::SendFile, "bytes are moved by reads and sends"),
            because(Operation::ExtendedAttribute, "files have no extended attributes"),
            because(Operation::DirectoryWalk, "directories are listed one by one"),
            because(Operation::SocketSendDescriptors, "descriptors do not leave their proactor"),
            because(Operation::SocketReceiveDescriptors, "descriptors do not leave their proactor"),
        ]
    }

    fn grow(&mut self, _: u32) {}

    unsafe fn start(&mut self, token: Token, request: &Request) -> Start {
        self.world.inner.lock().idle_polls = 0;
        self.counters.entries += 1;
        match *request {
            Request::Nop => self.tell(token, Ok(0)),
            Request::Close { descriptor } => {
                self.descriptors.remove(std::ptr::without_provenance_mut(descriptor.0 as usize));
                let closed = self.world.inner.lock().close(descriptor.0);
                // What a process that died had open has been closed already.
                self.tell(token, if self.calls.is_gone() { Ok(0) } else { closed });
            }
            Request::RegisterBuffer { owner, proactor, start, .. } => {
                let known = self.memory.has(start);
                if !known {
                    // SAFETY: valid until the completion, by this function's own contract.
                    self.memory.add(unsafe { &*owner }, proactor, start, None);
                }
                self.tell(token, if known { Err(EEXIST) } else { Ok(registration::NOTED) });
            }
            Request::UnregisterBuffer { start } => {
                let known = self.memory.remove(start);
                self.tell(token, known.map(|_| 0).ok_or(ENOENT));
            }
            Request::RegisterDescriptor { descriptor, owner, proactor } => {
                let number = std::ptr::without_provenance_mut(descriptor.0 as usize);
                let known = self.descriptors.has(number);
                if !known {
                    // SAFETY: as above.
                    self.descriptors.add(unsafe { &*owner }, proactor, number, None);
                }
                self.tell(token, if known { Err(EEXIST) } else { Ok(registration::NOTED) });
            }
            Request::UnregisterDescriptor { descriptor } => {
                let known = self.descriptors.remove(std::ptr::without_provenance_mut(descriptor.0 as usize));
                self.tell(token, known.map(|_| 0).ok_or(ENOENT));
            }
            _ => {
                // SAFETY: valid by this function's own contract.
                let job = unsafe { super::jobs::job_of(&mut self.world.inner.lock(), request) };
                match job {
                    Some(Ok(job)) => {
                        self.on_disk.insert(token.to_bits(), *request);
                        self.world.inner.lock().ask_disk(self.port, token, job);
                    }
                    Some(Err(error)) => self.tell(token, Err(error)),
                    None => {
                        // SAFETY: as above.
                        let done = unsafe { self.try_or_park(token, request) };
                        self.out.extend(done);
                    }
                }
            }
        }
        Start::Accepted
    }

    fn cancel(&mut self, token: Token) -> bool {
        if let Some(parked) = self.forget(token) {
            if let Request::Connect { .. } = parked.request {
                self.world.inner.lock().stop_connecting(parked.object);
            }
            self.tell(token, Err(ECANCELED));
        } else if self.on_disk.contains_key(&token.to_bits()) {
            let mut state = self.world.inner.lock();
            let is_alive = state.is_alive(self.port);
            // One that has been carried out is told as it ended.
            state.withdraw(self.port, token);
            drop(state);
            if !is_alive {
                self.on_disk.remove(&token.to_bits());
                self.tell(token, Err(ECANCELED));
            }
        } else {
            self.tell(token.with_role(role::CANCEL_MISSED), Err(ENOENT));
        }
        true
    }

    fn poll(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        match wait {
            // A program that polls without waiting takes its time like any other: one that waits for a timer in this
            // way would never come to it otherwise.
            Wait::No => self.world.pass_polling(),
            Wait::Until(_) => self.counters.enters += 1,
        }
        loop {
            self.world.happen_due();
            self.collect();
            if !self.out.is_empty() {
                let mut state = self.world.inner.lock();
                for told in &self.out {
                    let result = noted(told.result) as u64;
                    let words = [self.port.into(), told.token.to_bits(), result, told.flags.into()];
                    state.note("completes", &words);
                }
                completions.append(&mut self.out);
                return Ok(());
            }
            if self.calls.is_gone() {
                let why = "the simulated process has died: drop its proactor";
                return Err(Status::new(Code::Aborted, Operation::None).with_message(why));
            }
            let Wait::Until(until) = wait else { return Ok(()) };
            if self.woken.0.swap(false, Ordering::AcqRel) || self.world.now() >= until {
                return Ok(());
            }
            let mut state = self.world.inner.lock();
            match state.next_time() {
                Some(next) if next <= until.as_nanoseconds() => {
                    drop(state);
                    self.world.set_time(next);
                }
                _ if until < Time::FAR_FUTURE => {
                    drop(state);
                    self.world.set_time(until.as_nanoseconds());
                    return Ok(());
                }
                _ => {
                    state.idle_polls += 1;
                    let alone = (0..state.ports.len() as u32).filter(|port| state.is_alive(*port)).count() < 2;
                    if alone || state.idle_polls > IDLE_POLLS_MAX {
                        return Err(self.at_rest());
                    }
                    return Ok(());
                }
            }
        }
    }

    fn counters(&self) -> BackendCounters {
        self.counters
    }
}

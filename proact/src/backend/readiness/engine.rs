//! The readiness engine: every request is tried at once, parked if it would block, and tried again on readiness.

use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::attempt::{Progress, attempt, side_of};
use super::table::{Parked, Table, lasts};
use super::wake::EventWake;
use super::{Interest, Ready, WatchSet};
use crate::backend::datagram::is_datagram;
use crate::backend::registered::Registered;
use crate::backend::workers::{Futexes, Workers, borrow, futex, perform};
use crate::backend::{
    Backend, BackendConfig, BackendCounters, Capabilities, CapabilityReport, Completion, Descriptor, DescriptorMode,
    Request, Start, Token, Wait, WaitRequest, Wake, flags, registration,
};
use crate::status::{Operation, Status};
use crate::time::{Clock, Time};

/// A backend over a set of watched descriptors.
///
/// Requests on one side of a descriptor complete first-in first-out: one that finds others parked joins them untried,
/// and readiness tries from the front until one would block.
pub(crate) struct Readiness<S> {
    set: S,
    table: Table,
    /// Results that are known already and that the next poll tells.
    known: Vec<Completion>,
    /// What the last wait reported; empty between polls, kept for its capacity.
    reported: Vec<Ready>,
    wake: Arc<EventWake>,
    workers: Workers,
    registered: Registered,
    descriptors: Registered,
    futexes: Futexes,
    clock: Clock,
    enters: u64,
    attempts: u64,
}

impl<S: WatchSet> Readiness<S> {
    /// A backend with nothing to do, and no thread.
    pub(crate) fn new(config: &BackendConfig) -> Result<Readiness<S>, Status> {
        let wake = Arc::new(EventWake::new()?);
        Ok(Readiness {
            set: S::new(config, wake.as_fd())?,
            table: Table::default(),
            known: Vec::new(),
            reported: Vec::new(),
            workers: Workers::new(config, wake.clone()),
            registered: Registered::default(),
            descriptors: Registered::default(),
            futexes: Futexes::new(config, wake.clone()),
            wake,
            clock: config.clock.clone(),
            enters: 0,
            attempts: 0,
        })
    }

    /// For `doctor`: whether this machine can have the backend, and what each capability is worth here.
    pub(crate) fn report() -> (Result<(), Status>, Vec<CapabilityReport>) {
        S::report()
    }

    /// Takes the request out of `slot`.
    fn unpark(&mut self, slot: u32) -> Parked {
        let (parked, disarm) = self.table.unpark(slot);
        if disarm {
            self.set.disarm(parked.fd);
        }
        parked
    }

    fn know(&mut self, token: Token, result: i32) {
        self.known.push(Completion { token, result, flags: 0 });
    }

    /// Tries a request that waits for `side` of `descriptor`, or parks it behind those that wait there.
    ///
    /// # Safety
    ///
    /// As for [`Backend::start`].
    unsafe fn start_waiting(
        &mut self,
        token: Token,
        request: &Request,
        descriptor: Descriptor,
        side: Interest,
    ) -> Start {
        let mut progress = Progress::default();
        // An eager try that overtook those who wait would take their bytes. What goes on is not tried: it is armed in
        // any case, and the kernel then says what is there already.
        if !lasts(request) && self.table.first(descriptor.fd(), side).is_none() {
            self.attempts += 1;
            // SAFETY: the caller's promise, passed on.
            if let Some(result) = unsafe { attempt(request, &mut progress) } {
                if is_datagram(request) {
                    return Start::CarriedOut(result);
                }
                self.known.push(progress.completion(token, result));
                return Start::Accepted;
            }
        }
        self.table.park(Parked { token, request: *request, progress, fd: descriptor.fd(), side });
        Start::Accepted
    }

    /// Closes here and now what closes without waiting: sockets (without a linger time), pipes, events. Closing a file
    /// or directory may write to a disk or a server first, so workers do it.
    fn close(&mut self, token: Token, request: &Request, descriptor: Descriptor) {
        // The engine above closes when nothing is in flight on the descriptor. If that is broken, what is parked must
        // not be carried over to the number's next owner.
        self.fail_parked(descriptor.fd(), libc::ECANCELED);
        self.set.forget(descriptor.fd());
        let kind = borrow(&descriptor).and_then(rustix::fs::fstat).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::RegularFile | FileType::Directory | FileType::BlockDevice) => {
                // SAFETY: a close has no pointers, and gives its descriptor up.
                unsafe { self.workers.submit(token, request) };
            }
            _ => {
                self.attempts += 1;
                // SAFETY: as above.
                let result = unsafe { perform(request) };
                self.know(token, result);
            }
        }
    }

    /// Tells the kernel of every descriptor whose interest has changed since the last wait.
    fn arm_changed(&mut self) {
        while let Some((fd, interest)) = self.table.next_changed() {
            match self.set.arm(fd, interest) {
                Ok(()) => self.table.armed(fd, interest),
                // A limit on watches; a descriptor closed under its request; a file that has no readiness (EPERM) and
                // yet said that it would block. Waiting would be for ever.
                Err(errno) => self.fail_parked(fd, errno.raw_os_error()),
            }
        }
    }

    fn fail_parked(&mut self, fd: i32, os_error: i32) {
        for side in [Interest::READABLE, Interest::WRITABLE] {
            while let Some(slot) = self.table.first(fd, side) {
                let token = self.unpark(slot).token;
                self.know(token, -os_error);
            }
        }
    }

    /// How long the kernel may wait.
    fn limit(&self, wait: Wait) -> Wait {
        match wait {
            _ if !self.known.is_empty() => Wait::No,
            Wait::Until(deadline) if deadline != Time::FAR_FUTURE && deadline <= self.clock.now() => Wait::No,
            wait => wait,
        }
    }

    /// Tries what waits on the sides that became ready, each from the front until one would block.
    fn retry(&mut self, ready: Ready, completions: &mut Vec<Completion>) {
        self.table.fired(ready.fd, S::LASTS);
        for side in ready.interest {
            let mut at = self.table.first(ready.fd, side);
            while let Some(slot) = at {
                at = self.table.next(slot);
                let Some(parked) = self.table.parked(slot) else { break };
                self.attempts += 1;
                // SAFETY: `start`'s caller keeps the memory valid and untouched by others until the completion, which
                // a parked request has not had.
                let Some(result) = (unsafe { attempt(&parked.request, &mut parked.progress) }) else { break };
                if result >= 0 && lasts(&parked.request) {
                    completions.push(Completion { token: parked.token, result, flags: flags::MORE });
                    continue;
                }
                let parked = self.unpark(slot);
                completions.push(parked.progress.completion(parked.token, result));
            }
        }
    }
}

/// What a registered descriptor is known by.
fn key(descriptor: Descriptor) -> *mut u8 {
    std::ptr::without_provenance_mut(descriptor.fd() as usize)
}

// SAFETY: memory behind a request is touched by `attempt`, called only for requests that have not completed, and by
// workers, which list a completion after their system call has returned. No kernel call outlives its return. A token
// is in one place (parked, known, or with the workers) and leaves it once, by its completion.
unsafe impl<S: WatchSet> Backend for Readiness<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.set.capabilities()
    }

    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::NonBlocking
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.wake.clone()
    }

    fn missing(&self) -> Vec<(Operation, String)> {
        futex::missing()
    }

    fn grow(&mut self, slots: u32) {
        let slots = slots as usize;
        // Every slot's result may be known before one poll: starting must not allocate.
        self.known.reserve(slots.saturating_sub(self.known.len()));
    }

    unsafe fn start(&mut self, token: Token, request: &Request) -> Start {
        match *request {
            Request::Nop => self.know(token, 0),
            Request::Close { descriptor } => {
                self.descriptors.remove(key(descriptor));
                self.close(token, request, descriptor);
            }
            Request::RegisterDescriptor { descriptor, owner, proactor } => {
                let known = self.descriptors.has(key(descriptor));
                if !known {
                    // SAFETY: a request's pointers are valid until its completion.
                    self.descriptors.add(unsafe { &*owner }, proactor, key(descriptor), None);
                }
                self.know(token, if known { -libc::EEXIST } else { registration::NOTED });
            }
            Request::UnregisterDescriptor { descriptor } => {
                let known = self.descriptors.remove(key(descriptor)).is_some();
                self.know(token, if known { 0 } else { -libc::ENOENT });
            }
            Request::RegisterBuffer { owner, proactor, start, .. } => {
                let known = self.registered.has(start);
                if !known {
                    // SAFETY: a request's pointers are valid until its completion.
                    self.registered.add(unsafe { &*owner }, proactor, start, None);
                }
                self.know(token, if known { -libc::EEXIST } else { registration::NOTED });
            }
            Request::UnregisterBuffer { start } => {
                let known = self.registered.remove(start).is_some();
                self.know(token, if known { 0 } else { -libc::ENOENT });
            }
            Request::Wait(ref request @ (WaitRequest::FutexWait { .. } | WaitRequest::FutexWake { .. })) => {
                self.attempts += 1;
                // SAFETY: the caller's promise, passed on.
                if let Some(result) = unsafe { self.futexes.start(token, request) } {
                    self.know(token, result);
                }
            }
            _ => match side_of(request) {
                // SAFETY: the caller's promise, passed on.
                Some((descriptor, side)) => return unsafe { self.start_waiting(token, request, descriptor, side) },
                // SAFETY: the caller's promise, passed on.
                None => unsafe { self.workers.submit(token, request) },
            },
        }
        Start::Accepted
    }

    fn cancel(&mut self, token: Token) -> bool {
        if let Some(slot) = self.table.find(token) {
            // Bytes that have moved are told, as a ring tells them: a stream that was left midway is torn.
            let moved = self.unpark(slot).progress.moved();
            self.know(token, if moved > 0 { moved } else { -libc::ECANCELED });
        } else {
            // Queued, or a futex's: it ends cancelled. Running, or known already: it ends as it does.
            let _ = self.workers.cancel(token) || self.futexes.cancel(token);
        }
        true
    }

    fn poll(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> Result<(), Status> {
        self.arm_changed();
        let wait = self.limit(wait);
        if wait == Wait::No && self.table.len() == 0 {
            // No descriptor can report anything, so the kernel has nothing to say that the flag does not.
            if self.wake.is_pending() {
                self.wake.take();
            }
        } else {
            self.enters += 1;
            match self.set.wait(wait, &mut self.reported) {
                Ok(true) => self.wake.take(),
                Ok(false) | Err(Errno::INTR) => {}
                Err(errno) => {
                    let status = Status::from_os_error(Operation::Poll, errno.raw_os_error());
                    return Err(status.with_context(S::NAME));
                }
            }
        }
        completions.append(&mut self.known);
        // After the wake was answered: a result listed later wakes the next wait.
        self.workers.collect(completions);
        self.futexes.collect(completions);
        let mut reported = std::mem::take(&mut self.reported);
        for ready in reported.drain(..) {
            self.retry(ready, completions);
        }
        self.reported = reported;
        Ok(())
    }

    fn counters(&self) -> BackendCounters {
        let worker_jobs = self.workers.jobs();
        BackendCounters {
            enters: self.enters,
            entries: self.attempts + worker_jobs,
            chains: 0,
            workers: self.workers.alive() + self.futexes.alive(),
            worker_jobs,
        }
    }
}

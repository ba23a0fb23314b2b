//! io_uring: the kernel carries requests out by itself, and one call hands over a batch and waits (Linux 6.1 or newer).
//!
//! Most of a request's life needs nothing from here: it is [lowered](lower) to one ring entry, and its completion is
//! passed on as it came. What takes more (readiness of a non-blocking descriptor, a structure to convert, a cancel) is
//! told by the token's role and settled in the [table].

mod descriptors;
mod files;
mod fixed;
mod insist;
mod lower;
mod pools;
mod report;
mod stat;
mod steps;
mod table;
mod waker;

#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::atomic::AtomicU64;
use crate::backend::workers::quiet::Quiet;
use crate::backend::workers::{Futexes, Workers, futex};
use crate::backend::{
    Backend, BackendConfig, BackendCounters, Capabilities, Completion, DescriptorMode, FileRequest, Request, Start,
    Token, Wait, WaitRequest, Wake, datagram, role,
};
use crate::fault;
use crate::status::{Code, Operation, Result, Status};
use crate::time::{Clock, Time};
use crate::uring::{self, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF, Op, Ring, RingOptions};

use descriptors::Descriptors;
use fixed::FixedBuffers;
use lower::{Targets, lower, may_raise, severs};
pub(crate) use report::report;
use table::{Link, ROLE_CANCEL, ROLE_SEVERED, Standing, Table, WAKE};
use waker::EventWaker;

/// What a completion's flags may say that is more than an end: another is to come, a buffer was taken.
const TELLING: u32 = IORING_CQE_F_MORE | IORING_CQE_F_NOTIF | IORING_CQE_F_BUFFER;

/// How long a dropped backend waits for the kernel to give back what is still in flight.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How long it waits before it asks once more.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);

/// How often a queue is handed over that the kernel takes only parts of, for lack of memory.
const FLUSHES_MAX: u32 = 100;

/// The io_uring backend.
pub(crate) struct IoUring {
    ring: Ring,
    table: Table,
    workers: Workers,
    buffers: FixedBuffers,
    descriptors: Descriptors,
    futexes: Futexes,
    waker: Arc<EventWaker>,
    capabilities: Capabilities,
    clock: Clock,
    /// What every request is lowered with; few add to it.
    targets: Targets,
    chains: u64,
    /// Requests that needed no ring entry.
    carried_out: u64,
    /// It was given a write to what may be a pipe (a file may be one with a name), which raises SIGPIPE in this thread
    /// when nobody reads, at once or in a later enter.
    raises: bool,
    /// Where reads of event descriptors put the count, which no one looks at: all of them share these eight bytes.
    /// Made from a box, and freed only when the kernel has no such read any more.
    sink: NonNull<AtomicU64>,
}

impl IoUring {
    /// Makes a ring for the calling thread, which must be the one that polls. Fails with Unavailable and the cause
    /// where the machine has no ring to give.
    pub(crate) fn new(config: &BackendConfig) -> Result<IoUring> {
        let options = RingOptions {
            entries: config.entries,
            registered: config.allowed.contains(Capabilities::REGISTERED_RING),
            no_array: config.allowed.contains(Capabilities::NO_SUBMISSION_ARRAY),
        };
        let ring = Ring::new(&options).map_err(|errno| uring::unavailable(errno))?;
        if let Some(cpus) = config.affinity.cpus() {
            let pinned = ring.pin_kernel_threads(&mut cpus.to_mask());
            pinned.map_err(|errno| {
                Status::from_os_error(Operation::PinThread, errno)
                    .with_context(format!("io_uring's own, to processors {cpus}"))
            })?;
        }
        let capabilities = report::detected(&ring) & config.allowed;
        let waker = Arc::new(EventWaker::new()?);
        let sink = NonNull::from(Box::leak(Box::new(AtomicU64::new(0))));
        Ok(IoUring {
            ring,
            table: Table::new(),
            workers: Workers::new(config, waker.clone()),
            buffers: FixedBuffers::default(),
            descriptors: Descriptors::default(),
            futexes: Futexes::new(config, waker.clone()),
            waker,
            capabilities,
            clock: config.clock.clone(),
            chains: 0,
            carried_out: 0,
            raises: false,
            sink,
            targets: Targets {
                sink,
                stat: None,
                group: 0,
                bundle: false,
                multishot: capabilities.contains(Capabilities::KERNEL_MULTISHOT),
                zero_copy: capabilities.contains(Capabilities::ZERO_COPY_SEND),
                quiet: capabilities.contains(Capabilities::QUIET_WRITES),
                fixed: None,
            },
        })
    }

    /// Whether `request` is for worker threads: the kernel cannot do it from a ring, or may not here.
    #[inline]
    fn needs_worker(&self, request: &Request) -> bool {
        !matches!(request, Request::Nop) && self.needs_worker_for(request)
    }

    fn needs_worker_for(&self, request: &Request) -> bool {
        match request {
            Request::Nop
            | Request::EventWait { .. }
            | Request::EventSet { .. }
            | Request::Accept { .. }
            | Request::Connect { .. }
            | Request::Receive { .. }
            | Request::ReceivePooled { .. }
            | Request::ReceiveMessagePooled { .. }
            | Request::Send { .. }
            | Request::SendMessage { .. }
            | Request::ReceiveMessage { .. }
            | Request::Close { .. } => false,
            Request::Truncate { .. } => {
                !self.capabilities.contains(Capabilities::KERNEL_TRUNCATE | Capabilities::KERNEL_FILES)
            }
            // Registering is for this thread, but out of the way of what is hot.
            Request::RegisterBuffer { .. } | Request::UnregisterBuffer { .. } => true,
            Request::RegisterDescriptor { .. } | Request::UnregisterDescriptor { .. } => true,
            Request::SetAttributes { .. } | Request::ListDirectory { .. } => true,
            Request::Open { .. }
            | Request::Read { .. }
            | Request::Write { .. }
            | Request::Sync { .. }
            | Request::StatFile { .. }
            | Request::StatPath { .. }
            | Request::Allocate { .. }
            | Request::Rename { .. }
            | Request::Remove { .. }
            | Request::MakeDirectory { .. } => !self.capabilities.contains(Capabilities::KERNEL_FILES),
            Request::File(request) => {
                !self.capabilities.contains(Capabilities::KERNEL_FILES) || files::only_workers(request)
            }
            Request::Wait(WaitRequest::FutexWait { .. } | WaitRequest::FutexWake { .. }) => {
                !self.capabilities.contains(Capabilities::KERNEL_FUTEX)
            }
            Request::Wait(_) => false,
        }
    }

    /// Registers memory or gives it up, here and now; the next poll tells.
    ///
    /// # Safety
    ///
    /// As for [`Backend::start`].
    #[cold]
    unsafe fn register(&mut self, token: Token, request: &Request) {
        let result = match *request {
            Request::RegisterBuffer { owner, proactor, start, length } => {
                let pin = self.capabilities.contains(Capabilities::REGISTERED_BUFFERS);
                // SAFETY: a request's pointers are valid until its completion, and the owner keeps the memory.
                unsafe { self.buffers.register(&self.ring, pin, &*owner, proactor, (start, length)) }
            }
            Request::UnregisterBuffer { start } => match self.flush() {
                Ok(()) => self.buffers.unregister(&self.ring, start),
                Err(status) => -status.os_error().unwrap_or(libc::EIO),
            },
            Request::RegisterDescriptor { descriptor, owner, proactor } => {
                let table = self.capabilities.contains(Capabilities::REGISTERED_DESCRIPTORS);
                // SAFETY: a request's pointers are valid until its completion.
                self.descriptors.register(&self.ring, table, descriptor, unsafe { &*owner }, proactor)
            }
            Request::UnregisterDescriptor { descriptor } => match self.flush() {
                Ok(()) => self.descriptors.unregister(&self.ring, descriptor),
                Err(status) => -status.os_error().unwrap_or(libc::EIO),
            },
            _ => unreachable!("{request:?} registers nothing"),
        };
        self.table.know(token, result);
    }

    /// Hands over all that is in the ring: what the kernel has taken keeps the registered memory that it names.
    fn flush(&mut self) -> Result<()> {
        for _ in 0..FLUSHES_MAX {
            if self.ring.pending() == 0 {
                return Ok(());
            }
            self.enter(0, None)?;
        }
        Err(Status::from_os_error(Operation::BufferUnregister, libc::EBUSY))
    }

    /// Puts `request` into the next ring entry, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`Backend::start`], for requests that do not need a worker.
    #[inline]
    unsafe fn push(&mut self, token: Token, request: &Request, link: Link) -> bool {
        if let Request::Nop = request {
            let Some(entry) = self.ring.free() else { return false };
            self.table.admit_nop(token, link);
            entry.set(Op::IORING_OP_NOP, -1, 0, 0, 0, 0);
            fault(entry, request);
            entry.set_user_data(token.to_bits());
            if link.behind() > 0 {
                entry.link();
            }
            // SAFETY: just filled; a NOP points nowhere.
            unsafe { self.ring.commit() };
            return true;
        }
        if let Request::ReceivePooled { socket, .. } | Request::ReceiveMessagePooled { socket, .. } = request {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.push_pooled(token, request, socket.fd()) };
        }
        if let (Request::Close { descriptor }, false) = (request, self.descriptors.is_empty()) {
            // Or the file would stay open in the ring's table. Nothing is in flight on what is closed.
            self.descriptors.unregister(&self.ring, *descriptor);
        }
        // The kernel looks a place up when it comes to a step of a chain, which may be after it was given up.
        let alone = link == Link::ALONE;
        let fixed = if alone { self.buffers.place_of(request) } else { None };
        let place = if alone { self.descriptors.place_of(request) } else { None };
        let targets = Targets { fixed, ..self.targets };
        if !targets.quiet && may_raise(request) {
            self.raises = true;
        }
        let Some(entry) = self.ring.free() else { return false };
        let (user_data, stat) = self.table.admit(token, request, link);
        // SAFETY: the caller answers for the request's pointers; the table keeps `stat` until the completion.
        unsafe { lower(entry, request, Targets { stat, ..targets }) };
        if let Some(place) = place {
            entry.set_place(place);
        }
        fault(entry, request);
        entry.set_user_data(user_data);
        if link.behind() > 0 {
            entry.link();
        }
        // SAFETY: just filled. The caller answers for the request's pointers; `sink` and `stat` outlive the completion.
        unsafe { self.ring.commit() };
        true
    }

    /// [`IoUring::push`] of a receive whose buffer is taken when there is something to put into it: by the kernel from
    /// a ring, or here once the socket is readable.
    ///
    /// # Safety
    ///
    /// As for [`Backend::start`].
    #[cold]
    unsafe fn push_pooled(&mut self, token: Token, request: &Request, socket: i32) -> bool {
        let targets = self.targets;
        if self.ring.room() == 0 {
            return false;
        }
        let mut rings = self.capabilities.contains(Capabilities::BUFFER_RINGS);
        if let Request::ReceiveMessagePooled { .. } = request {
            // Only its multishot form puts the sender into the buffer.
            rings &= targets.multishot;
        }
        let incremental = self.capabilities.contains(Capabilities::INCREMENTAL_BUFFERS);
        let bundle = self.table.may_bundle(request, self.capabilities);
        let group = self.table.admit_pooled(token, request, rings.then_some(&self.ring), incremental, bundle);
        let Some(entry) = self.ring.free() else { return false };
        match group {
            // SAFETY: the caller answers for the request's pointers.
            Some(group) => unsafe { lower(entry, request, Targets { group, bundle, ..targets }) },
            None => entry.set_poll(socket, libc::POLLIN),
        }
        fault(entry, request);
        if let (Some(place), Some(_)) = (self.descriptors.place_of(request), group) {
            entry.set_place(place);
        }
        entry.set_user_data(self.table.user_data(token));
        // SAFETY: just filled. The buffers of the group stay until the request has ended.
        unsafe { self.ring.commit() };
        true
    }

    /// Puts requests whose time has come again back into the ring, as far as there is room.
    fn resubmit(&mut self) {
        let targets = self.targets;
        while self.table.has_retries() {
            let Some(entry) = self.ring.free() else { return };
            let Some(retry) = self.table.next_retry() else { return };
            let fixed = self.buffers.place_of(&retry.request);
            match retry.events {
                Some(events) => entry.set_poll(retry.descriptor, events),
                // SAFETY: the request has not completed, so its pointers are still the backend's.
                None => unsafe {
                    lower(
                        entry,
                        &retry.request,
                        Targets { stat: retry.stat, group: retry.group, bundle: retry.bundle, fixed, ..targets },
                    )
                },
            }
            fault(entry, &retry.request);
            entry.set_user_data(retry.user_data);
            // SAFETY: just filled; see `push`.
            unsafe { self.ring.commit() };
        }
    }

    /// Enters the kernel once. Always inlined: the kernel forgets return addresses for safety's sake, so that each
    /// return above the system call costs a misprediction (8 ns a pass, measured for this and `reap`).
    #[inline(always)]
    fn enter(&mut self, wait_for: u32, timeout: Option<Duration>) -> Result<()> {
        if self.raises {
            self.enter_quietly(wait_for, timeout)?;
        } else {
            self.ring.enter(wait_for, timeout).map_err(broken)?;
        }
        if self.ring.pending() > 0 {
            self.mend_split_chain();
        }
        Ok(())
    }

    /// Enters with SIGPIPE blocked: the kernel carries writes out in this thread, when they are handed over or when the
    /// pipe has room, and raises it there. From the first write on every enter of this ring is such a one; where writes
    /// can say it themselves, none is.
    #[cold]
    #[inline(never)]
    fn enter_quietly(&mut self, wait_for: u32, timeout: Option<Duration>) -> Result<()> {
        let _quiet = Quiet::begin();
        self.ring.enter(wait_for, timeout).map_err(broken)
    }

    /// Lets what the kernel cut off from a chain complete as cancelled: the engine then carries it out by itself.
    #[cold]
    fn mend_split_chain(&mut self) {
        self.ring.mend_split_chain(|entry| {
            let token = Token::from_bits(entry.user_data());
            entry.set(Op::IORING_OP_NOP, -1, 0, 0, 0, 0);
            entry.set_user_data(token.with_role(ROLE_SEVERED).to_bits());
        });
    }

    /// Makes room for one entry by handing over the full queue.
    fn make_room(&mut self) -> Result<bool> {
        if self.ring.room() == 0 {
            self.enter(0, None)?;
        }
        Ok(self.ring.room() > 0)
    }

    /// What to wait for until `deadline`: a number of completions and a time-out, or nothing.
    #[inline]
    fn prepare_sleep(&mut self, mut deadline: Time) -> Result<(u32, Option<Duration>)> {
        if let Some(time) = self.table.insistence.next_time() {
            deadline = deadline.min(time);
        }
        if self.ring.ready() > 0 || self.table.has_retries() {
            return Ok((0, None));
        }
        let mut timeout = None;
        if deadline != Time::FAR_FUTURE {
            let mut left = deadline.since(self.clock.now());
            if left.is_zero() {
                return Ok((0, None));
            }
            if !self.capabilities.contains(Capabilities::NANOSECOND_WAITS) {
                left = Duration::from_millis(left.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX));
            }
            timeout = Some(left);
        }
        // A sleep that nothing could end must not begin.
        if !self.table.wake_armed && !self.arm_wake()? {
            return Ok((0, None));
        }
        Ok((1, timeout))
    }

    /// Reads the wake descriptor, so that a wake from elsewhere ends the sleep. A wake that came before is there still.
    fn arm_wake(&mut self) -> Result<bool> {
        if !self.make_room()? {
            return Ok(false);
        }
        let targets = self.targets;
        let Some(entry) = self.ring.free() else { return Ok(false) };
        let read = Request::EventWait { event: self.waker.descriptor() };
        // SAFETY: the request has no pointers, and `sink` is freed only after this read has ended.
        unsafe { lower(entry, &read, targets) };
        entry.set_user_data(WAKE.to_bits());
        // SAFETY: just filled; the descriptor lives as long as `waker`.
        unsafe { self.ring.commit() };
        self.table.wake_armed = true;
        Ok(true)
    }

    /// Takes all completions from the ring and passes on those that end a request.
    #[inline(always)]
    fn reap(&mut self, completions: &mut Vec<Completion>) {
        let IoUring { ring, table, .. } = self;
        completions.reserve(ring.ready() as usize);
        let mut ended = 0;
        ring.reap(|completed| {
            let token = Token::from_bits(completed.user_data);
            let plain = completed.result >= 0 && completed.flags & TELLING == 0;
            if plain && token.role() == role::OPERATION {
                ended += 1;
                completions.push(Completion::new(token, completed.result));
            } else if let Some(completion) = table.settle(token, completed.result, completed.flags) {
                table.take_bundled(completions);
                completions.push(completion);
            }
        });
        table.in_flight -= ended;
    }
}

// SAFETY: a completion is passed on only after the kernel's (or the workers') own terminal completion of the request,
// and its memory is not touched here later: a request that is tried again stays in the table without a completion, and
// a late cancel names it by a token that no later request has. Every accepted request sits in the ring, in the table's
// list of retries or with the workers, and each of these ends it exactly once.
unsafe impl Backend for IoUring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn descriptor_mode(&self) -> DescriptorMode {
        DescriptorMode::Blocking
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn missing(&self) -> Vec<(Operation, String)> {
        if self.capabilities.contains(Capabilities::KERNEL_FUTEX) { Vec::new() } else { futex::missing() }
    }

    fn grow(&mut self, _: u32) {
        // Its table grows where it is used.
    }

    #[inline]
    unsafe fn start(&mut self, token: Token, request: &Request) -> Start {
        if self.needs_worker(request) {
            if registers(request) {
                // SAFETY: the caller's promise, passed on.
                unsafe { self.register(token, request) };
                return Start::Accepted;
            }
            self.table.delegate(token, request);
            if let Request::Wait(request) = request {
                // SAFETY: the caller's promise, passed on.
                if let Some(result) = unsafe { self.futexes.start(token, request) } {
                    self.table.know(token, result);
                }
                return Start::Accepted;
            }
            // SAFETY: the caller's promise, passed on.
            unsafe { self.workers.submit(token, request) };
            return Start::Accepted;
        }
        if datagram::is_datagram(request) {
            // SAFETY: the caller's promise, passed on.
            if let Some(result) = unsafe { datagram::attempt(request) } {
                self.carried_out += 1;
                return Start::CarriedOut(result);
            }
        }
        // SAFETY: the caller's promise, passed on.
        if unsafe { self.push(token, request, Link::ALONE) } { Start::Accepted } else { Start::Full }
    }

    unsafe fn start_linked(&mut self, steps: &[(Token, Request)]) -> bool {
        // The queue is handed over whole, so that a chain which fits in it is never split over two enters.
        if !self.capabilities.contains(Capabilities::KERNEL_CHAINS)
            || steps.is_empty()
            || steps.len() > self.ring.room() as usize
            // The last has nothing behind it that its failure would have to keep from starting.
            || !steps.iter().rev().enumerate().all(|(behind, (_, request))| {
                self.links(request) && (behind == 0 || severs(request))
            })
        {
            return false;
        }
        for (index, (token, request)) in steps.iter().enumerate() {
            let link = Link::step(steps.len() - 1 - index);
            // SAFETY: the caller's promise, passed on; `links` refuses what needs a worker.
            let pushed = unsafe { self.push(*token, request, link) };
            debug_assert!(pushed, "room was checked");
        }
        self.chains += 1;
        true
    }

    fn links(&self, request: &Request) -> bool {
        // A stat's answer is converted outside of the kernel, and a close must happen whatever came before it.
        // What waits for others may end in ways that sever a link and are no failure.
        let alone = matches!(
            request,
            Request::StatFile { .. }
                | Request::StatPath { .. }
                | Request::Close { .. }
                | Request::ReceivePooled { .. }
                | Request::ReceiveMessagePooled { .. }
                | Request::Wait(_)
                | Request::File(FileRequest::SpliceFile { .. })
        );
        !alone && !self.needs_worker(request)
    }

    fn cancel(&mut self, token: Token) -> bool {
        match self.table.standing(token) {
            Standing::Worker => {
                if !self.workers.cancel(token) && !self.futexes.cancel(token) {
                    self.table.cancel_missed(token);
                }
                true
            }
            Standing::Gone => {
                self.table.cancel_missed(token);
                true
            }
            // Not in the kernel at the moment: the mark ends it instead of its next try.
            Standing::Waiting => {
                self.table.mark_cancelled(token);
                true
            }
            Standing::Kernel { user_data } => {
                // An error here will come again from `poll`, which can report it.
                if !self.make_room().unwrap_or(false) {
                    return false;
                }
                let insists = !self.table.insistence.is_empty();
                if insists && self.table.insistence.postpones(token, self.clock.now()) {
                    return true;
                }
                if !self.push_cancel(token, user_data) {
                    return false;
                }
                self.table.mark_cancelled(token);
                true
            }
        }
    }

    fn poll(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> Result<()> {
        let before = completions.len();
        self.table.take_known(completions);
        if self.table.has_retries() {
            self.resubmit();
            self.table.take_known(completions);
        }
        if !self.table.insistence.is_empty() {
            self.insist()?;
        }
        self.workers.collect(completions);
        self.futexes.collect(completions);
        self.table.pools.tend(&self.ring);
        let (wait_for, timeout) = match wait {
            Wait::Until(deadline) if completions.len() == before => self.prepare_sleep(deadline)?,
            _ => (0, None),
        };
        if wait_for > 0 || self.ring.pending() > 0 || self.ring.has_deferred() {
            self.enter(wait_for, timeout)?;
        }
        self.reap(completions);
        if self.chains > 0 && self.ring.has_deferred() {
            self.start_next_steps(before, completions)?;
        }
        // What the completion queue had no room for follows now that it has.
        while self.ring.has_overflowed() {
            self.enter(0, None)?;
            if self.ring.ready() == 0 {
                break;
            }
            self.reap(completions);
        }
        self.workers.collect(completions);
        self.futexes.collect(completions);
        Ok(())
    }

    fn counters(&self) -> BackendCounters {
        BackendCounters {
            enters: self.ring.enters(),
            entries: self.ring.accepted() + self.carried_out,
            chains: self.chains,
            workers: self.workers.alive() + self.futexes.alive(),
            worker_jobs: self.workers.jobs(),
        }
    }
}

impl Drop for IoUring {
    /// Takes back what the kernel still has, so that memory behind it may be freed; what it does not give back in time
    /// is leaked.
    fn drop(&mut self) {
        let deadline = self.clock.now() + DRAIN_LIMIT;
        self.table.mark_all_cancelled();
        let mut late = Vec::new();
        while self.table.in_flight > 0 || self.table.wake_armed {
            // Asked anew each time: a step of a chain may have started after the last cancel.
            if self.make_room().unwrap_or(false) {
                if let Some(entry) = self.ring.free() {
                    entry.set_cancel_all();
                    entry.set_user_data(WAKE.with_role(ROLE_CANCEL).to_bits());
                    // SAFETY: just filled; a cancel points nowhere.
                    unsafe { self.ring.commit() };
                }
            }
            // Two: the cancel's own completion, and one that it brought about.
            if self.enter(2, Some(DRAIN_PAUSE)).is_err() {
                break;
            }
            self.reap(&mut late);
            self.resubmit();
            self.table.take_known(&mut late);
            if self.clock.now() > deadline {
                break;
            }
        }
        for completion in late {
            self.table.dispose(completion);
        }
        if self.table.in_flight == 0 && !self.table.wake_armed {
            self.table.pools.clear(&self.ring);
            // SAFETY: made by `Box::leak` in `new`; no read into it is in the kernel any more.
            drop(unsafe { Box::from_raw(self.sink.as_ptr()) });
        } else {
            // The kernel may still fill a buffer of theirs.
            std::mem::forget(std::mem::take(&mut self.table.pools));
        }
    }
}

/// Has `entry` fail, when a test asked for it. A close is left alone: its descriptor must go.
#[inline(always)]
fn fault(entry: &mut uring::Entry, request: &Request) {
    if matches!(request, Request::Close { .. }) {
        return;
    }
    if let Some(errno) = fault::entry() {
        entry.set_failing(errno);
    }
}

/// Whether a request is carried out by registering something with the ring.
fn registers(request: &Request) -> bool {
    matches!(
        request,
        Request::RegisterBuffer { .. }
            | Request::UnregisterBuffer { .. }
            | Request::RegisterDescriptor { .. }
            | Request::UnregisterDescriptor { .. }
    )
}

/// The status of a ring that stopped working.
#[cold]
fn broken(errno: i32) -> Status {
    let status = Status::from_os_error(Operation::Poll, errno).with_context("io_uring");
    if errno != libc::EBADR {
        return status;
    }
    Status::new(Code::DataLoss, Operation::Poll)
        .with_context("io_uring")
        .with_message("the kernel had no memory for completions and dropped some")
}

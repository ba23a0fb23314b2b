//! The engine: what runs operations on a backend, on the poll thread.
//!
//! The way of one operation is `submit` → admit, launch, start (this file), issue (`issue.rs`), then `poll` → reap
//! (`pass.rs`), settle, continue, deliver (`settle.rs`). What is portable stands beside it, one file each: chains
//! handed to the kernel (`lower.rs`), waits (`wait.rs`, `notifications.rs`), sequences (`sequences.rs`), streams and
//! closes (`record.rs`), cancel (`cancel.rs`), threads (`remote.rs`, `slots.rs`).
//!
//! No function here calls a callback except `deliver`, at the end of `settle.rs`: whatever ends anywhere else is put on
//! the queue of completions, and delivered from there. Messages are no completions: `messages.rs` tells them, after
//! those, in the same place of a pass.

mod cancel;
mod entry;
mod extras;
mod frontier;
mod gate;
mod issue;
mod latency;
mod lower;
mod mailbox;
mod messages;
mod notifications;
mod pass;
mod progress;
mod record;
mod remote;
mod sequences;
mod settle;
mod signals;
mod slots;
mod spin;
mod starved;
mod timers;
mod wait;

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use self::entry::{Entry, Flags, Phase, Rare};
use self::gate::Gates;
use self::progress::ProgressList;
use self::record::{NIL, Records};
use self::settle::ECANCELED;
use super::batch::{Batch, Ids, OpList, Refused};
use super::identity::OperationId;
use super::kind::{Class, Portable};
use super::op::{Header, Vtable, failure};
use crate::backend::{Backend, BySlot, Completion, Request, Token};
use crate::heap::IndexedHeap;
use crate::resource::{Home, Lane, Resource};
use crate::status::{Code, Operation, Result, Status};
use crate::time::Time;

pub(crate) use self::gate::Gate;
pub use self::latency::Latencies;
pub(crate) use self::mailbox::Mailbox;
pub use self::pass::Polled;
pub(crate) use self::remote::Shared;
#[cfg(all(test, not(loom)))]
pub(crate) use self::timers::PASSES_A_READING;

/// What the engine is told when it is made.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Operations in flight that the poll thread submitted.
    pub(crate) local: u32,
    /// Operations in flight that other threads submitted.
    pub(crate) remote: u32,
    /// Whether every callback is timed, at the price of a clock read each.
    pub(crate) time_callbacks: bool,
    /// Whether the time from submit to delivery is kept of every operation.
    pub(crate) latencies: bool,
    /// How long the poll thread looks for work before it sleeps, and before a time that ends its sleep.
    pub(crate) spin: Option<Duration>,
    /// Messages that may wait.
    pub(crate) messages: u32,
    /// Whether more than that are kept all the same.
    pub(crate) unbounded_messages: bool,
}

/// What is counted beside the backend's own counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: u64,
    pub(crate) submitted: u64,
    pub(crate) remote_submitted: u64,
    pub(crate) completed: u64,
    pub(crate) polls: u64,
    pub(crate) depth_max: u64,
    pub(crate) chains_lowered: u64,
    pub(crate) chains_portable: u64,
    pub(crate) waits_lowered: u64,
    pub(crate) signals_lowered: u64,
    pub(crate) steps_by_kernel: u64,
    pub(crate) steps_by_poll: u64,
    pub(crate) bytes: [u64; 4],
    pub(crate) starved: u64,
    pub(crate) progress_calls: u64,
    pub(crate) progress_made: u64,
    pub(crate) longest_callback_ns: u64,
    pub(crate) longest_pass_ns: u64,
    pub(crate) leaked: u64,
    pub(crate) spinning_ns: u64,
}

pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    backend: Option<Box<dyn Backend>>,
    limits: Limits,
    entries: BySlot<Entry>,
    /// What few of them have, as far as any had it.
    rare: BySlot<Rare>,
    /// Free slots of the poll thread, the last to be given back first: what is kept of it is in the caches then. After
    /// these come those never used.
    free: Vec<u32>,
    /// Why the engine ended what is in a slot, between `end` and delivery: of those that are `Flags::FAILED`.
    failures: BySlot<Option<Status>>,
    fresh: u32,
    local_live: u32,
    live: usize,
    /// Completions from the backend and from the engine itself, delivered in this order. Those before `cursor` are
    /// done.
    queue: Vec<Completion>,
    cursor: usize,
    /// What this pass delivers ends here.
    until: usize,
    /// Requests that the backend has carried out in its start, since the last pass began.
    carried_out: usize,
    timers: IndexedHeap<Time, u32>,
    records: Records,
    gates: Gates,
    notifications: Vec<notifications::Watched>,
    /// Operations that the backend had no room for, in order.
    backlog: VecDeque<u32>,
    /// Cancels that the backend had no room for.
    cancels: VecDeque<Token>,
    /// Reused by lowering.
    steps: Vec<(Token, Request)>,
    /// Lowered signals whose completion has not come.
    lowered_signals: usize,
    /// Multishot operations to be asked for their next outcome, while a callback tells of one.
    rearms: Vec<u32>,
    /// Messages of this proactor, and whom they are told to.
    inbox: mailbox::Inbox,
    receiver: Option<messages::Receiver>,
    /// It was set, or taken away, since the present one was lent the engine.
    receiver_is_new: bool,
    signals: signals::Signals,
    /// What is called in every pass.
    progress: ProgressList,
    /// The time of this pass, and the last tick before it, of which one is enough to see that no timer is due: each is
    /// read when it is first asked for.
    now: Option<Time>,
    tick: Option<Time>,
    closing: bool,
    /// The first panic of a user's code that an operation ran into: the pass goes on with it when all else is done.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    pub(crate) counts: Counts,
    pub(crate) latencies: Option<Latencies>,
}

/// The engine itself ended it; its failure, if any, is in `Engine::failures`.
const BY_ENGINE: u32 = crate::backend::flags::BY_ENGINE;

impl Engine {
    pub(crate) fn new(shared: Arc<Shared>, backend: Box<dyn Backend>, limits: Limits) -> Engine {
        Engine {
            backend: Some(backend),
            limits,
            entries: BySlot::new(),
            rare: BySlot::new(),
            free: Vec::new(),
            failures: BySlot::new(),
            fresh: 0,
            local_live: 0,
            live: 0,
            queue: Vec::with_capacity(1024),
            cursor: 0,
            until: 0,
            carried_out: 0,
            timers: IndexedHeap::new(),
            records: Records::default(),
            gates: Gates::default(),
            notifications: Vec::new(),
            backlog: VecDeque::new(),
            cancels: VecDeque::new(),
            steps: Vec::with_capacity(lower::STEPS_MAX + 1),
            lowered_signals: 0,
            rearms: Vec::with_capacity(16),
            inbox: mailbox::Inbox::default(),
            receiver: None,
            receiver_is_new: false,
            signals: signals::Signals::default(),
            progress: ProgressList::default(),
            now: None,
            tick: None,
            closing: false,
            panic: Cell::new(None),
            counts: Counts::default(),
            latencies: shared.measures.then(Latencies::new),
            shared,
        }
    }

    pub(crate) fn home(&self) -> Home {
        self.shared.home
    }

    pub(crate) fn pending(&self) -> usize {
        self.live
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &**self.backend.as_ref().expect("only a finished shutdown takes the backend away")
    }

    fn backend_mut(&mut self) -> &mut dyn Backend {
        &mut **self.backend.as_mut().expect("only a finished shutdown takes the backend away")
    }

    pub(crate) fn pool_counts(&self) -> (u64, u64) {
        (self.gates.hits, self.gates.misses)
    }

    /// Submits from the poll thread.
    #[track_caller]
    pub(crate) fn submit<B: Batch>(&mut self, batch: B) -> Result<B::Ids, Refused<B>> {
        let location = batch.location();
        let mut list = OpList::new();
        let shape = batch.string(&mut list);
        match self.admit(&list, location) {
            Ok(()) => {
                let ids = B::ids(&shape, &mut Ids::new(self.shared.home.proactor, &list));
                if let Some(head) = list.head() {
                    self.counts.batches += 1;
                    self.launch(head);
                }
                Ok(ids)
            }
            Err(status) => Err(Refused { batch: B::unstring(shape, &mut list), status: status.located(location) }),
        }
    }

    /// Admits a batch of the poll thread: all of it is valid and has slots, or nothing has happened.
    fn admit(&mut self, list: &OpList, location: &'static Location<'static>) -> Result<()> {
        if self.closing {
            return Err(shut_down());
        }
        let count = validate(&self.shared, list, location)?;
        if self.latencies.is_some() {
            stamp(list, self.shared.clock.now());
        }
        if count > self.limits.local - self.local_live {
            return Err(exhausted(self.limits.local));
        }
        self.local_live += count;
        assign(&self.shared, list, &mut || match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.fresh += 1;
                (self.fresh - 1) * 2
            }
        });
        Ok(())
    }

    /// Takes admitted operations in and starts what may start.
    pub(super) fn launch(&mut self, head: NonNull<Header>) {
        let mut at = Some(head);
        let mut chain = NIL;
        let mut previous = NIL;
        while let Some(raw) = at {
            // SAFETY: the batch belongs to the engine now, and none of it has been started.
            let header = unsafe { raw.as_ref() };
            let (table, token, linked, plain) = (header.table, header.token, header.linked, header.extras.is_none());
            at = header.next;
            let slot = token.slot();
            self.occupy(slot, raw, token);
            match table.class {
                Class::Kernel(lane) if lane != Lane::Other => self.reserve_turn(slot, lane),
                Class::Sequence => self.launch_steps(slot),
                _ => {}
            }
            if !plain {
                self.attach_extras(slot);
            }
            if slot & 1 == 1 && self.shared.slots.get(slot).cancel_requested() {
                // Asked for while the batch was on its way. Its node may have been taken before the batch was.
                self.cancel_slot(slot);
            }
            self.counts.submitted += 1;
            if previous == NIL {
                chain = slot;
            } else {
                self.entries[previous as usize].next = slot;
                self.entries[slot as usize].previous = previous;
            }
            previous = if linked { slot } else { NIL };
            if !linked {
                if chain == slot { self.start_here(slot, table) } else { self.start_chain(chain) }
            }
        }
        self.counts.depth_max = self.counts.depth_max.max(self.live as u64);
    }

    #[inline(always)]
    fn occupy(&mut self, slot: u32, raw: NonNull<Header>, token: Token) {
        if self.entries.reach(slot, Entry::default) {
            self.backend_mut().grow((slot + 1).next_multiple_of(1024));
        }
        let entry = &mut self.entries[slot as usize];
        debug_assert!(entry.op.is_none(), "slot {slot} is taken");
        entry.begin(raw, token);
        self.live += 1;
    }

    /// The operation in `slot` has its turn.
    pub(super) fn start(&mut self, slot: u32) {
        self.start_here(slot, self.table(slot));
    }

    /// [`Engine::start`], within its caller.
    #[inline(always)]
    fn start_here(&mut self, slot: u32, table: &'static Vtable) {
        let entry = &self.entries[slot as usize];
        debug_assert_eq!(entry.phase, Phase::Waiting);
        if self.closing || entry.flags.contains(Flags::CANCEL) {
            return self.end_cancelled(slot);
        }
        // By far the most frequent, and a jump through a table costs more than this comparison.
        match table.class {
            Class::Kernel(_) if table.bare => self.issue(slot),
            Class::Kernel(lane) => self.start_kernel(slot, lane),
            class => self.start_portable(slot, class),
        }
    }

    #[inline(never)]
    fn start_portable(&mut self, slot: u32, class: Class) {
        match class {
            Class::Kernel(lane) => self.start_kernel(slot, lane),
            Class::Timer => match self.portable(slot) {
                Portable::Timer(deadline) => self.start_timer(slot, deadline),
                // SAFETY: the operation is in flight and nothing else refers to its state.
                Portable::Interval(state) => self.set_timer(slot, unsafe { state.as_ref() }.next),
                _ => {}
            },
            Class::Cancel => self.start_cancel(slot),
            Class::SemaphoreWait => self.start_wait(slot),
            Class::FrontierWait => self.start_frontier_wait(slot),
            Class::NotificationWait => self.start_notification_wait(slot),
            Class::Relay => self.start_relay(slot),
            Class::Immediate => self.perform(slot),
            Class::Signals => self.start_signals(slot),
            Class::Sequence => self.start_sequence(slot),
            Class::Close => self.start_close(slot),
        }
    }

    /// Does what needs no waiting.
    pub(super) fn perform(&mut self, slot: u32) {
        let raw = self.raw(slot);
        // SAFETY: the operation is in flight and nothing else refers to it; what it does reaches this engine only by
        // the stack of other threads.
        let result = self.guarded(raw, || unsafe { (raw.as_ref().table.perform)(raw) });
        self.end(slot, result);
    }

    /// Runs what may run code of a user that is no callback: wakers and devices that hear of a semaphore. One that
    /// panics is the failure of the operation at `raw`, and of nothing else that this pass has in hand.
    pub(super) fn guarded<T>(&self, raw: NonNull<Header>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let first = self.panic.take().unwrap_or(panic);
            self.panic.set(Some(first));
            Err(failure(raw, Code::Internal, 0).with_message("a waker or device that it told panicked"))
        })
    }

    pub(super) fn start_kernel(&mut self, slot: u32, lane: Lane) {
        if let Some(resource) = self.resource(slot) {
            // SAFETY: the operation holds its resource while it is in flight.
            let resource = unsafe { resource.as_ref() };
            if let Err(status) = self.usable(slot, resource, lane) {
                return self.end(slot, Err(status));
            }
            if self.entries[slot as usize].record == NIL {
                self.join(slot, resource, lane);
            }
            if lane != Lane::Other && self.entries[slot as usize].lane_previous != NIL {
                self.entries[slot as usize].phase = Phase::Queued;
                return;
            }
        }
        self.issue(slot);
    }

    /// A transfer on a stream takes its place in the stream's queue when it is submitted, not when its chain comes to
    /// it: bytes go in the order of submission, whoever is ready first.
    ///
    /// No cycle can come of it: an operation only ever waits for ones that were submitted before it.
    pub(super) fn reserve_turn(&mut self, slot: u32, lane: Lane) {
        if lane == Lane::Other {
            return;
        }
        if let Some(resource) = self.resource(slot) {
            // SAFETY: the operation holds its resource while it is in flight.
            let resource = unsafe { resource.as_ref() };
            // A close that began after the batch was checked waits for all who stand here, and has told those whom it
            // found to end. This one is refused when its chain comes to it, which may be never.
            if !resource.is_closing() {
                self.join(slot, resource, lane);
            }
        }
    }

    /// Whether an operation may still go to its resource.
    #[inline(always)]
    fn usable(&self, slot: u32, resource: &Resource, lane: Lane) -> Result<()> {
        match resource.is_closing() || (lane == Lane::Send && resource.failure().is_some()) {
            false => Ok(()),
            true => Err(self.why_unusable(slot, resource)),
        }
    }

    #[cold]
    fn why_unusable(&self, slot: u32, resource: &Resource) -> Status {
        match resource.failure() {
            Some(status) if !resource.is_closing() => status.clone(),
            _ => failure(self.raw(slot), Code::FailedPrecondition, 0).with_message("the resource is being closed"),
        }
    }

    /// A close has its turn: cancels what is pending on the resource, and goes ahead when that has ended.
    fn start_close(&mut self, slot: u32) {
        let Some(resource) = self.resource(slot) else { return self.issue(slot) };
        // SAFETY: the operation holds its resource while it is in flight.
        let resource = unsafe { resource.as_ref() };
        if !resource.begin_close() {
            let raw = self.entries[slot as usize].op.expect("in flight");
            let status = failure(raw, Code::FailedPrecondition, 0).with_message("the resource is being closed");
            return self.end(slot, Err(status));
        }
        self.cancel_resource(resource);
        if self.wait_to_close(slot, resource) {
            self.entries[slot as usize].phase = Phase::Closing;
        } else {
            self.issue(slot);
        }
    }

    /// Ends an operation without the backend: its callback comes from the queue, as every other.
    pub(super) fn end(&mut self, slot: u32, result: Result<i32>) {
        let entry = &mut self.entries[slot as usize];
        entry.phase = Phase::Ended;
        let value = match result {
            Ok(value) => {
                debug_assert!(value >= 0, "a failure is told by a status");
                value
            }
            Err(status) => {
                self.note(slot, status);
                0
            }
        };
        let entry = &self.entries[slot as usize];
        self.queue.push(Completion { token: entry.token, result: value, flags: BY_ENGINE });
    }

    /// Keeps why what is in `slot` fails, until its turn.
    pub(super) fn note(&mut self, slot: u32, status: Status) {
        *self.failures.make(slot, || None) = Some(status);
        self.entries[slot as usize].flags.insert(Flags::FAILED);
    }

    /// Why what is in `slot` fails, if the engine knows.
    #[inline]
    pub(super) fn take_note(&mut self, slot: u32) -> Option<Status> {
        let flags = &mut self.entries[slot as usize].flags;
        if !flags.contains(Flags::FAILED) {
            return None;
        }
        flags.remove(Flags::FAILED);
        self.failures[slot as usize].take()
    }

    pub(super) fn end_cancelled(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.phase = Phase::Ended;
        // Why is told by the number; what is said beside it is made when its turn comes, of what is touched then.
        self.queue.push(Completion { token: entry.token, result: -ECANCELED, flags: BY_ENGINE });
    }

    pub(super) fn cancelled(&self, slot: u32) -> Status {
        failure(self.entries[slot as usize].op.expect("in flight"), Code::Cancelled, 0)
    }

    // How the engine reads the operation in a slot. All of these are for a slot that is occupied: its operation belongs
    // to the engine, stays where it is, and no reference to it outlives the call.

    #[inline(always)]
    fn raw(&self, slot: u32) -> NonNull<Header> {
        self.entries[slot as usize].op.expect("an occupied slot")
    }

    #[inline(always)]
    pub(super) fn table(&self, slot: u32) -> &'static Vtable {
        // SAFETY: see above.
        unsafe { self.raw(slot).as_ref() }.table
    }

    pub(super) fn resource(&self, slot: u32) -> Option<NonNull<Resource>> {
        let raw = self.raw(slot);
        // SAFETY: see above; the table is the operation's own.
        unsafe { (raw.as_ref().table.resource)(raw) }
    }

    pub(super) fn transfer(&self, slot: u32) -> super::kind::Transfer {
        let raw = self.raw(slot);
        // SAFETY: see above; the table is the operation's own.
        unsafe { (raw.as_ref().table.transfer)(raw) }
    }

    pub(super) fn request(&self, slot: u32, progress: usize) -> Request {
        let raw = self.raw(slot);
        // SAFETY: see above; the table is the operation's own.
        unsafe { (raw.as_ref().table.request)(raw, progress) }
    }

    pub(super) fn portable(&self, slot: u32) -> Portable {
        let raw = self.raw(slot);
        // SAFETY: see above; the table is the operation's own.
        unsafe { (raw.as_ref().table.portable)(raw) }
    }
}

impl Shared {
    /// Submits from another thread.
    #[track_caller]
    pub(crate) fn submit<B: Batch>(&self, batch: B) -> Result<B::Ids, Refused<B>> {
        let location = batch.location();
        let mut list = OpList::new();
        let shape = batch.string(&mut list);
        let Some(head) = list.head() else {
            return Ok(B::ids(&shape, &mut Ids::new(self.home.proactor, &list)));
        };
        let admitted = if self.stack.is_closed() { Err(shut_down()) } else { self.admit(&list, location) };
        if let Err(status) = admitted {
            return Err(Refused { batch: B::unstring(shape, &mut list), status: status.located(location) });
        }
        // Before the push: after it the operations may have ended already.
        let ids = B::ids(&shape, &mut Ids::new(self.home.proactor, &list));
        if !self.stack.push_batch(head) {
            // The proactor has shut down since: nobody will give these slots back, and nobody needs them.
            return Err(Refused { batch: B::unstring(shape, &mut list), status: shut_down().located(location) });
        }
        self.notify();
        Ok(ids)
    }

    fn admit(&self, list: &OpList, location: &'static Location<'static>) -> Result<()> {
        self.refuse_elsewhere(Operation::Submit)?;
        let count = validate(self, list, location)?;
        if self.measures {
            stamp(list, self.clock.now());
        }
        let limit = || Status::new(Code::ResourceExhausted, Operation::Submit);
        let mut reserved = self
            .remote_slots
            .reserve(count)
            .ok_or_else(|| limit().with_message("the limit of operations from other threads is reached"))?;
        assign(self, list, &mut || reserved.take());
        Ok(())
    }

    /// Asks for a cancel from another thread.
    #[track_caller]
    pub(crate) fn cancel(&self, id: OperationId) -> Result<()> {
        self.refuse_elsewhere(Operation::Cancel)?;
        let slot = id.token.slot();
        let live = id.proactor == self.home.proactor
            && self.slots.find(slot).is_some_and(|slot| slot.request_cancel(id.token.generation()));
        if !live {
            return Err(Status::new(Code::NotFound, Operation::Cancel).with_message("the operation is not pending"));
        }
        self.stack.push_slot(&self.slots, slot);
        self.notify();
        Ok(())
    }
}

/// Checks every operation of a batch, without any effect. Answers how many slots it needs.
#[inline]
fn validate(shared: &Shared, list: &OpList, location: &'static Location<'static>) -> Result<u32> {
    let mut count = 0;
    let mut at = list.head();
    while let Some(mut raw) = at {
        // SAFETY: the list owns its operations.
        let table = unsafe {
            let header = raw.as_mut();
            header.location = location;
            at = header.next;
            if header.extras.is_some() {
                extras::check(header, shared.home)?;
            }
            header.table
        };
        count += 1;
        if matches!(table.class, Class::Sequence) {
            count += sequences::prepare(shared, raw, location)?;
        } else {
            available(shared, table.operation)?;
            if !table.bare {
                // SAFETY: the list owns the operation, and the table is its own.
                unsafe { (table.validate)(raw, shared.home) }?;
                if matches!(table.class, Class::NotificationWait | Class::Relay) {
                    // SAFETY: as above.
                    unsafe { notifications::admit(shared, raw) }?;
                }
            }
        }
    }
    Ok(count)
}

#[inline(always)]
fn available(shared: &Shared, operation: Operation) -> Result<()> {
    match shared.missing.iter().find(|(missing, _)| *missing == operation) {
        None => Ok(()),
        Some((_, reason)) => Err(Status::new(Code::Unavailable, operation).with_message(reason.clone())),
    }
}

/// Notes when a batch was submitted.
#[cold]
fn stamp(list: &OpList, now: Time) {
    let mut at = list.head();
    while let Some(mut raw) = at {
        // SAFETY: the list owns its operations.
        let header = unsafe { raw.as_mut() };
        header.submitted = now;
        at = header.next;
    }
}

/// Gives every operation of a valid batch its slot and identity.
#[inline]
fn assign(shared: &Shared, list: &OpList, next: &mut impl FnMut() -> u32) {
    let mut at = list.head();
    while let Some(raw) = at {
        assign_one(shared, raw, next);
        // SAFETY: the list owns its operations.
        at = unsafe { raw.as_ref() }.next;
    }
}

#[inline(always)]
fn assign_one(shared: &Shared, mut raw: NonNull<Header>, next: &mut impl FnMut() -> u32) {
    let slot = next();
    let generation = shared.slots.get(slot).occupy();
    // SAFETY: the operation belongs to the list being admitted.
    let header = unsafe { raw.as_mut() };
    header.token = Token::new(generation, slot);
    if matches!(header.table.class, Class::Sequence) {
        sequences::assign_steps(shared, raw, next);
    }
}

fn shut_down() -> Status {
    Status::new(Code::Aborted, Operation::Submit).with_message("the proactor has shut down")
}

fn exhausted(limit: u32) -> Status {
    Status::new(Code::ResourceExhausted, Operation::Submit)
        .with_message(format!("the limit of {limit} operations in flight is reached"))
}

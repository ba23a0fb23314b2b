//! What is known of every request in flight, by slot.
//!
//! Nothing in it is seen by the kernel, so that it may move when it grows: requests bring their own memory, counts of
//! events go where no one looks, and answers of stats are boxed.

use std::collections::VecDeque;
use std::ptr::NonNull;

use rustix::fs::Statx;
use rustix::io::Errno;

use super::insist::Insistence;
use super::lower::{Again, again, awaited};
use super::pools::Pools;
use super::stat::StatPool;
use crate::backend::workers::files::metadata_of_statx;
use crate::backend::{
    BySlot, Capabilities, Completion, FileRequest, RawAddress, RawBuffer, RawMessage, Request, Token, WaitRequest,
    flags, pooled, role,
};
use crate::uring::{
    IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_BUF_MORE, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF,
    IORING_NOTIF_USAGE_ZC_COPIED, Ring,
};

/// The read of the wake descriptor.
pub(super) const WAKE: Token = Token::new(0, 0).with_role(ROLE_WAKE);
const ROLE_WAKE: u8 = role::BACKEND;
/// A stat: its answer is converted before its completion goes on.
const ROLE_STAT: u8 = role::BACKEND + 1;
/// A wait for the readiness of a request's descriptor.
const ROLE_READINESS: u8 = role::BACKEND + 2;
/// A cancel of a request.
pub(super) const ROLE_CANCEL: u8 = role::BACKEND + 3;
/// A received message: its header is taken over before its completion goes on.
const ROLE_MESSAGE: u8 = role::BACKEND + 5;
/// What is left of a chain's step that was cut off before the kernel took it.
pub(super) const ROLE_SEVERED: u8 = role::BACKEND + 4;

/// A receive from a pool: its ring is left when it ends.
const ROLE_POOLED: u8 = role::BACKEND + 6;
/// A send without a copy that is a step of a chain. When the kernel severs it, it ends it without a word of a
/// notification, and sends one all the same (seen on Linux 6.18): when the engine has the same send out again, alone,
/// which that must not end.
const ROLE_CHAINED_SEND: u8 = role::BACKEND + 7;

/// Where a slot's last request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Ended, or never begun.
    Gone,
    /// In the kernel. It stays so in the table when the request ends well: passing a success on touches nothing here.
    Kernel,
    /// Its descriptor's readiness is awaited by the kernel.
    Readiness,
    /// In the list of retries.
    Waiting,
    /// With the workers.
    Worker,
}

/// Where a request is, for whoever wants to cancel it.
pub(super) enum Standing {
    /// Nowhere: it has ended.
    Gone,
    /// In the kernel, under this user data.
    Kernel { user_data: u64 },
    /// Between two tries.
    Waiting,
    /// With the workers.
    Worker,
}

/// How a request stands to others in the ring: by itself, or with so many steps that hang on it. It cannot be tried
/// again where there are some, as a failure has severed the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link(u8);

impl Link {
    /// By itself.
    pub(super) const ALONE: Link = Link(u8::MAX);

    /// A step of a chain, and how many are behind it; more than 254 count as that many.
    pub(super) fn step(behind: usize) -> Link {
        Link(behind.min(254) as u8)
    }

    /// How many steps hang on it.
    pub(super) fn behind(self) -> u32 {
        if self == Link::ALONE { 0 } else { self.0.into() }
    }
}

struct Record {
    token: Token,
    request: Request,
    /// The readiness to await before the next try; 0: none.
    events: i16,
    /// The ring of buffers that a pooled receive takes from, or [`NO_GROUP`].
    group: u16,
    place: Place,
    link: Link,
    /// Asked to end: it is not tried again.
    cancelled: bool,
    /// One completion may tell of several buffers.
    bundle: bool,
}

/// No ring has this number: there are fewer.
const NO_GROUP: u16 = u16::MAX;

// One for each connection that waits.
const _: () = assert!(size_of::<Record>() <= 56);

/// What few requests have.
#[derive(Clone, Copy)]
struct Aside {
    /// Where the kernel writes the answer of a stat.
    stat: Option<NonNull<Statx>>,
    /// What a send without a copy has come to, until the kernel gives its memory back.
    sent: Option<i32>,
}

impl Aside {
    const EMPTY: Aside = Aside { stat: None, sent: None };
}

impl Record {
    const EMPTY: Record = Record {
        // No request has it: generations end before.
        token: Token::from_bits(u64::MAX),
        request: Request::Nop,
        events: 0,
        group: NO_GROUP,
        place: Place::Gone,
        link: Link::ALONE,
        cancelled: false,
        bundle: false,
    };

    fn group(&self) -> Option<u16> {
        (self.group != NO_GROUP).then_some(self.group)
    }

    /// Takes a copy of `request`, word by word: it has just been written that way, and wider reads, which a plain copy
    /// is made of, would each wait until the words have left the store buffer.
    #[inline]
    fn keep(&mut self, request: &Request) {
        const WORDS: usize = size_of::<Request>() / size_of::<Word>();
        const { assert!(size_of::<Request>() % size_of::<Word>() == 0 && align_of::<Request>() >= align_of::<Word>()) };
        type Word = std::mem::MaybeUninit<usize>;
        let (from, to) = ((&raw const *request).cast::<Word>(), (&raw mut self.request).cast::<Word>());
        for word in 0..WORDS {
            // SAFETY: both are whole requests, which are `Copy`, and as many words long. Volatile, so that the words
            // are not put together again.
            unsafe { to.add(word).write(from.add(word).read_volatile()) };
        }
    }

    /// Whether its answer is a stat's.
    #[inline]
    fn stats(&self) -> bool {
        matches!(self.request, Request::StatFile { .. } | Request::StatPath { .. })
    }

    /// The role that the request itself has in the ring.
    #[inline]
    fn role(&self) -> u8 {
        match self.request {
            _ if self.stats() => ROLE_STAT,
            Request::ReceiveMessage { .. } => ROLE_MESSAGE,
            Request::ReceivePooled { .. } | Request::ReceiveMessagePooled { .. } => ROLE_POOLED,
            Request::Send { zero_copy: true, .. } if self.link != Link::ALONE => ROLE_CHAINED_SEND,
            _ => role::OPERATION,
        }
    }

    fn user_data(&self) -> u64 {
        let role = match self.place {
            Place::Readiness => ROLE_READINESS,
            _ => self.role(),
        };
        self.token.with_role(role).to_bits()
    }
}

/// A request to be put into the ring once more: itself, or first a wait for its descriptor's readiness.
pub(super) struct Retry {
    pub(super) user_data: u64,
    pub(super) request: Request,
    pub(super) stat: Option<NonNull<Statx>>,
    pub(super) events: Option<i16>,
    pub(super) group: u16,
    pub(super) bundle: bool,
    pub(super) descriptor: i32,
}

/// The records, and what is to be done about some of them.
pub(super) struct Table {
    records: BySlot<Record>,
    /// As far as any had it.
    asides: BySlot<Aside>,
    retries: VecDeque<Token>,
    /// Completions that need no kernel, told by the next poll.
    known: Vec<Completion>,
    stats: StatPool,
    pub(super) pools: Pools,
    /// What a completion that tells of several buffers comes to, all but its last.
    bundled: Vec<Completion>,
    /// Requests that the ring has, or will be given again.
    pub(super) in_flight: usize,
    /// The wake descriptor's read is in the ring.
    pub(super) wake_armed: bool,
    /// Cancels to be asked for again.
    pub(super) insistence: Insistence,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            records: BySlot::new(),
            asides: BySlot::new(),
            retries: VecDeque::new(),
            known: Vec::new(),
            stats: StatPool::default(),
            pools: Pools::default(),
            bundled: Vec::new(),
            in_flight: 0,
            wake_armed: false,
            insistence: Insistence::default(),
        }
    }

    /// How many steps hung on the request of this token.
    pub(super) fn steps_behind(&self, token: Token) -> u32 {
        self.records.get(token.slot()).map_or(0, |record| record.link.behind())
    }

    /// Takes note of a request that goes into the ring: what its entry must carry, and where its answer goes.
    #[inline]
    pub(super) fn admit(&mut self, token: Token, request: &Request, link: Link) -> (u64, Option<NonNull<Statx>>) {
        self.in_flight += 1;
        let record = self.records.make(token.slot(), || Record::EMPTY);
        record.token = token;
        record.keep(request);
        record.place = Place::Kernel;
        record.link = link;
        record.cancelled = false;
        let role = record.role();
        let mut stat = None;
        if role == ROLE_STAT {
            stat = Some(self.stats.take());
            self.asides.make(token.slot(), || Aside::EMPTY).stat = stat;
        }
        (token.with_role(role).to_bits(), stat)
    }

    /// [`Table::admit`] of a NOP, which has nothing to keep.
    #[inline]
    pub(super) fn admit_nop(&mut self, token: Token, link: Link) {
        self.in_flight += 1;
        let record = self.records.make(token.slot(), || Record::EMPTY);
        record.token = token;
        record.request = Request::Nop;
        record.place = Place::Kernel;
        record.link = link;
        record.cancelled = false;
    }

    /// Takes note of a pooled receive. `ring`: where the kernel takes buffers from rings. Answers the ring's group;
    /// without one the request begins with a wait for readiness.
    pub(super) fn admit_pooled(
        &mut self,
        token: Token,
        request: &Request,
        ring: Option<&Ring>,
        incremental: bool,
        bundle: bool,
    ) -> Option<u16> {
        let (Request::ReceivePooled { source, .. } | Request::ReceiveMessagePooled { source, .. }) = *request else {
            unreachable!("{request:?} is no pooled receive")
        };
        // A kernel that refuses the ring (no memory for it, a filter) does not keep the bytes from being received.
        // SAFETY: a request's pointers are valid until its completion.
        let group = ring.and_then(|ring| self.pools.join(ring, unsafe { &*source }, incremental).ok());
        self.in_flight += 1;
        let place = if group.is_some() { Place::Kernel } else { Place::Readiness };
        let record = self.records.make(token.slot(), || Record::EMPTY);
        *record = Record { token, request: *request, place, group: group.unwrap_or(NO_GROUP), bundle, ..Record::EMPTY };
        self.begin_aside(token);
        group
    }

    /// Whether the kernel may tell of several buffers at once: of a stream's receive that goes on, and not where it
    /// fills buffers in parts.
    pub(super) fn may_bundle(&self, request: &Request, capabilities: Capabilities) -> bool {
        let Request::ReceivePooled { source, multishot: true, .. } = *request else { return false };
        // SAFETY: a request's pointers are valid until its completion.
        capabilities.contains(Capabilities::RECEIVE_BUNDLES) && !unsafe { &*source }.incremental()
    }

    /// Moves the completions that go before the last of a bundle to `completions`.
    #[inline]
    pub(super) fn take_bundled(&mut self, completions: &mut Vec<Completion>) {
        if !self.bundled.is_empty() {
            completions.append(&mut self.bundled);
        }
    }

    /// What the entry of `token`'s request must carry.
    pub(super) fn user_data(&self, token: Token) -> u64 {
        self.records[token.slot() as usize].user_data()
    }

    /// Takes note of a request that goes to the workers.
    pub(super) fn delegate(&mut self, token: Token, request: &Request) {
        let record = self.records.make(token.slot(), || Record::EMPTY);
        *record = Record { token, request: *request, place: Place::Worker, ..Record::EMPTY };
        self.begin_aside(token);
    }

    /// Forgets what an earlier request of this slot may have left.
    fn begin_aside(&mut self, token: Token) {
        if let Some(aside) = self.asides.get_mut(token.slot()) {
            *aside = Aside::EMPTY;
        }
    }

    /// Takes note of a result that needed no kernel.
    pub(super) fn know(&mut self, token: Token, result: i32) {
        let record = self.records.make(token.slot(), || Record::EMPTY);
        // Not what an earlier request of this slot was: a result that nobody is told is disposed of by that.
        (record.place, record.request) = (Place::Gone, Request::Nop);
        self.known.push(Completion { token, result, flags: 0 });
    }

    /// Moves what is known without the kernel to `completions`.
    #[inline]
    pub(super) fn take_known(&mut self, completions: &mut Vec<Completion>) {
        if !self.known.is_empty() {
            completions.append(&mut self.known);
        }
    }

    /// Decides about everything but an operation's success: what a failure means, and what the backend's own entries
    /// say. Returns the completion to pass on, if that is one.
    #[cold]
    pub(super) fn settle(&mut self, token: Token, result: i32, said: u32) -> Option<Completion> {
        match token.role() {
            ROLE_WAKE => {
                self.wake_armed = false;
                None
            }
            // Found (0), or already running and interrupted (EALREADY): the request's own completion tells the rest.
            ROLE_CANCEL if result != -libc::ENOENT => {
                self.insistence.found(token.with_role(role::OPERATION));
                None
            }
            ROLE_CANCEL => {
                let mut completion = missed(token);
                if self.may_be_found(token.with_role(role::OPERATION)) {
                    self.insistence.missed(token.with_role(role::OPERATION));
                    completion.flags = flags::MORE;
                }
                Some(completion)
            }
            _ => {
                let (buffer, result) = self.filled(token, result, said);
                let mut completion = match said & (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF) {
                    0 => {
                        let result = self.judge(token, result)?;
                        self.finish(token, result)
                    }
                    _ => self.settle_part(token, result, said)?,
                };
                completion.flags |= buffer;
                Some(completion)
            }
        }
    }

    /// Which buffer of a ring the kernel has filled, as a completion's flags say it, and how far.
    fn filled(&mut self, token: Token, mut result: i32, said: u32) -> (u32, i32) {
        let Some(group) = self.records[token.slot() as usize].group() else { return (0, result) };
        if said & IORING_CQE_F_BUFFER == 0 {
            return (0, result);
        }
        let mut id = (said >> IORING_CQE_BUFFER_SHIFT) as u16;
        if self.records[token.slot() as usize].bundle {
            // All but the last are full: one completion each, as if the kernel had told of them one by one.
            while let Some((buffer, next)) = self.pools.full(group, id, result) {
                let flags = told(buffer) | flags::MORE;
                let token = token.with_role(role::OPERATION);
                self.bundled.push(Completion { token, result: buffer.length as i32, flags });
                result -= buffer.length as i32;
                id = next;
            }
        }
        (self.filled_last(group, id, result, said), result)
    }

    fn filled_last(&mut self, group: u16, id: u16, result: i32, said: u32) -> u32 {
        let more = said & IORING_CQE_F_BUF_MORE != 0;
        match self.pools.taken(group, id, more) {
            Some(buffer) if result >= 0 => told(buffer),
            Some(buffer) => {
                self.pools.put(group, buffer);
                0
            }
            None => 0,
        }
    }

    /// One of several completions of a request: a multishot one that goes on, or a send whose memory the kernel has
    /// still to give back, or has given back.
    fn settle_part(&mut self, token: Token, result: i32, said: u32) -> Option<Completion> {
        let record = &mut self.records[token.slot() as usize];
        if said & IORING_CQE_F_NOTIF != 0 {
            let current = record.token.with_role(record.role()) == token;
            // Of a request that had ended without it: nobody waits for this one.
            let sent = self.asides.get_mut(token.slot())?.sent.take_if(|_| current)?;
            let sent = self.judge(token, sent)?;
            let mut completion = self.finish(token, sent);
            if result as u32 & IORING_NOTIF_USAGE_ZC_COPIED == 0 && sent > 0 {
                completion.flags |= flags::ZERO_COPY;
            }
            return Some(completion);
        }
        if let Request::Send { .. } = record.request {
            self.asides.make(token.slot(), || Aside::EMPTY).sent = Some(result);
            if result < 0 {
                return None; // the end tells it
            }
        }
        Some(Completion { token: token.with_role(role::OPERATION), result, flags: flags::MORE })
    }

    /// The result that ends the request, or `None` when it will be tried again.
    fn judge(&mut self, token: Token, result: i32) -> Option<i32> {
        let record = &mut self.records[token.slot() as usize];
        debug_assert_eq!(record.token.with_role(token.role()), token);
        let next = match token.role() {
            ROLE_SEVERED => return Some(-libc::ECANCELED),
            // Ready: now the request itself. A readiness that cannot be awaited fails the request.
            ROLE_READINESS if result >= 0 => Again::Now,
            _ if result >= 0 => return Some(result),
            // The word was another when the wait began: the answer, and no failure.
            _ if result == -libc::EAGAIN && matches!(record.request, Request::Wait(WaitRequest::FutexWait { .. })) => {
                return Some(1);
            }
            _ => again(&record.request, -result),
        };
        match next {
            // A cancel interrupts a running request.
            Again::Never if record.cancelled && result == -libc::EINTR => return Some(-libc::ECANCELED),
            Again::Never => return Some(result),
            _ if record.cancelled || record.link.behind() > 0 => return Some(-libc::ECANCELED),
            Again::Now => record.events = 0,
            Again::Copying => {
                record.events = 0;
                if let Request::Send { zero_copy, .. } = &mut record.request {
                    *zero_copy = false;
                }
            }
            Again::WhenReady(events) => record.events = events,
        }
        record.place = Place::Waiting;
        self.retries.push_back(token.with_role(role::OPERATION));
        None
    }

    /// Ends a request with `result`.
    fn finish(&mut self, token: Token, result: i32) -> Completion {
        let record = &mut self.records[token.slot() as usize];
        record.place = Place::Gone;
        self.in_flight -= 1;
        let aside = if record.stats() { self.asides.get_mut(token.slot()) } else { None };
        if let Some(stat) = aside.and_then(|aside| aside.stat.take()) {
            if let (true, Request::StatFile { metadata, .. } | Request::StatPath { metadata, .. }) =
                (result >= 0, record.request)
            {
                // SAFETY: the kernel has written the answer and let go of it; `metadata` is the backend's until the
                // completion that is made here.
                unsafe { metadata.write(metadata_of_statx(stat.as_ref())) };
            }
            // SAFETY: from this pool, and the kernel's no more: its entry has completed.
            unsafe { self.stats.put(stat) };
        }
        if let (true, Request::Accept { peer, multishot: false, .. }) = (result < 0, record.request) {
            // SAFETY: the backend's until the completion that is made here.
            unsafe { (*peer).length = RawAddress::EMPTY.length };
        }
        if let (Request::ReceiveMessage { message, .. }, true) = (record.request, result >= 0) {
            // SAFETY: the backend's until the completion that is made here, and the kernel's no more.
            unsafe { RawMessage::received(message) };
        }
        let completion = Completion::new(token.with_role(role::OPERATION), result);
        if let Some(group) = record.group() {
            record.group = NO_GROUP;
            self.pools.leave(group);
        }
        completion
    }

    /// Whether requests wait to be put into the ring again.
    #[inline]
    pub(super) fn has_retries(&self) -> bool {
        !self.retries.is_empty()
    }

    /// The next request to be put into the ring again. Those that were cancelled meanwhile end instead.
    pub(super) fn next_retry(&mut self) -> Option<Retry> {
        loop {
            let token = self.retries.pop_front()?;
            let record = &mut self.records[token.slot() as usize];
            if record.cancelled {
                let completion = self.finish(token, -libc::ECANCELED);
                self.known.push(completion);
                continue;
            }
            if takes_from_pool(&record.request) && record.group().is_none() && record.events == 0 {
                // Readable, and no ring for the kernel to take from.
                // SAFETY: a request's pointers are valid until its completion.
                match unsafe { pooled::receive(&record.request) } {
                    Err(Errno::AGAIN) => record.events = libc::POLLIN,
                    outcome => {
                        let result = outcome.as_ref().map_or_else(|errno| -errno.raw_os_error(), |(count, _)| *count);
                        let mut completion = self.finish(token, result);
                        completion.flags |= outcome.map_or(0, |(_, buffer)| told(buffer));
                        self.known.push(completion);
                        continue;
                    }
                }
            }
            record.place = if record.events != 0 { Place::Readiness } else { Place::Kernel };
            return Some(Retry {
                user_data: record.user_data(),
                request: record.request,
                stat: self.asides.get(token.slot()).and_then(|aside| aside.stat),
                events: (record.events != 0).then_some(record.events),
                group: record.group().unwrap_or(0),
                bundle: record.bundle,
                descriptor: awaited(&record.request),
            });
        }
    }

    /// Where `token`'s request is.
    pub(super) fn standing(&self, token: Token) -> Standing {
        let Some(record) = self.records.get(token.slot()) else { return Standing::Gone };
        if record.token != token {
            return Standing::Gone;
        }
        match record.place {
            Place::Gone => Standing::Gone,
            // A close must happen: cancelled before it began it would leave the descriptor open.
            _ if matches!(record.request, Request::Close { .. }) => Standing::Gone,
            Place::Kernel | Place::Readiness => Standing::Kernel { user_data: record.user_data() },
            Place::Waiting => Standing::Waiting,
            Place::Worker => Standing::Worker,
        }
    }

    /// Whether a cancel that found nothing may find the request of `token` later, if it has not ended.
    fn may_be_found(&self, token: Token) -> bool {
        // A send without a copy that has told its result waits for the peer, and nothing calls it back.
        matches!(self.standing(token), Standing::Kernel { .. })
            && self.asides.get(token.slot()).is_none_or(|aside| aside.sent.is_none())
    }

    /// Sees to it that the request is not tried again.
    pub(super) fn mark_cancelled(&mut self, token: Token) {
        self.records[token.slot() as usize].cancelled = true;
    }

    /// Sees to it that no request is tried again.
    pub(super) fn mark_all_cancelled(&mut self) {
        self.records.iter_mut().for_each(|record| record.cancelled = true);
    }

    /// Lets the next poll say that a cancel found nothing.
    pub(super) fn cancel_missed(&mut self, token: Token) {
        self.known.push(missed(token));
    }

    /// Frees what a completion that no one will take brought.
    pub(super) fn dispose(&self, completion: Completion) {
        if completion.token.role() != role::OPERATION {
            return;
        }
        let record = &self.records[completion.token.slot() as usize];
        let source = match record.request {
            Request::ReceivePooled { source, .. } | Request::ReceiveMessagePooled { source, .. } => Some(source),
            _ => None,
        };
        if let (Some(index), Some(source)) = (completion.buffer(), source) {
            // SAFETY: the pointer is valid, as no one was told of a completion; the buffer, or the hold on it that was
            // taken for a part, is the backend's.
            unsafe { (*source).put(index) };
            return;
        }
        if let (Request::ReceiveMessage { message, .. }, true) = (record.request, completion.result >= 0) {
            // SAFETY: the message is the backend's still, since nobody was told; what came with it is owned by no one.
            unsafe { RawMessage::descriptors((*message).control, (*message).control_length, drop) };
        }
        let orphan = match record.request {
            Request::Accept { .. } | Request::Open { .. } if completion.result >= 0 => completion.result,
            Request::File(FileRequest::OpenAt { .. }) if completion.result >= 0 => completion.result,
            Request::Close { descriptor } if completion.result == -libc::ECANCELED => descriptor.fd(),
            _ => return,
        };
        // SAFETY: made for this backend and handed to no one, or given up to it by the request.
        unsafe { rustix::io::close(orphan) };
    }
}

/// How a completion's flags name a buffer.
fn told(buffer: RawBuffer) -> u32 {
    flags::BUFFER | buffer.index << flags::BUFFER_SHIFT
}

/// Whether the request's buffer is taken from a pool when there is something to put into it.
fn takes_from_pool(request: &Request) -> bool {
    matches!(request, Request::ReceivePooled { .. } | Request::ReceiveMessagePooled { .. })
}

fn missed(token: Token) -> Completion {
    Completion { token: token.with_role(role::CANCEL_MISSED), result: -libc::ENOENT, flags: 0 }
}

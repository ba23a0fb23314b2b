//! What is known of every request in flight, by slot.
//!
//! Nothing in it is seen by the kernel, so that it may move when it grows: requests bring their own memory, counts of
//! events go where no one looks, and answers of stats are boxed.

use std::collections::VecDeque;
use std::ptr::NonNull;

use super::lower::{Again, again, awaited};
use super::stat::{StatPool, Statx, metadata_of};
use crate::backend::{Completion, FileRequest, RawAddress, Request, Token, WaitRequest, role};

/// The read of the wake descriptor.
pub(super) const WAKE: Token = Token::new(0, 0).with_role(ROLE_WAKE);
const ROLE_WAKE: u8 = role::BACKEND;
/// A stat: its answer is converted before its completion goes on.
const ROLE_STAT: u8 = role::BACKEND + 1;
/// A wait for the readiness of a request's descriptor.
const ROLE_READINESS: u8 = role::BACKEND + 2;
/// A cancel of a request.
pub(super) const ROLE_CANCEL: u8 = role::BACKEND + 3;
/// What is left of a chain's step that was cut off before the kernel took it.
pub(super) const ROLE_SEVERED: u8 = role::BACKEND + 4;

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

struct Record {
    token: Token,
    request: Request,
    stat: Option<NonNull<Statx>>,
    place: Place,
    /// Another step hangs on this one: it cannot be tried again, as a failure has severed the link.
    linked: bool,
    /// Asked to end: it is not tried again.
    cancelled: bool,
    /// The readiness to await before the next try.
    events: Option<i16>,
}

impl Record {
    const EMPTY: Record = Record {
        // No request has it: generations end before.
        token: Token::from_bits(u64::MAX),
        request: Request::Nop,
        stat: None,
        place: Place::Gone,
        linked: false,
        cancelled: false,
        events: None,
    };

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

    fn is_stat(&self) -> bool {
        matches!(self.request, Request::StatFile { .. } | Request::StatPath { .. })
    }

    fn user_data(&self) -> u64 {
        let role = match self.place {
            Place::Readiness => ROLE_READINESS,
            _ if self.is_stat() => ROLE_STAT,
            _ => role::OPERATION,
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
    pub(super) descriptor: i32,
}

/// The records, and what is to be done about some of them.
pub(super) struct Table {
    records: Vec<Record>,
    retries: VecDeque<Token>,
    /// Completions that need no kernel, told by the next poll.
    known: Vec<Completion>,
    stats: StatPool,
    /// Requests that the ring has, or will be given again.
    pub(super) in_flight: usize,
    /// The wake descriptor's read is in the ring.
    pub(super) wake_armed: bool,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            records: Vec::new(),
            retries: VecDeque::new(),
            known: Vec::new(),
            stats: StatPool::default(),
            in_flight: 0,
            wake_armed: false,
        }
    }

    pub(super) fn grow(&mut self, slots: u32) {
        if slots as usize > self.records.len() {
            self.records.resize_with(slots as usize, || Record::EMPTY);
        }
    }

    /// Whether the request of this token was linked to one behind it.
    pub(super) fn was_linked(&self, token: Token) -> bool {
        self.records.get(token.slot() as usize).is_some_and(|record| record.linked)
    }

    /// Takes note of a request that goes into the ring: what its entry must carry, and where its answer goes.
    #[inline]
    pub(super) fn admit(&mut self, token: Token, request: &Request, linked: bool) -> (u64, Option<NonNull<Statx>>) {
        self.in_flight += 1;
        let record = &mut self.records[token.slot() as usize];
        record.token = token;
        record.keep(request);
        record.place = Place::Kernel;
        record.linked = linked;
        record.cancelled = false;
        if !record.is_stat() {
            return (token.to_bits(), None);
        }
        record.stat = Some(self.stats.take());
        (record.user_data(), record.stat)
    }

    /// Takes note of a request that goes to the workers.
    pub(super) fn delegate(&mut self, token: Token, request: &Request) {
        let record = &mut self.records[token.slot() as usize];
        *record = Record { token, request: *request, place: Place::Worker, ..Record::EMPTY };
    }

    /// Takes note of a result that needed no kernel.
    pub(super) fn know(&mut self, token: Token, result: i32) {
        self.records[token.slot() as usize].place = Place::Gone;
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
    pub(super) fn settle(&mut self, token: Token, result: i32) -> Option<Completion> {
        match token.role() {
            ROLE_WAKE => {
                self.wake_armed = false;
                None
            }
            // Found (0), or already running and interrupted (EALREADY): the request's own completion tells the rest.
            ROLE_CANCEL if result != -libc::ENOENT => None,
            ROLE_CANCEL => Some(missed(token)),
            _ => {
                let result = self.judge(token, result)?;
                Some(self.finish(token, result))
            }
        }
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
            _ if record.cancelled || record.linked => return Some(-libc::ECANCELED),
            Again::Now => record.events = None,
            Again::WhenReady(events) => record.events = Some(events),
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
        if let Some(stat) = record.stat.take() {
            if let (true, Request::StatFile { metadata, .. } | Request::StatPath { metadata, .. }) =
                (result >= 0, record.request)
            {
                // SAFETY: the kernel has written the answer and let go of it; `metadata` is the backend's until the
                // completion that is made here.
                unsafe { metadata.write(metadata_of(stat.as_ref())) };
            }
            // SAFETY: from this pool, and the kernel's no more: its entry has completed.
            unsafe { self.stats.put(stat) };
        }
        if let (true, Request::Accept { peer, .. }) = (result < 0, record.request) {
            // SAFETY: the backend's until the completion that is made here.
            unsafe { (*peer).length = RawAddress::EMPTY.length };
        }
        Completion { token: token.with_role(role::OPERATION), result, flags: 0 }
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
            record.place = if record.events.is_some() { Place::Readiness } else { Place::Kernel };
            return Some(Retry {
                user_data: record.user_data(),
                request: record.request,
                stat: record.stat,
                events: record.events,
                descriptor: awaited(&record.request),
            });
        }
    }

    /// Where `token`'s request is.
    pub(super) fn standing(&self, token: Token) -> Standing {
        let Some(record) = self.records.get(token.slot() as usize) else { return Standing::Gone };
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

fn missed(token: Token) -> Completion {
    Completion { token: token.with_role(role::CANCEL_MISSED), result: -libc::ENOENT, flags: 0 }
}

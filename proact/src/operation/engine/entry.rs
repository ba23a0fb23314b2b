//! What the poll thread keeps of an operation in flight.

use std::ptr::NonNull;

use super::record::NIL;
use crate::backend::Token;
use crate::heap::HeapKey;
use crate::memory::WaitKey;
use crate::operation::op::{Header, Marks};
use crate::resource::Lane;
use crate::time::Time;

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Its turn has not come: a step of a chain or sequence, or about to be started.
    Waiting,
    /// In its stream's queue, behind others.
    Queued,
    /// To be handed to the backend as soon as that has room.
    Backlog,
    /// With the backend: exactly one completion will come.
    Kernel,
    /// Among the timers.
    Timer,
    /// In its semaphores' queues.
    Semaphore,
    /// In the lines of its frontier's axes.
    Frontier,
    /// Among those who are told of signals.
    Signals,
    /// Among those that wait for a notification.
    Notification,
    /// A sequence whose steps run.
    Sequence,
    /// A close, or a cancel of many, that waits for others to end.
    Closing,
    /// Waits for a buffer of its pool.
    Starved,
    /// A multishot operation whose backend has told one outcome and is to be asked for the next.
    Rearm,
    /// Its completion is on the engine's queue.
    Ended,
}

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Flags: u16 {
        /// Its end was asked for.
        const CANCEL = 1 << 0;
        /// Handed to the kernel as a step of a chain, and its completion not yet settled.
        const LOWERED = 1 << 1;
        /// Lowered, and its completion has come before its predecessor's: kept in `held`.
        const HELD = 1 << 2;
        /// An earlier step has failed: it must not take effect, and ends cancelled.
        const DOOMED = 1 << 3;
        /// It runs, or ran to its end, as a step of a lowered chain.
        const BY_KERNEL = 1 << 4;
        /// Lowered, and not the chain's first step: the kernel itself started it.
        const FOLLOWER = 1 << 5;
        /// Its end was asked for by its deadline, and by nobody before.
        const EXPIRED = 1 << 6;
        /// It has a deadline or stands in a scope.
        const EXTRAS = 1 << 7;
        /// The kernel reports that it sent the operation's own memory.
        const ZERO_COPY = 1 << 8;
        /// A signal that the kernel has carried out as a step of a chain: its effect has been taken, and its failure,
        /// if it had one, is in the entry.
        const ADOPTED = 1 << 9;
        /// A multishot operation whose last outcome is known (kept in `held`, or `failure`), while the backend goes on
        /// until it has been told to end.
        const ENDING = 1 << 10;
        /// A send whose bytes are on their way: it holds up its stream no more, but the kernel still reads its memory.
        const SENT = 1 << 11;
        /// The backend waits for the word of a shared notification, which counts it as an observer.
        const OBSERVES = 1 << 12;
        /// The engine knows why it fails: see `Engine::failures`.
        const FAILED = 1 << 13;
    }
}

impl Flags {
    /// What the outcome says of them.
    #[inline(always)]
    pub(super) fn marks(self) -> Marks {
        if !self.intersects(Flags::BY_KERNEL | Flags::CANCEL | Flags::ZERO_COPY) {
            return Marks::empty();
        }
        let mut marks = Marks::empty();
        marks.set(Marks::LOWERED, self.contains(Flags::BY_KERNEL));
        marks.set(Marks::CANCEL_REQUESTED, self.contains(Flags::CANCEL));
        marks.set(Marks::ZERO_COPY, self.contains(Flags::ZERO_COPY));
        marks
    }
}

// One for each connection that waits.
const _: () = assert!(size_of::<Entry>() <= 56);

pub(super) struct Entry {
    pub(super) op: Option<NonNull<Header>>,
    pub(super) token: Token,
    /// Bytes of an exact transfer that are done.
    pub(super) progress: usize,
    /// The step before it in its chain, while that has not ended.
    pub(super) previous: u32,
    /// The step after it in its chain.
    pub(super) next: u32,
    /// The sequence that it is a step of.
    pub(super) parent: u32,
    pub(super) record: u32,
    pub(super) lane_previous: u32,
    pub(super) lane_next: u32,
    /// A result that came too early.
    pub(super) held: i32,
    pub(super) lane: Lane,
    pub(super) phase: Phase,
    pub(super) flags: Flags,
}

/// What few operations have: kept apart, so that an entry of the many stays small.
///
/// In this order: what sets a timer looks at the first few, which lie side by side then.
#[repr(C)]
pub(super) struct Rare {
    /// When it is due, of a timer: not before its place says.
    pub(super) due: Time,
    /// The timer that waits here and may be set to another time; [`Rare::NOBODY`]: none.
    pub(super) waiting: Token,
    /// Its number among the timers: of those that are due together the lowest is first.
    pub(super) order: u64,
    /// When its place says.
    pub(super) at: Time,
    /// Its place among the timers, of a timer, or the one that its slot's last timer has left when it was called off.
    pub(super) timer: Option<HeapKey>,
    /// The place is nobody's.
    pub(super) vacant: bool,
    /// The place of its deadline among the timers.
    pub(super) deadline: Option<HeapKey>,
    /// Its place among those that wait for a buffer.
    pub(super) starved: Option<WaitKey>,
    /// The next in its scope, and the one before.
    pub(super) scope_next: u32,
    pub(super) scope_previous: u32,
}

impl Rare {
    /// No operation has it: generations end before.
    pub(super) const NOBODY: Token = Token::from_bits(u64::MAX);
}

impl Default for Rare {
    fn default() -> Rare {
        Rare {
            timer: None,
            due: Time::ORIGIN,
            waiting: Rare::NOBODY,
            order: 0,
            at: Time::ORIGIN,
            vacant: false,
            deadline: None,
            starved: None,
            scope_next: NIL,
            scope_previous: NIL,
        }
    }
}

impl Default for Entry {
    fn default() -> Entry {
        Entry {
            op: None,
            token: Token::new(0, 0),
            progress: 0,
            previous: NIL,
            next: NIL,
            parent: NIL,
            record: NIL,
            lane_previous: NIL,
            lane_next: NIL,
            held: 0,
            lane: Lane::Other,
            phase: Phase::Waiting,
            flags: Flags::empty(),
        }
    }
}

impl Entry {
    /// Takes an operation in. Everything else is as [`Entry::vacate`] left it.
    #[inline]
    pub(super) fn begin(&mut self, raw: NonNull<Header>, token: Token) {
        self.op = Some(raw);
        self.token = token;
        self.phase = Phase::Waiting;
    }

    /// Whether the backend has it and its end concerns nobody else: it is in no chain, sequence or record, nothing was
    /// asked of it since, and it was given nothing beside its kind.
    #[inline(always)]
    pub(super) fn stands_alone(&self) -> bool {
        // One comparison for the three: no other number has all bits.
        const { assert!(NIL == u32::MAX) };
        self.phase == Phase::Kernel && self.flags.is_empty() && self.record & self.next & self.parent == NIL
    }

    /// [`Entry::vacate`] of what [stands alone](Entry::stands_alone), whose other fields are vacant already. Answers
    /// the operation.
    #[inline(always)]
    pub(super) fn end_alone(&mut self) -> Option<NonNull<Header>> {
        debug_assert!(self.stands_alone() && self.previous == NIL && self.progress == 0);
        self.op.take()
    }

    /// Lets the operation go and is ready for the next.
    #[inline]
    pub(super) fn vacate(&mut self) {
        debug_assert!(self.record == NIL && !self.flags.contains(Flags::FAILED));
        self.op = None;
        self.progress = 0;
        self.previous = NIL;
        self.next = NIL;
        self.parent = NIL;
        self.flags = Flags::empty();
    }
}

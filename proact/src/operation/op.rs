//! An operation's storage: made once, moved into the proactor by submit, moved back by its final completion.

use std::any::TypeId;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;
use std::ptr::{self, NonNull};

use super::context::Context;
use super::kind::{Class, Kind, Portable, Transfer};
use super::scope::Scope;
use crate::backend::{Request, Token};
use crate::memory::BufferPool;
use crate::resource::{Home, Resource};
use crate::status::{Code, Operation, Result, Status};
use crate::time::Time;

/// One operation with its parameters and the user's state: storage for one flight at a time, reusable for ever.
///
/// [`Op::new`] makes it, in a box that never moves. Submitting moves the box into the proactor; the final completion
/// moves it back, into [`Complete::done`]. Between the two nothing of the program can reach it, so the kernel may write
/// to what it holds. Submitting it again costs no allocation.
///
/// # Examples
///
/// ```
/// use proact::operation::{Complete, Context, Nop, Op, Outcome};
///
/// struct Count(u32);
///
/// impl Complete<Nop> for Count {
///     fn done(mut op: Box<Op<Nop, Self>>, outcome: Outcome<Nop>, cx: &mut Context<'_>) {
///         assert!(outcome.result.is_ok());
///         op.state.0 += 1;
///         if op.state.0 < 3 {
///             cx.submit(op).unwrap(); // the same storage, again
///         }
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// proactor.submit(Op::new(Nop, Count(0))).unwrap();
/// while proactor.pending() > 0 {
///     proactor.poll(proact::time::Timeout::Infinite).unwrap();
/// }
/// ```
#[repr(C)]
pub struct Op<K, S> {
    pub(super) header: Header,
    /// What to do. Between flights it may be changed.
    pub kind: K,
    /// The user's part: who is told, and with what at hand.
    pub state: S,
}

/// How the user's state is told of an operation's outcome. Called on the poll thread, inside `poll`, under no lock.
///
/// A callback must not block: while it runs, nothing else on its proactor moves. Long work belongs on another thread,
/// which is handed a [`Handle`](crate::proactor::Handle), or a semaphore to signal, for the way back.
/// [`Statistics`](crate::proactor::Statistics) keep the longest callback seen.
pub trait Complete<K: Kind>: Sized + 'static {
    /// The final outcome: the storage comes back, and may be submitted again.
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, cx: &mut Context<'_>);

    /// One of several outcomes of a multishot operation, which goes on: its state is lent, and its parameters may be
    /// looked at. Exactly one call of [`Complete::done`] comes after the last of these. Other operations have no such
    /// outcomes.
    ///
    /// What the outcome owns (an accepted connection, a filled buffer) is dropped unless this takes it: so it does by
    /// default.
    fn more(&mut self, kind: &K, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let _ = (kind, outcome, cx);
    }
}

/// Nobody is told: the operation's storage is freed at its end.
impl<K: Kind> Complete<K> for () {
    fn done(_: Box<Op<K, ()>>, _: Outcome<K>, _: &mut Context<'_>) {}
}

/// How an operation ended.
pub struct Outcome<K: Kind> {
    /// What it yielded, or why it failed. `Cancelled` also says that an earlier step of its chain failed.
    pub result: Result<K::Output>,
    /// Bytes that moved, also when it failed or was cancelled after that.
    pub moved: usize,
    pub(super) marks: Marks,
}

bitflags::bitflags! {
    /// What an outcome says beside its result. One byte, written and read as one: bytes written one by one and read as
    /// a word would wait for each other on the way to the callback.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Marks: u8 {
        const LOWERED = 1;
        const ZERO_COPY = 2;
        const CANCEL_REQUESTED = 4;
    }
}

/// What became of an operation, as far as its effects go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Terminal {
    /// It succeeded, perhaps although its end was asked for. What it yielded is there: a resource is adopted.
    Completed,
    /// It failed by itself.
    Failed,
    /// It was cancelled, and nothing of it happened.
    Cancelled,
    /// It was cancelled after some of it had happened: [`Outcome::moved`] bytes.
    CancelledAfterEffect,
}

impl<K: Kind> Outcome<K> {
    /// What became of it.
    pub fn terminal(&self) -> Terminal {
        match &self.result {
            Ok(_) => Terminal::Completed,
            Err(status) if status.is_cancelled() || (self.expired() && self.cancel_requested()) => {
                if self.moved > 0 {
                    Terminal::CancelledAfterEffect
                } else {
                    Terminal::Cancelled
                }
            }
            Err(_) => Terminal::Failed,
        }
    }

    /// Whether it ran as a step of a chain that was handed to the kernel whole.
    pub fn lowered(&self) -> bool {
        self.marks.contains(Marks::LOWERED)
    }

    /// Whether the kernel reports that it sent the operation's own memory, without a copy.
    pub fn zero_copy(&self) -> bool {
        self.marks.contains(Marks::ZERO_COPY)
    }

    /// Whether its end was asked for, by a cancel, a close, a scope or its deadline, before it came.
    pub fn cancel_requested(&self) -> bool {
        self.marks.contains(Marks::CANCEL_REQUESTED)
    }

    fn expired(&self) -> bool {
        self.result.as_ref().is_err_and(|status| status.code() == Code::DeadlineExceeded)
    }
}

impl<K: Kind> fmt::Debug for Outcome<K>
where
    K::Output: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("result", &self.result)
            .field("moved", &self.moved)
            .field("marks", &self.marks)
            .finish()
    }
}

impl<K: Kind, S: Complete<K>> Op<K, S> {
    /// Ends the next flight with `DeadlineExceeded` if it has not ended by itself at `deadline`, on the proactor's
    /// clock. The time counts from now, not from when a chain comes to the operation; its callback still comes in the
    /// chain's order. Whatever may be cancelled may have a deadline, at the price of a timer.
    ///
    /// ```
    /// # use proact::operation::{EventWait, Op};
    /// # use std::time::Duration;
    /// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
    /// let event = proactor.handle().event().unwrap();
    /// let soon = proactor.now() + Duration::from_millis(1);
    /// proactor.submit(Op::new(EventWait::new(event), ()).deadline(soon)).unwrap();
    /// proactor.run().unwrap(); // does not hang
    /// ```
    #[must_use]
    pub fn deadline(mut self: Box<Self>, deadline: Time) -> Box<Self> {
        self.header.extras().deadline = Some(deadline);
        self
    }

    /// Puts the next flight into `scope`, which can end all that is in it.
    #[must_use]
    pub fn within(mut self: Box<Self>, scope: &Scope) -> Box<Self> {
        self.header.extras().scope = Some(scope.clone());
        self
    }

    /// Storage for one operation of `kind`, whose outcomes go to `state`.
    #[allow(clippy::new_ret_no_self)] // an operation only ever lives in its box
    #[track_caller]
    pub fn new(kind: K, state: S) -> Box<Op<K, S>> {
        Box::new(Op { header: Header::new(&Table::<K, S>::OWNED), kind, state })
    }

    /// [`Op::new`] in storage that is there already.
    #[track_caller]
    pub(super) fn new_in(mut storage: Box<MaybeUninit<Op<K, S>>>, kind: K, state: S) -> Box<Op<K, S>> {
        storage.write(Op { header: Header::new(&Table::<K, S>::OWNED), kind, state });
        // SAFETY: just written.
        unsafe { storage.assume_init() }
    }

    pub(super) fn into_raw(self: Box<Self>) -> NonNull<Header> {
        // SAFETY: `Box::into_raw` never answers null. The header is the first field of a `repr(C)` struct, so its
        // address is the operation's, with the provenance of the whole allocation.
        unsafe { NonNull::new_unchecked(Box::into_raw(self).cast::<Header>()) }
    }

    /// # Safety
    ///
    /// `raw` came from [`Op::into_raw`] of the same types and is not used again.
    pub(super) unsafe fn from_raw(raw: NonNull<Header>) -> Box<Self> {
        // SAFETY: the caller's promise.
        unsafe { Box::from_raw(raw.as_ptr().cast()) }
    }
}

// SAFETY: the header's pointers are null or unused while the program owns the operation, and the engine's alone while
// it is in flight; kind and state may move to another thread by their own types.
unsafe impl<K: Send, S: Send> Send for Op<K, S> {}

impl<K: fmt::Debug, S: fmt::Debug> fmt::Debug for Op<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op").field("kind", &self.kind).field("state", &self.state).finish()
    }
}

impl<K, S> Op<K, S> {
    /// Drops what the storage holds, and keeps the storage.
    pub(super) fn vacate(op: Box<Op<K, S>>) -> Box<MaybeUninit<Op<K, S>>> {
        let raw = Box::into_raw(op);
        // Made a box again first, so that a state which panics when it is dropped leaks nothing.
        // SAFETY: the same allocation, whose content may be anything from here on.
        let mut storage = unsafe { Box::from_raw(raw.cast::<MaybeUninit<Op<K, S>>>()) };
        // SAFETY: it still holds the operation, which nobody will look at again.
        unsafe { storage.assume_init_drop() };
        storage
    }

    #[track_caller]
    pub(super) fn with_table(table: &'static Vtable, kind: K, state: S) -> Op<K, S> {
        Op { header: Header::new(table), kind, state }
    }
}

/// The part of an operation that the engine knows.
pub(super) struct Header {
    pub(super) table: &'static Vtable,
    /// The next operation of the same batch, between submit and launch.
    pub(super) next: Option<NonNull<Header>>,
    /// The batch below this one on the remote stack, between push and take.
    pub(super) below: *mut (),
    pub(super) token: Token,
    /// Where it was submitted: what its failure names.
    pub(super) location: &'static Location<'static>,
    /// The next operation of the batch starts only after this one has succeeded.
    pub(super) linked: bool,
    pub(super) lowering: super::chain::Lowering,
    /// When it was submitted, where latencies are measured.
    pub(super) submitted: Time,
    /// What few operations have. The box stays with the storage, so that setting it again allocates nothing.
    pub(super) extras: Option<Box<Extras>>,
}

/// What an operation may be given beside its kind, for one flight.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) deadline: Option<Time>,
    pub(super) scope: Option<Scope>,
}

impl Header {
    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    #[track_caller]
    pub(super) fn new(table: &'static Vtable) -> Header {
        Header {
            table,
            next: None,
            below: ptr::null_mut(),
            token: Token::new(0, 0),
            location: Location::caller(),
            linked: false,
            lowering: super::chain::Lowering::Auto,
            submitted: Time::ORIGIN,
            extras: None,
        }
    }
}

/// [`Kind::absorb`] of an operation whose types are not known.
pub(super) type Absorb = unsafe fn(NonNull<Header>, i32) -> Option<usize>;

/// What the engine asks of kinds that are [`Kind::ADOPTS`]; as in [`Vtable`].
pub(super) struct Adopts {
    pub(super) lowered: unsafe fn(NonNull<Header>) -> Option<Request>,
    pub(super) adopt: unsafe fn(NonNull<Header>, i32) -> Result<i32>,
    pub(super) abandon: unsafe fn(NonNull<Header>, &Status, bool),
}

/// How the engine reaches an operation whose types it does not know.
///
/// Every function wants a pointer that came from `into_raw` of the operation whose header names this table, while no
/// reference to that operation exists.
pub(super) struct Vtable {
    pub(super) operation: Operation,
    pub(super) class: Class,
    /// [`Kind::BARE`].
    pub(super) bare: bool,
    pub(super) type_id: fn() -> (TypeId, TypeId),
    pub(super) validate: unsafe fn(NonNull<Header>, Home) -> Result<()>,
    pub(super) resource: unsafe fn(NonNull<Header>) -> Option<NonNull<Resource>>,
    pub(super) transfer: unsafe fn(NonNull<Header>) -> Transfer,
    pub(super) request: unsafe fn(NonNull<Header>, usize) -> Request,
    pub(super) portable: unsafe fn(NonNull<Header>) -> Portable,
    pub(super) perform: unsafe fn(NonNull<Header>) -> Result<i32>,
    /// [`Kind::absorb`], of kinds that are [`Kind::STAGED`].
    pub(super) absorb: Option<Absorb>,
    /// Of kinds that are [`Kind::ADOPTS`].
    pub(super) adopts: Option<Adopts>,
    /// [`Kind::MULTISHOT`].
    pub(super) multishot: bool,
    pub(super) deliver: unsafe fn(NonNull<Header>, Ended, &mut Context<'_>),
    pub(super) more: unsafe fn(NonNull<Header>, Ended, &mut Context<'_>),
    pub(super) is_last: unsafe fn(NonNull<Header>, i64) -> bool,
    pub(super) pool: unsafe fn(NonNull<Header>) -> Option<NonNull<BufferPool>>,
    pub(super) explain: unsafe fn(NonNull<Header>, Status) -> Status,
    /// [`Kind::spares`].
    pub(super) spares: unsafe fn(NonNull<Header>, &Status, usize) -> bool,
    pub(super) reset: unsafe fn(NonNull<Header>),
    pub(super) free: unsafe fn(NonNull<Header>),
}

/// How an operation ended, before its kind has made an output of it.
pub(super) struct Ended {
    pub(super) result: Result<i64>,
    pub(super) moved: usize,
    pub(super) marks: Marks,
}

/// The tables of one pair of types.
pub(super) struct Table<K, S>(std::marker::PhantomData<(K, S)>);

impl<K: Kind, S: 'static> Table<K, S> {
    pub(super) const fn with(
        deliver: unsafe fn(NonNull<Header>, Ended, &mut Context<'_>),
        more: unsafe fn(NonNull<Header>, Ended, &mut Context<'_>),
        reset: unsafe fn(NonNull<Header>),
    ) -> Vtable {
        Vtable {
            operation: K::OPERATION,
            class: K::CLASS,
            bare: K::BARE,
            type_id: || (TypeId::of::<K>(), TypeId::of::<S>()),
            validate: validate::<K, S>,
            resource: resource::<K, S>,
            transfer: transfer::<K, S>,
            request: request::<K, S>,
            portable: portable::<K, S>,
            perform: perform::<K, S>,
            absorb: if K::STAGED { Some(absorb::<K, S>) } else { None },
            adopts: match K::ADOPTS {
                true => Some(Adopts { lowered: lowered::<K, S>, adopt: adopt::<K, S>, abandon: abandon::<K, S> }),
                false => None,
            },
            multishot: K::MULTISHOT,
            deliver,
            more,
            is_last: is_last::<K, S>,
            pool: pool::<K, S>,

            explain: explain::<K, S>,
            spares: spares::<K, S>,
            reset,
            free: free::<K, S>,
        }
    }
}

impl<K: Kind, S: Complete<K>> Table<K, S> {
    const OWNED: Vtable = Table::<K, S>::with(deliver::<K, S>, more::<K, S>, |_| ());
}

/// The kind of an operation.
///
/// # Safety
///
/// As for every function of [`Vtable`], and the result is the only reference to the kind while it lives.
unsafe fn kind<'a, K, S>(raw: NonNull<Header>) -> &'a mut K {
    // SAFETY: the caller's promise; the header is at the operation's own address.
    unsafe { &mut (*raw.cast::<Op<K, S>>().as_ptr()).kind }
}

/// The kind of an operation, to look at. Not exclusive: the pointers that a request was given into the kind, for the
/// backend to write through, stay good.
///
/// # Safety
///
/// As for every function of [`Vtable`], and nobody changes the kind while the result lives.
unsafe fn look<'a, K, S>(raw: NonNull<Header>) -> &'a K {
    // SAFETY: the caller's promise; the header is at the operation's own address.
    unsafe { &(*raw.cast::<Op<K, S>>().as_ptr()).kind }
}

unsafe fn validate<K: Kind, S>(raw: NonNull<Header>, home: Home) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.validate(home)
}

unsafe fn resource<K: Kind, S>(raw: NonNull<Header>) -> Option<NonNull<Resource>> {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.resource().map(NonNull::from)
}

unsafe fn transfer<K: Kind, S>(raw: NonNull<Header>) -> Transfer {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.transfer()
}

unsafe fn request<K: Kind, S>(raw: NonNull<Header>, progress: usize) -> Request {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.request(progress)
}

unsafe fn portable<K: Kind, S>(raw: NonNull<Header>) -> Portable {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.portable()
}

unsafe fn perform<K: Kind, S>(raw: NonNull<Header>) -> Result<i32> {
    // SAFETY: the caller's promise.
    let location = unsafe { raw.as_ref() }.location;
    // SAFETY: as above.
    unsafe { kind::<K, S>(raw) }.perform(location)
}

unsafe fn lowered<K: Kind, S>(raw: NonNull<Header>) -> Option<Request> {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.lowered()
}

unsafe fn adopt<K: Kind, S>(raw: NonNull<Header>, value: i32) -> Result<i32> {
    // SAFETY: the caller's promise.
    let location = unsafe { raw.as_ref() }.location;
    // SAFETY: as above.
    unsafe { kind::<K, S>(raw) }.adopt(value, location)
}

unsafe fn abandon<K: Kind, S>(raw: NonNull<Header>, status: &Status, begun: bool) {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.abandon(status, begun);
}

unsafe fn absorb<K: Kind, S>(raw: NonNull<Header>, value: i32) -> Option<usize> {
    // SAFETY: the caller's promise.
    unsafe { kind::<K, S>(raw) }.absorb(value)
}

unsafe fn explain<K: Kind, S>(raw: NonNull<Header>, status: Status) -> Status {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.explain(status)
}

unsafe fn spares<K: Kind, S>(raw: NonNull<Header>, status: &Status, moved: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.spares(status, moved)
}

unsafe fn pool<K: Kind, S>(raw: NonNull<Header>) -> Option<NonNull<BufferPool>> {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.pool().map(NonNull::from)
}

unsafe fn deliver<K: Kind, S: Complete<K>>(raw: NonNull<Header>, ended: Ended, cx: &mut Context<'_>) {
    // SAFETY: the caller's promise: the operation has ended and its storage goes back to the program.
    let mut op = unsafe { Op::<K, S>::from_raw(raw) };
    let Ended { result, moved, marks } = ended;
    let result = result.and_then(|value| op.kind.settle(value, cx.home()));
    S::done(op, Outcome { result, moved, marks }, cx);
}

unsafe fn more<K: Kind, S: Complete<K>>(raw: NonNull<Header>, ended: Ended, cx: &mut Context<'_>) {
    // SAFETY: the caller's promise. The operation is in flight: its kind is only looked at.
    let kind = unsafe { look::<K, S>(raw) };
    let Ended { result, moved, marks } = ended;
    let result = result.and_then(|value| kind.settle_more(value, cx.home()));
    let outcome = Outcome { result, moved, marks };
    // SAFETY: no request points into the state, and the engine never touches it while the operation is in flight: this
    // is the only reference. The callback cannot end the operation, whose slot stays occupied meanwhile.
    let state = unsafe { &mut (*raw.cast::<Op<K, S>>().as_ptr()).state };
    state.more(kind, outcome, cx);
}

unsafe fn is_last<K: Kind, S>(raw: NonNull<Header>, value: i64) -> bool {
    // SAFETY: the caller's promise.
    unsafe { look::<K, S>(raw) }.is_last(value)
}

unsafe fn free<K, S>(raw: NonNull<Header>) {
    // SAFETY: the caller's promise: the operation is not in flight and is not used again.
    drop(unsafe { Box::from_raw(raw.cast::<Op<K, S>>().as_ptr()) });
}

/// An operation whose types are forgotten, so that different ones fit into one vector.
///
/// ```
/// use proact::operation::{AnyOp, Nop, Op};
/// let any = AnyOp::from(Op::new(Nop, ()));
/// let op: Box<Op<Nop, ()>> = any.downcast().unwrap();
/// ```
pub struct AnyOp {
    raw: NonNull<Header>,
}

impl AnyOp {
    /// The operation with its types again, if they are these.
    ///
    /// # Errors
    /// Gives the operation back when its types are others.
    pub fn downcast<K: Kind, S: Complete<K>>(self) -> Result<Box<Op<K, S>>, AnyOp> {
        // SAFETY: this owns the operation, so its header is there and no one else's.
        let table = unsafe { self.raw.as_ref() }.table;
        if (table.type_id)() != (TypeId::of::<K>(), TypeId::of::<S>()) {
            return Err(self);
        }
        // SAFETY: the table's types are K and S, so `into_raw` was of `Op<K, S>`; `self` is forgotten.
        Ok(unsafe { Op::from_raw(self.into_raw()) })
    }

    /// What the operation is.
    pub fn operation(&self) -> Operation {
        // SAFETY: this owns the operation.
        unsafe { self.raw.as_ref() }.table.operation
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).raw
    }

    pub(super) fn raw(&self) -> NonNull<Header> {
        self.raw
    }

    /// # Safety
    ///
    /// `raw` came from `into_raw`, of this or of [`Op`], and is not used again.
    pub(super) unsafe fn from_raw(raw: NonNull<Header>) -> AnyOp {
        AnyOp { raw }
    }
}

impl<K: Kind, S: Complete<K>> From<Box<Op<K, S>>> for AnyOp {
    fn from(op: Box<Op<K, S>>) -> AnyOp {
        AnyOp { raw: op.into_raw() }
    }
}

impl Drop for AnyOp {
    fn drop(&mut self) {
        // SAFETY: this owns the operation, which is not in flight, and goes away.
        unsafe { (self.raw.as_ref().table.free)(self.raw) }
    }
}

impl fmt::Debug for AnyOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyOp({})", self.operation())
    }
}

/// The failure of an operation, told at the place where it was submitted.
#[cold]
pub(super) fn failure(raw: NonNull<Header>, code: crate::status::Code, os_error: i32) -> Status {
    // SAFETY: called by the engine for an operation in flight.
    let header = unsafe { raw.as_ref() };
    Status::at(code, header.table.operation, os_error, header.location)
}

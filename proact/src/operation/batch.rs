//! What submit takes: one operation, or many as tuples, arrays, vectors and chains of them.
//!
//! A batch strings its operations on an intrusive list through their own headers, so that submitting allocates nothing
//! however many there are. A refused batch takes them off the list again and is itself once more.

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;

use super::chain::{Chain, Lowering};
use super::identity::OperationId;
use super::kind::Kind;
use super::op::{AnyOp, Complete, Header, Op};
use crate::backend::Token;
use crate::status::Status;

/// The operations of one submit, in order, by their headers.
pub struct OpList {
    head: Option<NonNull<Header>>,
    tail: Option<NonNull<Header>>,
    len: usize,
}

impl OpList {
    pub(super) fn new() -> OpList {
        OpList { head: None, tail: None, len: 0 }
    }

    pub(super) fn head(&self) -> Option<NonNull<Header>> {
        self.head
    }

    /// The last of them so far.
    pub(super) fn tail(&self) -> Option<NonNull<Header>> {
        self.tail
    }

    #[inline]
    fn push(&mut self, mut raw: NonNull<Header>) {
        // SAFETY: the operation has just been given up by its owner to this list.
        let header = unsafe { raw.as_mut() };
        header.next = None;
        header.linked = false;
        header.lowering = Lowering::Auto;
        match self.tail {
            // SAFETY: the list owns its operations.
            Some(mut tail) => unsafe { tail.as_mut() }.next = Some(raw),
            None => self.head = Some(raw),
        }
        self.tail = Some(raw);
        self.len += 1;
    }

    fn pop(&mut self) -> NonNull<Header> {
        let mut raw = self.head.expect("a batch takes back exactly what it gave");
        // SAFETY: the list owns its operations.
        self.head = unsafe { raw.as_mut() }.next.take();
        if self.head.is_none() {
            self.tail = None;
        }
        self.len -= 1;
        raw
    }
}

/// Walks the identities of the operations that a batch gave, in its order.
pub struct Ids {
    proactor: u32,
    next: Option<NonNull<Header>>,
    /// Identities from `next` on that nobody wants. Most often none is asked for behind them, and the list is not
    /// walked.
    skipped: usize,
}

impl Ids {
    pub(super) fn new(proactor: u32, list: &OpList) -> Ids {
        Ids { proactor, next: list.head, skipped: 0 }
    }

    #[inline]
    fn skip(&mut self, count: usize) {
        self.skipped += count;
    }

    #[inline]
    pub(super) fn take(&mut self) -> OperationId {
        while self.skipped > 0 {
            self.skipped -= 1;
            self.advance();
        }
        OperationId { proactor: self.proactor, token: self.advance() }
    }

    #[inline]
    fn advance(&mut self) -> Token {
        let raw = self.next.expect("as many identities as operations");
        // SAFETY: identities are taken before the batch is launched, while its list owns the operations.
        let header = unsafe { raw.as_ref() };
        self.next = header.next;
        header.token
    }
}

/// Operations that are submitted together: all of them are valid and admitted, or none has any effect.
///
/// Implemented for one boxed [`Op`], an [`AnyOp`], tuples of up to eight batches, arrays and vectors of a batch,
/// `&mut Vec` of a batch (emptied when taken; keeps its memory for the next round), and [`Chain`]s.
///
/// # Safety
///
/// `string` pushes operations that the batch owned, and `unstring` takes back exactly these, in the same order.
pub unsafe trait Batch: Sized {
    /// The identities of its operations, in its own shape.
    type Ids;
    /// What is left of the batch without its operations.
    #[doc(hidden)]
    type Shape;
    /// What the failures of its operations name as their place: where it is submitted, unless it says another.
    #[doc(hidden)]
    #[track_caller]
    #[inline]
    fn location(&self) -> &'static Location<'static> {
        Location::caller()
    }
    /// Hands the operations over.
    #[doc(hidden)]
    fn string(self, list: &mut OpList) -> Self::Shape;
    /// Takes the operations back.
    #[doc(hidden)]
    fn unstring(shape: Self::Shape, list: &mut OpList) -> Self;
    /// Reads the identities.
    #[doc(hidden)]
    fn ids(shape: &Self::Shape, ids: &mut Ids) -> Self::Ids;
}

// SAFETY: one operation in, the same one out.
unsafe impl<K: Kind, S: Complete<K>> Batch for Box<Op<K, S>> {
    type Ids = OperationId;
    type Shape = ();

    #[inline]
    fn string(self, list: &mut OpList) {
        list.push(self.into_raw());
    }

    fn unstring((): (), list: &mut OpList) -> Self {
        // SAFETY: the operation at this place of the list is the one that `string` pushed, of these types.
        unsafe { Op::from_raw(list.pop()) }
    }

    #[inline]
    fn ids((): &(), ids: &mut Ids) -> OperationId {
        ids.take()
    }
}

// SAFETY: one operation in, the same one out.
unsafe impl Batch for AnyOp {
    type Ids = OperationId;
    type Shape = ();

    fn string(self, list: &mut OpList) {
        list.push(self.into_raw());
    }

    fn unstring((): (), list: &mut OpList) -> Self {
        // SAFETY: the operation at this place of the list is the one that `string` pushed.
        unsafe { AnyOp::from_raw(list.pop()) }
    }

    fn ids((): &(), ids: &mut Ids) -> OperationId {
        ids.take()
    }
}

// SAFETY: each element keeps the promise, and the order is the vector's.
unsafe impl<B: Batch> Batch for Vec<B> {
    type Ids = Vec<B::Ids>;
    type Shape = Vec<B::Shape>;

    fn string(self, list: &mut OpList) -> Self::Shape {
        self.into_iter().map(|batch| batch.string(list)).collect()
    }

    fn unstring(shape: Self::Shape, list: &mut OpList) -> Self {
        shape.into_iter().map(|shape| B::unstring(shape, list)).collect()
    }

    fn ids(shape: &Self::Shape, ids: &mut Ids) -> Self::Ids {
        shape.iter().map(|shape| B::ids(shape, ids)).collect()
    }
}

// SAFETY: each element keeps the promise, and the order is the vector's. A shape without size needs no memory, which is
// why this is limited to `Shape = ()`: the emptied vector and a count are all there is to remember.
unsafe impl<B: Batch<Shape = ()>> Batch for &mut Vec<B> {
    type Ids = ();
    type Shape = (Self, usize);

    #[inline]
    fn string(self, list: &mut OpList) -> Self::Shape {
        let count = self.len();
        for batch in self.drain(..) {
            batch.string(list);
        }
        (self, count)
    }

    fn unstring((vector, count): Self::Shape, list: &mut OpList) -> Self {
        vector.extend((0..count).map(|_| B::unstring((), list)));
        vector
    }

    fn ids((_, count): &Self::Shape, ids: &mut Ids) {
        ids.skip(*count);
    }
}

// SAFETY: each element keeps the promise, and the order is the array's.
unsafe impl<B: Batch, const N: usize> Batch for [B; N] {
    type Ids = [B::Ids; N];
    type Shape = [B::Shape; N];

    fn string(self, list: &mut OpList) -> Self::Shape {
        self.map(|batch| batch.string(list))
    }

    fn unstring(shape: Self::Shape, list: &mut OpList) -> Self {
        shape.map(|shape| B::unstring(shape, list))
    }

    fn ids(shape: &Self::Shape, ids: &mut Ids) -> Self::Ids {
        shape.each_ref().map(|shape| B::ids(shape, ids))
    }
}

/// Links the operations of a list from `first` on: all but the last to what follows. An outer chain links across the
/// end of an inner one itself.
pub(super) fn link(first: Option<NonNull<Header>>, lowering: Lowering) {
    let mut at = first;
    while let Some(mut raw) = at {
        // SAFETY: the list owns its operations.
        let header = unsafe { raw.as_mut() };
        header.linked = header.next.is_some();
        header.lowering = lowering;
        at = header.next;
    }
}

// SAFETY: as the batch within.
unsafe impl<B: Batch> Batch for Chain<B> {
    type Ids = B::Ids;
    type Shape = (B::Shape, Lowering);

    fn string(self, list: &mut OpList) -> Self::Shape {
        let before = list.tail;
        let shape = self.batch.string(list);
        let first = match before {
            // SAFETY: the list owns its operations.
            Some(tail) => unsafe { tail.as_ref() }.next,
            None => list.head,
        };
        link(first, self.lowering);
        (shape, self.lowering)
    }

    fn unstring((shape, lowering): Self::Shape, list: &mut OpList) -> Self {
        Chain { batch: B::unstring(shape, list), lowering }
    }

    fn ids((shape, _): &Self::Shape, ids: &mut Ids) -> Self::Ids {
        B::ids(shape, ids)
    }
}

macro_rules! tuple {
    ($($name:ident . $index:tt),+) => {
        // SAFETY: each element keeps the promise, and the order is the tuple's.
        unsafe impl<$($name: Batch),+> Batch for ($($name,)+) {
            type Ids = ($($name::Ids,)+);
            type Shape = ($($name::Shape,)+);

            #[inline]
            fn string(self, list: &mut OpList) -> Self::Shape {
                ($(self.$index.string(list),)+)
            }

            fn unstring(shape: Self::Shape, list: &mut OpList) -> Self {
                ($($name::unstring(shape.$index, list),)+)
            }

            #[inline]
            fn ids(shape: &Self::Shape, ids: &mut Ids) -> Self::Ids {
                ($($name::ids(&shape.$index, ids),)+)
            }
        }
    };
}

tuple!(A.0);
tuple!(A.0, B.1);
tuple!(A.0, B.1, C.2);
tuple!(A.0, B.1, C.2, D.3);
tuple!(A.0, B.1, C.2, D.3, E.4);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5, G.6);
tuple!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7);

/// A batch that was not submitted: it comes back whole, none of its operations has had any effect.
pub struct Refused<B> {
    /// What was submitted.
    pub batch: B,
    /// Why it was refused.
    pub status: Status,
}

impl<B> fmt::Debug for Refused<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({:?})", self.status)
    }
}

impl<B> fmt::Display for Refused<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl<B> std::error::Error for Refused<B> {}

impl<B> From<Refused<B>> for Status {
    fn from(refused: Refused<B>) -> Status {
        refused.status
    }
}

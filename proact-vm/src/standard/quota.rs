//! How much programs hold: bytes in objects that they made, and places for open files and sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use proact::causal::Frontier;
use proact::status::Code;
use proact::sync::Semaphore;

use crate::error::{Error, Result};
use crate::machine::work;
use crate::value::{Buffer, ElementType, List, Value};

/// What an object takes beside its contents, roughly.
const OBJECT_BYTES: usize = 128;
/// What a semaphore takes, with its history of causes, roughly.
pub(super) const SEMAPHORE_BYTES: usize = 1 << 10;

/// What a file or socket takes, also when it is closed, roughly.
pub(super) const OPEN_BYTES: usize = 1 << 9;

/// An object whose memory counts.
pub(super) trait Weigh: Send + Sync + 'static {
    /// Bytes, now.
    fn weight(&self) -> usize;
}

impl Weigh for Buffer {
    fn weight(&self) -> usize {
        OBJECT_BYTES + self.len()
    }
}

/// With the room that it keeps for more: that is memory, too.
impl Weigh for List {
    fn weight(&self) -> usize {
        OBJECT_BYTES + self.byte_capacity()
    }
}

impl Weigh for Semaphore {
    fn weight(&self) -> usize {
        let words = self.status().and_then(|status| status.message().map(str::len));
        SEMAPHORE_BYTES + words.unwrap_or_default()
    }
}

impl Weigh for Frontier {
    fn weight(&self) -> usize {
        OBJECT_BYTES + frontier_bytes(self)
    }
}

/// What the entries of a frontier take.
pub(super) fn frontier_bytes(frontier: &Frontier) -> usize {
    size_of::<Frontier>() + size_of_val(frontier.entries())
}

/// What one element takes.
pub(super) fn element_bytes(list: &List) -> usize {
    match list.element_type() {
        ElementType::I8 => 1,
        ElementType::I16 => 2,
        ElementType::I32 | ElementType::F32 => 4,
        ElementType::I64 | ElementType::F64 => 8,
        ElementType::Ref => size_of::<crate::Ref>(),
        ElementType::Any => size_of::<Value>(),
    }
}

/// Bytes that the objects of programs may take together.
///
/// What is charged is only ever added up; what was given up is found when the sum passes the bound, by asking the
/// objects that are still there. So the usual charge is one addition. An object that is being made while another thread
/// counts is counted the next time.
pub(super) struct Quota {
    max: usize,
    charged: AtomicUsize,
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    all: Vec<Weak<dyn Weigh>>,
    /// How many there may be before those that are gone are looked for.
    sweep_at: usize,
}

impl Quota {
    pub(super) fn new(max: usize) -> Quota {
        Quota { max, charged: AtomicUsize::new(0), objects: Mutex::default() }
    }

    /// Charges for so many bytes more. `RESOURCE_EXHAUSTED` where there are not as many.
    pub(super) fn charge(&self, bytes: usize) -> Result {
        let before = self.charged.fetch_add(bytes, Ordering::Relaxed);
        if before.checked_add(bytes).is_some_and(|sum| sum <= self.max) {
            return Ok(());
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, kept) = objects.count();
        let sum = held.saturating_add(bytes);
        self.charged.store(if sum > self.max { held } else { sum }, Ordering::Relaxed);
        drop(objects);
        drop(kept);
        if sum > self.max { Err(self.exhausted(bytes, held)) } else { Ok(()) }
    }

    /// Makes an object that counts from now on.
    pub(super) fn make<T: Weigh>(&self, bytes: usize, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        self.charge(bytes.saturating_add(OBJECT_BYTES))?;
        let object = Arc::new(make()?);
        let weak: Weak<dyn Weigh> = Arc::downgrade(&(object.clone() as Arc<dyn Weigh>));
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Vec::new();
        if objects.all.len() >= objects.sweep_at {
            kept = objects.count().1;
            objects.sweep_at = (2 * objects.all.len()).max(64);
        }
        objects.all.push(weak);
        drop(objects);
        drop(kept);
        Ok(object)
    }

    /// Lets a list become longer by `more` elements, and charges for the room that it has not yet. The list may be of
    /// another maker: such a list is bounded by itself.
    pub(super) fn grow(&self, list: &List, more: usize, grow: impl FnOnce() -> Result) -> Result {
        let held = list.weight();
        let needed = list.len().saturating_add(more).saturating_mul(element_bytes(list));
        let bytes = needed.saturating_add(OBJECT_BYTES).saturating_sub(held);
        if bytes == 0 {
            return grow();
        }
        if held.saturating_add(bytes) > self.max {
            return Err(self.exhausted(bytes, held));
        }
        self.charge(bytes)?;
        grow()?;
        // Lists make more room than is asked for, so that not each push moves them.
        let spare = list.weight().saturating_sub(held).saturating_sub(bytes);
        self.charged.fetch_add(spare, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn exhausted(&self, bytes: usize, held: usize) -> Error {
        let message = format!("{bytes} bytes more, where {held} of {} are held", self.max);
        Error::new(Code::ResourceExhausted, message)
    }
}

impl Objects {
    /// What those that are still there take; forgets the others. This may be the last to hold one of them, and a list's
    /// end runs code of others: they are to be dropped under no lock.
    fn count(&mut self) -> (usize, Vec<Arc<dyn Weigh>>) {
        let (mut sum, mut kept) = (0usize, Vec::new());
        // Some instructions for each.
        work::did(self.all.len() * OBJECT_BYTES * 8);
        self.all.retain(|object| match object.upgrade() {
            Some(object) => {
                sum = sum.saturating_add(object.weight());
                kept.push(object);
                true
            }
            None => false,
        });
        (sum, kept)
    }
}

/// Places for what holds a descriptor. A clone is the same ones.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<AtomicUsize>,
    max: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(max: usize) -> Places {
        Places { free: Arc::new(AtomicUsize::new(max)), max }
    }

    /// Takes one: `RESOURCE_EXHAUSTED` where all are taken.
    pub(super) fn take(&self) -> Result<Place> {
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1));
        match taken {
            Ok(_) => Ok(Place(self.free.clone())),
            Err(_) => {
                let message = format!("{} files and sockets are open, and no more may be", self.max);
                Err(Error::new(Code::ResourceExhausted, message))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_may_be_made_again_without_end() {
        let quota = Quota::new(10_000);
        for _ in 0..1_000 {
            quota.make(1_000, || Buffer::zeroed(1_000)).unwrap();
        }
        let held = quota.make(9_000, || Buffer::zeroed(9_000)).unwrap();
        let refused = quota.make(1_000, || Buffer::zeroed(1_000)).map(drop).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(held);
        quota.make(9_000, || Buffer::zeroed(9_000)).unwrap();
    }

    #[test]
    fn those_that_are_gone_are_forgotten() {
        let quota = Quota::new(usize::MAX / 2);
        for _ in 0..10_000 {
            quota.make(0, || Buffer::zeroed(0)).unwrap();
        }
        assert!(quota.objects.lock().unwrap().all.len() <= 64);
    }

    #[test]
    fn places_come_back() {
        let places = Places::new(2);
        let (one, _two) = (places.take().unwrap(), places.take().unwrap());
        assert_eq!(places.take().unwrap_err().code(), Code::ResourceExhausted);
        drop(one);
        places.take().unwrap();
    }
}

//! Buffers lent to the kernel: one ring of them for each pool that requests receive into.
//!
//! The pool's own list stays the only owner of idle buffers. A ring is filled by taking from it, as far as
//! [`FILL`] reaches, and only while requests use the ring: when the last has ended, the buffers go back. So a pool that
//! two proactors share is not kept empty by the one that does nothing.
//!
//! The ring itself stays registered, empty, until the pool is gone: who receives into a pool, does something else and
//! receives again pays for it once. It does not keep the pool alive. Of more than [`IDLE_MAX`] that nobody uses the
//! kernel is told to forget the next.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::backend::{BufferSource, RawBuffer};
use crate::uring::{BufferRing, Ring};

/// The most buffers that a ring is filled up to: they serve that many completions between two passes. It never takes
/// more than half of a pool, so that others who share it are not starved by what lies ready here.
const FILL: u32 = 128;

/// The most rings that are kept without requests that use them.
pub(super) const IDLE_MAX: usize = 16;

/// The ring of one pool.
struct Lent {
    id: u64,
    source: Weak<dyn BufferSource>,
    /// The source, while buffers of it are here: they are its memory.
    held: Option<Arc<dyn BufferSource>>,
    ring: BufferRing,
    /// What each number in the ring stands for; `None`: not with the kernel.
    buffers: Vec<Option<RawBuffer>>,
    free: Vec<u16>,
    /// The number offered after each, and the last that was.
    after: Vec<u16>,
    last: Option<u16>,
    /// Requests in flight that take from it.
    users: u32,
}

/// All rings of a backend.
#[derive(Default)]
pub(super) struct Pools {
    lent: Vec<Option<Lent>>,
    by_source: HashMap<u64, u16>,
    /// How many rings have been registered.
    #[cfg(test)]
    pub(super) registrations: u32,
}

impl Pools {
    /// The group to take from for `source`, with one user more and as many buffers as there are to be had.
    /// `incremental`: the kernel can fill buffers in parts, which it does where the source says so. The error is the
    /// kernel's error number.
    pub(super) fn join(&mut self, ring: &Ring, source: &Arc<dyn BufferSource>, incremental: bool) -> Result<u16, i32> {
        let group = match self.by_source.get(&source.id()) {
            Some(&group) => group,
            None => self.lend(ring, source, incremental && source.incremental())?,
        };
        if let Some(Some(lent)) = self.lent.get_mut(usize::from(group)) {
            lent.users += 1;
            lent.held.get_or_insert_with(|| source.clone());
            lent.fill();
        }
        Ok(group)
    }

    fn lend(&mut self, ring: &Ring, source: &Arc<dyn BufferSource>, incremental: bool) -> Result<u16, i32> {
        let group = match self.lent.iter().position(Option::is_none) {
            Some(group) => group,
            None => {
                self.lent.push(None);
                self.lent.len() - 1
            }
        };
        let group = u16::try_from(group).ok().filter(|&group| group <= BufferRing::GROUP_LAST).ok_or(libc::ENOSPC)?;
        let count = (source.count() / 2).clamp(1, FILL);
        let kernel = BufferRing::register(ring, group, count.next_power_of_two(), incremental)?;
        #[cfg(test)]
        {
            self.registrations += 1;
        }
        self.lent[usize::from(group)] = Some(Lent {
            id: source.id(),
            source: Arc::downgrade(source),
            held: None,
            ring: kernel,
            buffers: vec![None; count as usize],
            free: (0..count as u16).rev().collect(),
            after: vec![0; count as usize],
            last: None,
            users: 0,
        });
        self.by_source.insert(source.id(), group);
        Ok(group)
    }

    /// A request that took from `group` has ended.
    pub(super) fn leave(&mut self, group: u16) {
        if let Some(Some(lent)) = self.lent.get_mut(usize::from(group)) {
            lent.users -= 1;
        }
    }

    /// The kernel has filled the buffer that it knows as `id`. `more`: it keeps the rest of it, and so does the ring;
    /// whoever is told has a hold of its own.
    pub(super) fn taken(&mut self, group: u16, id: u16, more: bool) -> Option<RawBuffer> {
        let lent = self.lent.get_mut(usize::from(group))?.as_mut()?;
        if more {
            let buffer = (*lent.buffers.get(usize::from(id))?)?;
            // The ring may be given up before this part is told of.
            // SAFETY: taken from this source, and in the ring still.
            unsafe { lent.held.as_ref()?.hold(buffer.index) };
            return Some(buffer);
        }
        let buffer = lent.buffers.get_mut(usize::from(id))?.take()?;
        lent.free.push(id);
        Some(buffer)
    }

    /// The buffer that the kernel knows as `id`, if `count` bytes fill it and go on in another, and that other's
    /// number: the kernel takes buffers in the order in which they were offered.
    pub(super) fn full(&mut self, group: u16, id: u16, count: i32) -> Option<(RawBuffer, u16)> {
        let lent = self.lent.get_mut(usize::from(group))?.as_mut()?;
        let buffer = (*lent.buffers.get(usize::from(id))?)?;
        if i64::from(count) <= i64::from(buffer.length) {
            return None;
        }
        let next = lent.after[usize::from(id)];
        self.taken(group, id, false).map(|buffer| (buffer, next))
    }

    /// Gives a buffer back that holds nothing for anyone.
    pub(super) fn put(&self, group: u16, buffer: RawBuffer) {
        let lent = self.lent.get(usize::from(group)).and_then(Option::as_ref);
        if let Some(source) = lent.and_then(|lent| lent.held.as_ref()) {
            // SAFETY: taken from this source, or held for a part, and no completion has named it.
            unsafe { source.put(buffer.index) };
        }
    }

    /// Fills the rings up again, empties those that no one uses, and gives up those whose pool is gone. Once a pass,
    /// before the kernel is entered.
    #[inline]
    pub(super) fn tend(&mut self, ring: &Ring) {
        if !self.lent.is_empty() {
            self.tend_all(ring);
        }
    }

    #[cold]
    fn tend_all(&mut self, ring: &Ring) {
        let mut idle = 0;
        for place in &mut self.lent {
            let Some(lent) = place else { continue };
            if lent.users > 0 {
                lent.fill();
                continue;
            }
            idle += 1;
            lent.empty(ring);
            if idle > IDLE_MAX || lent.source.strong_count() == 0 {
                idle -= 1;
                self.by_source.remove(&lent.id);
                if let Some(lent) = place.take() {
                    lent.give_up(ring);
                }
            }
        }
        while let Some(None) = self.lent.last() {
            self.lent.pop();
        }
    }

    /// How many rings there are.
    #[cfg(test)]
    pub(super) fn registered(&self) -> usize {
        self.lent.iter().flatten().count()
    }

    /// Gives everything up. No request that takes from a ring is in flight any more.
    pub(super) fn clear(&mut self, ring: &Ring) {
        for lent in self.lent.drain(..).flatten() {
            lent.give_up(ring);
        }
        self.by_source.clear();
    }
}

impl Lent {
    /// Lends what the source has to give.
    fn fill(&mut self) {
        let Some(source) = &self.held else { return };
        let before = self.free.len();
        while let Some(&id) = self.free.last() {
            let Some(buffer) = source.take() else { break };
            self.free.pop();
            self.buffers[usize::from(id)] = Some(buffer);
            if let Some(last) = self.last.replace(id) {
                self.after[usize::from(last)] = id;
            }
            // SAFETY: taken from the source, so no one else's until it is put back, which is after a completion has
            // named it or the ring was given up; each number is in the ring once, and there are as many as entries.
            unsafe { self.ring.offer(buffer.pointer, buffer.length, id) };
        }
        if self.free.len() != before {
            self.ring.publish();
        }
    }

    /// Gives the buffers back, and holds the source no more. No request that takes from the ring is in flight: what no
    /// completion has named is in it still.
    fn empty(&mut self, ring: &Ring) {
        let Some(source) = self.held.take() else { return };
        self.ring.withdraw(ring, (self.buffers.len() - self.free.len()) as u16);
        for (id, buffer) in self.buffers.iter_mut().enumerate() {
            if let Some(buffer) = buffer.take() {
                self.free.push(id as u16);
                // SAFETY: taken from this source; the kernel has it no more and no request is left that could have
                // taken it.
                unsafe { source.put(buffer.index) };
            }
        }
        self.last = None;
    }

    fn give_up(mut self, ring: &Ring) {
        self.empty(ring);
        self.ring.unregister(ring);
    }
}

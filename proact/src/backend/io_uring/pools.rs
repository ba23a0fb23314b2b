//! Buffers lent to the kernel: one ring of them for each pool that requests receive into.
//!
//! The pool's own list stays the only owner of idle buffers. A ring is filled by taking from it, as far as
//! [`FILL`] reaches, and only while requests use the ring: when the last has ended, the kernel is told to forget the
//! ring and the buffers go back. So a pool that two proactors share is not kept empty by the one that does nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backend::{BufferSource, RawBuffer};
use crate::uring::{BufferRing, Ring};

/// The most buffers that a ring is filled up to: they serve that many completions between two passes. It never takes
/// more than half of a pool, so that others who share it are not starved by what lies ready here.
const FILL: u32 = 128;

/// The ring of one pool.
struct Lent {
    source: Arc<dyn BufferSource>,
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
    /// Some ring has no user, and is given up before the next sleep.
    idle: bool,
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
        self.lent[usize::from(group)] = Some(Lent {
            source: source.clone(),
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
            self.idle |= lent.users == 0;
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
            unsafe { lent.source.hold(buffer.index) };
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
        if let Some(Some(lent)) = self.lent.get(usize::from(group)) {
            // SAFETY: taken from this source, or held for a part, and no completion has named it.
            unsafe { lent.source.put(buffer.index) };
        }
    }

    /// Fills the rings up again and gives up those that no one uses. Once a pass, before the kernel is entered.
    #[inline]
    pub(super) fn tend(&mut self, ring: &Ring) {
        if !self.lent.is_empty() {
            self.tend_all(ring);
        }
    }

    #[cold]
    fn tend_all(&mut self, ring: &Ring) {
        for place in &mut self.lent {
            match place {
                Some(lent) if lent.users > 0 => lent.fill(),
                Some(lent) if self.idle => {
                    self.by_source.remove(&lent.source.id());
                    if let Some(lent) = place.take() {
                        lent.give_up(ring);
                    }
                }
                _ => {}
            }
        }
        self.idle = false;
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
        let before = self.free.len();
        while let Some(&id) = self.free.last() {
            let Some(buffer) = self.source.take() else { break };
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

    fn give_up(self, ring: &Ring) {
        self.ring.unregister(ring);
        for buffer in self.buffers.into_iter().flatten() {
            // SAFETY: taken from this source; the kernel has forgotten the ring and no request is left that could have
            // taken it.
            unsafe { self.source.put(buffer.index) };
        }
    }
}

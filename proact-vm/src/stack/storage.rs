//! Memory in which values of any type lie one upon another, and never move.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::arena::{Arena, CHUNK_ALIGN, Chunk};

/// Chunks, each at least twice as large as the one before. They are kept when they are empty.
pub(super) struct Storage {
    chunks: Vec<Chunk>,
    top: Mark,
    initial: usize,
    capacity: usize,
    /// Whose the chunks are, if not its own.
    arena: Option<Arena>,
}

/// Where the next value may go: the index of a chunk, and bytes used in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    chunk: usize,
    used: usize,
    /// Bytes of all chunks before that one.
    before: usize,
}

const BOTTOM: Mark = Mark { chunk: 0, used: 0, before: 0 };

/// A value in a [`Storage`]: it stays where it is until [`Storage::remove`].
pub(super) struct Place<T: ?Sized> {
    pointer: NonNull<T>,
    /// What was the top before.
    below: Mark,
}

impl<T: ?Sized> Place<T> {
    pub(super) fn pointer(&self) -> NonNull<T> {
        self.pointer
    }
}

impl<T> Place<T> {
    /// The same place, its type forgotten.
    pub(super) fn erase<U: ?Sized>(self, erase: impl FnOnce(*mut T) -> *mut U) -> Place<U> {
        let pointer = NonNull::new(erase(self.pointer.as_ptr()));
        Place { pointer: pointer.expect("a pointer of another type to the same value"), below: self.below }
    }
}

impl Storage {
    pub(super) fn new(initial: usize) -> Storage {
        Storage { chunks: Vec::new(), top: BOTTOM, initial, capacity: 0, arena: None }
    }

    pub(super) fn set_initial(&mut self, initial: usize) {
        self.initial = initial;
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Puts `value` on top. `None`, and `value` is dropped, when it would lie beyond `budget` bytes, all chunks taken
    /// together, or there is no memory.
    pub(super) fn place<T>(&mut self, value: T, budget: usize) -> Option<Place<T>> {
        let layout = Layout::new::<T>();
        let below = self.top;
        let pointer = self.reserve(layout, budget)?.cast::<T>();
        // SAFETY: `reserve` answers memory of `layout`, which no other value uses until the top is set back below it.
        unsafe { pointer.write(value) };
        Some(Place { pointer, below })
    }

    /// Drops the topmost value, and frees its memory for others. Only the topmost one may be removed.
    pub(super) fn remove<T: ?Sized>(&mut self, place: Place<T>) {
        // First, so that it holds also when the value's destructor panics. Nothing is placed before that has ended.
        self.top = place.below;
        // SAFETY: a `Place` is made by `place` alone, is not cloned, and is used up here: so the value is there, and is
        // dropped once. The stack hands places back in reverse order: so the memory above it is free as well.
        unsafe { place.pointer.drop_in_place() };
    }

    fn reserve(&mut self, layout: Layout, budget: usize) -> Option<NonNull<u8>> {
        let Mark { mut chunk, mut used, mut before } = self.top;
        loop {
            if let Some(memory) = self.chunks.get(chunk) {
                let start = memory.memory().as_ptr().addr() + used;
                let padding = start.next_multiple_of(layout.align()) - start;
                if let Some(end) = (used + padding).checked_add(layout.size()).filter(|&end| end <= memory.size()) {
                    // Memory may be there of a call that was allowed more, or of an arena.
                    if before + end > budget {
                        return None;
                    }
                    // SAFETY: `end` is within the chunk, so is what lies before it.
                    let pointer = unsafe { memory.memory().add(used + padding) };
                    self.top = Mark { chunk, used: end, before };
                    return Some(pointer);
                }
                (chunk, used, before) = (chunk + 1, 0, before + memory.size());
                continue;
            }
            self.grow(layout, budget)?;
        }
    }

    /// Adds a chunk in which `layout` surely fits.
    fn grow(&mut self, layout: Layout, budget: usize) -> Option<()> {
        let needed = layout.size().checked_add(layout.align().saturating_sub(CHUNK_ALIGN))?;
        let twice = self.chunks.last().map_or(self.initial, |last| last.size() * 2);
        // The last chunk takes what is left.
        let left = budget.checked_sub(self.capacity).filter(|&left| left >= needed)?;
        let wanted = twice.max(needed).min(left);
        self.chunks.try_reserve(1).ok()?;
        let chunk = match &self.arena {
            Some(arena) => arena.take(needed, wanted)?,
            None => Chunk::new(wanted)?,
        };
        self.capacity += chunk.size();
        self.chunks.push(chunk);
        Some(())
    }

    /// Takes its chunks from `arena` from now on, or from the system again. What it had is handed back: nothing may lie
    /// in it.
    pub(super) fn set_arena(&mut self, arena: Option<Arena>) {
        debug_assert!(self.top == BOTTOM, "values lie in it");
        self.capacity = 0;
        let before = std::mem::replace(&mut self.arena, arena);
        for chunk in self.chunks.drain(..) {
            match &before {
                Some(before) => before.give_back(chunk),
                None => drop(chunk),
            }
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Values in it were removed by the stack, whose `Drop` comes before its fields'.
        self.set_arena(None);
    }
}

// SAFETY: a place is the owner of its value, as a box is.
unsafe impl<T: ?Sized + Send> Send for Place<T> {}

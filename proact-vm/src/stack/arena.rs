//! Memory that many calls share, bounded together.

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::convention::Packed;

/// What every chunk is aligned to.
pub(super) const CHUNK_ALIGN: usize = 64;
/// Buffers for arguments and results that are kept at most.
const PACKED_MAX: usize = 64;

/// Memory of a fixed size, which does not move.
pub(super) struct Chunk {
    memory: NonNull<u8>,
    size: usize,
}

impl Chunk {
    /// `None` where there is no memory. `size` is not 0.
    pub(super) fn new(size: usize) -> Option<Chunk> {
        let layout = Layout::from_size_align(size, CHUNK_ALIGN).ok().filter(|_| size > 0)?;
        // SAFETY: the size is not 0.
        let memory = NonNull::new(unsafe { alloc(layout) })?;
        Some(Chunk { memory, size })
    }

    pub(super) fn memory(&self) -> NonNull<u8> {
        self.memory
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.size, CHUNK_ALIGN).expect("it was allocated so");
        // SAFETY: the memory was allocated with this layout, and is freed here alone. Values in it were removed before:
        // a stack drops its frames before its chunks, and an arena's chunks are those that a stack has emptied.
        unsafe { dealloc(self.memory.as_ptr(), layout) };
    }
}

// SAFETY: the chunk is the only owner of its memory.
unsafe impl Send for Chunk {}

/// Memory that calls share: what their stacks grow into, and buffers for what they pass. It is handed back when a call
/// ends or is given up, and serves the next one without a new allocation. A clone is the same arena; it lives as long
/// as any call that uses it.
///
/// Stacks are bounded for all of the calls together. Buffers are not: they are as large as the arguments and results
/// that a host or a function has in memory already. Of those that come back 64 are kept, and 64 KiB of each.
///
/// ```
/// use proact_vm::{Arena, Context, Instance, InvocationOptions};
/// use proact_vm::module::native::{Caller, NativeModule};
///
/// let module = NativeModule::builder("m")
///     .async_function("f", |caller: Caller<()>| async move { caller.yield_now().await })
///     .build()?;
/// let context = Context::builder(&Instance::new()).module(module).build()?;
/// let arena = Arena::new(64 << 10);
/// let options = InvocationOptions::new().arena(&arena);
/// context.invoke_with(&options, &context.lookup("m.f")?, &(), &mut ())?;
/// assert_eq!((arena.in_use(), arena.maximum()), (0, 64 << 10));
/// assert!(arena.allocated() > 0, "kept for the next call");
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone)]
pub struct Arena(Arc<Shared>);

struct Shared {
    maximum: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// Bytes of all chunks, lent or not.
    allocated: usize,
    /// Bytes of those that are not lent.
    free: usize,
    chunks: Vec<Chunk>,
    packed: Vec<Packed>,
}

impl Arena {
    /// An arena without memory yet, whose stacks take at most `maximum` bytes together.
    pub fn new(maximum: usize) -> Arena {
        Arena(Arc::new(Shared { maximum, pool: Mutex::default() }))
    }

    /// What its stacks may take together, in bytes.
    pub fn maximum(&self) -> usize {
        self.0.maximum
    }

    /// Bytes that it has taken of the system for stacks.
    pub fn allocated(&self) -> usize {
        self.pool().allocated
    }

    /// Bytes of those that calls have now.
    pub fn in_use(&self) -> usize {
        let pool = self.pool();
        pool.allocated - pool.free
    }

    /// Gives back to the system what no call has now.
    pub fn trim(&self) {
        let mut pool = self.pool();
        pool.allocated -= pool.free;
        pool.free = 0;
        pool.packed.clear();
        pool.chunks = Vec::new();
    }

    /// A chunk of at least `needed` bytes, of about `wanted` if it is a new one. `None` over the bound.
    pub(super) fn take(&self, needed: usize, wanted: usize) -> Option<Chunk> {
        let mut pool = self.pool();
        let fitting = pool.chunks.iter().enumerate().filter(|(_, chunk)| chunk.size >= needed);
        if let Some((index, _)) = fitting.min_by_key(|(_, chunk)| chunk.size) {
            let chunk = pool.chunks.swap_remove(index);
            pool.free -= chunk.size;
            return Some(chunk);
        }
        // What is too small makes room for what is not.
        while pool.allocated.checked_add(needed)? > self.0.maximum {
            let small = pool.chunks.pop()?;
            pool.free -= small.size;
            pool.allocated -= small.size;
        }
        let chunk = Chunk::new(wanted.max(needed).min(self.0.maximum - pool.allocated))?;
        pool.allocated += chunk.size;
        Some(chunk)
    }

    /// Takes an empty chunk back.
    pub(super) fn give_back(&self, chunk: Chunk) {
        let mut pool = self.pool();
        pool.free += chunk.size;
        pool.chunks.push(chunk);
    }

    /// A buffer for arguments or results.
    pub(crate) fn take_packed(&self) -> Packed {
        self.pool().packed.pop().unwrap_or_default()
    }

    /// Takes an empty buffer back.
    pub(crate) fn give_packed_back(&self, packed: Packed) {
        let mut pool = self.pool();
        if pool.packed.len() < PACKED_MAX {
            pool.packed.push(packed);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("maximum", &self.0.maximum).field("in_use", &self.in_use()).finish()
    }
}

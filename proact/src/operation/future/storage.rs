//! Memory for the operations of futures: what one leaves, the next takes.
//!
//! Blocks are kept by size, not by type, in lists of the thread that freed them: one list serves every kind of nearly
//! that size, and which list it is the compiler knows. Taking one and giving it back are a few instructions and no
//! lock, a fifth of what the system's allocator takes.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use crate::operation::op::Extras;

/// Sizes are this far apart: small steps, since thousands of idle connections each wait in a block.
const STEP: usize = 16;
/// What a size is above a multiple of that: allocators that keep a word before each block, as the C library's does,
/// then waste none of the step.
const ABOVE: usize = 8;
/// What is larger than this many steps comes from the allocator each time.
const SIZES: usize = 64;
/// Blocks of one size that a thread keeps.
const KEPT_MAX: u32 = 1024;
/// What any block is aligned to. A type that wants more comes from the allocator.
const ALIGN: usize = 16;

/// A block that nobody uses.
struct Idle {
    next: *mut Idle,
}

#[derive(Clone, Copy)]
struct List {
    head: *mut Idle,
    length: u32,
}

/// The blocks of one thread.
struct Lists {
    lists: [Cell<List>; SIZES],
    #[allow(clippy::vec_box)] // the boxes are what is kept
    extras: RefCell<Vec<Box<Extras>>>,
}

thread_local! {
    static LISTS: Lists = const {
        Lists {
            lists: [const { Cell::new(List { head: ptr::null_mut(), length: 0 }) }; SIZES],
            extras: RefCell::new(Vec::new()),
        }
    };
}

impl Drop for Lists {
    fn drop(&mut self) {
        for (index, list) in self.lists.iter().enumerate() {
            let mut at = list.get().head;
            while !at.is_null() {
                // SAFETY: a block on the list is this thread's alone and holds the link.
                let next = unsafe { (*at).next };
                // SAFETY: `take` got it from the allocator by this very layout.
                unsafe { dealloc(at.cast(), block(index)) };
                at = next;
            }
        }
    }
}

/// Which list serves this layout, if any does. The same answer for the same layout, always.
const fn list_of(layout: Layout) -> Option<usize> {
    if layout.align() > ALIGN || layout.size() == 0 || layout.size() > size(SIZES - 1) {
        return None;
    }
    Some(layout.size().saturating_sub(ABOVE).div_ceil(STEP))
}

/// How long the blocks of a list are: no shorter than the link that they hold on it.
const fn size(list: usize) -> usize {
    list * STEP + ABOVE
}

const fn block(list: usize) -> Layout {
    match Layout::from_size_align(size(list), ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a small size"),
    }
}

fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither an operation nor a block has size zero.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Memory for a `T`, whose size is not zero.
#[inline]
pub fn take<T>() -> NonNull<T> {
    const { assert!(size_of::<T>() != 0, "there is nothing to store") };
    let layout = const { Layout::new::<T>() };
    let Some(index) = (const { list_of(Layout::new::<T>()) }) else { return fresh(layout).cast() };
    let kept = LISTS.try_with(|lists| {
        let list = lists.lists[index].get();
        let block = NonNull::new(list.head)?;
        // SAFETY: a block on the list is this thread's alone and holds the link.
        let next = unsafe { block.as_ref() }.next;
        lists.lists[index].set(List { head: next, length: list.length - 1 });
        Some(block)
    });
    match kept {
        Ok(Some(block)) => block.cast(),
        // None is left, or the thread is about to end and keeps none any more.
        _ => fresh(block(index)).cast(),
    }
}

/// Gives memory back.
///
/// # Safety
///
/// `memory` came from [`take`] of the same type, on any thread; it holds no value and is not used again.
#[inline]
pub unsafe fn give<T>(memory: NonNull<T>) {
    let Some(index) = (const { list_of(Layout::new::<T>()) }) else {
        // SAFETY: `take` got it from the allocator by this layout.
        return unsafe { dealloc(memory.as_ptr().cast(), Layout::new::<T>()) };
    };
    let kept = LISTS.try_with(|lists| {
        let list = lists.lists[index].get();
        if list.length == KEPT_MAX {
            return false;
        }
        let idle = memory.cast::<Idle>();
        // SAFETY: the block is the caller's, unused, and large enough for a link.
        unsafe { idle.write(Idle { next: list.head }) };
        lists.lists[index].set(List { head: idle.as_ptr(), length: list.length + 1 });
        true
    });
    if !kept.unwrap_or(false) {
        // SAFETY: `take` got it from the allocator by the layout of its list.
        unsafe { dealloc(memory.as_ptr().cast(), block(index)) };
    }
}

/// A box for what few operations have, empty.
pub(super) fn take_extras() -> Box<Extras> {
    LISTS.try_with(|lists| lists.extras.try_borrow_mut().ok()?.pop()).ok().flatten().unwrap_or_default()
}

/// Gives it back.
pub(super) fn give_extras(mut extras: Box<Extras>) {
    *extras = Extras::default();
    let _ = LISTS.try_with(|lists| {
        if let Ok(mut kept) = lists.extras.try_borrow_mut() {
            if kept.len() < KEPT_MAX as usize {
                kept.push(extras);
            }
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_last_is_taken_first_by_types_of_about_that_size() {
        let first = take::<[u64; 22]>();
        // SAFETY: just taken.
        unsafe { give(first) };
        let second = take::<[u64; 23]>(); // 176 and 184 bytes: both 184
        assert_eq!(first.addr(), second.addr());
        // SAFETY: just taken.
        unsafe { give(second) };
    }

    #[test]
    fn large_and_aligned_types_come_from_the_allocator() {
        #[repr(align(128))]
        struct Aligned(#[allow(dead_code)] [u8; 128]); // for its layout alone
        assert_eq!(list_of(Layout::new::<Aligned>()), None);
        assert_eq!(list_of(Layout::new::<[u8; 1017]>()), None);
        assert_eq!(list_of(Layout::new::<[u8; 1016]>()), Some(63));
        assert_eq!(list_of(Layout::new::<u8>()), Some(0));
        assert_eq!(list_of(Layout::new::<[u8; 9]>()), Some(1));
        let memory = take::<Aligned>();
        assert_eq!(memory.addr().get() % 128, 0);
        // SAFETY: just taken.
        unsafe { give(memory) };
    }

    #[test]
    fn a_thread_takes_back_what_another_one_took() {
        let address = std::thread::spawn(|| take::<[u64; 100]>().as_ptr().expose_provenance()).join().unwrap();
        let memory = NonNull::new(ptr::with_exposed_provenance_mut::<[u64; 100]>(address)).unwrap();
        // SAFETY: taken by the other thread, which has ended.
        unsafe { give(memory) };
        assert_eq!(take::<[u64; 100]>().addr(), memory.addr());
        // SAFETY: just taken.
        unsafe { give(memory) };
    }
}

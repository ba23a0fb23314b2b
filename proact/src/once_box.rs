//! A box that is made when it is first asked for: what few values of a type have, at the price of one word in the
//! others.

use std::marker::PhantomData;
use std::ptr;

use crate::atomic::{AtomicPtr, Ordering};

/// Empty, or for ever the box that was put in first. The pointer is null, or came from `Box::into_raw` and is this
/// value's.
pub(crate) struct OnceBox<T> {
    place: AtomicPtr<T>,
    /// It owns a `T`, and gives it out by shared reference.
    _owns: PhantomData<Box<T>>,
}

// SAFETY: as `OnceLock<Box<T>>`: a shared one takes a `T` from any thread and shows it to any.
unsafe impl<T: Send + Sync> Sync for OnceBox<T> {}

impl<T> OnceBox<T> {
    pub(crate) fn new(first: Option<Box<T>>) -> OnceBox<T> {
        OnceBox { place: AtomicPtr::new(first.map_or(ptr::null_mut(), Box::into_raw)), _owns: PhantomData }
    }

    /// What is in it.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: see the type; it is freed by `drop` alone. Acquire: what made it comes before.
        unsafe { self.place.load(Ordering::Acquire).as_ref() }
    }

    /// What is in it, made now if nothing is. Of several threads that make one, one wins.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(there) = self.get() {
            return there;
        }
        let made = Box::into_raw(Box::new(make()));
        match self.place.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as in `get`.
            Ok(_) => unsafe { &*made },
            Err(there) => {
                // SAFETY: just made, and nobody was shown it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: not null, or the exchange would have succeeded; otherwise as in `get`.
                unsafe { &*there }
            }
        }
    }
}

impl<T> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let there = self.place.load(Ordering::Relaxed);
        if !there.is_null() {
            // SAFETY: see the type; nobody has a reference to a value that is dropped.
            drop(unsafe { Box::from_raw(there) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn everyone_gets_the_box_that_was_put_in_first_and_all_are_freed() {
        let counted = Arc::new(AtomicUsize::new(0));
        let once = OnceBox::new(None);
        assert!(once.get().is_none());
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let made = once.get_or_make(|| (counted.fetch_add(1, Ordering::Relaxed), counted.clone()));
                        (made.0, ptr::from_ref(made).addr())
                    })
                })
                .collect();
            let all: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        });
        assert_eq!(Arc::strong_count(&counted), 2, "what lost was dropped");
        drop(once);
        assert_eq!(Arc::strong_count(&counted), 1);
        assert!(OnceBox::new(Some(Box::new(7))).get().is_some_and(|seven| *seven == 7));
    }
}

//! Cells and memory that the models watch: in `proact` and in `proact-async`, which brings each of them under the name
//! that its own `atomic` has for it.

#[cfg(loom)]
pub use self::modelled::Presence;
#[cfg(not(loom))]
pub use self::plain::{Presence, UnsafeCell};
#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// What the models watch, without them: nothing beside the value.
#[cfg(not(loom))]
mod plain {
    /// A cell whose accesses the models watch: it fails one in which two accesses meet that nothing orders.
    #[repr(transparent)]
    pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline(always)]
        pub const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        /// Lends the value to be read.
        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Lends the value to be written.
        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// That counted memory is there: the models fail if it goes while a use of it may still come.
    pub struct Presence;

    impl Presence {
        #[allow(clippy::new_without_default)] // as in the models, where it cannot be derived
        #[inline(always)]
        pub const fn new() -> Presence {
            Presence
        }

        /// The memory is used by one of those who count.
        #[inline(always)]
        pub fn used(&self) {}

        /// It is about to be freed.
        #[inline(always)]
        pub fn gone(&self) {}
    }
}

/// What stands for it in the models.
#[cfg(loom)]
mod modelled {
    pub struct Presence(loom::cell::UnsafeCell<()>);

    impl Presence {
        pub fn new() -> Presence {
            Presence(loom::cell::UnsafeCell::new(()))
        }

        pub fn used(&self) {
            self.0.with(|_| ());
        }

        pub fn gone(&self) {
            self.0.with_mut(|_| ());
        }
    }
}

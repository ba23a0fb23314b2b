//! Names that the program gives to what has a descriptor.

use super::{File, Pollable, Process, Socket, Stream, Watcher};

/// Lets a type that has a [`Resource`](super::Resource) be named.
macro_rules! named {
    ($($type:ident)*) => {$(
        impl $type {
            /// Gives it a name, for people: failures of operations on it tell it, and `{:?}` shows it. All handles to
            /// it share the name; a later one replaces it. What has no name pays nothing for that.
            #[must_use]
            pub fn named(self, name: impl Into<std::sync::Arc<str>>) -> $type {
                self.resource().set_name(name.into());
                self
            }

            /// The name that it was given.
            pub fn name(&self) -> Option<std::sync::Arc<str>> {
                self.resource().name()
            }
        }
    )*};
}
pub(crate) use named;

named!(File Pollable Process Socket Stream Watcher);

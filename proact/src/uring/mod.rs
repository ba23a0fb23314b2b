//! The ring itself.

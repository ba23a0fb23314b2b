//! Calls on loops.

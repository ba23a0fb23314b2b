//! The readiness backends.

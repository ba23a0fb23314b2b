//! Conformance suite of proact.

#[cfg(target_os = "linux")]
pub mod restriction;

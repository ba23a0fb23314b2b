//! Conformance suite of proact.

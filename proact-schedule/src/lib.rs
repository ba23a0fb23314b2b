//! A causal scheduler on proact's frontiers: whole pipelines over queues, devices and machines are submitted before any
//! of their work has run; waits that are already implied are skipped, and memory is reused at the price of one
//! comparison.

#![forbid(unsafe_code)]

pub mod remote;

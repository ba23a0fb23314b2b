//! Memory that I/O may touch while its owner cannot.

mod buffer;

pub use buffer::{Part, StableBytes, StableBytesMut};

//! Worker threads for requests that would block.

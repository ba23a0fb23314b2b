//! How arguments and results lie in memory: convention strings, their layout, and what is packed by them.
//!
//! A convention is `0`, the letters of the arguments, and behind `_` those of the results: `0iI_r` takes an i32 and an
//! i64 and answers a reference.
//!
//! | letter | what | bytes | aligned to |
//! |---|---|---|---|
//! | `v` | nothing | 0 | 1 |
//! | `i`, `f` | i32, f32 | 4 | 4 |
//! | `I`, `F` | i64, f64 | 8 | 8 |
//! | `r` | a reference or null | 16 | 8 |
//! | `C`...`D` | a span: how many, then so many tuples of what is between | 4, then theirs | 4, then their largest |
//!
//! Members stand at their own alignment, the whole is padded to the largest; tuples of a span are not padded.

mod host;
mod layout;
mod packed;
mod parse;
mod typed;

pub(crate) use host::{pack, unpack};
pub use packed::{Packed, Reader};
pub use parse::{Convention, Fragment, Item, Letter};
pub use typed::{Argument, Arguments, Element, Results};

#[cfg(test)]
mod tests;

//! How a function's state becomes arguments and results, and the reverse: the same for the model, Rust functions, and
//! programs. What a function works with is a number and a reference, however they are passed.

use crate::graph::Shape;

/// What a function begins with.
#[derive(Clone, Debug)]
pub struct Given<R> {
    /// Which run it is, and how deep the call: `run * DEPTHS + depth`.
    pub at: i32,
    pub sum: i64,
    /// The reference that it was given, if its shape has one: that may be null.
    pub kept: Option<Option<R>>,
}

/// Depths of a run.
pub const DEPTHS: i32 = 64;

/// What a null reference counts as.
pub const NULL: i64 = 0;

pub fn small(sum: i64) -> f32 {
    (sum % 1000) as f32
}

pub fn half(sum: i64) -> f64 {
    (sum % 1_000_000) as f64 * 0.5
}

/// Whether the second reference is the first one, or null.
pub fn is_twice(sum: i64) -> bool {
    sum % 2 == 0
}

pub fn numbers_given(a: i32, b: f32, c: f64) -> i64 {
    i64::from(a).wrapping_add(b as i64 * 3).wrapping_add((c * 2.0) as i64 * 5)
}

pub fn numbers_taken(a: f64, b: i64, c: f32) -> i64 {
    b.wrapping_add((a * 2.0) as i64).wrapping_add(c as i64 * 7)
}

pub fn mixed_given(sum: i64, kept: i64) -> i64 {
    sum.wrapping_add(kept)
}

pub fn mixed_taken(sum: i64, reference: i64) -> i64 {
    sum.wrapping_mul(3).wrapping_add(reference)
}

pub fn references_given(first: i64, second: i64) -> i64 {
    first.wrapping_mul(7).wrapping_add(second)
}

/// The two spans of [`Shape::Spans`]: numbers, and tuples without their references.
pub fn spans(sum: i64) -> (Vec<i64>, Vec<(i32, f64)>) {
    let numbers = (0..sum.rem_euclid(4)).map(|index| sum.wrapping_add(index)).collect();
    let tuples = (0..sum.rem_euclid(3)).map(|index| (index as i32, f64::from(small(sum)))).collect();
    (numbers, tuples)
}

pub fn spans_given(numbers: &[i64], tuples: impl IntoIterator<Item = (i32, i64, f64)>) -> i64 {
    let numbers = numbers.iter().zip(1..).map(|(number, place)| number.wrapping_mul(place));
    let tuples = tuples.into_iter().map(|(a, reference, c)| i64::from(a).wrapping_add(reference) + c as i64);
    numbers.chain(tuples).fold(0, i64::wrapping_add)
}

pub fn spans_taken(a: i32, b: i64) -> i64 {
    b.wrapping_add(i64::from(a))
}

pub fn bytes_result(sum: i64) -> i32 {
    (sum & 0x7fff_ffff) as i32
}

pub fn bytes_taken(result: i32, written: i64) -> i64 {
    written.wrapping_add(i64::from(result))
}

pub const NOTHING_GIVEN: i64 = 17;
pub const NOTHING_TAKEN: i64 = 1;

/// Which reference a function answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    Kept,
    /// A new one, of its sum.
    Fresh,
    Null,
}

pub fn answered(sum: i64) -> Answered {
    match sum.rem_euclid(3) {
        0 => Answered::Kept,
        1 => Answered::Fresh,
        _ => Answered::Null,
    }
}

// What acts do with the sum.

pub fn called(sum: i64, taken: i64) -> i64 {
    sum.wrapping_mul(3).wrapping_add(taken)
}

pub fn call_failed(sum: i64, code: i32) -> i64 {
    sum.wrapping_mul(3).wrapping_sub(i64::from(code))
}

pub fn waited(sum: i64, index: i64) -> i64 {
    sum.wrapping_mul(5).wrapping_add(index)
}

/// What a function sees of the backtrace of a failure that it handles: the functions' names by their lengths.
pub fn frames<'a>(functions: impl IntoIterator<Item = &'a str>) -> i64 {
    functions.into_iter().fold(0, |sum, name| (sum * 31 + name.len() as i64) % 1_000_003)
}

/// Also of a program that is told: then with what it can see of the words.
pub fn wait_failed(sum: i64, code: i32) -> i64 {
    waited(sum, -i64::from(code))
}

/// What a program sees of the words of a failure: the first eight bytes, which have no number of a call among them.
pub fn words(text: &str) -> i64 {
    let first: [u8; 8] = text.as_bytes()[..8].try_into().unwrap();
    (u64::from_le_bytes(first) % 1_000_003) as i64
}

pub fn awaited(sum: i64, times: u32) -> i64 {
    sum.wrapping_mul(11).wrapping_add(i64::from(times))
}

impl Shape {
    pub fn convention(self) -> &'static str {
        match self {
            Shape::Mixed => "0iIr_Ir",
            Shape::Numbers => "0iifF_FIf",
            Shape::References => "0irr_r",
            Shape::Spans => "0iCIDCirFD_iI",
            Shape::Nothing => "0i",
            Shape::Bytes => "0ir_i",
        }
    }
}

//! What a plain function has worked through, for a few numbers that it was given: so that a program which asks for it
//! pays in fuel, and sees its time slice end. Functions that stop on their way are stopped by other means.

/// Bytes that one unit of fuel copies or sets: as many as within the program itself.
#[cfg(feature = "wasm")]
const BYTES_A_UNIT: u64 = 64;

#[cfg(feature = "wasm")]
thread_local! {
    /// Of the function that runs, in units of fuel.
    static DONE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// What working through `bytes` costs.
#[cfg(feature = "wasm")]
pub(crate) const fn of_bytes(bytes: usize) -> u64 {
    bytes as u64 / BYTES_A_UNIT
}

/// The function that runs on this thread has worked through so many bytes.
#[inline]
pub(crate) fn did(bytes: usize) {
    #[cfg(feature = "wasm")]
    DONE.set(DONE.get().saturating_add(of_bytes(bytes)));
    #[cfg(not(feature = "wasm"))]
    let _ = bytes;
}

/// Runs a function that comes to its end; answers what it did besides.
#[cfg(feature = "wasm")]
pub(crate) fn during<R>(run: impl FnOnce() -> R) -> (R, u64) {
    DONE.set(0);
    let result = run();
    (result, DONE.take())
}

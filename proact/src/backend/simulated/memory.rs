//! Between requests, which are pointers, and the world, which has none: the one room of the simulation that touches a
//! program's memory. It does so on the poll thread, inside [`start`](crate::backend::Backend::start) and
//! [`poll`](crate::backend::Backend::poll), before a request's completion is returned.

use std::ffi::{CStr, c_char};

use crate::backend::{IoSlice, RawMessage, SLICES_MAX, TRANSFER_MAX};

/// Bytes that are to be sent or written.
///
/// # Safety
///
/// `length` bytes at `pointer` may be read.
pub(super) unsafe fn bytes_at(pointer: *const u8, length: usize) -> Vec<u8> {
    let length = length.min(TRANSFER_MAX);
    let mut bytes = vec![0; length];
    // SAFETY: the caller's promise, and a vector of that many bytes; another process may write there meanwhile, which a
    // copy by pointers allows.
    unsafe { std::ptr::copy_nonoverlapping(pointer, bytes.as_mut_ptr(), length) };
    bytes
}

/// Puts bytes where they were asked for.
///
/// # Safety
///
/// As many bytes at `pointer` may be written.
pub(super) unsafe fn put(bytes: &[u8], pointer: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len()) };
}

/// Bytes that are to be gathered from pieces.
///
/// # Safety
///
/// `count` slices lie at `slices`, and each may be read.
pub(super) unsafe fn gather(slices: *const IoSlice, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..count.min(SLICES_MAX) {
        // SAFETY: the caller's promise.
        unsafe {
            let slice = *slices.add(index);
            if slice.length > 0 {
                bytes.extend(bytes_at(slice.base, slice.length));
            }
        }
    }
    bytes
}

/// Scatters bytes over pieces: how many found room.
///
/// # Safety
///
/// `count` slices lie at `slices`, and each may be written.
pub(super) unsafe fn scatter(mut bytes: &[u8], slices: *const IoSlice, count: usize) -> usize {
    let before = bytes.len();
    for index in 0..count.min(SLICES_MAX) {
        // SAFETY: the caller's promise.
        unsafe {
            let slice = *slices.add(index);
            let (now, later) = bytes.split_at(slice.length.min(bytes.len()));
            if !now.is_empty() {
                put(now, slice.base);
            }
            bytes = later;
        }
    }
    before - bytes.len()
}

/// Room in pieces.
///
/// # Safety
///
/// `count` slices lie at `slices`.
pub(super) unsafe fn room(slices: *const IoSlice, count: usize) -> usize {
    // SAFETY: the caller's promise.
    (0..count.min(SLICES_MAX)).map(|index| unsafe { (*slices.add(index)).length }).sum()
}

/// A path.
///
/// # Safety
///
/// `path` ends with a NUL byte.
pub(super) unsafe fn path_at(path: *const c_char) -> Vec<u8> {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(path) }.to_bytes().to_vec()
}

/// The bytes of a message to send, and whether it says to whom and has control messages.
///
/// # Safety
///
/// `message` and what it points to may be read.
pub(super) unsafe fn message_at(message: *const RawMessage) -> (Vec<u8>, Option<crate::backend::RawAddress>, bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let message = &*message;
        let to = (message.address.length > 0).then_some(message.address);
        let has_control = !message.control.is_null() && message.control_length > 0;
        (gather(message.slices, message.count), to, has_control)
    }
}

//! One try of one request on a socket, pipe or event.

use std::sync::Arc;

use super::address::Name;
use super::errno::{EAGAIN, EBADF, EFAULT, EMSGSIZE, ENOBUFS, ENOTSOCK, EOPNOTSUPP};
use super::memory::{bytes_at, message_at, put, room, scatter};
use super::state::{Body, State};
use crate::backend::{
    BufferSource, DATAGRAM_ADDRESS_ROOM, DATAGRAM_HEADER, Descriptor, RawAddress, RawBuffer, RawMessage, Request,
    TRANSFER_MAX, WaitRequest, flags,
};

/// The flag that says that a datagram was longer than its room, as the platform has it.
#[cfg(unix)]
const TRUNCATED: i32 = libc::MSG_TRUNC;
#[cfg(not(unix))]
const TRUNCATED: i32 = 0x20;

/// What a request works on, and whether it stands with those that write. `None`: no such request is simulated.
pub(super) fn side_of(request: &Request) -> Option<(Descriptor, bool)> {
    match *request {
        Request::EventWait { event } | Request::Wait(WaitRequest::EventWaitMany { event }) => Some((event, false)),
        Request::EventSet { event } => Some((event, true)),
        Request::Accept { listener, .. } => Some((listener, false)),
        Request::Connect { socket, .. } => Some((socket, true)),
        Request::Receive { socket, .. }
        | Request::ReceivePooled { socket, .. }
        | Request::ReceiveMessagePooled { socket, .. }
        | Request::ReceiveMessage { socket, .. } => Some((socket, false)),
        Request::Send { socket, .. } | Request::SendMessage { socket, .. } => Some((socket, true)),
        Request::Wait(WaitRequest::ReadStream { stream, .. }) => Some((stream, false)),
        Request::Wait(WaitRequest::WriteStream { stream, .. }) => Some((stream, true)),
        _ => None,
    }
}

impl State {
    pub(super) fn set_event(&mut self, object: u32, value: u64) -> Result<(), i32> {
        let Body::Event(count) = self.body(object)? else { return Err(EBADF) };
        *count = count.saturating_add(value);
        self.mark(object);
        Ok(())
    }

    /// Resets an event that is set.
    pub(super) fn take_event(&mut self, object: u32) -> Result<u64, i32> {
        match self.body(object)? {
            Body::Event(0) => Err(EAGAIN),
            Body::Event(count) => Ok(std::mem::take(count)),
            _ => Err(EBADF),
        }
    }

    fn is_datagram(&mut self, object: u32) -> Result<bool, i32> {
        match self.body(object)? {
            Body::Datagram(_) => Ok(true),
            Body::Stream(_) => Ok(false),
            _ => Err(ENOTSOCK),
        }
    }
}

/// Tries a request once: its result and flags. `EAGAIN`: it would wait. `first`: it was not tried before.
///
/// # Safety
///
/// The request's pointers are valid, and the memory exclusively the backend's.
pub(super) unsafe fn attempt(
    state: &mut State,
    object: u32,
    request: &Request,
    first: bool,
) -> Result<(i32, u32), i32> {
    // SAFETY (of every unsafe block below): the caller's promise.
    let count = match *request {
        Request::EventWait { .. } | Request::Wait(WaitRequest::EventWaitMany { .. }) => {
            state.take_event(object)?;
            0
        }
        Request::EventSet { .. } => {
            state.set_event(object, 1)?;
            0
        }
        Request::Accept { peer, .. } => {
            let (accepted, name) = state.accept(object)?;
            if !peer.is_null() {
                // SAFETY: as said above.
                unsafe { peer.write(name.to_raw()) };
            }
            return Ok((accepted, 0));
        }
        Request::Connect { address, .. } => {
            if first {
                // SAFETY: as said above.
                let to = Name::from_raw(unsafe { &*address })?;
                if state.is_datagram(object)? {
                    state.connect_datagram(object, &to)?;
                    return Ok((0, 0));
                }
                state.connect(object, &to)?;
            }
            state.connecting(object)?;
            0
        }
        Request::Receive { buffer, length, .. } => {
            let length = length.min(TRANSFER_MAX);
            let mut bytes = match state.is_datagram(object)? {
                true => state.receive_datagram(object)?.1,
                false => state.receive_stream(object, length)?,
            };
            bytes.truncate(length);
            // SAFETY: as said above; no more than `length` bytes.
            unsafe { put(&bytes, buffer) };
            bytes.len()
        }
        Request::Send { buffer, length, .. } => {
            let is_datagram = state.is_datagram(object)?;
            let fits = if is_datagram { length } else { length.min(state.sendable(object)?) };
            // SAFETY: as said above.
            let bytes = unsafe { bytes_at(buffer, fits) };
            match is_datagram {
                true => state.send_datagram(object, None, &bytes)?,
                false if fits == 0 && length > 0 => return Err(EAGAIN),
                false => state.send_stream(object, &bytes)?,
            }
        }
        Request::SendMessage { message, .. } => {
            // SAFETY: as said above.
            let (bytes, to, has_control) = unsafe { message_at(message) };
            if has_control {
                return Err(EOPNOTSUPP);
            }
            match state.is_datagram(object)? {
                true => {
                    let to = to.map(|to| Name::from_raw(&to)).transpose()?;
                    state.send_datagram(object, to, &bytes)?
                }
                false => state.send_stream(object, &bytes)?,
            }
        }
        // SAFETY: the caller's promise, passed on.
        Request::ReceiveMessage { message, .. } => unsafe { receive_message(state, object, message)? },
        Request::ReceivePooled { source, .. } => {
            // SAFETY: as said above.
            let source = unsafe { &*source };
            // SAFETY: the buffer is this call's, and so long.
            return pooled(source, |buffer| unsafe {
                let length = buffer.length as usize;
                let mut bytes = match state.is_datagram(object)? {
                    true => state.receive_datagram(object)?.1,
                    false => state.receive_stream(object, length)?,
                };
                bytes.truncate(length);
                put(&bytes, buffer.pointer);
                Ok(bytes.len())
            });
        }
        Request::ReceiveMessagePooled { source, control_room, .. } => {
            // SAFETY: as said above.
            let source = unsafe { &*source };
            // SAFETY: the buffer is this call's.
            return pooled(source, |buffer| unsafe { receive_laid_out(state, object, control_room, buffer) });
        }
        Request::Wait(WaitRequest::ReadStream { buffer, length, .. }) => {
            let bytes = state.read_pipe(object, length.min(TRANSFER_MAX))?;
            // SAFETY: as said above; no more than `length` bytes.
            unsafe { put(&bytes, buffer) };
            bytes.len()
        }
        Request::Wait(WaitRequest::WriteStream { buffer, length, .. }) => {
            // SAFETY: as said above.
            let bytes = unsafe { bytes_at(buffer, length) };
            state.write_pipe(object, &bytes)?
        }
        _ => return Err(EOPNOTSUPP),
    };
    Ok((count as i32, 0))
}

/// # Safety
///
/// As for [`attempt`].
unsafe fn receive_message(state: &mut State, object: u32, message: *mut RawMessage) -> Result<usize, i32> {
    // SAFETY: the caller's promise.
    let message = unsafe { &mut *message };
    // SAFETY: the caller's promise.
    let length = unsafe { room(message.slices, message.count) };
    let (from, bytes) = match state.is_datagram(object)? {
        true => state.receive_datagram(object)?,
        false => (Name::Unnamed, state.receive_stream(object, length.min(TRANSFER_MAX))?),
    };
    message.address = if from == Name::Unnamed { RawAddress::EMPTY } else { from.to_raw() };
    message.control_length = 0;
    // SAFETY: the caller's promise.
    let count = unsafe { scatter(&bytes, message.slices, message.count) };
    message.flags = if count < bytes.len() { TRUNCATED } else { 0 };
    Ok(count)
}

/// Receives into a buffer that is taken from a pool for as long as there is something to put into it.
fn pooled(
    source: &Arc<dyn BufferSource>,
    receive: impl FnOnce(RawBuffer) -> Result<usize, i32>,
) -> Result<(i32, u32), i32> {
    let buffer = source.take().ok_or(ENOBUFS)?;
    match receive(buffer) {
        Ok(count) => Ok((count as i32, flags::BUFFER | buffer.index << flags::BUFFER_SHIFT)),
        Err(error) => {
            // SAFETY: taken above, and named by no completion.
            unsafe { source.put(buffer.index) };
            Err(error)
        }
    }
}

/// Receives a datagram as [`Request::ReceiveMessagePooled`] lays it out.
///
/// # Safety
///
/// The buffer is the caller's.
unsafe fn receive_laid_out(state: &mut State, object: u32, control_room: u32, buffer: RawBuffer) -> Result<usize, i32> {
    let before = DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM + control_room as usize;
    let Some(room) = (buffer.length as usize).checked_sub(before) else { return Err(EFAULT) };
    if !state.is_datagram(object)? {
        return Err(EMSGSIZE);
    }
    let (from, bytes) = state.receive_datagram(object)?;
    let address = if from == Name::Unnamed { RawAddress::EMPTY } else { from.to_raw() };
    let kept = bytes.len().min(room);
    let flags = if kept < bytes.len() { TRUNCATED } else { 0 };
    let words = [address.length, 0, bytes.len() as u32, flags as u32].map(u32::to_ne_bytes);
    // SAFETY: all parts lie within the buffer, one behind the other.
    unsafe {
        put(words.as_flattened(), buffer.pointer);
        put(&address.bytes, buffer.pointer.add(DATAGRAM_HEADER));
        put(&bytes[..kept], buffer.pointer.add(before));
    }
    Ok(before + kept)
}

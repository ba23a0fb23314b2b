//! Registered descriptors: references of the ring's own, which save a request the counting of one.
//!
//! They stand beside the real descriptor, never in its place: a step of a chain, and whatever is tried again, goes by
//! number, since the kernel looks a place up only when it comes to the request. A request names its place as a hint:
//! whether that is still its descriptor's is looked up here when the request goes into the ring.

use std::sync::Arc;

use crate::backend::{BufferOwner, Descriptor, Request, registration};
use crate::uring::Ring;

/// Places of the table. Each costs the kernel a few bytes.
const PLACES: u32 = 4096;

/// The table, made with the first descriptor that is registered.
#[derive(Default)]
pub(super) struct Descriptors {
    known: Vec<Known>,
    /// Empty places; none before there is a table.
    free: Vec<u32>,
    /// The descriptor in each place, -1 for none. Empty before there is a table.
    places: Vec<i32>,
}

struct Known {
    fd: i32,
    index: Option<u32>,
    owner: Arc<dyn BufferOwner>,
    proactor: u32,
}

impl Descriptors {
    /// Registers `descriptor`, which stays open as long as `owner` is kept. `table`: with the kernel too. The answer is
    /// the request's result.
    pub(super) fn register(
        &mut self,
        ring: &Ring,
        table: bool,
        descriptor: Descriptor,
        owner: &Arc<dyn BufferOwner>,
        proactor: u32,
    ) -> i32 {
        let fd = descriptor.fd();
        if self.known.iter().any(|known| known.fd == fd) {
            return -libc::EEXIST;
        }
        let index = if table { self.place(ring, fd) } else { Ok(None) };
        let index = match index {
            Ok(index) => index,
            Err(errno) => return -errno,
        };
        self.known.push(Known { fd, index, owner: owner.clone(), proactor });
        index.map_or(registration::NOTED, |index| index as i32)
    }

    /// `None`: the kernel, or a filter before it, will have no table.
    fn place(&mut self, ring: &Ring, fd: i32) -> Result<Option<u32>, i32> {
        if self.places.is_empty() {
            if ring.register_file_table(PLACES).is_err() {
                return Ok(None);
            }
            self.places = vec![-1; PLACES as usize];
            self.free = (0..PLACES).rev().collect();
        }
        let index = self.free.pop().ok_or(libc::ENOBUFS)?;
        match ring.set_file(index, fd) {
            Ok(()) => {
                self.places[index as usize] = fd;
                Ok(Some(index))
            }
            Err(errno) => {
                self.free.push(index);
                Err(errno)
            }
        }
    }

    /// Whether anything is registered.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Gives a descriptor up. No request in the ring that is not yet handed over names its place. The answer is the
    /// request's result.
    pub(super) fn unregister(&mut self, ring: &Ring, descriptor: Descriptor) -> i32 {
        let Some(at) = self.known.iter().position(|known| known.fd == descriptor.fd()) else { return -libc::ENOENT };
        let known = self.known.swap_remove(at);
        if let Some(index) = known.index {
            self.places[index as usize] = -1;
            // A place that cannot be emptied is not used again.
            if ring.set_file(index, -1).is_ok() {
                self.free.push(index);
            }
        }
        known.owner.unregistered(known.proactor);
        0
    }

    /// The place of the descriptor that a request works on, where the kernel may go by it.
    #[inline]
    pub(super) fn place_of(&self, request: &Request) -> Option<u32> {
        let descriptor = descriptor_of(request)?;
        let place = descriptor.place()?;
        // One that was given up may not have been told yet, and be another's by now.
        (self.places.get(place as usize) == Some(&descriptor.fd())).then_some(place)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        for known in &self.known {
            known.owner.unregistered(known.proactor);
        }
    }
}

/// The descriptor that a request works on, of those that may go by a place.
#[inline]
fn descriptor_of(request: &Request) -> Option<Descriptor> {
    match *request {
        Request::Receive { socket, .. }
        | Request::Send { socket, .. }
        | Request::SendMessage { socket, .. }
        | Request::ReceiveMessage { socket, .. }
        | Request::ReceivePooled { socket, .. }
        | Request::ReceiveMessagePooled { socket, .. } => Some(socket),
        Request::Read { file, .. } | Request::Write { file, .. } | Request::Sync { file, .. } => Some(file),
        Request::Accept { listener, .. } => Some(listener),
        _ => None,
    }
}

//! Several buffers as one message: what the kernel gathers from, and scatters to.

use crate::backend::{IoSlice, RawMessage, SLICES_MAX};
use crate::memory::{Access, StableBytes, StableBytesMut};
use crate::resource::Address;
use crate::status::{Code, Operation, Result, Status};

/// One buffer, or a vector of them: what a message is gathered from. Empty ones are allowed.
///
/// ```
/// fn is_message<B: proact::operation::Buffers>(_: B) {}
/// is_message(vec![1u8, 2, 3]);
/// is_message(vec![vec![1u8], vec![2, 3]]);
/// ```
pub trait Buffers: private::Each + 'static {}

/// One buffer, or a vector of them, to receive into: each is filled before the next.
pub trait BuffersMut: Buffers + private::EachMut {}

mod private {
    use crate::memory::Access;

    pub trait Each {
        /// What I/O may do with all of them.
        fn access(&self) -> Access;
        fn each(&self, f: &mut dyn FnMut(*const u8, usize));
    }

    pub trait EachMut {
        fn each_mut(&mut self, f: &mut dyn FnMut(*mut u8, usize));
    }
}

impl<B: StableBytes> private::Each for B {
    fn access(&self) -> Access {
        StableBytes::access(self)
    }
    fn each(&self, f: &mut dyn FnMut(*const u8, usize)) {
        f(self.as_ptr(), self.len());
    }
}

impl<B: StableBytesMut> private::EachMut for B {
    fn each_mut(&mut self, f: &mut dyn FnMut(*mut u8, usize)) {
        let length = self.len();
        f(self.as_mut_ptr(), length);
    }
}

impl<B: StableBytes> private::Each for Vec<B> {
    fn access(&self) -> Access {
        self.iter().fold(Access::all(), |access, buffer| access & buffer.access())
    }
    fn each(&self, f: &mut dyn FnMut(*const u8, usize)) {
        self.iter().for_each(|buffer| f(buffer.as_ptr(), buffer.len()));
    }
}

impl<B: StableBytesMut> private::EachMut for Vec<B> {
    fn each_mut(&mut self, f: &mut dyn FnMut(*mut u8, usize)) {
        self.iter_mut().for_each(|buffer| {
            let length = buffer.len();
            f(buffer.as_mut_ptr(), length);
        });
    }
}

impl<B: private::Each + 'static> Buffers for B {}
impl<B: Buffers + private::EachMut> BuffersMut for B {}

/// A message as the backend is given it, with what it points to.
///
/// The list of slices is made when the operation is submitted, into room that was made with it; from then on a part of
/// it is shown, which begins where what is done ends, and nothing is allocated. What most messages have, one slice and
/// the control message of a datagram, needs no allocation at all.
#[derive(Debug, Default)]
pub(super) struct Message {
    raw: Raw,
    slices: Slices,
    /// Bytes in all slices.
    length: usize,
    /// What I/O may do with all buffers.
    access: Access,
    /// The first slice that is shown, how many bytes lie before it, and how many of its own are left out.
    at: usize,
    before: usize,
    shift: usize,
    /// Control messages: what is sent, or room for what comes. In words, so that they are aligned.
    control: Control,
    control_length: usize,
}

/// One slice lies here, several in a vector.
#[derive(Debug, Default)]
struct Slices {
    one: Option<IoSlice>,
    several: Vec<IoSlice>,
}

impl Slices {
    fn clear(&mut self) {
        self.one = None;
        self.several.clear();
    }

    fn push(&mut self, slice: IoSlice) {
        match self.one.take() {
            None if self.several.is_empty() => self.one = Some(slice),
            first => {
                self.several.extend(first);
                self.several.push(slice);
            }
        }
    }
}

impl std::ops::Deref for Slices {
    type Target = [IoSlice];

    fn deref(&self) -> &[IoSlice] {
        if self.one.is_some() { self.one.as_slice() } else { &self.several }
    }
}

impl std::ops::DerefMut for Slices {
    fn deref_mut(&mut self) -> &mut [IoSlice] {
        if self.one.is_some() { self.one.as_mut_slice() } else { &mut self.several }
    }
}

/// Words of control messages that need no vector: those of one whose payload is a word or less.
const CONTROL_WORDS: usize = 3;

/// Few words lie here, many in a vector.
#[derive(Debug)]
enum Control {
    Few([u64; CONTROL_WORDS]),
    Many(Vec<u64>),
}

impl Default for Control {
    fn default() -> Control {
        Control::Few([0; CONTROL_WORDS])
    }
}

impl Control {
    /// Room for so many bytes, of zeros.
    fn of(bytes: usize) -> Control {
        match bytes.div_ceil(8) {
            ..=CONTROL_WORDS => Control::default(),
            words => Control::Many(vec![0; words]),
        }
    }

    fn words(&mut self) -> &mut [u64] {
        match self {
            Control::Few(words) => words,
            Control::Many(words) => words,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Control::Few(_) => CONTROL_WORDS * 8,
            Control::Many(words) => words.len() * 8,
        }
    }
}

#[derive(Debug)]
struct Raw(RawMessage);

impl Default for Raw {
    fn default() -> Raw {
        Raw(RawMessage::EMPTY)
    }
}

/// As much room, and nothing of what the first one points to.
impl Clone for Message {
    fn clone(&self) -> Message {
        Message::new(self.slices.several.capacity(), self.control.bytes())
    }
}

// SAFETY: its pointers are made anew by each submit and request, of buffers that the operation owns beside it, and only
// the backend follows them, while the operation is in flight.
unsafe impl Send for Message {}
// SAFETY: as above; nothing can be reached through a shared reference to it.
unsafe impl Sync for Message {}

impl Message {
    /// With room for slices of so many buffers, and for so many bytes of control messages.
    pub(super) fn new(buffers: usize, control: usize) -> Message {
        let several = if buffers > 1 { Vec::with_capacity(buffers) } else { Vec::new() };
        Message { slices: Slices { one: None, several }, control: Control::of(control), ..Message::default() }
    }

    /// For the buffers that are to be sent.
    pub(super) fn gather<B: Buffers>(&mut self, buffers: &B) {
        self.begin();
        self.access = private::Each::access(buffers);
        // Only ever read: see `RawMessage::slices`.
        buffers.each(&mut |base, length| self.push(base.cast_mut(), length));
    }

    /// For the buffers that are to be filled.
    pub(super) fn scatter<B: BuffersMut>(&mut self, buffers: &mut B) {
        self.begin();
        self.access = private::Each::access(buffers);
        buffers.each_mut(&mut |base, length| self.push(base, length));
    }

    fn begin(&mut self) {
        self.slices.clear();
        (self.length, self.at, self.before, self.shift) = (0, 0, 0, 0);
        self.raw.0.address.length = 0;
        self.control_length = 0;
    }

    /// The address that it goes to: after [`Message::gather`].
    pub(super) fn address(&mut self, address: &Address) -> Result<()> {
        address.put(&mut self.raw.0.address)
    }

    /// Buffers of no bytes are left out: a call whose slices were all of them would move nothing, as at a stream's end.
    fn push(&mut self, base: *mut u8, length: usize) {
        if length > 0 {
            self.slices.push(IoSlice { base, length });
            self.length += length;
        }
    }

    /// Bytes in all buffers.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Refuses memory that I/O may not read, or may not write.
    pub(super) fn check_access(&self, wanted: Access, operation: Operation) -> Result<()> {
        self.access.check(wanted, operation)
    }

    /// Refuses more buffers than one message can have.
    pub(super) fn check_whole(&self, operation: Operation) -> Result<()> {
        if self.slices.len() <= SLICES_MAX {
            return Ok(());
        }
        Err(Status::new(Code::InvalidArgument, operation)
            .with_message(format!("{} buffers: one message has at most {SLICES_MAX}", self.slices.len())))
    }

    /// The message with what is left after `progress` bytes, for a request. Its address stays what it is.
    pub(super) fn after(&mut self, progress: usize) -> &mut RawMessage {
        if let Some(shown) = self.slices.get_mut(self.at) {
            // Whole again before another is cut, or the same one elsewhere.
            shown.base = shown.base.wrapping_sub(self.shift);
            shown.length += self.shift;
        }
        if progress < self.before {
            (self.at, self.before) = (0, 0);
        }
        self.shift = 0;
        while let Some(slice) = self.slices.get_mut(self.at) {
            let skip = progress - self.before;
            if skip < slice.length {
                slice.base = slice.base.wrapping_add(skip);
                slice.length -= skip;
                self.shift = skip;
                break;
            }
            self.before += slice.length;
            self.at += 1;
        }
        let rest = &self.slices[self.at..];
        let raw = &mut self.raw.0;
        (raw.slices, raw.count) = (rest.as_ptr(), rest.len().min(SLICES_MAX));
        (raw.control, raw.control_length, raw.flags) = (std::ptr::null_mut(), 0, 0);
        raw
    }

    /// What the backend has made of it.
    pub(super) fn raw(&self) -> &RawMessage {
        &self.raw.0
    }

    /// The same, for a request.
    pub(super) fn raw_mut(&mut self) -> &mut RawMessage {
        &mut self.raw.0
    }

    /// More came than there was room for.
    pub(super) fn is_truncated(&self) -> bool {
        #[cfg(unix)]
        return self.raw.0.flags & libc::MSG_TRUNC != 0;
        #[cfg(not(unix))]
        return self.raw.0.flags & 0x20 != 0; // Linux's, which a simulated world says
    }

    /// Gives the message that was last made by [`Message::after`] its control messages, or the room for them.
    pub(super) fn attach_control(&mut self, length: usize) {
        debug_assert!(length <= self.control.bytes());
        self.raw.0.control = self.control.words().as_mut_ptr().cast();
        self.raw.0.control_length = length;
    }

    /// Bytes of control messages to be sent.
    #[cfg(unix)]
    pub(super) fn control_length(&self) -> usize {
        self.control_length
    }

    /// Writes the one control message that is to be sent.
    #[cfg(unix)]
    pub(super) fn set_control(&mut self, level: i32, kind: i32, payload: &[u8]) {
        // SAFETY: these only compute.
        let (space, length) = unsafe { (libc::CMSG_SPACE(payload.len() as u32), libc::CMSG_LEN(payload.len() as u32)) };
        if self.control.bytes() < space as usize {
            self.control = Control::of(space as usize);
        }
        self.control.words().fill(0);
        self.control_length = space as usize;
        let header = self.control.words().as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: the room has `space` bytes, aligned for a header, which is what the header and its payload need.
        unsafe {
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = length as _;
            std::ptr::copy_nonoverlapping(payload.as_ptr(), libc::CMSG_DATA(header), payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &mut Message, progress: usize) -> Vec<usize> {
        let (slices, count) = (message.after(progress).slices, message.raw().count);
        // SAFETY: just made, of the message's own vector.
        unsafe { std::slice::from_raw_parts(slices, count) }.iter().map(|slice| slice.length).collect()
    }

    #[test]
    fn what_is_left_begins_within_the_slice_that_was_cut() {
        let buffers = vec![vec![0u8; 3], vec![], vec![0; 5], vec![0; 2]];
        let mut message = Message::new(4, 0);
        message.gather(&buffers);
        assert_eq!(message.length(), 10);
        for (progress, left) in [
            (0, vec![3, 5, 2]),
            (1, vec![2, 5, 2]),
            (2, vec![1, 5, 2]),
            (3, vec![5, 2]),
            (7, vec![1, 2]),
            (8, vec![2]),
            (10, vec![]),
            (4, vec![4, 2]),
            (0, vec![3, 5, 2]),
        ] {
            assert_eq!(shown(&mut message, progress), left, "after {progress}");
        }
        let slices = message.after(4).slices;
        // SAFETY: just made, of the message's own vector, which is not at its end.
        assert_eq!(unsafe { (*slices).base }, buffers[2].as_ptr().cast_mut().wrapping_add(1));
    }

    #[test]
    fn a_message_of_nothing_is_one() {
        let mut message = Message::new(0, 0);
        message.gather(&Vec::<Vec<u8>>::new());
        assert_eq!((message.length(), shown(&mut message, 0)), (0, vec![]));
        message.gather(&Vec::<u8>::new());
        assert_eq!((message.length(), shown(&mut message, 0)), (0, vec![]));
    }

    #[test]
    fn a_clone_has_the_room_and_none_of_the_pointers() {
        let mut message = Message::new(3, 24);
        message.gather(&vec![vec![1u8; 3], vec![2]]);
        let clone = message.clone();
        assert!(clone.slices.several.capacity() >= 3 && clone.slices.is_empty());
        assert_eq!((clone.control.bytes(), clone.length(), clone.raw().slices), (24, 0, std::ptr::null()));
    }

    #[test]
    fn one_buffer_and_a_small_control_message_are_kept_without_a_vector() {
        let mut message = Message::new(1, 24);
        for _ in 0..2 {
            message.gather(&vec![1u8; 7]);
            assert_eq!((shown(&mut message, 0), shown(&mut message, 3)), (vec![7], vec![4]));
            assert_eq!((message.slices.several.capacity(), message.control.bytes()), (0, 24));
        }
        message.gather(&vec![vec![1u8; 2], vec![2; 5]]);
        assert_eq!((message.length(), shown(&mut message, 0)), (7, vec![2, 5]));
        message.gather(&vec![1u8]);
        assert_eq!((message.length(), shown(&mut message, 0)), (1, vec![1]));
    }

    #[test]
    fn more_slices_than_one_call_takes_are_shown_in_turn() {
        let buffers = vec![vec![0u8; 2]; SLICES_MAX + 10];
        let mut message = Message::new(buffers.len(), 0);
        message.gather(&buffers);
        assert_eq!(shown(&mut message, 0).len(), SLICES_MAX);
        assert_eq!(shown(&mut message, 2 * SLICES_MAX).len(), 10);
        assert_eq!(message.check_whole(Operation::SocketSendTo).unwrap_err().code(), Code::InvalidArgument);
    }
}

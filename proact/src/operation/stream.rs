//! Streams without positions: pipes and their like.

use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{Request, TRANSFER_MAX, WaitRequest};
use crate::memory::{StableBytes, StableBytesMut};
use crate::resource::{Home, Lane, Resource, Stream};
use crate::status::{Operation, Result};

/// Reads from a stream into the operation's own buffer. Yields how many bytes.
///
/// Reads of one stream are filled in the order in which they were submitted, each whole before the next begins.
/// Kernel-native on io_uring (Linux 5.6); elsewhere tried on the poll thread whenever the stream is ready.
///
/// # Errors
/// `OutOfRange` for an exact read that meets the end, `InvalidArgument` for the end that is only written.
///
/// ```
/// # use proact::operation::{Op, ReadStream};
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// if let Ok((reader, _writer)) = proactor.handle().pipe() {
///     proactor.submit(Op::new(ReadStream::some(reader, vec![0; 4096]), ())).unwrap();
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReadStream<B> {
    /// The stream.
    pub stream: Stream,
    /// Where the bytes go.
    pub buffer: B,
    exact: bool,
}

impl<B: StableBytesMut> ReadStream<B> {
    /// Fills the whole buffer; an end of the stream before that is `OutOfRange`.
    pub fn exact(stream: Stream, buffer: B) -> ReadStream<B> {
        ReadStream { stream, buffer, exact: true }
    }

    /// Reads what is there, at most the buffer's length; 0 at the end of the stream: no one can write it any more.
    pub fn some(stream: Stream, buffer: B) -> ReadStream<B> {
        ReadStream { stream, buffer, exact: false }
    }
}

impl<B: StableBytesMut> Sealed for ReadStream<B> {}

impl<B: StableBytesMut> Kind for ReadStream<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::StreamRead;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.stream.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.stream.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Received }
    }

    fn request(&mut self, progress: usize) -> Request {
        Request::Wait(WaitRequest::ReadStream {
            stream: self.stream.resource().raw(),
            buffer: self.buffer.as_mut_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
        })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

/// Writes the operation's own buffer to a stream. Yields how many bytes.
///
/// Writes to one stream go out in the order in which they were submitted, each whole before the next begins. After one
/// has failed the rest are refused with its failure: the reader would read a stream with a hole. Kernel-native on
/// io_uring (Linux 5.6); elsewhere tried on the poll thread whenever the stream is ready.
///
/// # Errors
/// `Unavailable` when no one reads any more; see [`Stream`] for the signal that the system also sends.
///
/// ```
/// # use proact::operation::{Op, WriteStream};
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// if let Ok((_reader, writer)) = proactor.handle().pipe() {
///     proactor.submit(Op::new(WriteStream::exact(writer, b"hello".as_slice()), ())).unwrap();
/// }
/// ```
#[derive(Clone, Debug)]
pub struct WriteStream<B> {
    /// The stream.
    pub stream: Stream,
    /// The bytes.
    pub buffer: B,
    exact: bool,
}

impl<B: StableBytes> WriteStream<B> {
    /// Writes the whole buffer.
    pub fn exact(stream: Stream, buffer: B) -> WriteStream<B> {
        WriteStream { stream, buffer, exact: true }
    }

    /// Writes what the stream takes at once, at most the buffer's length.
    pub fn some(stream: Stream, buffer: B) -> WriteStream<B> {
        WriteStream { stream, buffer, exact: false }
    }
}

impl<B: StableBytes> Sealed for WriteStream<B> {}

impl<B: StableBytes> Kind for WriteStream<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::StreamWrite;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.stream.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.stream.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Sent }
    }

    fn request(&mut self, progress: usize) -> Request {
        Request::Wait(WaitRequest::WriteStream {
            stream: self.stream.resource().raw(),
            buffer: self.buffer.as_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
        })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

//! Pipes, and what is like them: the ends of a child's, FIFOs, terminals.

use proact::memory::{StableBytes, StableBytesMut};
use proact::operation::{Close, ReadStream, WriteStream};
use proact::resource::Stream;
use proact::status::Result;

use crate::BufResult;
use crate::grow::read_growing;
use crate::runtime::{operation, with_handle};

/// Makes a pipe.
///
/// ```
/// use proact_async::pipe;
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let (reader, writer) = pipe::pipe()?;
///     writer.write_all(b"hello".as_slice()).await.0?;
///     writer.close().await?;
///     assert_eq!(reader.read_to_end().await?, b"hello");
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// `ResourceExhausted` at the limit of descriptors.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn pipe() -> Result<(Reader, Writer)> {
    let (reader, writer) = with_handle(|handle| handle.pipe())?;
    Ok((Reader { stream: reader }, Writer { stream: writer }))
}

/// The end that is read. A clone is the same end.
#[derive(Clone, Debug)]
pub struct Reader {
    stream: Stream,
}

/// The end that is written. A clone is the same end; the reader comes to an end when the last is dropped.
#[derive(Clone, Debug)]
pub struct Writer {
    stream: Stream,
}

impl Reader {
    /// One that is there already: of [`Handle::import_stream`](proact::proactor::Handle::import_stream).
    pub fn from_resource(stream: Stream) -> Reader {
        Reader { stream }
    }

    /// The stream, for operations of one's own.
    pub fn resource(&self) -> &Stream {
        &self.stream
    }

    /// Reads what is there, at most the buffer's length; 0 at the end. The buffer comes back.
    ///
    /// # Errors
    /// As for [`ReadStream`].
    pub async fn read<B: StableBytesMut>(&self, buffer: B) -> BufResult<usize, B> {
        let (read, outcome) = operation(ReadStream::some(self.stream.clone(), buffer)).await;
        (outcome.result, read.buffer)
    }

    /// Fills the whole buffer, which comes back.
    ///
    /// # Errors
    /// As for [`ReadStream`]; `OutOfRange` when the end comes before that.
    pub async fn read_exact<B: StableBytesMut>(&self, buffer: B) -> BufResult<usize, B> {
        let (read, outcome) = operation(ReadStream::exact(self.stream.clone(), buffer)).await;
        (outcome.result, read.buffer)
    }

    /// Reads all until the end. Dropping the future loses what it has read.
    ///
    /// # Errors
    /// As for [`ReadStream`].
    pub async fn read_to_end(&self) -> Result<Vec<u8>> {
        read_growing(vec![0; 4096], async |part, _| self.read(part).await).await
    }

    /// Closes it, for all its clones.
    ///
    /// # Errors
    /// As for [`Close`].
    pub async fn close(self) -> Result {
        operation(Close::new(self.stream)).await.1.result
    }
}

impl Writer {
    /// One that is there already: of [`Handle::import_stream`](proact::proactor::Handle::import_stream).
    pub fn from_resource(stream: Stream) -> Writer {
        Writer { stream }
    }

    /// The stream, for operations of one's own.
    pub fn resource(&self) -> &Stream {
        &self.stream
    }

    /// Writes what there is room for, at most the buffer's length. The buffer comes back.
    ///
    /// # Errors
    /// As for [`WriteStream`].
    pub async fn write<B: StableBytes>(&self, buffer: B) -> BufResult<usize, B> {
        let (write, outcome) = operation(WriteStream::some(self.stream.clone(), buffer)).await;
        (outcome.result, write.buffer)
    }

    /// Writes the whole buffer, which comes back.
    ///
    /// # Errors
    /// As for [`WriteStream`].
    pub async fn write_all<B: StableBytes>(&self, buffer: B) -> BufResult<usize, B> {
        let (write, outcome) = operation(WriteStream::exact(self.stream.clone(), buffer)).await;
        (outcome.result, write.buffer)
    }

    /// Closes it, for all its clones: the reader comes to an end.
    ///
    /// # Errors
    /// As for [`Close`].
    pub async fn close(self) -> Result {
        operation(Close::new(self.stream)).await.1.result
    }
}

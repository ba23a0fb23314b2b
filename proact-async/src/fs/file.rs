//! One open file.

use proact::memory::{StableBytes, StableBytesMut};
use proact::operation::{
    Advise, Allocate, ChangeRange, Close, CopyRange, Read, ReadVectored, SetAttributes, Stat, Sync, Truncate, Write,
    WriteVectored,
};
use proact::resource::{Advice, FileTime, Metadata};
use proact::status::Result;

use super::Cursor;
use crate::BufResult;
use crate::runtime::operation;

/// An open file or directory.
///
/// A clone is the same open file; it is closed when the last is dropped and nothing is in flight, or by
/// [`File::close`], which tells what the system says of that.
///
/// ```
/// use proact_async::fs::File;
///
/// # fn main() -> proact::status::Result {
/// # let path = std::env::temp_dir().join(format!("proact-async-file-{}", std::process::id()));
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let file = File::create(&path).await?;
///     file.write_all_at(b"hello, world".as_slice(), 0).await.0?;
///     file.sync_data().await?;
///     let (count, bytes) = file.read_exact_at(vec![0; 5], 7).await;
///     assert_eq!((count?, bytes.as_slice()), (5, b"world".as_slice()));
///     file.close().await
/// })
/// # ?; std::fs::remove_file(&path).unwrap(); Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct File {
    file: proact::resource::File,
}

impl File {
    /// A file that is open already.
    pub fn from_resource(file: proact::resource::File) -> File {
        File { file }
    }

    /// The open file, for operations of one's own.
    pub fn resource(&self) -> &proact::resource::File {
        &self.file
    }

    /// Reads at `offset`, at most the buffer's length; 0 at or past the end. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Read`].
    pub async fn read_at<B: StableBytesMut>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        let (read, outcome) = operation(Read::some(self.file.clone(), offset, buffer)).await;
        (outcome.result, read.buffer)
    }

    /// Fills the whole buffer from `offset` on. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Read`]; `OutOfRange` when the end comes before that.
    pub async fn read_exact_at<B: StableBytesMut>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        let (read, outcome) = operation(Read::exact(self.file.clone(), offset, buffer)).await;
        (outcome.result, read.buffer)
    }

    /// Fills several buffers, one after the other, with what one call reads at `offset`.
    ///
    /// # Errors
    /// As for [`ReadVectored`].
    pub async fn read_vectored_at<B: StableBytesMut>(&self, buffers: Vec<B>, offset: u64) -> BufResult<usize, Vec<B>> {
        let (read, outcome) = operation(ReadVectored::some(self.file.clone(), offset, buffers)).await;
        (outcome.result, read.buffers)
    }

    /// Fills several buffers wholly.
    ///
    /// # Errors
    /// As for [`ReadVectored`]; `OutOfRange` when the end comes before that.
    pub async fn read_exact_vectored_at<B: StableBytesMut>(
        &self,
        buffers: Vec<B>,
        offset: u64,
    ) -> BufResult<usize, Vec<B>> {
        let (read, outcome) = operation(ReadVectored::exact(self.file.clone(), offset, buffers)).await;
        (outcome.result, read.buffers)
    }

    /// Writes at `offset` what one call takes, at most the buffer's length. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Write`].
    pub async fn write_at<B: StableBytes>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        let (write, outcome) = operation(Write::some(self.file.clone(), offset, buffer)).await;
        (outcome.result, write.buffer)
    }

    /// Writes the whole buffer at `offset`. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Write`].
    pub async fn write_all_at<B: StableBytes>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        let (write, outcome) = operation(Write::exact(self.file.clone(), offset, buffer)).await;
        (outcome.result, write.buffer)
    }

    /// Writes of several buffers, one after the other, what one call takes at `offset`.
    ///
    /// # Errors
    /// As for [`WriteVectored`].
    pub async fn write_vectored_at<B: StableBytes>(&self, buffers: Vec<B>, offset: u64) -> BufResult<usize, Vec<B>> {
        let (write, outcome) = operation(WriteVectored::some(self.file.clone(), offset, buffers)).await;
        (outcome.result, write.buffers)
    }

    /// Writes several buffers wholly.
    ///
    /// # Errors
    /// As for [`WriteVectored`].
    pub async fn write_all_vectored_at<B: StableBytes>(
        &self,
        buffers: Vec<B>,
        offset: u64,
    ) -> BufResult<usize, Vec<B>> {
        let (write, outcome) = operation(WriteVectored::exact(self.file.clone(), offset, buffers)).await;
        (outcome.result, write.buffers)
    }

    /// A place in the file that moves on as it is read and written, at `offset` first.
    pub fn cursor(&self, offset: u64) -> Cursor {
        Cursor::new(self.clone(), offset)
    }

    /// Makes what was written durable, with all that is known of the file.
    ///
    /// # Errors
    /// As for [`Sync`].
    pub async fn sync(&self) -> Result {
        operation(Sync::all(self.file.clone())).await.1.result
    }

    /// Makes what was written durable, with what is needed to read it back.
    ///
    /// # Errors
    /// As for [`Sync`].
    pub async fn sync_data(&self) -> Result {
        operation(Sync::data(self.file.clone())).await.1.result
    }

    /// Reserves disk space for `length` bytes at `offset`, and extends the file to their end.
    ///
    /// # Errors
    /// As for [`Allocate`].
    pub async fn allocate(&self, offset: u64, length: u64) -> Result {
        operation(Allocate::new(self.file.clone(), offset, length)).await.1.result
    }

    /// Makes the file exactly `size` bytes long.
    ///
    /// # Errors
    /// As for [`Truncate`].
    pub async fn truncate(&self, size: u64) -> Result {
        operation(Truncate::new(self.file.clone(), size)).await.1.result
    }

    /// Gives the disk space of a range back: it reads as zeros, and the file's length stays.
    ///
    /// # Errors
    /// As for [`ChangeRange`].
    pub async fn punch_hole(&self, offset: u64, length: u64) -> Result {
        operation(ChangeRange::punch_hole(self.file.clone(), offset, length)).await.1.result
    }

    /// Says what a range is for.
    ///
    /// # Errors
    /// As for [`Advise`].
    pub async fn advise(&self, offset: u64, length: u64, advice: Advice) -> Result {
        operation(Advise::new(self.file.clone(), offset, length, advice)).await.1.result
    }

    /// What is known of it.
    ///
    /// # Errors
    /// As for [`Stat`].
    pub async fn metadata(&self) -> Result<Metadata> {
        operation(Stat::new(self.file.clone())).await.1.result
    }

    /// Sets its permission bits (`0o7777`).
    ///
    /// # Errors
    /// As for [`SetAttributes`].
    pub async fn set_permissions(&self, mode: u32) -> Result {
        operation(SetAttributes::new(self.file.clone()).mode(mode)).await.1.result
    }

    /// Sets the time of its last change.
    ///
    /// # Errors
    /// As for [`SetAttributes`].
    pub async fn set_modified(&self, time: FileTime) -> Result {
        let change = SetAttributes::new(self.file.clone()).modified(time.seconds, time.nanoseconds);
        operation(change).await.1.result
    }

    /// Copies at most `length` bytes into another file, in the kernel where that can. Answers how many; 0 at the end.
    ///
    /// # Errors
    /// As for [`CopyRange`].
    pub async fn copy_to(&self, offset: u64, to: &File, to_offset: u64, length: usize) -> Result<usize> {
        let copy = CopyRange::some(self.file.clone(), offset, to.file.clone(), to_offset, length);
        operation(copy).await.1.result.map(|(count, _)| count)
    }

    /// Ends what goes on on the file, and closes it, for all its clones. Dropping the future closes it all the same.
    ///
    /// # Errors
    /// As for [`Close`]; it is closed even so.
    pub async fn close(self) -> Result {
        operation(Close::new(self.file)).await.1.result
    }
}

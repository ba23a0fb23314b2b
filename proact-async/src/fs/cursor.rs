//! A place in a file.

use proact::memory::{StableBytes, StableBytesMut};

use super::File;
use crate::BufResult;

/// A place in a file that moves on as it is read and written: of [`File::cursor`].
///
/// It moves when a read or a write has ended. One whose future is dropped leaves it where it was; a write may have
/// changed the file behind it by then.
///
/// ```
/// use proact_async::fs::File;
///
/// # fn main() -> proact::status::Result {
/// # let path = std::env::temp_dir().join(format!("proact-async-cursor-{}", std::process::id()));
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let mut cursor = File::create(&path).await?.cursor(0);
///     cursor.write_all(b"one".as_slice()).await.0?;
///     cursor.write_all(b"two".as_slice()).await.0?;
///     cursor.seek(3);
///     let (count, bytes) = cursor.read(vec![0; 64]).await;
///     assert_eq!(&bytes[..count?], b"two");
///     Ok(())
/// });
/// # done?; std::fs::remove_file(&path).unwrap(); Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Cursor {
    file: File,
    offset: u64,
}

impl Cursor {
    pub(super) fn new(file: File, offset: u64) -> Cursor {
        Cursor { file, offset }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is, in bytes from the file's beginning.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Moves it.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// As [`File::read_at`], here.
    ///
    /// # Errors
    /// As there.
    pub async fn read<B: StableBytesMut>(&mut self, buffer: B) -> BufResult<usize, B> {
        let moved = self.file.read_at(buffer, self.offset).await;
        self.advance(moved)
    }

    /// As [`File::read_exact_at`], here. A failure does not move it.
    ///
    /// # Errors
    /// As there.
    pub async fn read_exact<B: StableBytesMut>(&mut self, buffer: B) -> BufResult<usize, B> {
        let moved = self.file.read_exact_at(buffer, self.offset).await;
        self.advance(moved)
    }

    /// As [`File::write_at`], here.
    ///
    /// # Errors
    /// As there.
    pub async fn write<B: StableBytes>(&mut self, buffer: B) -> BufResult<usize, B> {
        let moved = self.file.write_at(buffer, self.offset).await;
        self.advance(moved)
    }

    /// As [`File::write_all_at`], here. A failure does not move it.
    ///
    /// # Errors
    /// As there.
    pub async fn write_all<B: StableBytes>(&mut self, buffer: B) -> BufResult<usize, B> {
        let moved = self.file.write_all_at(buffer, self.offset).await;
        self.advance(moved)
    }

    fn advance<B>(&mut self, moved: BufResult<usize, B>) -> BufResult<usize, B> {
        if let Ok(count) = moved.0 {
            self.offset += count as u64;
        }
        moved
    }
}

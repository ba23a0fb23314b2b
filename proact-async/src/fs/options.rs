//! How a file is opened.

use std::path::Path;

use proact::operation::Open;
use proact::resource::OpenFlags;
use proact::status::Result;

use super::File;
use crate::runtime::operation;

/// How a file is opened: nothing is allowed that was not asked for.
///
/// ```
/// use proact_async::fs::OpenOptions;
///
/// # fn main() -> proact::status::Result {
/// # let path = std::env::temp_dir().join(format!("proact-async-options-{}", std::process::id()));
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).await?;
///     file.write_all_at(b"hello".as_slice(), 0).await.0?;
///     assert_eq!(file.metadata().await?.size, 5);
///     file.close().await
/// })
/// # ?; std::fs::remove_file(&path).unwrap(); Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct OpenOptions {
    flags: OpenFlags,
    mode: u32,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Neither read nor written; a new file gets mode `0o666` less the process's mask.
    pub const fn new() -> OpenOptions {
        OpenOptions { flags: OpenFlags::empty(), mode: 0o666 }
    }

    fn set(mut self, flag: OpenFlags, yes: bool) -> OpenOptions {
        self.flags.set(flag, yes);
        self
    }

    /// May be read.
    pub fn read(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::READ, yes)
    }

    /// May be written.
    pub fn write(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::WRITE, yes)
    }

    /// Every write goes to the file's end, whatever its offset says. Needs [`OpenOptions::write`], and excludes
    /// [`OpenOptions::truncate`].
    pub fn append(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::APPEND, yes)
    }

    /// Cut to nothing. Needs [`OpenOptions::write`].
    pub fn truncate(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::TRUNCATE, yes)
    }

    /// Made if it does not exist. Needs [`OpenOptions::write`].
    pub fn create(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::CREATE, yes)
    }

    /// Made, and `AlreadyExists` if it exists. Needs [`OpenOptions::write`].
    pub fn create_new(mut self, yes: bool) -> OpenOptions {
        self.flags.set(OpenFlags::CREATE_NEW, yes);
        self.set(OpenFlags::CREATE, yes)
    }

    /// Past the page cache: see [the module](super).
    pub fn direct(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::DIRECT, yes)
    }

    /// A symbolic link as the path's last component is refused instead of followed.
    pub fn no_follow(self, yes: bool) -> OpenOptions {
        self.set(OpenFlags::NO_FOLLOW, yes)
    }

    /// Permission bits of a new file, less the process's mask.
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.mode = mode;
        self
    }

    /// Opens `path`. Dropping the future closes what it opened all the same; a file that it made stays.
    ///
    /// # Errors
    /// As for [`Open`]; `InvalidArgument` for options that do not go together.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        File::opened(Open::new(path, self.flags).mode(self.mode)).await
    }

    /// Opens `path`, relative to an open directory: see [`File::open_directory`].
    ///
    /// # Errors
    /// As for [`OpenOptions::open`].
    pub async fn open_in(&self, directory: &File, path: impl AsRef<Path>) -> Result<File> {
        File::opened(Open::at(directory.resource().clone(), path, self.flags).mode(self.mode)).await
    }
}

impl File {
    async fn opened(open: Open) -> Result<File> {
        operation(open).await.1.result.map(File::from_resource)
    }

    /// Opens a file to be read.
    ///
    /// # Errors
    /// As for [`OpenOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Makes a file, or empties one that is there, to be read and written.
    ///
    /// # Errors
    /// As for [`OpenOptions::open`].
    pub async fn create(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).await
    }

    /// Opens a directory: to have its names made durable ([`File::sync`]), to list it, or to open what is in it.
    ///
    /// # Errors
    /// As for [`OpenOptions::open`]; `FailedPrecondition` for what is no directory.
    pub async fn open_directory(path: impl AsRef<Path>) -> Result<File> {
        File::opened(Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY)).await
    }
}

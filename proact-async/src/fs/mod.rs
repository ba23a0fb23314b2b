//! Files and directories.
//!
//! A file's own I/O names its offset, so that any number of reads and writes go on side by side: [`File`]. Where a
//! place that moves on is wanted there is a [`Cursor`]. The free functions work on paths.
//!
//! Where the ring cannot carry something out by itself a worker thread of the proactor does: the thread that polls
//! never waits for a disk. Dropping a future cancels what has not begun; what a file system is at it finishes, and the
//! buffer is kept until then. What a dropped open yields is closed.
//!
//! # Direct I/O
//!
//! [`OpenOptions::direct`] goes past the page cache. Memory, offsets and lengths must be aligned then; leases of a
//! [pool](proact::memory::BufferPool) over memory of [`Slab::allocate`](proact::memory::Slab::allocate) are, when the
//! buffers' size is a multiple of 4096. The same leases are read and written without the kernel looking their pages up
//! each time, once their pool's region was made known by [`register`].
//!
//! ```
//! use proact::memory::{Allocation, BufferPool, Slab};
//! use proact_async::fs::{self, OpenOptions};
//!
//! # fn main() -> proact::status::Result {
//! # let folder = std::env::temp_dir().join(format!("proact-async-direct-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("file");
//! let runtime = proact_async::Runtime::new()?;
//! runtime.block_on(async {
//!     let pool = BufferPool::new(Slab::allocate(4096, 2, &Allocation::new())?)?;
//!     let known = fs::register(pool.slab().region().clone()).await?;
//!     let file = OpenOptions::new().write(true).create(true).open(&path).await?;
//!     let (written, lease) = file.write_all_at(pool.acquire()?, 0).await;
//!     assert_eq!(written?, 4096);
//!     # let _ = lease;
//!     known.forget().await
//! })
//! # ?; std::fs::remove_dir_all(&folder).unwrap(); Ok(())
//! # }
//! ```

mod cursor;
mod directory;
mod file;
mod names;
mod options;
mod register;
mod whole;

pub use proact::resource::{DirectoryEntry, FileKind, FileTime, Metadata, WalkEntry};

pub use self::cursor::Cursor;
pub use self::directory::{
    List, Walk, create_directories, create_directory, list, remove_directory, remove_directory_all, walk,
};
pub use self::file::File;
pub use self::names::{
    exists, hard_link, link_metadata, metadata, read_link, remove_file, rename, replace, set_permissions, symbolic_link,
};
pub use self::options::OpenOptions;
pub use self::register::{Known, register};
pub use self::whole::{copy, read, read_to_string, write, write_atomically};

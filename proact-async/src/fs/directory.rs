//! Directories.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use proact::operation::{ListBatch, MakeDirectory, Open, Remove, Walk as WalkBatch};
use proact::resource::{DirectoryEntry, FileKind, OpenFlags, WalkEntry};
use proact::status::{Code, Result};

use super::File;
use crate::runtime::{Operation, operation};

/// Makes a directory, whose parent is there.
///
/// # Errors
/// As for [`MakeDirectory`].
///
/// # Panics
/// Outside of a runtime, as all here.
pub async fn create_directory(path: impl AsRef<Path>) -> Result {
    operation(MakeDirectory::new(path)).await.1.result
}

/// Makes a directory, and those above it that are missing. One that is there already is no failure.
///
/// # Errors
/// As for [`MakeDirectory`]; `AlreadyExists` when something that is no directory is in the way.
pub async fn create_directories(path: impl AsRef<Path>) -> Result {
    // From the path upwards until one is there, and down again.
    let mut missing: Vec<PathBuf> = vec![path.as_ref().to_owned()];
    while let Some(next) = missing.last() {
        match create_directory(next).await {
            Ok(()) => {}
            Err(status) if status.code() == Code::NotFound => match next.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => {
                    let parent = parent.to_owned();
                    missing.push(parent);
                    continue;
                }
                _ => return Err(status),
            },
            Err(status) if status.code() == Code::AlreadyExists => {
                if super::metadata(next).await?.kind != FileKind::Directory {
                    return Err(status);
                }
            }
            Err(status) => return Err(status),
        }
        missing.pop();
    }
    Ok(())
}

/// Removes an empty directory.
///
/// # Errors
/// As for [`Remove`].
pub async fn remove_directory(path: impl AsRef<Path>) -> Result {
    operation(Remove::directory(path)).await.1.result
}

/// Removes a directory with all that is below it. Symbolic links are removed, and not followed.
///
/// It goes by paths: do not use it where someone else, who must not have other files removed, may put a link in the
/// place of a directory meanwhile.
///
/// # Errors
/// As for [`walk`] and [`Remove`]; what was removed until then is gone. What others put there meanwhile may be in its
/// way: `FailedPrecondition`.
pub async fn remove_directory_all(path: impl AsRef<Path>) -> Result {
    let root = path.as_ref();
    let mut directories = Vec::new();
    let mut below = Walk::new(WalkBatch::new(root).depth(u32::MAX));
    while let Some(entry) = below.next().await {
        let entry = entry?;
        if let Some(failure) = entry.failure {
            return Err(failure);
        }
        match entry.kind {
            FileKind::Directory => directories.push(entry.path),
            _ => super::remove_file(entry.path).await?,
        }
    }
    // A directory is told before what is below it.
    for directory in directories.iter().rev() {
        remove_directory(directory).await?;
    }
    remove_directory(root).await
}

/// Lists a directory: a [`Stream`] of its names, some hundred at a time from the system. `.` and `..` are left out.
///
/// ```
/// use proact_async::fs;
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let mut names = fs::list("src");
///     while let Some(entry) = names.next().await {
///         println!("{:?}", entry?.name);
///     }
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
pub fn list(path: impl AsRef<Path>) -> List {
    let open = operation(Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY));
    List { waiting: VecDeque::new(), state: Listing::Opening(open) }
}

/// Of [`list`]. After a failure it ends.
#[must_use = "a stream does nothing unless it is polled"]
pub struct List {
    waiting: VecDeque<DirectoryEntry>,
    state: Listing,
}

enum Listing {
    Opening(Operation<Open>),
    Batch(Operation<ListBatch>),
    Ended,
}

impl List {
    /// Lists an open directory, from the place where the last listing of it ended.
    pub fn of(directory: &File) -> List {
        let batch = ListBatch::new(directory.resource().clone());
        List { waiting: VecDeque::new(), state: Listing::Batch(operation(batch)) }
    }

    /// The next name. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Result<DirectoryEntry>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for List {
    type Item = Result<DirectoryEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(entry) = this.waiting.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            let failure = match &mut this.state {
                Listing::Ended => return Poll::Ready(None),
                Listing::Opening(open) => match ready!(Pin::new(open).poll(cx)).1.result {
                    Ok(directory) => {
                        this.state = Listing::Batch(operation(ListBatch::new(directory)));
                        continue;
                    }
                    Err(status) => status,
                },
                Listing::Batch(batch) => {
                    let (batch, outcome) = ready!(Pin::new(batch).poll(cx));
                    match outcome.result {
                        Ok(0) => {
                            this.state = Listing::Ended;
                            return Poll::Ready(None);
                        }
                        Ok(_) => {
                            let entries = batch.entries();
                            let own = entries.map(|entry| DirectoryEntry { name: entry.name.into(), kind: entry.kind });
                            this.waiting.extend(own);
                            this.state = Listing::Batch(operation(batch));
                            continue;
                        }
                        Err(status) => status,
                    }
                }
            };
            this.state = Listing::Ended;
            return Poll::Ready(Some(Err(failure)));
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// Walks through all that is below a directory: a [`Stream`] of what is found, directories before what is below them.
/// A directory that cannot be listed is told with its failure, and the walk goes on.
pub fn walk(path: impl AsRef<Path>) -> Walk {
    Walk::new(WalkBatch::new(path))
}

/// Of [`walk`]. After a failure it ends.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Walk {
    waiting: std::vec::IntoIter<WalkEntry>,
    batch: Option<Operation<WalkBatch>>,
}

impl Walk {
    /// A walk with settings of its own.
    pub fn new(walk: WalkBatch) -> Walk {
        Walk { waiting: Vec::new().into_iter(), batch: Some(operation(walk)) }
    }

    /// What is found next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<WalkEntry>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Walk {
    type Item = Result<WalkEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(entry) = this.waiting.next() {
                return Poll::Ready(Some(Ok(entry)));
            }
            let Some(batch) = &mut this.batch else { return Poll::Ready(None) };
            let (walk, outcome) = ready!(Pin::new(batch).poll(cx));
            this.batch = None;
            match outcome.result {
                Ok(entries) if entries.is_empty() => return Poll::Ready(None),
                Ok(entries) => {
                    this.waiting = entries.into_iter();
                    this.batch = Some(operation(walk));
                }
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

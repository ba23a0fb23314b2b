//! Whole files.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use proact::memory::StableBytes;
use proact::status::{Code, Operation, Result, Status};

use super::{File, OpenOptions, remove_file, replace};
use crate::BufResult;
use crate::grow::read_growing;
use crate::runtime::spawn;

/// Reads a file to its end, also one that grows or whose size the system does not tell.
///
/// ```
/// use proact_async::fs;
///
/// let runtime = proact_async::Runtime::new()?;
/// let text = runtime.block_on(fs::read_to_string("Cargo.toml"))?;
/// assert!(text.contains("proact-async"));
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// As for opening and reading it; `ResourceExhausted` for one that does not fit into the address space.
///
/// # Panics
/// Outside of a runtime, as all here.
pub async fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let file = File::open(path).await?;
    let size = file.metadata().await?.size;
    let too_long = || Status::new(Code::ResourceExhausted, Operation::FileRead).with_message("longer than memory");
    // One more, so that a file of just this size is known to end without another allocation.
    let size = usize::try_from(size).ok().and_then(|size| size.checked_add(1)).ok_or_else(too_long)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| too_long())?;
    bytes.resize(size.max(LEAST), 0);
    read_growing(bytes, async |part, from| file.read_at(part, from).await).await
}

/// What is read at once of a file whose size is not told.
const LEAST: usize = 256;

/// As [`read`], of text.
///
/// # Errors
/// As there; `DataLoss` for what is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    let bytes = read(path).await?;
    String::from_utf8(bytes)
        .map_err(|error| Status::new(Code::DataLoss, Operation::FileRead).with_message(error.to_string()))
}

/// Makes a file with this content, or gives it to one that is there. The buffer comes back.
///
/// A reader may find the file empty or half written meanwhile, and so it stays if the future is dropped, or the machine
/// stops: see [`write_atomically`].
///
/// # Errors
/// As for opening and writing it.
pub async fn write<B: StableBytes>(path: impl AsRef<Path>, content: B) -> BufResult<(), B> {
    let file = match OpenOptions::new().write(true).create(true).truncate(true).open(path).await {
        Ok(file) => file,
        Err(status) => return (Err(status), content),
    };
    let (written, content) = file.write_all_at(content, 0).await;
    let closed = file.close().await;
    (written.and(closed), content)
}

/// As [`write()`], but whole or not at all: whoever opens the path finds the old content or the new one, also after the
/// machine has stopped. When it has succeeded, the content and the name are durable.
///
/// It is written to a file beside it, of mode `0o666` less the process's mask, which then takes its place. Owner,
/// permissions and further names of what was there are not kept; a symbolic link is replaced.
///
/// Dropping the future before the new content has taken its place leaves the old one, and the file beside it is
/// removed by the runtime as soon as what goes on on it has ended. One stays behind where a runtime, or a machine, ends
/// in between: its name begins with a dot and ends with `.new`.
///
/// # Errors
/// As for opening, writing, making durable and renaming; the old content is there then, unless it was the last step
/// that failed, that of making the new name durable.
pub async fn write_atomically<B: StableBytes>(path: impl AsRef<Path>, content: B) -> Result {
    let path = path.as_ref().to_owned();
    let Some(name) = path.file_name() else {
        return Err(Status::new(Code::InvalidArgument, Operation::FileOpen).with_message("the path names no file"));
    };
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let beside = folder.join(beside);
    // A task of its own: it removes what it made when nobody waits any more.
    let wanted = Wanted(Rc::new(Cell::new(true)));
    let still = wanted.0.clone();
    let task = spawn(async move {
        let made = replacement(&beside, &path, content, &still).await;
        if let Err(Failed { status, made }) = made {
            if made {
                // What it was about is told; this would only hide it.
                let _ = remove_file(&beside).await;
            }
            return Err(status);
        }
        File::open_directory(folder).await?.sync().await
    });
    let ended = task.await;
    drop(wanted);
    ended.unwrap_or_else(|error| {
        Err(Status::new(Code::Aborted, Operation::FileWrite).with_message(format!("the task has ended: {error}")))
    })
}

/// Somebody waits for the task.
struct Wanted(Rc<Cell<bool>>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

struct Failed {
    status: Status,
    made: bool,
}

async fn replacement<B: StableBytes>(
    beside: &PathBuf,
    path: &PathBuf,
    content: B,
    wanted: &Cell<bool>,
) -> Result<(), Failed> {
    let check = || match wanted.get() {
        true => Ok(()),
        false => Err(Status::new(Code::Cancelled, Operation::FileWrite)),
    };
    let options = OpenOptions::new().write(true).create_new(true);
    let file = match check() {
        Ok(()) => options.open(beside).await,
        Err(status) => Err(status),
    };
    let file = file.map_err(|status| Failed { status, made: false })?;
    let done = async {
        check()?;
        file.write_all_at(content, 0).await.0?;
        check()?;
        file.sync().await?;
        check()?;
        file.close().await?;
        check()?;
        replace(beside, path).await
    };
    done.await.map_err(|status| Failed { status, made: true })
}

/// Copies a file with its permission bits, in the kernel where that can; file systems that share extents move nothing
/// at all. Answers how many bytes.
///
/// # Errors
/// As for opening, reading and writing; `InvalidArgument` when both paths lead to the same file, or `from` to none that
/// is regular. What was copied until then stays.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
    let refused = |why| Err(Status::new(Code::InvalidArgument, Operation::FileCopy).with_message(why));
    let from = File::open(from).await?;
    let known = from.metadata().await?;
    if known.kind != proact::resource::FileKind::File {
        return refused("only regular files are copied");
    }
    // Not emptied by the open: it might be the same file.
    let to = OpenOptions::new().write(true).create(true).mode(known.mode & 0o777).open(to).await?;
    let other = to.metadata().await?;
    if (known.device, known.inode) == (other.device, other.inode) {
        return refused("a file is not copied over itself");
    }
    if other.size > 0 {
        to.truncate(0).await?;
    }
    let mut copied = 0;
    loop {
        match from.copy_to(copied, &to, copied, COPY).await? {
            0 => break,
            count => copied += count as u64,
        }
    }
    to.set_permissions(known.mode).await?;
    to.close().await?;
    Ok(copied)
}

/// What one call is asked to copy: much, as it is the kernel's work, but not so much that it cannot be cancelled.
const COPY: usize = 64 << 20;

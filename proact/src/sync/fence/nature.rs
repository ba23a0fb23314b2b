//! What a descriptor that comes in as a fence is.

#[cfg(unix)]
use std::os::fd::BorrowedFd;

#[cfg(unix)]
use crate::fault::tried;
#[cfg(unix)]
use crate::status::{Code, Operation, Result, Status};

/// What can be learned from a fence beside its readiness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nature {
    /// Nothing: readable is signalled.
    Plain,
    /// It is a `sync_file`, which also says whether what it stands for went wrong.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SyncFile,
}

#[cfg(unix)]
impl Nature {
    /// Looks at a descriptor, without a change to it.
    ///
    /// # Errors
    /// InvalidArgument for what has no readiness: `poll` calls a file or a directory readable at once and for ever, so
    /// as a fence it would be signalled before anything was done.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Nature> {
        if !has_readiness(fd)? {
            return Err(Status::new(Code::InvalidArgument, Operation::FenceImport)
                .with_message("the descriptor has no readiness to wait for, as files and directories have none"));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if super::ioctl::sync_file_status(fd).is_some() {
            return Ok(Nature::SyncFile);
        }
        Ok(Nature::Plain)
    }

    /// The error number that the work behind a readable fence ended with, if it did.
    pub(crate) fn error(self, fd: BorrowedFd<'_>) -> Option<i32> {
        match self {
            Nature::Plain => {
                let _ = fd;
                None
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Nature::SyncFile => super::ioctl::sync_file_status(fd).filter(|status| *status < 0).map(|status| -status),
        }
    }
}

/// Whether there is such a thing as waiting for the descriptor: epoll alone says that, by refusing those of which there
/// is not (EPERM, `epoll_ctl(2)`).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_readiness(fd: BorrowedFd<'_>) -> Result<bool> {
    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;

    use rustix::event::epoll;
    use rustix::io::Errno;

    /// Asked by every import, and never waited on.
    static ASKED: OnceLock<OwnedFd> = OnceLock::new();

    let failed = |errno: Errno| Status::from_os_error(Operation::FenceImport, errno.raw_os_error());
    let asked = match ASKED.get() {
        Some(asked) => asked,
        None => match tried(|| epoll::create(epoll::CreateFlags::CLOEXEC)) {
            // Another thread may have been faster; then this one closes again.
            Ok(epoll) => ASKED.get_or_init(|| epoll),
            // A sandbox without epoll, where the kind of file says what is known.
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => return may_have_readiness(fd),
            Err(errno) => return Err(failed(errno)),
        },
    };
    let data = epoll::EventData::new_u64(0);
    match tried(|| epoll::add(asked, fd, data, epoll::EventFlags::empty())) {
        Ok(()) => {
            epoll::delete(asked, fd).map_err(failed)?;
            Ok(true)
        }
        Err(Errno::PERM) => Ok(false),
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn has_readiness(fd: BorrowedFd<'_>) -> Result<bool> {
    may_have_readiness(fd)
}

/// By the kind of file: those that lie on a disk have none.
#[cfg(unix)]
fn may_have_readiness(fd: BorrowedFd<'_>) -> Result<bool> {
    use rustix::fs::{FileType, RawMode};
    let stat = tried(|| rustix::fs::fstat(fd))
        .map_err(|errno| Status::from_os_error(Operation::FenceImport, errno.raw_os_error()))?;
    let kind = FileType::from_raw_mode(stat.st_mode as RawMode);
    Ok(!matches!(kind, FileType::RegularFile | FileType::Directory | FileType::BlockDevice | FileType::Symlink))
}

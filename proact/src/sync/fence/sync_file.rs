//! The kernel's own fences, made for a value of a semaphore.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::ioctl;
use crate::backend::Token;
use crate::fault::tried;
use crate::status::{Code, Operation, Result, Status};
use crate::sync::{Armed, Semaphore, Sink, Waiter};

/// When `vgem` signals a fence by itself (`VGEM_FENCE_TIMEOUT`; without an error, tried on Linux 6.1 and 6.12).
const VGEM_EXPIRY: Duration = Duration::from_secs(10);

/// A value of a semaphore as a fence of the kernel's.
#[derive(Debug)]
pub struct SyncFile {
    /// The fence: a `sync_file`, the caller's, closed on exec.
    pub fence: OwnedFd,
    /// After this the kernel signals it by itself, as if the value had been reached. `None`: it does not.
    pub expires_after: Option<Duration>,
}

/// A fence of the `vgem` driver that stands for a value not reached yet.
struct Fence {
    /// Another descriptor of the same open device: a fence's number is good in that alone.
    device: OwnedFd,
    number: u32,
}

impl Sink for Fence {
    fn reached(&self, _: Token, _: u32) {
        // Does not block. It fails when the fence has expired: then it is signalled.
        let _ = ioctl::vgem_signal(self.device.as_fd(), self.number);
    }

    fn failed(&self, _: Token, _: u32) {
        // A program cannot end such a fence with an error. It expires.
    }
}

impl Semaphore {
    /// A `sync_file` of the kernel that is signalled when the semaphore has reached `value`, for a device or process
    /// that takes the kernel's own fences: made by `device`, the descriptor of a DRM device.
    ///
    /// The kernel must never wait for a program, so its drivers signal their fences by their own hardware's work. One
    /// lets a program do it: `vgem`, which the distributions' kernels have and which needs no hardware; its primary
    /// node (`/dev/dri/card*`) is needed, and the right to open it. And it lets no fence wait for ever: after ten
    /// seconds **it signals it by itself**, without an error, whatever the semaphore says. So is one signalled whose
    /// device is closed. That is told by [`SyncFile::expires_after`]: use such a fence where the value is certain to
    /// come in time, or where whoever waits looks at the semaphore as well. A fence of a value that was reached before
    /// is signalled from the start, and nothing expires.
    ///
    /// When the semaphore fails, or its last handle is dropped, the fence is left to expire: a program can give it no
    /// error. From any thread.
    ///
    /// # Errors
    /// `Unavailable`, with the driver's name, for a device whose driver makes no such fences, and for a kernel that
    /// exports none (before Linux 6.0); `InvalidArgument` for a descriptor that is no DRM device; the semaphore's
    /// failure, if it has failed below `value`; `ResourceExhausted` when no descriptor is left.
    ///
    /// ```
    /// use proact::status::Code;
    /// use proact::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// match std::fs::File::options().read(true).write(true).open("/dev/dri/card0") {
    ///     Ok(device) => match semaphore.export_sync_file(1, &device) {
    ///         Ok(made) => println!("signalled with the value, or after {:?}", made.expires_after),
    ///         Err(status) => println!("{status}"),
    ///     },
    ///     Err(_) => {} // no such device here
    /// }
    /// ```
    pub fn export_sync_file(&self, value: u64, device: impl AsFd) -> Result<SyncFile> {
        let device = device.as_fd();
        check_driver(device)?;
        if value <= self.value() {
            return Ok(SyncFile { fence: make(device, false)?.0, expires_after: None });
        }
        if let Some(failure) = self.status() {
            return Err(failure);
        }
        let kept = tried(|| rustix::io::fcntl_dupfd_cloexec(device, 3)).map_err(failed)?;
        let (fence, number) = make(device, true)?;
        let exported = SyncFile { fence, expires_after: Some(VGEM_EXPIRY) };
        let sink = Arc::new(Fence { device: kept, number });
        let waiter = Waiter { sink: sink.clone(), token: Token::new(0, 0), index: 0 };
        match self.arm(value, waiter) {
            Armed::Pending(_) => Ok(exported),
            Armed::Reached => {
                sink.reached(Token::new(0, 0), 0);
                Ok(exported)
            }
            Armed::Failed(failure) => Err(failure),
        }
    }
}

fn make(device: BorrowedFd<'_>, pending: bool) -> Result<(OwnedFd, u32)> {
    ioctl::vgem_fence(device, pending).map_err(|errno| match errno {
        // What a kernel answers that does not know the request.
        Errno::NOTTY => unavailable("the kernel exports no sync_file of a dmabuf (Linux 6.0)"),
        errno => failed(errno),
    })
}

/// Makes sure that the device can make what user space signals.
fn check_driver(device: BorrowedFd<'_>) -> Result {
    let (name, length) = ioctl::driver(device).map_err(|errno| match errno {
        Errno::NOTTY | Errno::INVAL => Status::new(Code::InvalidArgument, Operation::FenceExport)
            .with_message("the descriptor is not one of a DRM device"),
        errno => failed(errno),
    })?;
    match &name[..length] {
        b"vgem" => Ok(()),
        other => {
            let name = String::from_utf8_lossy(other).into_owned();
            Err(unavailable("the driver's fences are signalled by its own work alone; vgem's can be by a program")
                .with_context(name))
        }
    }
}

fn unavailable(why: &'static str) -> Status {
    Status::new(Code::Unavailable, Operation::FenceExport).with_message(why)
}

fn failed(errno: Errno) -> Status {
    Status::from_os_error(Operation::FenceExport, errno.raw_os_error())
}

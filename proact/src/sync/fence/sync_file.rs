//! The kernel's own fences, made for a value of a semaphore.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::ioctl;
use crate::backend::Token;
use crate::fault::tried;
use crate::status::{Code, Operation, Result, Status};
use crate::sync::{Armed, Semaphore, Sink, Waiter};

/// A fence of the `vgem` driver that stands for a value not reached yet.
struct Fence {
    /// Another descriptor of the same open device: a fence's number is good in that alone.
    device: OwnedFd,
    number: u32,
}

impl Sink for Fence {
    fn reached(&self, _: Token, _: u32) {
        // Does not block. It fails when the fence has timed out, which those who hold it have been told as an error.
        let _ = ioctl::vgem_signal(self.device.as_fd(), self.number);
    }

    fn failed(&self, _: Token, _: u32) {
        // User space cannot end such a fence with an error: it times out, which is one.
    }
}

impl Semaphore {
    /// A `sync_file` of the kernel that is signalled when the semaphore has reached `value`, for a device or process
    /// that takes the kernel's own fences: made by `device`, the descriptor of a DRM device.
    ///
    /// The kernel makes a fence that user space signals in one driver alone: `vgem`, which is in the kernels of the
    /// distributions and needs no hardware. Every other driver signals its fences by its own hardware's work, since the
    /// kernel must never wait for a program. For the same reason `vgem` ends a fence that is not signalled within ten
    /// seconds by itself, with the error `ETIMEDOUT`, which `SYNC_IOC_FILE_INFO` tells; so it goes when the
    /// semaphore fails or its last handle is dropped. Keep `device` open until then: what is left when its last
    /// descriptor is closed, `vgem` signals without an error.
    ///
    /// The device's primary node is needed (`/dev/dri/card*`), and the right to open it. The descriptor is the caller's
    /// and closed on exec. From any thread.
    ///
    /// # Errors
    /// `Unavailable`, with the driver's name, for a device whose driver makes no such fences, and for a kernel without
    /// them (before Linux 6.0); `InvalidArgument` for a descriptor that is no DRM device; the semaphore's failure, if
    /// it has failed below `value`; `ResourceExhausted` when no descriptor is left.
    ///
    /// ```
    /// use proact::status::Code;
    /// use proact::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// match std::fs::File::options().read(true).write(true).open("/dev/dri/card0") {
    ///     Ok(device) => match semaphore.export_sync_file(1, &device) {
    ///         Ok(fence) => drop(fence),
    ///         Err(status) => assert_eq!(status.code(), Code::Unavailable),
    ///     },
    ///     Err(_) => {} // no such device here
    /// }
    /// ```
    pub fn export_sync_file(&self, value: u64, device: impl AsFd) -> Result<OwnedFd> {
        let device = device.as_fd();
        check_driver(device)?;
        if value <= self.value() {
            return Ok(make(device, false)?.0);
        }
        if let Some(failure) = self.status() {
            return Err(failure);
        }
        let kept = tried(|| rustix::io::fcntl_dupfd_cloexec(device, 3)).map_err(failed)?;
        let (exported, number) = make(device, true)?;
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

//! The kernel's fences, as its headers say them: `linux/sync_file.h`, `linux/dma-buf.h`, `drm/drm.h`,
//! `drm/drm_mode.h`, `drm/vgem_drm.h`, which no crate here has.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::fault::tried;

/// How a request's number is made, on most processors; MIPS, PowerPC and SPARC have their own way (`asm/ioctl.h`).
const fn request<T>(direction: u32, kind: u8, number: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | (kind as u32) << 8 | number
}

const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;

/// `struct sync_file_info`.
#[repr(C)]
#[derive(Default)]
struct SyncFileInfo {
    name: [u8; 32],
    /// 0 active, 1 signalled, a negated error number.
    status: i32,
    flags: u32,
    fences: u32,
    padding: u32,
    /// Where the single fences are written; not asked for here.
    fence_info: u64,
}
const _: () = assert!(size_of::<SyncFileInfo>() == 56);
const SYNC_IOC_FILE_INFO: u32 = request::<SyncFileInfo>(READ_WRITE, b'>', 4);
const _: () = assert!(SYNC_IOC_FILE_INFO == 0xc038_3e04);

/// `struct drm_version`.
#[repr(C)]
struct Version {
    major: i32,
    minor: i32,
    patch: i32,
    name_length: usize,
    name: *mut u8,
    date_length: usize,
    date: *mut u8,
    description_length: usize,
    description: *mut u8,
}
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Version>() == 64);
const DRM_IOCTL_VERSION: u32 = request::<Version>(READ_WRITE, b'd', 0x00);

/// `struct drm_gem_close`.
#[repr(C)]
struct GemClose {
    handle: u32,
    padding: u32,
}
const _: () = assert!(size_of::<GemClose>() == 8);
const DRM_IOCTL_GEM_CLOSE: u32 = request::<GemClose>(WRITE, b'd', 0x09);

/// `struct drm_prime_handle`.
#[repr(C)]
struct PrimeHandle {
    handle: u32,
    flags: u32,
    fd: i32,
}
const _: () = assert!(size_of::<PrimeHandle>() == 12);
const DRM_IOCTL_PRIME_HANDLE_TO_FD: u32 = request::<PrimeHandle>(READ_WRITE, b'd', 0x2d);

/// `struct drm_mode_create_dumb`.
#[repr(C)]
#[derive(Default)]
struct CreateDumb {
    height: u32,
    width: u32,
    bits_per_pixel: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}
const _: () = assert!(size_of::<CreateDumb>() == 32);
const DRM_IOCTL_MODE_CREATE_DUMB: u32 = request::<CreateDumb>(READ_WRITE, b'd', 0xb2);

/// `struct drm_vgem_fence_attach`.
#[repr(C)]
struct FenceAttach {
    handle: u32,
    flags: u32,
    fence: u32,
    padding: u32,
}
const _: () = assert!(size_of::<FenceAttach>() == 16);
const DRM_IOCTL_VGEM_FENCE_ATTACH: u32 = request::<FenceAttach>(READ_WRITE, b'd', 0x41);
const VGEM_FENCE_WRITE: u32 = 1;

/// `struct drm_vgem_fence_signal`.
#[repr(C)]
struct FenceSignal {
    fence: u32,
    flags: u32,
}
const _: () = assert!(size_of::<FenceSignal>() == 8);
const DRM_IOCTL_VGEM_FENCE_SIGNAL: u32 = request::<FenceSignal>(WRITE, b'd', 0x42);

/// `struct dma_buf_export_sync_file`.
#[repr(C)]
struct ExportSyncFile {
    flags: u32,
    fd: i32,
}
const _: () = assert!(size_of::<ExportSyncFile>() == 8);
/// Since Linux 6.0.
const DMA_BUF_IOCTL_EXPORT_SYNC_FILE: u32 = request::<ExportSyncFile>(READ_WRITE, b'b', 2);
const DMA_BUF_SYNC_RW: u32 = 3;

/// Makes a request that begins anew when a signal comes between (`drmIoctl` of libdrm does the same).
///
/// # Safety
///
/// `number` is a request that reads and writes a `T`, and nothing else of this process but what `T` points to.
unsafe fn ioctl<T>(fd: BorrowedFd<'_>, number: u32, argument: &mut T) -> Result<(), Errno> {
    loop {
        let done = tried(|| {
            // SAFETY: the caller's promise; the argument is exclusively ours during the call.
            match unsafe { libc::ioctl(fd.as_raw_fd(), number as _, &raw mut *argument) } {
                -1 => Err(last_error()),
                _ => Ok(()),
            }
        });
        match done {
            Err(Errno::INTR | Errno::AGAIN) => {}
            done => return done,
        }
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// How it stands with a `sync_file`: 0 active, 1 signalled, below 0 the negated error that it ended with. `None`: it is
/// none.
pub(super) fn sync_file_status(fd: BorrowedFd<'_>) -> Option<i32> {
    #[cfg(test)]
    if let Some(status) = pretended::STATUS.get() {
        return Some(status);
    }
    let mut info = SyncFileInfo::default();
    // SAFETY: the request reads and writes this structure, and no list of fences since it asks for none.
    unsafe { ioctl(fd, SYNC_IOC_FILE_INFO, &mut info) }.ok()?;
    Some(info.status)
}

/// The name of the driver behind a DRM device's descriptor, cut to 32 bytes.
pub(super) fn driver(device: BorrowedFd<'_>) -> Result<([u8; 32], usize), Errno> {
    let mut name = [0; 32];
    let null = std::ptr::null_mut();
    let mut version = Version {
        major: 0,
        minor: 0,
        patch: 0,
        name_length: name.len(),
        name: name.as_mut_ptr(),
        date_length: 0,
        date: null,
        description_length: 0,
        description: null,
    };
    // SAFETY: the request writes this structure, and at most as many bytes of the name as it says there is room for.
    unsafe { ioctl(device, DRM_IOCTL_VERSION, &mut version) }?;
    Ok((name, version.name_length.min(32)))
}

/// One fence of the `vgem` driver, and the `sync_file` of it; without one to wait for, a `sync_file` that is signalled.
pub(super) fn vgem_fence(device: BorrowedFd<'_>, pending: bool) -> Result<(OwnedFd, u32), Errno> {
    let mut dumb = CreateDumb { height: 1, width: 1024, bits_per_pixel: 32, ..CreateDumb::default() };
    // SAFETY: the request reads and writes this structure alone.
    unsafe { ioctl(device, DRM_IOCTL_MODE_CREATE_DUMB, &mut dumb) }?;
    let made = fence_on(device, dumb.handle, pending);
    let mut close = GemClose { handle: dumb.handle, padding: 0 };
    // The fence lives on without its buffer, which was only made to hang it on.
    // SAFETY: as above.
    let closed = unsafe { ioctl(device, DRM_IOCTL_GEM_CLOSE, &mut close) };
    debug_assert!(closed.is_ok() || cfg!(feature = "fault-injection"), "{closed:?}");
    made
}

fn fence_on(device: BorrowedFd<'_>, handle: u32, pending: bool) -> Result<(OwnedFd, u32), Errno> {
    let mut attach = FenceAttach { handle, flags: VGEM_FENCE_WRITE, fence: 0, padding: 0 };
    let mut prime = PrimeHandle { handle, flags: (libc::O_CLOEXEC | libc::O_RDWR) as u32, fd: -1 };
    // SAFETY: the request reads and writes this structure alone.
    unsafe { ioctl(device, DRM_IOCTL_PRIME_HANDLE_TO_FD, &mut prime) }?;
    // SAFETY: the kernel has just made it for us.
    let buffer = unsafe { OwnedFd::from_raw_fd(prime.fd) };
    if pending {
        // SAFETY: as above.
        unsafe { ioctl(device, DRM_IOCTL_VGEM_FENCE_ATTACH, &mut attach) }?;
    }
    let mut export = ExportSyncFile { flags: DMA_BUF_SYNC_RW, fd: -1 };
    // SAFETY: as above.
    let exported = unsafe { ioctl(buffer.as_fd(), DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &mut export) };
    match exported {
        // SAFETY: the kernel has just made it for us.
        Ok(()) => Ok((unsafe { OwnedFd::from_raw_fd(export.fd) }, attach.fence)),
        Err(errno) => {
            if pending {
                let _ = vgem_signal(device, attach.fence);
            }
            Err(errno)
        }
    }
}

/// Signals a fence of the `vgem` driver. `ETIMEDOUT`: it had timed out before.
pub(super) fn vgem_signal(device: BorrowedFd<'_>, fence: u32) -> Result<(), Errno> {
    let mut signal = FenceSignal { fence, flags: 0 };
    // SAFETY: the request reads this structure alone.
    unsafe { ioctl(device, DRM_IOCTL_VGEM_FENCE_SIGNAL, &mut signal) }
}

/// No kernel that a test can count on has a fence that ends with an error.
#[cfg(test)]
pub(super) mod pretended {
    thread_local! {
        /// What every descriptor says of itself on this thread, as if it were a `sync_file`.
        pub static STATUS: std::cell::Cell<Option<i32>> = const { std::cell::Cell::new(None) };
    }
}

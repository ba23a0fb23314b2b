//! Devices that need no hardware: fences of the `vgem` driver, and memory that is shared as a dmabuf.
//!
//! Layouts and numbers are those of the kernel's headers `drm/drm.h`, `drm/drm_mode.h`, `drm/vgem_drm.h`,
//! `linux/sync_file.h`, `linux/dma-buf.h`, `linux/udmabuf.h` and `linux/dma-heap.h`, written down here once more: what
//! the library believes of them is what the cases are to show.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The number of a request, on most processors.
const fn request<T>(direction: u32, kind: u8, number: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | (kind as u32) << 8 | number
}

const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;

#[repr(C)]
struct DrmVersion {
    version: [i32; 3],
    name_length: usize,
    name: *mut u8,
    rest: [usize; 4],
}
const _: () = assert!(size_of::<usize>() != 8 || size_of::<DrmVersion>() == 64);
const DRM_IOCTL_VERSION: u32 = request::<DrmVersion>(READ_WRITE, b'd', 0x00);

#[repr(C)]
struct PrimeHandle {
    handle: u32,
    flags: u32,
    fd: i32,
}
const _: () = assert!(size_of::<PrimeHandle>() == 12);
const DRM_IOCTL_PRIME_HANDLE_TO_FD: u32 = request::<PrimeHandle>(READ_WRITE, b'd', 0x2d);

#[repr(C)]
#[derive(Default)]
struct CreateDumb {
    height: u32,
    width: u32,
    bits: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}
const _: () = assert!(size_of::<CreateDumb>() == 32);
const DRM_IOCTL_MODE_CREATE_DUMB: u32 = request::<CreateDumb>(READ_WRITE, b'd', 0xb2);

#[repr(C)]
struct FenceAttach {
    handle: u32,
    flags: u32,
    fence: u32,
    padding: u32,
}
const _: () = assert!(size_of::<FenceAttach>() == 16);
const DRM_IOCTL_VGEM_FENCE_ATTACH: u32 = request::<FenceAttach>(READ_WRITE, b'd', 0x41);
/// It guards a write, so that whoever reads waits for it.
const VGEM_FENCE_WRITE: u32 = 1;

#[repr(C)]
struct FenceSignal {
    fence: u32,
    flags: u32,
}
const _: () = assert!(size_of::<FenceSignal>() == 8);
const DRM_IOCTL_VGEM_FENCE_SIGNAL: u32 = request::<FenceSignal>(WRITE, b'd', 0x42);

#[repr(C)]
struct DmabufSyncFile {
    flags: u32,
    fd: i32,
}
const _: () = assert!(size_of::<DmabufSyncFile>() == 8);
const DMA_BUF_IOCTL_EXPORT_SYNC_FILE: u32 = request::<DmabufSyncFile>(READ_WRITE, b'b', 2);
const DMA_BUF_IOCTL_IMPORT_SYNC_FILE: u32 = request::<DmabufSyncFile>(WRITE, b'b', 3);
const DMA_BUF_SYNC_WRITE: u32 = 2;
const DMA_BUF_SYNC_RW: u32 = 3;

#[repr(C)]
struct SyncMerge {
    name: [u8; 32],
    second: i32,
    merged: i32,
    flags: u32,
    padding: u32,
}
const _: () = assert!(size_of::<SyncMerge>() == 48);
const SYNC_IOC_MERGE: u32 = request::<SyncMerge>(READ_WRITE, b'>', 3);

#[repr(C)]
#[derive(Default)]
struct SyncFileInfo {
    name: [u8; 32],
    status: i32,
    flags: u32,
    fences: u32,
    padding: u32,
    infos: u64,
}
const _: () = assert!(size_of::<SyncFileInfo>() == 56);
const SYNC_IOC_FILE_INFO: u32 = request::<SyncFileInfo>(READ_WRITE, b'>', 4);

#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}
const _: () = assert!(size_of::<UdmabufCreate>() == 24);
const UDMABUF_CREATE: u32 = request::<UdmabufCreate>(WRITE, b'u', 0x42);
const UDMABUF_FLAGS_CLOEXEC: u32 = 1;

#[repr(C)]
struct HeapAllocation {
    length: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}
const _: () = assert!(size_of::<HeapAllocation>() == 24);
const DMA_HEAP_IOCTL_ALLOC: u32 = request::<HeapAllocation>(READ_WRITE, b'H', 0);

/// Makes a request. Answers what the kernel did.
///
/// # Safety
///
/// `number` is a request that reads or writes a `T`, and nothing else but what it points to.
unsafe fn ioctl<T>(fd: impl AsFd, number: u32, argument: &mut T) -> std::io::Result<i32> {
    loop {
        // SAFETY: the caller's promise.
        let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), number as _, &raw mut *argument) };
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            _ if done >= 0 => return Ok(done),
            Some(libc::EINTR | libc::EAGAIN) => {}
            _ => return Err(error),
        }
    }
}

/// # Safety
///
/// The kernel has just made it, for the caller.
unsafe fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A device of the `vgem` driver.
pub struct Vgem {
    device: File,
}

/// Memory of such a device, and its dmabuf.
pub struct VgemBuffer {
    handle: u32,
    /// How long it is, in bytes.
    pub length: usize,
    /// Its dmabuf.
    pub dmabuf: OwnedFd,
}

impl Vgem {
    /// Looks for one; the reason if there is none.
    pub fn find() -> Result<Vgem, String> {
        let names = std::fs::read_dir("/dev/dri").map_err(|error| format!("no DRM devices: /dev/dri: {error}"))?;
        let mut seen = Vec::new();
        // Memory is made through a primary node alone.
        for entry in names.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("card")) {
            match File::options().read(true).write(true).open(entry.path()) {
                Ok(device) => match driver(&device) {
                    name if name == "vgem" => return Ok(Vgem { device }),
                    name => seen.push(format!("{}: {name}", entry.path().display())),
                },
                Err(error) => seen.push(format!("{}: {error}", entry.path().display())),
            }
        }
        Err(format!("no DRM device of the vgem driver (`modprobe vgem` makes one); seen: {seen:?}"))
    }

    /// The device's descriptor.
    pub fn device(&self) -> &File {
        &self.device
    }

    /// Makes memory of at least this many bytes.
    pub fn buffer(&self, bytes: usize) -> VgemBuffer {
        let height = bytes.div_ceil(4096) as u32;
        let mut dumb = CreateDumb { height, width: 1024, bits: 32, ..CreateDumb::default() };
        // SAFETY: the request reads and writes this structure.
        unsafe { ioctl(&self.device, DRM_IOCTL_MODE_CREATE_DUMB, &mut dumb) }.expect("CREATE_DUMB");
        let flags = (libc::O_CLOEXEC | libc::O_RDWR) as u32;
        let mut prime = PrimeHandle { handle: dumb.handle, flags, fd: -1 };
        // SAFETY: as above.
        unsafe { ioctl(&self.device, DRM_IOCTL_PRIME_HANDLE_TO_FD, &mut prime) }.expect("PRIME_HANDLE_TO_FD");
        // SAFETY: just made.
        let dmabuf = unsafe { owned(prime.fd) };
        VgemBuffer { handle: dumb.handle, length: dumb.size as usize, dmabuf }
    }

    /// Hangs a fence on the memory, for what will be written there. Answers its number.
    pub fn attach(&self, buffer: &VgemBuffer) -> u32 {
        let mut attach = FenceAttach { handle: buffer.handle, flags: VGEM_FENCE_WRITE, fence: 0, padding: 0 };
        // SAFETY: the request reads and writes this structure.
        unsafe { ioctl(&self.device, DRM_IOCTL_VGEM_FENCE_ATTACH, &mut attach) }.expect("VGEM_FENCE_ATTACH");
        attach.fence
    }

    /// Signals a fence.
    pub fn signal(&self, fence: u32) -> std::io::Result<()> {
        let mut signal = FenceSignal { fence, flags: 0 };
        // SAFETY: the request reads this structure.
        unsafe { ioctl(&self.device, DRM_IOCTL_VGEM_FENCE_SIGNAL, &mut signal) }.map(drop)
    }

    /// A fence on memory of its own: its number, and its `sync_file`.
    pub fn fence(&self) -> (u32, OwnedFd) {
        let buffer = self.buffer(4096);
        let fence = self.attach(&buffer);
        (fence, sync_file_of(&buffer.dmabuf))
    }
}

fn driver(device: &File) -> String {
    let mut name = [0u8; 32];
    let mut version = DrmVersion { version: [0; 3], name_length: name.len(), name: name.as_mut_ptr(), rest: [0; 4] };
    // SAFETY: the request writes this structure, and of the name what there is room for.
    match unsafe { ioctl(device, DRM_IOCTL_VERSION, &mut version) } {
        Ok(_) => String::from_utf8_lossy(&name[..version.name_length.min(32)]).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// The fences of a dmabuf, as one `sync_file`.
pub fn sync_file_of(dmabuf: &OwnedFd) -> OwnedFd {
    let mut export = DmabufSyncFile { flags: DMA_BUF_SYNC_RW, fd: -1 };
    // SAFETY: the request reads and writes this structure.
    unsafe { ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &mut export) }.expect("DMA_BUF_IOCTL_EXPORT_SYNC_FILE");
    // SAFETY: just made.
    unsafe { owned(export.fd) }
}

/// Hangs a `sync_file` on a dmabuf: whoever reads that waits for it.
pub fn guard_by(dmabuf: &OwnedFd, fence: &OwnedFd) {
    let mut import = DmabufSyncFile { flags: DMA_BUF_SYNC_WRITE, fd: fence.as_raw_fd() };
    // SAFETY: the request reads this structure.
    unsafe { ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &mut import) }.expect("DMA_BUF_IOCTL_IMPORT_SYNC_FILE");
}

/// Two `sync_file`s as one, which is signalled with the later.
pub fn merge(first: &OwnedFd, second: &OwnedFd) -> OwnedFd {
    let mut merge = SyncMerge {
        name: *b"proact-cts merged fence\0\0\0\0\0\0\0\0\0",
        second: second.as_raw_fd(),
        merged: -1,
        flags: 0,
        padding: 0,
    };
    // SAFETY: the request reads and writes this structure.
    unsafe { ioctl(first, SYNC_IOC_MERGE, &mut merge) }.expect("SYNC_IOC_MERGE");
    // SAFETY: just made.
    unsafe { owned(merge.merged) }
}

/// How it stands with a `sync_file`: 0 active, 1 signalled, below 0 the error.
pub fn status_of(fence: &OwnedFd) -> i32 {
    let mut info = SyncFileInfo::default();
    // SAFETY: the request writes this structure, and no fences, of which it asks for none.
    unsafe { ioctl(fence, SYNC_IOC_FILE_INFO, &mut info) }.expect("SYNC_IOC_FILE_INFO");
    info.status
}

/// Memory of this process's own as a dmabuf, by `/dev/udmabuf`: the memory object, and the dmabuf.
pub fn udmabuf(length: usize) -> Result<(OwnedFd, OwnedFd), String> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let device = File::options().read(true).write(true).open("/dev/udmabuf");
    let device = device.map_err(|error| format!("/dev/udmabuf: {error}"))?;
    let memory = rustix::fs::memfd_create("proact-cts", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&memory, length as u64).unwrap();
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
    let memfd = memory.as_raw_fd() as u32;
    let mut create = UdmabufCreate { memfd, flags: UDMABUF_FLAGS_CLOEXEC, offset: 0, size: length as u64 };
    // SAFETY: the request reads this structure.
    let fd = unsafe { ioctl(&device, UDMABUF_CREATE, &mut create) }.expect("UDMABUF_CREATE");
    // SAFETY: just made.
    Ok((memory, unsafe { owned(fd) }))
}

/// Memory of the system's heap for devices.
pub fn heap_dmabuf(length: usize) -> Result<OwnedFd, String> {
    let heap = File::options().read(true).write(true).open("/dev/dma_heap/system");
    let heap = heap.map_err(|error| format!("/dev/dma_heap/system: {error}"))?;
    let fd_flags = (libc::O_RDWR | libc::O_CLOEXEC) as u32;
    let mut allocation = HeapAllocation { length: length as u64, fd: 0, fd_flags, heap_flags: 0 };
    // SAFETY: the request reads and writes this structure.
    unsafe { ioctl(&heap, DMA_HEAP_IOCTL_ALLOC, &mut allocation) }.expect("DMA_HEAP_IOCTL_ALLOC");
    // SAFETY: just made.
    Ok(unsafe { owned(allocation.fd as i32) })
}

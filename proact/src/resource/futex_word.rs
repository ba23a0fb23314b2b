//! Words that threads and processes wait for.

use std::sync::Arc;

use crate::atomic::KernelWord;

/// A 32-bit word that threads, processes and operations wait for and wake, in counted storage.
///
/// A private one is this process's alone; one [in shared memory](FutexWord::in_shared_memory) is met by every process
/// that maps the same file. Change the word before you wake it: a waiter that is on its way looks at the value, not for
/// the wake.
///
/// ```
/// use proact::resource::FutexWord;
/// use std::sync::atomic::Ordering;
/// let word = FutexWord::new(7);
/// assert_eq!(word.clone().atomic().swap(8, Ordering::SeqCst), 7);
/// assert_eq!(word.atomic().load(Ordering::SeqCst), 8);
/// ```
#[derive(Clone, Debug)]
pub struct FutexWord {
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    Private(Arc<KernelWord>),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Shared(Arc<Mapping>),
}

impl FutexWord {
    /// A word of this process.
    pub fn new(value: u32) -> FutexWord {
        FutexWord { storage: Storage::Private(Arc::new(KernelWord::new(value))) }
    }

    /// The word itself.
    pub fn atomic(&self) -> &std::sync::atomic::AtomicU32 {
        match &self.storage {
            Storage::Private(word) => word,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Storage::Shared(mapping) => mapping.word(),
        }
    }

    /// Whether other processes may meet it.
    pub fn is_shared(&self) -> bool {
        !matches!(self.storage, Storage::Private(_))
    }

    pub(crate) fn as_ptr(&self) -> *const u32 {
        self.atomic().as_ptr()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod shared {
    use std::os::fd::BorrowedFd;

    use rustix::mm::{MapFlags, ProtFlags};

    use super::{Arc, FutexWord, KernelWord, Storage};
    use crate::status::{Code, Operation, Result, Status};

    /// One word of a file, mapped with the pages around it.
    #[derive(Debug)]
    pub(super) struct Mapping {
        base: *mut std::ffi::c_void,
        length: usize,
        /// Where in the mapping the word is.
        at: usize,
    }

    // SAFETY: the mapping is of memory that any thread may use, and only the one atomic word of it is ever touched.
    unsafe impl Send for Mapping {}
    // SAFETY: as above.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        pub(super) fn word(&self) -> &KernelWord {
            // SAFETY: four bytes at a multiple of four, within the mapping, which lives as long as `self`; everyone who
            // shares the memory uses the word atomically, or is another process, which cannot make this one's accesses
            // anything but atomic.
            unsafe { KernelWord::from_ptr(self.base.cast::<u8>().add(self.at).cast()) }
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: mapped by `in_shared_memory` with this length, and no reference to it is left.
            let _ = unsafe { rustix::mm::munmap(self.base, self.length) };
        }
    }

    impl FutexWord {
        /// The word at byte `offset` (a multiple of four) of a file that processes share, such as a memfd.
        ///
        /// The file must keep its length: a process that touches a page which another has cut off is ended by the
        /// system. Seal it (`F_SEAL_SHRINK`) against a peer that is not trusted.
        ///
        /// # Errors
        /// `InvalidArgument` for an offset that is no multiple of four, `OutOfRange` for one beyond the file's end, and
        /// what the system says of a file that cannot be mapped for writing.
        pub fn in_shared_memory(fd: BorrowedFd<'_>, offset: u64) -> Result<FutexWord> {
            let operation = Operation::FutexWait;
            let failed = |errno: rustix::io::Errno| Status::from_os_error(operation, errno.raw_os_error());
            if offset % 4 != 0 {
                return Err(
                    Status::new(Code::InvalidArgument, operation).with_message("a word lies at a multiple of 4")
                );
            }
            let size = rustix::fs::fstat(fd).map_err(failed)?.st_size as u64;
            if offset.checked_add(4).is_none_or(|end| end > size) {
                return Err(Status::new(Code::OutOfRange, operation).with_message("the word is not within the file"));
            }
            let page = rustix::param::page_size();
            let start = offset / page as u64 * page as u64;
            // SAFETY: a new mapping, which nothing else refers to.
            let base = unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    page,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED,
                    fd,
                    start,
                )
            };
            let mapping = Mapping { base: base.map_err(failed)?, length: page, at: (offset - start) as usize };
            Ok(FutexWord { storage: Storage::Shared(Arc::new(mapping)) })
        }

        /// Wakes at most `count` threads and operations that wait for the word, here and now, from any thread. Answers
        /// how many. The operation [`FutexWake`](crate::operation::FutexWake) does the same in its turn.
        pub fn wake(&self, count: u32) -> u32 {
            let woken = crate::backend::workers::futex::wake(self.as_ptr(), count, self.is_shared());
            // The address is valid, so that the call cannot fail.
            debug_assert!(woken >= 0, "waking a word failed: {woken}");
            woken.max(0) as u32
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use shared::Mapping;

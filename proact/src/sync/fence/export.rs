//! Values of a semaphore as descriptors that others poll.

use std::sync::{Arc, PoisonError, Weak};

use crate::atomic::{AtomicBool, Mutex, Ordering};
use crate::backend::{Descriptor, Token};
use crate::sync::Sink;

/// One exported value: an eventfd that is written once.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))] // nothing makes one there
pub(crate) struct Export {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    event: std::os::fd::OwnedFd,
    /// Written, or about to be, by whoever set this.
    told: AtomicBool,
}

impl Export {
    /// What the kernel writes to, in a lowered chain.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn descriptor(&self) -> Descriptor {
        use std::os::fd::AsRawFd;
        Descriptor(self.event.as_raw_fd().into())
    }

    /// There is no export here.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::NONE
    }

    /// The kernel has written it: nobody else need.
    pub(crate) fn told_by_kernel(&self) {
        self.told.store(true, Ordering::Release);
    }
}

impl Sink for Export {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn reached(&self, _: Token, _: u32) {
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        // An eventfd whose counter is not at its maximum takes a write without blocking, and this one is written once
        // by us, and once more at most by a kernel's chain that was on its way.
        loop {
            match rustix::io::write(&self.event, &1u64.to_ne_bytes()) {
                Err(rustix::io::Errno::INTR) => {}
                // AGAIN: its holder has written it full, so it is readable.
                Ok(_) | Err(_) => return,
            }
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn reached(&self, _: Token, _: u32) {}

    fn failed(&self, _: Token, _: u32) {
        // It stays unreadable: a fence that was never signalled. The semaphore says why.
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({})", self.descriptor().0)
    }
}

/// What of a semaphore has been exported and is not told yet, for chains that let the kernel tell it.
///
/// The waiters keep the exports; this only finds them, so it holds nothing that they do not. Whoever has exported
/// nothing pays a load.
pub(crate) struct Exports {
    /// Whether there may be any. Written under the lock.
    some: AtomicBool,
    list: Mutex<Vec<(u64, Weak<Export>)>>,
}

impl Exports {
    pub(crate) fn new() -> Exports {
        Exports { some: AtomicBool::new(false), list: Mutex::new(Vec::new()) }
    }

    /// The first export of `value` that is still to be told.
    pub(crate) fn at(&self, value: u64) -> Option<Arc<Export>> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, export)| export.strong_count() > 0);
        self.some.store(!list.is_empty(), Ordering::Release);
        let at = list.iter().filter(|(exported, _)| *exported == value);
        at.filter_map(|(_, export)| export.upgrade()).find(|export| !export.told.load(Ordering::Acquire))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn add(&self, value: u64, export: &Arc<Export>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, export)| export.strong_count() > 0);
        list.push((value, Arc::downgrade(export)));
        self.some.store(true, Ordering::Release);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::OwnedFd;

    use rustix::event::EventfdFlags;

    use super::*;
    use crate::fault::tried;
    use crate::status::{Code, Operation, Result, Status};
    use crate::sync::{Armed, Primitive, Semaphore, Waiter};

    impl Semaphore {
        /// A descriptor that becomes readable when the semaphore has reached `value`, and stays so: for anything that
        /// polls, in this process or, passed over a Unix socket, in another. Readable at once if the value is reached
        /// already.
        ///
        /// It is an eventfd, non-blocking and closed on exec, and the caller's to close. Reading it would empty it;
        /// poll it instead. If the semaphore fails first, or has failed, it never becomes readable, and
        /// [`Semaphore::status`] says why; nor does it when the last handle of the semaphore is dropped before. Several
        /// exports, of one value too, are each their own descriptor. From any thread; no proactor is needed.
        ///
        /// Of a semaphore that a device drives it is the device's own descriptor, where that has one
        /// ([`Timeline::export_primitive`](crate::sync::Timeline::export_primitive)): then whoever polls hears of it
        /// from the device itself. What such a descriptor is, and how it fails, the device says.
        ///
        /// Two descriptors are used until the value is reached: the caller's and one that the signaller writes.
        ///
        /// A signal of exactly this value that stands behind a receive in a [`Chain`](crate::operation::Chain) may go
        /// to the kernel with it, which then writes the descriptor by itself.
        ///
        /// # Errors
        /// `ResourceExhausted` when no descriptor is left; what the semaphore's device answers, but that it has none.
        ///
        /// ```
        /// use proact::operation::{Op, PollHandle};
        /// use proact::sync::Semaphore;
        ///
        /// let semaphore = Semaphore::new(0);
        /// let fence = semaphore.export_pollable(3)?;
        /// semaphore.signal(5, None)?;
        ///
        /// // Whoever polls it: here a proactor, which knows nothing of the semaphore.
        /// let mut other = proact::proactor::Builder::new().build()?;
        /// let fence = other.handle().import_pollable(fence);
        /// other.submit(Op::new(PollHandle::readable(fence), ())).unwrap();
        /// other.run()?;
        /// # Ok::<(), proact::status::Status>(())
        /// ```
        pub fn export_pollable(&self, value: u64) -> Result<OwnedFd> {
            if let Some(descriptor) = self.export_by_device(value)? {
                return Ok(descriptor);
            }
            let failed = |errno: rustix::io::Errno| Status::from_os_error(Operation::FenceExport, errno.raw_os_error());
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let event = tried(|| rustix::event::eventfd(0, flags)).map_err(failed)?;
            let theirs = tried(|| rustix::io::fcntl_dupfd_cloexec(&event, 3)).map_err(failed)?;
            let export = Arc::new(Export { event, told: AtomicBool::new(false) });
            let waiter = Waiter { sink: export.clone(), token: Token::new(0, 0), index: 0 };
            match self.arm(value, waiter) {
                Armed::Pending(_) => self.exports().add(value, &export),
                Armed::Reached => export.reached(Token::new(0, 0), 0),
                Armed::Failed(_) => {}
            }
            Ok(theirs)
        }

        /// What the device that drives the semaphore has for this, if one does and it has.
        fn export_by_device(&self, value: u64) -> Result<Option<OwnedFd>> {
            if !self.is_driven() || value <= self.value() || self.status().is_some() {
                return Ok(None);
            }
            match self.export_primitive(value) {
                Ok(Primitive::Descriptor(descriptor)) => Ok(Some(descriptor)),
                Ok(_) => Ok(None),
                Err(status) if status.code() == Code::Unavailable || self.status().is_some() => Ok(None),
                Err(status) => Err(status.with_operation(Operation::FenceExport)),
            }
        }
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use crate::sync::Semaphore;

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
impl Semaphore {
    /// A descriptor that becomes readable when the semaphore has reached `value`.
    ///
    /// # Errors
    /// `Unavailable`: this system has no eventfds.
    pub fn export_pollable(&self, value: u64) -> crate::status::Result<std::os::fd::OwnedFd> {
        use crate::status::{Code, Operation, Status};
        let _ = value;
        Err(Status::new(Code::Unavailable, Operation::FenceExport).with_message("no eventfds on this system"))
    }
}

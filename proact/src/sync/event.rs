//! Events: a flag that any thread sets and one waiter takes.

use super::event_pool::Held;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::backend::Descriptor;
use crate::backend::DescriptorMode;
use crate::resource::{Home, Resource};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::status::{Code, preserving_errno};
use crate::status::{Operation, Result, Status};

/// A flag that is set from any thread, and reset by the [`EventWait`](crate::operation::EventWait) that it completes.
///
/// Sets coalesce: several before a wait complete one wait. On Linux it is an eventfd. The last handle closes it, or, if
/// it is of an [`EventPool`](super::EventPool), gives it back.
#[derive(Clone, Debug)]
pub struct Event {
    resource: Held,
}

impl Event {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The event of this handle.
    #[inline]
    pub(super) fn of(resource: Held) -> Event {
        Event { resource }
    }

    pub(crate) fn create(home: Home) -> Result<Event> {
        Ok(Event { resource: Held::new(Event::descriptor(home)?) })
    }

    /// Sets the event. Setting a set event changes nothing.
    ///
    /// Any thread, and signal handlers: it allocates nothing, takes no lock, and leaves `errno` alone. A close of the
    /// event waits until no call is under way, so that none writes to a descriptor that has become another's.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed, and on another thread than the world's for one of a simulated world.
    #[track_caller]
    #[inline]
    pub fn set(&self) -> Result<()> {
        if self.resource.is_own() {
            return self.set_own(1, Operation::EventSet);
        }
        self.call_set()
    }

    #[cold]
    fn set_own(&self, value: u64, operation: Operation) -> Result<()> {
        self.resource.touch();
        self.resource.own(operation, |system, event| system.set_event(event, value))
    }

    /// What a relay does, on a poll thread. `value` is 1, or the event was imported: so the write does not wait.
    pub(crate) fn add(&self, value: u64) -> Result<()> {
        if self.resource.is_own() {
            return self.set_own(value, Operation::Relay);
        }
        self.call_add(value)
    }

    /// A new event's descriptor.
    pub(super) fn descriptor(home: Home) -> Result<Resource> {
        if home.mode != DescriptorMode::Own {
            return Event::call_descriptor(home);
        }
        let system = crate::resource::own_system(home, Operation::EventCreate)?;
        let event = system.event().map_err(|errno| Status::from_os_error(Operation::EventCreate, errno))?;
        Ok(Resource::adopt(home, event))
    }

    /// Resets an event that nobody else has a handle to.
    pub(super) fn reset(resource: &Resource) -> Result<()> {
        if resource.is_own() {
            return resource.own(Operation::EventCreate, |system, event| system.reset_event(event));
        }
        Event::call_reset(resource)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[track_caller]
    #[inline]
    fn call_set(&self) -> Result<()> {
        self.resource.touch();
        match self.resource.using(|descriptor| preserving_errno(|| raise(descriptor))) {
            Some(Ok(())) => Ok(()),
            Some(Err(errno)) => Err(Status::bare(Code::from_os_error(errno), Operation::EventSet, errno)),
            None => Err(Status::bare(Code::FailedPrecondition, Operation::EventSet, 0)),
        }
    }

    /// Whether its descriptor was somebody else's, so that its write never waits.
    pub(crate) fn is_imported(&self) -> bool {
        self.resource.is_imported()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn call_add(&self, value: u64) -> Result<()> {
        self.resource.touch();
        let added = self.resource.using(|descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            crate::fault::retry_on_intr(|| rustix::io::write(fd, &value.to_ne_bytes()))
        });
        match added {
            // AGAIN: no room for it, so it is set.
            Some(Ok(_) | Err(rustix::io::Errno::AGAIN)) => Ok(()),
            Some(Err(errno)) => Err(Status::from_os_error(Operation::Relay, errno.raw_os_error())),
            None => Err(Status::new(Code::FailedPrecondition, Operation::Relay).with_message("its sink is closed")),
        }
    }

    /// Takes an eventfd in, unless it is none.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn import(
        home: Home,
        fd: std::os::fd::OwnedFd,
    ) -> Result<Event, crate::resource::Returned<std::os::fd::OwnedFd>> {
        use std::os::fd::{AsFd, IntoRawFd};
        let checked = match home.mode {
            DescriptorMode::Own => Err(crate::resource::no_descriptor(Operation::EventCreate)),
            DescriptorMode::Blocking | DescriptorMode::NonBlocking => prepare(fd.as_fd()),
        };
        match checked {
            Ok(()) => {
                let descriptor = crate::backend::Descriptor(fd.into_raw_fd().into());
                Ok(Event { resource: Held::imported(Resource::adopt(home, descriptor)) })
            }
            Err(status) => Err(crate::resource::Returned { resource: fd, status }),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn call_descriptor(home: Home) -> Result<Resource> {
        use std::os::fd::IntoRawFd;
        let mut flags = rustix::event::EventfdFlags::CLOEXEC;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            flags |= rustix::event::EventfdFlags::NONBLOCK;
        }
        let fd = crate::fault::tried(|| rustix::event::eventfd(0, flags))
            .map_err(|error| Status::from_os_error(Operation::EventCreate, error.raw_os_error()))?;
        Ok(Resource::adopt(home, crate::backend::Descriptor(fd.into_raw_fd().into())))
    }

    /// No wait is in flight on it, so it is asked first whether it is set: its descriptor may be one whose read would
    /// wait.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn call_reset(resource: &Resource) -> Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec};
        resource.with(Operation::EventCreate, |descriptor| {
            let failed = |error: rustix::io::Errno| Status::from_os_error(Operation::EventCreate, error.raw_os_error());
            // SAFETY: the resource keeps the descriptor open while its lock is held.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            let mut asked = [PollFd::new(&fd, PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let set = crate::fault::retry_on_intr(|| rustix::event::poll(&mut asked, Some(&at_once)));
            if set.map_err(failed)? > 0 {
                crate::fault::retry_on_intr(|| rustix::io::read(fd, &mut [0u8; 8])).map_err(failed)?;
            }
            Ok(())
        })
    }
}

/// Adds one to the counter of an eventfd.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn raise(descriptor: Descriptor) -> Result<(), i32> {
    // SAFETY: the resource keeps the descriptor open while it is used.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
    loop {
        match rustix::io::write(fd, &1u64.to_ne_bytes()) {
            // AGAIN: the counter is at its maximum, so it is set.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.raw_os_error()),
        }
    }
}

/// Refuses what is no eventfd; makes one never wait.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn prepare(fd: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use crate::fault::{tried, tried_io};
    let failed = |error: rustix::io::Errno| Status::from_os_error(Operation::EventCreate, error.raw_os_error());
    // No call tells what lies behind a descriptor that is no file (proc(5), /proc/pid/fd).
    let link = tried_io(|| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))).map_err(|error| {
        Status::from_io_error(Operation::EventCreate, &error).with_context("/proc, to see whether it is an eventfd")
    })?;
    if link.as_os_str() != "anon_inode:[eventfd]" {
        let found = format!("not an eventfd but {}", link.display());
        return Err(Status::new(Code::InvalidArgument, Operation::EventCreate).with_message(found));
    }
    let flags = tried(|| rustix::io::fcntl_getfd(fd)).map_err(failed)?;
    tried(|| rustix::io::fcntl_setfd(fd, flags | rustix::io::FdFlags::CLOEXEC)).map_err(failed)?;
    // The last thing, so that what is refused waits as it did.
    let flags = tried(|| fcntl_getfl(fd)).map_err(failed)?;
    tried(|| fcntl_setfl(fd, flags | OFlags::NONBLOCK)).map_err(failed)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Event {
    fn call_set(&self) -> Result<()> {
        Err(unavailable())
    }

    fn call_add(&self, _: u64) -> Result<()> {
        Err(unavailable())
    }

    #[cfg(unix)]
    pub(crate) fn import(
        _: Home,
        fd: std::os::fd::OwnedFd,
    ) -> Result<Event, crate::resource::Returned<std::os::fd::OwnedFd>> {
        Err(crate::resource::Returned { resource: fd, status: unavailable() })
    }

    fn call_descriptor(_: Home) -> Result<Resource> {
        Err(unavailable())
    }

    fn call_reset(_: &Resource) -> Result<()> {
        Err(unavailable())
    }
}

crate::resource::named!(Event);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unavailable() -> Status {
    Status::new(crate::status::Code::Unavailable, Operation::EventCreate).with_message("no events on this system yet")
}

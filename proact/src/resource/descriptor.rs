//! The counted owner of one descriptor.

use std::sync::{Arc, OnceLock, PoisonError};

use super::users::Users;
use crate::atomic::{AtomicBool, AtomicU32, Mutex, Ordering};
use crate::backend::{Descriptor, DescriptorMode, System, system_of};
use crate::once_box::OnceBox;
use crate::status::{Code, Operation, Result, Status};

/// Which proactor a resource belongs to, and how its descriptors are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Home {
    pub(crate) proactor: u32,
    pub(crate) mode: DescriptorMode,
}

/// Which queue of its resource an operation stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Sends on a stream: one at a time, in order.
    Send,
    /// Receives on a stream: one at a time, in order.
    Receive,
    /// Everything else: side by side.
    Other,
}

/// One descriptor, its home, and what the home's poll thread keeps beside it.
///
/// The descriptor is closed in one of two ways, never both: by [`Resource::take`], whose caller then owns it, or when
/// the last handle drops. In-flight operations hold a handle, so neither happens under them: `take` is called by the
/// close operation only after the last of them has ended.
pub struct Resource {
    home: Home,
    /// What keeps a call from another thread (a set of an event, a socket option, an address query) from using a number
    /// that a close has just given back to the system.
    users: Users,
    /// For the poll thread, which is also the only one that closes, and for [users](Resource::with).
    raw: Descriptor,
    closing: AtomicBool,
    /// Index of the home engine's record of operations on this resource. Only the home's poll thread touches it.
    record: AtomicU32,
    /// One more than its place among the backend's registered descriptors; 0: none. Only the home's poll thread touches
    /// it.
    place: AtomicU32,
    /// It is a stream with a peer: the first failure of a transfer is final.
    keeps_failures: AtomicBool,
    /// Made when the first of it is: of thousands of idle connections few have any.
    rare: OnceBox<Rare>,
}

// An idle connection's, with the two counts before it: a block of 56 bytes and its word make one of 64.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Resource>() <= 40);

/// What few resources have.
struct Rare {
    /// What made the descriptor, where that is not the operating system.
    system: Option<Arc<dyn System>>,
    failure: OnceLock<Status>,
    /// What the program calls it. Asked for where something is shown or has failed, and nowhere else.
    name: Mutex<Option<Arc<str>>>,
}

impl Rare {
    fn new(system: Option<Arc<dyn System>>) -> Rare {
        Rare { system, failure: OnceLock::new(), name: Mutex::new(None) }
    }
}

impl Resource {
    /// No record: nothing is in flight on it.
    pub(crate) const NO_RECORD: u32 = u32::MAX;

    /// Takes ownership of `descriptor`, which was made as the home has its descriptors made.
    pub(crate) fn adopt(home: Home, descriptor: Descriptor) -> Resource {
        let system = match home.mode {
            DescriptorMode::Own => system_of(home.proactor),
            DescriptorMode::Blocking => None,
            #[cfg(any(unix, feature = "unstable-backend"))]
            DescriptorMode::NonBlocking => None,
        };
        Resource::adopt_as(home, descriptor, system)
    }

    /// Takes ownership of `descriptor`, which is the operating system's.
    #[cfg(unix)]
    pub(crate) fn adopt_of_system(home: Home, descriptor: Descriptor) -> Resource {
        Resource::adopt_as(home, descriptor, None)
    }

    fn adopt_as(home: Home, descriptor: Descriptor, system: Option<Arc<dyn System>>) -> Resource {
        let rare = OnceBox::new(system.map(|system| Box::new(Rare::new(Some(system)))));
        Resource {
            home,
            users: Users::new(),
            raw: descriptor,
            closing: AtomicBool::new(false),
            record: AtomicU32::new(Resource::NO_RECORD),
            place: AtomicU32::new(0),
            keeps_failures: AtomicBool::new(false),
            rare,
        }
    }

    /// For requests, on the home's poll thread, while an operation holds the resource.
    pub(crate) fn raw(&self) -> Descriptor {
        #[cfg(unix)]
        return self.raw.with_place(self.place.load(Ordering::Relaxed).checked_sub(1));
        #[cfg(not(unix))]
        self.raw
    }

    /// Its place among the backend's registered descriptors.
    pub(crate) fn set_place(&self, place: Option<u32>) {
        self.place.store(place.map_or(0, |place| place + 1), Ordering::Relaxed);
    }

    /// Whether its descriptor is a [`System`]'s and not the operating system's.
    #[inline]
    pub(crate) fn is_own(&self) -> bool {
        self.system().is_some()
    }

    #[inline]
    fn system(&self) -> Option<&Arc<dyn System>> {
        self.rare.get()?.system.as_ref()
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_make(|| Rare::new(None))
    }

    /// Asks the resource's own system, which it must have. FailedPrecondition once it is closed.
    #[track_caller]
    pub(crate) fn own<R>(
        &self,
        operation: Operation,
        f: impl FnOnce(&dyn System, Descriptor) -> Result<R, i32>,
    ) -> Result<R> {
        let Some(system) = self.system() else { return Err(gone(operation)) };
        if !system.is_here() {
            return Err(self.explain(elsewhere(operation)));
        }
        match self.using(|descriptor| f(&**system, descriptor)) {
            Some(answer) => answer.map_err(|errno| Status::from_os_error(operation, errno)),
            None => Err(Status::new(Code::FailedPrecondition, operation).with_message("the resource is closed")),
        }
        .map_err(|status| self.explain(status))
    }

    /// Runs `f` with the descriptor; it cannot be closed meanwhile. FailedPrecondition once it is closed, Unavailable
    /// for one that the operating system does not know.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn with<R>(&self, operation: Operation, f: impl FnOnce(Descriptor) -> Result<R>) -> Result<R> {
        let system = self.is_own();
        match self.using(|descriptor| if system { Err(no_descriptor(operation)) } else { f(descriptor) }) {
            Some(result) => result,
            None => Err(Status::new(Code::FailedPrecondition, operation).with_message("the resource is closed")),
        }
        .map_err(|status| self.explain(status))
    }

    /// Refuses what needs a descriptor of the operating system of a resource that has none.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn has_descriptor(&self, operation: Operation) -> Result<()> {
        match self.system() {
            None => Ok(()),
            Some(_) => Err(self.explain(no_descriptor(operation))),
        }
    }

    /// Gives it a name, instead of the one that it has.
    pub(crate) fn set_name(&self, name: Arc<str>) {
        *self.rare().name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.rare.get()?.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says in a failure which resource it was about, if it has a name. Saying it twice changes nothing.
    #[cold]
    pub(crate) fn explain(&self, status: Status) -> Status {
        about(self.name(), status)
    }

    /// [`Resource::with`], fit for a signal handler if `f` is: no lock, no allocation. `None` once it is closed.
    ///
    /// A close waits for `f`, which must neither wait for that nor block.
    pub(crate) fn using<R>(&self, f: impl FnOnce(Descriptor) -> R) -> Option<R> {
        /// Goes out also where `f` panics.
        struct Inside<'a>(&'a Users);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        if !self.users.enter() {
            return None;
        }
        let _inside = Inside(&self.users);
        Some(f(self.raw))
    }

    /// Another descriptor of the same open file, which the caller owns.
    #[cfg(unix)]
    pub(crate) fn duplicate(&self, operation: Operation) -> Result<Descriptor> {
        use std::os::fd::{BorrowedFd, IntoRawFd};
        if self.is_own() {
            return self.own(operation, |system, descriptor| system.duplicate(descriptor));
        }
        self.with(operation, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while `with` runs.
            let fd = unsafe { BorrowedFd::borrow_raw(descriptor.fd()) };
            match crate::fault::tried(|| rustix::io::fcntl_dupfd_cloexec(fd, 3)) {
                Ok(fd) => Ok(Descriptor(fd.into_raw_fd().into())),
                Err(errno) => Err(Status::from_os_error(operation, errno.raw_os_error())),
            }
        })
    }

    /// Has the system answer that a call would wait instead of waiting, from now on, whoever calls. Every backend takes
    /// that answer.
    #[cfg(unix)]
    pub(crate) fn never_block(&self, operation: Operation) -> Result<()> {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        if self.is_own() {
            return Ok(());
        }
        self.with(operation, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while `with` runs.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            let set =
                crate::fault::tried(|| fcntl_getfl(fd)).and_then(|flags| match flags.contains(OFlags::NONBLOCK) {
                    true => Ok(()),
                    false => crate::fault::tried(|| fcntl_setfl(fd, flags | OFlags::NONBLOCK)),
                });
            set.map_err(|errno| Status::from_os_error(operation, errno.raw_os_error()))
        })
    }

    /// Nothing blocks here yet.
    #[cfg(not(unix))]
    pub(crate) fn never_block(&self, _: Operation) -> Result<()> {
        Ok(())
    }

    /// Another descriptor of the same open file, which the caller owns.
    #[cfg(not(unix))]
    pub(crate) fn duplicate(&self, operation: Operation) -> Result<Descriptor> {
        if self.is_own() {
            return self.own(operation, |system, descriptor| system.duplicate(descriptor));
        }
        Err(Status::new(Code::Unavailable, operation).with_message("no duplicates on this system yet"))
    }

    /// From now on new operations are refused. `false`: a close is under way already.
    pub(crate) fn begin_close(&self) -> bool {
        !self.closing.swap(true, Ordering::AcqRel)
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Hands the descriptor over for closing, when no call from another thread uses it any more. `None` after the first
    /// time.
    pub(crate) fn take(&self) -> Option<Descriptor> {
        self.users.close().then_some(self.raw)
    }

    /// Closes the descriptor here and now. Only of a resource that nobody uses any more.
    pub(crate) fn shut(&self) {
        if let Some(descriptor) = self.take() {
            match self.system() {
                Some(system) => system.close(descriptor),
                None => close(descriptor),
            }
        }
    }

    pub(crate) fn record(&self) -> u32 {
        self.record.load(Ordering::Relaxed)
    }

    pub(crate) fn set_record(&self, record: u32) {
        self.record.store(record, Ordering::Relaxed);
    }

    /// Why transfers on it fail for good, if they do. The first failure stays.
    pub(crate) fn failure(&self) -> Option<&Status> {
        self.rare.get()?.failure.get()
    }

    /// From now on a transfer's failure is one of the resource.
    pub(crate) fn keep_failures(&self) {
        self.keeps_failures.store(true, Ordering::Release);
    }

    pub(crate) fn keeps_failures(&self) -> bool {
        self.keeps_failures.load(Ordering::Acquire)
    }

    /// Only of one that [keeps failures](Resource::keeps_failures).
    pub(crate) fn set_failure(&self, status: &Status) {
        let _ = self.rare().failure.set(status.clone());
    }

    /// Whether it is a resource of the proactor at `home`.
    pub(crate) fn check_home(&self, home: Home, operation: Operation) -> Result<()> {
        if self.home.proactor == home.proactor {
            return Ok(());
        }
        Err(self.explain(
            Status::new(Code::InvalidArgument, operation).with_message("the resource belongs to another proactor"),
        ))
    }

    /// What submit checks: the right home, and not closing.
    pub(crate) fn check(&self, home: Home, operation: Operation) -> Result<()> {
        self.check_home(home, operation)?;
        if self.is_closing() {
            return Err(self.explain(
                Status::new(Code::FailedPrecondition, operation).with_message("the resource is being closed"),
            ));
        }
        Ok(())
    }
}

/// What makes descriptors for a home whose descriptors are its own.
///
/// # Errors
/// `FailedPrecondition` when its proactor has gone, or on another thread than the one that may use it.
#[track_caller]
pub(crate) fn own_system(home: Home, operation: Operation) -> Result<Arc<dyn System>> {
    let system = system_of(home.proactor).ok_or_else(|| gone(operation))?;
    if system.is_here() { Ok(system) } else { Err(elsewhere(operation)) }
}

/// The proactor of a resource's own system is gone.
#[track_caller]
fn gone(operation: Operation) -> Status {
    Status::new(Code::FailedPrecondition, operation).with_message("the proactor has gone, and its descriptors with it")
}

/// A simulated world runs on one thread.
#[track_caller]
pub(crate) fn elsewhere(operation: Operation) -> Status {
    let why = "a simulated world is used by the thread that made it, and by no other";
    Status::new(Code::FailedPrecondition, operation).with_message(why)
}

/// What needs the operating system's descriptor of something that is simulated.
#[cfg(unix)]
#[track_caller]
pub(crate) fn no_descriptor(operation: Operation) -> Status {
    let why = "a simulated resource has no descriptor of the operating system, and cannot take one in";
    Status::new(Code::Unavailable, operation).with_message(why)
}

/// Says in a failure that it was about what has this name, unless it says so already.
pub(crate) fn about(name: Option<Arc<str>>, status: Status) -> Status {
    match name.map(|name| format!("{name:?}")) {
        Some(name) if !status.is_about(&name) => status.with_context(name),
        _ => status,
    }
}

/// The second descriptor of an operation that works on two: a duplicate of its own, made at submit.
///
/// An operation stands in the queues of one resource, which a close waits for. Its other one may be closed meanwhile:
/// the duplicate keeps the open file, so that the number cannot come to name another.
#[derive(Debug, Default)]
pub(crate) struct Second {
    held: Option<Resource>,
}

impl Second {
    /// Holds what `resource` names, which must be of this home and open. Forgets what was held before.
    pub(crate) fn hold(&mut self, resource: &Resource, home: Home, operation: Operation) -> Result<()> {
        resource.check(home, operation)?;
        self.held = Some(Resource::adopt(home, resource.duplicate(operation)?));
        Ok(())
    }

    pub(crate) fn raw(&self) -> Descriptor {
        self.held.as_ref().map_or(Descriptor::NONE, Resource::raw)
    }

    /// The operation has ended.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }
}

impl Clone for Second {
    /// A clone of an operation's parameters holds nothing until it is submitted.
    fn clone(&self) -> Second {
        Second::default()
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.shut();
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = self.name() {
            write!(f, "{name:?} ")?;
        }
        write!(f, "{}{}", self.raw.0, if self.is_closing() { " closing" } else { "" })
    }
}

#[cfg(unix)]
fn close(descriptor: Descriptor) {
    use std::os::fd::FromRawFd;
    // SAFETY: the resource owned the descriptor and has just given it up; no one else closes it.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(descriptor.fd()) });
}

#[cfg(not(unix))]
fn close(_: Descriptor) {}

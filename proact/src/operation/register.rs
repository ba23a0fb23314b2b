//! Registering memory with the proactor.

use std::sync::Arc;

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{BufferOwner, Request, registration};
use crate::memory::{Fixed, Registrable};
use crate::resource::{Home, Lane};
use crate::status::{Code, Operation, Result, Status};

/// What registering memory has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    /// The kernel has pinned it: reads and writes of files whose buffers lie in it need no pages looked up.
    Fixed(Fixed),
    /// It is known and kept, and nothing becomes cheaper: this backend, or this kernel, has nothing to gain.
    Noted,
    /// As `Noted`: the kernel would have pinned it, but the process may not lock so much memory (`RLIMIT_MEMLOCK`).
    LockLimit,
}

/// Tells the proactor of memory that many operations will use: a [`Region`](crate::memory::Region), and with it all
/// spans of it and all leases of a pool over it.
///
/// Operations do the same with registered memory as with any other; on io_uring reads and writes of files do it with
/// less work, unless they run within a kernel chain. The memory is kept until it is
/// [unregistered](Unregister), or the proactor ends. Pinned memory is not swapped out, counts against the limit of
/// locked memory, and is pinned for reading and writing.
///
/// | backend | path |
/// |---|---|
/// | io_uring | pinned by the kernel (Linux 5.19; capability `REGISTERED_BUFFERS`); each GiB takes one of 1024 places |
/// | epoll, poll | noted |
///
/// # Errors
/// At submit `AlreadyExists` if this proactor knows the memory, `InvalidArgument` for no bytes, `FailedPrecondition`
/// for foreign memory, which no operation uses. `ResourceExhausted` when the table is full.
///
/// ```
/// use proact::memory::{Allocation, BufferPool, Slab};
/// use proact::operation::{Op, Register};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let pool = BufferPool::new(Slab::allocate(4096, 16, &Allocation::new())?)?;
/// let region = pool.slab().region().clone();
/// proactor.submit(Op::new(Register::new(region.clone()), ())).unwrap();
/// proactor.run()?;
/// assert!(!region.registrations().is_empty());
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct Register {
    memory: Arc<dyn Registrable>,
    owner: Arc<dyn BufferOwner>,
    proactor: u32,
}

/// Keeps memory for a backend.
struct Owner(Arc<dyn Registrable>);

impl BufferOwner for Owner {
    fn unregistered(&self, proactor: u32) {
        self.0.registrations().remove(proactor);
    }
}

impl Register {
    /// Registers `memory`: a region, or an `Arc<dyn Registrable>` of another crate's.
    pub fn new(memory: impl Into<Arc<dyn Registrable>>) -> Register {
        let memory = memory.into();
        Register { owner: Arc::new(Owner(memory.clone())), memory, proactor: 0 }
    }
}

impl Sealed for Register {}

impl Kind for Register {
    type Output = Registered;
    const OPERATION: Operation = Operation::BufferRegister;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        let refused = |code, why| Err(Status::new(code, Self::OPERATION).with_message(why));
        if self.memory.is_empty() {
            return refused(Code::InvalidArgument, "there are no bytes to register");
        }
        if !self.memory.is_lent() {
            return refused(Code::FailedPrecondition, "no operation uses foreign memory");
        }
        if self.memory.registrations().find(home.proactor).is_some() {
            return refused(Code::AlreadyExists, "the proactor knows the memory");
        }
        self.proactor = home.proactor;
        Ok(())
    }

    fn request(&mut self, _: usize) -> Request {
        Request::RegisterBuffer {
            owner: &raw const self.owner,
            proactor: self.proactor,
            start: self.memory.as_mut_ptr(),
            length: self.memory.len(),
        }
    }

    fn settle(&mut self, value: i64, home: Home) -> Result<Registered> {
        let registered = match i32::try_from(value) {
            Ok(registration::NOTED) => Registered::Noted,
            Ok(registration::LOCK_LIMIT) => Registered::LockLimit,
            _ => Registered::Fixed(Fixed { index: value as u16 }),
        };
        let fixed = if let Registered::Fixed(fixed) = registered { Some(fixed) } else { None };
        self.memory.registrations().add(home.proactor, fixed);
        Ok(registered)
    }
}

/// Makes the proactor forget memory that was [registered](Register) with it.
///
/// Operations in flight that use the memory are not disturbed: what the kernel has taken keeps its pages.
///
/// # Errors
/// `NotFound` if the proactor does not know the memory.
///
/// Path: on the poll thread, on every backend.
///
/// ```
/// use proact::memory::Region;
/// use proact::operation::{Op, Unregister};
///
/// fn forget(region: Region) -> Box<Op<Unregister, ()>> {
///     Op::new(Unregister::new(region), ())
/// }
/// ```
pub struct Unregister {
    memory: Arc<dyn Registrable>,
    proactor: u32,
}

impl Unregister {
    /// Forgets `memory`.
    pub fn new(memory: impl Into<Arc<dyn Registrable>>) -> Unregister {
        Unregister { memory: memory.into(), proactor: 0 }
    }
}

impl Sealed for Unregister {}

impl Kind for Unregister {
    type Output = ();
    const OPERATION: Operation = Operation::BufferUnregister;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.proactor = home.proactor;
        Ok(())
    }

    fn request(&mut self, _: usize) -> Request {
        // Taken back first, so that no request is made any more with a number that is about to be another's.
        self.memory.registrations().remove(self.proactor);
        Request::UnregisterBuffer { start: self.memory.as_mut_ptr() }
    }

    fn settle(&mut self, _: i64, home: Home) -> Result<()> {
        // Once more: a registration that the backend carried out just before is noted only when it is told.
        self.memory.registrations().remove(home.proactor);
        Ok(())
    }
}

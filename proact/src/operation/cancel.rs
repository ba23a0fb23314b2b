//! Ending many operations at once.

use std::ptr::NonNull;

use super::close::Closable;
use super::kind::{Class, Kind, Portable, sealed::Sealed};
use super::scope::Scope;
use crate::resource::{Home, Resource};
use crate::status::{Code, Operation, Result, Status};

/// What [`CancelAll`] can be asked to end: a [`Scope`], or a resource (everything in flight on it).
pub trait CancelTarget: private::Target + Clone + 'static {}

impl<R: private::Target + Clone + 'static> CancelTarget for R {}

pub(super) mod private {
    /// Keeps `CancelTarget` to this crate.
    pub trait Target {
        #[doc(hidden)]
        fn scope(&self) -> Option<&super::Scope>;
        #[doc(hidden)]
        fn resource(&self) -> Option<&super::Resource>;
    }
}

impl private::Target for Scope {
    fn scope(&self) -> Option<&Scope> {
        Some(self)
    }
    fn resource(&self) -> Option<&Resource> {
        None
    }
}

impl<R: Closable> private::Target for R {
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn resource(&self) -> Option<&Resource> {
        Some(self.as_resource())
    }
}

/// Asks everything in a scope, or in flight on a resource, to end early. Yields how many operations that were.
///
/// Of a scope, it completes when all of them have had their final callbacks, except those that come later in its own
/// chain; and the scope takes no new ones. Of a resource it completes at once, and the resource stays usable: to wait
/// for the ends, and to take no new operations, [`Close`](super::Close) it. It may be submitted from any thread, or be
/// a step of a chain.
///
/// Path: the proactor's own, on every backend; what is in the kernel is cancelled there (`IORING_OP_ASYNC_CANCEL`).
///
/// # Errors
/// At submit `InvalidArgument` for a scope or resource of another proactor.
///
/// ```
/// use proact::operation::{CancelAll, Op};
/// use proact::resource::Socket;
///
/// fn interrupt(socket: &Socket) -> Box<Op<CancelAll<Socket>, ()>> {
///     Op::new(CancelAll::new(socket), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CancelAll<T: CancelTarget> {
    target: T,
    state: CancelState,
}

/// What the engine works on. Hidden.
#[derive(Clone, Debug)]
pub struct CancelState {
    pub(super) scope: Option<Scope>,
}

impl<T: CancelTarget> CancelAll<T> {
    /// Ends what is in `target` when it starts.
    pub fn new(target: &T) -> CancelAll<T> {
        CancelAll { target: target.clone(), state: CancelState { scope: target.scope().cloned() } }
    }
}

impl<T: CancelTarget> Sealed for CancelAll<T> {}

impl<T: CancelTarget> Kind for CancelAll<T> {
    type Output = usize;
    const OPERATION: Operation = Operation::Cancel;
    const CLASS: Class = Class::Cancel;

    fn validate(&mut self, home: Home) -> Result<()> {
        let here = match (self.target.scope(), self.target.resource()) {
            (Some(scope), _) => scope.is_at(home),
            (_, Some(resource)) => return resource.check_home(home, Self::OPERATION),
            _ => true,
        };
        if here {
            return Ok(());
        }
        Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message("the scope belongs to another proactor"))
    }

    fn resource(&self) -> Option<&Resource> {
        self.target.resource()
    }

    fn portable(&mut self) -> Portable {
        Portable::Cancel(NonNull::from(&mut self.state))
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

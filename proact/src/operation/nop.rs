//! The operation that does nothing.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::Request;
use crate::resource::{Home, Lane};
use crate::status::{Operation, Result};

/// Does nothing, and completes on the next poll.
///
/// It goes the whole way through the backend, so it measures what that way costs; as the last of a batch or chain it
/// marks the end, and as a hop from another thread it runs a callback on the poll thread.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_NOP`, Linux 5.1) |
/// | in a kernel chain | as any step |
/// | epoll, poll | told by the next poll, without a system call of its own |
///
/// ```
/// use proact::operation::{Nop, Op};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// proactor.submit(Op::new(Nop, ())).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nop;

impl Sealed for Nop {}

impl Kind for Nop {
    type Output = ();
    const OPERATION: Operation = Operation::Nop;
    const CLASS: Class = Class::Kernel(Lane::Other);
    const BARE: bool = true;

    #[inline]
    fn request(&mut self, _: usize) -> Request {
        Request::Nop
    }

    #[inline]
    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}

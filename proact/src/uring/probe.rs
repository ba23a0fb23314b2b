//! Which operations this kernel's rings know.

use std::os::fd::{AsRawFd, BorrowedFd};

use linux_raw_sys::io_uring as raw;
use raw::io_uring_register_op as Register;

use super::entry::Op;
use super::sys::{self, IO_URING_OP_SUPPORTED};

/// Operations asked about: all that an 8-bit opcode can name.
const OPS: usize = 256;

/// The kernel's answer to `IORING_REGISTER_PROBE`, in its layout.
#[repr(C)]
struct Answer {
    head: [u32; 4],
    ops: [raw::io_uring_probe_op; OPS],
}

const _: () = assert!(size_of::<Answer>() == size_of::<raw::io_uring_probe>() + OPS * 8);

/// The operations that the kernel supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    supported: [u64; OPS / 64],
}

impl Probe {
    pub(super) fn ask(ring: BorrowedFd<'_>) -> Result<Probe, i32> {
        let none = raw::io_uring_probe_op { op: 0, resv: 0, flags: 0, resv2: 0 };
        let mut answer = Answer { head: [0; 4], ops: [none; OPS] };
        // SAFETY: `answer` is zeroed, as the kernel insists, and has room for the operations it is said to have.
        unsafe {
            sys::register(ring.as_raw_fd(), Register::IORING_REGISTER_PROBE, (&raw mut answer).cast(), OPS as u32)
        }?;
        let mut supported = [0; OPS / 64];
        for op in answer.ops.iter().filter(|op| op.flags & IO_URING_OP_SUPPORTED != 0) {
            supported[op.op as usize / 64] |= 1 << (op.op % 64);
        }
        Ok(Probe { supported })
    }

    /// Whether the kernel knows `op`.
    pub(crate) fn has(&self, op: Op) -> bool {
        let op = op as usize;
        self.supported[op / 64] >> (op % 64) & 1 != 0
    }
}

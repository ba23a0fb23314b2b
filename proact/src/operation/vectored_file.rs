//! Files: reads and writes of several buffers at once.

use super::file::check_range;
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{FileRequest, IoSlice, Request, SLICES_MAX};
use crate::memory::{StableBytes, StableBytesMut};
use crate::resource::{File, Home, Lane, Resource};
use crate::status::{Operation, Result, Status};

/// What the kernel is shown of the buffers: room for it is made before the operation is submitted.
#[derive(Debug, Default)]
struct Slices {
    list: Vec<IoSlice>,
}

// SAFETY: the pointers are written anew for every request, from buffers that the same operation owns, and are used by
// the backend alone while the request is in flight. Between flights they are never followed.
unsafe impl Send for Slices {}

impl Clone for Slices {
    fn clone(&self) -> Slices {
        Slices { list: Vec::with_capacity(self.list.capacity()) }
    }
}

impl Slices {
    /// Room for as many pieces as one request takes of `buffers`.
    fn reserve(&mut self, buffers: usize) {
        self.list.clear();
        self.list.reserve(buffers.min(SLICES_MAX));
    }

    /// The pieces that are left of `buffers` after `progress` bytes, as many as one request takes.
    fn fill(&mut self, buffers: impl Iterator<Item = (*mut u8, usize)>, mut progress: usize) -> (*const IoSlice, u32) {
        self.list.clear();
        for (base, length) in buffers {
            let skipped = progress.min(length);
            progress -= skipped;
            if length > skipped {
                self.list.push(IoSlice { base: base.wrapping_add(skipped), length: length - skipped });
            }
            if self.list.len() == SLICES_MAX {
                break;
            }
        }
        (self.list.as_ptr(), self.list.len() as u32)
    }
}

fn total(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

macro_rules! vector_kind {
    ($kind:ident, $bytes:ident, $operation:expr, $flow:expr, |$buffer:ident| $base:expr) => {
        impl<B: $bytes> Sealed for $kind<B> {}

        impl<B: $bytes> Kind for $kind<B> {
            type Output = usize;
            const OPERATION: Operation = $operation;
            const CLASS: Class = Class::Kernel(Lane::Other);

            fn validate(&mut self, home: Home) -> Result<()> {
                check_range(Self::OPERATION, self.offset, total(self.buffers.iter().map(|buffer| buffer.len())))?;
                let pieces = self.buffers.iter().map(|buffer| (buffer.as_ptr() as usize, buffer.len()));
                self.file.check_direct(Self::OPERATION, self.offset, pieces)?;
                self.slices.reserve(self.buffers.len());
                self.file.resource().check(home, Self::OPERATION)
            }

            fn resource(&self) -> Option<&Resource> {
                Some(self.file.resource())
            }

            fn transfer(&self) -> Transfer {
                let length = total(self.buffers.iter().map(|buffer| buffer.len()));
                Transfer { length, exact: self.exact, flow: $flow }
            }

            fn request(&mut self, progress: usize) -> Request {
                if self.file.is_between_units(progress) {
                    return Request::Nop; // the end of the file, as a count of 0 says
                }
                let $kind { file, offset, buffers, slices, .. } = self;
                let pieces = buffers.iter_mut().map(|$buffer| ($base, $buffer.len()));
                let (slices, count) = slices.fill(pieces, progress);
                let (file, offset) = (file.resource().raw(), *offset + progress as u64);
                Request::File(FileRequest::$kind { file, offset, slices, count })
            }

            fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
                Ok(value as usize)
            }

            fn explain(&self, status: Status) -> Status {
                self.file.explain_direct(status)
            }
        }
    };
}

/// Reads from a file at an offset into several buffers, each filled before the next. Yields how many bytes in all.
///
/// There may be any number of buffers; the kernel takes 1,024 at a time. Kernel-native on io_uring
/// (`IORING_OP_READV`, Linux 5.1), by a worker thread elsewhere.
///
/// # Errors
/// As for [`Read`](super::Read).
///
/// ```
/// # use proact::operation::{Complete, Context, Op, Open, Outcome, ReadVectored};
/// # use proact::resource::{File, OpenFlags};
/// struct Shown;
/// impl Complete<ReadVectored<Vec<u8>>> for Shown {
/// fn done(op: Box<Op<ReadVectored<Vec<u8>>, Self>>, outcome: Outcome<ReadVectored<Vec<u8>>>, _: &mut Context<'_>) {
///         let read = outcome.result.unwrap();
///         println!("{read} bytes: {:?}", op.kind.buffers);
///     }
/// }
/// fn header_and_body(file: File) -> Box<Op<ReadVectored<Vec<u8>>, Shown>> {
///     Op::new(ReadVectored::exact(file, 0, vec![vec![0; 16], vec![0; 4096]]), Shown)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReadVectored<B> {
    /// The file.
    pub file: File,
    /// Where in the file.
    pub offset: u64,
    /// Where the bytes go. More buffers than at first cost an allocation at submit.
    pub buffers: Vec<B>,
    exact: bool,
    slices: Slices,
}

impl<B: StableBytesMut> ReadVectored<B> {
    /// Fills all buffers; an end of file before that is `OutOfRange`.
    pub fn exact(file: File, offset: u64, buffers: Vec<B>) -> ReadVectored<B> {
        let mut slices = Slices::default();
        slices.reserve(buffers.len());
        ReadVectored { file, offset, buffers, exact: true, slices }
    }

    /// Reads what one system call gives, 0 at or past the end.
    pub fn some(file: File, offset: u64, buffers: Vec<B>) -> ReadVectored<B> {
        ReadVectored { exact: false, ..ReadVectored::exact(file, offset, buffers) }
    }
}

vector_kind!(ReadVectored, StableBytesMut, Operation::FileRead, Flow::Read, |buffer| buffer.as_mut_ptr());

/// Writes several buffers to a file at an offset, one behind the other. Yields how many bytes in all.
///
/// There may be any number of buffers; the kernel takes 1,024 at a time. Kernel-native on io_uring
/// (`IORING_OP_WRITEV`, Linux 5.1), by a worker thread elsewhere.
///
/// # Errors
/// As for [`Write`](super::Write).
///
/// ```
/// # use proact::operation::{Op, WriteVectored};
/// # use proact::resource::File;
/// fn header_and_body(file: File, header: Vec<u8>, body: Vec<u8>) -> Box<Op<WriteVectored<Vec<u8>>, ()>> {
///     Op::new(WriteVectored::exact(file, 0, vec![header, body]), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct WriteVectored<B> {
    /// The file.
    pub file: File,
    /// Where in the file; ignored by one opened for appending.
    pub offset: u64,
    /// The bytes. More buffers than at first cost an allocation at submit.
    pub buffers: Vec<B>,
    exact: bool,
    slices: Slices,
}

impl<B: StableBytes> WriteVectored<B> {
    /// Writes all buffers whole.
    pub fn exact(file: File, offset: u64, buffers: Vec<B>) -> WriteVectored<B> {
        let mut slices = Slices::default();
        slices.reserve(buffers.len());
        WriteVectored { file, offset, buffers, exact: true, slices }
    }

    /// Writes what one system call takes.
    pub fn some(file: File, offset: u64, buffers: Vec<B>) -> WriteVectored<B> {
        WriteVectored { exact: false, ..WriteVectored::exact(file, offset, buffers) }
    }
}

vector_kind!(WriteVectored, StableBytes, Operation::FileWrite, Flow::Written, |buffer| buffer.as_ptr().cast_mut());

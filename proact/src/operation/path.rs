//! Paths as operations carry them.

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};

use crate::status::{Code, Operation, Result, Status};

/// A path in the form that the kernel reads, kept for as long as the operation.
#[derive(Clone, Debug)]
pub(super) struct PathArgument {
    path: PathBuf,
    /// `None` when the path cannot be said to the kernel; submit refuses it then.
    bytes: Option<CString>,
}

impl PathArgument {
    pub(super) fn new(path: &Path) -> PathArgument {
        PathArgument { path: path.to_owned(), bytes: CString::new(path.as_os_str().as_encoded_bytes()).ok() }
    }

    pub(super) fn check(&self, operation: Operation) -> Result<()> {
        let why = match &self.bytes {
            None => "the path contains a NUL byte",
            Some(bytes) if bytes.is_empty() => "the path is empty",
            Some(_) => return Ok(()),
        };
        Err(self.explain(Status::new(Code::InvalidArgument, operation).with_message(why)))
    }

    /// Only after [`PathArgument::check`].
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ref().map_or(std::ptr::null(), |bytes| bytes.as_ptr())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names the path in a failure.
    pub(super) fn explain(&self, status: Status) -> Status {
        status.with_context(format!("{:?}", self.path))
    }
}

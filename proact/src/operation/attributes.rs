//! Files: owner, times, and extended attributes.

use std::ffi::{CString, OsStr};

use super::file::file_kind;
use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{AttributeMode, Changes, FileRequest, FileTime, Request};
use crate::memory::{Access, StableBytes, StableBytesMut};
use crate::resource::{File, Home, Lane, Resource};
use crate::status::{Code, Operation, Result, Status};

/// Changes what is known of an open file: owner, group, permission bits, times. What is not named stays.
///
/// By a worker thread on every backend. The owner is set first, then the mode, then the times; when one fails, those
/// before it have happened.
///
/// # Errors
/// `PermissionDenied` for what only the superuser may, `InvalidArgument` for nanoseconds of 10⁹ and more (before any
/// effect).
///
/// ```
/// # use proact::operation::{ChangeFile, Op};
/// # use proact::resource::{File, FileTime};
/// fn touch(file: File, now: FileTime) -> Box<Op<ChangeFile, ()>> {
///     Op::new(ChangeFile::new(file).accessed(now).modified(now), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ChangeFile {
    file: File,
    changes: Changes,
}

impl ChangeFile {
    /// Changes nothing yet.
    pub fn new(file: File) -> ChangeFile {
        ChangeFile { file, changes: Changes::default() }
    }

    /// The user who owns it, by number.
    #[must_use]
    pub fn owner(mut self, user: u32) -> ChangeFile {
        self.changes.owner = Some(user);
        self
    }

    /// Its group, by number.
    #[must_use]
    pub fn group(mut self, group: u32) -> ChangeFile {
        self.changes.group = Some(group);
        self
    }

    /// Permission bits (`0o7777`).
    #[must_use]
    pub fn mode(mut self, mode: u32) -> ChangeFile {
        self.changes.mode = Some(mode);
        self
    }

    /// When it was last read.
    #[must_use]
    pub fn accessed(mut self, time: FileTime) -> ChangeFile {
        self.changes.accessed = Some(time);
        self
    }

    /// When it was last written.
    #[must_use]
    pub fn modified(mut self, time: FileTime) -> ChangeFile {
        self.changes.modified = Some(time);
        self
    }
}

file_kind!(
    ChangeFile,
    Operation::FileSetAttributes,
    (),
    |self, raw| Request::File(FileRequest::Change { file: raw, changes: &raw const self.changes }),
    |self| ()
);

/// An extended attribute's name in the form that the kernel reads.
#[derive(Clone, Debug)]
struct AttributeName {
    /// `None` when it cannot be said to the kernel; submit refuses it then.
    bytes: Option<CString>,
    shown: String,
}

impl AttributeName {
    fn new(name: &OsStr) -> AttributeName {
        AttributeName { bytes: CString::new(name.as_encoded_bytes()).ok(), shown: format!("{name:?}") }
    }

    fn check(&self) -> Result<()> {
        match &self.bytes {
            Some(bytes) if !bytes.is_empty() => Ok(()),
            _ => {
                let status = Status::new(Code::InvalidArgument, Operation::ExtendedAttribute);
                Err(self.explain(status.with_message("an attribute's name is not empty and has no NUL byte")))
            }
        }
    }

    fn as_ptr(&self) -> *const std::ffi::c_char {
        self.bytes.as_ref().map_or(std::ptr::null(), |bytes| bytes.as_ptr())
    }

    fn explain(&self, status: Status) -> Status {
        status.with_context(self.shown.clone())
    }
}

macro_rules! attribute_kind {
    ([$($generics:tt)*] $kind:ty, $output:ty, $named:expr, $allowed:expr,
     |$self:ident, $raw:ident| $request:expr, |$value:ident| $settle:expr) => {
        impl<$($generics)*> Sealed for $kind {}

        impl<$($generics)*> Kind for $kind {
            type Output = $output;
            const OPERATION: Operation = Operation::ExtendedAttribute;
            const CLASS: Class = Class::Kernel(Lane::Other);

            fn validate(&mut self, home: Home) -> Result<()> {
                let named: fn(&Self) -> Option<&AttributeName> = $named;
                named(self).map_or(Ok(()), AttributeName::check)?;
                let allowed: fn(&Self) -> Result<()> = $allowed;
                allowed(self)?;
                self.file.resource().check(home, Self::OPERATION)
            }

            fn resource(&self) -> Option<&Resource> {
                Some(self.file.resource())
            }

            fn request(&mut $self, _: usize) -> Request {
                let $raw = $self.file.resource().raw();
                Request::File($request)
            }

            fn settle(&mut self, $value: i64, _: Home) -> Result<$output> {
                Ok($settle)
            }

            fn explain(&self, status: Status) -> Status {
                let named: fn(&Self) -> Option<&AttributeName> = $named;
                match named(self) {
                    Some(name) => name.explain(status),
                    None => status,
                }
            }
        }
    };
}

/// Reads an extended attribute of an open file into the operation's own buffer. Yields the value's length.
///
/// An empty buffer asks for the length alone. Kernel-native on io_uring (Linux 5.19), by a worker thread elsewhere.
///
/// # Errors
/// `NotFound` when the file has no such attribute, `OutOfRange` when the buffer is too small, `Unavailable` on a file
/// system without attributes.
///
/// ```
/// # use proact::operation::{GetAttribute, Op};
/// # use proact::resource::File;
/// fn digest(file: File) -> Box<Op<GetAttribute<Vec<u8>>, ()>> {
///     Op::new(GetAttribute::new(file, "user.digest", vec![0; 32]), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct GetAttribute<B> {
    file: File,
    name: AttributeName,
    /// Where the value goes.
    pub buffer: B,
}

impl<B: StableBytesMut> GetAttribute<B> {
    /// Reads the attribute `name` of `file`, such as `user.digest`.
    pub fn new(file: File, name: impl AsRef<OsStr>, buffer: B) -> GetAttribute<B> {
        GetAttribute { file, name: AttributeName::new(name.as_ref()), buffer }
    }
}

attribute_kind!(
    [B: StableBytesMut] GetAttribute<B>, usize, |this| Some(&this.name),
    |this| this.buffer.access().check(Access::WRITE, Self::OPERATION),
    |self, raw| FileRequest::GetAttribute {
        file: raw,
        name: self.name.as_ptr(),
        buffer: self.buffer.as_mut_ptr(),
        length: u32::try_from(self.buffer.len()).unwrap_or(u32::MAX), // no value is that long
    },
    |value| value as usize
);

/// Sets an extended attribute of an open file.
///
/// Kernel-native on io_uring (Linux 5.19), by a worker thread elsewhere.
///
/// # Errors
/// `AlreadyExists` with [`AttributeMode::Create`], `NotFound` with [`AttributeMode::Replace`], `Unavailable` on a file
/// system without attributes, `ResourceExhausted` or `OutOfRange` for a value that is too long for it.
///
/// ```
/// # use proact::operation::{Op, SetAttribute};
/// # use proact::resource::{AttributeMode, File};
/// fn mark(file: File) -> Box<Op<SetAttribute<String>, ()>> {
///     Op::new(SetAttribute::new(file, "user.state", String::from("done"), AttributeMode::Set), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SetAttribute<B> {
    file: File,
    name: AttributeName,
    /// The value.
    pub value: B,
    mode: AttributeMode,
}

impl<B: StableBytes> SetAttribute<B> {
    /// Sets the attribute `name` of `file`, such as `user.digest`.
    pub fn new(file: File, name: impl AsRef<OsStr>, value: B, mode: AttributeMode) -> SetAttribute<B> {
        SetAttribute { file, name: AttributeName::new(name.as_ref()), value, mode }
    }
}

attribute_kind!(
    [B: StableBytes] SetAttribute<B>, (), |this| Some(&this.name),
    |this| this.value.access().check(Access::READ, Self::OPERATION),
    |self, raw| FileRequest::SetAttribute {
        file: raw,
        name: self.name.as_ptr(),
        value: self.value.as_ptr(),
        // No file system takes more than 64 KiB; the kernel refuses what is cut here.
        length: self.value.len().min(i32::MAX as usize) as u32,
        mode: self.mode,
    },
    |_value| ()
);

/// Lists the names of an open file's extended attributes into the operation's own buffer. Yields how many bytes.
///
/// An empty buffer asks for the length alone. By a worker thread on every backend.
///
/// # Errors
/// `OutOfRange` when the buffer is too small, `Unavailable` on a file system without attributes.
///
/// ```
/// # use proact::operation::{Complete, Context, ListAttributes, Op, Outcome};
/// type List = ListAttributes<Vec<u8>>;
/// struct Shown;
/// impl Complete<List> for Shown {
///     fn done(op: Box<Op<List, Self>>, outcome: Outcome<List>, _: &mut Context<'_>) {
///         let length = outcome.result.unwrap();
///         for name in proact::operation::attribute_names(&op.kind.buffer[..length]) {
///             println!("{name:?}");
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ListAttributes<B> {
    file: File,
    /// Where the names go, each with a NUL behind it.
    pub buffer: B,
}

impl<B: StableBytesMut> ListAttributes<B> {
    /// Lists the attributes of `file`.
    pub fn new(file: File, buffer: B) -> ListAttributes<B> {
        ListAttributes { file, buffer }
    }
}

/// The names in the bytes that a [`ListAttributes`] filled.
pub fn attribute_names(filled: &[u8]) -> impl Iterator<Item = &OsStr> {
    filled.split(|byte| *byte == 0).filter(|name| !<[u8]>::is_empty(name)).map(crate::resource::os_str)
}

attribute_kind!(
    [B: StableBytesMut] ListAttributes<B>, usize, |_this| None,
    |this| this.buffer.access().check(Access::WRITE, Self::OPERATION),
    |self, raw| FileRequest::ListAttributes {
        file: raw,
        buffer: self.buffer.as_mut_ptr(),
        length: self.buffer.len(),
    },
    |value| value as usize
);

/// Removes an extended attribute of an open file. By a worker thread on every backend.
///
/// # Errors
/// `NotFound` when the file has no such attribute.
///
/// ```
/// # use proact::operation::{Op, RemoveAttribute};
/// # use proact::resource::File;
/// fn unmark(file: File) -> Box<Op<RemoveAttribute, ()>> {
///     Op::new(RemoveAttribute::new(file, "user.state"), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RemoveAttribute {
    file: File,
    name: AttributeName,
}

impl RemoveAttribute {
    /// Removes the attribute `name` of `file`.
    pub fn new(file: File, name: impl AsRef<OsStr>) -> RemoveAttribute {
        RemoveAttribute { file, name: AttributeName::new(name.as_ref()) }
    }
}

attribute_kind!(
    [] RemoveAttribute, (), |this| Some(&this.name),
    |_this| Ok(()),
    |self, raw| FileRequest::RemoveAttribute { file: raw, name: self.name.as_ptr() },
    |_value| ()
);

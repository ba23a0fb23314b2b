//! Paths beneath granted directories.
//!
//! A path is walked one name at a time: each directory is opened from the one before it, and a symbolic link is
//! followed nowhere, within the directory neither. So what the names come to lies beneath the granted directory,
//! whatever others do to it meanwhile. Hard links, and file systems mounted beneath it, are part of it.

use std::path::{Component, Path};

use proact::backend::OpenFlags;
use proact::operation::Open;
use proact::proactor::Handle;
use proact::resource;
use proact::status::{Code, Status};

use crate::error::{Error, Result};

/// Longest path of a program, in bytes.
const PATH_MAX: usize = 1 << 12;
/// Names in a path at most: each is an operation.
const DEPTH_MAX: usize = 64;

/// The names of a path: that of the granted directory, those of directories, and that of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names<'a> {
    pub(super) directory: &'a str,
    between: Vec<&'a str>,
    file: &'a str,
}

/// What may stand between two slashes, on every system.
fn is_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_plain = matches!(components.next(), Some(Component::Normal(only)) if only == name);
    is_plain && components.next().is_none() && !name.contains('\0')
}

/// Whether a directory may be granted by that name.
pub(super) fn check_name(name: &str) -> Result {
    match is_name(name) {
        true => Ok(()),
        false => Err(Error::invalid(format!("directory {name:?}: a name without slashes is expected"))),
    }
}

impl<'a> Names<'a> {
    /// # Errors
    /// `PERMISSION_DENIED` for an absolute path and one with `..`, `INVALID_ARGUMENT` for others that are none.
    pub(super) fn parse(path: &'a str) -> Result<Names<'a>> {
        let denied = |why: &'static str| Err(Error::new(Code::PermissionDenied, why));
        let wrong = |why: &'static str| Err(Error::invalid(why));
        if path.len() > PATH_MAX {
            return wrong("the path is longer than 4096 bytes");
        }
        if path.starts_with('/') || Path::new(path).is_absolute() {
            return denied("the path is absolute: it begins with the name of a granted directory");
        }
        let names: Vec<&str> = path.split('/').collect();
        if names.contains(&"..") {
            return denied("the path has a \"..\"");
        }
        if !names.iter().all(|name| is_name(name)) {
            return wrong("each part of the path is a name, and between two stands one slash");
        }
        if names.len() > DEPTH_MAX {
            return wrong("the path has more than 64 names");
        }
        match names[..] {
            [directory, ref between @ .., file] => Ok(Names { directory, between: between.to_vec(), file }),
            _ => wrong("a directory's name and a file's name are expected"),
        }
    }

    /// Opens the file beneath `root`.
    pub(super) async fn open(
        &self,
        handle: &Handle,
        root: &resource::File,
        flags: OpenFlags,
    ) -> Result<resource::File> {
        const STEP: OpenFlags = OpenFlags::READ.union(OpenFlags::DIRECTORY).union(OpenFlags::NO_FOLLOW);
        let mut directory = root.clone();
        for name in &self.between {
            directory = step(handle.future(Open::at(directory, name, STEP)).await.1.result)?;
        }
        step(handle.future(Open::at(directory, self.file, flags | OpenFlags::NO_FOLLOW)).await.1.result)
    }
}

/// What became of one open. A link is `FAILED_PRECONDITION` to the system, as a file is where a directory is needed.
fn step(opened: Result<resource::File, Status>) -> Result<resource::File> {
    opened.map_err(|status| match status.code() {
        Code::FailedPrecondition => Error::from(status).about("a link, which is not followed, or a file as directory"),
        _ => Error::from(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_slashes() {
        let names = Names::parse("data/a/b/c.txt").unwrap();
        assert_eq!(names, Names { directory: "data", between: vec!["a", "b"], file: "c.txt" });
        assert_eq!(Names::parse("data/...").unwrap().file, "...");
        for (path, code) in [
            ("/etc/passwd", Code::PermissionDenied),
            ("data/../secret", Code::PermissionDenied),
            ("../data/x", Code::PermissionDenied),
            ("data/..", Code::PermissionDenied),
            ("data/./x", Code::InvalidArgument),
            ("data//x", Code::InvalidArgument),
            ("data/x/", Code::InvalidArgument),
            ("data", Code::InvalidArgument),
            ("", Code::InvalidArgument),
            ("data/a\0b", Code::InvalidArgument),
        ] {
            assert_eq!(Names::parse(path).unwrap_err().code(), code, "{path:?}");
        }
        assert!(Names::parse(&format!("d/{}", "a/".repeat(63) + "a")).is_err());
        assert!(Names::parse(&format!("d/{}", "a".repeat(PATH_MAX))).is_err());
    }
}

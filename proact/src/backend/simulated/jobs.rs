//! Requests for files, as jobs of a disk.

use super::errno::EINVAL;
use super::files::Job;
use super::memory::{bytes_at, gather, path_at, room};
use super::state::State;
use crate::backend::{Changes, Descriptor, FileRequest, FileTime, Request, TRANSFER_MAX};

/// The job that a request is for a disk, with all that it needs taken from the program's memory. `None`: it is none.
///
/// # Safety
///
/// The request's pointers are valid.
pub(super) unsafe fn job_of(state: &mut State, request: &Request) -> Option<Result<Job, i32>> {
    let file_of = |descriptor: Descriptor| state.object_of(descriptor.0);
    // SAFETY (of every unsafe block below): the caller's promise.
    let job = match *request {
        Request::Open { path, flags, mode } => {
            // SAFETY: as said above.
            Ok(Job::Open { base: None, path: unsafe { path_at(path) }, flags, mode })
        }
        Request::Read { file, offset, length, .. } => {
            file_of(file).map(|file| Job::Read { file, offset, length: length.min(TRANSFER_MAX) })
        }
        Request::Write { file, offset, buffer, length, .. } => {
            // SAFETY: as said above.
            file_of(file).map(|file| Job::Write { file, offset, bytes: unsafe { bytes_at(buffer, length) } })
        }
        Request::Sync { file, .. } => file_of(file).map(|file| Job::Sync { file }),
        Request::StatFile { file, .. } => file_of(file).map(|file| Job::Stat { file }),
        // SAFETY: as said above.
        Request::StatPath { path, follow, .. } => Ok(Job::StatPath { path: unsafe { path_at(path) }, follow }),
        Request::Truncate { file, size } => file_of(file).map(|file| Job::Truncate { file, size }),
        Request::Allocate { length: 0, .. } => Err(EINVAL),
        Request::Allocate { file, offset, length } => {
            file_of(file).map(|file| Job::Allocate { file, end: offset.saturating_add(length) })
        }
        Request::SetAttributes { file, mode, modified } => file_of(file).map(|file| {
            let modified = modified.map(|(seconds, nanoseconds)| FileTime { seconds, nanoseconds });
            let mode = mode.map(u32::from);
            Job::Change { file, changes: Changes { mode, modified, ..Changes::default() } }
        }),
        Request::Rename { from, to, replace } => {
            // SAFETY: as said above.
            let (from, to) = unsafe { (path_at(from), path_at(to)) };
            Ok(Job::Rename { from, to, replace })
        }
        // SAFETY: as said above.
        Request::Remove { path, directory } => Ok(Job::Remove { path: unsafe { path_at(path) }, directory }),
        // SAFETY: as said above.
        Request::MakeDirectory { path, mode } => Ok(Job::MakeDirectory { path: unsafe { path_at(path) }, mode }),
        // SAFETY: as said above.
        Request::ListDirectory { path, .. } => Ok(Job::List { path: unsafe { path_at(path) } }),
        // SAFETY: the caller's promise, passed on.
        Request::File(ref request) => return unsafe { job_of_file(state, request) },
        _ => return None,
    };
    Some(job)
}

/// # Safety
///
/// As for [`job_of`].
unsafe fn job_of_file(state: &mut State, request: &FileRequest) -> Option<Result<Job, i32>> {
    let file_of = |descriptor: Descriptor| state.object_of(descriptor.0);
    // SAFETY (of every unsafe block below): the caller's promise.
    let job = match *request {
        FileRequest::OpenAt { directory, path, flags, mode } => file_of(directory).map(|base| {
            // SAFETY: as said above.
            Job::Open { base: Some(base), path: unsafe { path_at(path) }, flags, mode }
        }),
        FileRequest::ReadVectored { file, offset, slices, count } => file_of(file).map(|file| {
            // SAFETY: as said above.
            let length = unsafe { room(slices, count as usize) };
            Job::Read { file, offset, length: length.min(TRANSFER_MAX) }
        }),
        FileRequest::WriteVectored { file, offset, slices, count } => {
            // SAFETY: as said above.
            file_of(file).map(|file| Job::Write { file, offset, bytes: unsafe { gather(slices, count as usize) } })
        }
        FileRequest::SyncRange { file, .. } => file_of(file).map(|file| Job::Sync { file }),
        FileRequest::Advise { file, .. } => file_of(file).map(|file| Job::Advise { file }),
        FileRequest::Range { file, offset, length, mode } => {
            file_of(file).map(|file| Job::Range { file, offset, length, mode })
        }
        FileRequest::Change { file, changes } => {
            // SAFETY: as said above.
            file_of(file).map(|file| Job::Change { file, changes: unsafe { *changes } })
        }
        FileRequest::Copy { arguments } => {
            // SAFETY: as said above.
            let asked = unsafe { *arguments };
            file_of(asked.from).and_then(|from| {
                let (from_offset, to_offset, length) = (asked.from_offset, asked.to_offset, asked.length);
                Ok(Job::Copy { from, from_offset, to: file_of(asked.to)?, to_offset, length: length.min(TRANSFER_MAX) })
            })
        }
        FileRequest::Link { from, to } => {
            // SAFETY: as said above.
            let (from, to) = unsafe { (path_at(from), path_at(to)) };
            Ok(Job::Link { from, to })
        }
        FileRequest::SymbolicLink { target, link } => {
            // SAFETY: as said above.
            let (target, link) = unsafe { (path_at(target), path_at(link)) };
            Ok(Job::SymbolicLink { target, link })
        }
        // SAFETY: as said above.
        FileRequest::ReadLink { path, length, .. } => Ok(Job::ReadLink { path: unsafe { path_at(path) }, length }),
        FileRequest::ReadDirectory { directory, length, rewind, .. } => {
            file_of(directory).map(|directory| Job::ListOpen { directory, length: length as usize, rewind })
        }
        // Refused at submit.
        FileRequest::SpliceFile { .. }
        | FileRequest::GetAttribute { .. }
        | FileRequest::SetAttribute { .. }
        | FileRequest::ListAttributes { .. }
        | FileRequest::RemoveAttribute { .. }
        | FileRequest::Walk { .. } => Err(super::errno::EOPNOTSUPP),
    };
    Some(job)
}

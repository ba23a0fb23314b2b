//! Files and paths, which go to workers.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::super::WatchSet;
use super::super::epoll::EpollSet;
use super::super::poll::PollSet;
use super::{Rig, on_every_set};
use crate::backend::{
    Backend, Descriptor, DirectoryEntry, FileKind, Metadata, OpenFlags, RawAddress, Request, TRANSFER_MAX,
};

on_every_set! {
    file_is_made_written_read_and_closed
    attributes_size_and_allocation_are_set_and_told
    rename_refuses_an_existing_target_unless_told_to_replace
    directory_is_made_listed_and_removed
    paths_that_are_not_there_fail_with_their_errno
    no_thread_before_the_first_file_and_never_more_than_allowed
}

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("proact-readiness-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> CString {
        CString::new(self.0.join(name).into_os_string().into_encoded_bytes()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CREATE: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE).union(OpenFlags::CREATE);

fn open(rig: &mut Rig<impl WatchSet>, path: &CString, flags: OpenFlags) -> Descriptor {
    let result = rig.perform(Request::Open { path: path.as_ptr(), flags, mode: 0o640 });
    assert!(result >= 0, "a descriptor, not error {}", -result);
    Descriptor(result.into())
}

fn close(rig: &mut Rig<impl WatchSet>, descriptor: Descriptor) {
    assert_eq!(rig.perform(Request::Close { descriptor }), 0);
}

fn file_is_made_written_read_and_closed(rig: &mut Rig<impl WatchSet>) {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let file = open(rig, &path, CREATE | OpenFlags::CREATE_NEW);
    let exists = rig.perform(Request::Open { path: path.as_ptr(), flags: CREATE | OpenFlags::CREATE_NEW, mode: 0o640 });
    assert_eq!(exists, -libc::EEXIST);

    let bytes = b"0123456789";
    assert_eq!(rig.perform(Request::Write { file, offset: 5, buffer: bytes.as_ptr(), length: 10, fixed: None }), 10);
    assert_eq!(rig.perform(Request::Sync { file, data_only: true }), 0);
    assert_eq!(rig.perform(Request::Sync { file, data_only: false }), 0);

    let mut buffer = [9u8; 8];
    let at = |offset, buffer: &mut [u8; 8]| Request::Read {
        file,
        offset,
        buffer: buffer.as_mut_ptr(),
        length: 8,
        fixed: None,
    };
    assert_eq!(rig.perform(at(3, &mut buffer)), 8);
    assert_eq!(&buffer, b"\x00\x00012345");
    assert_eq!(rig.perform(at(12, &mut buffer)), 3, "short at the end");
    assert_eq!(rig.perform(at(15, &mut buffer)), 0, "none past it");
    let negative = rig.perform(at(u64::MAX, &mut buffer));
    assert_eq!(negative, -libc::EINVAL, "an offset beyond what a file can have");
    close(rig, file);
    assert_eq!(std::fs::read(Path::new(path.to_str().unwrap())).unwrap().len(), 15);
    assert!(rig.backend.counters().worker_jobs >= 10);
}

fn attributes_size_and_allocation_are_set_and_told(rig: &mut Rig<impl WatchSet>) {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let file = open(rig, &path, CREATE);
    assert_eq!(rig.perform(Request::Truncate { file, size: 100_000 }), 0);
    let modified = Some((-5, 123_456_789));
    assert_eq!(rig.perform(Request::SetAttributes { file, mode: Some(0o604), modified }), 0);

    let (mut by_file, mut by_path) = (Metadata::EMPTY, Metadata::EMPTY);
    assert_eq!(rig.perform(Request::StatFile { file, metadata: &mut by_file }), 0);
    let stat = Request::StatPath { path: path.as_ptr(), follow: true, metadata: &mut by_path };
    assert_eq!(rig.perform(stat), 0);
    assert_eq!(by_file, by_path);
    assert_eq!((by_file.kind, by_file.size, by_file.mode, by_file.links), (FileKind::File, 100_000, 0o604, 1));
    assert_eq!((by_file.modified_seconds, by_file.modified_nanoseconds), (-5, 123_456_789));
    let known = std::fs::metadata(path.to_str().unwrap()).unwrap();
    assert_eq!(by_file.inode, std::os::unix::fs::MetadataExt::ino(&known));
    assert_eq!(by_file.device, std::os::unix::fs::MetadataExt::dev(&known));

    match rig.perform(Request::Allocate { file, offset: 0, length: 200_000 }) {
        0 => {
            assert_eq!(rig.perform(Request::StatFile { file, metadata: &mut by_file }), 0);
            assert_eq!(by_file.size, 200_000);
            assert!(by_file.allocated >= 200_000);
        }
        // A file system without fallocate says so, and nothing is emulated behind the caller's back.
        other => assert_eq!(other, -libc::EOPNOTSUPP),
    }
    close(rig, file);
}

fn rename_refuses_an_existing_target_unless_told_to_replace(rig: &mut Rig<impl WatchSet>) {
    let scratch = Scratch::new();
    let (from, to) = (scratch.path("from"), scratch.path("to"));
    for path in [&from, &to] {
        let file = open(rig, path, CREATE);
        close(rig, file);
    }
    let rename = |replace| Request::Rename { from: from.as_ptr(), to: to.as_ptr(), replace };
    assert_eq!(rig.perform(rename(false)), -libc::EEXIST);
    assert_eq!(rig.perform(rename(true)), 0);
    assert_eq!(rig.perform(rename(true)), -libc::ENOENT);
}

fn directory_is_made_listed_and_removed(rig: &mut Rig<impl WatchSet>) {
    let scratch = Scratch::new();
    let directory = scratch.path("directory");
    assert_eq!(rig.perform(Request::MakeDirectory { path: directory.as_ptr(), mode: 0o750 }), 0);
    assert_eq!(rig.perform(Request::MakeDirectory { path: directory.as_ptr(), mode: 0o750 }), -libc::EEXIST);
    let link = scratch.path("directory/link");
    std::os::unix::fs::symlink("nowhere", link.to_str().unwrap()).unwrap();
    std::fs::create_dir(scratch.path("directory/inner").to_str().unwrap()).unwrap();
    let long = "x".repeat(200);
    for number in 0..150 {
        std::fs::write(scratch.path(&format!("directory/{long}{number}")).to_str().unwrap(), b"").unwrap();
    }
    let mut entries: Vec<DirectoryEntry> = Vec::new();
    assert_eq!(rig.perform(Request::ListDirectory { path: directory.as_ptr(), entries: &mut entries }), 0);
    entries.sort();
    assert_eq!(entries.len(), 152, "more than one buffer's worth, without the directory and its parent");
    assert_eq!((entries[0].name.to_str(), entries[0].kind), (Some("inner"), FileKind::Directory));
    assert_eq!((entries[1].name.to_str(), entries[1].kind), (Some("link"), FileKind::Link));
    assert!(entries[2..].iter().all(|entry| entry.kind == FileKind::File));

    let mut metadata = Metadata::EMPTY;
    let stat = Request::StatPath { path: link.as_ptr(), follow: false, metadata: &mut metadata };
    assert_eq!(rig.perform(stat), 0);
    assert_eq!(metadata.kind, FileKind::Link);
    let flags = OpenFlags::READ | OpenFlags::NO_FOLLOW;
    assert_eq!(rig.perform(Request::Open { path: link.as_ptr(), flags, mode: 0 }), -libc::ELOOP);

    let remove = |path: &CString, directory| Request::Remove { path: path.as_ptr(), directory };
    assert_eq!(rig.perform(remove(&directory, true)), -libc::ENOTEMPTY);
    assert_eq!(rig.perform(remove(&link, false)), 0);
    assert_eq!(rig.perform(remove(&scratch.path("directory/inner"), true)), 0);
}

fn paths_that_are_not_there_fail_with_their_errno(rig: &mut Rig<impl WatchSet>) {
    let scratch = Scratch::new();
    let path = scratch.path("absent");
    let mut entries = Vec::new();
    let mut metadata = Metadata::EMPTY;
    let path = path.as_ptr();
    for request in [
        Request::Open { path, flags: OpenFlags::READ, mode: 0 },
        Request::StatPath { path, follow: true, metadata: &mut metadata },
        Request::Remove { path, directory: false },
        Request::ListDirectory { path, entries: &mut entries },
    ] {
        assert_eq!(rig.perform(request), -libc::ENOENT, "{request:?}");
    }
    assert_eq!(metadata, Metadata::EMPTY);
}

fn no_thread_before_the_first_file_and_never_more_than_allowed(rig: &mut Rig<impl WatchSet>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut peer = RawAddress::EMPTY;
    let accept =
        rig.start(Request::Accept { listener: super::descriptor(&listener), peer: &mut peer, multishot: false });
    rig.perform(Request::Nop);
    assert_eq!(rig.backend.counters().workers, 0);

    let scratch = Scratch::new();
    let file = open(rig, &scratch.path("file"), CREATE);
    assert_eq!(rig.backend.counters().workers, 1);
    let byte = 7u8;
    let write = |slot| Request::Write { file, offset: slot, buffer: &byte, length: 1, fixed: None };
    let tokens: Vec<_> = (0..50).map(|slot| rig.start(write(slot))).collect();
    for token in tokens {
        assert_eq!(rig.finish(token), 1);
    }
    let workers = rig.backend.counters().workers;
    assert!((1..=2).contains(&workers), "{workers} threads where 2 are allowed");
    // Longer than any one call transfers: cut, not refused. Past the file's end, so that no byte is touched; but some
    // systems check the memory all the same, so it is there.
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: no address is asked for, so no existing mapping is replaced.
    let memory = unsafe { mmap_anonymous(std::ptr::null_mut(), TRANSFER_MAX + 1, protection, flags) }.unwrap();
    let beyond = Request::Read { file, offset: 1 << 40, buffer: memory.cast(), length: TRANSFER_MAX + 1, fixed: None };
    assert_eq!(rig.perform(beyond), 0);
    // SAFETY: the mapping made above, which nothing refers to any more.
    unsafe { munmap(memory, TRANSFER_MAX + 1) }.unwrap();
    close(rig, file);
    rig.assert_waits(accept);
}

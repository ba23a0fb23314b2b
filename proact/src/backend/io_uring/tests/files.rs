use std::os::unix::fs::MetadataExt;

use super::*;
use crate::backend::{DirectoryEntry, FileKind};

/// The life of a file and a directory through every file request, by the kernel or by workers.
fn file_life(driver: &mut Driver, name: &str) {
    let scratch = Scratch::new(name);
    let path = c_path(&scratch.file("a"));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::CREATE_NEW;
    let open = Request::Open { path: path.as_ptr(), flags, mode: 0o640 };
    let fd = driver.run(open);
    assert!(fd > 2, "{fd}");
    assert_eq!(driver.run(open), -libc::EEXIST);
    // SAFETY: the descriptor was just opened; it is only looked at.
    let close_on_exec = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    assert_eq!(close_on_exec, libc::FD_CLOEXEC);
    let file = Descriptor(fd.into());

    let text = b"hello, ring";
    let write = Request::Write { file, offset: 3, buffer: text.as_ptr(), length: text.len(), fixed: None };
    assert_eq!(driver.run(write), 11);
    assert_eq!(driver.run(Request::Sync { file, data_only: false }), 0);
    assert_eq!(driver.run(Request::Sync { file, data_only: true }), 0);
    let mut buffer = [9u8; 20];
    let read = Request::Read { file, offset: 1, buffer: buffer.as_mut_ptr(), length: buffer.len(), fixed: None };
    assert_eq!(driver.run(read), 13);
    assert_eq!(&buffer[..14], b"\0\0hello, ring\x09");
    assert_eq!(driver.run(Request::Read { file, offset: 14, buffer: buffer.as_mut_ptr(), length: 20, fixed: None }), 0);
    let nowhere = Request::Read { file, offset: u64::MAX, buffer: buffer.as_mut_ptr(), length: 20, fixed: None };
    assert_eq!(driver.run(nowhere), -libc::EINVAL);

    let modified = Some((-5, 123_456_700));
    assert_eq!(driver.run(Request::SetAttributes { file, mode: Some(0o600), modified }), 0);
    let mut metadata = Metadata::EMPTY;
    assert_eq!(driver.run(Request::StatFile { file, metadata: &raw mut metadata }), 0);
    let known = std::fs::metadata(scratch.file("a")).unwrap();
    assert_eq!((metadata.kind, metadata.size, metadata.mode), (FileKind::File, 14, 0o600));
    assert_eq!((metadata.modified_seconds, metadata.modified_nanoseconds), (-5, 123_456_700));
    assert_eq!((metadata.device, metadata.inode, metadata.links), (known.dev(), known.ino(), 1));
    assert_eq!(metadata.allocated, known.blocks() * 512);

    assert_eq!(driver.run(Request::Truncate { file, size: 5 }), 0);
    assert_eq!(std::fs::metadata(scratch.file("a")).unwrap().len(), 5);
    assert_eq!(driver.run(Request::Allocate { file, offset: 4096, length: 100 }), 0);
    assert_eq!(std::fs::metadata(scratch.file("a")).unwrap().len(), 4196);
    assert_eq!(driver.run(Request::Close { descriptor: file }), 0);
    assert_eq!(driver.run(Request::Close { descriptor: Descriptor::NONE }), -libc::EBADF);

    let directory = c_path(&scratch.file("d"));
    assert_eq!(driver.run(Request::MakeDirectory { path: directory.as_ptr(), mode: 0o700 }), 0);
    assert_eq!(driver.run(Request::MakeDirectory { path: directory.as_ptr(), mode: 0o700 }), -libc::EEXIST);
    std::os::unix::fs::symlink("a", scratch.file("link")).unwrap();
    let link = c_path(&scratch.file("link"));
    for (follow, kind) in [(true, FileKind::File), (false, FileKind::Link)] {
        let stat = Request::StatPath { path: link.as_ptr(), follow, metadata: &raw mut metadata };
        assert_eq!(driver.run(stat), 0);
        assert_eq!(metadata.kind, kind);
    }
    let root = c_path(&scratch.0);
    let mut entries: Vec<DirectoryEntry> = Vec::new();
    assert_eq!(driver.run(Request::ListDirectory { path: root.as_ptr(), entries: &raw mut entries }), 0);
    entries.sort();
    let listed: Vec<_> = entries.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind)).collect();
    assert_eq!(listed, [("a", FileKind::File), ("d", FileKind::Directory), ("link", FileKind::Link)]);

    let other = c_path(&scratch.file("b"));
    std::fs::write(scratch.file("b"), "taken").unwrap();
    let (from, to) = (path.as_ptr(), other.as_ptr());
    assert_eq!(driver.run(Request::Rename { from, to, replace: false }), -libc::EEXIST);
    assert_eq!(driver.run(Request::Rename { from, to, replace: true }), 0);
    assert!(!scratch.file("a").exists());
    assert_eq!(driver.run(Request::Remove { path: to, directory: false }), 0);
    assert_eq!(driver.run(Request::Remove { path: directory.as_ptr(), directory: false }), -libc::EISDIR);
    assert_eq!(driver.run(Request::Remove { path: directory.as_ptr(), directory: true }), 0);
    let gone = Request::StatPath { path: to, follow: true, metadata: &raw mut metadata };
    assert_eq!(driver.run(gone), -libc::ENOENT);
}

#[test]
fn file_lives_in_the_kernel_but_for_what_it_cannot_do() {
    let Some(mut driver) = Driver::new() else { return };
    assert!(driver.backend.capabilities().contains(Capabilities::KERNEL_FILES));
    file_life(&mut driver, "kernel");
    let truncates = u64::from(!driver.backend.capabilities().contains(Capabilities::KERNEL_TRUNCATE));
    // One change of attributes and one listing.
    assert_eq!(driver.backend.counters().worker_jobs, 2 + truncates);
}

#[test]
fn file_lives_with_workers_where_the_kernel_may_not() {
    let Some(mut driver) = Driver::without(Capabilities::KERNEL_FILES) else { return };
    assert_eq!(driver.backend.counters().workers, 0);
    file_life(&mut driver, "workers");
    assert!(driver.backend.counters().worker_jobs >= 20, "{:?}", driver.backend.counters());
    assert!(!driver.backend.links(&Request::Sync { file: Descriptor::NONE, data_only: true }));
}

#[test]
fn many_stats_at_once_keep_their_answers_apart() {
    let Some(mut driver) = Driver::new() else { return };
    let scratch = Scratch::new("stats");
    let mut answers = [Metadata::EMPTY; 10];
    for round in 0..3 {
        let mut paths = Vec::new();
        for index in 0..answers.len() {
            let path = scratch.file(&index.to_string());
            std::fs::write(&path, vec![0; index * 10 + round]).unwrap();
            paths.push(c_path(&path));
        }
        let answers_at = answers.as_mut_ptr();
        let tokens: Vec<_> = (0..10)
            .map(|index| {
                let metadata = answers_at.wrapping_add(index);
                driver.start(Request::StatPath { path: paths[index].as_ptr(), follow: true, metadata })
            })
            .collect();
        for token in tokens {
            assert_eq!(driver.finish(token), 0);
        }
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(answer.size, (index * 10 + round) as u64);
        }
    }
}

//! Files and names.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proact::backend::{FileKind, OpenFlags};
use proact::memory::Part;
use proact::operation::{
    Allocate, Close, ListDirectory, MakeDirectory, Op, Open, Read, Remove, Rename, SetAttributes, Stat, StatPath, Sync,
    Truncate, Write,
};
use proact::status::{Code, Operation, Status};

use crate::bench::{Cts, Told};
use crate::cases;
use crate::harness::skip;
use crate::system::{is_superuser, make_fifo};

cases![
    reads_return_the_bytes_at_their_offset,
    a_read_across_the_end_is_short_and_past_it_is_zero,
    an_exact_read_across_the_end_is_out_of_range,
    a_read_of_no_bytes_succeeds_with_none,
    written_bytes_are_read_back_also_after_reopening,
    writes_beyond_the_end_leave_zeros_between,
    appended_bytes_go_to_the_end_whatever_the_offset,
    eight_mebibytes_go_out_and_come_back_exactly,
    many_reads_of_one_file_each_get_their_own_bytes,
    a_part_of_a_buffer_is_filled_and_the_rest_left_alone,
    offsets_that_the_kernel_cannot_hold_are_refused_at_submit,
    open_makes_cuts_and_insists_as_told,
    open_gives_a_new_file_the_mode_asked_for.real("the kernel's own view of a file"),
    open_follows_no_link_when_told_not_to,
    a_missing_name_is_not_found_and_named_in_the_error,
    every_name_operation_names_its_path_and_operation_when_it_fails,
    a_file_that_modes_forbid_is_permission_denied,
    stat_tells_the_truth_of_files_directories_and_links.real("the kernel's own view of a file"),
    truncate_cuts_and_extends,
    allocate_extends_the_file_and_its_blocks,
    sync_succeeds_on_files_and_directories,
    attributes_are_set_and_those_not_named_stay,
    rename_refuses_an_existing_target_unless_told_to_replace,
    remove_takes_files_and_empty_directories_only,
    list_names_every_entry_with_its_kind_and_no_dots,
    a_closed_file_refuses_operations_and_a_second_close,
    a_file_opened_for_one_direction_refuses_the_other,
    reading_a_directory_fails_and_leaves_the_file_usable_for_sync,
    dev_zero_fills_a_buffer_whole.real("the kernel's own files and devices"),
    opening_a_fifo_waits_for_no_one_at_its_other_end.real("the kernel's own files and devices"),
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn reads_return_the_bytes_at_their_offset(cts: &mut Cts) {
    let file = cts.file("f", &pattern(10_000));
    let told: Told<Read<Vec<u8>>> = cts.one(Read::exact(file.clone(), 0, vec![0; 10_000]));
    assert_eq!(told.result.unwrap(), 10_000);
    assert_eq!(told.kind.buffer, pattern(10_000));
    let told = cts.one(Read::some(file, 251 * 3, vec![0; 4]));
    assert_eq!(told.result.unwrap(), 4);
    assert_eq!(told.kind.buffer, [0, 1, 2, 3]);
    assert_eq!(cts.statistics().bytes_read, 10_004);
}

fn a_read_across_the_end_is_short_and_past_it_is_zero(cts: &mut Cts) {
    let file = cts.file("f", &pattern(100));
    let told = cts.one(Read::some(file.clone(), 90, vec![0xee; 50]));
    assert_eq!(told.result.unwrap(), 10);
    assert_eq!(told.kind.buffer[..10], pattern(100)[90..]);
    assert_eq!(told.kind.buffer[10..], [0xee; 40]);
    for offset in [100, 101, 1 << 40] {
        assert_eq!(cts.get(Read::some(file.clone(), offset, vec![0; 8])), 0);
    }
}

fn an_exact_read_across_the_end_is_out_of_range(cts: &mut Cts) {
    let file = cts.file("f", &pattern(100));
    let told = cts.one(Read::exact(file.clone(), 90, vec![0; 50]));
    assert_eq!(told.kind.buffer[..10], pattern(100)[90..], "what was there is there");
    let status = told.status();
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::FileRead));
    assert!(status.to_string().contains("10 of 50"), "{status}");
    assert_eq!(cts.fails(Read::exact(file.clone(), 100, vec![0; 1])).code(), Code::OutOfRange);
    // A file is no stream: the next read is as good as ever.
    assert_eq!(cts.get(Read::exact(file, 0, vec![0; 100])), 100);
}

fn a_read_of_no_bytes_succeeds_with_none(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    assert_eq!(cts.get(Read::exact(file.clone(), 0, Vec::new())), 0);
    assert_eq!(cts.get(Read::some(file.clone(), 9, Vec::new())), 0);
    assert_eq!(cts.get(Write::exact(file, 0, Vec::new())), 0);
}

fn written_bytes_are_read_back_also_after_reopening(cts: &mut Cts) {
    let file = cts.file("f", b"");
    assert_eq!(cts.get(Write::exact(file.clone(), 0, pattern(65_536))), 65_536);
    assert_eq!(cts.one(Read::exact(file.clone(), 0, vec![0; 65_536])).kind.buffer, pattern(65_536));
    cts.get(Close::new(file));
    let path = cts.path("f");
    let file = cts.get(Open::new(path, OpenFlags::READ));
    assert_eq!(cts.one(Read::exact(file, 0, vec![0; 65_536])).kind.buffer, pattern(65_536));
    assert_eq!(cts.statistics().bytes_written, 65_536);
}

fn writes_beyond_the_end_leave_zeros_between(cts: &mut Cts) {
    let file = cts.file("f", b"ab");
    cts.get(Write::some(file.clone(), 6, b"cd".as_slice()));
    let told = cts.one(Read::some(file, 0, vec![9; 16]));
    assert_eq!(told.result.unwrap(), 8);
    assert_eq!(told.kind.buffer[..8], *b"ab\0\0\0\0cd");
}

fn appended_bytes_go_to_the_end_whatever_the_offset(cts: &mut Cts) {
    let path = cts.path("log");
    cts.write(&path, b"one,");
    let file = cts.get(Open::new(&path, OpenFlags::WRITE | OpenFlags::APPEND));
    cts.get(Write::exact(file.clone(), 0, b"two,".as_slice()));
    cts.get(Write::exact(file, 0, String::from("three")));
    assert_eq!(cts.read(&path), b"one,two,three");
}

fn eight_mebibytes_go_out_and_come_back_exactly(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let length = 8 << 20;
    assert_eq!(cts.get(Write::exact(file.clone(), 3, pattern(length))), length);
    let told = cts.one(Read::exact(file, 3, vec![0; length]));
    assert!(told.kind.buffer == pattern(length));
}

fn many_reads_of_one_file_each_get_their_own_bytes(cts: &mut Cts) {
    let file = cts.file("f", &pattern(64 * 1024));
    let (ops, watches): (Vec<_>, Vec<_>) =
        (0..64).map(|part| cts.watch(Read::exact(file.clone(), part * 1024, vec![0; 1024]))).unzip();
    cts.submit(ops).unwrap();
    cts.drain();
    for (part, watch) in watches.into_iter().enumerate() {
        assert_eq!(watch.only().kind.buffer, pattern(64 * 1024)[part * 1024..][..1024], "part {part}");
    }
}

fn a_part_of_a_buffer_is_filled_and_the_rest_left_alone(cts: &mut Cts) {
    let file = cts.file("f", b"0123456789");
    let told = cts.one(Read::exact(file.clone(), 2, Part::new(vec![b'.'; 8], 3..6)));
    assert_eq!(told.kind.buffer.into_inner(), b"...234..");
    cts.get(Write::exact(file.clone(), 0, Part::new(b"abcdef".to_vec(), 1..3)));
    assert_eq!(cts.one(Read::exact(file, 0, vec![0; 3])).kind.buffer, b"bc2");
}

fn offsets_that_the_kernel_cannot_hold_are_refused_at_submit(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let last = i64::MAX as u64;
    for offset in [u64::MAX, last, last - 6] {
        let refused = cts.submit(Op::new(Read::some(file.clone(), offset, vec![0; 8]), ())).unwrap_err();
        assert_eq!(refused.status.code(), Code::InvalidArgument, "{offset}");
        let refused = cts.submit(Op::new(Write::some(file.clone(), offset, vec![0; 8]), ())).unwrap_err();
        assert_eq!(refused.status.code(), Code::InvalidArgument, "{offset}");
    }
}

fn open_makes_cuts_and_insists_as_told(cts: &mut Cts) {
    let path = cts.path("new");
    let write = OpenFlags::WRITE | OpenFlags::CREATE;
    let file = cts.get(Open::new(&path, write | OpenFlags::CREATE_NEW));
    cts.get(Write::exact(file, 0, b"content".as_slice()));
    let status = cts.fails(Open::new(&path, write | OpenFlags::CREATE_NEW));
    assert_eq!(status.code(), Code::AlreadyExists);
    cts.get(Open::new(&path, write));
    assert_eq!(cts.read(&path), b"content", "CREATE alone leaves what is there");
    cts.get(Open::new(&path, write | OpenFlags::TRUNCATE));
    assert_eq!(cts.read(&path), b"");
    assert_eq!(cts.fails(Open::new(&path, OpenFlags::READ | OpenFlags::DIRECTORY)).code(), Code::FailedPrecondition);
}

fn open_gives_a_new_file_the_mode_asked_for(cts: &mut Cts) {
    let path = cts.path("private");
    cts.get(Open::new(&path, OpenFlags::WRITE | OpenFlags::CREATE).mode(0o600));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    // Closed on exec, or a child process would keep it.
    let file = cts.get(Open::new(&path, OpenFlags::READ));
    let flags = file.try_with_fd(|fd| rustix::io::fcntl_getfd(fd).unwrap()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

fn open_follows_no_link_when_told_not_to(cts: &mut Cts) {
    let (target, link) = (cts.path("target"), cts.path("link"));
    cts.write(&target, b"there");
    cts.symlink(&target, &link);
    cts.get(Open::new(&link, OpenFlags::READ));
    let status = cts.fails(Open::new(&link, OpenFlags::READ | OpenFlags::NO_FOLLOW));
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[track_caller]
fn tells(status: &Status, code: Code, operation: Operation, parts: &[&str]) {
    assert_eq!((status.code(), status.operation()), (code, operation), "{status}");
    assert!(status.os_error().is_some(), "{status}");
    let text = status.to_string();
    assert!(text.starts_with(operation.name()), "{text}");
    for part in parts {
        assert!(text.contains(part), "{text} does not name {part}");
    }
}

fn a_missing_name_is_not_found_and_named_in_the_error(cts: &mut Cts) {
    let path = cts.path("missing");
    let status = cts.fails(Open::new(&path, OpenFlags::READ));
    tells(&status, Code::NotFound, Operation::FileOpen, &[path.to_str().unwrap(), "os error 2"]);
}

fn every_name_operation_names_its_path_and_operation_when_it_fails(cts: &mut Cts) {
    let (missing, other) = (cts.path("missing"), cts.path("other"));
    let name = missing.to_str().unwrap().to_owned();
    let status = cts.fails(StatPath::new(&missing));
    tells(&status, Code::NotFound, Operation::FileStat, &[&name]);
    let status = cts.fails(Rename::new(&missing, &other));
    tells(&status, Code::NotFound, Operation::Rename, &[&name, other.to_str().unwrap()]);
    let status = cts.fails(Remove::file(&missing));
    tells(&status, Code::NotFound, Operation::Remove, &[&name]);
    let status = cts.fails(Remove::directory(&missing));
    tells(&status, Code::NotFound, Operation::Remove, &[&name]);
    let status = cts.fails(ListDirectory::new(&missing));
    tells(&status, Code::NotFound, Operation::DirectoryList, &[&name]);
    let below = missing.join("below");
    let status = cts.fails(MakeDirectory::new(&below));
    tells(&status, Code::NotFound, Operation::DirectoryMake, &[below.to_str().unwrap()]);
    cts.make_directory(&missing);
    let status = cts.fails(MakeDirectory::new(&missing));
    tells(&status, Code::AlreadyExists, Operation::DirectoryMake, &[&name]);
}

fn a_file_that_modes_forbid_is_permission_denied(cts: &mut Cts) {
    if is_superuser() {
        skip("file modes do not stop the superuser");
    }
    let path = cts.path("sealed");
    cts.write(&path, b"x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let status = cts.fails(Open::new(&path, OpenFlags::READ));
    tells(&status, Code::PermissionDenied, Operation::FileOpen, &[path.to_str().unwrap()]);
}

fn stat_tells_the_truth_of_files_directories_and_links(cts: &mut Cts) {
    let file = cts.file("f", &pattern(1234));
    let (path, link, folder) = (cts.path("f"), cts.path("link"), cts.path("."));
    cts.symlink(&path, &link);
    std::fs::hard_link(&path, cts.path("second")).unwrap();
    let truth = std::fs::metadata(&path).unwrap();
    for metadata in [cts.get(Stat::new(file)), cts.get(StatPath::new(&path)), cts.get(StatPath::new(&link))] {
        assert_eq!((metadata.kind, metadata.size, metadata.links), (FileKind::File, 1234, 2));
        assert_eq!(metadata.mode, truth.mode() & 0o7777);
        assert_eq!((metadata.device, metadata.inode), (truth.dev(), truth.ino()));
        assert_eq!(metadata.modified_seconds, truth.mtime());
        assert_eq!(i64::from(metadata.modified_nanoseconds), truth.mtime_nsec());
        assert_eq!(metadata.allocated, truth.blocks() * 512);
    }
    assert_eq!(cts.get(StatPath::new(&link).no_follow()).kind, FileKind::Link);
    assert_eq!(cts.get(StatPath::new(folder)).kind, FileKind::Directory);
    assert_eq!(cts.get(StatPath::new("/dev/null")).kind, FileKind::Other);
}

fn truncate_cuts_and_extends(cts: &mut Cts) {
    let file = cts.file("f", b"0123456789");
    cts.get(Truncate::new(file.clone(), 4));
    assert_eq!(cts.content("f"), b"0123");
    cts.get(Truncate::new(file, 6));
    assert_eq!(cts.content("f"), b"0123\0\0");
}

fn allocate_extends_the_file_and_its_blocks(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let told = cts.one(Allocate::new(file.clone(), 0, 1 << 20));
    if let Err(status) = told.result {
        if status.code() == Code::Unavailable {
            skip(format!("the file system of temporary files cannot: {status}"));
        }
        panic!("{status:?}");
    }
    let metadata = cts.get(Stat::new(file.clone()));
    assert_eq!(metadata.size, 1 << 20);
    assert!(metadata.allocated >= 1 << 20, "{metadata:?}");
    assert_eq!(cts.one(Read::exact(file.clone(), 0, vec![1; 2])).kind.buffer, b"x\0");
    assert_eq!(cts.fails(Allocate::new(file, 0, 0)).code(), Code::InvalidArgument);
}

fn sync_succeeds_on_files_and_directories(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    cts.get(Write::exact(file.clone(), 1, b"y".as_slice()));
    cts.get(Sync::data(file.clone()));
    cts.get(Sync::all(file));
    let path = cts.path(".");
    let folder = cts.get(Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY));
    cts.get(Sync::all(folder));
}

fn attributes_are_set_and_those_not_named_stay(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    cts.get(SetAttributes::new(file.clone()).mode(0o640).modified(1_000_000_000, 123_456_789));
    let metadata = cts.get(Stat::new(file.clone()));
    assert_eq!(metadata.mode, 0o640);
    assert_eq!((metadata.modified_seconds, metadata.modified_nanoseconds), (1_000_000_000, 123_456_789));
    cts.get(SetAttributes::new(file.clone()).mode(0o600));
    let metadata = cts.get(Stat::new(file.clone()));
    assert_eq!((metadata.mode, metadata.modified_seconds), (0o600, 1_000_000_000));
    // Times before 1970 are negative seconds with positive nanoseconds.
    cts.get(SetAttributes::new(file.clone()).modified(-2, 5));
    let metadata = cts.get(Stat::new(file));
    assert_eq!((metadata.mode, metadata.modified_seconds, metadata.modified_nanoseconds), (0o600, -2, 5));
}

fn rename_refuses_an_existing_target_unless_told_to_replace(cts: &mut Cts) {
    let (from, to) = (cts.path("from"), cts.path("to"));
    cts.write(&from, b"new");
    cts.write(&to, b"old");
    let status = cts.fails(Rename::new(&from, &to));
    tells(&status, Code::AlreadyExists, Operation::Rename, &["from", "to"]);
    assert_eq!((cts.read(&from), cts.read(&to)), (b"new".to_vec(), b"old".to_vec()));
    cts.get(Rename::new(&from, &to).replacing());
    assert_eq!(cts.read(&to), b"new");
    assert!(!cts.exists(&from));
    cts.get(Rename::new(&to, &from));
    assert!(cts.exists(&from) && !cts.exists(&to));
}

fn remove_takes_files_and_empty_directories_only(cts: &mut Cts) {
    let (file, folder) = (cts.path("file"), cts.path("folder"));
    cts.write(&file, b"x");
    cts.get(MakeDirectory::new(&folder).mode(0o700));
    assert_eq!(cts.get(StatPath::new(&folder)).mode, 0o700);
    cts.write(folder.join("inside"), b"x");
    assert_eq!(cts.fails(Remove::directory(&folder)).code(), Code::FailedPrecondition);
    assert_eq!(cts.fails(Remove::directory(&file)).code(), Code::FailedPrecondition);
    assert!(cts.one(Remove::file(&folder)).result.is_err(), "a directory is no file");
    cts.get(Remove::file(folder.join("inside")));
    cts.get(Remove::directory(&folder));
    cts.get(Remove::file(&file));
    assert!(!cts.exists(&file) && !cts.exists(&folder));
}

fn list_names_every_entry_with_its_kind_and_no_dots(cts: &mut Cts) {
    let folder = cts.path("folder");
    cts.make_directory(&folder);
    assert_eq!(cts.get(ListDirectory::new(&folder)), []);
    // More than one system call's worth of names: long ones, as each file costs the file system its time.
    let name = |index: usize| format!("a-file-{index:04}-{}", "with-a-name-of-some-length-".repeat(8));
    for index in 0..200 {
        cts.write(folder.join(name(index)), b"");
    }
    cts.make_directory(folder.join("sub"));
    cts.symlink("nowhere", folder.join("tie"));
    let mut entries = cts.get(ListDirectory::new(&folder));
    entries.sort();
    assert_eq!(entries.len(), 202);
    assert_eq!(entries.iter().filter(|entry| entry.kind == FileKind::File).count(), 200);
    assert!(entries[..200].iter().enumerate().all(|(index, entry)| entry.name.to_str() == Some(&name(index)[..])));
    assert_eq!((entries[200].name.to_str(), entries[200].kind), (Some("sub"), FileKind::Directory));
    assert_eq!((entries[201].name.to_str(), entries[201].kind), (Some("tie"), FileKind::Link));
    let file = folder.join(name(0));
    assert_eq!(cts.fails(ListDirectory::new(file)).code(), Code::FailedPrecondition);
}

fn a_closed_file_refuses_operations_and_a_second_close(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let second = file.clone();
    cts.get(Close::new(file.clone()));
    let refused = cts.submit(Op::new(Read::some(second.clone(), 0, vec![0; 1]), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    let refused = cts.submit(Op::new(Close::new(second.clone()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    assert_eq!(second.try_with_fd(|_| ()).unwrap_err().code(), Code::FailedPrecondition);
    // Two closes in one batch: neither was closed at submit, and one of them closes.
    let path = cts.path("f");
    let file = cts.get(Open::new(path, OpenFlags::READ));
    let (one, first) = cts.watch(Close::new(file.clone()));
    let (two, second) = cts.watch(Close::new(file));
    cts.submit([one, two]).unwrap();
    cts.drain();
    first.only().result.unwrap();
    assert_eq!(second.only().status().code(), Code::FailedPrecondition);
}

fn a_file_opened_for_one_direction_refuses_the_other(cts: &mut Cts) {
    let path = cts.path("f");
    cts.write(&path, b"x");
    let reader = cts.get(Open::new(&path, OpenFlags::READ));
    let writer = cts.get(Open::new(&path, OpenFlags::WRITE));
    let status = cts.fails(Write::exact(reader, 0, b"y".as_slice()));
    assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::FileWrite));
    let status = cts.fails(Read::exact(writer, 0, vec![0; 1]));
    assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::FileRead));
}

fn reading_a_directory_fails_and_leaves_the_file_usable_for_sync(cts: &mut Cts) {
    let path = cts.path(".");
    let folder = cts.get(Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY));
    let status = cts.fails(Read::some(folder.clone(), 0, vec![0; 8]));
    assert_eq!((status.code(), status.operation()), (Code::FailedPrecondition, Operation::FileRead));
    cts.get(Sync::all(folder));
}

fn dev_zero_fills_a_buffer_whole(cts: &mut Cts) {
    let zero = cts.get(Open::new("/dev/zero", OpenFlags::READ));
    let told = cts.one(Read::exact(zero, 0, vec![1; 4 << 20]));
    assert_eq!(told.result.unwrap(), 4 << 20);
    assert!(told.kind.buffer.iter().all(|byte| *byte == 0));
    let full = cts.get(Open::new("/dev/full", OpenFlags::WRITE));
    assert_eq!(cts.fails(Write::exact(full, 0, vec![1; 8])).code(), Code::ResourceExhausted);
}

fn opening_a_fifo_waits_for_no_one_at_its_other_end(cts: &mut Cts) {
    let path = cts.path("fifo");
    make_fifo(&path);
    let file = cts.get(Open::new(&path, OpenFlags::READ));
    assert_eq!(cts.get(Stat::new(file.clone())).kind, FileKind::Other);
    let flags = file.try_with_fd(|fd| rustix::fs::fcntl_getfl(fd).unwrap()).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "{flags:?}");
    cts.get(Close::new(file));
    // Now without a reader: no one is there to write to.
    let status = cts.fails(Open::new(&path, OpenFlags::WRITE));
    assert_eq!(status.os_error(), Some(libc::ENXIO), "{status}");
}

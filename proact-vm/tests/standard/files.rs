//! Files beneath granted directories.

use std::os::unix::fs::symlink;

use proact::status::Code;
use proact_vm::standard::{DirectoryAccess, File, Grants, Host, Limits};
use proact_vm::{Ref, Value};

use crate::{Directory, bytes, call, contents, context, granted, reference, refused, room, thread};

const READ: Value = Value::I32(1);
const CREATE: Value = Value::I32(1 | 2 | 4);
const START: Value = Value::I64(0);

fn readable(directory: &Directory) -> Grants {
    Grants::new().directory("data", directory.path(), DirectoryAccess::ReadOnly)
}

fn writable(directory: &Directory) -> Grants {
    Grants::new().directory("data", directory.path(), DirectoryAccess::ReadWrite)
}

#[test]
fn a_file_is_made_written_read_and_closed() {
    let (thread, directory) = (thread(), Directory::new());
    let context = granted(thread.handle(), writable(&directory));
    let file = call(&context, "file.open", [bytes("data/new"), CREATE]).unwrap();
    assert_eq!(reference(&file).type_name(), Some("vm.file"));
    let written = call(&context, "file.write_at", [file.clone(), Value::I64(2), bytes("hello")]).unwrap();
    assert_eq!(written, Value::I64(5));
    call(&context, "file.sync", [file.clone(), Value::I32(1)]).unwrap();
    call(&context, "file.sync", [file.clone(), Value::I32(0)]).unwrap();
    assert_eq!(call(&context, "file.size", [file.clone()]).unwrap(), Value::I64(7));
    assert_eq!(directory.read("new"), b"\0\0hello");
    let buffer = room(8);
    let read = |at| call(&context, "file.read_at", [file.clone(), Value::I64(at), buffer.clone().into()]).unwrap();
    assert_eq!(read(2), Value::I64(5));
    assert_eq!(buffer.to_vec(), b"hello\0\0\0");
    assert_eq!(read(7), Value::I64(0), "at the end");
    call(&context, "file.close", [file.clone()]).unwrap();
    for (function, inputs) in [
        ("file.read_at", [file.clone(), START, buffer.clone().into()]),
        ("file.write_at", [file.clone(), START, bytes("x")]),
        ("file.write_at", [file.clone(), START, bytes("")]),
    ] {
        let (code, words) = refused(&context, function, inputs);
        assert!(code == Code::FailedPrecondition && words.contains("data/new"), "{function}: {words}");
    }
    for function in ["file.size", "file.close"] {
        assert_eq!(refused(&context, function, [file.clone()]).0, Code::FailedPrecondition, "{function}");
    }
    thread.join().unwrap();
}

#[test]
fn what_is_longer_than_one_operation_goes_whole() {
    let (thread, directory) = (thread(), Directory::new());
    let context = granted(thread.handle(), writable(&directory));
    let content: Vec<u8> = (0..600_001u32).map(|number| (number % 251) as u8).collect();
    let file = call(&context, "file.open", [bytes("data/long"), CREATE]).unwrap();
    let written = call(&context, "file.write_at", [file.clone(), START, bytes(&content)]).unwrap();
    assert_eq!(written, Value::I64(content.len() as i64));
    let buffer = room(content.len() + 7);
    let read = call(&context, "file.read_at", [file, START, buffer.clone().into()]).unwrap();
    assert_eq!(read, Value::I64(content.len() as i64));
    assert!(buffer.to_vec()[..content.len()] == content);
    thread.join().unwrap();
}

#[test]
fn paths_lead_nowhere_but_beneath_the_directory() {
    let (thread, outside) = (thread(), Directory::new());
    let inside = Directory::new();
    outside.write("secret", b"secret");
    inside.write("plain", b"plain");
    inside.write("below/deep/file", b"deep");
    let link = |name: &str, target: &std::path::Path| symlink(target, inside.path().join(name)).unwrap();
    link("link", &outside.path().join("secret"));
    link("out", outside.path());
    link("near", &inside.path().join("plain"));
    link("below/up", std::path::Path::new(".."));
    let context = granted(thread.handle(), writable(&inside));
    for path in ["data/plain", "data/below/deep/file"] {
        call(&context, "file.open", [bytes(path), READ]).unwrap();
    }
    let absolute = outside.path().join("secret");
    for (path, code) in [
        ("data/link", Code::FailedPrecondition),
        ("data/out/secret", Code::FailedPrecondition),
        ("data/near", Code::FailedPrecondition),
        ("data/below/up/plain", Code::FailedPrecondition),
        ("data/plain/x", Code::FailedPrecondition),
        ("data/../secret", Code::PermissionDenied),
        ("data/below/../plain", Code::PermissionDenied),
        (absolute.to_str().unwrap(), Code::PermissionDenied),
        ("other/plain", Code::PermissionDenied),
        ("data/below", Code::PermissionDenied),
        ("data/./plain", Code::InvalidArgument),
        ("data//plain", Code::InvalidArgument),
        ("data", Code::InvalidArgument),
        ("data/absent", Code::NotFound),
        ("data/absent/x", Code::NotFound),
    ] {
        let (found, words) = refused(&context, "file.open", [bytes(path), READ]);
        assert_eq!(found, code, "{path}: {words}");
        assert!(words.contains(path), "{words}");
    }
    // What would be made or cut is not, either.
    for path in ["data/link", "data/out/new"] {
        let flags = Value::I32(2 | 4 | 16);
        assert_eq!(refused(&context, "file.open", [bytes(path), flags]).0, Code::FailedPrecondition, "{path}");
    }
    assert_eq!(outside.read("secret"), b"secret");
    assert!(!outside.path().join("new").exists());
    assert_eq!(refused(&context, "file.open", [bytes([0xff]), READ]).0, Code::InvalidArgument);
    thread.join().unwrap();
}

#[test]
fn what_is_no_regular_file_is_not_opened_nor_waited_for() {
    let (thread, directory) = (thread(), Directory::new());
    let made = std::process::Command::new("mkfifo").arg(directory.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let _listener = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    let context = granted(thread.handle(), writable(&directory));
    let (code, words) = refused(&context, "file.open", [bytes("data/pipe"), READ]);
    assert!(code == Code::PermissionDenied && words.contains("no regular file"), "{words}");
    for path in ["data/pipe", "data/socket"] {
        for flags in [1, 2, 3] {
            refused(&context, "file.open", [bytes(path), Value::I32(flags)]);
        }
    }
    thread.join().unwrap();
}

#[test]
fn a_directory_whose_name_changes_hands_stays_the_one_that_was_granted() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("granted/file", b"mine");
    directory.write("other/file", b"another's");
    let grants = Grants::new().directory("data", directory.path().join("granted"), DirectoryAccess::ReadOnly);
    let context = granted(thread.handle(), grants);
    std::fs::rename(directory.path().join("granted"), directory.path().join("moved")).unwrap();
    std::fs::rename(directory.path().join("other"), directory.path().join("granted")).unwrap();
    let file = call(&context, "file.open", [bytes("data/file"), READ]).unwrap();
    let buffer = Value::from(room(4));
    call(&context, "file.read_at", [file, START, buffer.clone()]).unwrap();
    assert_eq!(contents(&buffer), b"mine");
    thread.join().unwrap();
}

#[test]
fn a_directory_for_reading_is_not_written() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"content");
    let context = granted(thread.handle(), readable(&directory));
    for flags in [2, 3, 2 | 4, 2 | 4 | 8, 2 | 16, 1 | 4] {
        let inputs = [bytes("data/file"), Value::I32(flags)];
        assert_eq!(refused(&context, "file.open", inputs).0, Code::PermissionDenied, "{flags}");
    }
    for flags in [-1, 32, 64, 128, 256, 1 | 512] {
        let inputs = [bytes("data/file"), Value::I32(flags)];
        assert_eq!(refused(&context, "file.open", inputs).0, Code::InvalidArgument, "{flags}");
    }
    let file = call(&context, "file.open", [bytes("data/file"), READ]).unwrap();
    let (code, words) = refused(&context, "file.write_at", [file.clone(), START, bytes("x")]);
    assert!(code == Code::PermissionDenied && words.contains("not open for writing"), "{words}");
    assert_eq!(refused(&context, "file.read_at", [file.clone(), START, bytes("xy")]).0, Code::PermissionDenied);
    let negative = [file.clone(), Value::I64(-1), Value::from(room(1))];
    assert_eq!(refused(&context, "file.read_at", negative).0, Code::InvalidArgument);
    let last = [file, Value::I64(i64::MAX), Value::from(room(2))];
    assert_eq!(refused(&context, "file.read_at", last).0, Code::InvalidArgument);
    assert_eq!(directory.read("file"), b"content");
    thread.join().unwrap();
}

#[test]
fn a_file_is_made_anew_cut_or_neither_as_the_flags_say() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"content");
    let context = granted(thread.handle(), writable(&directory));
    let open = |path: &str, flags| call(&context, "file.open", [bytes(path), Value::I32(flags)]);
    assert_eq!(open("data/file", 2 | 4 | 8).unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(open("data/absent", 2).unwrap_err().code(), Code::NotFound);
    assert_eq!(open("data/file", 1 | 4).unwrap_err().code(), Code::InvalidArgument, "CREATE needs WRITE");
    open("data/file", 2 | 4).unwrap();
    assert_eq!(directory.read("file"), b"content");
    let cut = open("data/file", 2 | 16).unwrap();
    assert_eq!(directory.read("file"), b"");
    assert_eq!(refused(&context, "file.read_at", [cut, START, room(1).into()]).0, Code::PermissionDenied);
    thread.join().unwrap();
}

#[test]
fn open_files_are_bounded_and_a_close_or_the_last_reference_makes_room() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"content");
    let limits = Limits { open_max: 2, ..Limits::default() };
    let context = context(&Host::new().grant(thread.handle(), readable(&directory)).limits(limits));
    let open = || call(&context, "file.open", [bytes("data/file"), READ]);
    let (one, two) = (open().unwrap(), open().unwrap());
    assert_eq!(open().unwrap_err().code(), Code::ResourceExhausted);
    call(&context, "file.close", [one.clone()]).unwrap();
    let three = open().unwrap();
    assert_eq!(open().unwrap_err().code(), Code::ResourceExhausted, "one place for one close");
    drop(two);
    open().unwrap();
    refused(&context, "file.open", [bytes("data/absent"), READ]);
    drop((one, three));
    assert!(open().is_ok() && open().is_ok(), "what could not be opened takes no place");
    thread.join().unwrap();
}

#[test]
fn a_file_that_the_host_has_opened_is_used_as_one_of_the_program() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"content");
    let context = granted(thread.handle(), writable(&Directory::new()));
    let opened = std::fs::File::open(directory.path().join("file")).unwrap();
    let file = thread.handle().import_file(opened.into()).unwrap();
    let file = Value::from(Ref::new(File::new(thread.handle(), file, DirectoryAccess::ReadOnly, "given")));
    assert_eq!(call(&context, "file.size", [file.clone()]).unwrap(), Value::I64(7));
    assert!(refused(&context, "file.write_at", [file, START, bytes("x")]).1.contains("given"));
    assert!(refused(&context, "file.size", [bytes("x")]).1.contains("expected a reference to vm.file"));
    thread.join().unwrap();
}

//! What a program finds, and what it does not.

use proact::status::Code;
use proact_vm::module::native::NativeModule;
use proact_vm::standard::{self, DirectoryAccess, Grants, Host};
use proact_vm::{Context, Instance};

use crate::{Directory, context, context_with, granted, thread};

#[test]
fn a_program_that_imports_what_is_not_granted_is_refused() {
    let thread = thread();
    let nothing = context(&Host::new().grant(thread.handle(), Grants::new()));
    for name in ["semaphore.wait", "timer.now", "list.create", "buffer.create", "log.write"] {
        assert!(nothing.lookup(name).is_ok(), "{name}");
    }
    for name in ["file.open", "socket.connect"] {
        assert_eq!(nothing.lookup(name).unwrap_err().code(), Code::NotFound, "{name}");
    }
    let modules = standard::modules(&Host::new()).unwrap();
    let user = NativeModule::builder("user").import("file.open", "0ri_r").build().unwrap();
    let builder =
        modules.into_iter().fold(Context::builder(&Instance::new()), |builder, module| builder.module(module));
    let refused = builder.module(user).build().unwrap_err();
    assert!(refused.code() == Code::NotFound && refused.to_string().contains("file"), "{refused}");
    let listens = granted(thread.handle(), Grants::new().listen("127.0.0.1:0".parse().unwrap()));
    assert!(listens.lookup("socket.listen").is_ok() && listens.lookup("file.open").is_err());
    thread.join().unwrap();
}

#[test]
fn a_directory_that_is_none_is_told_to_the_host() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"");
    let refused = |name: &str, path: std::path::PathBuf| {
        let grants = Grants::new().directory(name, path, DirectoryAccess::ReadOnly);
        standard::modules(&Host::new().grant(thread.handle(), grants)).map(drop).unwrap_err()
    };
    let absent = refused("data", directory.path().join("absent"));
    assert!(absent.code() == Code::NotFound && absent.to_string().contains("\"data\""), "{absent}");
    assert_eq!(refused("data", directory.path().join("file")).code(), Code::FailedPrecondition);
    for name in ["", "a/b", "..", ".", "/"] {
        assert_eq!(refused(name, directory.path().into()).code(), Code::InvalidArgument, "{name:?}");
    }
    thread.join().unwrap();
}

/// As `docs/vm-modules.md` has them.
#[test]
fn every_function_is_in_the_table_with_its_convention() {
    let (thread, directory) = (thread(), Directory::new());
    let grants = Grants::new()
        .directory("data", directory.path(), DirectoryAccess::ReadOnly)
        .listen("127.0.0.1:0".parse().unwrap());
    let host = Host::new().grant(thread.handle(), grants);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vm-modules.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut told: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.contains(" | `0")).collect();
    for module in standard::modules(&host).unwrap() {
        for export in module.exports() {
            let start = format!("| `{}.{}` | `{}` |", module.name(), export.name, export.convention);
            let place = told.iter().position(|line| line.starts_with(&start));
            told.remove(place.unwrap_or_else(|| panic!("no line {start}")));
        }
    }
    assert_eq!(told, [""; 0], "lines of functions that are not there");
    thread.join().unwrap();
}

#[test]
fn a_fork_has_the_same_grants() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("file", b"");
    let grants = Grants::new().directory("data", directory.path(), DirectoryAccess::ReadOnly);
    let context = context_with(&Host::new().grant(thread.handle(), grants), []);
    let fork = context.fork().unwrap();
    crate::call(&fork, "file.open", [crate::bytes("data/file"), proact_vm::Value::I32(1)]).unwrap();
    thread.join().unwrap();
}

//! `transfer` and `receive` doing what they are for, on every backend.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

mod support;
use support::*;

const CHUNK: usize = 64 << 10;

/// Files around the chunk size, empty ones, nested and empty directories, modes, times.
fn make_tree(scratch: &Scratch) -> std::path::PathBuf {
    for (name, size) in [
        ("tree/one chunk less one", CHUNK - 1),
        ("tree/one chunk", CHUNK),
        ("tree/one chunk and one", CHUNK + 1),
        ("tree/deep/er/many", 37 * CHUNK + 12_345),
        ("tree/deep/empty", 0),
        ("tree/deep/byte", 1),
    ] {
        scratch.file(name, size);
    }
    for index in 0..40 {
        scratch.file(&format!("tree/small/{index:02}"), index * 100);
    }
    fs::create_dir(scratch.path("tree/hollow")).expect("an empty directory");
    let set =
        |name: &str, mode| fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(mode)).expect("mode");
    set("tree/deep/byte", 0o640);
    set("tree/one chunk", 0o444);
    set("tree/hollow", 0o750);
    for (name, seconds) in [("tree/deep/byte", 981_173_106), ("tree/deep/er", 5), ("tree/hollow", 1_000_000_007)] {
        let file = fs::File::open(scratch.path(name)).expect("openable");
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds, 123_456_789);
        file.set_modified(time).expect("settable");
    }
    scratch.path("tree")
}

#[track_caller]
fn assert_same(source: &Path, copy: &Path) {
    assert_eq!(names(source), names(copy));
    for name in names(source) {
        let (from, to) = (source.join(&name), copy.join(&name));
        let (a, b) = (from.metadata().expect("there"), to.metadata().expect("there"));
        assert_eq!(a.mode(), b.mode(), "{name}: mode");
        assert_eq!((a.mtime(), a.mtime_nsec()), (b.mtime(), b.mtime_nsec()), "{name}: time");
        if a.is_file() {
            assert!(fs::read(&from).expect("readable") == fs::read(&to).expect("readable"), "{name}: content");
        }
    }
}

#[test]
fn a_tree_arrives_whole_with_modes_and_times_on_every_backend_and_depth() {
    let scratch = Scratch::new("tree");
    let tree = make_tree(&scratch);
    for backend in backends() {
        for in_flight in ["1", "8", "32"] {
            let into = scratch.path(&format!("{backend}-{in_flight}"));
            let mut arguments = vec!["transfer".into(), tree.clone().into_os_string(), "--into".into()];
            arguments.push(into.clone().into());
            arguments.extend(
                ["--json", "--chunk-size", "64KiB", "--backend", backend, "--in-flight", in_flight].map(Into::into),
            );
            let output = run(&arguments);
            assert_eq!(output.status.code(), Some(0), "{backend} {in_flight}: {}", stderr(&output));
            assert_same(&tree, &into.join("tree"));
            let report = json(&output);
            assert_eq!((&report["outcome"], &report["backend"]), (&"ok".into(), &backend.into()));
            assert_eq!(
                (&report["files"], &report["directories"], &report["failed"]),
                (&46.into(), &5.into(), &0.into())
            );
            let chunks = report["chunks"].as_u64().expect("a count");
            assert_eq!(chunks, 1 + 1 + 2 + 38 + 1 + 39, "{report}");
            let pairs =
                [&report["chunks_lowered"], &report["chunks_portable"]].map(|count| count.as_u64().expect("count"));
            assert_eq!(pairs[0] + pairs[1], chunks, "every chunk's wait ran one way or the other");
            assert!(backend == "io_uring" || pairs[0] == 0, "only io_uring lowers: {report}");
            assert_eq!(report["enters_between_steps_lowered"], 0);
        }
    }
}

#[test]
fn a_receiver_in_another_process_gets_the_tree_and_both_report_it() {
    let scratch = Scratch::new("pair");
    let tree = make_tree(&scratch);
    for backend in backends() {
        let into = scratch.path(backend);
        let (receiver, address) = Program::receive(&into, &["--once", "--json", "--backend", backend]);
        let to = address.to_string();
        let output = run([
            "transfer",
            tree.to_str().expect("UTF-8"),
            "--to",
            &to,
            "--backend",
            backend,
            "--json",
            "--chunk-size",
            "64KiB",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let received = receiver.finish();
        assert_eq!(received.status.code(), Some(0), "{}", stderr(&received));
        assert_same(&tree, &into.join("tree"));
        let (sent, received) = (json(&output), json(&received));
        for field in ["bytes", "files", "directories", "chunks", "failed"] {
            assert_eq!(sent[field], received[field], "{field}");
        }
        assert_eq!((&sent["role"], &received["role"]), (&"send".into(), &"receive".into()));
    }
}

#[test]
fn a_receiver_without_once_serves_one_transfer_after_another() {
    let scratch = Scratch::new("serve");
    let into = scratch.path("into");
    let (receiver, address) = Program::receive(&into, &["--json"]);
    for index in 0..3 {
        let source = scratch.file(&format!("file{index}"), 1000 + index);
        let output = run(["transfer", source.to_str().expect("UTF-8"), "--to", &address.to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    receiver.signal(rustix::process::Signal::INT);
    let output = receiver.finish();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(std::str::from_utf8(&output.stdout).expect("UTF-8").lines().count(), 3, "one object a session");
    assert_eq!(names(&into), ["file0", "file1", "file2"]);
}

#[test]
fn an_existing_file_is_refused_without_overwrite_and_replaced_with_it() {
    let scratch = Scratch::new("overwrite");
    let (old, other) = (scratch.file("old", 100_000), scratch.file("other", 10));
    let into = scratch.path("into");
    fs::create_dir(&into).expect("the destination");
    fs::write(into.join("old"), "as it was").expect("there already");
    let arguments = ["transfer".as_ref(), old.as_os_str(), other.as_os_str(), "--into".as_ref(), into.as_os_str()];
    let output = run(arguments);
    assert_failed(&output, 4, "old: exists already");
    assert_eq!(fs::read(into.join("old")).expect("there"), b"as it was");
    assert_eq!(fs::read(into.join("other")).expect("there"), content(10), "the other file is delivered all the same");
    let output = run(arguments.into_iter().chain(["--overwrite".as_ref()]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(into.join("old")).expect("there"), content(100_000));
    assert_eq!(names(&into), ["old", "other"]);
}

#[test]
fn symbolic_links_are_refused_unless_followed() {
    let scratch = Scratch::new("links");
    scratch.file("real", 5000);
    fs::create_dir(scratch.path("dir")).expect("a directory");
    symlink("../real", scratch.path("dir/link")).expect("a link");
    let (source, into) = (scratch.path("dir"), scratch.path("into"));
    let arguments = ["transfer".as_ref(), source.as_os_str(), "--into".as_ref(), into.as_os_str()];
    assert_failed(&run(arguments), 3, "link is a symbolic link");
    let output = run(arguments.into_iter().chain(["--follow".as_ref()]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(into.join("dir/link")).expect("a file"), content(5000));
    assert!(!into.join("dir/link").symlink_metadata().expect("there").is_symlink());
}

#[test]
fn a_link_in_the_destination_is_not_followed() {
    let scratch = Scratch::new("trap");
    scratch.file("tree/file", 10);
    let (into, elsewhere) = (scratch.path("into"), scratch.path("elsewhere"));
    fs::create_dir(&into).expect("the destination");
    fs::create_dir(&elsewhere).expect("a directory");
    symlink(&elsewhere, into.join("tree")).expect("a link");
    let output = run(["transfer".as_ref(), scratch.path("tree").as_os_str(), "--into".as_ref(), into.as_os_str()]);
    assert_failed(&output, 4, "exists already and is no directory");
    assert!(stderr(&output).contains("is a symbolic link"), "{}", stderr(&output));
    assert_eq!(names(&elsewhere), [""; 0], "nothing was written through the link");
}

#[test]
fn memory_stays_below_64_mib_with_default_options() {
    let scratch = Scratch::new("memory");
    let source = scratch.path("big");
    // A hole reads as zeros: nothing needs to be on the disk for it.
    fs::File::create(&source).expect("a source").set_len(200 << 20).expect("sparse");
    let output = run([
        "transfer".as_ref(),
        source.as_os_str(),
        "--into".as_ref(),
        scratch.path("into").as_os_str(),
        "--json".as_ref(),
    ]);
    let report = json(&output);
    assert_eq!(report["bytes"], 200 << 20, "{report}");
    let peak = report["peak_memory_bytes"].as_u64().expect("known on Linux");
    assert!(peak < 64 << 20, "{peak}");
}

#[test]
fn doctor_names_every_backend_and_what_auto_takes() {
    let output = run(["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let answer = json(&output);
    let listed: Vec<&str> = answer["backends"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|backend| backend["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(listed, ["io_uring", "epoll", "poll"]);
    assert_eq!(answer["auto"], backends()[0], "the best that works");
    for backend in answer["backends"].as_array().expect("a list") {
        assert_eq!(backend["usable"] == true, backend["reason"].is_null(), "{backend}");
    }
    let nodes = answer["topology"]["nodes"].as_array().expect("a list");
    assert!(!nodes.is_empty(), "there is always one");
    for node in nodes {
        let pinned = node["cpu_count"] == 0 || node["pinning"]["works"] == true;
        assert!(pinned || node["pinning"]["reason"].is_string(), "{node}");
    }
    assert!(stderr(&run(["doctor"])).is_empty());
}

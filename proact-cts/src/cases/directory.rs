//! Directories: listing in batches, walking.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Close, ListBatch, Op, Open, Walk};
use proact::resource::{File, WalkEntry};
use proact::status::{Code, Operation};

use crate::bench::{Cts, Tell};
use crate::cases;
use crate::harness::skip;
use crate::system::{descriptors, is_superuser};

cases![
    batches_tell_every_name_once_with_its_kind,
    a_batch_fits_its_bytes_and_an_empty_directory_ends_at_once,
    a_rewound_listing_begins_again,
    listing_what_is_no_directory_fails,
    a_walk_tells_the_whole_tree_in_batches.real("walks through directories"),
    a_walk_follows_no_link.real("walks through directories"),
    a_walk_stops_at_its_depth.real("walks through directories"),
    a_walk_tells_what_it_may_not_list_and_goes_on,
    a_strict_walk_fails_with_the_first_directory_it_cannot_list,
    a_walk_of_a_missing_root_names_it.real("walks through directories"),
    a_walk_restarts_and_a_dropped_one_closes_its_directories.real("walks through directories").alone(),
];

fn open(cts: &mut Cts, path: &Path) -> File {
    cts.get(Open::new(path, OpenFlags::READ | OpenFlags::DIRECTORY))
}

/// All that is left of a listing, a batch at a time, and how many batches there were.
fn names(cts: &mut Cts, list: ListBatch) -> (Vec<(OsString, FileKind)>, usize) {
    let (mut list, mut names, mut batches) = (list, Vec::new(), 0);
    loop {
        let told = cts.one(list);
        let count = told.result.unwrap();
        list = told.kind;
        assert_eq!(list.entries().count(), count);
        if count == 0 {
            return (names, batches);
        }
        batches += 1;
        names.extend(list.entries().map(|entry| (entry.name.to_owned(), entry.kind)));
    }
}

fn batches_tell_every_name_once_with_its_kind(cts: &mut Cts) {
    let root = cts.path("root");
    cts.make_directory(&root);
    let mut truth = BTreeSet::new();
    for at in 0..150 {
        let name = format!("{at}-{}", "n".repeat(at % 200));
        let path = root.join(&name);
        let kind = match at % 3 {
            0 => {
                cts.make_directory(path);
                FileKind::Directory
            }
            1 => {
                cts.write(path, b"");
                FileKind::File
            }
            _ => {
                cts.symlink("nowhere", path);
                FileKind::Link
            }
        };
        truth.insert((OsString::from(name), kind));
    }
    let directory = open(cts, &root);
    let (told, batches) = names(cts, ListBatch::with_bytes(directory, 2048));
    assert!(batches > 5, "{batches} batches of 2 KiB");
    assert_eq!(told.len(), 150, "each once");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), truth);
}

fn a_batch_fits_its_bytes_and_an_empty_directory_ends_at_once(cts: &mut Cts) {
    let root = cts.path("root");
    cts.make_directory(&root);
    let directory = open(cts, &root);
    assert_eq!(cts.get(ListBatch::new(directory.clone())), 0);
    // The longest name fits the smallest batch.
    cts.write(root.join("x".repeat(255)), b"");
    let directory = open(cts, &root);
    let (told, _) = names(cts, ListBatch::with_bytes(directory, 0));
    assert_eq!(told, [(OsString::from("x".repeat(255)), FileKind::File)]);
}

fn a_rewound_listing_begins_again(cts: &mut Cts) {
    let root = cts.path("root");
    cts.make_directory(&root);
    cts.write(root.join("a"), b"");
    let directory = open(cts, &root);
    let told = cts.one(ListBatch::new(directory.clone()));
    let mut list = told.kind;
    assert_eq!(told.result.unwrap(), 1);
    assert!(list.entries().next().unwrap().inode > 0);
    list.rewind();
    let (told, _) = names(cts, list);
    assert_eq!(told, [(OsString::from("a"), FileKind::File)]);
    cts.get(Close::new(directory.clone()));
    let refused = cts.submit(Op::new(ListBatch::new(directory), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn listing_what_is_no_directory_fails(cts: &mut Cts) {
    let file = cts.file("f", b"x");
    let status = cts.fails(ListBatch::new(file));
    assert_eq!((status.code(), status.operation()), (Code::FailedPrecondition, Operation::DirectoryList));
}

/// A tree of directories and files, and every path in it.
fn tree(cts: &mut Cts) -> (PathBuf, BTreeSet<PathBuf>) {
    let root = cts.path("tree");
    let mut truth = BTreeSet::new();
    for path in ["a", "a/b", "a/b/c", "d", "e"] {
        cts.make_directory(root.join(path));
        truth.insert(root.join(path));
        for at in 0..20 {
            let file = root.join(path).join(format!("file-{at}"));
            cts.write(&file, b"");
            truth.insert(file);
        }
    }
    (root, truth)
}

fn walked(cts: &mut Cts, walk: Walk) -> Vec<WalkEntry> {
    let (mut walk, mut all) = (walk, Vec::new());
    loop {
        let told = cts.one(walk);
        let entries = told.result.unwrap_or_else(|status| panic!("{status}"));
        walk = told.kind;
        if entries.is_empty() {
            return all;
        }
        all.extend(entries);
    }
}

fn a_walk_tells_the_whole_tree_in_batches(cts: &mut Cts) {
    let (root, truth) = tree(cts);
    let told = cts.one(Walk::new(&root).batch(7));
    assert_eq!(told.result.unwrap().len(), 7);
    let all = walked(cts, Walk::new(&root).batch(7));
    assert_eq!(all.len(), truth.len(), "each once");
    for (at, entry) in all.iter().enumerate() {
        assert!(entry.failure.is_none());
        assert_eq!(entry.depth as usize, entry.path.strip_prefix(&root).unwrap().components().count());
        let parent = entry.path.parent().unwrap();
        assert!(parent == root || all[..at].iter().any(|earlier| earlier.path == parent), "directories come first");
    }
    assert_eq!(all.into_iter().map(|entry| entry.path).collect::<BTreeSet<_>>(), truth);
}

fn a_walk_follows_no_link(cts: &mut Cts) {
    let root = cts.path("root");
    cts.make_directory(&root);
    cts.symlink(&root, root.join("loop"));
    cts.symlink("/", root.join("all"));
    let mut all = walked(cts, Walk::new(&root));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    let told: Vec<_> =
        all.iter().map(|entry| (entry.path.file_name().unwrap().to_str().unwrap(), entry.kind)).collect();
    assert_eq!(told, [("all", FileKind::Link), ("loop", FileKind::Link)]);
}

fn a_walk_stops_at_its_depth(cts: &mut Cts) {
    let (root, _) = tree(cts);
    let all = walked(cts, Walk::new(&root).depth(1));
    assert_eq!(
        all.iter().map(|entry| entry.path.clone()).collect::<BTreeSet<_>>(),
        [root.join("a"), root.join("d"), root.join("e")].into()
    );
    let all = walked(cts, Walk::new(&root).depth(2));
    assert_eq!(all.iter().map(|entry| entry.depth).max(), Some(2));
    assert_eq!(all.len(), 3 + 3 * 20 + 1);
}

fn seal(cts: &mut Cts) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    if is_superuser() {
        skip("file modes do not stop the superuser");
    }
    let (root, _) = tree(cts);
    std::fs::set_permissions(root.join("d"), std::fs::Permissions::from_mode(0o000)).unwrap();
    root
}

fn a_walk_tells_what_it_may_not_list_and_goes_on(cts: &mut Cts) {
    let root = seal(cts);
    let all = walked(cts, Walk::new(&root));
    let failed: Vec<_> = all.iter().filter(|entry| entry.failure.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].path, root.join("d"));
    let failure = failed[0].failure.as_ref().unwrap();
    assert_eq!((failure.code(), failure.operation()), (Code::PermissionDenied, Operation::DirectoryWalk));
    assert!(failure.to_string().contains(root.join("d").to_str().unwrap()), "{failure}");
    assert_eq!(all.len(), 4 * 20 + 5, "the rest is there");
}

fn a_strict_walk_fails_with_the_first_directory_it_cannot_list(cts: &mut Cts) {
    let root = seal(cts);
    let status = cts.fails(Walk::new(&root).strict().batch(10_000));
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.to_string().contains(root.join("d").to_str().unwrap()), "{status}");
}

fn a_walk_of_a_missing_root_names_it(cts: &mut Cts) {
    let missing = cts.path("missing");
    let status = cts.fails(Walk::new(&missing));
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::DirectoryWalk));
    assert!(status.to_string().contains(missing.to_str().unwrap()), "{status}");
    cts.file("f", b"x");
    let file = cts.path("f");
    assert_eq!(cts.fails(Walk::new(file)).code(), Code::FailedPrecondition);
}

fn a_walk_restarts_and_a_dropped_one_closes_its_directories(cts: &mut Cts) {
    let (root, truth) = tree(cts);
    // The first file operation of a backend may make it open descriptors of its own.
    let warm = cts.one(Walk::new(&root).batch(1));
    drop(warm);
    let before = descriptors();
    let (op, watch) = cts.watch(Walk::new(&root).batch(50));
    let op: Box<Op<Walk, Tell<Walk>>> = op;
    cts.submit(op).unwrap();
    cts.until("the first batch", || watch.is_done());
    let told = watch.only();
    assert_eq!(told.result.unwrap().len(), 50);
    assert!(descriptors() > before, "it keeps its place");
    let mut walk = told.kind;
    walk.restart();
    assert_eq!(descriptors(), before);
    let told = cts.one(walk);
    assert_eq!(told.result.unwrap().len(), 50);
    let rest = walked(cts, told.kind);
    assert_eq!(rest.len() + 50, truth.len());
    assert_eq!(descriptors(), before);
}

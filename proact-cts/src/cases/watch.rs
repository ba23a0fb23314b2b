//! Changes of files and directories.

use std::path::Path;

use proact::operation::{Close, Op, WatchChanges};
use proact::resource::{ChangeMask, Watch, Watcher};
use proact::status::{Code, Operation};

use crate::bench::Cts;
use crate::cases;
use crate::harness::skip;

cases![
    making_and_removing_names_is_told_in_order.real("changes of directories that are told"),
    the_two_halves_of_a_rename_share_a_cookie.real("changes of directories that are told"),
    writing_and_attributes_of_a_file_are_told.real("changes of directories that are told"),
    the_end_of_what_is_watched_ends_its_watch.real("changes of directories that are told"),
    a_wait_begun_before_the_change_is_told_of_it.real("changes of directories that are told"),
    several_paths_are_told_apart.real("changes of directories that are told"),
    only_what_was_asked_for_is_told.real("changes of directories that are told"),
    lost_changes_are_told_as_lost.real("changes of directories that are told"),
    a_path_that_is_not_there_is_not_found_and_named.real("changes of directories that are told"),
    a_mask_that_cannot_be_asked_for_is_refused.real("changes of directories that are told"),
    a_cancelled_wait_takes_no_change.real("changes of directories that are told"),
    closing_the_watcher_ends_the_wait_once.real("changes of directories that are told"),
    waits_take_changes_in_turn.real("changes of directories that are told"),
];

/// A change, kept: which watch, what, cookie, name.
type Kept = (Option<Watch>, ChangeMask, u32, String);

/// A folder and a watcher of it.
fn watched(cts: &mut Cts) -> (std::path::PathBuf, Watcher, Watch) {
    let folder = cts.path("watched");
    std::fs::create_dir(&folder).unwrap();
    let watcher = watcher(cts);
    let watch = watcher.watch(&folder, ChangeMask::USUAL).unwrap();
    (folder, watcher, watch)
}

fn watcher(cts: &mut Cts) -> Watcher {
    match cts.handle().watcher() {
        Ok(watcher) => watcher,
        // Each of them counts against a small limit of the user.
        Err(status) if status.code() == Code::ResourceExhausted => skip(format!("{status}")),
        Err(status) => panic!("{status:?}"),
    }
}

/// Takes changes until there are `count`.
fn take(cts: &mut Cts, watcher: &Watcher, count: usize) -> Vec<Kept> {
    let mut all = Vec::new();
    while all.len() < count {
        let told = cts.one(WatchChanges::new(watcher.clone()));
        let taken = told.result.unwrap();
        assert!(taken > 0);
        let before = all.len();
        let keep = |change: proact::resource::Change<'_>| {
            (change.watch, change.mask, change.cookie, change.name.to_str().unwrap().to_owned())
        };
        all.extend(told.kind.changes().map(keep));
        assert_eq!(all.len() - before, taken);
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

fn short(all: &[Kept]) -> Vec<(ChangeMask, &str)> {
    all.iter().map(|(_, mask, _, name)| (*mask, &**name)).collect()
}

fn making_and_removing_names_is_told_in_order(cts: &mut Cts) {
    let (folder, watcher, watch) = watched(cts);
    std::fs::File::create(folder.join("file")).unwrap();
    std::fs::create_dir(folder.join("directory")).unwrap();
    std::fs::remove_file(folder.join("file")).unwrap();
    std::fs::remove_dir(folder.join("directory")).unwrap();
    let all = take(cts, &watcher, 4);
    assert_eq!(
        short(&all),
        [
            (ChangeMask::CREATED, "file"),
            (ChangeMask::CREATED | ChangeMask::DIRECTORY, "directory"),
            (ChangeMask::REMOVED, "file"),
            (ChangeMask::REMOVED | ChangeMask::DIRECTORY, "directory"),
        ]
    );
    assert!(all.iter().all(|(of, _, cookie, _)| *of == Some(watch) && *cookie == 0));
}

fn the_two_halves_of_a_rename_share_a_cookie(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    std::fs::File::create(folder.join("a")).unwrap();
    std::fs::rename(folder.join("a"), folder.join("b")).unwrap();
    std::fs::rename(folder.join("b"), cts.path("outside")).unwrap();
    let all = take(cts, &watcher, 4);
    assert_eq!(
        short(&all[1..]),
        [(ChangeMask::MOVED_FROM, "a"), (ChangeMask::MOVED_TO, "b"), (ChangeMask::MOVED_FROM, "b"),]
    );
    assert!(all[1].2 != 0 && all[1].2 == all[2].2 && all[3].2 != all[2].2, "{all:?}");
}

fn writing_and_attributes_of_a_file_are_told(cts: &mut Cts) {
    use std::os::unix::fs::PermissionsExt;
    let (folder, watcher, _) = watched(cts);
    let path = folder.join("f");
    std::fs::write(&path, b"x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let all = take(cts, &watcher, 3);
    assert_eq!(short(&all), [(ChangeMask::CREATED, "f"), (ChangeMask::MODIFIED, "f"), (ChangeMask::ATTRIBUTES, "f"),]);
}

fn the_end_of_what_is_watched_ends_its_watch(cts: &mut Cts) {
    let (folder, watcher, watch) = watched(cts);
    std::fs::remove_dir(&folder).unwrap();
    let all = take(cts, &watcher, 2);
    assert_eq!(short(&all), [(ChangeMask::SELF_REMOVED, ""), (ChangeMask::ENDED, "")]);
    assert_eq!(watcher.unwatch(watch).unwrap_err().code(), Code::InvalidArgument);
}

fn a_wait_begun_before_the_change_is_told_of_it(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    let wait = cts.start(WatchChanges::new(watcher));
    cts.look();
    assert!(!wait.is_done());
    std::fs::create_dir(folder.join("new")).unwrap();
    cts.until("the change", || wait.is_done());
    let told = wait.only();
    assert_eq!(told.result.unwrap(), 1);
    assert_eq!(told.kind.changes().next().unwrap().name, "new");
}

fn several_paths_are_told_apart(cts: &mut Cts) {
    let (folder, watcher, first) = watched(cts);
    let other = cts.path("other");
    std::fs::create_dir(&other).unwrap();
    let second = watcher.watch(&other, ChangeMask::CREATED).unwrap();
    assert_ne!(first, second);
    std::fs::create_dir(other.join("x")).unwrap();
    std::fs::create_dir(folder.join("y")).unwrap();
    let all = take(cts, &watcher, 2);
    assert_eq!((all[0].0, &*all[0].3), (Some(second), "x"));
    assert_eq!((all[1].0, &*all[1].3), (Some(first), "y"));
    watcher.unwatch(second).unwrap();
    std::fs::create_dir(other.join("unseen")).unwrap();
    std::fs::create_dir(folder.join("z")).unwrap();
    let all = take(cts, &watcher, 2);
    assert_eq!(short(&all), [(ChangeMask::ENDED, ""), (ChangeMask::CREATED | ChangeMask::DIRECTORY, "z")]);
}

fn only_what_was_asked_for_is_told(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    watcher.watch(&folder, ChangeMask::REMOVED).unwrap();
    std::fs::write(folder.join("f"), b"x").unwrap();
    std::fs::remove_file(folder.join("f")).unwrap();
    assert_eq!(short(&take(cts, &watcher, 1)), [(ChangeMask::REMOVED, "f")]);
}

fn lost_changes_are_told_as_lost(cts: &mut Cts) {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let Some(limit) = limit.ok().and_then(|text| text.trim().parse::<usize>().ok()) else {
        skip("the system does not tell its limit")
    };
    if limit > 100_000 {
        skip(format!("the system keeps {limit} changes"));
    }
    let (folder, watcher, _) = watched(cts);
    touch_alternately(&folder, limit + 100);
    let (mut taken, mut lost) = (0, 0);
    while lost == 0 {
        let told = cts.one(WatchChanges::with_bytes(watcher.clone(), 1 << 20));
        told.result.unwrap();
        for change in told.kind.changes() {
            taken += 1;
            if change.mask.contains(ChangeMask::OVERFLOWED) {
                assert_eq!(change.watch, None);
                lost += 1;
            }
        }
        assert!(taken <= limit + 1, "{taken} changes and none that says that some are lost");
    }
    assert_eq!((taken, lost), (limit + 1, 1), "all that were kept, and one that says so");
}

/// Changes that are not alike one after the other: those the system makes one of.
fn touch_alternately(folder: &Path, times: usize) {
    let files = [std::fs::File::create(folder.join("a")).unwrap(), std::fs::File::create(folder.join("b")).unwrap()];
    for at in 0..times {
        files[at % 2].set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
}

fn a_path_that_is_not_there_is_not_found_and_named(cts: &mut Cts) {
    let watcher = watcher(cts);
    let missing = cts.path("missing");
    let status = watcher.watch(&missing, ChangeMask::USUAL).unwrap_err();
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::DirectoryWatch));
    assert!(status.to_string().contains(missing.to_str().unwrap()), "{status}");
}

fn a_mask_that_cannot_be_asked_for_is_refused(cts: &mut Cts) {
    let watcher = watcher(cts);
    let folder = cts.path(".");
    for mask in [ChangeMask::empty(), ChangeMask::OVERFLOWED, ChangeMask::CREATED | ChangeMask::DIRECTORY] {
        assert_eq!(watcher.watch(&folder, mask).unwrap_err().code(), Code::InvalidArgument, "{mask:?}");
    }
}

fn a_cancelled_wait_takes_no_change(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    let (op, watch) = cts.watch(WatchChanges::new(watcher.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || watch.is_done());
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    std::fs::create_dir(folder.join("new")).unwrap();
    assert_eq!(take(cts, &watcher, 1)[0].3, "new");
}

fn closing_the_watcher_ends_the_wait_once(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    let wait = cts.start(WatchChanges::new(watcher.clone()));
    cts.look();
    let close = cts.start(Close::new(watcher.clone()));
    cts.drain();
    close.only().result.unwrap();
    let status = wait.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::DirectoryWatch));
    let refused = cts.submit(Op::new(WatchChanges::new(watcher.clone()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    assert_eq!(watcher.watch(folder, ChangeMask::USUAL).unwrap_err().code(), Code::FailedPrecondition);
}

fn waits_take_changes_in_turn(cts: &mut Cts) {
    let (folder, watcher, _) = watched(cts);
    let waits: Vec<_> = (0..3).map(|_| cts.start(WatchChanges::new(watcher.clone()))).collect();
    for (at, wait) in waits.iter().enumerate() {
        std::fs::create_dir(folder.join(at.to_string())).unwrap();
        cts.until("the next wait", || wait.is_done());
    }
    for (at, wait) in waits.into_iter().enumerate() {
        let told = wait.only();
        assert_eq!(told.result.unwrap(), 1);
        assert_eq!(told.kind.changes().next().unwrap().name.to_str(), Some(&*at.to_string()));
    }
}

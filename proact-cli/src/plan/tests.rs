//! Plans of real trees, made in a directory of their own.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::source::SystemTree;

/// A directory that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proact-plan-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(fs::canonicalize(path).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn directory(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    fn link(&self, name: &str, target: &str) -> PathBuf {
        symlink(target, self.path(name)).unwrap();
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn plan(sources: &[PathBuf]) -> Result<Plan, Failure> {
    Plan::build(&SystemTree, sources, &Options::default())
}

fn follow(sources: &[PathBuf]) -> Result<Plan, Failure> {
    Plan::build(&SystemTree, sources, &Options { follow: true, ..Options::default() })
}

fn names(plan: &Plan) -> Vec<String> {
    plan.entries.iter().map(|planned| planned.entry.name.to_string()).collect()
}

fn refusal(result: Result<Plan, Failure>, path: &Path, words: &str) {
    let failure = result.expect_err(words);
    assert_eq!(failure.exit, Exit::Source, "{failure}");
    assert!(failure.message.contains(&path.display().to_string()), "{failure} names {}", path.display());
    assert!(failure.message.contains(words), "{failure} says {words:?}");
}

#[test]
fn a_file_is_planned_under_its_own_name_with_size_mode_and_time() {
    let scratch = Scratch::new();
    let path = scratch.file("dir/model.bin", "12345");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
    let modified = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let plan = plan(std::slice::from_ref(&path)).unwrap();
    assert_eq!((plan.files, plan.directories, plan.bytes), (1, 0, 5));
    let Planned { path: planned_path, entry, .. } = &plan.entries[0];
    assert_eq!(*planned_path, path);
    assert_eq!(entry.name.to_string(), "model.bin");
    assert_eq!((entry.kind, entry.size, entry.mode), (EntryKind::File, 5, 0o750));
    assert_eq!((entry.modified_seconds, entry.modified_nanoseconds), (1_234_567_890, 123_456_789));
}

#[test]
fn a_directory_is_planned_sorted_with_parents_first_and_empty_directories_kept() {
    let scratch = Scratch::new();
    for name in ["top/b.txt", "top/a/z", "top/a/y/x", "top/a.txt"] {
        scratch.file(name, "1");
    }
    scratch.directory("top/empty");
    let plan = plan(&[scratch.path("top")]).unwrap();
    let expected = ["top", "top/a", "top/a/y", "top/a/y/x", "top/a/z", "top/a.txt", "top/b.txt", "top/empty"];
    assert_eq!(names(&plan), expected);
    assert_eq!((plan.files, plan.directories), (4, 4));
    assert_eq!(plan.totals(), Totals { entries: 8, bytes: 4 });
}

#[test]
fn sources_keep_their_order_and_a_slash_at_the_end_changes_nothing() {
    let scratch = Scratch::new();
    scratch.file("b/f", "");
    let a = scratch.file("a", "");
    assert_eq!(names(&plan(&[scratch.path("b/"), a]).unwrap()), ["b", "b/f", "a"]);
}

#[test]
fn a_source_that_ends_in_dots_is_sent_under_its_real_name() {
    let scratch = Scratch::new();
    scratch.file("real/f", "");
    scratch.directory("real/sub");
    assert_eq!(names(&plan(&[scratch.path("real/sub/..")]).unwrap()), ["real", "real/f", "real/sub"]);
    refusal(plan(&[PathBuf::from("/")]), Path::new("/"), "has no name of its own");
}

#[test]
fn names_that_are_no_text_are_kept() {
    let scratch = Scratch::new();
    let path = scratch.0.join(OsStr::from_bytes(b"bin-\xff\xfe"));
    if fs::write(&path, "").is_err() {
        return; // this file system takes text alone
    }
    assert_eq!(plan(&[path]).unwrap().entries[0].entry.name.as_bytes(), b"bin-\xff\xfe");
}

#[test]
fn a_missing_source_is_named_with_its_cause() {
    let scratch = Scratch::new();
    let path = scratch.path("nowhere");
    refusal(plan(std::slice::from_ref(&path)), &path, "No such file or directory");
    refusal(plan(&[PathBuf::new()]), Path::new(""), "empty name");
}

#[test]
fn an_unreadable_directory_is_named_with_its_cause() {
    let scratch = Scratch::new();
    let path = scratch.directory("closed");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let result = plan(std::slice::from_ref(&path));
    let listed = fs::read_dir(&path).is_ok(); // root may read anything
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    if listed {
        assert_eq!(names(&result.unwrap()), ["closed"]);
    } else {
        refusal(result, &path, "Permission denied");
    }
}

#[test]
fn a_symbolic_link_is_refused_by_name_wherever_it_stands() {
    let scratch = Scratch::new();
    scratch.file("dir/file", "");
    let inner = scratch.link("dir/link", "file");
    refusal(plan(&[scratch.path("dir")]), &inner, "is a symbolic link; add --follow");
    let outer = scratch.link("outer", "dir");
    refusal(plan(std::slice::from_ref(&outer)), &outer, "is a symbolic link");
    // A slash at the end would make the system follow it unseen.
    refusal(plan(&[scratch.path("outer/")]), &outer, "is a symbolic link");
}

#[test]
fn followed_links_are_sent_as_what_they_point_to() {
    let scratch = Scratch::new();
    scratch.file("dir/file", "123");
    scratch.link("to-file", "dir/file");
    scratch.link("to-dir", "dir");
    let plan = follow(&[scratch.path("to-file"), scratch.path("to-dir")]).unwrap();
    assert_eq!(names(&plan), ["to-file", "to-dir", "to-dir/file"]);
    assert_eq!((plan.files, plan.directories, plan.bytes), (2, 1, 6));
    assert_eq!(plan.entries[0].identity, plan.entries[2].identity);
}

#[test]
fn links_that_lead_in_a_circle_or_nowhere_are_refused_by_name() {
    let scratch = Scratch::new();
    scratch.directory("a/b");
    let back = scratch.link("a/b/back", "../../a");
    refusal(follow(&[scratch.path("a")]), &back, "leads back to a directory above it");
    let own = scratch.link("own", "own");
    refusal(follow(std::slice::from_ref(&own)), &own, "leads nowhere");
    let broken = scratch.link("broken", "missing");
    refusal(follow(std::slice::from_ref(&broken)), &broken, "No such file or directory");
}

#[test]
fn the_same_directory_twice_beside_itself_is_no_circle() {
    let scratch = Scratch::new();
    scratch.file("top/real/f", "");
    scratch.link("top/again", "real");
    let expected = ["top", "top/again", "top/again/f", "top/real", "top/real/f"];
    assert_eq!(names(&follow(&[scratch.path("top")]).unwrap()), expected);
}

#[test]
fn sockets_and_devices_are_refused_by_name() {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    refusal(plan(std::slice::from_ref(&path)), &path, "is a device, pipe or socket");
    refusal(plan(&[PathBuf::from("/dev/null")]), Path::new("/dev/null"), "is a device, pipe or socket");
}

#[test]
fn two_sources_of_one_name_are_refused_and_both_are_named() {
    let scratch = Scratch::new();
    let first = scratch.file("a/same", "1");
    let second = scratch.file("b/same", "2");
    refusal(plan(&[first.clone(), second.clone()]), &first, "would be written as same");
    refusal(plan(&[first.clone(), second.clone()]), &second, "and so would");
    refusal(plan(&[first.clone(), first.clone()]), &first, "would be written as same");
}

#[test]
fn more_entries_than_allowed_are_refused() {
    let scratch = Scratch::new();
    scratch.file("d/a", "");
    let last = scratch.file("d/b", "");
    let options = |entries_max| Options { entries_max, ..Options::default() };
    assert!(Plan::build(&SystemTree, &[scratch.path("d")], &options(3)).is_ok());
    refusal(Plan::build(&SystemTree, &[scratch.path("d")], &options(2)), &last, "one entry more than the 2");
}

#[test]
fn a_source_that_contains_the_destination_is_refused() {
    let scratch = Scratch::new();
    scratch.file("work/f", "");
    let options = |into: &str| Options { into: Some(scratch.path(into)), ..Options::default() };
    let work = scratch.path("work");
    for into in ["work", "work/received", "work/not/yet/there"] {
        let result = Plan::build(&SystemTree, std::slice::from_ref(&work), &options(into));
        refusal(result, &work, "contains the destination");
    }
    for into in [".", "other", "workbench"] {
        assert!(Plan::build(&SystemTree, std::slice::from_ref(&work), &options(into)).is_ok(), "{into}");
    }
    // A file beside the destination does not contain it.
    assert!(Plan::build(&SystemTree, &[scratch.path("work/f")], &options("work")).is_ok());
    scratch.link("alias", "work");
    let result = Plan::build(&SystemTree, std::slice::from_ref(&work), &options("alias/in"));
    refusal(result, &work, "contains the destination");
}

#[test]
fn a_tree_deeper_than_names_may_be_is_refused_and_not_walked_forever() {
    /// Every directory has one directory in it.
    struct Endless;
    impl Tree for Endless {
        fn stat(&self, path: &Path, _follow: bool) -> std::io::Result<Node> {
            let identity = Identity::Path(path.into());
            let (mode, modified_seconds, modified_nanoseconds) = (0o755, 0, 0);
            Ok(Node { kind: NodeKind::Directory, size: 0, mode, modified_seconds, modified_nanoseconds, identity })
        }
        fn list(&self, _path: &Path) -> std::io::Result<Vec<OsString>> {
            Ok(vec![OsString::from("deeper".repeat(40))])
        }
        fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
            Ok(path.into())
        }
    }
    let result = Plan::build(&Endless, &[PathBuf::from("top")], &Options::default());
    refusal(result, Path::new("top/deeper"), "longer than 4095 bytes");
}

//! What files have beside reads and writes: vectors, ranges, attributes, links, listings, walks, changes; and memory
//! and descriptors that are registered.

use std::path::Path;

use proact::backend::{FileKind, OpenFlags};
use proact::memory::{Allocation, BufferPool, Region, Slab};
use proact::operation::{
    Advise, ChangeFile, ChangeRange, Close, CopyRange, GetAttribute, Link, ListAttributes, ListBatch, Open, Read,
    ReadLink, ReadVectored, Register, RegisterDescriptor, RemoveAttribute, SetAttribute, SyncRange, Unregister,
    UnregisterDescriptor, Walk, WatchChanges, Write, WriteVectored, attribute_names,
};
use proact::resource::{Advice, AttributeMode, ChangeMask, File, FileTime};

use crate::driver::{Driver, Part, bytes};

pub const PARTS: &[Part] = &[vectors, ranges, attributes, links, listings, changes, registered, shared_memory];

/// A file with this content, made anew.
fn open(driver: &mut Driver<'_>, path: &Path, content: &[u8]) -> Option<File> {
    std::fs::write(path, content).expect("a temporary file");
    driver.one("open", Open::new(path, OpenFlags::READ | OpenFlags::WRITE), |_| true)
}

fn vectors(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("vectors");
    let file = open(driver, &path, b"")?;
    let content = bytes(9000, 5);
    let parts: Vec<Vec<u8>> = content.chunks(1100).map(<[u8]>::to_vec).collect();
    let wrote = driver.one("vectored write", WriteVectored::exact(file.clone(), 0, parts), |count| *count == 9000);
    if wrote.is_some() {
        let found = std::fs::read(&path).is_ok_and(|found| found == content);
        driver.right("vectored write", found, "the file has other bytes than were written");
        let room = vec![vec![0; 1], vec![0; 5000], vec![0; 3999]];
        let read = driver.start("vectored read", ReadVectored::exact(file.clone(), 0, room));
        driver.end(&read, |count, kind| *count == 9000 && kind.buffers.concat() == content);
    }
    driver.one("close", Close::new(file), |_| true)
}

fn ranges(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let content = bytes(20_000, 6);
    let file = open(driver, &folder.join("from"), &content)?;
    let to = open(driver, &folder.join("to"), b"")?;
    driver.one("sync of a range", SyncRange::new(file.clone(), 0, 4096), |_| true);
    driver.one("advice", Advise::new(file.clone(), 0, 0, Advice::WillNeed), |_| true);
    let copy = CopyRange::exact(file.clone(), 0, to.clone(), 0, 20_000);
    if driver.one("copy of a range", copy, |(count, _)| *count == 20_000).is_some() {
        let found = std::fs::read(folder.join("to")).is_ok_and(|found| found == content);
        driver.right("copy of a range", found, "the file has other bytes than were copied");
    }
    driver.one("reserve", ChangeRange::reserve(to.clone(), 0, 40_000), |_| true);
    driver.one("close of the source", Close::new(file), |_| true);
    driver.one("close of the copy", Close::new(to), |_| true)
}

fn attributes(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("attributes");
    let file = open(driver, &path, b"x")?;
    let change = ChangeFile::new(file.clone()).mode(0o640).accessed(FileTime::default());
    driver.one("change of a file", change, |_| true);
    let probe = rustix::fs::setxattr(&path, "user.probe", b"1", rustix::fs::XattrFlags::empty());
    if probe.is_ok() {
        let name = "user.colour";
        let set = SetAttribute::new(file.clone(), name, b"blue".to_vec(), AttributeMode::Set);
        if driver.one("set attribute", set, |_| true).is_some() {
            let get = driver.start("get attribute", GetAttribute::new(file.clone(), name, vec![0; 16]));
            driver.end(&get, |count, kind| *count == 4 && kind.buffer.starts_with(b"blue"));
            let list = driver.start("list attributes", ListAttributes::new(file.clone(), vec![0; 300]));
            driver.end(&list, |count, kind| attribute_names(&kind.buffer[..*count]).any(|found| found == name));
            driver.one("remove attribute", RemoveAttribute::new(file.clone(), name), |_| true);
        }
    }
    driver.one("close", Close::new(file), |_| true)
}

fn links(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let (name, hard, soft) = (folder.join("name"), folder.join("hard"), folder.join("soft"));
    for path in [&name, &hard, &soft] {
        let _ = std::fs::remove_file(path);
    }
    std::fs::write(&name, b"1").expect("a temporary file");
    let linked = driver.one("hard link", Link::hard(&name, &hard), |_| true).is_some();
    driver.right("hard link", hard.exists() == linked, "the name says otherwise");
    driver.one("symbolic link", Link::symbolic("name", &soft), |_| true)?;
    driver.one("read link", ReadLink::new(&soft), |found| found.as_os_str() == "name").map(|_| ())
}

fn listings(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let root = folder.join("tree");
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(root.join("below")).expect("a temporary directory");
    for name in ["a", "b", "below/c"] {
        std::fs::write(root.join(name), b"").expect("a temporary file");
    }
    let mut walk = driver.start("walk", Walk::new(&root).batch(2).strict());
    let mut names = 0;
    loop {
        let Some((entries, kind)) = driver.end(&walk, |_, _| true) else { break };
        if entries.is_empty() {
            driver.right("walk", names == 4, "a name is missing");
            break;
        }
        names += entries.iter().filter(|entry| entry.kind != FileKind::Other).count();
        walk = driver.start("walk", kind);
    }
    let directory = driver.one("open of a directory", Open::new(&root, OpenFlags::READ), |_| true)?;
    let mut list = driver.start("list in batches", ListBatch::with_bytes(directory.clone(), 512));
    let mut names = 0;
    loop {
        let Some((_, kind)) = driver.end(&list, |_, _| true) else { break };
        let found = kind.entries().count();
        names += found;
        if found == 0 {
            driver.right("list in batches", names == 3, "a name is missing");
            break;
        }
        list = driver.start("list in batches", kind);
    }
    driver.one("close", Close::new(directory), |_| true)
}

fn changes(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let path = folder.join("watched");
    std::fs::write(&path, b"").expect("a temporary file");
    let watcher = driver.proactor.handle().watcher();
    let watcher = driver.call("watcher", watcher)?;
    let watch = watcher.watch(&path, ChangeMask::MODIFIED);
    driver.call("watch", watch)?;
    let changes = driver.start("changes", WatchChanges::new(watcher.clone()));
    driver.pass()?;
    std::fs::write(&path, b"changed").expect("a temporary file");
    driver.end(&changes, |_, kind| kind.changes().any(|change| change.mask.contains(ChangeMask::MODIFIED)))?;
    let wait = driver.start("no change", WatchChanges::new(watcher));
    driver.end_cancelled(&wait);
    Some(())
}

fn registered(driver: &mut Driver<'_>, folder: &Path) -> Option<()> {
    let content = bytes(4096, 7);
    let file = open(driver, &folder.join("registered"), &content)?;
    let slab = Slab::allocate(4096, 2, &Allocation::new().huge_pages());
    let pool = driver.call("pool", slab.and_then(BufferPool::new))?;
    let region = pool.slab().region().clone();
    let memory = driver.one("register", Register::new(region.clone()), |_| true).is_some();
    let descriptor = driver.one("register descriptor", RegisterDescriptor::new(file.clone()), |_| true).is_some();
    let lease = pool.acquire().expect("two buffers");
    let read = driver.start("registered read", Read::exact(file.clone(), 0, lease));
    if let Some((_, kind)) = driver.end(&read, |count, kind| *count == 4096 && kind.buffer[..] == content[..]) {
        driver.one("registered write", Write::exact(file.clone(), 4096, kind.buffer), |count| *count == 4096);
    }
    drop(read);
    if descriptor {
        driver.one("unregister descriptor", UnregisterDescriptor::new(file.clone()), |_| true);
    }
    if memory {
        driver.one("unregister", Unregister::new(region), |_| true);
    }
    driver.one("close", Close::new(file), |_| true);
    driver.all_back("registered pool", &pool);
    Some(())
}

/// Memory that another process could map too.
fn shared_memory(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (region, fd) = driver.call("shared region", Region::create_shared(8192))?;
    driver.call("copy in", region.copy_in(4, b"hello"))?;
    let access = region.access();
    let other = Region::map_shared(std::os::fd::AsFd::as_fd(&fd), 0, 8192, access);
    let other = driver.call("second mapping", other)?;
    let mut found = [0; 5];
    driver.call("copy out", other.copy_out(4, &mut found))?;
    driver.right("shared region", found == *b"hello", "other bytes than were written");
    Some(())
}

//! A host's disk: what programs see of it, what of that is durable, and what a crash leaves.
//!
//! Every change is made at once for all who read, and is *dirty* until it is synced. Contents and names are synced
//! apart, as on a journalling file system: syncing a file makes its bytes durable and not its name; syncing a directory
//! makes durable what happened to its names, and all that happened to names before that. A crash keeps what is durable.
//! Of what is dirty it keeps, by the world's seed, each write whole, torn or not at all, in no order; and of names a
//! beginning of what happened to them, each rename whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chance::Chance;
use super::errno::{EFBIG, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR};
use crate::backend::{FileKind, FileTime};

/// How a host's disk fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storage {
    /// How long a request takes at least.
    pub latency: Duration,
    /// How much longer it may take: requests overtake each other by that.
    pub jitter: Duration,
    /// Bytes a second. `None`: without limit.
    pub bandwidth: Option<u64>,
    /// Bytes that fit on it. `None`: without limit.
    pub capacity: Option<u64>,
    /// Reads and writes that move fewer bytes than they could, of a million.
    pub short: u32,
    /// Reads and writes that fail, of a million.
    pub failing: u32,
    /// Syncs that fail, of a million. What was to be synced is read as before, and may be gone after a crash, whatever
    /// later syncs say: so it is on Linux.
    pub failing_syncs: u32,
}

impl Default for Storage {
    /// 50 µs a request, and no limits or faults.
    fn default() -> Storage {
        Storage {
            latency: Duration::from_micros(50),
            jitter: Duration::ZERO,
            bandwidth: None,
            capacity: None,
            short: 0,
            failing: 0,
            failing_syncs: 0,
        }
    }
}

/// The number of the directory in which every path begins.
pub(super) const ROOT: u64 = 1;
/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Links that one path may lead through.
const LINKS_MAX: usize = 40;
/// The longest name.
const NAME_MAX: usize = 255;
/// The longest file: more is surely a mistake of a test's.
pub(super) const SIZE_MAX: u64 = 1 << 34;

pub(super) enum Kind {
    File(Content),
    Directory {
        parent: u64,
        names: BTreeMap<Vec<u8>, u64>,
    },
    Link(Vec<u8>),
    /// The name of a Unix socket, which stays until it is removed.
    Socket,
}

#[derive(Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Dirty>,
}

/// A change of a file that is not durable.
enum Dirty {
    Write { offset: usize, bytes: Vec<u8> },
    Size(usize),
}

pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) modified: FileTime,
    pub(super) accessed: FileTime,
    pub(super) changed: FileTime,
    opens: u32,
    pub(super) links: u64,
}

/// One change of names, whole or not at all: in which directory, which name, to what.
type NameChange = Vec<(u64, Vec<u8>, Option<u64>)>;

pub(super) struct Disk {
    pub(super) storage: Storage,
    pub(super) busy_until: u64,
    nodes: BTreeMap<u64, Node>,
    next: u64,
    used: u64,
    durable_names: BTreeMap<(u64, Vec<u8>), u64>,
    dirty_names: Vec<NameChange>,
}

/// Where a path leads.
pub(super) struct Found {
    pub(super) directory: u64,
    pub(super) name: Vec<u8>,
    pub(super) node: Option<u64>,
}

/// When files say that the world began: seconds since 1970.
const EPOCH: i64 = 1_700_000_000;

pub(super) fn time_of(now: u64) -> FileTime {
    FileTime { seconds: EPOCH + (now / 1_000_000_000) as i64, nanoseconds: (now % 1_000_000_000) as u32 }
}

impl Disk {
    pub(super) fn new() -> Disk {
        let mut disk = Disk {
            storage: Storage::default(),
            busy_until: 0,
            nodes: BTreeMap::new(),
            next: ROOT,
            used: 0,
            durable_names: BTreeMap::new(),
            dirty_names: Vec::new(),
        };
        disk.make(Kind::Directory { parent: ROOT, names: BTreeMap::new() }, 0o755, 0);
        disk
    }

    pub(super) fn make(&mut self, kind: Kind, mode: u32, now: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        let time = time_of(now);
        let (owner, group, opens, links) = (0, 0, 0, 0);
        let node = Node { kind, mode, owner, group, modified: time, accessed: time, changed: time, opens, links };
        self.nodes.insert(number, node);
        number
    }

    pub(super) fn node(&mut self, number: u64) -> Result<&mut Node, i32> {
        self.nodes.get_mut(&number).ok_or(ENOENT)
    }

    pub(super) fn content(&mut self, number: u64) -> Result<&mut Content, i32> {
        match &mut self.node(number)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Directory { .. } => Err(EISDIR),
            Kind::Link(_) | Kind::Socket => Err(EINVAL),
        }
    }

    pub(super) fn names(&mut self, number: u64) -> Result<&mut BTreeMap<Vec<u8>, u64>, i32> {
        match &mut self.node(number)?.kind {
            Kind::Directory { names, .. } => Ok(names),
            _ => Err(ENOTDIR),
        }
    }

    pub(super) fn is_directory(&self, number: u64) -> bool {
        matches!(self.nodes.get(&number), Some(Node { kind: Kind::Directory { .. }, .. }))
    }

    pub(super) fn kind_of(&self, number: u64) -> FileKind {
        match self.nodes.get(&number).map(|node| &node.kind) {
            Some(Kind::File(_)) => FileKind::File,
            Some(Kind::Directory { .. }) => FileKind::Directory,
            Some(Kind::Link(_)) => FileKind::Link,
            Some(Kind::Socket) | None => FileKind::Other,
        }
    }

    /// Where `path` leads from `base`; a link at its end is followed if asked for.
    pub(super) fn find(&mut self, base: u64, path: &[u8], follow: bool) -> Result<Found, i32> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path.split(|byte| *byte == b'/').rev();
            parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec).collect()
        };
        let start = |path: &[u8], at| if path.first() == Some(&b'/') { ROOT } else { at };
        let must_be_directory = path.ends_with(b"/");
        let mut at = start(path, base);
        let mut left = parts(path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part.len() > NAME_MAX {
                return Err(ENAMETOOLONG);
            }
            let Kind::Directory { parent, names } = &self.node(at)?.kind else { return Err(ENOTDIR) };
            if part == b".." {
                at = *parent;
                continue;
            }
            let Some(&node) = names.get(&part) else {
                return if left.is_empty() { Ok(Found { directory: at, name: part, node: None }) } else { Err(ENOENT) };
            };
            match &self.node(node)?.kind {
                Kind::Link(target) if follow || !left.is_empty() || must_be_directory => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(ELOOP);
                    }
                    let target = target.clone();
                    at = start(&target, at);
                    left.extend(parts(&target));
                }
                Kind::Directory { .. } if !left.is_empty() => at = node,
                _ if !left.is_empty() => return Err(ENOTDIR),
                Kind::File(_) if must_be_directory => return Err(ENOTDIR),
                _ => return Ok(Found { directory: at, name: part, node: Some(node) }),
            }
        }
        Ok(Found { directory: at, name: Vec::new(), node: Some(at) })
    }

    /// Where a path leads that must be there.
    pub(super) fn existing(&mut self, base: u64, path: &[u8], follow: bool) -> Result<u64, i32> {
        self.find(base, path, follow)?.node.ok_or(ENOENT)
    }

    /// Changes names, all of them at once.
    pub(super) fn change_names(&mut self, change: NameChange, now: u64) {
        for (directory, name, to) in &change {
            let Ok(names) = self.names(*directory) else { continue };
            let before = match to {
                Some(node) => names.insert(name.clone(), *node),
                None => names.remove(name),
            };
            if let Ok(node) = self.node(*directory) {
                (node.modified, node.changed) = (time_of(now), time_of(now));
            }
            if let Some(Ok(node)) = to.map(|to| self.node(to)) {
                node.links += 1;
                node.changed = time_of(now);
                if let Kind::Directory { parent, .. } = &mut node.kind {
                    *parent = *directory;
                }
            }
            if let Some(before) = before {
                if let Ok(node) = self.node(before) {
                    node.links -= 1;
                }
                self.let_go(before);
            }
        }
        self.dirty_names.push(change);
    }

    pub(super) fn opened(&mut self, number: u64) {
        if let Ok(node) = self.node(number) {
            node.opens += 1;
        }
    }

    pub(super) fn closed(&mut self, number: u64) {
        if let Ok(node) = self.node(number) {
            node.opens = node.opens.saturating_sub(1);
        }
        self.let_go(number);
    }

    /// Gives the space of a file back that no one can reach any more, unless a crash could bring it back.
    fn let_go(&mut self, number: u64) {
        let Some(node) = self.nodes.get(&number) else { return };
        if node.links > 0 || node.opens > 0 || number == ROOT {
            return;
        }
        if let Kind::File(content) = &node.kind {
            self.used -= content.bytes.len() as u64;
        }
        let dirty = self.dirty_names.iter().flatten().any(|(_, _, to)| *to == Some(number));
        if dirty || self.durable_names.values().any(|known| *known == number) {
            if let Some(Node { kind: Kind::File(content), .. }) = self.nodes.get_mut(&number) {
                content.bytes = Vec::new();
            }
        } else {
            self.nodes.remove(&number);
        }
    }

    /// Sets a file's length, within what fits on the disk.
    pub(super) fn resize(&mut self, number: u64, size: u64) -> Result<(), i32> {
        if size > SIZE_MAX {
            return Err(EFBIG);
        }
        let (used, capacity) = (self.used, self.storage.capacity.unwrap_or(u64::MAX));
        let content = self.content(number)?;
        let before = content.bytes.len() as u64;
        let after = used - before + size;
        if size > before && after > capacity {
            return Err(ENOSPC);
        }
        content.bytes.resize(size as usize, 0);
        content.dirty.push(Dirty::Size(size as usize));
        self.used = after;
        Ok(())
    }

    /// Writes what fits on the disk: how many bytes that were.
    pub(super) fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<usize, i32> {
        let (used, capacity) = (self.used, self.storage.capacity.unwrap_or(u64::MAX));
        let content = self.content(number)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let before = content.bytes.len() as u64;
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= SIZE_MAX).ok_or(EFBIG)?;
        let end = end.min(before.max(capacity.saturating_sub(used - before)));
        let count = end.saturating_sub(offset) as usize;
        if count == 0 {
            return Err(ENOSPC);
        }
        let bytes = &bytes[..count];
        if end > before {
            content.bytes.resize(end as usize, 0);
            self.used = used + (end - before);
        }
        let content = self.content(number)?;
        let offset = offset as usize;
        content.bytes[offset..offset + count].copy_from_slice(bytes);
        content.dirty.push(Dirty::Write { offset, bytes: bytes.to_vec() });
        Ok(count)
    }

    /// Makes a file's bytes durable, or a directory's names.
    pub(super) fn sync(&mut self, number: u64) -> Result<(), i32> {
        if self.is_directory(number) {
            let involved = |change: &NameChange| change.iter().any(|(directory, _, _)| *directory == number);
            let last = self.dirty_names.iter().rposition(involved).map_or(0, |last| last + 1);
            self.keep_names(last);
            return Ok(());
        }
        let content = self.content(number)?;
        let dirty = std::mem::take(&mut content.dirty);
        dirty.iter().for_each(|change| change.apply(&mut content.durable));
        Ok(())
    }

    /// A sync that failed: of what it was to make durable, some is; nothing of it is dirty any more.
    pub(super) fn fail_sync(&mut self, number: u64, chance: &mut Chance) {
        if let Ok(content) = self.content(number) {
            content.lose(chance);
        }
    }

    /// Makes the first so many changes of names durable.
    fn keep_names(&mut self, count: usize) {
        for (directory, name, to) in self.dirty_names.drain(..count).flatten() {
            match to {
                Some(node) => self.durable_names.insert((directory, name), node),
                None => self.durable_names.remove(&(directory, name)),
            };
        }
    }

    /// What a crash leaves.
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        let kept = chance.choose(self.dirty_names.len() + 1);
        self.keep_names(kept);
        self.dirty_names.clear();
        for node in self.nodes.values_mut() {
            (node.opens, node.links) = (0, 0);
            match &mut node.kind {
                Kind::File(content) => {
                    content.lose(chance);
                    content.bytes.clone_from(&content.durable);
                }
                Kind::Directory { names, .. } => names.clear(),
                Kind::Link(_) | Kind::Socket => {}
            }
        }
        for ((directory, name), to) in self.durable_names.clone() {
            if let Ok(names) = self.names(directory) {
                names.insert(name, to);
            }
            if let Ok(node) = self.node(to) {
                node.links += 1;
            }
        }
        self.forget_unreachable();
    }

    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        while let Some(at) = left.pop() {
            if let Some(Node { kind: Kind::Directory { names, .. }, .. }) = self.nodes.get(&at) {
                left.extend(names.values().filter(|node| reached.insert(**node)).copied());
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
        self.durable_names.retain(|(directory, _), _| reached.contains(directory));
        let length = |node: &Node| if let Kind::File(content) = &node.kind { content.bytes.len() as u64 } else { 0 };
        self.used = self.nodes.values().map(length).sum();
    }
}

impl Content {
    /// Decides what becomes of what is dirty, and forgets it.
    fn lose(&mut self, chance: &mut Chance) {
        let mut dirty = std::mem::take(&mut self.dirty);
        while !dirty.is_empty() {
            // Writes reach the disk in no order; a change of length waits for those before it, and those behind for it.
            let before = dirty.iter().position(|change| matches!(change, Dirty::Size(_))).unwrap_or(dirty.len());
            let change = dirty.remove(chance.choose(before.max(1)));
            match (chance.choose(3), change) {
                (0, _) => {}
                (1, Dirty::Write { offset, mut bytes }) if bytes.len() > 1 => {
                    bytes.truncate(torn(offset, bytes.len(), chance));
                    Dirty::Write { offset, bytes }.apply(&mut self.durable);
                }
                (_, change) => change.apply(&mut self.durable),
            }
        }
    }
}

/// How much of a write reaches the disk when it is torn: up to the end of a sector.
fn torn(offset: usize, length: usize, chance: &mut Chance) -> usize {
    let sectors = (offset + length).div_ceil(SECTOR) - offset / SECTOR;
    let whole = offset / SECTOR + chance.below(sectors as u64) as usize;
    (whole * SECTOR).saturating_sub(offset).min(length)
}

impl Dirty {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Dirty::Size(size) => to.resize(*size, 0),
            Dirty::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

//! What is asked of a disk: kept without any pointer while it takes its time, carried out at its end.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::disk::{Content, Kind, ROOT, SIZE_MAX, time_of};
use super::errno::{EBADF, EEXIST, EFBIG, EINVAL, EIO, EISDIR, ELOOP, ENOSPC, ENOTDIR, EOPNOTSUPP};
use super::link::nanoseconds;
use super::state::{Body, Happening, State};
use crate::backend::{Changes, DirectoryEntry, FileKind, Metadata, OpenFlags, RangeMode, Token};

/// An open file or directory.
pub(super) struct OpenFile {
    pub(super) node: u64,
    flags: OpenFlags,
    /// The last name that was listed.
    listed: Option<Vec<u8>>,
}

/// A request, with all that it needs.
pub(super) enum Job {
    Open { base: Option<u32>, path: Vec<u8>, flags: OpenFlags, mode: u32 },
    Read { file: u32, offset: u64, length: usize },
    Write { file: u32, offset: u64, bytes: Vec<u8> },
    Sync { file: u32 },
    Stat { file: u32 },
    StatPath { path: Vec<u8>, follow: bool },
    Truncate { file: u32, size: u64 },
    Allocate { file: u32, end: u64 },
    Range { file: u32, offset: u64, length: u64, mode: RangeMode },
    Advise { file: u32 },
    Change { file: u32, changes: Changes },
    Copy { from: u32, from_offset: u64, to: u32, to_offset: u64, length: usize },
    Rename { from: Vec<u8>, to: Vec<u8>, replace: bool },
    Remove { path: Vec<u8>, directory: bool },
    MakeDirectory { path: Vec<u8>, mode: u32 },
    List { path: Vec<u8> },
    ListOpen { directory: u32, length: usize, rewind: bool },
    Link { from: Vec<u8>, to: Vec<u8> },
    SymbolicLink { target: Vec<u8>, link: Vec<u8> },
    ReadLink { path: Vec<u8>, length: usize },
}

/// How a request ended, and what it yields.
pub(super) struct Answer {
    pub(super) result: Result<usize, i32>,
    pub(super) yields: Yields,
}

pub(super) enum Yields {
    Nothing,
    Bytes(Vec<u8>),
    Metadata(Box<Metadata>),
    Entries(Vec<DirectoryEntry>),
}

impl Answer {
    pub(super) fn failed(error: i32) -> Answer {
        Answer { result: Err(error), yields: Yields::Nothing }
    }
}

impl Job {
    /// Bytes that pass the disk.
    fn bytes(&self) -> usize {
        match self {
            Job::Read { length, .. } | Job::Copy { length, .. } => *length,
            Job::Write { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    fn moves_bytes(&self) -> bool {
        matches!(self, Job::Read { .. } | Job::Write { .. } | Job::Copy { .. })
    }
}

impl State {
    /// Asks the disk of a proactor's host.
    pub(super) fn ask_disk(&mut self, port: u32, token: Token, job: Job) {
        let now = self.now;
        let host = self.host_of_port(port) as usize;
        let disk = &mut self.hosts[host].disk;
        let mut leaves = now;
        if let Some(bandwidth) = disk.storage.bandwidth {
            let moving = (job.bytes() as u128 * 1_000_000_000 / u128::from(bandwidth.max(1))) as u64;
            leaves = disk.busy_until.max(now) + moving;
            disk.busy_until = leaves;
        }
        let (latency, jitter) = (nanoseconds(disk.storage.latency), nanoseconds(disk.storage.jitter));
        let delay = leaves - now + latency + self.chance.up_to(jitter);
        self.plan(delay, Happening::Disk { port, token, job: Box::new(job) });
    }

    /// The disk has carried a request out, if its process lives to see it.
    pub(super) fn disk_done(&mut self, port: u32, token: Token, job: Job) {
        if !self.is_alive(port) {
            return;
        }
        let storage = self.hosts[self.host_of_port(port) as usize].disk.storage;
        let answer = if job.moves_bytes() && self.chance.happens(storage.failing) {
            self.note("disk fails", &[port.into()]);
            Answer::failed(EIO)
        } else {
            self.carry_out(port, job).unwrap_or_else(Answer::failed)
        };
        self.ports[port as usize].done.push_back((token, answer));
    }

    fn open_file(&mut self, object: u32) -> Result<&mut OpenFile, i32> {
        match self.body(object)? {
            Body::File(file) => Ok(file),
            _ => Err(EBADF),
        }
    }

    /// The file, if it was opened for this.
    fn file_for(&mut self, object: u32, flag: OpenFlags) -> Result<u64, i32> {
        let file = self.open_file(object)?;
        // A directory's names are read and synced without having been opened for it.
        if file.flags.contains(flag) { Ok(file.node) } else { Err(EBADF) }
    }

    fn carry_out(&mut self, port: u32, job: Job) -> Result<Answer, i32> {
        let now = self.now;
        let host = self.host_of_port(port) as usize;
        let mut yields = Yields::Nothing;
        let mut result = 0;
        match job {
            Job::Open { base, path, flags, mode } => result = self.open(port, base, &path, flags, mode)? as usize,
            Job::Read { file, offset, length } => {
                let node = self.file_for(file, OpenFlags::READ)?;
                let length = self.short_by_disk(host, length);
                let content = self.hosts[host].disk.content(node)?;
                let from = usize::try_from(offset).map_or(usize::MAX, |at| at).min(content.bytes.len());
                let bytes = content.bytes[from..content.bytes.len().min(from.saturating_add(length))].to_vec();
                result = bytes.len();
                yields = Yields::Bytes(bytes);
            }
            Job::Write { file, offset, bytes } => {
                let node = self.file_for(file, OpenFlags::WRITE)?;
                let appends = self.open_file(file)?.flags.contains(OpenFlags::APPEND);
                let count = self.short_by_disk(host, bytes.len());
                let disk = &mut self.hosts[host].disk;
                let offset = if appends { disk.content(node)?.bytes.len() as u64 } else { offset };
                result = disk.write(node, offset, &bytes[..count])?;
                self.touch(host, node);
            }
            Job::Sync { file } => {
                let node = self.open_file(file)?.node;
                let failing = self.hosts[host].disk.storage.failing_syncs;
                if self.chance.happens(failing) {
                    self.note("sync fails", &[host as u64, node]);
                    self.hosts[host].disk.fail_sync(node, &mut self.chance);
                    return Err(EIO);
                }
                self.hosts[host].disk.sync(node)?;
            }
            Job::Stat { file } => {
                let node = self.open_file(file)?.node;
                yields = Yields::Metadata(Box::new(self.hosts[host].disk.metadata(node)?));
            }
            Job::StatPath { path, follow } => {
                let disk = &mut self.hosts[host].disk;
                let node = disk.existing(ROOT, &path, follow)?;
                yields = Yields::Metadata(Box::new(disk.metadata(node)?));
            }
            Job::Truncate { file, size } => {
                let node = self.file_for(file, OpenFlags::WRITE)?;
                self.hosts[host].disk.resize(node, size)?;
                self.touch(host, node);
            }
            Job::Allocate { file, end } => {
                let node = self.file_for(file, OpenFlags::WRITE)?;
                let disk = &mut self.hosts[host].disk;
                if disk.content(node)?.bytes.len() as u64 <= end {
                    disk.resize(node, end)?;
                }
            }
            Job::Range { file, offset, length, mode } => {
                let node = self.file_for(file, OpenFlags::WRITE)?;
                let disk = &mut self.hosts[host].disk;
                let size = disk.content(node)?.bytes.len() as u64;
                let end = offset.checked_add(length).ok_or(EINVAL)?;
                let end = if mode == RangeMode::Zero { end } else { end.min(size) };
                if mode != RangeMode::Reserve && end > offset {
                    if end > SIZE_MAX {
                        return Err(EFBIG);
                    }
                    let zeros = vec![0; (end - offset) as usize];
                    if disk.write(node, offset, &zeros)? < zeros.len() {
                        return Err(ENOSPC);
                    }
                }
            }
            Job::Advise { file } => drop(self.open_file(file)?),
            Job::Change { file, changes } => {
                let times = changes.accessed.into_iter().chain(changes.modified);
                if times.into_iter().any(|time| time.nanoseconds >= 1_000_000_000) {
                    return Err(EINVAL);
                }
                let node = self.open_file(file)?.node;
                let node = self.hosts[host].disk.node(node)?;
                node.owner = changes.owner.unwrap_or(node.owner);
                node.group = changes.group.unwrap_or(node.group);
                node.mode = changes.mode.unwrap_or(node.mode);
                node.accessed = changes.accessed.unwrap_or(node.accessed);
                node.modified = changes.modified.unwrap_or(node.modified);
                node.changed = time_of(now);
            }
            Job::Copy { from, from_offset, to, to_offset, length } => {
                let (from, to) = (self.file_for(from, OpenFlags::READ)?, self.file_for(to, OpenFlags::WRITE)?);
                let disk = &mut self.hosts[host].disk;
                let content = disk.content(from)?;
                let start = (from_offset as usize).min(content.bytes.len());
                let bytes = content.bytes[start..content.bytes.len().min(start.saturating_add(length))].to_vec();
                if from == to && from_offset.abs_diff(to_offset) < bytes.len() as u64 {
                    return Err(EINVAL); // they overlap
                }
                if !bytes.is_empty() {
                    result = disk.write(to, to_offset, &bytes)?;
                    self.touch(host, to);
                }
            }
            Job::Rename { from, to, replace } => self.hosts[host].disk.rename(&from, &to, replace, now)?,
            Job::Remove { path, directory } => self.hosts[host].disk.remove(&path, directory, now)?,
            Job::MakeDirectory { path, mode } => {
                let disk = &mut self.hosts[host].disk;
                let found = disk.find(ROOT, &path, false)?;
                if found.node.is_some() {
                    return Err(EEXIST);
                }
                let kind = Kind::Directory { parent: found.directory, names: BTreeMap::new() };
                let node = disk.make(kind, mode, now);
                disk.change_names(vec![(found.directory, found.name, Some(node))], now);
            }
            Job::List { path } => {
                let disk = &mut self.hosts[host].disk;
                let node = disk.existing(ROOT, &path, true)?;
                let names = disk.names(node)?.clone();
                let entry =
                    |(name, node): (Vec<u8>, u64)| DirectoryEntry { name: text(name), kind: disk.kind_of(node) };
                yields = Yields::Entries(names.into_iter().map(entry).collect());
            }
            Job::ListOpen { directory, length, rewind } => {
                let bytes = self.list_open(host, directory, length, rewind)?;
                result = bytes.len();
                yields = Yields::Bytes(bytes);
            }
            Job::Link { from, to } => {
                let disk = &mut self.hosts[host].disk;
                let node = disk.existing(ROOT, &from, false)?;
                let found = disk.find(ROOT, &to, false)?;
                match (found.node, disk.is_directory(node)) {
                    (Some(_), _) => return Err(EEXIST),
                    (None, true) => return Err(super::errno::EACCES),
                    (None, false) => disk.change_names(vec![(found.directory, found.name, Some(node))], now),
                }
            }
            Job::SymbolicLink { target, link } => {
                let disk = &mut self.hosts[host].disk;
                let found = disk.find(ROOT, &link, false)?;
                if found.node.is_some() {
                    return Err(EEXIST);
                }
                let node = disk.make(Kind::Link(target), 0o777, now);
                disk.change_names(vec![(found.directory, found.name, Some(node))], now);
            }
            Job::ReadLink { path, length } => {
                let disk = &mut self.hosts[host].disk;
                let node = disk.existing(ROOT, &path, false)?;
                let Kind::Link(target) = &disk.node(node)?.kind else { return Err(EINVAL) };
                let bytes = target[..target.len().min(length)].to_vec();
                result = bytes.len();
                yields = Yields::Bytes(bytes);
            }
        }
        Ok(Answer { result: Ok(result), yields })
    }

    fn short_by_disk(&mut self, host: usize, length: usize) -> usize {
        let short = self.hosts[host].disk.storage.short;
        if length > 1 && self.chance.happens(short) {
            return 1 + self.chance.below(length as u64 - 1) as usize;
        }
        length
    }

    /// A file was written.
    fn touch(&mut self, host: usize, node: u64) {
        let now = time_of(self.now);
        if let Ok(node) = self.hosts[host].disk.node(node) {
            (node.modified, node.changed) = (now, now);
        }
    }

    fn open(&mut self, port: u32, base: Option<u32>, path: &[u8], flags: OpenFlags, mode: u32) -> Result<i32, i32> {
        let now = self.now;
        let host = self.host_of_port(port) as usize;
        let base = match base {
            Some(object) => self.open_file(object)?.node,
            None => ROOT,
        };
        if flags.contains(OpenFlags::DIRECT) {
            return Err(EINVAL); // as a file system answers that has no direct I/O
        }
        let disk = &mut self.hosts[host].disk;
        let follow = !flags.intersects(OpenFlags::NO_FOLLOW | OpenFlags::CREATE_NEW);
        let found = disk.find(base, path, follow)?;
        let node = match found.node {
            Some(_) if flags.contains(OpenFlags::CREATE_NEW) => return Err(EEXIST),
            Some(node) => node,
            None if flags.contains(OpenFlags::CREATE) => {
                let node = disk.make(Kind::File(Content::default()), mode, now);
                disk.change_names(vec![(found.directory, found.name, Some(node))], now);
                node
            }
            None => return Err(super::errno::ENOENT),
        };
        match disk.kind_of(node) {
            FileKind::Directory if flags.contains(OpenFlags::WRITE) => return Err(EISDIR),
            FileKind::Link => return Err(ELOOP),
            FileKind::Other => return Err(EOPNOTSUPP),
            FileKind::File if flags.contains(OpenFlags::DIRECTORY) => return Err(ENOTDIR),
            FileKind::File if flags.contains(OpenFlags::TRUNCATE) => disk.resize(node, 0)?,
            FileKind::File | FileKind::Directory => {}
        }
        disk.opened(node);
        Ok(self.make(port, Body::File(OpenFile { node, flags, listed: None })))
    }

    /// Records of an open directory, as [`FileRequest::ReadDirectory`](crate::backend::FileRequest) lays them out.
    fn list_open(&mut self, host: usize, object: u32, length: usize, rewind: bool) -> Result<Vec<u8>, i32> {
        let file = self.open_file(object)?;
        let node = file.node;
        let mut listed = if rewind { None } else { file.listed.clone() };
        let names = self.hosts[host].disk.names(node)?.clone();
        let mut bytes = Vec::new();
        for (name, node) in &names {
            if listed.as_ref().is_some_and(|last| name <= last) {
                continue;
            }
            // Number, position, the record's length, kind, name, NUL, up to a multiple of 8.
            let size = (19 + name.len() + 1).next_multiple_of(8);
            if bytes.len() + size > length {
                if bytes.is_empty() {
                    return Err(EINVAL);
                }
                break;
            }
            let kind: u8 = match self.hosts[host].disk.kind_of(*node) {
                FileKind::Directory => 4,
                FileKind::Link => 10,
                FileKind::File => 8,
                FileKind::Other => 12,
            };
            let end = bytes.len() + size;
            bytes.extend(node.to_ne_bytes());
            bytes.extend(0u64.to_ne_bytes());
            bytes.extend((size as u16).to_ne_bytes());
            bytes.push(kind);
            bytes.extend(name);
            bytes.resize(end, 0);
            listed = Some(name.clone());
        }
        self.open_file(object)?.listed = listed;
        Ok(bytes)
    }
}

/// A name as the platform has it. Names came from paths of this very platform, or from UTF-8.
pub(super) fn text(name: Vec<u8>) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(name);
    #[cfg(not(unix))]
    String::from_utf8_lossy(&name).into_owned().into()
}

//! Directories: made as they are announced, given their attributes and made durable at the end.

use std::path::{Path, PathBuf};

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Context, MakeDirectory, Open, Sequence, SetAttributes, StatPath, Sync};
use proact::resource::File;
use proact::status::Code;

use super::target::{destination, parent};
use super::{Phase, Session};
use crate::transfer::machine::Machine;
use crate::transfer::trace::Step;
use crate::wire::{Entry, EntryKind, Fault, FaultKind};

/// Bytes of directories' paths that a session may make this side remember: the attributes are set at the end, for
/// writing into a directory changes its time.
const MADE_BYTES_MAX: usize = 32 << 20;
/// Paths that are remembered to be real directories. Forgetting them costs a look each.
const REAL_MAX: usize = 4096;

/// A directory that this session made.
pub(super) struct MadeDirectory {
    path: PathBuf,
    mode: u32,
    modified: (i64, u32),
}

impl Session {
    pub(super) fn remember_real(&mut self, path: PathBuf) {
        if self.real.len() >= REAL_MAX {
            self.real.clear();
        }
        self.real.insert(path);
    }

    /// Makes the directory of target `file`. One that is there already is used as it is, if it is a real one.
    pub(super) fn make_directory(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let path = target.path.clone();
        self.made_bytes += path.as_os_str().len() + size_of::<MadeDirectory>();
        if self.made_bytes > MADE_BYTES_MAX {
            return self.fail(Fault::new(FaultKind::Protocol, "too many directories in one transfer"), cx);
        }
        let made = MadeDirectory {
            path: path.clone(),
            mode: target.entry.mode,
            modified: (target.entry.modified_seconds, target.entry.modified_nanoseconds),
        };
        self.call(MakeDirectory::new(&path).mode(0o700), cx, move |session, _, outcome, cx| match outcome.result {
            Ok(()) => {
                session.remember_real(path);
                session.made.push(made);
                session.prepared(file, Ok(()), cx);
            }
            Err(status) if status.code() == Code::AlreadyExists => session.use_directory(file, path, made, cx),
            Err(status) => session.prepared(file, Err(destination(&status)), cx),
        });
    }

    fn use_directory(&mut self, file: u32, path: PathBuf, made: MadeDirectory, cx: &mut Context<'_>) {
        self.call(StatPath::new(&path).no_follow(), cx, move |session, _, outcome, cx| {
            let result = match outcome.result {
                Ok(metadata) if metadata.kind == FileKind::Directory => {
                    if session.keep.asked {
                        // The transfer that made it may not have come to its attributes.
                        session.made.push(made);
                    }
                    session.remember_real(path);
                    Ok(())
                }
                Ok(_) => Err(Fault::new(FaultKind::Exists, "exists already and is no directory")),
                Err(status) => Err(destination(&status)),
            };
            session.prepared(file, result, cx);
        });
    }

    /// The entry stands under its name.
    pub(super) fn delivered(&mut self, file: u32, entry: &Entry, path: &Path) {
        match entry.kind {
            EntryKind::File => {
                self.received.files += 1;
                self.received.bytes += entry.size;
            }
            EntryKind::Directory => self.received.directories += 1,
        }
        self.to_sync.insert(parent(path));
        self.ending.durable.push(file);
    }

    /// Gives the directories their attributes and makes their entries durable, deepest first: a parent's mode may
    /// forbid to reach what is in it. One at a time; `true` when all are done.
    pub(super) fn sync_directories(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ending.syncing {
            return false;
        }
        let (path, made) = match self.made.pop() {
            Some(made) => {
                self.to_sync.remove(&made.path);
                (made.path.clone(), Some(made))
            }
            None => match self.to_sync.pop_last() {
                Some(path) => (path, None),
                None => return true,
            },
        };
        self.ending.syncing = true;
        let open = Open::new(&path, OpenFlags::READ | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW);
        // The destination itself may be a link that its owner made.
        let open =
            if path == self.options.into { Open::new(&path, OpenFlags::READ | OpenFlags::DIRECTORY) } else { open };
        self.call(open, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(directory) => session.sync_directory(path, directory, made, cx),
            Err(status) => session.directory_synced(&path, Err(status)),
        });
        false
    }

    fn sync_directory(&mut self, path: PathBuf, directory: File, made: Option<MadeDirectory>, cx: &mut Context<'_>) {
        let mut sequence = Sequence::new();
        if let Some(made) = made {
            let (seconds, nanoseconds) = made.modified;
            let attributes = SetAttributes::new(directory.clone()).mode(made.mode).modified(seconds, nanoseconds);
            sequence = sequence.step(attributes);
        }
        let sync = self.tracer.sync(|| format!("directory {}", path.display()));
        self.call(sequence.step(Sync::all(directory)), cx, move |session, _, outcome, _| {
            session.tracer.ended(Step::Sync, sync, outcome.result.as_ref().err().map(|status| status as _));
            session.directory_synced(&path, outcome.result);
        });
    }

    fn directory_synced(&mut self, path: &Path, result: proact::status::Result) {
        self.ending.syncing = false;
        let Err(status) = result else { return };
        // Some file systems cannot sync a directory: the names in it are as durable there as they get.
        let cannot = matches!(status.code(), Code::InvalidArgument | Code::Unavailable | Code::Unimplemented);
        if !cannot && self.phase == Phase::Finishing && self.received.fault.is_none() {
            self.received.fault = Some(Fault::new(FaultKind::Destination, format!("{}: {status}", path.display())));
        }
    }
}

//! The life of one file at the destination: checked, made under a partial name, filled, made durable, renamed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use proact::backend::{FileKind, OpenFlags};
use proact::operation::{Allocate, Context, Open, Remove, Rename, Sequence, SetAttributes, StatPath, Sync, Truncate};
use proact::resource::File;
use proact::status::{Code, Status};

use super::journal::Journal;
use super::kept::is_reserved;
use super::resume::Kept;
use super::{Phase, Session};
use crate::transfer::machine::Machine;
use crate::transfer::trace::Step;
use crate::wire::{Entry, EntryKind, Fault, FaultKind, FileDigest};

/// Bytes that are written before the file is synced for the first time, and again for as many, unless told otherwise.
/// The system would keep all of them in memory, and the sync at the end would take as long as the disk takes for
/// everything.
pub const EARLY_SYNC: u64 = 64 << 20;

/// One entry that is not done with.
pub(super) struct Target {
    pub(super) entry: Entry,
    pub(super) path: PathBuf,
    pub(super) partial: PathBuf,
    pub(super) file: Option<File>,
    /// Operations that make it ready are in flight: nothing else happens to it.
    pub(super) preparing: bool,
    /// Waits and writes of its chunks that have not ended.
    pub(super) writes: usize,
    /// The digest of its chunks as their headers claim: each payload is checked against its own.
    pub(super) digest: FileDigest,
    /// Bytes written since the last sync began.
    pub(super) unsynced: u64,
    /// A sync of what was written so far is in flight.
    syncing: bool,
    /// Its last frame has come.
    ended: bool,
    /// It is being made durable, or removed.
    pub(super) finishing: bool,
    /// The partial file exists.
    pub(super) created: bool,
    /// What was there of it.
    pub(super) kept: Kept,
    /// What is written down of a file that may be gone on with later.
    pub(super) journal: Option<Journal>,
    pub(super) failed: Option<Fault>,
}

impl Target {
    pub(super) fn fail(&mut self, fault: Fault) {
        self.failed.get_or_insert(fault);
    }
}

impl Session {
    /// An entry was announced: makes the ground ready for it.
    pub(super) fn prepare(&mut self, file: u32, entry: Entry, cx: &mut Context<'_>) {
        let path = entry.name.under(&self.options.into);
        let partial = entry.name.partial_under(&self.options.into, self.random.next_u64());
        let target = Target {
            entry,
            path,
            partial,
            file: None,
            preparing: true,
            writes: 0,
            digest: FileDigest::new(),
            unsynced: 0,
            syncing: false,
            ended: false,
            finishing: false,
            created: false,
            kept: Kept::default(),
            journal: None,
            failed: None,
        };
        let reserved = is_reserved(&target.entry.name);
        self.targets.insert(file, target);
        self.preparing = true;
        if reserved {
            let why = "the receiver keeps this name for itself";
            return self.prepared(file, Err(Fault::new(FaultKind::Destination, why)), cx);
        }
        self.check_parents(file, 1, cx);
    }

    /// Every directory between the destination and the entry must be a real one: a link there would lead elsewhere.
    fn check_parents(&mut self, file: u32, depth: usize, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let components: Vec<&[u8]> = target.entry.name.components().collect();
        let levels = components.len() - 1;
        let root = self.options.into.clone();
        // The ancestor at `depth` below the root: the path itself, cut from its end.
        let ancestor = |depth: usize| target.path.ancestors().nth(levels + 1 - depth).unwrap_or(&root).to_path_buf();
        let next = (depth..=levels).map(|depth| (depth, ancestor(depth))).find(|(_, path)| !self.real.contains(path));
        let Some((depth, path)) = next else { return self.parents_are_real(file, cx) };
        let stat = StatPath::new(&path).no_follow();
        self.call(stat, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(metadata) if metadata.kind == FileKind::Directory => {
                session.remember_real(path);
                session.check_parents(file, depth + 1, cx);
            }
            Ok(metadata) => {
                let what = if metadata.kind == FileKind::Link { "a symbolic link" } else { "no directory" };
                let why = format!("{} is {what}", path.display());
                session.prepared(file, Err(Fault::new(FaultKind::Destination, why)), cx);
            }
            Err(status) => session.prepared(file, Err(destination(&status)), cx),
        });
    }

    fn parents_are_real(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        if target.entry.kind == EntryKind::Directory {
            return self.make_directory(file, cx);
        }
        self.look_at_name(file, cx);
    }

    /// What stands under the name of the file?
    pub(super) fn look_at_name(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let stat = StatPath::new(&target.path).no_follow();
        self.call(stat, cx, move |session, _, outcome, cx| {
            let overwrite = session.overwrite;
            match outcome.result {
                Err(status) if status.code() == Code::NotFound => session.begin_file(file, cx),
                Err(status) => session.prepared(file, Err(destination(&status)), cx),
                Ok(metadata) if metadata.kind == FileKind::Directory => {
                    let why = "a directory of that name exists already";
                    session.prepared(file, Err(Fault::new(FaultKind::Exists, why)), cx);
                }
                Ok(metadata) if session.may_stand(file, &metadata) => session.measure_whole(file, cx),
                Ok(_) if !overwrite => {
                    let why = "exists already; add --overwrite to replace it";
                    session.prepared(file, Err(Fault::new(FaultKind::Exists, why)), cx);
                }
                Ok(_) => session.begin_file(file, cx),
            }
        });
    }

    /// Makes a partial file that nobody goes on with later.
    pub(super) fn create(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::CREATE_NEW | OpenFlags::NO_FOLLOW;
        let open = Open::new(&target.partial, flags).mode(0o600);
        self.call(open, cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            match outcome.result {
                Ok(opened) => {
                    target.created = true;
                    target.file = Some(opened.clone());
                    session.allocate(file, opened, cx);
                }
                Err(status) => session.prepared(file, Err(destination(&status)), cx),
            }
        });
    }

    /// Takes the space at once, so that a full disk is found before the data is sent for nothing.
    pub(super) fn allocate(&mut self, file: u32, opened: File, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let size = target.entry.size;
        if size == 0 {
            return self.prepared(file, Ok(()), cx);
        }
        self.call(Allocate::new(opened.clone(), 0, size), cx, move |session, _, outcome, cx| match outcome.result {
            Err(status) if status.code() == Code::Unavailable => session.extend(file, opened, size, cx),
            result => session.prepared(file, result.map_err(|status| destination(&status)), cx),
        });
    }

    /// For a file system that cannot allocate.
    fn extend(&mut self, file: u32, opened: File, size: u64, cx: &mut Context<'_>) {
        self.call(Truncate::new(opened, size), cx, move |session, _, outcome, cx| {
            session.prepared(file, outcome.result.map_err(|status| destination(&status)), cx);
        });
    }

    /// The entry's chunks may come, to be written or dropped.
    pub(super) fn prepared(&mut self, file: u32, result: Result<(), Fault>, cx: &mut Context<'_>) {
        self.preparing = false;
        let Some(target) = self.targets.get_mut(&file) else { return };
        target.preparing = false;
        if let Err(fault) = result {
            let message = format!("{}: {}", target.entry.name, fault.message);
            target.fail(Fault::new(fault.kind, message));
        }
        if target.entry.kind == EntryKind::Directory {
            target.ended = true;
        }
        self.say_have(file);
        self.finish_target(file, cx);
    }

    /// Has the disk begin with what was written, while more is received.
    pub(super) fn sync_early(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get_mut(&file) else { return };
        let Some(opened) = target.file.clone() else { return };
        if target.syncing || target.ended || target.failed.is_some() || target.unsynced < self.options.sync_every {
            return;
        }
        (target.syncing, target.unsynced) = (true, 0);
        // Counted as a write: the end waits for it.
        target.writes += 1;
        let mut sequence = Sequence::new().step(Sync::data(opened));
        if let Some(journal) = &target.journal {
            sequence = sequence.step(Sync::data(journal.file()));
        }
        let sync = self.tracer.sync(|| format!("data of {}", target.entry.name));
        self.call(sequence, cx, move |session, _, outcome, cx| {
            session.tracer.ended(Step::Sync, sync, outcome.result.as_ref().err().map(|status| status as _));
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.syncing = false;
            target.writes -= 1;
            if let Err(status) = outcome.result {
                if !status.is_cancelled() {
                    target.fail(Fault::new(FaultKind::Destination, format!("{}: {status}", target.entry.name)));
                }
            }
            session.finish_target(file, cx);
        });
    }

    /// FILE_END or ABANDON has come.
    pub(super) fn end_file(&mut self, file: u32, fault: Option<Fault>, cx: &mut Context<'_>) {
        self.current = None;
        let Some(target) = self.targets.get_mut(&file) else { return };
        target.ended = true;
        match fault {
            Some(fault) => target.fail(fault),
            None => target.compare_whole(),
        }
        self.finish_target(file, cx);
    }

    /// Makes a file durable under its name, or removes what there is of it, once nothing more happens to it.
    pub(super) fn finish_target(&mut self, file: u32, cx: &mut Context<'_>) {
        let failing = self.phase == Phase::Failing;
        let overwrite = self.overwrite;
        let Some(target) = self.targets.get_mut(&file) else { return };
        if target.preparing || target.finishing || target.writes > 0 || !(target.ended || failing) {
            return;
        }
        if failing && target.is_worth_keeping() {
            return self.park(file, cx);
        }
        if failing || target.failed.is_some() {
            return self.remove_target(file, cx);
        }
        target.finishing = true;
        if let Some(standing) = target.kept.whole.take() {
            return self.confirm_whole(file, standing, cx);
        }
        let Some(opened) = target.file.take() else { return self.settle_target(file) };
        let entry = &target.entry;
        let attributes = SetAttributes::new(opened.clone())
            .mode(entry.mode)
            .modified(entry.modified_seconds, entry.modified_nanoseconds);
        let mut rename = Rename::new(&target.partial, &target.path);
        if overwrite {
            rename = rename.replacing();
        }
        // Attributes first, so that the sync covers them.
        let sequence = Sequence::new().step(attributes).step(Sync::all(opened)).step(rename);
        let sync = self.tracer.sync(|| format!("{}, and its name", entry.name));
        self.call(sequence, cx, move |session, _, outcome, cx| {
            session.tracer.ended(Step::Sync, sync, outcome.result.as_ref().err().map(|status| status as _));
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.finishing = false;
            match outcome.result {
                Ok(()) => {
                    target.created = false;
                    session.drop_journal(file, cx);
                }
                Err(status) => {
                    let exists = status.code() == Code::AlreadyExists;
                    let kind = if exists { FaultKind::Exists } else { FaultKind::Destination };
                    let message = format!("{}: {status}", target.entry.name);
                    target.fail(Fault::new(kind, message));
                    session.finish_target(file, cx);
                }
            }
        });
    }

    pub(super) fn remove_target(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get_mut(&file) else { return };
        target.file = None;
        if !std::mem::take(&mut target.created) {
            return self.drop_journal(file, cx);
        }
        target.finishing = true;
        let remove = Remove::file(&target.partial);
        // A partial file that cannot be removed keeps its hidden name; there is nobody else to tell.
        self.call(remove, cx, move |session, _, _, cx| session.drop_journal(file, cx));
    }

    /// An entry is done with, one way or the other.
    pub(super) fn settle_target(&mut self, file: u32) {
        let Some(target) = self.targets.remove(&file) else { return };
        self.keep.give_up_claim(file);
        if self.phase == Phase::Failing {
            return;
        }
        match target.failed {
            Some(fault) => self.not_delivered(file, fault),
            None => self.delivered(file, &target.entry, &target.path),
        }
    }
}

pub(super) fn destination(status: &Status) -> Fault {
    // Descriptors run out under the same code as disks and quotas.
    let full = status.os_error().map_or(status.code() == Code::ResourceExhausted, |number| {
        let kind = std::io::Error::from_raw_os_error(number).kind();
        matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    });
    let message = if full { format!("{status}: the disk is full") } else { status.to_string() };
    Fault::new(FaultKind::Destination, message)
}

/// The directory that `path` lies in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proact::status::Operation;
    use rustix::io::Errno;

    #[test]
    fn only_a_disk_or_a_quota_that_is_full_is_called_so() {
        let said =
            |errno: Errno| destination(&Status::from_os_error(Operation::FileOpen, errno.raw_os_error())).message;
        for full in [Errno::NOSPC, Errno::DQUOT] {
            assert!(said(full).ends_with(": the disk is full"), "{}", said(full));
        }
        for other in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS] {
            assert!(!said(other).contains("full"), "{}", said(other));
        }
    }
}

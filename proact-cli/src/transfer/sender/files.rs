//! The files being sent: opened ahead, read chunk by chunk, and looked at again at the end.

use std::collections::HashMap;

use proact::backend::{FileKind, Metadata, OpenFlags};
use proact::memory::Part;
use proact::operation::{Context, Op, Open, Outcome, Read, Stat};
use proact::resource::File;
use proact::status::{Code, Result};

use super::frames::Content;
use super::resume::Asked;
use super::{Phase, Sender};
use crate::exit::{Exit, Failure, Place};
use crate::plan::Planned;
use crate::source::Identity;
use crate::transfer::compute::{RunningDigest, Work};
use crate::transfer::machine::Machine;
use crate::transfer::slab::Filler;
use crate::transfer::trace::Step;
use crate::wire::session::is_asked;
use crate::wire::{EntryKind, Fault, FaultKind, FileEnd, Frame, HEADER_SIZE};

/// Entries looked ahead for files to open.
const AHEAD: u32 = 16;

/// Sources that are open, or being opened, ahead of their turn.
pub(super) struct Sources {
    follow: bool,
    next: u32,
    opened: HashMap<u32, Option<Result<File, Failure>>>,
}

impl Sources {
    pub(super) fn new(follow: bool) -> Sources {
        Sources { follow, next: 0, opened: HashMap::new() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// FILE_END has no place in the stream yet.
    Open,
    /// It stands at this value, and says nothing yet.
    Placed(u64),
    /// The file is being looked at once more.
    Checking(u64),
    /// The file is as it was planned.
    Fine(u64),
}

/// The file whose frames are being submitted.
pub(super) struct Current {
    pub(super) index: u32,
    file: Option<File>,
    pub(super) size: u64,
    pub(super) next: u64,
    reads: usize,
    pub(super) running: RunningDigest,
    /// The value of its first frame after FILE.
    first: Option<u64>,
    end: End,
    pub(super) standing: Asked,
    pub(super) failed: Option<Failure>,
}

impl Sender {
    /// Starts one thing that can be started now. `false`: there is nothing.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        match self.current.take() {
            None => self.begin(cx),
            Some(mut current) => {
                let more = self.go_on(&mut current, cx);
                if more != Some(true) || !current.is_over() {
                    self.current = Some(current);
                }
                more.is_some()
            }
        }
    }

    /// Announces the next entry, or the end.
    fn begin(&mut self, cx: &mut Context<'_>) -> bool {
        self.open_ahead(cx);
        let file = self.next_entry;
        let Some(planned) = self.plan.entries.get(file as usize) else {
            if !self.done_sent {
                self.done_sent = self.control(&Frame::Done(self.plan.totals()), cx);
            }
            return false;
        };
        let entry = planned.entry.clone();
        let (kind, size) = (entry.kind, entry.size);
        let asked = is_asked(self.options.resume, self.chunk_size, &entry);
        if !self.control(&Frame::File { file, entry }, cx) {
            return false;
        }
        self.next_entry += 1;
        self.replies.announce();
        if asked {
            self.replies.ask(size.div_ceil(self.chunk_size.into()));
        }
        if kind == EntryKind::File {
            self.current = Some(Current {
                index: file,
                file: None,
                size,
                next: 0,
                reads: 0,
                running: RunningDigest::default(),
                first: None,
                end: End::Open,
                standing: if asked { Asked::Waiting } else { Asked::Settled },
                failed: None,
            });
        }
        true
    }

    /// Starts one thing for the current file: `Some(true)` when something was done, `None` when it has to wait.
    fn go_on(&mut self, current: &mut Current, cx: &mut Context<'_>) -> Option<bool> {
        if let Asked::Waiting | Asked::Measuring = current.standing {
            return None;
        }
        if current.failed.is_some() {
            return self.abandon(current, cx);
        }
        let Some(file) = current.file.clone() else {
            let opened = self.sources.opened.remove(&current.index)?;
            match opened {
                Some(Ok(file)) => current.file = Some(file),
                Some(Err(failure)) => current.failed = Some(failure),
                None => {
                    self.sources.opened.insert(current.index, None);
                    return None;
                }
            }
            return Some(true);
        };
        if current.standing != Asked::Settled {
            return self.settle_standing(current, file, cx).then_some(true);
        }
        if current.next < current.size {
            return self.read_chunk(current, file, cx).then_some(true);
        }
        match current.end {
            End::Open => self.place_end(current, cx).then_some(true),
            End::Placed(value) if current.reads == 0 => {
                current.end = End::Checking(value);
                self.check_again(current.index, file, cx);
                Some(true)
            }
            End::Placed(_) | End::Checking(_) => None,
            End::Fine(value) => {
                self.frames.release(value, Work::SealEnd { file: current.index, running: current.running.clone() });
                self.frames.hand(&*self.compute);
                current.index = u32::MAX;
                Some(true)
            }
        }
    }

    /// Submits one chunk whole: its read, and the wait and send behind it.
    fn read_chunk(&mut self, current: &mut Current, file: File, cx: &mut Context<'_>) -> bool {
        let Some(chunk) = self.frames.chunks.take() else { return false };
        let left = current.size - current.next;
        // The minimum with a chunk size fits the type of a chunk size.
        let length = left.min(self.chunk_size.into()) as u32;
        let whole = HEADER_SIZE + length as usize;
        let (value, layout, filler, outlet) = self.frames.place(chunk, whole, Some(length));
        current.first.get_or_insert(value);
        let (index, offset, running) = (current.index, current.next, current.running.clone());
        current.next += u64::from(length);
        current.reads += 1;
        let Some(pair) = self.pair(value, outlet, layout.wire()) else { return false };
        let payload = layout.lead + HEADER_SIZE..layout.wire();
        let read = Read::exact(file, offset, Part::new(filler, payload));
        let filled = self.then(move |sender, kind: Read<Part<Filler>>, outcome: Outcome<Read<Part<Filler>>>, cx| {
            let work = Work::SealChunk { file: index, offset, length, running };
            sender.filled(value, kind.buffer.into_inner(), work, outcome.result, cx);
        });
        self.frames.tracer.submitted(Step::Fill, value, || format!("file {index} at {offset}"));
        if let Some((_, (wait, _))) = self.submit((Op::new(read, filled), pair), 3, cx) {
            self.frames.set_wait(value, wait);
        }
        true
    }

    fn filled(&mut self, value: u64, filler: Filler, work: Work, result: Result<usize>, cx: &mut Context<'_>) {
        self.frames.tracer.ended(Step::Fill, value, result.as_ref().err().map(|status| status as _));
        self.frames.set(value, Content::Ready(work, filler));
        let Some(current) = &mut self.current else { return };
        current.reads -= 1;
        match result {
            Ok(_) => {
                self.last_progress = cx.now();
                if current.failed.is_none() {
                    self.frames.hand(&*self.compute);
                }
            }
            Err(status) if self.phase == Phase::Sending => {
                let planned = &self.plan.entries[current.index as usize];
                let failure = if status.code() == Code::OutOfRange {
                    changed(planned, "it became shorter")
                } else {
                    Failure::from_status(Place::Source, planned.path.display(), &status)
                };
                current.failed.get_or_insert(failure);
                // What the device has already goes out; the rest of the file, the end included, must not.
                let first = current.first.unwrap_or(value);
                self.take_back(first, cx);
            }
            Err(_) => {}
        }
    }

    /// Takes back what was submitted from `value` on.
    fn take_back(&mut self, value: u64, cx: &mut Context<'_>) {
        for wait in self.frames.cancel_from(value) {
            // One that has ended by itself needs no cancel.
            let _ = cx.cancel(wait);
        }
        self.frames.reclaim();
    }

    fn place_end(&mut self, current: &mut Current, cx: &mut Context<'_>) -> bool {
        // The content comes later; the length of this frame is always the same.
        let mut bytes = Vec::with_capacity(2 * HEADER_SIZE);
        let end = FileEnd { chunks: 0, digest: [0; 32] };
        Frame::FileEnd { file: current.index, end }.encode(&mut bytes);
        let Some((value, filler)) = self.place_control(&bytes, cx) else { return false };
        self.frames.set(value, Content::Held(filler));
        current.end = End::Placed(value);
        true
    }

    /// Looks whether the file is still what was planned: one that grew, or was written to, was not sent as it is.
    fn check_again(&mut self, index: u32, file: File, cx: &mut Context<'_>) {
        self.call(Stat::new(file), cx, move |sender, _, outcome, cx| {
            let Some(current) = &mut sender.current else { return };
            let End::Checking(value) = current.end else { return };
            let planned = &sender.plan.entries[index as usize];
            match outcome.result.map_err(|status| Failure::from_status(Place::Source, planned.path.display(), &status))
            {
                Ok(metadata) => match unchanged(planned, &metadata) {
                    Ok(()) => current.end = End::Fine(value),
                    Err(failure) => current.failed = Some(failure),
                },
                Err(failure) => current.failed = Some(failure),
            }
            if current.failed.is_some() {
                sender.take_back(value, cx);
            }
        });
    }

    /// Gives the current file up, once nothing of it is being read any more.
    fn abandon(&mut self, current: &mut Current, cx: &mut Context<'_>) -> Option<bool> {
        if current.reads > 0 {
            return None;
        }
        let failure = current.failed.clone()?;
        let fault = Fault::new(FaultKind::Source, failure.message.clone());
        if !self.control(&Frame::Abandon { file: current.index, fault }, cx) {
            return None;
        }
        self.abandoned.insert(current.index);
        self.note(failure);
        current.index = u32::MAX;
        Some(true)
    }

    fn open_ahead(&mut self, cx: &mut Context<'_>) {
        let until = (self.next_entry + AHEAD).min(self.plan.entries.len() as u32);
        while self.sources.next < until {
            let index = self.sources.next;
            self.sources.next += 1;
            let planned = &self.plan.entries[index as usize];
            if planned.entry.kind == EntryKind::Directory {
                continue;
            }
            let mut flags = OpenFlags::READ;
            flags.set(OpenFlags::NO_FOLLOW, !self.sources.follow);
            let open = Open::new(&planned.path, flags);
            self.sources.opened.insert(index, None);
            self.call(open, cx, move |sender, _, outcome, cx| match outcome.result {
                Ok(file) => sender.check_opened(index, file, cx),
                Err(status) => {
                    let path = sender.plan.entries[index as usize].path.display();
                    let failure = Failure::from_status(Place::Source, path, &status);
                    sender.sources.opened.insert(index, Some(Err(failure)));
                }
            });
        }
    }

    fn check_opened(&mut self, index: u32, file: File, cx: &mut Context<'_>) {
        if self.phase != Phase::Sending {
            return;
        }
        self.call(Stat::new(file.clone()), cx, move |sender, _, outcome, _| {
            let planned = &sender.plan.entries[index as usize];
            let opened = match outcome.result {
                Ok(metadata) => unchanged(planned, &metadata).map(|()| file),
                Err(status) => Err(Failure::from_status(Place::Source, planned.path.display(), &status)),
            };
            sender.sources.opened.insert(index, Some(opened));
        });
    }
}

impl Current {
    fn is_over(&self) -> bool {
        self.index == u32::MAX
    }
}

fn unchanged(planned: &Planned, now: &Metadata) -> Result<(), Failure> {
    let entry = &planned.entry;
    let other = match planned.identity {
        Identity::Number(device, inode) => (device, inode) != (now.device, now.inode),
        Identity::Path(_) => false,
    };
    if now.kind != FileKind::File || other {
        return Err(changed(planned, "another file stands there now"));
    }
    if now.size != entry.size {
        let how = if now.size < entry.size { "it became shorter" } else { "it grew" };
        return Err(changed(planned, how));
    }
    if (now.modified_seconds, now.modified_nanoseconds) != (entry.modified_seconds, entry.modified_nanoseconds) {
        return Err(changed(planned, "it was written to"));
    }
    Ok(())
}

pub(super) fn changed(planned: &Planned, how: &str) -> Failure {
    Failure::new(Exit::Source, format!("{}: changed while it was read: {how}", planned.path.display()))
}

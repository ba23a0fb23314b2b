//! Going on with a file that an earlier transfer did not finish.
//!
//! Where a sender asks to resume, a file of more than one chunk is collected in a [directory](super::kept::DIRECTORY)
//! below the destination, beside its [`journal`](super::journal), under the digest of its name. When the session breaks
//! off, both are synced and stay; when the receiver is killed, they are simply there. A later session that is told to
//! resume reads back what the journal claims, up to the first chunk that is not what it was, and offers that to the
//! sender.
//!
//! A file that stands under its final name with the size and time of last change announced is offered whole, in the
//! same way: what was delivered before the end is not sent again.

use std::ffi::OsString;
use std::path::PathBuf;

use proact::backend::{FileKind, Metadata, OpenFlags};
use proact::operation::{Context, Op, Open, Read, Remove, SemaphoreWait, Sequence, StatPath, Sync, Truncate, Write};
use proact::resource::File;
use proact::status::{Code, Result as IoResult, Status};
use proact::sync::Semaphore;
use proact::time::Time;

use super::journal::{About, CLAIM, HEADER, Journal};
use super::kept::CLAIM_WAIT;
use super::target::{Target, destination, parent};
use super::{Phase, Session};
use crate::path::RelativeName;
use crate::transfer::machine::Machine;
use crate::transfer::measure::Measure;
use crate::wire::{Digest, Fault, FaultKind, FileDigest, Frame, Have, Standing, digest};

/// Bytes of claims that are read at a time.
const CLAIMS_ROOM: usize = 64 << 10;

/// What there was of a file.
#[derive(Default)]
pub(super) struct Kept {
    /// What is to be said of it.
    have: Option<Have>,
    /// The digest of the chunks that are offered.
    digest: FileDigest,
    /// The file under the final name, where that is what is offered.
    pub(super) whole: Option<File>,
    /// When it is not waited for any longer, if another session works on it.
    claim_until: Option<Time>,
}

/// Under which name a file is collected: its own may be too long, or no name of one directory.
fn collected_as(name: &RelativeName) -> String {
    let digest = digest(name.as_bytes());
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Target {
    /// Whether a session that breaks off leaves it for a later one.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.failed.is_none() && self.file.is_some() && self.journal.as_ref().is_some_and(Journal::has_claims)
    }

    /// All chunks of a file that stands there already have come: is it the same?
    pub(super) fn compare_whole(&mut self) {
        if self.kept.whole.is_some() && self.digest.finish() != self.kept.digest.finish() {
            let message = format!("{}: exists already, and differs; add --overwrite to replace it", self.entry.name);
            self.fail(Fault::new(FaultKind::Exists, message));
        }
    }
}

impl Session {
    /// Whether what stands under the name of `file` may be what is to be sent.
    pub(super) fn may_stand(&self, file: u32, metadata: &Metadata) -> bool {
        let Some(target) = self.targets.get(&file) else { return false };
        let (asked, entry) = (self.incoming.is_have_due(), &target.entry);
        let time = (entry.modified_seconds, entry.modified_nanoseconds);
        let same = metadata.size == entry.size && time == (metadata.modified_seconds, metadata.modified_nanoseconds);
        self.keep.asked && metadata.kind == FileKind::File && same && (asked || !self.overwrite)
    }

    /// Reads what stands under the final name.
    pub(super) fn measure_whole(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let open = Open::new(&target.path, OpenFlags::READ | OpenFlags::NO_FOLLOW);
        let (size, chunk_size) = (target.entry.size, self.incoming.chunk_size());
        let chunks = size.div_ceil(chunk_size.into());
        self.call(open, cx, move |session, _, outcome, cx| {
            let opened = match outcome.result {
                Ok(opened) => opened,
                Err(status) => return session.prepared(file, Err(destination(&status)), cx),
            };
            let standing = opened.clone();
            let mut running = FileDigest::new();
            let told = move |session: &mut Session, digest: IoResult<Option<Digest>>, cx: &mut Context<'_>| {
                let Some(target) = session.targets.get_mut(&file) else { return false };
                match digest {
                    Ok(Some(digest)) => {
                        running.push(&digest);
                        return session.phase == Phase::Receiving || session.stop_measuring(file, cx);
                    }
                    Ok(None) => {
                        let digest = running.finish();
                        target.kept = Kept {
                            have: Some(Have { standing: Standing::Whole, chunks, digest }),
                            digest: running.clone(),
                            whole: Some(standing.clone()),
                            claim_until: None,
                        };
                        session.prepared(file, Ok(()), cx);
                    }
                    Err(status) => session.prepared(file, Err(destination(&status)), cx),
                }
                false
            };
            let (compute, tracer) = (session.compute.clone(), session.tracer.clone());
            Measure::new(opened, 0..chunks, chunk_size, size, compute, told).recorded(&tracer).start(session, cx);
        });
    }

    /// The session has ended meanwhile: nobody wants to know.
    fn stop_measuring(&mut self, file: u32, cx: &mut Context<'_>) -> bool {
        self.prepared(file, Ok(()), cx);
        false
    }

    /// Makes the ground ready for a file that does not stand there, or is to be replaced.
    pub(super) fn begin_file(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get(&file) else { return };
        let large = target.entry.size > u64::from(self.incoming.chunk_size());
        let name = collected_as(&target.entry.name);
        let Some(device) = self.keep.device.filter(|_| large) else {
            if self.keep.asked && large {
                self.set_have(file, Have::nothing(Standing::Unable));
            }
            return self.create(file, cx);
        };
        if let Some(released) = self.keep.claims.holder(&name) {
            return self.await_claim(file, released, cx);
        }
        if !self.keep.asked || !self.options.keep {
            if self.keep.asked {
                self.set_have(file, Have::nothing(Standing::Unable));
                return self.create(file, cx);
            }
            return self.discard_kept(file, &name, cx);
        }
        let folder = parent(&target.path);
        self.keep.claim(file, name);
        self.call(StatPath::new(folder), cx, move |session, _, outcome, cx| match outcome.result {
            Ok(metadata) if metadata.device == device => session.open_journal(file, cx),
            Ok(_) => {
                // The final rename must stay on one file system.
                session.set_have(file, Have::nothing(Standing::Unable));
                session.keep.give_up_claim(file);
                session.create(file, cx);
            }
            Err(status) => session.prepared(file, Err(destination(&status)), cx),
        });
    }

    /// Another session works on the file: waits until that one gives it up, for [`CLAIM_WAIT`] in all. It has lost its
    /// sender, if this is the sender's next try.
    fn await_claim(&mut self, file: u32, released: Semaphore, cx: &mut Context<'_>) {
        let now = cx.now();
        let Some(target) = self.targets.get_mut(&file) else { return };
        let until = *target.kept.claim_until.get_or_insert(now + CLAIM_WAIT);
        if !self.keep.asked || !self.options.keep || until <= now {
            self.set_have(file, Have::nothing(Standing::Busy));
            return self.create(file, cx);
        }
        let then = self.then(move |session, _, _, cx| {
            session.keep.awaiting = None;
            match session.phase {
                // Another may have claimed it again; and it may have been delivered meanwhile.
                Phase::Receiving => session.look_at_name(file, cx),
                _ => session.prepared(file, Ok(()), cx),
            }
        });
        let wait = Op::new(SemaphoreWait::new(released, 1), then).deadline(until);
        self.keep.awaiting = self.submit(wait, 1, cx);
    }

    fn set_have(&mut self, file: u32, have: Have) {
        if let Some(target) = self.targets.get_mut(&file) {
            target.kept.have = Some(have);
        }
    }

    /// Who sends a file without asking to resume it sends it anew, whole: what an earlier transfer left of it goes.
    fn discard_kept(&mut self, file: u32, name: &str, cx: &mut Context<'_>) {
        let [journal, partial] = self.collected(name);
        self.call(Remove::file(journal), cx, move |session, _, _, cx| {
            session.call(Remove::file(partial), cx, move |session, _, _, cx| session.create(file, cx));
        });
    }

    fn collected(&self, name: &str) -> [PathBuf; 2] {
        let below = |end: &str| self.kept_directory().join(OsString::from(format!("{name}.{end}")));
        [below("journal"), below("part")]
    }

    fn claimed(&self, file: u32) -> Option<[PathBuf; 2]> {
        self.keep.claimed.get(&file).map(|name| self.collected(name))
    }

    /// Looks for what an earlier transfer left of the file.
    fn open_journal(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some([path, _]) = self.claimed(file) else { return };
        let open = Open::new(path, OpenFlags::READ | OpenFlags::WRITE | OpenFlags::NO_FOLLOW);
        self.call(open, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(journal) => session.read_journal(file, journal, cx),
            Err(status) if status.code() == Code::NotFound => session.begin_journal(file, Standing::Nothing, cx),
            Err(status) => session.prepared(file, Err(destination(&status)), cx),
        });
    }

    fn read_journal(&mut self, file: u32, journal: File, cx: &mut Context<'_>) {
        let read = Read::some(journal.clone(), 0, vec![0; HEADER]);
        self.call(read, cx, move |session, kind: Read<Vec<u8>>, outcome, cx| {
            let Some(target) = session.targets.get(&file) else { return };
            let wanted = About::new(&target.entry, session.incoming.chunk_size());
            let count = outcome.result.unwrap_or(0);
            match About::decode(&kind.buffer[..count]) {
                // It was begun, and its begin did not reach the disk.
                None if count < HEADER => session.begin_journal(file, Standing::Nothing, cx),
                None => session.begin_journal(file, Standing::Damaged, cx),
                Some(known) if (known.size, known.modified) != (wanted.size, wanted.modified) => {
                    session.begin_journal(file, Standing::Changed, cx);
                }
                Some(known) if known != wanted => session.begin_journal(file, Standing::ChunkSize, cx),
                Some(_) => session.open_partial(file, journal, cx),
            }
        });
    }

    fn open_partial(&mut self, file: u32, journal: File, cx: &mut Context<'_>) {
        let Some([_, path]) = self.claimed(file) else { return };
        let open = Open::new(path, OpenFlags::READ | OpenFlags::WRITE | OpenFlags::NO_FOLLOW);
        self.call(open, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(partial) => session.read_claims(file, journal, partial, FileDigest::new(), cx),
            Err(status) if status.code() == Code::NotFound => session.begin_journal(file, Standing::Nothing, cx),
            Err(status) => session.prepared(file, Err(destination(&status)), cx),
        });
    }

    /// Reads the next claims and the chunks that they are about. `running`: those that were found to hold.
    fn read_claims(&mut self, file: u32, journal: File, partial: File, running: FileDigest, cx: &mut Context<'_>) {
        let at = HEADER as u64 + running.chunks() * CLAIM as u64;
        let read = Read::some(journal.clone(), at, vec![0; CLAIMS_ROOM]);
        self.call(read, cx, move |session, kind: Read<Vec<u8>>, outcome, cx| {
            let Some(target) = session.targets.get(&file) else { return };
            let count = outcome.result.unwrap_or(0);
            let claims: Vec<Digest> = kind.buffer[..count]
                .chunks_exact(CLAIM)
                .map(|claim| claim.try_into().expect("an exact piece"))
                .collect();
            let (size, chunk_size) = (target.entry.size, session.incoming.chunk_size());
            let all = size.div_ceil(chunk_size.into());
            let from = running.chunks();
            let until = (from + claims.len() as u64).min(all);
            if until == 0 {
                return session.begin_journal(file, Standing::Nothing, cx);
            }
            if from == until {
                return session.claims_read(file, journal, partial, running, cx);
            }
            let (mut running, mut claims) = (running, claims.into_iter());
            let (measured, next) = (partial.clone(), journal.clone());
            let told = move |session: &mut Session, found: IoResult<Option<Digest>>, cx: &mut Context<'_>| {
                if session.phase != Phase::Receiving {
                    return session.stop_measuring(file, cx);
                }
                match found {
                    Ok(Some(found)) if claims.next() == Some(found) => {
                        running.push(&found);
                        return true;
                    }
                    Ok(None) => {
                        session.read_claims(file, next.clone(), partial.clone(), running.clone(), cx);
                    }
                    // Not what it was, or not readable: what is before it holds.
                    _ => session.claims_read(file, next.clone(), partial.clone(), running.clone(), cx),
                }
                false
            };
            let (compute, tracer) = (session.compute.clone(), session.tracer.clone());
            Measure::new(measured, from..until, chunk_size, size, compute, told).recorded(&tracer).start(session, cx);
        });
    }

    /// It is known how many claims hold: those behind them are forgotten.
    fn claims_read(&mut self, file: u32, journal: File, partial: File, held: FileDigest, cx: &mut Context<'_>) {
        if held.chunks() == 0 {
            return self.begin_journal(file, Standing::Damaged, cx);
        }
        let Some([journal_path, path]) = self.claimed(file) else { return };
        let chunks = held.chunks();
        let cut = Truncate::new(journal.clone(), HEADER as u64 + chunks * CLAIM as u64);
        self.call(cut, cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.partial = path;
            target.created = true;
            target.file = Some(partial);
            target.journal = Some(Journal::new(journal, journal_path, chunks));
            let have = Have { standing: Standing::Partial, chunks, digest: held.finish() };
            target.kept = Kept { have: Some(have), digest: held, whole: None, claim_until: None };
            session.prepared(file, outcome.result.map_err(|status| destination(&status)), cx);
        });
    }

    /// Begins a journal and its file. Both names are durable before a chunk comes.
    fn begin_journal(&mut self, file: u32, why: Standing, cx: &mut Context<'_>) {
        self.set_have(file, Have::nothing(why));
        let Some([path, _]) = self.claimed(file) else { return };
        let open = Open::new(&path, NEW).mode(0o600);
        self.call(open, cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get(&file) else { return };
            let journal = match outcome.result {
                Ok(journal) => journal,
                // The directory has gone since: one who had just ended found nothing in it, and nobody who needs it.
                Err(status) if status.code() == Code::NotFound && session.phase == Phase::Receiving => {
                    session.set_have(file, Have::nothing(Standing::Unable));
                    session.keep.give_up_claim(file);
                    return session.create(file, cx);
                }
                Err(status) => return session.prepared(file, Err(destination(&status)), cx),
            };
            let header = About::new(&target.entry, session.incoming.chunk_size()).encode();
            let write = Write::exact(journal.clone(), 0, header);
            let sequence = Sequence::new().step(write).step(Sync::all(journal.clone()));
            session.call(sequence, cx, move |session, _, outcome, cx| {
                let Some(target) = session.targets.get_mut(&file) else { return };
                target.journal = Some(Journal::new(journal, path, 0));
                match outcome.result {
                    Ok(()) => session.begin_partial(file, cx),
                    Err(status) => session.prepared(file, Err(destination(&status)), cx),
                }
            });
        });
    }

    fn begin_partial(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some([_, path]) = self.claimed(file) else { return };
        self.call(Open::new(&path, NEW).mode(0o600), cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            let opened = match outcome.result {
                Ok(opened) => opened,
                Err(status) => return session.prepared(file, Err(destination(&status)), cx),
            };
            (target.partial, target.created, target.file) = (path, true, Some(opened.clone()));
            let open = Open::new(session.kept_directory(), OpenFlags::READ | OpenFlags::DIRECTORY);
            session.call(open, cx, move |session, _, outcome, cx| match outcome.result {
                Ok(directory) => {
                    session.call(Sync::all(directory), cx, move |session, _, _, cx| session.allocate(file, opened, cx));
                }
                Err(status) => session.prepared(file, Err(destination(&status)), cx),
            });
        });
    }

    // The answer, and what follows from it.

    /// The ground is ready: the sender that waits for it is told what is there.
    pub(super) fn say_have(&mut self, file: u32) {
        if self.phase != Phase::Receiving || !self.incoming.is_have_due() {
            return;
        }
        let Some(target) = self.targets.get(&file) else { return };
        let known = target.kept.have.filter(|_| target.failed.is_none());
        let have = known.unwrap_or_else(|| Have::nothing(Standing::Nothing));
        self.incoming.offer(&have);
        self.reply(&Frame::Have { file, have });
    }

    /// CONTINUE came, with the number of chunks that was offered, or 0.
    pub(super) fn go_on_behind(&mut self, file: u32, chunks: u64, cx: &mut Context<'_>) {
        let chunk_size = u64::from(self.incoming.chunk_size());
        let overwrite = self.overwrite;
        let Some(target) = self.targets.get_mut(&file) else { return };
        if chunks > 0 {
            target.digest = target.kept.digest.clone();
            let kept = (chunks * chunk_size).min(target.entry.size);
            self.received.resumed += kept;
            self.moved += kept;
            return;
        }
        self.preparing = true;
        target.preparing = true;
        if target.kept.whole.take().is_some() {
            if overwrite {
                return self.begin_file(file, cx);
            }
            let why = "exists already, and differs; add --overwrite to replace it";
            return self.prepared(file, Err(Fault::new(FaultKind::Exists, why)), cx);
        }
        let Some(journal) = target.journal.take() else { return self.prepared(file, Ok(()), cx) };
        let cut = Truncate::new(journal.file(), HEADER as u64);
        self.call(cut, cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.journal = Some(Journal::new(journal.file(), journal.path, 0));
            session.prepared(file, outcome.result.map_err(|status| destination(&status)), cx);
        });
    }

    // The end.

    /// What stands there is what was sent.
    pub(super) fn confirm_whole(&mut self, file: u32, standing: File, cx: &mut Context<'_>) {
        self.call(Sync::all(standing), cx, move |session, _, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.finishing = false;
            match outcome.result {
                Ok(()) => session.settle_target(file),
                Err(status) => {
                    target.fail(named(&target.entry.name, &status));
                    session.finish_target(file, cx);
                }
            }
        });
    }

    /// The session breaks off: what was verified of the file is made durable, and stays.
    pub(super) fn park(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get_mut(&file) else { return };
        let (Some(opened), Some(journal)) = (target.file.take(), &target.journal) else { return };
        target.finishing = true;
        let sequence = Sequence::new().step(Sync::data(opened)).step(Sync::data(journal.file()));
        self.call(sequence, cx, move |session, _, outcome, cx| match outcome.result {
            Ok(()) => session.settle_target(file),
            // What a failed sync leaves reads well, and may be gone after a power loss, whatever later syncs say.
            Err(_) => session.remove_target(file, cx),
        });
    }

    /// Nothing is left of an unfinished file: its journal goes too.
    pub(super) fn drop_journal(&mut self, file: u32, cx: &mut Context<'_>) {
        let journal = self.targets.get_mut(&file).and_then(|target| target.journal.take());
        let Some(journal) = journal else { return self.settle_target(file) };
        if let Some(target) = self.targets.get_mut(&file) {
            target.finishing = true;
        }
        self.call(Remove::file(&journal.path), cx, move |session, _, _, _| session.settle_target(file));
    }
}

/// How an unfinished file and its journal are made.
const NEW: OpenFlags = OpenFlags::READ
    .union(OpenFlags::WRITE)
    .union(OpenFlags::CREATE)
    .union(OpenFlags::TRUNCATE)
    .union(OpenFlags::NO_FOLLOW);

fn named(name: &RelativeName, status: &Status) -> Fault {
    let fault = destination(status);
    Fault::new(fault.kind, format!("{name}: {}", fault.message))
}

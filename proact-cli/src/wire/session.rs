//! What may come when: each side's memory of a session, against which every frame of the other is checked.
//!
//! [`Incoming`] stands at the receiver and checks the sender's frames; [`Replies`] stands at the sender and checks the
//! receiver's. Both hold a bounded amount of memory whatever the peer sends, and refuse the first frame that does not
//! fit; after a refusal the connection is to be closed.

use super::{Digest, Entry, EntryKind, FileDigest, FileEnd, Have, Header, Hello, Kind, Limits, Totals, WireError};

/// The receiver's view of what a sender has sent.
#[derive(Debug)]
pub struct Incoming {
    limits: Limits,
    announced: Totals,
    chunk_size: u32,
    resume: bool,
    seen: Totals,
    state: State,
}

#[derive(Debug)]
enum State {
    /// HELLO has not come.
    Start,
    /// Between files.
    Ready,
    /// In a file, whose chunks come now.
    Open { file: u32, size: u64, next: u64, chunks: u64, offer: Offer },
    /// DONE has come.
    Done,
}

/// What was said of the open file, and is to be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Offer {
    /// HAVE is to be said: no chunk may come before.
    Due,
    /// So many chunks were offered: CONTINUE comes next.
    Made(u64),
    /// Chunks may come.
    Settled,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            State::Start => "before HELLO",
            State::Ready => "between files",
            State::Open { .. } => "in a file",
            State::Done => "after DONE",
        }
    }
}

impl Incoming {
    /// A session in which nothing has come, under `limits`.
    pub fn new(limits: Limits) -> Incoming {
        Incoming {
            limits,
            announced: Totals::default(),
            chunk_size: 0,
            resume: false,
            seen: Totals::default(),
            state: State::Start,
        }
    }

    /// The chunk size in force; 0 before HELLO.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// What HELLO announced.
    pub fn announced(&self) -> Totals {
        self.announced
    }

    /// HELLO came.
    ///
    /// # Errors
    /// It is not the first frame, or it announces more entries than the limit.
    pub fn hello(&mut self, hello: &Hello) -> Result<(), WireError> {
        let State::Start = self.state else { return Err(self.unexpected(Kind::Hello)) };
        limit("number of files", hello.totals.entries.into(), self.limits.files_max.into())?;
        self.announced = hello.totals;
        self.chunk_size = hello.chunk_size.min(self.limits.chunk_max);
        self.resume = hello.resume;
        self.state = State::Ready;
        Ok(())
    }

    /// FILE came.
    ///
    /// # Errors
    /// It is out of turn, its name is above the limit, or it is more than HELLO announced.
    pub fn file(&mut self, file: u32, entry: &Entry) -> Result<(), WireError> {
        let State::Ready = self.state else { return Err(self.unexpected(Kind::File)) };
        same(Kind::File, "file index", file.into(), self.seen.entries.into())?;
        limit("bytes of a name", entry.name.as_bytes().len() as u64, self.limits.name_max.into())?;
        limit("number of files", u64::from(file) + 1, self.announced.entries.into())?;
        // seen never exceeds announced, so the difference cannot underflow.
        limit("size of a file", entry.size, self.announced.bytes - self.seen.bytes)?;
        self.seen.entries += 1;
        self.seen.bytes += entry.size;
        if entry.kind == EntryKind::File {
            let asked = is_asked(self.resume, self.chunk_size, entry);
            let offer = if asked { Offer::Due } else { Offer::Settled };
            self.state = State::Open { file, size: entry.size, next: 0, chunks: 0, offer };
        }
        Ok(())
    }

    /// Whether HAVE is still to be said of the open file.
    pub fn is_have_due(&self) -> bool {
        matches!(self.state, State::Open { offer: Offer::Due, .. })
    }

    /// This side says HAVE, of the open file.
    pub fn offer(&mut self, have: &Have) {
        if let State::Open { offer, .. } = &mut self.state {
            *offer = if have.chunks == 0 { Offer::Settled } else { Offer::Made(have.chunks) };
        }
    }

    /// CONTINUE came: the sender goes on behind `chunks` chunks, all that were offered or none.
    ///
    /// # Errors
    /// Nothing was offered of that file, or another number.
    pub fn go_on(&mut self, file: u32, chunks_kept: u64) -> Result<(), WireError> {
        let chunk_size = u64::from(self.chunk_size);
        let State::Open { file: open, size, next, chunks, offer: offer @ Offer::Made(_) } = &mut self.state else {
            return Err(self.unexpected(Kind::Continue));
        };
        same(Kind::Continue, "file index", file.into(), (*open).into())?;
        let Offer::Made(offered) = *offer else { unreachable!("matched above") };
        if chunks_kept != 0 {
            same(Kind::Continue, "number of chunks", chunks_kept, offered)?;
        }
        *offer = Offer::Settled;
        *chunks = chunks_kept;
        // What was offered was read: it cannot be more than the file, whose size fits.
        *next = chunks_kept.saturating_mul(chunk_size).min(*size);
        Ok(())
    }

    /// ALIVE came: the sender's disk is at work.
    ///
    /// # Errors
    /// It is out of turn.
    pub fn alive(&self) -> Result<(), WireError> {
        match self.state {
            State::Ready | State::Open { .. } => Ok(()),
            State::Start | State::Done => Err(self.unexpected(Kind::Alive)),
        }
    }

    /// A chunk's header came: to be asked before its payload is received, for it bounds the buffer.
    ///
    /// # Errors
    /// It is out of turn, leaves a gap, reaches beyond the file, or has not the size in force.
    pub fn chunk(&mut self, header: &Header) -> Result<(), WireError> {
        let chunk_size = u64::from(self.chunk_size);
        let State::Open { file, size, next, chunks, offer: Offer::Settled } = &mut self.state else {
            return Err(self.unexpected(Kind::Chunk));
        };
        same(Kind::Chunk, "file index", header.file.into(), (*file).into())?;
        same(Kind::Chunk, "offset", header.offset, *next)?;
        same(Kind::Chunk, "length", header.length.into(), chunk_size.min(*size - *next))?;
        *next += u64::from(header.length);
        *chunks += 1;
        Ok(())
    }

    /// FILE_END came: the file is whole if `digests`, of the chunks as they were received, agrees.
    ///
    /// # Errors
    /// It is out of turn or early, or the count differs. A digest that differs is [`WireError::PayloadDigest`].
    pub fn file_end(&mut self, file: u32, end: &FileEnd, received: &Digest) -> Result<(), WireError> {
        let State::Open { file: open, size, next, chunks, offer: Offer::Settled } = self.state else {
            return Err(self.unexpected(Kind::FileEnd));
        };
        same(Kind::FileEnd, "file index", file.into(), open.into())?;
        same(Kind::FileEnd, "end", next, size)?;
        same(Kind::FileEnd, "number of chunks", end.chunks, chunks)?;
        if end.digest != *received {
            return Err(WireError::PayloadDigest(Kind::FileEnd));
        }
        self.state = State::Ready;
        Ok(())
    }

    /// ABANDON came: the open file ends here and is not whole.
    ///
    /// # Errors
    /// No file, or another one, is open.
    pub fn abandon(&mut self, file: u32) -> Result<(), WireError> {
        let State::Open { file: open, .. } = self.state else { return Err(self.unexpected(Kind::Abandon)) };
        same(Kind::Abandon, "file index", file.into(), open.into())?;
        self.state = State::Ready;
        Ok(())
    }

    /// DONE came.
    ///
    /// # Errors
    /// It is out of turn, or the totals are not those announced and seen.
    pub fn done(&mut self, totals: &Totals) -> Result<(), WireError> {
        let State::Ready = self.state else { return Err(self.unexpected(Kind::Done)) };
        for expected in [self.announced, self.seen] {
            same(Kind::Done, "number of files", totals.entries.into(), expected.entries.into())?;
            same(Kind::Done, "total of bytes", totals.bytes, expected.bytes)?;
        }
        self.state = State::Done;
        Ok(())
    }

    /// Whether DONE has come: nothing but the connection's end, or ABORT, may follow.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The refusal of a frame that may not come now: also for kinds that only a receiver sends.
    pub fn unexpected(&self, kind: Kind) -> WireError {
        WireError::Unexpected { kind, state: self.state.name() }
    }
}

/// The sender's view of what a receiver has answered.
#[derive(Debug)]
pub struct Replies {
    accepted: bool,
    finished: bool,
    /// Entries whose FILE has been sent.
    announced: u32,
    /// The file that HAVE is waited for, and the most chunks that it may tell.
    asked: Option<(u32, u64)>,
    /// One bit an entry: answered.
    answered: Vec<u64>,
    open: u32,
}

impl Replies {
    /// A session of `entries` entries in which nothing was answered. Holds one bit an entry.
    pub fn new(entries: u32) -> Replies {
        let answered = vec![0; (entries as usize).div_ceil(64)];
        Replies { accepted: false, finished: false, announced: 0, asked: None, answered, open: entries }
    }

    /// ACCEPT came.
    ///
    /// # Errors
    /// It is not the first frame.
    pub fn accept(&mut self) -> Result<(), WireError> {
        if self.accepted {
            return Err(self.unexpected(Kind::Accept));
        }
        self.accepted = true;
        Ok(())
    }

    /// The sender has sent the next entry's FILE, which may be answered from now on.
    pub fn announce(&mut self) {
        self.announced += 1;
    }

    /// The sender has asked about the entry that it announced last, which has so many chunks.
    pub fn ask(&mut self, chunks: u64) {
        self.asked = Some((self.announced.saturating_sub(1), chunks));
    }

    /// HAVE came.
    ///
    /// # Errors
    /// The file was not asked about, or more is told of it than it has.
    pub fn have(&mut self, file: u32, have: &Have) -> Result<(), WireError> {
        let Some((asked, chunks)) = self.asked.filter(|_| self.accepted && !self.finished) else {
            return Err(self.unexpected(Kind::Have));
        };
        same(Kind::Have, "file index", file.into(), asked.into())?;
        limit("number of chunks", have.chunks, chunks)?;
        self.asked = None;
        Ok(())
    }

    /// FILE_DONE came.
    ///
    /// # Errors
    /// It is out of turn, for an entry that was not sent yet, or the second for the same entry.
    pub fn file_done(&mut self, file: u32) -> Result<(), WireError> {
        if !self.accepted || self.finished {
            return Err(self.unexpected(Kind::FileDone));
        }
        let twice = WireError::Field { kind: Kind::FileDone, field: "file index" };
        let word = self.answered.get_mut(file as usize / 64).filter(|_| file < self.announced).ok_or(twice)?;
        let bit = 1u64 << (file % 64);
        if *word & bit != 0 {
            return Err(twice);
        }
        *word |= bit;
        self.open -= 1;
        Ok(())
    }

    /// ALIVE came.
    ///
    /// # Errors
    /// It is out of turn.
    pub fn alive(&self) -> Result<(), WireError> {
        if self.accepted && !self.finished { Ok(()) } else { Err(self.unexpected(Kind::Alive)) }
    }

    /// RESULT came.
    ///
    /// # Errors
    /// It is out of turn, or some entry was not answered.
    pub fn result(&mut self) -> Result<(), WireError> {
        if !self.accepted || self.finished {
            return Err(self.unexpected(Kind::Result));
        }
        same(Kind::Result, "number of unanswered files", self.open.into(), 0)?;
        self.finished = true;
        Ok(())
    }

    /// Entries that were not answered yet.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Whether RESULT has come.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The refusal of a frame that may not come now: also for kinds that only a sender sends.
    pub fn unexpected(&self, kind: Kind) -> WireError {
        let state = match (self.accepted, self.finished) {
            (false, _) => "before ACCEPT",
            (true, false) => "between ACCEPT and RESULT",
            (true, true) => "after RESULT",
        };
        WireError::Unexpected { kind, state }
    }
}

fn limit(what: &'static str, value: u64, limit: u64) -> Result<(), WireError> {
    if value <= limit { Ok(()) } else { Err(WireError::Limit { what, value, limit }) }
}

fn same(kind: Kind, what: &'static str, value: u64, expected: u64) -> Result<(), WireError> {
    if value == expected { Ok(()) } else { Err(WireError::Contradiction { kind, what, value, expected }) }
}

/// Whether a session that may `resume` asks about a file before it sends it: one of a single chunk is sent sooner.
pub fn is_asked(resume: bool, chunk_size: u32, entry: &Entry) -> bool {
    resume && entry.kind == EntryKind::File && entry.size > u64::from(chunk_size)
}

/// Splits a file of `size` bytes into its chunks: offset and length of each, in order.
pub fn chunks(size: u64, chunk_size: u32) -> impl Iterator<Item = (u64, u32)> {
    let step = u64::from(chunk_size.max(1));
    // The minimum with a chunk size fits the type of a chunk size.
    (0..size.div_ceil(step)).map(move |chunk| (chunk * step, (size - chunk * step).min(step) as u32))
}

/// The digest of a file without chunks.
pub fn empty_file_digest() -> Digest {
    FileDigest::new().finish()
}

#[cfg(test)]
mod tests;

//! TLS as the compute queue does it: records are sealed and opened there, where chunks are digested, in the order of
//! the stream. The poll thread sees a [`Turn`] after each task.
//!
//! A frame is sealed where it lies. In its buffer the plaintext stands `lead` bytes behind the front, and `lead` is
//! what its records add: each record then ends at most where the plaintext of the next one begins. So a frame's length
//! on the wire is known before it has content, and its send can be submitted ahead, as without TLS.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proact::status::{Code, Operation, Result, Status};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::slab::Filler;
use crate::wire::{Fault, FaultKind};

mod words;

use words::{Side, fault_of};

/// Plaintext bytes of a record: as many as TLS allows.
const RECORD: usize = 16 << 10;
/// What TLS 1.3 adds to a record: header, kind and tag.
const RECORD_EXTRA: usize = 5 + 1 + 16;
/// The record that announces new keys.
const REKEY: usize = RECORD_EXTRA + 5;
/// Records after which the sending side takes new keys: well below the 2^24 of AES-GCM (RFC 8446, 5.5).
const RECORDS_PER_KEY: u64 = 1 << 22;

/// How a sender connects over TLS.
#[derive(Clone, Debug)]
pub struct Client {
    /// Whom it trusts, and as whom it shows itself.
    pub config: Arc<ClientConfig>,
    /// The name that the receiver's certificate must be for.
    pub name: ServerName<'static>,
}

/// Where a frame's plaintext lies in its buffer, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// Bytes in front of it, which sealing fills.
    pub lead: usize,
    /// Bytes of plaintext.
    pub plain: usize,
    /// New keys are taken before it.
    rekey: bool,
}

impl Layout {
    /// A frame that is not sealed.
    pub fn plain(length: usize) -> Layout {
        Layout { lead: 0, plain: length, rekey: false }
    }

    /// Bytes on the wire.
    pub fn wire(&self) -> usize {
        self.lead + self.plain
    }

    /// Bytes that a buffer for frames of `plain` bytes needs at most.
    pub fn room(plain: usize) -> usize {
        plain + plain.div_ceil(RECORD) * RECORD_EXTRA + REKEY
    }
}

/// Lays out frames, and counts what was sealed under one key.
pub struct Layouts {
    records: u64,
    records_per_key: u64,
}

impl Default for Layouts {
    fn default() -> Layouts {
        Layouts { records: 0, records_per_key: RECORDS_PER_KEY }
    }
}

impl Layouts {
    /// Layouts that take new keys so often: for tests.
    pub fn with_records_per_key(records_per_key: u64) -> Layouts {
        Layouts { records: 0, records_per_key }
    }

    /// The layout of the next frame, of `plain` bytes.
    pub fn next(&mut self, plain: usize) -> Layout {
        let records = plain.div_ceil(RECORD);
        let rekey = self.records + records as u64 > self.records_per_key;
        self.records = if rekey { 0 } else { self.records } + records as u64;
        Layout { lead: records * RECORD_EXTRA + if rekey { REKEY } else { 0 }, plain, rekey }
    }
}

/// What is to be done with a connection.
pub enum Task {
    /// So many bytes of this buffer came from the socket.
    Open(Vec<u8>, usize),
    /// The socket's stream has ended.
    Ended,
    /// The next bytes of plaintext, so many, are to go into this buffer.
    Take(Filler, usize),
    /// Seal this, and hand out all that is to be sent; with `close` say that nothing follows.
    Flush {
        /// Plaintext.
        plain: Vec<u8>,
        /// Whether to end the stream.
        close: bool,
    },
}

impl Task {
    /// What people call it, in a trace.
    pub fn name(&self) -> String {
        match self {
            Task::Open(_, length) => format!("TLS: open {length} bytes"),
            Task::Ended => String::from("TLS: end of the stream"),
            Task::Take(_, length) => format!("TLS: hand out {length} bytes"),
            Task::Flush { close: true, .. } => String::from("TLS: seal the last words"),
            Task::Flush { plain, .. } if plain.is_empty() => String::from("TLS: seal the handshake"),
            Task::Flush { plain, .. } => format!("TLS: seal {} bytes of replies", plain.len()),
        }
    }
}

/// What came of the tasks since the last look.
#[derive(Default)]
pub struct Turn {
    /// The buffer of [`Task::Open`].
    pub raw: Option<Vec<u8>>,
    /// Plaintext, of a connection that takes it as it comes.
    pub plain: Vec<u8>,
    /// The buffer of [`Task::Take`], filled.
    pub taken: Option<Filler>,
    /// What [`Task::Flush`] has for the socket.
    pub outgoing: Option<Vec<u8>>,
    /// The handshake is over, and the peer is who it should be.
    pub established: bool,
    /// Something is to be flushed.
    pub wants_flush: bool,
    /// The peer has said that nothing follows.
    pub closed: bool,
    /// The stream has ended, with or without that.
    pub ended: bool,
    /// Why the connection cannot go on.
    pub fault: Option<Fault>,
}

/// One connection, as both threads share it.
pub struct Channel {
    /// The compute queue's.
    state: Mutex<State>,
    /// Held for moments only: the poll thread takes it.
    turn: Mutex<Turn>,
}

struct State {
    connection: Connection,
    side: Side,
    /// Plaintext is handed out as it comes, and not on demand.
    as_it_comes: bool,
    /// Plaintext that nobody has asked for yet: less than what was opened at once.
    surplus: Vec<u8>,
    given: usize,
    /// A buffer, how far it is filled, and how far it is to be. While there is one there is no surplus.
    demand: Option<(Filler, usize, usize)>,
    failed: bool,
}

impl Channel {
    /// The sender's side.
    ///
    /// # Errors
    /// The configuration cannot make a connection.
    pub fn client(client: &Client) -> Result<Arc<Channel>> {
        let connection =
            ClientConnection::new(client.config.clone(), client.name.clone()).map_err(|error| made(&error))?;
        Ok(Channel::new(connection.into(), Side::Sender(client.name.to_str().into_owned()), true))
    }

    /// The receiver's side.
    ///
    /// # Errors
    /// The configuration cannot make a connection.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Arc<Channel>> {
        let connection = ServerConnection::new(config.clone()).map_err(|error| made(&error))?;
        Ok(Channel::new(connection.into(), Side::Receiver, false))
    }

    fn new(connection: Connection, side: Side, as_it_comes: bool) -> Arc<Channel> {
        let state = State { connection, side, as_it_comes, surplus: Vec::new(), given: 0, demand: None, failed: false };
        Arc::new(Channel { state: Mutex::new(state), turn: Mutex::default() })
    }

    /// What came of the tasks since the last call.
    pub fn take_turn(&self) -> Turn {
        std::mem::take(&mut *self.turn())
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a task out, on the compute queue.
    pub(super) fn run(&self, task: Task) {
        let mut state = self.state();
        let mut done = Turn::default();
        match task {
            Task::Open(raw, count) => {
                state.open(&raw[..count], &mut done);
                done.raw = Some(raw);
            }
            Task::Ended => state.ended(&mut done),
            Task::Take(buffer, length) => {
                state.demand = Some((buffer, 0, length));
                state.give();
            }
            Task::Flush { plain, close } => done.outgoing = Some(state.flush(&plain, close, &mut done)),
        }
        done.taken = state.taken();
        if state.as_it_comes {
            done.plain = std::mem::take(&mut state.surplus);
        }
        done.established = !state.connection.is_handshaking();
        done.wants_flush = state.connection.wants_write();
        self.turn().add(done);
    }

    /// Seals the frame that lies in `bytes`, where it lies.
    pub(super) fn seal(&self, bytes: &mut [u8], layout: Layout) -> Result<()> {
        let mut state = self.state();
        let connection = &mut state.connection;
        let failed = |why: String| Status::new(Code::Aborted, Operation::None).with_message(why);
        let end = layout.wire();
        let (mut from, mut to) = (layout.lead, 0);
        if layout.rekey {
            connection.refresh_traffic_keys().map_err(|error| failed(error.to_string()))?;
        }
        let mut record = [0; RECORD];
        while from < end {
            let length = RECORD.min(end - from);
            record[..length].copy_from_slice(&bytes[from..from + length]);
            from += length;
            connection.writer().write_all(&record[..length]).map_err(|error| failed(error.to_string()))?;
            while connection.wants_write() {
                let mut room = &mut bytes[to..from];
                match connection.write_tls(&mut room) {
                    Ok(0) => return Err(failed("the receiver asked for new keys, which none does".into())),
                    Ok(count) => to += count,
                    Err(error) => return Err(failed(error.to_string())),
                }
            }
        }
        if to == end { Ok(()) } else { Err(failed(format!("a sealed frame has {to} bytes, and not {end}"))) }
    }
}

impl Turn {
    fn add(&mut self, done: Turn) {
        self.raw = done.raw.or(self.raw.take());
        self.plain.extend_from_slice(&done.plain);
        self.taken = done.taken.or(self.taken.take());
        self.outgoing = done.outgoing.or(self.outgoing.take());
        self.fault = self.fault.take().or(done.fault);
        (self.established, self.wants_flush) = (done.established, done.wants_flush);
        self.closed |= done.closed;
        self.ended |= done.ended;
    }
}

impl State {
    fn open(&mut self, mut bytes: &[u8], done: &mut Turn) {
        while !bytes.is_empty() && !self.failed && !done.closed {
            match self.connection.read_tls(&mut bytes) {
                // It has said that nothing follows; what follows all the same counts for nothing.
                Ok(0) => done.closed = true,
                Ok(_) => match self.connection.process_new_packets() {
                    Ok(_) => self.drain(done),
                    Err(error) => {
                        self.failed = true;
                        done.fault = Some(fault_of(&error, &self.side));
                    }
                },
                Err(error) => {
                    self.failed = true;
                    done.fault = Some(Fault::new(FaultKind::Protocol, format!("TLS: {error}")));
                }
            }
        }
    }

    /// Takes out the plaintext that was opened.
    fn drain(&mut self, done: &mut Turn) {
        loop {
            let mut reader = self.connection.reader();
            let read = match &mut self.demand {
                Some((buffer, filled, length)) if *filled < *length => {
                    let read = reader.read(&mut buffer.bytes_mut()[*filled..*length]);
                    *filled += read.as_ref().copied().unwrap_or(0);
                    read
                }
                _ => {
                    let start = self.surplus.len();
                    self.surplus.resize(start + RECORD, 0);
                    let read = reader.read(&mut self.surplus[start..]);
                    self.surplus.truncate(start + read.as_ref().copied().unwrap_or(0));
                    read
                }
            };
            match read {
                Ok(0) => return done.closed = true,
                Ok(_) => {}
                // None is left for now.
                Err(_) => return,
            }
        }
    }

    /// Fills the demand from the surplus.
    fn give(&mut self) {
        let Some((buffer, filled, length)) = &mut self.demand else { return };
        let rest = &self.surplus[self.given..];
        let count = rest.len().min(*length - *filled);
        buffer.bytes_mut()[*filled..*filled + count].copy_from_slice(&rest[..count]);
        *filled += count;
        self.given += count;
        if self.given == self.surplus.len() {
            self.surplus.clear();
            self.given = 0;
        }
    }

    fn taken(&mut self) -> Option<Filler> {
        let (buffer, filled, length) = self.demand.take()?;
        if filled == length {
            return Some(buffer);
        }
        self.demand = Some((buffer, filled, length));
        None
    }

    fn ended(&mut self, done: &mut Turn) {
        done.ended = true;
        if self.failed {
            return;
        }
        // All plaintext was taken out before, so nothing to read is close_notify.
        if let Ok(0) = self.connection.reader().read(&mut [0]) {
            return done.closed = true;
        }
        self.failed = true;
        let other = self.side.other();
        let message = if self.connection.is_handshaking() {
            format!("{other} closed the connection during the TLS handshake")
        } else {
            format!("the connection was cut off: it ended without the close_notify that TLS asks of {other}")
        };
        done.fault = Some(Fault::new(FaultKind::Interrupted, message));
    }

    fn flush(&mut self, plain: &[u8], close: bool, done: &mut Turn) -> Vec<u8> {
        let mut outgoing = Vec::with_capacity(Layout::room(plain.len()));
        let mut error = None;
        for record in plain.chunks(RECORD) {
            error = error.or(self.connection.writer().write_all(record).err());
            self.write_out(&mut outgoing, &mut error);
        }
        if close {
            self.connection.send_close_notify();
        }
        self.write_out(&mut outgoing, &mut error);
        if let Some(error) = error {
            self.failed = true;
            done.fault = Some(Fault::new(FaultKind::Other, format!("TLS: {error}")));
        }
        outgoing
    }

    fn write_out(&mut self, outgoing: &mut Vec<u8>, error: &mut Option<std::io::Error>) {
        while error.is_none() && self.connection.wants_write() {
            *error = self.connection.write_tls(outgoing).err();
        }
    }
}

fn made(error: &rustls::Error) -> Status {
    Status::new(Code::InvalidArgument, Operation::None).with_message(format!("TLS: {error}"))
}

#[cfg(test)]
mod tests;

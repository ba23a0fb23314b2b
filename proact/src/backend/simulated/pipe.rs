//! Pipes within one process.

use std::collections::VecDeque;

use super::errno::{EAGAIN, EBADF, EPIPE};
use super::state::{Body, State};

/// Bytes that a pipe holds, as Linux's does.
const CAPACITY: usize = 64 * 1024;

pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    reader: Option<u32>,
    writer: Option<u32>,
}

impl State {
    /// Makes a pipe: the descriptors of its read and its written end.
    pub(super) fn make_pipe(&mut self, port: u32) -> (i32, i32) {
        let pipe = self.next_connection;
        self.next_connection += 1;
        let [reader, writer] = [false, true].map(|written| self.make_object(port, Body::Pipe { pipe, written }));
        self.pipes.insert(pipe, Pipe { bytes: VecDeque::new(), reader: Some(reader), writer: Some(writer) });
        (self.name_object(reader), self.name_object(writer))
    }

    pub(super) fn end_pipe(&mut self, pipe: u32, written: bool) {
        let Some(known) = self.pipes.get_mut(&pipe) else { return };
        *(if written { &mut known.writer } else { &mut known.reader }) = None;
        match known.reader.or(known.writer) {
            Some(other) => self.mark(other),
            None => drop(self.pipes.remove(&pipe)),
        }
    }

    /// Reads at most `length` bytes. None: the end.
    pub(super) fn read_pipe(&mut self, object: u32, length: usize) -> Result<Vec<u8>, i32> {
        let Body::Pipe { pipe, written: false } = *self.body(object)? else { return Err(EBADF) };
        let known = self.pipes.get_mut(&pipe).ok_or(EBADF)?;
        if known.bytes.is_empty() && known.writer.is_some() && length > 0 {
            return Err(EAGAIN);
        }
        let count = length.min(known.bytes.len());
        let taken = known.bytes.drain(..count).collect();
        if let Some(writer) = known.writer {
            self.mark(writer);
        }
        Ok(taken)
    }

    pub(super) fn write_pipe(&mut self, object: u32, bytes: &[u8]) -> Result<usize, i32> {
        let Body::Pipe { pipe, written: true } = *self.body(object)? else { return Err(EBADF) };
        let known = self.pipes.get_mut(&pipe).ok_or(EBADF)?;
        let reader = known.reader.ok_or(EPIPE)?;
        let count = bytes.len().min(CAPACITY - known.bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(EAGAIN);
        }
        known.bytes.extend(&bytes[..count]);
        self.mark(reader);
        Ok(count)
    }
}

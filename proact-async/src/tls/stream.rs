//! One session.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Write};
use std::task::{Context, Poll, Waker, ready};

use rustls::Connection;

use super::invalid;
use crate::adapt::Buffered;

/// The most plaintext of a record, and what a record has beside it, with room to spare.
const RECORD: usize = 16 * 1024;
const OVERHEAD: usize = 64;

/// An encrypted stream over `S`: see [the module](super).
pub struct TlsStream<S> {
    stream: S,
    tls: Connection,
    /// Who wrote or flushed last: whoever waits for room.
    writer: Option<Waker>,
    is_ended: bool,
}

impl<S: Buffered> TlsStream<S> {
    pub(super) async fn open(stream: S, tls: Connection) -> io::Result<TlsStream<S>> {
        let mut this = TlsStream { stream, tls, writer: None, is_ended: false };
        poll_fn(|cx| this.poll_open(cx)).await?;
        Ok(this)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_out(cx)?;
            if !self.tls.is_handshaking() {
                return sent.map(Ok);
            }
            if self.tls.wants_read() {
                if ready!(self.poll_in(cx))? == 0 {
                    let why = "the peer went away before the session was open";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
                }
            } else {
                ready!(sent);
            }
        }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The session: its protocol, its peer's certificates, its keys.
    pub fn session(&self) -> &Connection {
        &self.tls
    }

    /// Which of the protocols that both sides know was chosen (ALPN).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Hands rustls what has come, and answers how many bytes; 0 at the end.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut here = ready!(self.stream.poll_fill(cx))?;
        let count = self.tls.read_tls(&mut here)?;
        self.stream.consume(count);
        if let Err(error) = self.tls.process_new_packets() {
            // What tells the peer, as far as there is room.
            let _ = self.poll_out(cx);
            return Poll::Ready(Err(invalid(error)));
        }
        Poll::Ready(Ok(count))
    }

    /// Hands the stream all records that are to be sent.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Out { stream: &mut self.stream, cx }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_out_for(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.writer.as_ref().is_some_and(|writer| writer.will_wake(cx.waker())) {
            self.writer = Some(cx.waker().clone());
        }
        match self.poll_out(cx) {
            Ok(sent) => sent.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// The stream below, as rustls writes to it.
struct Out<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: Buffered> Write for Out<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.stream.poll_put(self.cx, slices) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As many of `slices` as have at most `room` bytes together; a part of the first if that alone has more.
fn fitting<'a>(slices: &'a [IoSlice<'a>], room: usize, first: &'a mut [IoSlice<'a>; 1]) -> &'a [IoSlice<'a>] {
    let slices = &slices[slices.iter().take_while(|slice| slice.is_empty()).count()..];
    let mut sum = 0usize;
    let whole = slices.iter().take_while(|slice| {
        sum = sum.saturating_add(slice.len());
        sum <= room
    });
    match whole.count() {
        0 => {
            first[0] = IoSlice::new(slices.first().map_or(&[], |slice| &slice[..slice.len().min(room)]));
            first
        }
        count => &slices[..count],
    }
}

impl<S: Buffered> Buffered for TlsStream<S> {
    const ROOM: usize = {
        assert!(S::ROOM >= RECORD + OVERHEAD, "the stream below takes less than a record at once");
        S::ROOM / (RECORD + OVERHEAD) * RECORD
    };

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        loop {
            match self.tls.reader().fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_in(cx))?;
            if self.tls.wants_write() {
                // An answer to what came, such as new keys. If there is no room now, whoever waits for it is told, and
                // what is written or read next goes behind it.
                match self.writer.take() {
                    Some(writer) => {
                        let _ = self.poll_out(&mut Context::from_waker(&writer))?;
                        self.writer = Some(writer);
                    }
                    None => {
                        let _ = self.poll_out(cx)?;
                    }
                }
            }
        }
        Poll::Ready(self.tls.reader().into_first_chunk())
    }

    fn consume(&mut self, count: usize) {
        self.tls.reader().consume(count);
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out_for(cx))?;
        self.stream.poll_room(cx)
    }

    fn poll_put(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.is_ended {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "written after the shutdown")));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        // Nothing is encrypted that the stream would not take at once: so what was accepted is on its way, whether
        // anyone flushes or not.
        ready!(self.poll_room(cx))?;
        let mut first = [IoSlice::new(&[])];
        let count = self.tls.writer().write_vectored(fitting(slices, Self::ROOM, &mut first))?;
        ready!(self.poll_out_for(cx))?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out_for(cx))?;
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_ended, true) {
            self.tls.send_close_notify();
        }
        ready!(self.poll_out_for(cx))?;
        self.stream.poll_shutdown(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

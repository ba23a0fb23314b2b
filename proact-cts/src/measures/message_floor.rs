//! The floors of messages on io_uring: bare rings that post completions to each other (`IORING_OP_MSG_RING`, Linux
//! 5.18), each made and used by its own thread, with the same promises to the kernel as proact's.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use io_uring::squeue::{self, Flags};
use io_uring::{cqueue, opcode, types};

use super::floor::Ring;

/// Entries handed over at once.
const BATCH: u64 = 64;
/// Messages on their way at most: within the other ring's completion queue.
const WINDOW: u64 = 512;

/// A message to the ring `to`; a success completes there alone.
fn message(to: RawFd, message: u64) -> squeue::Entry {
    opcode::MsgRingData::new(types::Fd(to), 0, message, None).build().flags(Flags::SKIP_SUCCESS)
}

/// Looks at a completion: what it says, if it is no failure.
fn said(completed: cqueue::Entry) -> u64 {
    assert!(completed.result() >= 0, "a message failed: {}", completed.result());
    std::hint::black_box(completed.user_data())
}

/// The end of a thread that has a ring.
struct Other {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Other {
    fn start(body: impl FnOnce(Ring, &AtomicBool) + Send + 'static) -> io::Result<(Other, RawFd)> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || match Ring::new() {
            Ok(ring) => {
                tell.send(Ok(ring.fd())).expect("the starter waits");
                body(ring, &stopped);
            }
            Err(error) => tell.send(Err(error)).expect("the starter waits"),
        });
        let fd = told.recv().expect("the thread tells")?;
        Ok((Other { stop, thread: Some(thread) }, fd))
    }
}

/// A stream of messages from this thread's ring to another's, which polls.
pub(crate) struct Stream {
    ring: Ring,
    other: Other,
    to: RawFd,
    count: Arc<AtomicU64>,
    sent: u64,
}

impl Stream {
    pub(crate) fn start() -> io::Result<Stream> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let (other, to) = Other::start(move |mut ring, stop| {
            let mut told = 0;
            while !stop.load(Ordering::Acquire) {
                ring.reap(|completed| {
                    said(completed);
                    told += 1;
                });
                counted.store(told, Ordering::Release);
            }
        })?;
        Ok(Stream { ring: Ring::new()?, other, to, count, sent: 0 })
    }

    /// Sends so many, and waits until all have come.
    pub(crate) fn send(&mut self, messages: u64) {
        let end = self.sent + messages;
        while self.sent < end {
            while self.sent - self.count.load(Ordering::Acquire) > WINDOW - BATCH {
                std::hint::spin_loop();
            }
            let batch = (0..BATCH).map(|number| message(self.to, number));
            // SAFETY: a message points nowhere.
            unsafe { self.ring.round(batch, 0, |completed| _ = said(completed)) };
            self.sent += BATCH;
        }
        while self.count.load(Ordering::Acquire) < end {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.other.stop.store(true, Ordering::Release);
        let _ = self.other.thread.take().map(JoinHandle::join);
    }
}

/// Messages there and back between two rings, which wait for each other.
pub(crate) struct Echo {
    ring: Ring,
    other: Other,
    to: RawFd,
}

/// What ends the other side.
const LAST: u64 = u64::MAX;

impl Echo {
    pub(crate) fn start() -> io::Result<Echo> {
        let ring = Ring::new()?;
        let back = ring.fd();
        let (other, to) = Other::start(move |mut ring, _| {
            let (mut answer, mut last) = (None, None);
            while last != Some(LAST) {
                // SAFETY: a message points nowhere.
                unsafe { ring.round(answer.take(), 1, |completed| last = Some(said(completed))) };
                answer = last.map(|last| message(back, last));
            }
        })?;
        Ok(Echo { ring, other, to })
    }

    pub(crate) fn round(&mut self) {
        // SAFETY: a message points nowhere.
        unsafe { self.ring.round([message(self.to, 1)], 1, |completed| _ = said(completed)) };
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // SAFETY: a message points nowhere.
        unsafe { self.ring.round([message(self.to, LAST)], 0, |completed| _ = said(completed)) };
        let _ = self.other.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_echoes_come_whole() {
        // Rounds assert what comes; without a ring on this machine there is nothing to assert.
        match (Stream::start(), Echo::start()) {
            (Ok(mut stream), Ok(mut echo)) => {
                (0..5).for_each(|_| stream.send(4096));
                (0..100).for_each(|_| echo.round());
            }
            (Err(error), _) | (_, Err(error)) => eprintln!("skipped: no ring here: {error}"),
        }
    }
}

//! The floors of messages on io_uring: bare rings that post completions to each other (`IORING_OP_MSG_RING`, Linux
//! 5.18), each made and used by its own thread, with the same promises to the kernel as proact's.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use io_uring::squeue::Flags;
use io_uring::{EnterFlags, IoUring, opcode, types};

use super::floor::ring;

/// Entries handed over at once.
const BATCH: u64 = 64;
/// Messages on their way at most: within the other ring's completion queue.
const WINDOW: u64 = 512;

/// Puts a message into the queue, for the ring `to`; a success completes there alone.
fn push(ring: &mut IoUring, to: RawFd, message: u64) {
    let entry = opcode::MsgRingData::new(types::Fd(to), 0, message, None).build().flags(Flags::SKIP_SUCCESS);
    // SAFETY: the entry points nowhere.
    unsafe { ring.submission().push(&entry) }.expect("the queue has room");
}

/// Hands over what is in the queue, and waits for so many completions.
fn enter(ring: &mut IoUring, submit: u32, wait: u32) {
    loop {
        // SAFETY: as many entries as are in the queue, and no argument.
        match unsafe { ring.submitter().enter::<()>(submit, wait, EnterFlags::GETEVENTS.bits(), None) } {
            Ok(_) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted && submit == 0 => {}
            Err(error) => panic!("the ring works: {error}"),
        }
    }
}

/// Takes completions off the ring, and answers how many.
fn taken(ring: &mut IoUring) -> u64 {
    let mut count = 0;
    for completed in ring.completion() {
        assert!(completed.result() >= 0, "a message failed: {}", completed.result());
        std::hint::black_box(completed.user_data());
        count += 1;
    }
    count
}

/// The end of a thread that has a ring.
struct Other {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Other {
    fn start(body: impl FnOnce(IoUring, &AtomicBool) + Send + 'static) -> io::Result<(Other, RawFd)> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || match ring() {
            Ok(ring) => {
                tell.send(Ok(ring.as_raw_fd())).expect("the starter waits");
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
    ring: IoUring,
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
                enter(&mut ring, 0, 0);
                told += taken(&mut ring);
                counted.store(told, Ordering::Release);
            }
        })?;
        Ok(Stream { ring: ring()?, other, to, count, sent: 0 })
    }

    /// Sends so many, and waits until all have come.
    pub(crate) fn send(&mut self, messages: u64) {
        let end = self.sent + messages;
        while self.sent < end {
            while self.sent - self.count.load(Ordering::Acquire) > WINDOW - BATCH {
                std::hint::spin_loop();
            }
            (0..BATCH).for_each(|number| push(&mut self.ring, self.to, number));
            enter(&mut self.ring, BATCH as u32, 0);
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
    ring: IoUring,
    other: Other,
    to: RawFd,
}

/// What ends the other side.
const LAST: u64 = u64::MAX;

impl Echo {
    pub(crate) fn start() -> io::Result<Echo> {
        let ring = ring()?;
        let back = ring.as_raw_fd();
        let (other, to) = Other::start(move |mut ring, _| {
            let mut submit = 0;
            loop {
                enter(&mut ring, submit, 1);
                submit = 0;
                let message = ring.completion().next().map(|completed| completed.user_data());
                match message {
                    Some(LAST) => return,
                    Some(message) => {
                        push(&mut ring, back, message);
                        submit = 1;
                    }
                    None => {}
                }
            }
        })?;
        Ok(Echo { ring, other, to })
    }

    pub(crate) fn round(&mut self) {
        push(&mut self.ring, self.to, 1);
        enter(&mut self.ring, 1, 1);
        while taken(&mut self.ring) == 0 {
            enter(&mut self.ring, 0, 1);
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        push(&mut self.ring, self.to, LAST);
        enter(&mut self.ring, 1, 0);
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

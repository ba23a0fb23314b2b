//! What a backend may be asked to wait for, beyond sockets and events.

use super::Descriptor;

/// The bits that [`WaitRequest::Poll`] completes with: `poll`'s own, which are these on every system.
pub mod poll_bits {
    /// Reading would not block.
    pub const READABLE: i32 = 0x1;
    /// Writing would not block.
    pub const WRITABLE: i32 = 0x4;
    /// The descriptor has failed.
    pub const ERROR: i32 = 0x8;
    /// The other end is gone.
    pub const HANG_UP: i32 = 0x10;
}

/// Requests that wait for another process, a device or another thread. Pointers as in [`Request`](super::Request).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each field is named for what it is; units and rules stand at its variant
pub enum WaitRequest {
    /// Wait until reading (or writing) would not block, or the descriptor has failed, without any effect on it.
    /// Completes with [`poll_bits`].
    Poll { descriptor: Descriptor, writable: bool },
    /// Say whenever reading (or writing) would not block, or the descriptor has failed, without any effect on it.
    /// Completes with [`poll_bits`]; the backend may go on, see [`flags::MORE`](super::flags::MORE). `edge`: it need
    /// say nothing of what it has said before and nobody has taken; without it, it goes on saying so.
    PollMany { descriptor: Descriptor, writable: bool, edge: bool },
    /// Wait until the event (eventfd) is set, and reset it, again and again. Completes with 0 or more each time; the
    /// backend may go on, see [`flags::MORE`](super::flags::MORE).
    EventWaitMany { event: Descriptor },
    /// Read from a stream without positions (a pipe, a terminal, a counter of changes). Completes with the count, 0 at
    /// the end.
    ReadStream { stream: Descriptor, buffer: *mut u8, length: usize },
    /// Write to a stream without positions; never raises SIGPIPE. Completes with the count.
    WriteStream { stream: Descriptor, buffer: *const u8, length: usize },
    /// Move bytes from a pipe that has some to a stream (`into_pipe` false), waiting for the stream to take them; or
    /// from a stream to a pipe that has room, waiting for the stream to have them. Completes with the count; 0: the
    /// end.
    Splice { stream: Descriptor, pipe: Descriptor, length: u32, into_pipe: bool },
    /// Wait until someone wakes the word, unless it is not `expected`. Completes with 0 when woken, with 1 when the
    /// word was found to be another. May complete with 0 though no one meant it.
    FutexWait { word: *const u32, expected: u32, shared: bool },
    /// Wake at most `count` who wait for the word, in this process or, if it is `shared`, any. Completes with how many.
    FutexWake { word: *const u32, count: u32, shared: bool },
}

//! Both sets, each with and without nanosecond waits, through the backend contract.

mod files;
mod streams;
mod waits;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::EventfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Readiness, WatchSet};
use crate::backend::{Backend, BackendConfig, Capabilities, Completion, Descriptor, Request, Start, Token, Wait};
use crate::time::Clock;

/// Names tests of the surrounding module, functions over `&mut Rig<impl WatchSet>`, once for every set.
macro_rules! on_every_set {
    ($($name:ident)*) => {
        on_every_set!(@set epoll, super::EpollSet, all, $($name)*);
        on_every_set!(@set epoll_by_milliseconds, super::EpollSet, empty, $($name)*);
        on_every_set!(@set poll, super::PollSet, all, $($name)*);
        on_every_set!(@set poll_by_milliseconds, super::PollSet, empty, $($name)*);
    };
    (@set $set:ident, $type:path, $allowed:ident, $($name:ident)*) => {
        mod $set {
            $(
                #[test]
                fn $name() {
                    let mut rig = $crate::backend::readiness::tests::Rig::<$type>::new(
                        $crate::backend::Capabilities::$allowed(),
                    );
                    super::$name(&mut rig);
                }
            )*
        }
    };
}
pub(super) use on_every_set;

/// A backend under test. What its requests point to lives until their completion, or the rig's requests are parked and
/// no longer polled when it ends.
pub(super) struct Rig<S> {
    pub(super) backend: Readiness<S>,
    pub(super) clock: Clock,
    pub(super) results: HashMap<Token, i32>,
    /// Tokens in the order of their completion.
    pub(super) order: Vec<Token>,
    generation: u64,
    slot: u32,
}

const SLOTS: u32 = 64;

impl<S: WatchSet> Rig<S> {
    pub(super) fn new(allowed: Capabilities) -> Rig<S> {
        let config = BackendConfig { allowed, workers_max: 2, ..BackendConfig::default() };
        let mut backend = Readiness::new(&config).expect("built");
        backend.grow(SLOTS);
        Rig { backend, clock: config.clock, results: HashMap::new(), order: Vec::new(), generation: 0, slot: 0 }
    }

    /// Starts a request in the next slot.
    pub(super) fn start(&mut self, request: Request) -> Token {
        self.slot = (self.slot + 1) % SLOTS;
        self.start_in(self.slot, request)
    }

    pub(super) fn start_in(&mut self, slot: u32, request: Request) -> Token {
        self.generation += 1;
        let token = Token::new(self.generation, slot);
        // SAFETY: as said at the type.
        let start = unsafe { self.backend.start(token, &request) };
        assert_eq!(start, Start::Accepted);
        token
    }

    /// One poll; says how many completions it brought.
    pub(super) fn poll(&mut self, wait: Wait) -> usize {
        let mut completions: Vec<Completion> = Vec::new();
        self.backend.poll(wait, &mut completions).expect("the backend works");
        for completion in &completions {
            let earlier = self.results.insert(completion.token, completion.result);
            assert_eq!(earlier, None, "{:?} completed twice", completion.token);
            self.order.push(completion.token);
        }
        completions.len()
    }

    /// Polls until `token` has completed.
    pub(super) fn finish(&mut self, token: Token) -> i32 {
        let deadline = self.clock.now() + Duration::from_secs(20);
        loop {
            if let Some(result) = self.results.get(&token) {
                return *result;
            }
            assert!(self.clock.now() < deadline, "{token:?} did not complete within 20 s");
            self.poll(Wait::Until(deadline));
        }
    }

    /// Starts a request and polls until it has completed.
    pub(super) fn perform(&mut self, request: Request) -> i32 {
        let token = self.start(request);
        self.finish(token)
    }

    /// Everything that is ready now has been tried, and `token` still waits.
    pub(super) fn assert_waits(&mut self, token: Token) {
        for _ in 0..3 {
            self.poll(Wait::No);
        }
        assert_eq!(self.results.get(&token), None);
    }
}

/// Ends the process, saying what it waited for, unless it is dropped within 20 seconds: for waits without a deadline.
pub(super) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    pub(super) fn over(what: &'static str) -> Watchdog {
        let (alive, dropped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if dropped.recv_timeout(Duration::from_secs(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("waited in vain until {what}");
                std::process::abort();
            }
        });
        Watchdog { _alive: alive }
    }
}

pub(super) fn descriptor(source: &impl AsFd) -> Descriptor {
    Descriptor(source.as_fd().as_raw_fd().into())
}

/// Two connected stream sockets that do not block.
pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
}

pub(super) fn event() -> OwnedFd {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

pub(super) fn write(to: &impl AsFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(to, bytes), Ok(bytes.len()));
}

pub(super) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> Request {
    Request::Receive { socket: descriptor(socket), buffer: buffer.as_mut_ptr(), length: buffer.len(), exact: false }
}

pub(super) fn receive_exact(socket: &impl AsFd, buffer: &mut [u8]) -> Request {
    Request::Receive { socket: descriptor(socket), buffer: buffer.as_mut_ptr(), length: buffer.len(), exact: true }
}

pub(super) fn send(socket: &impl AsFd, bytes: &[u8], exact: bool) -> Request {
    Request::Send {
        socket: descriptor(socket),
        buffer: bytes.as_ptr(),
        length: bytes.len(),
        exact,
        more: false,
        zero_copy: false,
    }
}

/// Sends until the socket takes no more.
pub(super) fn fill(socket: &impl AsFd) -> usize {
    let mut total = 0;
    while let Ok(count) = rustix::io::write(socket, &[7; 4096]) {
        total += count;
    }
    total
}

/// Receives until the socket has no more.
pub(super) fn drain(socket: &impl AsFd) -> usize {
    let (mut total, mut buffer) = (0, [0; 4096]);
    while let Ok(count @ 1..) = rustix::io::read(socket, &mut buffer) {
        total += count;
    }
    total
}

//! Servers: each peer's most natural one, in one thread, with a buffer of 512 bytes a connection.

mod compio;
mod epoll;
mod glommio;
pub mod http;
mod monoio;
mod proact;
mod proact_async;
mod ring;
mod tokio;
pub mod udp;

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::FromRawFd;

use crate::{Failure, pin};

/// Bytes of a connection's buffer, where messages are exchanged.
pub const BUFFER: usize = 512;
/// And where a stream comes in.
const STREAM_BUFFER: usize = 256 * 1024;

/// What is sent back for what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The same bytes.
    Echo,
    /// [`HELLO`], for each receive that ends with the end of a request. No request is parsed: the same canned answer
    /// for everyone, so that what is compared are runtimes and not parsers.
    Hello,
    /// Nothing: what comes is thrown away.
    Sink,
}

/// The canned answer.
pub const HELLO: &[u8] = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n",
    "Hello, world\n"
)
.as_bytes();

impl Answer {
    /// What follows from `received` bytes of a connection's buffer: its first bytes are to be sent back.
    #[inline]
    pub fn fill(self, buffer: &mut [u8], received: usize) -> usize {
        match self {
            Answer::Echo => received,
            Answer::Hello if buffer[..received].ends_with(b"\r\n\r\n") => {
                buffer[..HELLO.len()].copy_from_slice(HELLO);
                HELLO.len()
            }
            Answer::Hello | Answer::Sink => 0,
        }
    }

    /// Bytes of a connection's buffer.
    pub fn buffer(self) -> usize {
        if self == Answer::Sink { STREAM_BUFFER } else { BUFFER }
    }
}

/// A server's loop: until the process is ended.
type Serve = fn(TcpListener, Answer) -> Result<(), Failure>;

/// Every peer, in the order of the tables.
pub const PEERS: &[(&str, Serve)] = &[
    ("epoll", epoll::serve),
    ("ring", |listener, answer| ring::serve(listener, answer, ring::How { defer: true, poll_first: false })),
    ("ring-poll-first", |listener, answer| ring::serve(listener, answer, ring::How { defer: true, poll_first: true })),
    ("ring-coop", |listener, answer| ring::serve(listener, answer, ring::How { defer: false, poll_first: false })),
    ("proact", |listener, answer| proact::serve(listener, answer, "io_uring")),
    ("proact-epoll", |listener, answer| proact::serve(listener, answer, "epoll")),
    ("proact-pooled", proact::serve_pooled),
    ("proact-async", |listener, answer| proact_async::serve(listener, answer, "io_uring")),
    ("proact-async-epoll", |listener, answer| proact_async::serve(listener, answer, "epoll")),
    ("tokio", tokio::serve),
    ("compio", compio::serve),
    ("monoio", monoio::serve),
    ("glommio", glommio::serve),
];

/// Who serves `answer`.
pub fn peers(answer: &str) -> Vec<&'static str> {
    match answer {
        "udp" => udp::PEERS.iter().map(|(name, _)| *name).collect(),
        "http" => http::PEERS.iter().map(|(name, _)| *name).collect(),
        _ => PEERS.iter().map(|(name, _)| *name).collect(),
    }
}

/// Serves as `peer`, telling the port on standard output.
pub fn serve(peer: &str, answer: &str) -> Result<(), Failure> {
    pin::pin(pin::server())?;
    if answer == "udp" {
        let (_, serve) = udp::PEERS.iter().find(|(name, _)| *name == peer).ok_or("no such peer")?;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        tell(socket.local_addr()?.port())?;
        return serve(socket);
    }
    let list = if answer == "http" { http::PEERS } else { PEERS };
    let (_, serve) = list.iter().find(|(name, _)| *name == peer).ok_or_else(|| format!("no peer {peer:?}"))?;
    let answer = match answer {
        "echo" => Answer::Echo,
        "hello" | "http" => Answer::Hello,
        "sink" => Answer::Sink,
        _ => return Err(format!("no answer {answer:?}").into()),
    };
    let listener = listen()?;
    tell(listener.local_addr()?.port())?;
    serve(listener, answer)
}

fn tell(port: u16) -> io::Result<()> {
    println!("{port}");
    io::stdout().flush()
}

/// A listener on the loopback interface with room for many that connect at once.
fn listen() -> io::Result<TcpListener> {
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let listener = unsafe { TcpListener::from_raw_fd(fd) };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads an address of the size told.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) };
    // SAFETY: no pointer is passed.
    if bound != 0 || unsafe { libc::listen(fd, 1024) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(listener)
}

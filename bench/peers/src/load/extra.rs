//! Load of other shapes: connections that come and go, a stream without end, datagrams, and an answer whose length the
//! server decides.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::{Exchange, Generator};

/// Connections that are made before they are closed again.
const CONNECTIONS: usize = 64;
/// Bytes of a write of the stream.
const CHUNK: usize = 256 * 1024;

/// Connects and closes for `time`: 64 at a time, the last of which exchanges once, so that all before it have been
/// accepted. Tells how many and how long it took.
pub fn connect_and_close(address: SocketAddr, time: Duration) -> io::Result<(u64, Duration)> {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut streams = (0..CONNECTIONS).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
        let last = streams.last_mut().expect("there are 64");
        last.set_read_timeout(Some(Duration::from_secs(5)))?;
        last.write_all(&[b'x'; 64])?;
        last.read_exact(&mut [0; 64])?;
        // Reset, so that no address is kept from being used again.
        streams.iter().try_for_each(reset)?;
        count += CONNECTIONS as u64;
    }
    Ok((count, start.elapsed()))
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (at, length) = ((&raw const linger).cast(), size_of_val(&linger) as libc::socklen_t);
    // SAFETY: the kernel reads a structure of the size told.
    match unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One connection that is written to without end.
pub struct Stream(TcpStream);

impl Stream {
    pub fn connect(address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(Stream(stream))
    }

    /// Writes for `time`: how many bytes, and how long it took.
    pub fn run(&mut self, time: Duration) -> io::Result<(u64, Duration)> {
        let (start, mut bytes, chunk) = (Instant::now(), 0, vec![b'x'; CHUNK]);
        while start.elapsed() < time {
            self.0.write_all(&chunk)?;
            bytes += CHUNK as u64;
        }
        Ok((bytes, start.elapsed()))
    }
}

impl Generator {
    /// Datagrams, each from a socket of its own: the same loop, since a connected socket is read and written as a
    /// stream is.
    pub fn datagrams(address: SocketAddr, count: usize, exchange: Exchange) -> io::Result<Generator> {
        Generator::of(count, exchange, || {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(address)?;
            Ok(TcpStream::from(OwnedFd::from(socket)))
        })
    }
}

/// How long the answer to `request` is, which ends with `end`.
pub fn answer_length(address: SocketAddr, request: &[u8], end: &[u8]) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(answer.len())
}

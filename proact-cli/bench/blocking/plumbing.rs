//! The blocking calls that job and stages share.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use proact_cli::wire::{Frame, HEADER_SIZE, decode_header};

/// Two ends of a new loopback connection, without Nagle's delay.
pub fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    receiver.set_nodelay(true)?;
    Ok((sender, receiver))
}

/// Fills `buffer` from the stream, in as few calls as the system allows.
#[cfg(unix)]
pub fn receive_exact(stream: &TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
    use rustix::net::{RecvFlags, recv};
    while !buffer.is_empty() {
        match recv(stream, &mut *buffer, RecvFlags::WAITALL) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => buffer = &mut buffer[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Fills `buffer` from the stream.
#[cfg(not(unix))]
pub fn receive_exact(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.read_exact(buffer)
}

/// Sends any frame but a chunk.
pub fn send_frame(mut stream: &TcpStream, frame: &Frame) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    stream.write_all(&bytes)
}

/// Receives any frame but a chunk.
pub fn receive_frame(stream: &TcpStream) -> io::Result<Frame> {
    let mut head = [0; HEADER_SIZE];
    receive_exact(stream, &mut head)?;
    let header = decode_header(&head).map_err(invalid)?;
    let mut payload = vec![0; header.length as usize];
    receive_exact(stream, &mut payload)?;
    Frame::decode(&header, &payload).map_err(invalid)
}

/// An error about data that breaks the protocol.
pub fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads `buffer` full from the source; one that has become shorter is an error.
pub fn read_exact(source: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    source.read_exact(buffer)
}

/// A file that gets its final name only when it is whole.
pub struct Target {
    file: File,
    partial: PathBuf,
    path: PathBuf,
}

impl Target {
    /// Makes an allocated file of `size` bytes that is to become `path`.
    pub fn create(path: PathBuf, size: u64) -> io::Result<Target> {
        let partial = path.with_extension("proact-blocking.part");
        let file = File::create(&partial)?;
        allocate(&file, size)?;
        Ok(Target { file, partial, path })
    }

    /// Appends a chunk.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)
    }

    /// Makes the content durable and visible.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn allocate(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    if size == 0 {
        return Ok(()); // the system refuses to allocate nothing
    }
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        // Not every file system can: it is then extended, as proact does.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size),
        result => Ok(result?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn allocate(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

/// The size of a file.
pub fn size_of(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.len())
}

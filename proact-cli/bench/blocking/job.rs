//! The whole job: the calling thread sends, another one receives.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;

use proact_cli::path::RelativeName;
use proact_cli::wire::session::chunks;
use proact_cli::wire::{
    ChunkHeader, Entry, EntryKind, FileDigest, FileEnd, Frame, HEADER_SIZE, decode_header, digest, encode_chunk_header,
};

use crate::Options;
use crate::plumbing::{Target, connection, invalid, read_exact, receive_exact, receive_frame, send_frame, size_of};

/// Moves the source into the destination and returns its size.
pub fn run(options: &Options) -> io::Result<u64> {
    let (sender, receiver) = connection()?;
    let (into, chunk_size) = (options.into.clone(), options.chunk_size);
    let receiving =
        thread::Builder::new().name("receiver".into()).spawn(move || receive(&receiver, &into, chunk_size))?;
    let sent = send(&sender, &options.source, chunk_size);
    // A sender that failed must not leave the other thread waiting.
    drop(sender);
    let received = receiving.join().unwrap_or_else(|_| Err(io::Error::other("the receiver panicked")));
    // The receiver's own error is the cause where both failed.
    received.and(sent)
}

fn send(mut stream: &TcpStream, path: &Path, chunk_size: u32) -> io::Result<u64> {
    let size = size_of(path)?;
    let mut source = File::open(path)?;
    let name = path.file_name().ok_or_else(|| invalid("the source has no name"))?;
    let name = RelativeName::from_local(Path::new(name)).map_err(invalid)?;
    let entry = Entry { kind: EntryKind::File, mode: 0o644, modified_seconds: 0, modified_nanoseconds: 0, size, name };
    send_frame(stream, &Frame::File { file: 0, entry })?;
    let mut buffer = vec![0; HEADER_SIZE + chunk_size as usize];
    let mut whole = FileDigest::new();
    for (offset, length) in chunks(size, chunk_size) {
        let frame = &mut buffer[..HEADER_SIZE + length as usize];
        let (head, payload) = frame.split_first_chunk_mut().expect("the buffer has room for a header");
        read_exact(&mut source, payload)?;
        let digest = digest(payload);
        whole.push(&digest);
        encode_chunk_header(head, &ChunkHeader { file: 0, offset, length, digest });
        stream.write_all(frame)?;
    }
    let end = FileEnd { chunks: whole.chunks(), digest: whole.finish() };
    send_frame(stream, &Frame::FileEnd { file: 0, end })?;
    match receive_frame(stream)? {
        Frame::FileDone { fault: None, .. } => Ok(size),
        other => Err(invalid(format!("the receiver answered {other:?}"))),
    }
}

fn receive(stream: &TcpStream, into: &Path, chunk_size: u32) -> io::Result<()> {
    let Frame::File { entry, .. } = receive_frame(stream)? else {
        return Err(invalid("the sender did not announce a file"));
    };
    let path: PathBuf = entry.name.under(into);
    let mut target = Target::create(path, entry.size)?;
    let mut head = [0; HEADER_SIZE];
    let mut buffer = vec![0; chunk_size as usize];
    let mut whole = FileDigest::new();
    for (offset, length) in chunks(entry.size, chunk_size) {
        receive_exact(stream, &mut head)?;
        let header = decode_header(&head).map_err(invalid)?;
        if (header.offset, header.length) != (offset, length) {
            return Err(invalid(format!("chunk at {offset}: another one came")));
        }
        let payload = &mut buffer[..length as usize];
        receive_exact(stream, payload)?;
        if digest(payload) != header.digest {
            return Err(invalid(format!("chunk at {offset}: digest mismatch")));
        }
        whole.push(&header.digest);
        target.write(payload)?;
    }
    match receive_frame(stream)? {
        Frame::FileEnd { end, .. } if end.digest == whole.finish() => {}
        _ => return Err(invalid("the file did not end as it should")),
    }
    target.finish()?;
    send_frame(stream, &Frame::FileDone { file: 0, fault: None })
}

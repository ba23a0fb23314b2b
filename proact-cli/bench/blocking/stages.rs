//! Each part of the job alone, over as many bytes as the source has and in chunks of the same size.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::thread;

use proact_cli::wire::session::chunks;

use crate::Options;
use crate::plumbing::{Target, connection, read_exact, receive_exact, size_of};

/// Reads the source into one buffer.
pub fn read(options: &Options) -> io::Result<u64> {
    let size = size_of(&options.source)?;
    let mut source = File::open(&options.source)?;
    let mut buffer = vec![0; options.chunk_size as usize];
    for (_, length) in chunks(size, options.chunk_size) {
        read_exact(&mut source, black_box(&mut buffer[..length as usize]))?;
    }
    Ok(size)
}

/// Digests one buffer again and again: once for each chunk, which is half of what the job does.
pub fn digest(options: &Options) -> io::Result<u64> {
    let size = size_of(&options.source)?;
    let buffer = filled(options.chunk_size);
    for (_, length) in chunks(size, options.chunk_size) {
        black_box(proact_cli::wire::digest(black_box(&buffer[..length as usize])));
    }
    Ok(size)
}

/// Sends from one thread to another.
pub fn loopback(options: &Options) -> io::Result<u64> {
    let size = size_of(&options.source)?;
    let chunk_size = options.chunk_size;
    let (mut sender, receiver) = connection()?;
    let receiving = thread::Builder::new().name("receiver".into()).spawn(move || -> io::Result<()> {
        let mut buffer = vec![0; chunk_size as usize];
        for (_, length) in chunks(size, chunk_size) {
            receive_exact(&receiver, &mut buffer[..length as usize])?;
        }
        Ok(())
    })?;
    let buffer = filled(chunk_size);
    let sent = chunks(size, chunk_size).try_for_each(|(_, length)| sender.write_all(&buffer[..length as usize]));
    drop(sender);
    receiving.join().unwrap_or_else(|_| Err(io::Error::other("the receiver panicked")))?;
    sent.map(|()| size)
}

/// Writes one buffer again and again into an allocated file, which is synced, renamed, and then removed.
pub fn write(options: &Options) -> io::Result<u64> {
    let size = size_of(&options.source)?;
    let path = options.into.join("proact-blocking-stage");
    let mut target = Target::create(path.clone(), size)?;
    let buffer = filled(options.chunk_size);
    for (_, length) in chunks(size, options.chunk_size) {
        target.write(&buffer[..length as usize])?;
    }
    target.finish()?;
    std::fs::remove_file(path)?;
    Ok(size)
}

/// A buffer whose pages are all there: untouched zero pages are one page to the memory system, and too fast.
fn filled(size: u32) -> Vec<u8> {
    (0..size).map(|index| (index.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

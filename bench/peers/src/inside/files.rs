//! Files: 4 KiB at random places, from the page cache and past it, and 1 MiB written into it.
//!
//! All read the same file. Runtimes have so many tasks, each with one read under way; the bare ring has so many
//! operations.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use io_uring::{opcode, types};

use super::Figures;
use super::timers::Random;
use super::together::told;
use crate::{Failure, bare, pin};

pub const BLOCK: usize = 4096;
pub const MIB: usize = 1 << 20;
/// Blocks of the file.
const BLOCKS: usize = 16 * 1024;
pub const BUFFERED_READS: u32 = 128 * 200;
pub const DIRECT_READS: u32 = 128 * 40;
/// Writes of a MiB, one after the other.
pub const WRITES: u32 = 128;

/// Where the next block is read: each value goes a way of its own, or all tasks would read the same block at once.
pub struct Places(Random);

impl Places {
    pub fn new() -> Places {
        static SEED: AtomicU64 = AtomicU64::new(1);
        Places(Random(SEED.fetch_add(1, Ordering::Relaxed) << 32))
    }

    pub fn next(&mut self) -> u64 {
        (self.0.below(BLOCKS) * BLOCK) as u64
    }
}

/// The file, beside this program: it is made once, and its blocks are written, so that no hole is read.
pub fn path() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("peers.blocks");
    let whole = (BLOCKS * BLOCK) as u64;
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == whole) {
        return Ok(path);
    }
    let mut file = File::create(&path)?;
    for block in 0..BLOCKS {
        file.write_all(&[block as u8; BLOCK])?;
    }
    file.sync_all()?;
    Ok(path)
}

/// The file, open, and all of it in the page cache unless that is passed by.
pub fn open(direct: bool) -> Result<File, Failure> {
    let path = path()?;
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = File::options().read(true).write(true).custom_flags(flags).open(&path);
    let file = file.map_err(|error| match direct && error.raw_os_error() == Some(libc::EINVAL) {
        true => "the file system of this program has no direct reads (O_DIRECT)".into(),
        false => Failure::from(error),
    })?;
    if !direct {
        std::io::copy(&mut File::open(&path)?, &mut std::io::sink())?;
    }
    Ok(file)
}

/// Where in a buffer of two blocks one begins that direct reads may go to.
pub fn aligned(buffer: &[u8]) -> std::ops::Range<usize> {
    let start = buffer.as_ptr().align_offset(BLOCK);
    start..start + BLOCK
}

/// Times `work`, after as much of it as a warm-up. Figures are of one of `operations`.
fn twice(operations: u32, mut work: impl FnMut() -> Result<(), Failure>) -> Result<Figures, Failure> {
    work()?;
    let (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
    work()?;
    Ok(told(pin::processor_time(std::process::id())? - before, start, operations.into()))
}

/// One call after the other.
pub fn pread() -> Result<Figures, Failure> {
    let (file, mut places, mut buffer) = (open(false)?, Places::new(), vec![0; BLOCK]);
    twice(BUFFERED_READS, || {
        for _ in 0..BUFFERED_READS {
            file.read_exact_at(&mut buffer, places.next())?;
        }
        Ok(())
    })
}

pub fn ring(depth: u32, direct: bool) -> Result<Figures, Failure> {
    let reads = if direct { DIRECT_READS } else { BUFFERED_READS };
    let (file, mut places) = (open(direct)?, Places::new());
    let mut ring = bare::ring(256)?;
    let mut memory = vec![0u8; BLOCK * (depth as usize + 1)];
    let first = aligned(&memory).start;
    let start = memory[first..].as_mut_ptr();
    let entry = |index: u64, offset| {
        // SAFETY: there are as many blocks behind the first as reads under way.
        let block = unsafe { start.add(index as usize * BLOCK) };
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), block, BLOCK as u32);
        read.offset(offset).build().user_data(index)
    };
    twice(reads, || {
        let (mut started, mut ended) = (0, 0);
        let mut ready: Vec<u64> = (0..depth.into()).collect();
        while ended < reads {
            while let Some(index) = ready.pop_if(|_| started < reads) {
                // SAFETY: the memory outlives the ring's reads, which all end before this returns.
                unsafe { ring.push(&entry(index, places.next())) }?;
                started += 1;
            }
            ring.enter(1)?;
            for completion in ring.ended() {
                if completion.result() != BLOCK as i32 {
                    return Err(format!("a read answered {}", completion.result()).into());
                }
                ready.push(completion.user_data());
                ended += 1;
            }
        }
        Ok(())
    })
}

/// One `pwrite` after the other.
pub fn pwrite() -> Result<Figures, Failure> {
    let (file, buffer) = (open(false)?, vec![1; MIB]);
    twice(WRITES, || {
        for index in 0..WRITES {
            file.write_all_at(&buffer, place(index))?;
        }
        Ok(())
    })
}

pub fn ring_write() -> Result<Figures, Failure> {
    let (file, buffer) = (open(false)?, vec![1u8; MIB]);
    let mut ring = bare::ring(8)?;
    twice(WRITES, || {
        for index in 0..WRITES {
            let write = opcode::Write::new(types::Fd(file.as_raw_fd()), buffer.as_ptr(), MIB as u32);
            // SAFETY: the buffer outlives the write, which ends below.
            unsafe { ring.push(&write.offset(place(index)).build()) }?;
            ring.enter(1)?;
            let result = ring.ended().next().map(|completion| completion.result());
            if result != Some(MIB as i32) {
                return Err(format!("a write answered {result:?}").into());
            }
        }
        Ok(())
    })
}

/// Where the writes go: over what is there, since a file that grows measures the file system.
pub fn place(index: u32) -> u64 {
    (index as usize % (BLOCKS * BLOCK / MIB) * MIB) as u64
}

/// For runtimes whose tasks go to threads for files.
pub fn shared(direct: bool) -> Result<Arc<File>, Failure> {
    Ok(Arc::new(open(direct)?))
}

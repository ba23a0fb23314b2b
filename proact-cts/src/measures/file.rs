//! What it costs to read files: at random and in order, through the page cache and around it, with registered memory.
//!
//! The floor is a bare ring with as many reads, or as many `pread` calls one after another. Figures are of one read.

use std::fs::File as SystemFile;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use io_uring::{opcode, types};
use proact::memory::{Allocation, BufferPool, Lease, Slab};
use proact::operation::{Read, Register, Unregister};
use proact::proactor::Proactor;

use super::compare::compare;
use super::effort;
use super::failure::Failure;
use super::figures::Figures;
use super::floor::Ring;
use super::measure::Measure;
use super::together::{Stage, Together};
use crate::config::Configuration;
use crate::random::Random;
use crate::system::Folder;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("file/random-4k/1", |config| reads(config, &RANDOM, 1)),
    Measure::each("file/random-4k/32", |config| reads(config, &RANDOM, 32)),
    Measure::each("file/random-4k/128", |config| reads(config, &RANDOM, 128)),
    Measure::each("file/direct-4k/1", |config| reads(config, &DIRECT, 1)),
    Measure::each("file/direct-4k/32", |config| reads(config, &DIRECT, 32)),
    Measure::each("file/direct-4k/128", |config| reads(config, &DIRECT, 128)),
    Measure::each("file/sequential-128k/4", |config| reads(config, &SEQUENTIAL, 4)),
    Measure::ring("registered/file/4k", |config| registered(config, 4 << 10)),
    Measure::ring("registered/file/64k", |config| registered(config, 64 << 10)),
    Measure::ring("registered/file/1m", |config| registered(config, 1 << 20)),
    Measure::each("register/1m", |config| register(config, 1 << 20)),
    Measure::each("register/64m", |config| register(config, effort::size(64 << 20, 256 << 10))),
];

/// Bytes of the file.
const SIZE: usize = 64 << 20;

/// How a file is read.
struct Pattern {
    length: usize,
    direct: bool,
    random: bool,
}

const RANDOM: Pattern = Pattern { length: 4 << 10, direct: false, random: true };
const DIRECT: Pattern = Pattern { length: 4 << 10, direct: true, random: true };
const SEQUENTIAL: Pattern = Pattern { length: 128 << 10, direct: false, random: false };

/// A file without a name any more, written just now and known to be on the disk.
fn scratch(direct: bool) -> Result<SystemFile, Failure> {
    let folder = Folder::new()?;
    let path = folder.path().join("scratch");
    let mut file = SystemFile::create(&path)?;
    let block: Vec<u8> = (0..1 << 20).map(|index: u32| index as u8).collect();
    for _ in 0..effort::size(SIZE, 4 << 20) / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let mut options = SystemFile::options();
    options.read(true);
    if direct {
        options.custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32);
    }
    options.open(&path).map_err(|error| match direct && error.raw_os_error() == Some(libc::EINVAL) {
        true => no_direct_reads(folder.path()),
        false => error.into(),
    })
}

/// Older kernels' tmpfs, and some file systems of containers, have nothing to read past.
fn no_direct_reads(folder: &std::path::Path) -> Failure {
    let folder = folder.parent().unwrap_or(folder).display();
    Failure::lacking(format!("the file system of {folder} has no direct reads (O_DIRECT); TMPDIR names another"))
}

/// Where the next reads begin.
struct Offsets {
    random: Option<Random>,
    next: u64,
    length: u64,
    count: u64,
}

impl Offsets {
    fn new(pattern: &Pattern, file: &SystemFile) -> io::Result<Offsets> {
        let length = pattern.length as u64;
        let count = file.metadata()?.len() / length;
        Ok(Offsets { random: pattern.random.then(|| Random::new(1)), next: 0, length, count })
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.next = match &mut self.random {
            Some(random) => random.below(self.count as usize) as u64,
            None => (self.next + 1) % self.count,
        };
        self.next * self.length
    }
}

/// Reads that are made together.
struct Reads {
    ops: Together<Read<Lease>>,
    offsets: Offsets,
}

impl Reads {
    fn new(proactor: &Proactor, pattern: &Pattern, depth: u32, pool: &BufferPool) -> Result<Reads, Failure> {
        let file = scratch(pattern.direct)?;
        let offsets = Offsets::new(pattern, &file)?;
        let file = proactor.handle().import_file(OwnedFd::from(file)).map_err(|returned| returned.status)?;
        let read = |_| Ok(Read::exact(file.clone(), 0, pool.acquire()?));
        let kinds = (0..depth).map(read).collect::<Result<Vec<_>, proact::status::Status>>()?;
        Ok(Reads { ops: Together::new(kinds), offsets })
    }

    fn round(stage: &mut Stage<Reads>) {
        let Stage { proactor, of: Reads { ops, offsets } } = stage;
        ops.ready.iter_mut().for_each(|op| op.kind.offset = offsets.next());
        ops.round(proactor);
    }
}

fn pool(length: usize, count: u32) -> Result<BufferPool, Failure> {
    Ok(BufferPool::new(Slab::allocate(length, count, &Allocation::new())?)?)
}

fn reads(config: Configuration, pattern: &'static Pattern, depth: u32) -> Result<Figures, Failure> {
    let proactor = config.builder().build()?;
    let pool = pool(pattern.length, 2 * depth)?;
    let of = Reads::new(&proactor, pattern, depth, &pool)?;
    let mut stage = Stage { proactor, of };
    let mut raw = RawReads::new(config, pattern, depth, &pool)?;
    let timing = compare(|| Reads::round(&mut stage), Some(|| raw.round()));
    Ok(stage.figures(timing, depth.into(), "", Reads::round))
}

/// The floor: reads into buffers of the same pool, by nothing but the kernel's interface.
struct RawReads {
    file: SystemFile,
    ring: Option<Ring>,
    buffers: Vec<Lease>,
    offsets: Offsets,
}

impl RawReads {
    fn new(config: Configuration, pattern: &Pattern, depth: u32, pool: &BufferPool) -> Result<RawReads, Failure> {
        let file = scratch(pattern.direct)?;
        let ring = if config.is_ring() { Some(Ring::new()?) } else { None };
        let buffers = (0..depth).map(|_| pool.acquire()).collect::<Result<Vec<_>, _>>()?;
        Ok(RawReads { offsets: Offsets::new(pattern, &file)?, file, ring, buffers })
    }

    fn round(&mut self) {
        let RawReads { file, ring, buffers, offsets } = self;
        let Some(ring) = ring else {
            for buffer in buffers {
                let whole = buffer.len();
                let read = rustix::io::pread(&*file, &mut buffer[..], offsets.next());
                assert_eq!(read, Ok(whole));
            }
            return;
        };
        let (depth, whole, fd) = (buffers.len() as u32, buffers[0].len() as i32, types::Fd(file.as_raw_fd()));
        let reads = buffers.iter_mut().map(|buffer| {
            opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).offset(offsets.next()).build()
        });
        // SAFETY: the buffers live as long as the ring, and the reads are over before the round ends.
        unsafe { ring.round(reads, depth, |completed| assert_eq!(completed.result(), whole, "every read is whole")) };
    }
}

/// Reads of what the system has in memory, into registered memory; the floor is the same into memory that is not.
fn registered(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let pattern = Pattern { length, direct: false, random: true };
    let depth = 4;
    let made = |known: bool| {
        let mut proactor = config.builder().build()?;
        let pool = pool(length, depth)?;
        if known {
            super::pooled::pin(&mut proactor, &pool)?;
        }
        let of = Reads::new(&proactor, &pattern, depth, &pool)?;
        Ok::<_, Failure>(Stage { proactor, of })
    };
    let (mut stage, mut plain) = (made(true)?, made(false)?);
    let timing = compare(|| Reads::round(&mut stage), Some(|| Reads::round(&mut plain)));
    Ok(stage.figures(timing, depth.into(), "", Reads::round))
}

/// What registering costs, once, with its end: memory that is pinned, and let go. The floor is the bare call.
fn register(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let slab = Slab::allocate(length, 1, &Allocation::new())?;
    let region = slab.region().clone();
    let of = (Together::new([Register::new(region.clone())]), Together::new([Unregister::new(region.clone())]));
    let mut stage = Stage { proactor: config.builder().build()?, of };
    let round = |stage: &mut Stage<(Together<Register>, Together<Unregister>)>| {
        stage.of.0.round(&mut stage.proactor);
        stage.of.1.round(&mut stage.proactor);
    };
    if !config.is_ring() {
        let timing = compare(|| round(&mut stage), None::<fn()>);
        return Ok(stage.figures(timing, 1.0, "this backend pins nothing, so nothing lies below it", round));
    }
    let ring = Ring::new()?;
    let vector = libc::iovec { iov_base: region.as_ptr().cast(), iov_len: length };
    // SAFETY: the memory lives as long as `region`, longer than it is registered.
    unsafe { ring.submitter().register_buffers(&[vector]) }.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOMEM) => Failure::lacking(super::pooled::LOCK_LIMIT),
        _ => error.into(),
    })?;
    ring.submitter().unregister_buffers()?;
    let floor = || {
        // SAFETY: as above.
        unsafe { ring.submitter().register_buffers(&[vector]) }.expect("it may be locked");
        ring.submitter().unregister_buffers().expect("it was registered");
    };
    let timing = compare(|| round(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", round))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_direct_reads_is_named_and_the_measure_left_out() {
        let failure = no_direct_reads(std::path::Path::new("/tmp/proact-cts-1-2"));
        assert!(failure.is_lacking());
        assert!(failure.to_string().starts_with("the file system of /tmp has no direct reads"), "{failure}");
    }

    #[test]
    fn every_read_of_the_floor_is_whole_with_and_without_a_ring() {
        for config in crate::measures::tests::settings() {
            effort::Effort::Quick.scope(|| {
                let pool = pool(RANDOM.length, 4).unwrap();
                match RawReads::new(config, &RANDOM, 4, &pool) {
                    // A round asserts it.
                    Ok(mut reads) => (0..3).for_each(|_| reads.round()),
                    Err(failure) => eprintln!("skipped: {}: {failure}", config.name),
                }
            });
        }
    }
}

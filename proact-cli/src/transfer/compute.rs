//! The compute queue: where chunks are digested.
//!
//! A device would take jobs through its own queue and signal the semaphore itself. Here a worker thread plays the
//! device's part ([`StandInDevice`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use proact::status::{Code, Operation, Result, Status};
use proact::sync::Semaphore;
use proact::work_queue::WorkQueue;

use super::slab::{Filler, Sealed};
use super::tls::{Channel, Layout, Task};
use super::trace::Ticket;
use crate::wire::{self, ChunkHeader, Digest, FileDigest, FileEnd, Frame, HEADER_SIZE};

/// The digests of a file's chunks so far; jobs of one file share it.
pub type RunningDigest = Arc<Mutex<FileDigest>>;

/// What a job is to do with its buffer.
pub enum Work {
    /// Digest the payload behind the header's room, and write the chunk's header there.
    SealChunk {
        /// The chunk's file.
        file: u32,
        /// Where in the file it lies.
        offset: u64,
        /// Bytes of payload.
        length: u32,
        /// The file's digest, which the chunk is added to.
        running: RunningDigest,
    },
    /// Write the FILE_END frame of a file whose chunks all went through this queue before.
    SealEnd {
        /// The file.
        file: u32,
        /// The file's digest.
        running: RunningDigest,
    },
    /// Digest the first `length` bytes, and leave the digest in `found`.
    Measure {
        /// Bytes of payload.
        length: u32,
        /// Where the digest goes, before the signal.
        found: Arc<Mutex<Digest>>,
    },
    /// A task of a TLS connection, which has no buffer of the job's.
    Secure(Arc<Channel>, Task),
    /// Nothing: the content stands already.
    Pass,
    /// Compare the digest of the first `length` bytes with `digest`. A difference fails the semaphore with `DataLoss`.
    Check {
        /// Bytes of payload.
        length: u32,
        /// What their digest must be.
        digest: Digest,
    },
}

impl Work {
    /// What people call it, in a trace.
    pub fn name(&self) -> String {
        match self {
            Work::SealChunk { file, offset, .. } => format!("file {file} at {offset}"),
            Work::SealEnd { file, .. } => format!("end of file {file}"),
            Work::Measure { length, .. } => format!("read back {length} bytes"),
            Work::Secure(_, task) => task.name(),
            Work::Pass => String::from("control"),
            Work::Check { length, .. } => format!("check {length} bytes"),
        }
    }
}

/// One job.
pub struct Job {
    /// What to do.
    pub work: Work,
    /// With which bytes.
    pub buffer: Option<Filler>,
    /// How the frame lies in them, and by which connection it is to be sealed.
    pub layout: Layout,
    /// The connection, where there is TLS.
    pub channel: Option<Arc<Channel>>,
    /// Signalled when it is done.
    pub semaphore: Semaphore,
    /// With this value.
    pub value: u64,
    /// Where the buffer goes back to, before the signal.
    pub returned: Arc<Returned>,
    /// Is told when it begins and ends.
    pub ticket: Ticket,
}

/// Buffers that came back, by the value of their job.
#[derive(Default)]
pub struct Returned(Mutex<Vec<(u64, Sealed)>>);

impl Returned {
    /// Takes all that came back since the last call, and leaves `spare`, emptied, in its place.
    pub fn take(&self, spare: &mut Vec<(u64, Sealed)>) {
        spare.clear();
        std::mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), spare);
    }

    fn put(&self, value: u64, sealed: Sealed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((value, sealed));
    }
}

impl Job {
    /// A job whose buffer is plain from its front, and stays so.
    pub fn plain(
        work: Work,
        buffer: Option<Filler>,
        semaphore: &Semaphore,
        value: u64,
        returned: &Arc<Returned>,
        ticket: Ticket,
    ) -> Job {
        let (semaphore, returned) = (semaphore.clone(), returned.clone());
        Job { work, buffer, layout: Layout::default(), channel: None, semaphore, value, returned, ticket }
    }
}

/// A queue of compute jobs.
///
/// Jobs are carried out, and their semaphores signalled, in the order of their submission: values of one semaphore must
/// be submitted ascending.
pub trait ComputeQueue {
    /// Takes a job. Never blocks, and never fails: a queue that has stopped fails the job's semaphore.
    fn submit(&self, job: Job);
}

/// Carries one job out. A queue that runs in virtual time calls this too.
pub fn carry_out(job: Job) {
    let Job { work, buffer, layout, channel, semaphore, value, returned, ticket } = job;
    ticket.began();
    let (fine, back) = match buffer {
        Some(mut buffer) => {
            let made = perform(work, &mut buffer.bytes_mut()[layout.lead..]);
            let fine = made.and_then(|()| channel.map_or(Ok(()), |channel| channel.seal(buffer.bytes_mut(), layout)));
            (fine, Some(buffer.seal()))
        }
        None => (perform(work, &mut []), None),
    };
    ticket.ended(fine.as_ref().err().map(|status| status as _));
    // First the buffer, then the signal: who is released by it finds the buffer there.
    if let Some(back) = back {
        returned.put(value, back);
    }
    match fine {
        // A semaphore that has failed since refuses: its connection is being closed, and nobody waits.
        Ok(()) => drop(semaphore.signal(value, None)),
        Err(status) => drop(semaphore.fail(status)),
    }
}

fn perform(work: Work, buffer: &mut [u8]) -> Result<()> {
    match work {
        Work::SealChunk { file, offset, length, running } => {
            let bytes = &mut buffer[..HEADER_SIZE + length as usize];
            let (head, payload) = bytes.split_first_chunk_mut().expect("a chunk has room for its header");
            let digest = wire::digest(payload);
            running.lock().unwrap_or_else(PoisonError::into_inner).push(&digest);
            wire::encode_chunk_header(head, &ChunkHeader { file, offset, length, digest });
        }
        Work::SealEnd { file, running } => {
            let running = running.lock().unwrap_or_else(PoisonError::into_inner);
            let end = FileEnd { chunks: running.chunks(), digest: running.finish() };
            let mut frame = Vec::with_capacity(128);
            Frame::FileEnd { file, end }.encode(&mut frame);
            buffer[..frame.len()].copy_from_slice(&frame);
        }
        Work::Measure { length, found } => {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = wire::digest(&buffer[..length as usize]);
        }
        Work::Secure(channel, task) => channel.run(task),
        Work::Pass => {}
        Work::Check { length, digest } => {
            if wire::digest(&buffer[..length as usize]) != digest {
                return Err(Status::new(Code::DataLoss, Operation::None).with_message("digest mismatch"));
            }
        }
    }
    Ok(())
}

/// A worker thread that plays the device's part. Dropping it carries out what was submitted before.
pub struct StandInDevice {
    jobs: Arc<WorkQueue<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl StandInDevice {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(name: &str) -> Result<StandInDevice> {
        let jobs = Arc::new(WorkQueue::new());
        let of_thread = jobs.clone();
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || serve(&of_thread))
            .map_err(|error| Status::from_io_error(Operation::None, &error).with_context("compute thread"))?;
        Ok(StandInDevice { jobs, thread: Some(thread) })
    }
}

fn serve(jobs: &WorkQueue<Job>) {
    while let Some(job) = jobs.take() {
        let semaphore = job.semaphore.clone();
        // A job that panics fails its own connection, and no other: those that wait are carried out.
        if catch_unwind(AssertUnwindSafe(|| carry_out(job))).is_err() {
            semaphore.fail(Status::new(Code::Internal, Operation::None).with_message("a compute job has panicked"));
        }
    }
}

impl ComputeQueue for StandInDevice {
    fn submit(&self, job: Job) {
        if let Err(job) = self.jobs.put(job) {
            job.semaphore
                .fail(Status::new(Code::Aborted, Operation::None).with_message("the compute queue has stopped"));
        }
    }
}

impl Drop for StandInDevice {
    fn drop(&mut self) {
        self.jobs.close();
        if let Some(thread) = self.thread.take() {
            // Panics of jobs have failed their semaphores.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Chunk;
    use super::*;

    fn job(work: Work, buffer: Filler, semaphore: &Semaphore, value: u64, returned: &Arc<Returned>) -> Job {
        Job::plain(work, Some(buffer), semaphore, value, returned, Ticket::default())
    }

    #[test]
    fn a_sealed_chunk_has_its_header_and_the_buffer_comes_back_before_the_signal() {
        let (semaphore, returned, running) = (Semaphore::new(0), Arc::default(), RunningDigest::default());
        let (mut filler, outlet) = Chunk::new(HEADER_SIZE + 8).split();
        filler.bytes_mut()[HEADER_SIZE..].copy_from_slice(b"payload!");
        let work = Work::SealChunk { file: 3, offset: 64, length: 8, running: running.clone() };
        carry_out(job(work, filler, &semaphore, 5, &returned));
        assert_eq!(semaphore.value(), 5);
        let mut back = Vec::new();
        returned.take(&mut back);
        let (value, sealed) = back.pop().expect("the buffer is back");
        let (filler, _) = Chunk::join(sealed, outlet).expect("one chunk").split();
        let header = wire::decode_header(filler.bytes().first_chunk().expect("a header")).expect("a valid header");
        assert_eq!((value, header.file, header.offset, header.length), (5, 3, 64, 8));
        assert_eq!(header.digest, wire::digest(b"payload!"));
        assert_eq!(running.lock().expect("no panic").chunks(), 1);
    }

    #[test]
    fn a_digest_that_differs_fails_the_semaphore_with_data_loss() {
        let (semaphore, returned) = (Semaphore::new(0), Arc::default());
        let (filler, _outlet) = Chunk::new(8).split();
        let work = Work::Check { length: 8, digest: wire::digest(b"other") };
        carry_out(job(work, filler, &semaphore, 1, &returned));
        assert_eq!(semaphore.value(), 0);
        assert_eq!(semaphore.status().map(|status| status.code()), Some(Code::DataLoss));
    }

    #[test]
    fn a_job_that_panics_fails_its_semaphore_and_the_next_is_carried_out() {
        let (bad, good, returned) = (Semaphore::new(0), Semaphore::new(0), Arc::default());
        let device = StandInDevice::start("test-device").expect("a thread");
        // More than the buffer holds: no caller asks for that.
        let (filler, _outlet) = Chunk::new(8).split();
        device.submit(job(Work::Check { length: 9, digest: wire::digest(b"") }, filler, &bad, 1, &returned));
        device.submit(Job::plain(Work::Pass, None, &good, 1, &returned, Ticket::default()));
        drop(device);
        assert_eq!(bad.status().map(|status| status.code()), Some(Code::Internal));
        assert_eq!(good.value(), 1, "and the end has waited for it");
    }
}

//! A bare ring, made with the promises to the kernel that proact's own are made with: one issuer, deferred task
//! running, whole batches, no submission array, a registered descriptor. Without them it would be slower than a ring
//! can be, and no floor.

use std::io;

use io_uring::{CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, squeue};

/// A ring of the calling thread, to the end of the process.
///
/// The registered descriptor is kept in the submitter, which borrows the ring: one that is made for a single call, as
/// `IoUring::submitter` does, would forget it.
pub struct Ring {
    pub submitter: Submitter<'static>,
    submission: SubmissionQueue<'static>,
    completion: CompletionQueue<'static>,
}

/// As proact's own.
pub fn ring(entries: u32) -> io::Result<Ring> {
    of(entries, true)
}

/// `defer`: completions are made when this thread enters the kernel for them, and not whenever it is in the kernel.
pub fn of(entries: u32, defer: bool) -> io::Result<Ring> {
    let made = match build(entries, defer, true) {
        // Kernels before 6.6 do not know the flag for "no submission array".
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(entries, defer, false),
        outcome => outcome,
    }?;
    let (mut submitter, submission, completion) = Box::leak(Box::new(made)).split();
    // The places of a thread are few, and this may be refused where a ring is not.
    if let Err(error) = submitter.register_ring_fd() {
        eprintln!("peers: a bare ring without a registered descriptor: {error}");
    }
    Ok(Ring { submitter, submission, completion })
}

fn build(entries: u32, defer: bool, no_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_submit_all();
    match defer {
        true => builder.setup_defer_taskrun(),
        false => builder.setup_coop_taskrun(),
    };
    if no_array {
        builder.setup_no_sqarray();
    }
    builder.setup_cqsize(4 * entries).build(entries)
}

impl Ring {
    /// Puts an entry into the queue; where that is full, hands over what is in it.
    ///
    /// # Safety
    ///
    /// What the entry points to lives until its completion.
    #[inline]
    pub unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller's promise, passed on.
        while unsafe { self.submission.push(entry) }.is_err() {
            self.enter(0)?;
        }
        Ok(())
    }

    /// Publishes what is in the queue, hands it over, and waits for so many completions.
    #[inline]
    pub fn enter(&mut self, wait: u32) -> io::Result<()> {
        self.completion.sync();
        self.submission.sync();
        let flags = if wait > 0 { EnterFlags::GETEVENTS.bits() } else { 0 };
        loop {
            let submit = self.submission.len() as u32;
            // SAFETY: as many entries as are in the queue, and no argument.
            match unsafe { self.submitter.enter::<()>(submit, wait, flags, None) } {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.completion.sync();
        self.submission.sync();
        Ok(())
    }

    /// What has ended since the last.
    #[inline]
    pub fn ended(&mut self) -> impl Iterator<Item = cqueue::Entry> + '_ {
        self.completion.by_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::opcode;

    #[test]
    fn more_entries_than_the_queue_holds_all_come_back() {
        for defer in [true, false] {
            let Ok(mut ring) = of(8, defer) else { return eprintln!("skipped: no ring here") };
            // SAFETY: a nop points nowhere.
            (0..20).for_each(|_| unsafe { ring.push(&opcode::Nop::new().build()) }.unwrap());
            let mut ended = 0;
            while ended < 20 {
                ring.enter(1).unwrap();
                ended += ring.ended().count();
            }
            assert_eq!(ended, 20);
        }
    }
}

//! The floor of the io_uring rows: a bare ring, by another implementation than proact's own.
//!
//! It is made with the same promises to the kernel (one issuer, deferred task running, no submission array, registered
//! descriptor), or the comparison would be between kernel modes. A round is the least that carries `batch` operations
//! out: fill the entries, one call that submits all and waits for all, look at every completion.

use std::io;

use io_uring::{EnterFlags, IoUring, opcode, squeue, types};

/// Runs `with` on a floor's round. Fails where there is no ring.
pub(crate) fn with_ring<T>(batch: u32, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    with_nops(batch, false, with)
}

/// The same, with each entry linked to the next.
pub(crate) fn with_links<T>(steps: u32, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    with_nops(steps, true, with)
}

fn with_nops<T>(batch: u32, linked: bool, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    let mut ring = ring()?;
    let (mut submitter, mut submission, mut completion) = ring.split();
    // It may fail where proact's may not: the places of a thread are few. It saves a few nanoseconds a call.
    let _ = submitter.register_ring_fd();
    let flags = EnterFlags::GETEVENTS.bits();
    let mut round = || {
        for number in 0..batch {
            let entry = opcode::Nop::new().build().user_data(number.into());
            let entry = if linked && number + 1 < batch { entry.flags(squeue::Flags::IO_LINK) } else { entry };
            // SAFETY: a NOP points nowhere.
            unsafe { submission.push(&entry) }.expect("the queue has room for a batch");
        }
        submission.sync();
        // SAFETY: as many entries as are in the queue, and no argument.
        let taken = unsafe { submitter.enter::<()>(batch, batch, flags, None) }.expect("the ring works");
        assert_eq!(taken, batch as usize, "the kernel takes a batch whole");
        completion.sync();
        let (mut seen, mut failed) = (0, 0);
        for completed in &mut completion {
            seen += 1;
            failed |= completed.result();
            std::hint::black_box(completed.user_data());
        }
        assert!(seen == batch && failed == 0, "{seen} of {batch} completions, results {failed}");
        completion.sync();
        submission.sync();
    };
    Ok(with(&mut round))
}

/// Runs `with` on a time-out that is set and removed before it is due.
pub(crate) fn with_removal<T>(with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    let mut ring = ring()?;
    let _ = ring.submitter().register_ring_fd();
    let far = types::Timespec::new().sec(3600);
    let mut round = || {
        let set = opcode::Timeout::new(&far).build().user_data(1);
        let removed = opcode::TimeoutRemove::new(1).build().user_data(2);
        for entry in [set, removed] {
            // SAFETY: the time lives longer than the ring's entry, which is over before the round ends.
            unsafe { ring.submission().push(&entry) }.expect("the queue has room");
        }
        ring.submit_and_wait(2).expect("the ring works");
        assert_eq!(ring.completion().count(), 2);
    };
    Ok(with(&mut round))
}

/// A bare ring, made for the calling thread.
pub(crate) fn ring() -> io::Result<IoUring> {
    match build(true) {
        // Kernels before 6.6 do not know the flag for "no submission array".
        Err(error) if error.raw_os_error() == Some(22) => build(false),
        outcome => outcome,
    }
}

/// Runs `with` on a wait for one of these descriptors to become readable, each watched by a poll that goes on.
pub(crate) fn with_polls<T>(
    descriptors: impl Iterator<Item = i32>,
    with: impl FnOnce(&mut dyn FnMut()) -> T,
) -> io::Result<T> {
    let mut ring = ring()?;
    for (index, descriptor) in descriptors.enumerate() {
        let poll =
            opcode::PollAdd::new(types::Fd(descriptor), u32::from(rustix::event::PollFlags::IN.bits())).multi(true);
        let entry = poll.build().user_data(index as u64);
        // SAFETY: a poll points nowhere.
        while unsafe { ring.submission().push(&entry) }.is_err() {
            ring.submit()?;
        }
    }
    ring.submit()?;
    let _ = ring.submitter().register_ring_fd();
    let mut wait = || {
        ring.submit_and_wait(1).expect("the ring works");
        let completed = ring.completion().next().expect("something is readable");
        assert!(completed.result() > 0, "a poll failed: {}", completed.result());
    };
    Ok(with(&mut wait))
}

fn build(no_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
    if no_array {
        builder.setup_no_sqarray();
    }
    // As many entries as proact's own ring has: the same cache lines in turn.
    builder.setup_cqsize(1024).build(256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_carry_a_whole_batch_again_and_again() {
        // A round asserts what comes back; without a ring on this machine there is nothing to assert.
        match with_ring(16, |round| (0..100).for_each(|_| round())) {
            Ok(()) => {}
            Err(error) => eprintln!("skipped: no ring here: {error}"),
        }
    }
}

//! What registered descriptors would save: small messages over a local socket on a bare ring, with descriptors that the
//! ring knows against plain ones.
//!
//! proact itself uses plain ones. This row is the reason, or on another machine and kernel the reason to change that.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode, squeue, types};

use super::compare::compare;
use super::failure::Failure;
use super::figures::{Costs, Figures};
use super::measure::Measure;

/// Only a ring registers descriptors.
pub(crate) const ROWS: &[Measure] = &[Measure::ring("descriptor", |_| run())];

/// Messages that go to and fro in a round.
const PAIRS: u32 = 16;
const LENGTH: u32 = 64;

/// Measures a send and a receive of 64 bytes with registered descriptors; the floor is the same with plain ones.
fn run() -> Result<Figures, Failure> {
    let failed = |error: io::Error| Failure::new(format!("a bare ring: {error}"));
    let mut registered = Messages::new(true).map_err(failed)?;
    let mut plain = Messages::new(false).map_err(failed)?;
    let timing = compare(|| registered.round(), Some(|| plain.round()));
    let each = f64::from(PAIRS);
    Ok(Figures::of(timing, each, "", Costs::UNKNOWN))
}

/// A ring with two ends of a local connection.
struct Messages {
    ring: IoUring,
    ends: [UnixStream; 2],
    registered: bool,
    bytes: Box<[[u8; LENGTH as usize]; 2]>,
}

impl Messages {
    fn new(registered: bool) -> io::Result<Messages> {
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_submit_all().build(256)?;
        let (one, two) = UnixStream::pair()?;
        let ends = [one, two];
        if registered {
            ring.submitter().register_files(&[ends[0].as_raw_fd(), ends[1].as_raw_fd()])?;
        }
        Ok(Messages { ring, ends, registered, bytes: Box::new([[7; LENGTH as usize], [0; LENGTH as usize]]) })
    }

    fn send(&self) -> squeue::Entry {
        let bytes = self.bytes[0].as_ptr();
        match self.registered {
            true => opcode::Send::new(types::Fixed(0), bytes, LENGTH).build(),
            false => opcode::Send::new(types::Fd(self.ends[0].as_raw_fd()), bytes, LENGTH).build(),
        }
    }

    fn receive(&mut self) -> squeue::Entry {
        let bytes = self.bytes[1].as_mut_ptr();
        match self.registered {
            true => opcode::Recv::new(types::Fixed(1), bytes, LENGTH).build(),
            false => opcode::Recv::new(types::Fd(self.ends[1].as_raw_fd()), bytes, LENGTH).build(),
        }
    }

    fn round(&mut self) {
        for _ in 0..PAIRS {
            for entry in [self.send(), self.receive()] {
                // SAFETY: the bytes live as long as the ring, and all is complete before the round ends.
                unsafe { self.ring.submission().push(&entry) }.expect("the queue has room for a round");
            }
        }
        let count = 2 * PAIRS as usize;
        self.ring.submit_and_wait(count).expect("the ring works");
        let mut moved = 0;
        for completed in self.ring.completion() {
            moved += completed.result();
        }
        assert_eq!(moved, count as i32 * LENGTH as i32, "every message arrives");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_a_round_arrives_with_either_kind_of_descriptor() {
        for registered in [false, true] {
            match Messages::new(registered) {
                Ok(mut messages) => (0..10).for_each(|_| messages.round()),
                Err(error) => eprintln!("skipped: no ring here: {error}"),
            }
        }
    }
}

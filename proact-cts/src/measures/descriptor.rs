//! What registered descriptors would save: small messages over a local socket on a bare ring, with descriptors that the
//! ring knows against plain ones.
//!
//! proact itself uses plain ones. This row is the reason, or on another machine and kernel the reason to change that.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{opcode, squeue, types};

use super::compare::compare;
use super::failure::Failure;
use super::figures::{Costs, Figures};
use super::floor::Ring;
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
    ring: Ring,
    ends: [UnixStream; 2],
    registered: bool,
    bytes: Box<[[u8; LENGTH as usize]; 2]>,
}

impl Messages {
    fn new(registered: bool) -> io::Result<Messages> {
        let ring = Ring::new()?;
        let (one, two) = UnixStream::pair()?;
        let ends = [one, two];
        if registered {
            ring.submitter().register_files(&[ends[0].as_raw_fd(), ends[1].as_raw_fd()])?;
        }
        Ok(Messages { ring, ends, registered, bytes: Box::new([[7; LENGTH as usize], [0; LENGTH as usize]]) })
    }

    /// A send and a receive.
    fn pair(&mut self) -> [squeue::Entry; 2] {
        let [out, into] = &mut *self.bytes;
        let (out, into) = (out.as_ptr(), into.as_mut_ptr());
        let [sender, receiver] = self.ends.each_ref().map(|end| types::Fd(end.as_raw_fd()));
        match self.registered {
            true => [
                opcode::Send::new(types::Fixed(0), out, LENGTH).build(),
                opcode::Recv::new(types::Fixed(1), into, LENGTH).build(),
            ],
            false => {
                [opcode::Send::new(sender, out, LENGTH).build(), opcode::Recv::new(receiver, into, LENGTH).build()]
            }
        }
    }

    fn round(&mut self) {
        let pair = self.pair();
        let (count, mut moved) = (2 * PAIRS, 0);
        let entries = (0..PAIRS).flat_map(|_| pair.clone());
        // SAFETY: the bytes live as long as the ring, and all is complete before the round ends.
        unsafe { self.ring.round(entries, count, |completed| moved += completed.result()) };
        assert_eq!(moved, (count * LENGTH) as i32, "every message arrives");
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

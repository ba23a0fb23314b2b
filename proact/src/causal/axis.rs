//! What progresses: the 64-bit name of one line of progress.

use core::fmt;

/// What kind of thing progresses along an [`Axis`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Domain {
    /// A queue of a device. The ordinal holds the device and the queue.
    Queue = 0,
    /// A collective channel. The ordinal is the channel's number.
    Collective = 1,
    /// What runs after a queue's own work, on its behalf.
    Epilogue = 2,
    /// A context of the host. The ordinal is the context's number.
    Host = 3,
}

impl Domain {
    /// The domain with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Domain> {
        match number {
            0 => Some(Domain::Queue),
            1 => Some(Domain::Collective),
            2 => Some(Domain::Epilogue),
            3 => Some(Domain::Host),
            _ => None,
        }
    }

    /// The number of the domain in the bits of an axis, whether there is such a domain or not.
    pub(super) const fn number_in(bits: u64) -> u8 {
        (bits >> 40) as u8
    }

    /// The domain's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Domain::Queue => "queue",
            Domain::Collective => "collective",
            Domain::Epilogue => "epilogue",
            Domain::Host => "host",
        }
    }
}

/// One line of progress: something in the system that counts epochs 1, 2, 3 as its work completes.
///
/// The name follows from the topology alone, so machines agree on it without talking. From the highest bit down:
/// session epoch (8 bits), machine (8), [`Domain`] (8), ordinal (40). Axes sort in that order.
///
/// ```
/// use proact::causal::{Axis, Domain};
/// let axis = Axis::queue(1, 3, 1, 0);
/// assert_eq!(axis.to_bits(), 0x0103_0001_0000_0000);
/// assert_eq!((axis.machine(), axis.domain(), axis.device()), (3, Domain::Queue, Some(1)));
/// assert_eq!(axis.to_string(), "1.3.queue.1.0");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Axis(u64);

impl Axis {
    /// The largest ordinal: 40 bits.
    pub const ORDINAL_MAX: u64 = (1 << 40) - 1;

    /// The axis with these parts; `None` if `ordinal` is above [`Axis::ORDINAL_MAX`].
    pub const fn new(session: u8, machine: u8, domain: Domain, ordinal: u64) -> Option<Axis> {
        if ordinal > Axis::ORDINAL_MAX {
            return None;
        }
        Some(Axis((session as u64) << 56 | (machine as u64) << 48 | (domain as u64) << 40 | ordinal))
    }

    /// The axis of a device's queue. The 24 low bits of its ordinal are reserved and zero.
    pub const fn queue(session: u8, machine: u8, device: u8, queue: u8) -> Axis {
        Axis((session as u64) << 56 | (machine as u64) << 48 | (device as u64) << 32 | (queue as u64) << 24)
    }

    /// The axis that [`Axis::to_bits`] gave; `None` if the bits name no [`Domain`] that this version knows.
    pub const fn from_bits(bits: u64) -> Option<Axis> {
        match Domain::from_number(Domain::number_in(bits)) {
            Some(_) => Some(Axis(bits)),
            None => None,
        }
    }

    /// As 64 bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The 8 bits that tell sessions apart; the full session id is not part of an axis.
    pub const fn session(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The machine's index in the session.
    pub const fn machine(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// What kind of thing progresses.
    pub const fn domain(self) -> Domain {
        match Domain::from_number((self.0 >> 40) as u8) {
            Some(domain) => domain,
            // Every constructor checks the domain.
            None => unreachable!(),
        }
    }

    /// Which one of its domain on its machine.
    pub const fn ordinal(self) -> u64 {
        self.0 & Axis::ORDINAL_MAX
    }

    /// The device of a queue axis; `None` in other domains.
    pub const fn device(self) -> Option<u8> {
        match self.domain() {
            Domain::Queue => Some((self.0 >> 32) as u8),
            _ => None,
        }
    }

    /// The queue's number on its device, for a queue axis; `None` in other domains.
    pub const fn queue_number(self) -> Option<u8> {
        match self.domain() {
            Domain::Queue => Some((self.0 >> 24) as u8),
            _ => None,
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.", self.session(), self.machine(), self.domain().name())?;
        match (self.device(), self.queue_number()) {
            (Some(device), Some(queue)) if self.0 & 0xff_ffff == 0 => write!(f, "{device}.{queue}"),
            _ => write!(f, "{}", self.ordinal()),
        }
    }
}

impl fmt::Debug for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Axis({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn parts_come_back_as_they_went_in() {
        let axis = Axis::new(0xfe, 0xdc, Domain::Host, Axis::ORDINAL_MAX).unwrap();
        assert_eq!((axis.session(), axis.machine(), axis.domain()), (0xfe, 0xdc, Domain::Host));
        assert_eq!(axis.ordinal(), Axis::ORDINAL_MAX);
        assert_eq!((axis.device(), axis.queue_number()), (None, None));
        let queue = Axis::queue(1, 2, 3, 4);
        assert_eq!((queue.device(), queue.queue_number()), (Some(3), Some(4)));
        assert_eq!(Axis::new(1, 2, Domain::Queue, 0x03_0400_0000), Some(queue));
        assert_eq!(Axis::from_bits(queue.to_bits()), Some(queue));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Axis::new(0, 0, Domain::Host, Axis::ORDINAL_MAX + 1), None);
        assert_eq!(Axis::from_bits(4 << 40), None);
    }

    #[test]
    fn axes_sort_by_session_machine_domain_ordinal() {
        let ascending = [
            Axis::queue(0, 0, 0, 1),
            Axis::queue(0, 0, 1, 0),
            Axis::new(0, 0, Domain::Collective, 0).unwrap(),
            Axis::queue(0, 1, 0, 0),
            Axis::queue(1, 0, 0, 0),
        ];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn axes_read_as_their_parts() {
        assert_eq!(Axis::new(1, 0, Domain::Collective, 42).unwrap().to_string(), "1.0.collective.42");
        assert_eq!(format!("{:?}", Axis::queue(0, 0, 7, 2)), "Axis(0.0.queue.7.2)");
        assert_eq!(Axis::new(0, 0, Domain::Queue, 5).unwrap().to_string(), "0.0.queue.5");
    }
}

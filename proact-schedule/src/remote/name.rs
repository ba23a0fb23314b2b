//! Names that mean the same on every machine of a session.

use core::fmt;

use proact::causal::Axis;

/// A member of a session, by its index: what the coordinator gave it, and gives nobody again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u8);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine {}", self.0)
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineId({})", self.0)
    }
}

/// A semaphore of the session. From the highest bit down: the machine that owns it (8 bits), which alone signals it;
/// the machine that named it (8), which alone submits what signals it; a number of that machine's (48).
///
/// So names need no exchange, and whoever reads one knows whom to ask.
///
/// ```
/// use proact_schedule::remote::{MachineId, SemaphoreName};
/// let name = SemaphoreName::new(MachineId(2), MachineId(0), 7).unwrap();
/// assert_eq!((name.owner(), name.client(), name.number()), (MachineId(2), MachineId(0), 7));
/// assert_eq!(name.to_string(), "2.0.7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemaphoreName(u64);

impl SemaphoreName {
    /// The largest number: 48 bits.
    pub const NUMBER_MAX: u64 = (1 << 48) - 1;

    /// The name with these parts; `None` if `number` is above [`SemaphoreName::NUMBER_MAX`].
    pub const fn new(owner: MachineId, client: MachineId, number: u64) -> Option<SemaphoreName> {
        if number > SemaphoreName::NUMBER_MAX {
            return None;
        }
        Some(SemaphoreName((owner.0 as u64) << 56 | (client.0 as u64) << 48 | number))
    }

    /// The name that [`SemaphoreName::to_bits`] gave.
    pub const fn from_bits(bits: u64) -> SemaphoreName {
        SemaphoreName(bits)
    }

    /// As 64 bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The machine whose work signals it.
    pub const fn owner(self) -> MachineId {
        MachineId((self.0 >> 56) as u8)
    }

    /// The machine that named it, and submits what signals it.
    pub const fn client(self) -> MachineId {
        MachineId((self.0 >> 48) as u8)
    }

    /// Its client's number for it.
    pub const fn number(self) -> u64 {
        self.0 & SemaphoreName::NUMBER_MAX
    }
}

impl fmt::Display for SemaphoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.owner().0, self.client().0, self.number())
    }
}

impl fmt::Debug for SemaphoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SemaphoreName({self})")
    }
}

/// A value of a semaphore: what is waited for, or promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RemotePoint {
    /// The semaphore.
    pub semaphore: SemaphoreName,
    /// The value, of at least 1, since every semaphore is at 0 from the start; and below the largest number, above
    /// which nothing could be promised any more.
    pub value: u64,
}

impl RemotePoint {
    /// The point with these parts.
    pub const fn new(semaphore: SemaphoreName, value: u64) -> RemotePoint {
        RemotePoint { semaphore, value }
    }

    /// Whether the value is one that can be waited for and promised.
    pub(super) const fn is_valid(self) -> bool {
        self.value != 0 && self.value != u64::MAX
    }
}

impl fmt::Display for RemotePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "semaphore {} at {}", self.semaphore, self.value)
    }
}

/// A stage, by its place: the axis of its queue, and its epoch there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StageId {
    /// The queue's axis. It says machine and device; its queue number is the index of the client that submits to it.
    pub axis: Axis,
    /// Which of the queue's stages, from 1 on.
    pub epoch: u64,
}

impl StageId {
    /// The place with these parts.
    pub const fn new(axis: Axis, epoch: u64) -> StageId {
        StageId { axis, epoch }
    }

    /// Where it runs.
    pub const fn machine(self) -> MachineId {
        MachineId(self.axis.machine())
    }

    /// Who submits it. Checked to be a queue's axis wherever one is made or decoded.
    pub const fn client(self) -> MachineId {
        match self.axis.queue_number() {
            Some(number) => MachineId(number),
            None => unreachable!(),
        }
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} of queue {}", self.epoch, self.axis)
    }
}

/// Some of a session's machines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MachineSet([u64; 4]);

impl MachineSet {
    /// None.
    pub const EMPTY: MachineSet = MachineSet([0; 4]);

    /// Adds one.
    pub fn insert(&mut self, machine: MachineId) {
        self.0[usize::from(machine.0 >> 6)] |= 1 << (machine.0 & 63);
    }

    /// Whether it is among them.
    pub const fn contains(&self, machine: MachineId) -> bool {
        self.0[(machine.0 >> 6) as usize] >> (machine.0 & 63) & 1 == 1
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = MachineId> + '_ {
        (0..=u8::MAX).map(MachineId).filter(|&machine| self.contains(machine))
    }

    pub(super) fn to_words(self) -> [u64; 4] {
        self.0
    }

    pub(super) fn from_words(words: [u64; 4]) -> MachineSet {
        MachineSet(words)
    }
}

impl FromIterator<MachineId> for MachineSet {
    fn from_iter<I: IntoIterator<Item = MachineId>>(machines: I) -> MachineSet {
        let mut set = MachineSet::EMPTY;
        machines.into_iter().for_each(|machine| set.insert(machine));
        set
    }
}

impl MachineSet {
    /// Adds those of another set.
    pub(super) fn extend(&mut self, more: MachineSet) {
        self.0.iter_mut().zip(more.0).for_each(|(word, more)| *word |= more);
    }
}

impl fmt::Debug for MachineSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|machine| machine.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_parts_and_no_others_fit() {
        let name = SemaphoreName::new(MachineId(0xfe), MachineId(0xdc), SemaphoreName::NUMBER_MAX).unwrap();
        assert_eq!(name.to_bits(), 0xfedc_ffff_ffff_ffff);
        assert_eq!(SemaphoreName::from_bits(name.to_bits()), name);
        assert_eq!(SemaphoreName::new(MachineId(0), MachineId(0), SemaphoreName::NUMBER_MAX + 1), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let machines = [0, 63, 64, 200, 255].map(MachineId);
        let set: MachineSet = machines.into_iter().collect();
        assert!(set.iter().eq(machines));
        assert!(!set.contains(MachineId(1)));
        assert_eq!(MachineSet::from_words(set.to_words()), set);
    }
}

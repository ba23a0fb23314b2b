//! Who a process is, so that others can tell whether it still lives.

/// A process, in 64 bits: its number, when it started, and the space of numbers that it lives in.
///
/// | bits | content |
/// |---|---|
/// | 0..22 | process number: Linux's limit is 2^22 |
/// | 22..48 | clock tick of its start, which tells it from a later one of the same number |
/// | 48..64 | its PID namespace: numbers of another one mean nothing here |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity(u64);

const NUMBER_BITS: u32 = 22;
const START_BITS: u32 = 26;

/// Whether a process lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Lives,
    Dead,
    /// It is of another space of numbers, or not to be looked at.
    Unknown,
}

impl Identity {
    pub(super) fn from_bits(bits: u64) -> Identity {
        Identity(bits)
    }

    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    fn new(number: u32, start: u64, namespace: u64) -> Identity {
        let number = u64::from(number) & ((1 << NUMBER_BITS) - 1);
        let start = start & ((1 << START_BITS) - 1);
        Identity(number | start << NUMBER_BITS | (namespace & 0xffff) << (NUMBER_BITS + START_BITS))
    }

    /// This process. `None` where `/proc` does not say.
    pub(super) fn own() -> Option<Identity> {
        let number = std::process::id();
        let (start, _) = looked_up(number)?;
        Some(Identity::new(number, start, namespace()?))
    }

    fn number(self) -> u32 {
        (self.0 & ((1 << NUMBER_BITS) - 1)) as u32
    }

    /// Whether the process of this identity lives, as seen by the process `own`.
    pub(super) fn life(self, own: Identity) -> Life {
        if self == own {
            return Life::Lives;
        }
        if self.0 >> (NUMBER_BITS + START_BITS) != own.0 >> (NUMBER_BITS + START_BITS) || self.number() == 0 {
            return Life::Unknown;
        }
        // Signal 0 asks only whether there is such a process, whosever it is.
        // SAFETY: no memory is involved.
        let there = unsafe { libc::kill(self.number() as libc::pid_t, 0) } == 0
            || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH);
        if !there {
            return Life::Dead;
        }
        let Some((start, zombie)) = looked_up(self.number()) else { return Life::Unknown };
        let same = Identity::new(self.number(), start, self.0 >> (NUMBER_BITS + START_BITS)) == self;
        // One that only waits to be asked for its end has no memory any more.
        if same && !zombie { Life::Lives } else { Life::Dead }
    }
}

/// The tick that a process started at, and whether it has ended without being asked for (proc_pid_stat(5)).
fn looked_up(number: u32) -> Option<(u64, bool)> {
    let stat = std::fs::read(format!("/proc/{number}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, also parentheses: what follows the last one counts.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // The start is field 22, the state field 3.
    let start = fields.nth(22 - 4)?.parse().ok()?;
    Some((start, matches!(state, "Z" | "X")))
}

/// The number of this process's PID namespace.
fn namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_has_ended_and_its_number_is_not_enough() {
        let own = Identity::own().unwrap();
        assert_eq!(own.life(own), Life::Lives);
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (start, _) = looked_up(child.id()).unwrap();
        let identity = Identity::new(child.id(), start, namespace().unwrap());
        assert_eq!(identity.life(own), Life::Lives);
        let another = Identity::new(child.id(), start + 1, namespace().unwrap());
        assert_eq!(another.life(own), Life::Dead, "the number was used again");
        let elsewhere = Identity::new(child.id(), start, namespace().unwrap() + 1);
        assert_eq!(elsewhere.life(own), Life::Unknown);
        child.kill().unwrap();
        crate::memory::shared::tests::eventually("the child is a zombie", || identity.life(own) == Life::Dead);
        child.wait().unwrap();
        assert_eq!(identity.life(own), Life::Dead, "and gone");
    }
}

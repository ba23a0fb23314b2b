//! Randomness, seeded once: so that a run in virtual time can be given its seed.

use crate::wire::SessionId;

/// A stream of random bits.
pub struct Random(blake3::OutputReader);

impl Random {
    /// The stream of `seed`.
    pub fn seeded(seed: &[u8; 32]) -> Random {
        Random(blake3::Hasher::new_keyed(seed).finalize_xof())
    }

    /// A stream that nobody can foretell.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn from_system() -> std::io::Result<Random> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
        Ok(Random::seeded(&seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// The next 32 bytes: a seed for another stream.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A session's name.
    pub fn session(&mut self) -> SessionId {
        SessionId(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_and_another_seed_another() {
        let take = |seed: u8| {
            let mut random = Random::seeded(&[seed; 32]);
            (random.next_u64(), random.session())
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}

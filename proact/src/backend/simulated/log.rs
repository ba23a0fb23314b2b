//! What has happened in a world: a digest of all of it, and the lines where someone wants to read them.

/// The log of a world. The digest tells two runs apart in constant memory.
pub(super) struct Log {
    digest: u64,
    count: u64,
    /// Kept only when asked for.
    pub(super) lines: Option<Vec<String>>,
}

impl Log {
    pub(super) fn new() -> Log {
        Log { digest: 0xcbf2_9ce4_8422_2325, count: 0, lines: None }
    }

    /// Notes what happened when. `words` are what there is to know of it.
    pub(super) fn note(&mut self, now: u64, what: &'static str, words: &[u64]) {
        self.count += 1;
        // FNV-1a.
        let mut mix = |byte: u8| self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        what.bytes().for_each(&mut mix);
        now.to_le_bytes().into_iter().for_each(&mut mix);
        words.iter().flat_map(|word| word.to_le_bytes()).for_each(&mut mix);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{}.{:09} {what} {words:?}", now / 1_000_000_000, now % 1_000_000_000));
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

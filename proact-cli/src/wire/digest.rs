//! BLAKE3 digests of chunks, and of files as the chain of their chunks.

/// A BLAKE3-256 digest.
pub type Digest = [u8; 32];

/// The digest of one payload.
pub fn digest(payload: &[u8]) -> Digest {
    *blake3::hash(payload).as_bytes()
}

/// The digest of a whole file: BLAKE3 over its chunks' digests, in order.
///
/// Hashing 32 bytes a chunk costs nothing beside hashing the chunk, and both sides have those digests anyway. It
/// depends on the chunk size, which is one throughout a session.
#[derive(Clone, Default, Debug)]
pub struct FileDigest {
    chunks: u64,
    hasher: blake3::Hasher,
}

impl FileDigest {
    /// The digest of a file without chunks so far.
    pub fn new() -> FileDigest {
        FileDigest::default()
    }

    /// Adds the next chunk's digest.
    pub fn push(&mut self, chunk: &Digest) {
        self.chunks += 1;
        self.hasher.update(chunk);
    }

    /// How many chunks were added.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The digest of everything added.
    pub fn finish(&self) -> Digest {
        *self.hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_digest_is_the_digest_of_its_chunks_digests_in_order() {
        let (first, second) = (digest(b"first"), digest(b"second"));
        let mut file = FileDigest::new();
        assert_eq!(file.finish(), digest(b""));
        file.push(&first);
        file.push(&second);
        assert_eq!(file.chunks(), 2);
        assert_eq!(file.finish(), digest(&[first, second].concat()));
        let mut swapped = FileDigest::new();
        swapped.push(&second);
        swapped.push(&first);
        assert_ne!(file.finish(), swapped.finish());
    }
}

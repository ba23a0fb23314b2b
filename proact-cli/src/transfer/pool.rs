//! Chunks that are free: last in, first out, so that the warmest memory is used next.

use super::slab::Chunk;

/// At most `limit` chunks of `length` bytes, made when they are first needed.
pub struct Pool {
    free: Vec<Chunk>,
    made: usize,
    limit: usize,
    length: usize,
}

impl Pool {
    /// A pool that has made none yet.
    pub fn new(limit: usize, length: usize) -> Pool {
        Pool { free: Vec::with_capacity(limit), made: 0, limit, length }
    }

    /// A free chunk; `None` while all are in use.
    pub fn take(&mut self) -> Option<Chunk> {
        if let Some(chunk) = self.free.pop() {
            return Some(chunk);
        }
        if self.made == self.limit {
            return None;
        }
        self.made += 1;
        Some(Chunk::new(self.length))
    }

    /// Takes back what [`Pool::take`] gave.
    pub fn put(&mut self, chunk: Chunk) {
        self.free.push(chunk);
    }

    /// Bytes of each chunk.
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_out_at_once() {
        let mut pool = Pool::new(2, 10);
        let (first, second) = (pool.take().expect("one"), pool.take());
        assert!(second.is_some() && pool.take().is_none());
        pool.put(first);
        assert!(pool.take().is_some() && pool.take().is_none());
    }
}

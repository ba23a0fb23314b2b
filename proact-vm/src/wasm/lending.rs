//! The bytes of a program that its imports have.
//!
//! They are copied, so that what an import keeps is the host's memory. A program may have as many of them out at once
//! as it may have bytes itself, or it could fill the host's memory with copies of its own.

use std::sync::{Arc, Weak};

use proact::status::Code;

use crate::error::{Error, Result};
use crate::machine::work;
use crate::value::Buffer;

/// Most buffers that others may keep of an instance: each takes some bytes besides its own.
const KEPT_MAX: usize = 1 << 16;

/// A range of a program's memory that an import has as a buffer.
pub(super) struct Lent {
    /// Where the buffer's bytes go when the import has returned, if they do.
    pub back_to: Option<usize>,
    pub buffer: Arc<Buffer>,
}

impl Lent {
    pub fn bytes(lent: &[Lent]) -> usize {
        lent.iter().map(|lent| lent.buffer.len()).sum()
    }

    /// Fuel for making them, or for taking them back.
    pub fn fuel(lent: &[Lent], is_back: bool) -> u64 {
        let counted = lent.iter().filter(|lent| !is_back || lent.back_to.is_some());
        counted.map(|lent| work::of_bytes(lent.buffer.len())).sum()
    }
}

/// What others have of an instance's bytes.
pub(super) struct Lending {
    max: usize,
    /// Of imports that have not returned.
    out: usize,
    /// What imports have kept, and may have given up since.
    kept: Vec<Weak<Buffer>>,
    kept_bytes: usize,
}

impl Lending {
    /// For an instance that may have so many bytes.
    pub fn new(max: usize) -> Lending {
        Lending { max, out: 0, kept: Vec::new(), kept_bytes: 0 }
    }

    /// Whether so many buffers of so many bytes together may go out. Looking for what was given up since adds to
    /// `debt`, in fuel.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where others have too many already.
    pub fn check(&mut self, buffers: usize, bytes: usize, debt: &mut u64) -> Result {
        if self.is_within(buffers, bytes) {
            return Ok(());
        }
        *debt = debt.saturating_add(self.kept.len() as u64);
        self.kept.retain(|kept| kept.strong_count() > 0);
        self.kept_bytes = self.kept.iter().filter_map(Weak::upgrade).map(|kept| kept.len()).sum();
        if self.is_within(buffers, bytes) {
            return Ok(());
        }
        let message = format!(
            "{bytes} bytes lent, where imports have {} in {} buffers already, and {} may be out",
            self.out + self.kept_bytes,
            self.kept.len(),
            self.max
        );
        Err(Error::new(Code::ResourceExhausted, message))
    }

    fn is_within(&self, buffers: usize, bytes: usize) -> bool {
        let all = self.out.saturating_add(self.kept_bytes).saturating_add(bytes);
        all <= self.max && self.kept.len() + buffers <= KEPT_MAX
    }

    /// They go out.
    pub fn lend(&mut self, lent: &[Lent]) {
        self.out += Lent::bytes(lent);
    }

    /// The import has returned. What someone still has is kept.
    pub fn take_back(&mut self, lent: Vec<Lent>) {
        self.out -= Lent::bytes(&lent);
        for Lent { buffer, .. } in lent {
            if Arc::strong_count(&buffer) > 1 {
                self.kept_bytes += buffer.len();
                self.kept.push(Arc::downgrade(&buffer));
            }
        }
    }
}

//! Changes of files and directories.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest};
use crate::resource::{Change, Home, Lane, Resource, Watcher};
use crate::status::{Operation, Result};

/// Takes what a watcher has noticed. Yields how many changes, at least one.
///
/// Submit it again for what comes next; in between the system keeps up to its limit of changes, and tells what it lost
/// ([`ChangeMask::OVERFLOWED`](crate::resource::ChangeMask::OVERFLOWED)). A cancel or a close of the watcher ends it
/// once, with no change taken. Nothing is allocated. Kernel-native on io_uring (a read); elsewhere read on the poll
/// thread whenever there is something. Linux 2.6.13.
///
/// ```
/// # use proact::operation::{Complete, Context, Op, Outcome, WatchChanges};
/// struct Shown;
/// impl Complete<WatchChanges> for Shown {
///     fn done(op: Box<Op<WatchChanges, Self>>, outcome: Outcome<WatchChanges>, cx: &mut Context<'_>) {
///         if outcome.result.is_ok() {
///             op.kind.changes().for_each(|change| println!("{:?} {:?}", change.mask, change.name));
///             cx.submit(op).unwrap();
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct WatchChanges {
    watcher: Watcher,
    buffer: Box<[u8]>,
    filled: usize,
}

impl WatchChanges {
    /// Bytes taken at a time, unless said otherwise: some hundred changes.
    const BYTES: usize = 8 * 1024;
    /// Room for one change with the longest name.
    const BYTES_MIN: usize = 16 + 256;

    /// Takes what `watcher` has noticed.
    pub fn new(watcher: Watcher) -> WatchChanges {
        WatchChanges::with_bytes(watcher, WatchChanges::BYTES)
    }

    /// Takes at most `bytes` (at least 272) of changes at a time: one takes 16 and its name, in steps of 16.
    pub fn with_bytes(watcher: Watcher, bytes: usize) -> WatchChanges {
        WatchChanges { watcher, buffer: vec![0; bytes.max(WatchChanges::BYTES_MIN)].into(), filled: 0 }
    }

    /// What was taken, in the order in which it happened.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut bytes = &self.buffer[..self.filled];
        std::iter::from_fn(move || crate::resource::next_change(&mut bytes))
    }
}

impl Sealed for WatchChanges {}

impl Kind for WatchChanges {
    type Output = usize;
    const OPERATION: Operation = Operation::DirectoryWatch;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.filled = 0;
        self.watcher.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.watcher.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let (buffer, length) = (self.buffer.as_mut_ptr(), self.buffer.len());
        Request::Wait(WaitRequest::ReadStream { stream: self.watcher.resource().raw(), buffer, length })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        self.filled = value as usize;
        Ok(self.changes().count())
    }
}

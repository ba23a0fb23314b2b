//! What a proactor counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::operation::engine::Engine;

/// Counters of one proactor since it was built. Taking them costs a copy.
///
/// They display as a table of one line a counter:
///
/// ```
/// # use proact::operation::{Nop, Op};
/// let mut proactor = proact::proactor::Builder::new().name("disks").build().unwrap();
/// proactor.submit(Op::new(Nop, ())).unwrap();
/// proactor.run().unwrap();
/// let table = proactor.statistics().to_string();
/// assert!(table.starts_with("disks\n"));
/// assert!(table.lines().any(|line| line.split_whitespace().eq(["submitted", "1"])));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// What the proactor is called: [`Builder::name`](super::Builder::name).
    pub name: Arc<str>,
    /// Batches submitted.
    pub batches: u64,
    /// Operations submitted; a sequence counts as one.
    pub submitted: u64,
    /// Batches of them that came from other threads.
    pub remote_batches: u64,
    /// Operations and steps that ended.
    pub completed: u64,
    /// Operations and steps in flight now.
    pub queue_depth: u64,
    /// The most there were.
    pub queue_depth_max: u64,
    /// Poll passes.
    pub polls: u64,
    /// Times the poll thread entered the kernel to submit, to wait, or both.
    pub enters: u64,
    /// Entries handed to the kernel: ring entries, or the system calls that carried requests out.
    pub kernel_entries: u64,
    /// Times another thread woke the poll thread from its sleep.
    pub wakes: u64,
    /// Messages to this proactor that were taken.
    pub messages_sent: u64,
    /// Those of them that its receiver was told.
    pub messages_delivered: u64,
    /// Messages that were refused because too many waited.
    pub messages_refused: u64,
    /// Chains handed to the kernel whole.
    pub chains_lowered: u64,
    /// Chains run step by step.
    pub chains_portable: u64,
    /// Lowered chains that a semaphore wait headed.
    pub waits_lowered: u64,
    /// Semaphore signals whose exported descriptor the kernel itself wrote, as a step of a lowered chain.
    pub signals_lowered: u64,
    /// Steps that the kernel itself started when the step before had succeeded: no return to user space.
    pub steps_by_kernel: u64,
    /// Steps that the poll thread started when the step before had succeeded: one poll pass each.
    pub steps_by_poll: u64,
    /// Private eventfds for lowered waits that were there when one was needed.
    pub pool_hits: u64,
    /// Those that had to be made, or could not be had.
    pub pool_misses: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Bytes received from sockets.
    pub bytes_received: u64,
    /// Bytes sent to sockets.
    pub bytes_sent: u64,
    /// Times a receive found its pool empty and waited for a buffer.
    pub starved: u64,
    /// Calls of [progress callbacks](super::Proactor::add_progress).
    pub progress_calls: u64,
    /// What they said that they did, in all.
    pub progress_made: u64,
    /// Worker threads alive now.
    pub workers: u64,
    /// Requests that worker threads carried out.
    pub worker_jobs: u64,
    /// The longest callback. Without [`Builder::time_callbacks`](super::Builder::time_callbacks) it is measured in runs
    /// of up to sixteen, to the system's timer tick, and after the first thousand passes only in one of eight of those
    /// that deliver a single completion: enough to find a callback that blocks, unless it does so once. A simulated
    /// world goes by its own time, which no callback takes.
    pub longest_callback: Duration,
    /// The longest delivery of one poll pass, to the same precision.
    pub longest_pass: Duration,
    /// Operations that a shutdown had to leave to the kernel.
    pub leaked: u64,
    /// How long the poll thread has looked for work instead of sleeping: [`Builder::spin`](super::Builder::spin). Its
    /// processor had nothing else to do in that time, whether something came or not.
    pub spinning: Duration,
}

impl Statistics {
    pub(super) fn of(engine: &Engine) -> Statistics {
        let counts = engine.counts;
        let backend = engine.backend().counters();
        let (pool_hits, pool_misses) = engine.pool_counts();
        Statistics {
            name: engine.shared.name.clone(),
            batches: counts.batches,
            submitted: counts.submitted,
            remote_batches: counts.remote_submitted,
            completed: counts.completed,
            queue_depth: engine.pending() as u64,
            queue_depth_max: counts.depth_max,
            polls: counts.polls,
            enters: backend.enters,
            kernel_entries: backend.entries,
            wakes: engine.shared.wakes(),
            messages_sent: engine.shared.mailbox.accepted(),
            messages_delivered: engine.messages_delivered(),
            messages_refused: engine.shared.mailbox.refused(),
            chains_lowered: counts.chains_lowered,
            chains_portable: counts.chains_portable,
            waits_lowered: counts.waits_lowered,
            signals_lowered: counts.signals_lowered,
            steps_by_kernel: counts.steps_by_kernel,
            steps_by_poll: counts.steps_by_poll,
            pool_hits,
            pool_misses,
            bytes_read: counts.bytes[0],
            bytes_written: counts.bytes[1],
            bytes_received: counts.bytes[2],
            bytes_sent: counts.bytes[3],
            starved: counts.starved,
            progress_calls: counts.progress_calls,
            progress_made: counts.progress_made,
            workers: backend.workers,
            worker_jobs: backend.worker_jobs,
            longest_callback: Duration::from_nanos(counts.longest_callback_ns),
            longest_pass: Duration::from_nanos(counts.longest_pass_ns),
            leaked: counts.leaked,
            spinning: Duration::from_nanos(counts.spinning_ns),
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of them: a new one has a line here too.
        let Statistics {
            name,
            batches,
            submitted,
            remote_batches,
            completed,
            queue_depth,
            queue_depth_max,
            polls,
            enters,
            kernel_entries,
            wakes,
            messages_sent,
            messages_delivered,
            messages_refused,
            chains_lowered,
            chains_portable,
            waits_lowered,
            signals_lowered,
            steps_by_kernel,
            steps_by_poll,
            pool_hits,
            pool_misses,
            bytes_read,
            bytes_written,
            bytes_received,
            bytes_sent,
            starved,
            workers,
            worker_jobs,
            longest_callback,
            longest_pass,
            leaked,
            progress_calls,
            progress_made,
            spinning,
        } = self;
        let counters = [
            ("batches", batches),
            ("submitted", submitted),
            ("remote batches", remote_batches),
            ("completed", completed),
            ("queue depth", queue_depth),
            ("queue depth max", queue_depth_max),
            ("polls", polls),
            ("enters", enters),
            ("kernel entries", kernel_entries),
            ("wakes", wakes),
            ("messages sent", messages_sent),
            ("messages delivered", messages_delivered),
            ("messages refused", messages_refused),
            ("chains lowered", chains_lowered),
            ("chains portable", chains_portable),
            ("waits lowered", waits_lowered),
            ("signals lowered", signals_lowered),
            ("steps by kernel", steps_by_kernel),
            ("steps by poll", steps_by_poll),
            ("pool hits", pool_hits),
            ("pool misses", pool_misses),
            ("bytes read", bytes_read),
            ("bytes written", bytes_written),
            ("bytes received", bytes_received),
            ("bytes sent", bytes_sent),
            ("starved", starved),
            ("workers", workers),
            ("worker jobs", worker_jobs),
            ("leaked", leaked),
            ("progress calls", progress_calls),
            ("progress made", progress_made),
        ];
        write!(f, "{name}")?;
        for (name, value) in counters {
            write!(f, "\n  {name:<20} {value:>16}")?;
        }
        for (name, value) in
            [("spinning", spinning), ("longest callback", longest_callback), ("longest pass", longest_pass)]
        {
            write!(f, "\n  {name:<20} {:>16}", format!("{value:.1?}"))?;
        }
        Ok(())
    }
}

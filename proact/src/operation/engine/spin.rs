//! Looking for work without sleeping, where it was asked for.
//!
//! A kernel takes tens of microseconds to wake a thread that sleeps, be it for a timer or for another thread (on the
//! virtual machines measured 25 to 80). A poll thread that spins for a while before it sleeps is spared that by
//! whatever comes in the meantime, and so is a timer whose last stretch is waited for awake. The price is the
//! processor: all of it for that while, whether anything comes or not.

use std::time::Duration;

use super::Engine;
use crate::backend::Wait;
use crate::status::Result;
use crate::time::Time;

/// What became of a stretch of spinning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spun {
    /// There is something to do, or it was the time that was waited for.
    Due,
    /// Nothing came.
    InVain,
}

impl Engine {
    /// Waits until `limit` at most, spinning first and, where a time ends the wait, last.
    pub(super) fn wait_spinning(&mut self, limit: Time, spin: Duration) -> Result<()> {
        let start = self.shared.clock.now();
        if self.spin(start, limit.min(start + spin), limit)? == Spun::Due {
            return Ok(());
        }
        let alarm = match limit {
            Time::FAR_FUTURE => limit,
            // Not before the origin, which lies in the past.
            limit => Time::from_nanoseconds(limit.as_nanoseconds().saturating_sub(spin.as_nanos() as u64)),
        };
        if self.shared.clock.now() < alarm {
            let shared = self.shared.clone();
            if !shared.prepare_sleep(|| self.has_message()) {
                return Ok(());
            }
            let slept = self.backend_mut_and_queue(Wait::Until(alarm));
            shared.awake();
            slept?;
        }
        let woken = self.shared.clock.now();
        // Whatever ended the sleep before its time is looked at by the pass.
        if woken < alarm || self.has_come() {
            return Ok(());
        }
        self.spin(woken, limit, limit).map(|_| ())
    }

    /// Looks for what has come, again and again until `end`.
    fn spin(&mut self, start: Time, end: Time, limit: Time) -> Result<Spun> {
        let mut now = start;
        let mut spun = Spun::InVain;
        let mut outcome = Ok(());
        loop {
            outcome = outcome.and_then(|()| self.backend_mut_and_queue(Wait::No));
            self.take_signals();
            if outcome.is_err() || self.has_come() {
                spun = Spun::Due;
                break;
            }
            now = self.shared.clock.now();
            if now >= end {
                break;
            }
            std::hint::spin_loop();
        }
        if now >= limit {
            spun = Spun::Due;
        }
        self.counts.spinning_ns += now.since(start).as_nanos() as u64;
        outcome.map(|()| spun)
    }

    /// Whether the pass has something to do beside timers.
    fn has_come(&self) -> bool {
        !self.queue.is_empty() || self.has_message() || self.shared.has_come()
    }
}

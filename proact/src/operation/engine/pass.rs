//! One poll pass: take in, wait, reap, deliver; and the last passes of a shutdown.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::Engine;
use super::entry::{Flags, Phase};
use super::remote::Node;
use crate::backend::{Token, Wait};
use crate::operation::op::failure;
use crate::status::{Code, Result, Status};
use crate::time::{Time, Timeout};

/// What a poll did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Polled {
    /// Final callbacks that ran.
    pub completed: usize,
    /// Messages that were told.
    pub messages: usize,
    /// What [progress callbacks](crate::proactor::Proactor::add_progress) said that they did.
    pub progressed: usize,
    /// Whether somebody asked for a [`wake`](crate::proactor::Handle::wake) since the last poll.
    pub woken: bool,
}

/// Completions that one pass delivers beyond those it reaped: what callbacks cause at once is delivered in the same
/// pass, but not without end, or the backend would starve.
const EXTRA_DELIVERIES: usize = 256;

/// Of these, those that the backend carried out as soon as it was asked: each is a system call, and they may follow
/// from one another for ever.
#[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
pub(super) const CARRIED_OUT_A_PASS: usize = 32;

/// Callbacks between two readings of the coarse clock.
const TIMED_CALLBACKS: usize = 16;

/// Of the passes that deliver one completion, one in so many is timed: the two readings cost 20 ns right after a system
/// call, a tenth of all that such a pass costs.
const LONE_TIMED: u64 = 8;

/// The first passes are all timed.
const PASSES_TIMED: u64 = 1024;

impl Engine {
    /// One pass. Returns after at least one callback, a wake, or the timeout; sooner if the system made it.
    pub(crate) fn poll(&mut self, timeout: Timeout) -> Result<Polled> {
        self.forget_time();
        self.counts.polls += 1;
        self.carried_out = 0;
        self.forget_delivered();
        self.take_remote();
        self.take_signals();
        self.retry();
        self.fire_timers();
        if !(self.backlog.is_empty() && self.cancels.is_empty()) {
            if let Err(status) = self.hand_over_backlog() {
                return self.break_down(status);
            }
        }
        // Whoever is called in every pass has no other way to be told: such a pass does not sleep.
        let watchful = !self.progress.is_empty();
        let progressed = if watchful { self.make_progress() } else { 0 };
        let idle = self.queue.is_empty() && !self.has_message() && !watchful;
        let until = if idle { self.wait_until(timeout) } else { Wait::No };
        let polled = match (until, self.limits.spin) {
            (Wait::Until(limit), Some(spin)) => {
                self.forget_time();
                self.wait_spinning(limit, spin)
            }
            (Wait::Until(limit), None) if self.shared.prepare_sleep(|| self.has_message()) => {
                let polled = self.backend_mut_and_queue(Wait::Until(limit));
                self.shared.awake();
                self.forget_time();
                polled
            }
            _ => self.backend_mut_and_queue(Wait::No),
        };
        self.take_remote();
        self.take_signals();
        if self.queue.is_empty() && !self.timers.is_empty() {
            // It may be a timer's time that ended the sleep, and the next pass would find nothing to wait for: the time
            // itself, not a tick that may lag.
            self.pass_time();
        }
        self.fire_timers();
        if let Err(status) = polled {
            return self.break_down(status);
        }
        let completed = self.deliver();
        let messages = self.tell_messages();
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        Ok(Polled { completed, messages, progressed, woken: self.shared.take_wake_request() })
    }

    /// The backend is broken. What it completed before is delivered all the same, and so are messages.
    #[cold]
    #[inline(never)]
    fn break_down(&mut self, status: Status) -> Result<Polled> {
        self.until = self.queue.len() + EXTRA_DELIVERIES;
        self.deliver_timed();
        self.tell_messages();
        Err(status)
    }

    pub(super) fn backend_mut_and_queue(&mut self, wait: Wait) -> Result<()> {
        let before = self.queue.len();
        let backend = self.backend.as_mut().expect("only a finished shutdown takes the backend away");
        let polled = backend.poll(wait, &mut self.queue);
        if self.lowered_signals > 0 {
            self.adopt_signals(before);
        }
        polled
    }

    fn wait_until(&mut self, timeout: Timeout) -> Wait {
        let limit = match timeout {
            Timeout::Immediate => return Wait::No,
            Timeout::Infinite => Time::FAR_FUTURE,
            Timeout::At(time) => time,
            Timeout::After(duration) => self.pass_time() + duration,
        };
        Wait::Until(self.first_timer().map_or(limit, |deadline| limit.min(deadline)))
    }

    /// The time of this pass; the clock is read when it is first asked for.
    pub(crate) fn pass_time(&mut self) -> Time {
        *self.now.get_or_insert_with(|| self.shared.clock.now())
    }

    #[inline(always)]
    fn forget_time(&mut self) {
        (self.now, self.tick) = (None, None);
    }

    /// What earlier passes delivered is done with.
    fn forget_delivered(&mut self) {
        if self.cursor == self.queue.len() {
            self.queue.clear();
        } else {
            self.queue.drain(..self.cursor);
        }
        self.cursor = 0;
    }

    /// Takes in what other threads sent.
    #[inline(always)]
    fn take_remote(&mut self) {
        if !self.shared.stack.is_empty() {
            self.take_remote_nodes();
        }
    }

    #[inline(never)]
    fn take_remote_nodes(&mut self) {
        let shared = self.shared.clone();
        for node in shared.stack.take(&shared.slots) {
            self.accept_node(node);
        }
    }

    fn accept_node(&mut self, node: Node) {
        match node {
            Node::Batch(head) => {
                self.counts.batches += 1;
                self.counts.remote_submitted += 1;
                self.launch(head);
            }
            Node::Subscription { subscription, gone } => self.look_at_notification(subscription, gone),
            Node::Slot(slot) => {
                let Some(entry) = self.entries.get(slot) else { return };
                if entry.op.is_none() {
                    return; // it has ended since
                }
                if self.shared.slots.get(slot).cancel_requested() {
                    self.cancel_slot(slot);
                }
                if self.entries[slot as usize].phase == Phase::Starved {
                    return self.feed(slot);
                }
                if self.table(slot).class == crate::operation::kind::Class::SemaphoreWait {
                    self.look_at_wait(slot);
                }
                self.look_at_frontier_wait(slot);
            }
        }
    }

    /// Hands to the backend what it had no room for.
    #[inline(always)]
    fn retry(&mut self) {
        if !(self.backlog.is_empty() && self.cancels.is_empty() && self.rearms.is_empty()) {
            self.retry_each();
        }
    }

    #[inline(never)]
    fn retry_each(&mut self) {
        // Left behind by callbacks that panicked.
        while let Some(slot) = self.rearms.pop() {
            self.rearm(slot);
        }
        while let Some(&token) = self.cancels.front() {
            if self.is_to_be_cancelled(token) && !self.backend_mut().cancel(token) {
                break;
            }
            self.cancels.pop_front();
        }
        while let Some(&slot) = self.backlog.front() {
            debug_assert_eq!(self.entries[slot as usize].phase, Phase::Backlog);
            if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
                self.backlog.pop_front();
                // It leaves its stream when that is settled, which first notes a send that stopped midway: the next one
                // must not go then.
                self.end_cancelled(slot);
                continue;
            }
            if !self.try_issue(slot) {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Whether a cancel that waited for room, or that found nothing, is still meant for what runs under `token` now: a
    /// lowered step that came back short in the meantime goes on alone under the same token, and nobody asked that to
    /// end.
    #[cold]
    pub(super) fn is_to_be_cancelled(&self, token: Token) -> bool {
        let entry = &self.entries[token.slot() as usize];
        let with_backend = entry.op.is_some() && entry.token == token && entry.phase == Phase::Kernel;
        with_backend && entry.flags.intersects(Flags::CANCEL | Flags::LOWERED | Flags::ENDING)
    }

    /// Makes the backend take all that it can before it sleeps: what fills it now may be room as soon as it has handed
    /// that over, and of what it holds nothing need ever complete.
    #[cold]
    fn hand_over_backlog(&mut self) -> Result<()> {
        while self.queue.is_empty() && !(self.backlog.is_empty() && self.cancels.is_empty()) {
            let before = (self.backlog.len(), self.cancels.len());
            self.backend_mut_and_queue(Wait::No)?;
            self.retry();
            if (self.backlog.len(), self.cancels.len()) == before {
                // Only a completion makes room then, and that ends the sleep.
                break;
            }
        }
        Ok(())
    }

    /// Settles and delivers what is on the queue.
    #[inline(always)]
    fn deliver(&mut self) -> usize {
        let before = self.counts.completed;
        self.until = self.queue.len() + EXTRA_DELIVERIES;
        let lone = self.queue.len() - self.cursor <= 1;
        if lone
            && !self.limits.time_callbacks
            && self.counts.polls > PASSES_TIMED
            && self.counts.polls % LONE_TIMED != 0
        {
            self.deliver_untimed();
        } else {
            self.deliver_timed();
        }
        (self.counts.completed - before) as usize
    }

    #[inline(always)]
    fn deliver_untimed(&mut self) {
        while self.cursor < self.queue.len().min(self.until) {
            let completion = self.queue[self.cursor];
            // First, so that a callback that panics leaves the rest in the queue and itself behind.
            self.cursor += 1;
            self.dispatch(completion);
        }
    }

    #[inline(never)]
    fn deliver_timed(&mut self) {
        let mut clock = PassClock::start(self);
        while self.cursor < self.queue.len().min(self.until) {
            let completion = self.queue[self.cursor];
            // As above.
            self.cursor += 1;
            self.dispatch(completion);
            clock.callback(self);
        }
        clock.end(self);
    }

    /// Refuses new operations, cancels all, and delivers what ends until `deadline`. Answers how many did not end. Goes
    /// on with the first panic of a callback, when all is done.
    pub(crate) fn shutdown(&mut self, deadline: Duration) -> usize {
        if self.backend.is_none() {
            return self.counts.leaked as usize;
        }
        self.closing = true;
        self.end_progress();
        let shared = self.shared.clone();
        for node in shared.stack.close(&shared.slots) {
            self.accept_node(node);
        }
        for slot in self.entries.slots() {
            if self.entries[slot as usize].op.is_some() {
                self.cancel_slot(slot);
            }
        }
        self.inbox.close(&shared.mailbox);
        let deadline = self.shared.clock.now() + deadline;
        let mut panic = None;
        while (self.live > 0 || self.owes_messages()) && self.shared.clock.now() < deadline {
            // A callback that panics keeps no other from its own, nor the backend from being let go in order.
            match catch_unwind(AssertUnwindSafe(|| self.poll(Timeout::At(deadline)))) {
                Ok(Ok(_)) => {}
                // A backend that is broken for good gives nothing back any more.
                Ok(Err(_)) => break,
                Err(payload) => panic = panic.or(Some(payload)),
            }
        }
        self.counts.leaked = self.live as u64;
        self.abandon_leaked();
        let backend = self.backend.take();
        if self.live == 0 {
            drop(backend);
        } else {
            // The kernel, or a worker, may still write to what these operations own. Neither they nor the backend's own
            // storage are ever freed.
            std::mem::forget(backend);
        }
        if let Some(panic) = panic.or(self.panic.take()) {
            // A thread that unwinds already has its reason, and a second one would end the process.
            if !std::thread::panicking() {
                resume_unwind(panic);
            }
        }
        self.live
    }

    /// Nobody will hear of what the backend does not give back: whoever waits for an effect of it is told that none
    /// comes.
    fn abandon_leaked(&mut self) {
        if self.live == 0 {
            return;
        }
        for slot in self.entries.slots() {
            let entry = &self.entries[slot as usize];
            let Some(raw) = entry.op else { continue };
            if entry.flags.contains(Flags::LOWERED) {
                continue; // the kernel may come to it yet, and looks for its descriptor then
            }
            let begun = entry.phase != Phase::Waiting;
            if let Some(adopts) = &self.table(slot).adopts {
                let status = failure(raw, Code::Aborted, 0).with_message("the proactor has shut down before its end");
                let _ = self.guarded(raw, || {
                    // SAFETY: the operation is the engine's, and stays so; what this touches the backend knows not of.
                    unsafe { (adopts.abandon)(raw, &status, begun) };
                    Ok(())
                });
            }
        }
    }
}

/// Measures the longest callback and the longest pass.
///
/// A reading of the precise clock for each callback costs as much as all else about it, so by default the coarse clock
/// is read for every sixteenth: what is reported is the longest run of sixteen callbacks, to the system's tick (1 to
/// 10 ms). That finds callbacks that block, which is what it is for.
struct PassClock {
    start: u64,
    last: u64,
    count: usize,
    precise: bool,
}

impl PassClock {
    fn start(engine: &Engine) -> PassClock {
        let precise = engine.limits.time_callbacks;
        let start = PassClock::read(engine, precise);
        PassClock { start, last: start, count: 0, precise }
    }

    fn read(engine: &Engine, precise: bool) -> u64 {
        let clock = &engine.shared.clock;
        if precise { clock.now().as_nanoseconds() } else { clock.tick().as_nanoseconds() }
    }

    #[inline]
    fn callback(&mut self, engine: &mut Engine) {
        self.count += 1;
        if self.precise || self.count % TIMED_CALLBACKS == 0 {
            self.lap(engine);
        }
    }

    fn lap(&mut self, engine: &mut Engine) {
        let now = PassClock::read(engine, self.precise);
        let counts = &mut engine.counts;
        counts.longest_callback_ns = counts.longest_callback_ns.max(now.saturating_sub(self.last));
        self.last = now;
    }

    fn end(mut self, engine: &mut Engine) {
        if self.count == 0 {
            return;
        }
        if !self.precise && self.count % TIMED_CALLBACKS != 0 {
            self.lap(engine);
        }
        let pass = self.last.saturating_sub(self.start);
        engine.counts.longest_pass_ns = engine.counts.longest_pass_ns.max(pass);
    }
}

//! Cancels that have to be asked for again.
//!
//! ENOENT does not say that a request has ended. One whose socket became ready just as the kernel began to wait for it
//! is neither run nor waited for until this thread next enters: it stands in a queue of work (`IO_APOLL_READY` in
//! `io_queue_async`, io_uring/io_uring.c), where no cancel looks. What is submitted by that enter comes first, so a
//! cancel among it finds nothing, and a whole receive then waits for the rest of its bytes as if nobody had asked
//! (seen on Linux 6.18: once in some hundred interrupted transfers).
//!
//! So whoever asked is told that the request was not found, and asks again if it has not ended: at once the first time,
//! since the queue is empty after one enter, then after pauses that double. A request may not be found for long: one
//! that a disk carries out is not, until it has ended.

use std::time::Duration;

use super::IoUring;
use super::table::{ROLE_CANCEL, Standing};
use crate::backend::Token;
use crate::status::Result;
use crate::time::Time;

/// The pause before the third question.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// A request that a cancel has not found.
#[derive(Debug)]
struct Missed {
    token: Token,
    /// How long to wait with the next question.
    pause: Duration,
    turn: Turn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// The asker's: it was told that the request was not found.
    Asker,
    /// Nobody's until then.
    Later(Time),
    /// The kernel's: it has been asked.
    Kernel,
}

/// The requests that cancels have not found, and when each is to be asked for again.
#[derive(Default, Debug)]
pub(super) struct Insistence {
    missed: Vec<Missed>,
}

impl Insistence {
    pub(super) fn is_empty(&self) -> bool {
        self.missed.is_empty()
    }

    /// The kernel has not found `token`'s request, and whoever asked is told so next.
    pub(super) fn missed(&mut self, token: Token) {
        match self.missed.iter_mut().find(|missed| missed.token == token) {
            Some(missed) => missed.turn = Turn::Asker,
            None => self.missed.push(Missed { token, pause: Duration::ZERO, turn: Turn::Asker }),
        }
    }

    /// The kernel has found it.
    pub(super) fn found(&mut self, token: Token) {
        self.missed.retain(|missed| missed.token != token);
    }

    /// A cancel of `token` is asked for at `now`. Whether that is to wait.
    pub(super) fn postpones(&mut self, token: Token, now: Time) -> bool {
        let Some(missed) = self.missed.iter_mut().find(|missed| missed.token == token) else { return false };
        let pause = missed.pause;
        missed.pause = (pause * 2).clamp(PAUSE, PAUSE_MAX);
        missed.turn = if pause.is_zero() { Turn::Kernel } else { Turn::Later(now + pause) };
        !pause.is_zero()
    }

    /// Forgets what was not asked for again since it was told: it has ended.
    pub(super) fn forget_ended(&mut self) {
        self.missed.retain(|missed| missed.turn != Turn::Asker);
    }

    /// The next one to ask the kernel for at `now`.
    pub(super) fn next_due(&mut self, now: Time) -> Option<Token> {
        let due = |missed: &&mut Missed| matches!(missed.turn, Turn::Later(time) if time <= now);
        let missed = self.missed.iter_mut().find(due)?;
        missed.turn = Turn::Kernel;
        Some(missed.token)
    }

    /// When to ask next.
    pub(super) fn next_time(&self) -> Option<Time> {
        let later = |missed: &Missed| if let Turn::Later(time) = missed.turn { Some(time) } else { None };
        self.missed.iter().filter_map(later).min()
    }
}

impl IoUring {
    /// Asks again for the cancels whose time has come.
    #[cold]
    pub(super) fn insist(&mut self) -> Result<()> {
        self.table.insistence.forget_ended();
        let now = self.clock.now();
        while self.table.insistence.next_time().is_some_and(|time| time <= now) && self.make_room()? {
            let Some(token) = self.table.insistence.next_due(now) else { break };
            match self.table.standing(token) {
                Standing::Kernel { user_data } => _ = self.push_cancel(token, user_data),
                _ => self.table.insistence.found(token),
            }
        }
        Ok(())
    }

    /// Puts a cancel into the ring, if there is room.
    pub(super) fn push_cancel(&mut self, token: Token, user_data: u64) -> bool {
        let Some(entry) = self.ring.free() else { return false };
        entry.set_cancel(user_data);
        entry.set_user_data(token.with_role(ROLE_CANCEL).to_bits());
        // SAFETY: just filled; a cancel points nowhere.
        unsafe { self.ring.commit() };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_nanoseconds(milliseconds * 1_000_000)
    }

    #[test]
    fn it_asks_again_at_once_and_then_after_pauses_that_double() {
        let (mut insistence, token) = (Insistence::default(), Token::new(3, 7));
        let mut now = 1000;
        assert!(!insistence.postpones(token, at(now)), "what was never missed is asked for");
        insistence.missed(token);
        assert!(!insistence.postpones(token, at(now)));
        for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
            insistence.missed(token);
            assert!(insistence.postpones(token, at(now)));
            assert_eq!(insistence.next_time(), Some(at(now + pause)));
            assert_eq!(insistence.next_due(at(now + pause - 1)), None);
            now += pause;
            insistence.forget_ended();
            assert_eq!(insistence.next_due(at(now)), Some(token));
            assert_eq!((insistence.next_due(at(now)), insistence.next_time()), (None, None), "one question at a time");
        }
        insistence.found(token);
        assert!(insistence.is_empty());
    }

    #[test]
    fn what_nobody_asks_for_again_is_forgotten() {
        let (mut insistence, token) = (Insistence::default(), Token::new(3, 7));
        insistence.missed(token);
        insistence.found(Token::new(3, 8));
        assert!(!insistence.is_empty());
        insistence.forget_ended();
        assert!(insistence.is_empty());
    }
}

//! From the engine to the backend: a request is handed over, waits for room, or is carried out at once.

use super::Engine;
use super::entry::Phase;
#[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
use super::{Lane, NIL, pass};
#[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
use crate::backend::Completion;
use crate::backend::{Request, Start};

impl Engine {
    /// Hands `slot` to the backend, or to the backlog when it has no room.
    #[inline(always)]
    pub(super) fn issue(&mut self, slot: u32) {
        if !self.backlog.is_empty() {
            // Others wait for room already, and were first.
            self.entries[slot as usize].phase = Phase::Backlog;
            self.backlog.push_back(slot);
        } else if !self.try_issue(slot) {
            self.backlog.push_back(slot);
        }
    }

    /// `false`: no room, and the operation is in phase `Backlog`.
    #[inline(always)]
    pub(super) fn try_issue(&mut self, slot: u32) -> bool {
        let entry = &mut self.entries[slot as usize];
        // Before it is so, which spares a second look at the entry.
        entry.phase = Phase::Kernel;
        let (token, progress) = (entry.token, entry.progress);
        let raw = entry.op.expect("an occupied slot");
        // SAFETY: the operation is the engine's, and its table its own.
        let table = unsafe { raw.as_ref() }.table;
        // A kind without parameters need not be asked: see [`Kind::BARE`](crate::operation::kind::Kind::BARE).
        // SAFETY: as above.
        let request = if table.bare { Request::Nop } else { unsafe { (table.request)(raw, progress) } };
        // SAFETY: what the request points to belongs to the operation, which stays where it is and untouched until its
        // completion has been settled; the slot has one request at a time.
        let start = unsafe { self.backend_mut().start(token, &request) };
        match start {
            Start::Accepted => true,
            #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
            Start::CarriedOut(result) => {
                self.carried_out(slot, result);
                true
            }
            #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
            Start::Full => {
                self.entries[slot as usize].phase = Phase::Backlog;
                false
            }
        }
    }

    /// The backend has carried `slot` out, which is told from the queue as everything is: in this pass, or, when many
    /// of this pass have been told so, in the next, so that a socket that always has a datagram holds up nobody.
    ///
    /// Who comes to its stream until then need not wait. Those who stand behind it already go ahead when it is told,
    /// one a completion: no recursion. One that goes on keeps its place.
    #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
    fn carried_out(&mut self, slot: u32, result: i32) {
        self.carried_out += 1;
        if self.carried_out > pass::CARRIED_OUT_A_PASS {
            self.until = self.until.min(self.queue.len());
        }
        let entry = &self.entries[slot as usize];
        self.queue.push(Completion { token: entry.token, result, flags: 0 });
        if entry.record != NIL && entry.lane != Lane::Other && entry.lane_next == NIL && !self.table(slot).multishot {
            let next = self.step_aside(slot);
            debug_assert!(next.is_none(), "nobody stands behind slot {slot}");
        }
    }
}

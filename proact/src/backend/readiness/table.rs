//! Parked requests: what waits, on which side of which descriptor, in the order it came.
//!
//! Slots and descriptor numbers are both small and dense, so both have tables by number. A slot leaves its queue in
//! constant time. A descriptor whose queues are empty carries no state over to its next use: its number may by then
//! belong to another.

use super::Interest;
use super::attempt::Progress;
use crate::backend::workers::slot_list::{SlotLinks, SlotList};
use crate::backend::{BySlot, Request, Token, WaitRequest};

/// A request that waits for readiness.
#[derive(Clone, Copy)]
pub(super) struct Parked {
    pub(super) token: Token,
    pub(super) request: Request,
    pub(super) progress: Progress,
    pub(super) fd: i32,
    /// One side, READABLE or WRITABLE.
    pub(super) side: Interest,
}

// One for each connection that waits.
const _: () = assert!(size_of::<Option<Parked>>() <= 72);

/// What is known of one descriptor number.
#[derive(Clone, Copy)]
struct Watched {
    readers: SlotList,
    writers: SlotList,
    /// What the kernel watches it for. Only believed while something is parked: the engine above keeps the descriptor
    /// open then, and what is registered is registered for this very file.
    armed: Interest,
    /// How many of the parked ones go on after their first outcome.
    lasting: u32,
    /// Stands in the list of changed descriptors.
    changed: bool,
}

impl Watched {
    const IDLE: Watched = Watched {
        readers: SlotList::EMPTY,
        writers: SlotList::EMPTY,
        armed: Interest::empty(),
        lasting: 0,
        changed: false,
    };

    fn queue(&mut self, side: Interest) -> &mut SlotList {
        if side == Interest::READABLE { &mut self.readers } else { &mut self.writers }
    }

    fn wanted(&self) -> Interest {
        let mut wanted = Interest::empty();
        wanted.set(Interest::READABLE, !self.readers.is_empty());
        wanted.set(Interest::WRITABLE, !self.writers.is_empty());
        wanted.set(Interest::LASTING, self.lasting > 0);
        wanted
    }
}

/// All parked requests of a backend.
#[derive(Default)]
pub(super) struct Table {
    slots: BySlot<Option<Parked>>,
    links: SlotLinks,
    /// By descriptor number.
    watched: Vec<Watched>,
    /// Descriptors whose interest may differ from what the kernel was told.
    changed: Vec<i32>,
    parked: usize,
}

impl Table {
    /// How many requests are parked.
    pub(super) fn len(&self) -> usize {
        self.parked
    }

    /// The slot of the request that came first on this side and still waits.
    pub(super) fn first(&self, fd: i32, side: Interest) -> Option<u32> {
        let watched = self.watched.get(usize::try_from(fd).ok()?)?;
        if side == Interest::READABLE { watched.readers.first() } else { watched.writers.first() }
    }

    /// The request parked in `slot`.
    pub(super) fn parked(&mut self, slot: u32) -> Option<&mut Parked> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot of `token`'s request, if that one is parked there and no later one.
    pub(super) fn find(&self, token: Token) -> Option<u32> {
        let parked = self.slots.get(token.slot())?.as_ref()?;
        (parked.token == token).then_some(token.slot())
    }

    /// Puts a request behind those that wait on its side already.
    pub(super) fn park(&mut self, parked: Parked) {
        let (slot, fd) = (parked.token.slot(), parked.fd);
        let place = self.slots.make(slot, || None);
        debug_assert!(place.is_none(), "slot {slot} waits already");
        *place = Some(parked);
        if fd as usize >= self.watched.len() {
            self.watched.resize(fd as usize + 1, Watched::IDLE);
        }
        self.watched[fd as usize].lasting += u32::from(lasts(&parked.request));
        self.links.push(self.watched[fd as usize].queue(parked.side), slot);
        self.parked += 1;
        self.mark(fd);
    }

    /// Who stands behind `slot` in its queue.
    pub(super) fn next(&self, slot: u32) -> Option<u32> {
        self.links.next(slot)
    }

    /// Takes the request out of `slot`, where one is parked. `true`: the kernel must be told at once to watch its
    /// descriptor no more.
    pub(super) fn unpark(&mut self, slot: u32) -> (Parked, bool) {
        let parked = self.slots[slot as usize].take().expect("the slot's request is parked");
        let watched = &mut self.watched[parked.fd as usize];
        self.links.remove(watched.queue(parked.side), slot);
        watched.lasting -= u32::from(lasts(&parked.request));
        let mut disarm = false;
        if watched.wanted().is_empty() {
            // From here on the descriptor may be closed by anyone and its number belong to another file, for which
            // nothing is registered: the next to park must not be told that it is.
            disarm = watched.armed.contains(Interest::LASTING);
            watched.armed = Interest::empty();
        }
        self.parked -= 1;
        self.mark(parked.fd);
        (parked, disarm)
    }

    /// The kernel has reported the descriptor and stopped to watch it, unless the set `lasts`.
    pub(super) fn fired(&mut self, fd: i32, lasts: bool) {
        let Some(watched) = self.watched.get_mut(fd as usize) else { return };
        if lasts && watched.armed.contains(Interest::LASTING) {
            return;
        }
        watched.armed = Interest::empty();
        if !watched.wanted().is_empty() {
            self.mark(fd);
        }
    }

    /// A descriptor for which the kernel must be told anew what to watch for, and what that is: nothing, when idle.
    pub(super) fn next_changed(&mut self) -> Option<(i32, Interest)> {
        while let Some(fd) = self.changed.pop() {
            let watched = &mut self.watched[fd as usize];
            watched.changed = false;
            let wanted = watched.wanted();
            if wanted.is_empty() || wanted != watched.armed {
                return Some((fd, wanted));
            }
        }
        None
    }

    /// The kernel was told.
    pub(super) fn armed(&mut self, fd: i32, interest: Interest) {
        self.watched[fd as usize].armed = interest;
    }

    fn mark(&mut self, fd: i32) {
        let watched = &mut self.watched[fd as usize];
        if !watched.changed {
            watched.changed = true;
            self.changed.push(fd);
        }
    }
}

/// Whether a request goes on after its first outcome.
pub(super) fn lasts(request: &Request) -> bool {
    matches!(request, Request::Wait(WaitRequest::PollMany { .. } | WaitRequest::EventWaitMany { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Descriptor;

    fn parked(slot: u32, fd: i32, side: Interest) -> Parked {
        let request = Request::EventWait { event: Descriptor(fd.into()) };
        Parked { token: Token::new(1, slot), request, progress: Progress::default(), fd, side }
    }

    fn table() -> Table {
        Table::default()
    }

    fn tell(table: &mut Table) -> Vec<(i32, Interest)> {
        std::iter::from_fn(|| {
            let (fd, interest) = table.next_changed()?;
            table.armed(fd, interest);
            Some((fd, interest))
        })
        .collect()
    }

    #[test]
    fn interest_of_both_sides_is_told_once_however_many_park() {
        let mut table = table();
        for slot in 0..3 {
            table.park(parked(slot, 5, Interest::READABLE));
        }
        table.park(parked(3, 5, Interest::WRITABLE));
        assert_eq!(tell(&mut table), [(5, Interest::BOTH)]);
        table.park(parked(4, 5, Interest::WRITABLE));
        table.unpark(0);
        assert_eq!(tell(&mut table), [], "nothing new to watch for");
        assert_eq!(table.first(5, Interest::READABLE), Some(1));
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn report_disarms_and_what_still_waits_is_armed_again() {
        let mut table = table();
        table.park(parked(0, 5, Interest::READABLE));
        table.park(parked(1, 5, Interest::WRITABLE));
        tell(&mut table);
        table.fired(5, false);
        table.unpark(0);
        assert_eq!(tell(&mut table), [(5, Interest::WRITABLE)]);
    }

    #[test]
    fn idle_descriptor_is_armed_anew_even_within_one_pass() {
        let mut table = table();
        table.park(parked(0, 5, Interest::READABLE));
        tell(&mut table);
        table.unpark(0);
        table.park(parked(1, 5, Interest::READABLE));
        assert_eq!(tell(&mut table), [(5, Interest::READABLE)], "the number may be another file's by now");
        table.fired(99, false); // never seen: a stale report harms nothing
    }

    #[test]
    fn token_of_an_earlier_use_of_the_slot_finds_no_one() {
        let mut table = table();
        table.park(parked(2, 5, Interest::READABLE));
        assert_eq!(table.find(Token::new(1, 2)), Some(2));
        assert_eq!(table.find(Token::new(2, 2)), None);
        assert_eq!(table.find(Token::new(1, 3)), None);
        assert_eq!(table.find(Token::new(1, 4000)), None);
    }

    fn lasting(slot: u32, fd: i32) -> Parked {
        let request = Request::Wait(WaitRequest::EventWaitMany { event: Descriptor(fd.into()) });
        Parked { request, ..parked(slot, fd, Interest::READABLE) }
    }

    #[test]
    fn what_goes_on_stays_armed_and_is_disarmed_with_the_last_that_waits() {
        let mut table = table();
        table.park(lasting(0, 5));
        table.park(parked(1, 5, Interest::READABLE));
        assert_eq!(tell(&mut table), [(5, Interest::READABLE | Interest::LASTING)]);
        table.fired(5, true);
        assert_eq!(tell(&mut table), [], "it reports on");
        assert!(!table.unpark(0).1, "another waits, and will be armed for one report");
        assert_eq!(tell(&mut table), [(5, Interest::READABLE)]);
        table.park(lasting(0, 5));
        tell(&mut table);
        assert!(!table.unpark(1).1);
        assert!(table.unpark(0).1, "from here on anyone may close it");
        table.park(lasting(0, 5));
        tell(&mut table);
        table.fired(5, false);
        assert_eq!(tell(&mut table), [(5, Interest::READABLE | Interest::LASTING)], "a set whose watches do not last");
    }
}

//! Which proactors know a piece of memory, and by what number.

use std::sync::OnceLock;

use crate::atomic::{AtomicU64, Ordering};

/// The number of a registered buffer in its proactor's table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fixed {
    /// The place in the table.
    pub index: u16,
}

/// How a proactor knows a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The proactor.
    pub proactor: u32,
    /// The number under which its kernel ring has the memory pinned; `None` where registering is a note and no more.
    pub fixed: Option<Fixed>,
}

/// Memory that can be registered with proactors (by a [`Register`](crate::operation::Register) operation): a
/// [`Region`](super::Region), or a buffer of another crate that embeds [`Registrations`].
///
/// # Safety
///
/// `as_mut_ptr` and `len` give the same answers as long as the value lives, and so long the bytes between are mapped
/// for reading and writing. They are not written by anyone but operations that own bytes of them.
pub unsafe trait Registrable: Send + Sync + 'static {
    /// Where the memory begins.
    fn as_mut_ptr(&self) -> *mut u8;
    /// Bytes in it.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Who knows it.
    fn registrations(&self) -> &Registrations;
    /// Whether operations may own bytes of it; otherwise there is nothing to register it for.
    fn is_lent(&self) -> bool {
        true
    }
}

/// The proactors that a piece of memory is registered with: a small table that is read without a lock.
///
/// It is part of every [`Region`](super::Region), and plain state that needs no backend: a buffer type of another crate
/// may embed one, and answer from it in [`StableBytes::registration`](super::StableBytes::registration). All calls may
/// come from any thread.
///
/// ```
/// use proact::memory::{Fixed, Registrations};
/// let known = Registrations::new();
/// assert!(known.add(7, Some(Fixed { index: 3 })));
/// assert_eq!(known.find(7).unwrap().fixed, Some(Fixed { index: 3 }));
/// assert!(!known.add(7, None), "it is registered there already");
/// assert!(known.remove(7).is_some() && known.find(7).is_none());
/// ```
#[derive(Debug, Default)]
pub struct Registrations {
    /// Proactor in the upper half, then [`LIVE`], [`HAS_INDEX`] and the index; 0 is a free place.
    places: [AtomicU64; PLACES],
    /// More places, made when these were all taken.
    more: OnceLock<Box<Registrations>>,
}

/// Places side by side: a process has few proactors, and most memory is registered with one.
const PLACES: usize = 4;
const LIVE: u64 = 1 << 31;
const HAS_INDEX: u64 = 1 << 30;

fn pack(proactor: u32, fixed: Option<Fixed>) -> u64 {
    let index = fixed.map_or(0, |fixed| HAS_INDEX | u64::from(fixed.index));
    u64::from(proactor) << 32 | LIVE | index
}

fn unpack(word: u64) -> Registration {
    let fixed = (word & HAS_INDEX != 0).then_some(Fixed { index: word as u16 });
    Registration { proactor: (word >> 32) as u32, fixed }
}

fn is_of(word: u64, proactor: u32) -> bool {
    word & LIVE != 0 && (word >> 32) as u32 == proactor
}

impl Registrations {
    /// Registered nowhere.
    pub fn new() -> Registrations {
        Registrations::default()
    }

    fn tables(&self) -> impl Iterator<Item = &Registrations> {
        std::iter::successors(Some(self), |table| table.more.get().map(|more| &**more))
    }

    /// How `proactor` knows the memory, if it does. At most a few loads.
    #[inline]
    pub fn find(&self, proactor: u32) -> Option<Registration> {
        let places = self.tables().flat_map(|table| &table.places);
        places.map(|place| place.load(Ordering::Acquire)).find(|word| is_of(*word, proactor)).map(unpack)
    }

    /// Whether no proactor knows the memory.
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Every proactor that knows the memory.
    pub fn all(&self) -> Vec<Registration> {
        let places = self.tables().flat_map(|table| &table.places);
        places.map(|place| place.load(Ordering::Acquire)).filter(|word| *word != 0).map(unpack).collect()
    }

    /// Notes that `proactor` knows the memory. `false`: it did already, and nothing has changed. The proactor's own
    /// thread makes this call, so that two of them for one proactor do not meet.
    pub fn add(&self, proactor: u32, fixed: Option<Fixed>) -> bool {
        if self.find(proactor).is_some() {
            return false;
        }
        let mut table = self;
        loop {
            for place in &table.places {
                let word = pack(proactor, fixed);
                if place.compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return true;
                }
            }
            table = table.more.get_or_init(Box::default);
        }
    }

    /// Takes the note of `proactor` back, and tells what it was.
    pub fn remove(&self, proactor: u32) -> Option<Registration> {
        for place in self.tables().flat_map(|table| &table.places) {
            let word = place.load(Ordering::Acquire);
            if is_of(word, proactor) && place.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(unpack(word));
            }
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn more_proactors_than_places_are_all_remembered() {
        let known = Registrations::new();
        for proactor in 0..20 {
            assert!(known.add(proactor, (proactor % 2 == 0).then_some(Fixed { index: proactor as u16 })));
        }
        assert_eq!(known.all().len(), 20);
        assert_eq!(known.find(18), Some(Registration { proactor: 18, fixed: Some(Fixed { index: 18 }) }));
        assert_eq!(known.find(19), Some(Registration { proactor: 19, fixed: None }));
        assert_eq!(known.find(20), None);
        for proactor in 0..20 {
            assert!(known.remove(proactor).is_some() && known.remove(proactor).is_none());
        }
        assert!(known.is_empty());
    }

    #[test]
    fn the_greatest_id_and_index_are_kept_whole() {
        let known = Registrations::new();
        assert!(known.add(u32::MAX, Some(Fixed { index: u16::MAX })));
        assert_eq!(known.find(u32::MAX).unwrap().fixed, Some(Fixed { index: u16::MAX }));
        assert_eq!(known.find(0), None);
    }

    #[test]
    fn threads_find_what_others_add_and_remove_beside_it() {
        let known = Registrations::new();
        known.add(1000, Some(Fixed { index: 9 }));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let known = &known;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        assert!(known.add(thread, None));
                        assert_eq!(known.find(1000).unwrap().fixed, Some(Fixed { index: 9 }));
                        assert_eq!(known.remove(thread), Some(Registration { proactor: thread, fixed: None }));
                    }
                });
            }
        });
        assert_eq!(known.all().len(), 1);
    }
}

//! Keys, values, and when they are forgotten.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proact_async::time::Time;

type Key = Box<[u8]>;

/// All keys. Time is passed in, so that whoever tests it has it in hand.
#[derive(Default)]
pub struct Store {
    entries: HashMap<Key, Entry>,
    /// What is forgotten when, the next first.
    ends: BTreeSet<(Time, Key)>,
}

struct Entry {
    value: Vec<u8>,
    end: Option<Time>,
}

impl Store {
    /// Forgets what is over at `now`. Everything else is true from then on.
    pub fn forget(&mut self, now: Time) {
        while let Some((end, _)) = self.ends.first() {
            if *end > now {
                return;
            }
            if let Some((_, key)) = self.ends.pop_first() {
                self.entries.remove(&key);
            }
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key's value.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(|entry| entry.value.as_slice())
    }

    /// Gives the key a value, until `end`.
    pub fn set(&mut self, key: &[u8], value: Vec<u8>, end: Option<Time>) {
        let old = self.entries.insert(key.into(), Entry { value, end }).and_then(|old| old.end);
        self.moved(key, old, end);
    }

    /// Gives the key a value, and leaves it when it is forgotten.
    pub fn change(&mut self, key: &[u8], value: Vec<u8>) {
        match self.entries.get_mut(key) {
            Some(entry) => entry.value = value,
            None => self.set(key, value, None),
        }
    }

    /// Forgets the key. Answers whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let old = self.entries.remove(key);
        let was_there = old.is_some();
        self.moved(key, old.and_then(|old| old.end), None);
        was_there
    }

    /// Says when the key is forgotten. Answers whether it is there, and when it was to be before.
    pub fn expire(&mut self, key: &[u8], end: Option<Time>) -> Option<Option<Time>> {
        let old = std::mem::replace(&mut self.entries.get_mut(key)?.end, end);
        self.moved(key, old, end);
        Some(old)
    }

    /// How long the key is still there: `None` when it is not, `Some(None)` for ever.
    pub fn left(&self, key: &[u8], now: Time) -> Option<Option<Duration>> {
        Some(self.entries.get(key)?.end.map(|end| end - now))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Store::default();
    }

    fn moved(&mut self, key: &[u8], old: Option<Time>, new: Option<Time>) {
        if let Some(old) = old {
            self.ends.remove(&(old, key.into()));
        }
        if let Some(new) = new {
            self.ends.insert((new, key.into()));
        }
    }
}

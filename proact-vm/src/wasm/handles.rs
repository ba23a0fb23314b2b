//! The references that a program holds, under numbers.
//!
//! A number and not an `externref`, for two reasons: languages that compile to WebAssembly keep numbers in memory and
//! `externref` nowhere, and the engine frees an `externref` with its whole store, so that a program which runs for long
//! would hold on to all that it was ever lent. So a reference is counted for the program from where it is given to
//! where it is released, and all that are left go with the instance.

use std::collections::VecDeque;

use proact::status::Code;

use crate::error::{Error, Result};
use crate::value::Ref;

/// Most references that an instance can hold.
pub(super) const HANDLES_MAX: usize = u16::MAX as usize;

/// A handle is slot + 1 in the lower half and the slot's generation in the upper, so that it is never negative, never
/// 0, and one that was released is refused until the slot has been used [`GENERATIONS`] times more.
const GENERATIONS: u16 = 1 << 15;

/// References by handle.
pub(super) struct Handles {
    slots: Vec<Slot>,
    /// The longest free first.
    free: VecDeque<u16>,
    most: usize,
}

struct Slot {
    generation: u16,
    reference: Ref,
}

impl Handles {
    /// For `most` references at once.
    pub fn new(most: usize) -> Handles {
        Handles { slots: Vec::new(), free: VecDeque::new(), most: most.min(HANDLES_MAX) }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a reference in; null is 0.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when the program holds as many as it may.
    pub fn insert(&mut self, reference: Ref) -> Result<i32> {
        if reference.is_null() {
            return Ok(0);
        }
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None if self.slots.len() < self.most => {
                self.slots.push(Slot { generation: 0, reference: Ref::NULL });
                (self.slots.len() - 1) as u16
            }
            None => {
                let message = format!("the program holds {} references, and has released none of them", self.most);
                return Err(Error::new(Code::ResourceExhausted, message));
            }
        };
        let place = &mut self.slots[usize::from(slot)];
        place.reference = reference;
        Ok((i32::from(place.generation as i16) << 16) | (i32::from(slot) + 1))
    }

    /// The reference of a handle, which keeps it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a number that is no handle, or no more.
    pub fn get(&self, handle: i32) -> Result<Ref> {
        if handle == 0 {
            return Ok(Ref::NULL);
        }
        Ok(self.slots[self.find(handle)?].reference.clone())
    }

    /// Gives the reference up; of 0 nothing.
    ///
    /// # Errors
    /// As [`Handles::get`].
    pub fn take(&mut self, handle: i32) -> Result<Ref> {
        if handle == 0 {
            return Ok(Ref::NULL);
        }
        let index = self.find(handle)?;
        let slot = &mut self.slots[index];
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push_back(index as u16);
        Ok(std::mem::take(&mut slot.reference))
    }

    fn find(&self, handle: i32) -> Result<usize> {
        let (index, generation) = ((handle & 0xffff) as usize, handle >> 16);
        let slot = index.checked_sub(1).and_then(|index| self.slots.get(index));
        match slot {
            Some(slot) if i32::from(slot.generation) == generation && !slot.reference.is_null() => Ok(index - 1),
            _ => Err(Error::invalid(format!("{handle} is no reference that the program holds"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::{Access, Buffer};

    fn object() -> Arc<Buffer> {
        Arc::new(Buffer::new([0; 1], Access::ReadOnly))
    }

    #[test]
    fn a_reference_is_counted_until_it_is_released() {
        let mut handles = Handles::new(4);
        let object = object();
        let one = handles.insert(Ref::from(object.clone())).expect("room");
        let two = handles.insert(Ref::from(object.clone())).expect("room");
        assert_ne!(one, two);
        assert_eq!((Arc::strong_count(&object), handles.len()), (3, 2));
        assert!(handles.get(one).expect("held") == handles.get(two).expect("held"));
        drop(handles.take(one).expect("held"));
        assert_eq!((Arc::strong_count(&object), handles.len()), (2, 1));
        drop(handles);
        assert_eq!(Arc::strong_count(&object), 1);
    }

    #[test]
    fn null_is_zero_and_wrong_numbers_are_refused() {
        let mut handles = Handles::new(4);
        assert_eq!(handles.insert(Ref::NULL).expect("null"), 0);
        assert!(handles.get(0).expect("null").is_null() && handles.take(0).expect("null").is_null());
        let handle = handles.insert(Ref::from(object())).expect("room");
        handles.take(handle).expect("held");
        for wrong in [handle, handle + 1, -1, i32::MIN, i32::MAX, 0x1_0000, 0xffff] {
            assert_eq!(handles.get(wrong).expect_err("no handle").code(), Code::InvalidArgument, "{wrong}");
            assert!(handles.take(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_is_a_limit_and_room_again_after_a_release() {
        let mut handles = Handles::new(2);
        let held: Vec<i32> = (0..2).map(|_| handles.insert(Ref::from(object())).expect("room")).collect();
        assert_eq!(handles.insert(Ref::from(object())).expect_err("full").code(), Code::ResourceExhausted);
        handles.take(held[0]).expect("held");
        let next = handles.insert(Ref::from(object())).expect("room again");
        assert_ne!(next, held[0], "a stale handle does not name what came after");
    }

    #[test]
    fn handles_stay_positive_and_the_table_agrees_with_a_list_over_all_generations() {
        let mut random = oorandom::Rand32::new(0xa11);
        let (mut handles, mut held) = (Handles::new(3), Vec::new());
        for step in 0..200_000 {
            if held.len() < 3 && (held.is_empty() || random.rand_u32() % 2 == 0) {
                let object = object();
                let handle = handles.insert(Ref::from(object.clone())).expect("room");
                assert!(handle > 0 && held.iter().all(|(other, _)| *other != handle), "step {step}: {handle}");
                held.push((handle, object));
            } else {
                let (handle, object) = held.swap_remove(random.rand_range(0..held.len() as u32) as usize);
                assert!(handles.take(handle).expect("held") == Ref::from(object), "step {step}");
            }
            assert_eq!(handles.len(), held.len());
        }
    }
}

//! Every interleaving of a few takers, givers and a pool that goes.

use loom::sync::Arc;
use loom::thread;

use super::stacks::{Below, Stacks};
use crate::atomic::{AtomicBool, AtomicU32, Ordering};

/// The stacks of a pool, with what each number is to tell whoever takes it.
struct Model {
    stacks: Stacks,
    below: Vec<AtomicU32>,
    /// Whether somebody has it.
    held: Vec<AtomicBool>,
    /// What its last holder wrote, without any order of its own.
    written: Vec<AtomicU32>,
}

impl Below for Model {
    fn below(&self, index: u32) -> &AtomicU32 {
        &self.below[index as usize]
    }
}

impl Model {
    fn new(count: u32) -> Arc<Model> {
        let model = Model {
            stacks: Stacks::new(),
            // No number: whoever reads a place too early finds that.
            below: (0..count).map(|_| AtomicU32::new(9_999)).collect(),
            held: (0..count).map(|_| AtomicBool::new(true)).collect(),
            written: (0..count).map(|_| AtomicU32::new(0)).collect(),
        };
        Arc::new(model)
    }

    fn give(&self, index: u32) -> bool {
        self.written[index as usize].store(index + 1, Ordering::Relaxed);
        assert!(self.held[index as usize].swap(false, Ordering::Relaxed), "given twice");
        self.stacks.give(self.below(index), index)
    }

    fn took(&self, index: u32) {
        assert!(!self.held[index as usize].swap(true, Ordering::Relaxed), "taken twice");
        assert_eq!(self.written[index as usize].load(Ordering::Relaxed), index + 1, "the last holder's word was lost");
    }

    fn take(&self) -> Option<u32> {
        let index = self.stacks.take(self)?;
        self.took(index);
        Some(index)
    }
}

#[test]
fn loom_two_takers_and_givers_never_have_the_same_number() {
    loom::model(|| {
        let model = Model::new(2);
        (0..2).for_each(|index| assert!(model.give(index)));
        let other = model.clone();
        let thread = thread::spawn(move || {
            if let Some(index) = other.take() {
                assert!(other.give(index));
            }
        });
        if let Some(index) = model.take() {
            assert!(model.give(index));
        }
        thread.join().unwrap();
        let all = (model.take(), model.take());
        assert!(matches!(all, (Some(0), Some(1)) | (Some(1), Some(0))), "{all:?}");
        assert_eq!(model.take(), None);
    });
}

/// A taker is held up while others take, give back and take over, until the top is what it saw, over another below it.
#[test]
fn loom_a_take_that_was_held_up_does_not_take_what_has_been_taken() {
    loom::model(|| {
        let model = Model::new(3);
        (0..3).for_each(|index| assert!(model.give(index)));
        assert_eq!(model.take(), Some(2), "now 1 is ready, over 0");
        let other = model.clone();
        let thread = thread::spawn(move || other.take());
        let mine = (model.take(), model.take());
        if mine == (Some(1), Some(0)) {
            assert!(model.give(1) && model.give(0));
            model.take();
        }
        thread.join().unwrap();
        // Nothing that somebody has is among what is left.
        while model.take().is_some() {}
    });
}

#[test]
fn loom_what_is_taken_over_is_whole_for_those_who_take_it_then() {
    loom::model(|| {
        let model = Model::new(3);
        let other = model.clone();
        let thread = thread::spawn(move || (other.take(), other.take()));
        (0..3).for_each(|index| assert!(model.give(index)));
        model.take();
        thread.join().unwrap();
        while model.take().is_some() {}
    });
}

#[test]
fn loom_who_cannot_make_another_finds_what_is_on_the_way() {
    loom::model(|| {
        let model = Model::new(2);
        (0..2).for_each(|index| assert!(model.give(index)));
        let other = model.clone();
        let last = |model: &Model| {
            let index = model.stacks.take_last(model).expect("one is idle throughout");
            model.took(index);
        };
        // Two are there, one for each.
        let thread = thread::spawn(move || last(&other));
        last(&model);
        thread.join().unwrap();
    });
}

#[test]
fn loom_each_number_is_found_by_the_close_or_told_that_it_comes_too_late() {
    loom::model(|| {
        let model = Model::new(2);
        let other = model.clone();
        let thread = thread::spawn(move || u32::from(!other.give(0)) + u32::from(!other.give(1)));
        let mut idle = 0;
        model.stacks.close(&*model, |index| {
            assert_eq!(model.written[index as usize].load(Ordering::Relaxed), index + 1);
            idle += 1;
        });
        let late = thread.join().unwrap();
        assert_eq!(idle + late, 2);
    });
}

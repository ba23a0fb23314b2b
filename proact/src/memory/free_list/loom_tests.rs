//! The free list under every interleaving: `ci/loom.sh loom_tests::loom_number`.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;

/// A list, and beside each number a cell that only its holder touches: loom finds it if two hold one at once, or if one
/// does not see what the one before did.
struct Buffers {
    list: FreeList,
    cells: Vec<UnsafeCell<u32>>,
}

impl Buffers {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new(count: u32) -> Arc<Buffers> {
        let cells = (0..count).map(|_| UnsafeCell::new(0)).collect();
        Arc::new(Buffers { list: FreeList::new(count), cells })
    }

    fn take(&self) -> Option<u32> {
        let index = self.list.take()?;
        self.touch(index);
        Some(index)
    }

    fn give(&self, index: u32) -> Given {
        self.touch(index);
        self.list.give(index, || ())
    }

    fn touch(&self, index: u32) {
        // SAFETY: that a number's holder is alone with its cell is what the models check.
        self.cells[index as usize].with_mut(|uses| unsafe { *uses += 1 });
    }
}

#[test]
fn loom_number_is_taken_by_one_while_others_take_and_give() {
    loom::model(|| {
        let buffers = Buffers::new(2);
        let threads = [0, 1].map(|_| {
            let buffers = buffers.clone();
            thread::spawn(move || {
                let index = buffers.take().expect("two are enough for two");
                buffers.give(index);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(buffers.list.available(), 2);
        let mut all = [buffers.take().unwrap(), buffers.take().unwrap()];
        all.sort_unstable();
        assert_eq!((all, buffers.take()), ([0, 1], None));
    });
}

/// The top is taken, what lay below it is taken, and the top comes back: it looks as before, and is not.
#[test]
fn loom_number_below_a_top_that_came_back_is_not_taken_twice() {
    loom::model(|| {
        let buffers = Buffers::new(3);
        let slow = {
            let buffers = buffers.clone();
            thread::spawn(move || buffers.take())
        };
        let (first, second) = (buffers.take(), buffers.take());
        buffers.give(first.unwrap());
        let mut held = vec![buffers.take(), second, slow.join().unwrap()];
        held.sort_unstable();
        assert_eq!(held, [Some(0), Some(1), Some(2)]);
    });
}

#[test]
fn loom_number_counts_are_right_when_gives_meet() {
    loom::model(|| {
        let buffers = Buffers::new(3);
        let (first, second) = (buffers.take().unwrap(), buffers.take().unwrap());
        let thread = {
            let buffers = buffers.clone();
            thread::spawn(move || buffers.give(first))
        };
        buffers.give(second);
        let seen = buffers.list.available();
        assert!(seen == 2 || seen == 3);
        thread.join().unwrap();
        assert_eq!(buffers.list.available(), 3);
    });
}

/// Whoever learns that the list is whole frees the pool: exactly one, and after all that the others did.
#[test]
fn loom_number_given_last_to_a_closed_list_ends_it_once() {
    loom::model(|| {
        let buffers = Buffers::new(2);
        let threads = [0, 1].map(|_| {
            let (buffers, index) = (buffers.clone(), buffers.take().unwrap());
            thread::spawn(move || ends(&buffers, buffers.give(index) == Given::Whole))
        });
        let mut ended = u32::from(ends(&buffers, buffers.list.close()));
        for thread in threads {
            ended += u32::from(thread.join().unwrap());
        }
        assert_eq!(ended, 1);
    });

    fn ends(buffers: &Buffers, whole: bool) -> bool {
        if whole {
            // As freeing does: it must come after every other use.
            buffers.touch(0);
            buffers.touch(1);
        }
        whole
    }
}

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};

use super::*;
use crate::backend::DescriptorMode;

fn home() -> Home {
    Home { proactor: 1, mode: DescriptorMode::NonBlocking }
}

fn pool(count: u32) -> EventPool {
    EventPool::create(home(), count, None).unwrap()
}

/// Which descriptor it is: what tells events apart.
fn name(event: &Event) -> i32 {
    event.resource().raw().fd()
}

fn is_set(event: &Event) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let asked = event.resource().with(Operation::None, |descriptor| {
        // SAFETY: the resource keeps the descriptor open while its lock is held.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
        let mut asked = [PollFd::new(&fd, PollFlags::IN)];
        Ok(rustix::event::poll(&mut asked, Some(&at_once)).unwrap())
    });
    asked.unwrap() > 0
}

#[test]
fn an_empty_pool_comes_and_goes() {
    let empty = pool(0);
    assert!(empty.is_empty() && !empty.is_placed());
}

#[test]
fn events_made_beforehand_are_given_first_and_each_once() {
    let pool = pool(4);
    assert_eq!(pool.len(), 4);
    let events: Vec<Event> = (0..4).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(pool.len(), 4, "none was made for these");
    assert_eq!(events.iter().map(name).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn a_pool_grows_on_demand_and_all_events_are_different() {
    let pool = pool(2);
    let events: Vec<Event> = (0..40).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(pool.len(), 40, "over three pieces of memory");
    assert_eq!(events.iter().map(name).collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn the_last_one_given_back_is_the_next_one_taken_when_its_stack_is_taken_over() {
    let pool = pool(2);
    let (first, second) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    let names = (name(&first), name(&second));
    drop(first);
    drop(second);
    let again = pool.acquire().unwrap();
    assert_eq!((name(&again), pool.len()), (names.1, 2));
    assert_eq!(name(&pool.acquire().unwrap()), names.0);
}

#[test]
fn an_event_is_back_only_when_its_last_handle_has_gone() {
    let pool = pool(1);
    let event = pool.acquire().unwrap();
    let other = event.clone();
    let first = name(&event);
    drop(event);
    assert_ne!(name(&pool.acquire().unwrap()), first, "another was made");
    assert_eq!(pool.len(), 2);
    drop(other);
    let both = (pool.acquire().unwrap(), pool.acquire().unwrap());
    assert!([name(&both.0), name(&both.1)].contains(&first));
    assert_eq!(pool.len(), 2);
}

#[test]
fn an_event_that_was_set_and_not_waited_for_is_reset_for_the_next() {
    let pool = pool(1);
    let event = pool.acquire().unwrap();
    assert!(!is_set(&event));
    (0..3).for_each(|_| event.set().unwrap());
    assert!(is_set(&event));
    drop(event);
    let event = pool.acquire().unwrap();
    assert!(!is_set(&event));
    event.set().unwrap();
    assert!(is_set(&event), "and works");
    assert_eq!(pool.len(), 1);
}

#[test]
fn an_event_whose_user_closed_it_is_made_anew() {
    let pool = pool(1);
    let event = pool.acquire().unwrap();
    assert!(event.resource().begin_close());
    event.resource().shut();
    assert!(event.set().is_err());
    drop(event);
    let event = pool.acquire().unwrap();
    event.set().unwrap();
    assert_eq!(pool.len(), 1);
}

#[test]
fn events_outlive_their_pool_and_the_idle_ones_close_with_it() {
    let pool = pool(3);
    let (first, second) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    drop(first);
    drop(pool);
    second.set().unwrap();
    let copy = second.clone();
    drop(second);
    assert!(is_set(&copy));
}

#[test]
fn too_many_and_unknown_nodes_are_refused() {
    let refused = EventPool::create(home(), COUNT_MAX + 1, None).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(EventPool::create(home(), 1, Some(9_999)).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_pool_on_the_first_node_works_placed_or_not() {
    let pool = EventPool::create(home(), 2, Some(0)).unwrap();
    let placed = Region::allocate(1, &Allocation::new().node(0)).is_ok();
    assert_eq!(pool.is_placed(), placed);
    pool.acquire().unwrap().set().unwrap();
}

#[test]
fn numbers_lie_one_behind_the_other_in_pieces_that_double() {
    let pool = pool(16);
    let shared = pool.shared();
    assert_eq!(
        [0, 15, 16, 31, 32, 63, 64].map(|index| shared.place(index)),
        [(0, 0), (0, 15), (1, 0), (1, 15), (2, 0), (2, 31), (3, 0)]
    );
    assert!(shared.place(COUNT_MAX).0 < CHUNKS);
}

#[test]
fn many_threads_never_have_the_same_event_and_all_come_back() {
    let pool = pool(4);
    let held: Vec<AtomicBool> = (0..4096).map(|_| AtomicBool::new(false)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pool, held) = (&pool, &held);
            scope.spawn(move || {
                for round in 0..10_000 {
                    let events: Vec<Event> = (0..1 + (round + thread) % 3).map(|_| pool.acquire().unwrap()).collect();
                    for event in &events {
                        let name = name(event) as usize;
                        assert!(!held[name].swap(true, StdOrdering::SeqCst), "two have it");
                        assert!(!is_set(event), "another's set");
                    }
                    if round % 4 == 0 {
                        events[0].set().unwrap();
                    }
                    events.iter().for_each(|event| held[name(event) as usize].store(false, StdOrdering::SeqCst));
                }
            });
        }
    });
    // How many were made depends on how the threads ran; that all of them are back does not.
    let made = pool.len();
    let all: Vec<Event> = (0..made).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((all.iter().map(name).collect::<BTreeSet<_>>().len() as u32, pool.len()), (made, made));
}

#[test]
fn pools_that_are_dropped_while_their_events_come_back_free_everything() {
    for _ in 0..500 {
        let pool = pool(3);
        let events: Vec<Event> = (0..3).map(|_| pool.acquire().unwrap()).collect();
        std::thread::scope(|scope| {
            for event in events {
                scope.spawn(move || drop(event));
            }
            scope.spawn(move || drop(pool));
        });
    }
}

/// W-18: neither lock nor call. A call of either side would end the thread that makes it.
#[cfg(target_os = "linux")]
#[test]
fn a_release_and_an_acquire_of_a_clean_event_make_no_system_call() {
    use crate::sync::without_calls::comes_through;

    let pool = pool(8);
    let theirs = pool.clone();
    let through = comes_through(move || {
        for round in 0..100 {
            // Up to all of them, so that the one side takes over what the other has got back.
            let mut events = [const { None }; 8];
            for event in &mut events[..1 + round % 8] {
                *event = Some(theirs.acquire().unwrap());
            }
            let another = events[0].clone();
            drop(events);
            drop(another);
        }
    });
    if let Some(through) = through {
        assert!(through);
        assert_eq!(pool.len(), 8, "all came back");
        assert_eq!(comes_through(move || _ = pool.acquire().unwrap().set()), Some(false), "a set is a call");
    }
}

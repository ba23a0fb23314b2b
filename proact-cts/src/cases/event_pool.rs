//! Pools of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::operation::{Close, Complete, Context, EventWait, EventWaitMany, Op, Outcome, Relay};
use proact::status::Code;
use proact::sync::Event;

use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;

cases![
    events_of_a_pool_are_waited_for_and_come_back,
    an_operation_in_flight_keeps_its_event_from_the_pool,
    many_sets_and_no_wait_do_not_disturb_the_next_user,
    a_cancelled_wait_leaves_its_event_clean_for_the_next_user,
    an_event_that_was_closed_is_replaced,
    a_pool_on_a_node_says_whether_it_is_there,
    a_pool_that_cannot_grow_says_so_and_goes_on
        .real("a descriptor of the operating system")
        .alone()
        .only(Only::Extremes),
    an_event_that_cannot_be_reset_is_not_given_out_set
        .real("a descriptor of the operating system")
        .alone()
        .only(Only::Extremes),
    every_event_is_closed_with_its_pool_or_after_it.alone().only(Only::Extremes),
    threads_share_a_pool.real("other threads").only(Only::Whole),
];

#[track_caller]
fn assert_not_set(cts: &mut Cts, event: &Event) {
    let (op, wait) = cts.watch(EventWait::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert!(!wait.is_done(), "it is set");
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
}

fn events_of_a_pool_are_waited_for_and_come_back(cts: &mut Cts) {
    let pool = cts.handle().event_pool(2).unwrap();
    for round in 0..100 {
        let event = pool.acquire().unwrap();
        let wait = cts.start(EventWait::new(event.clone()));
        if round % 2 == 0 {
            cts.look();
            assert!(!wait.is_done(), "round {round}");
        }
        event.set().unwrap();
        cts.until("the round's wait", || wait.is_done());
        wait.only().result.unwrap();
    }
    assert_eq!(pool.len(), 2, "none was made for that");
}

fn an_operation_in_flight_keeps_its_event_from_the_pool(cts: &mut Cts) {
    let pool = cts.handle().event_pool(1).unwrap();
    let event = pool.acquire().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    let setter = event.clone();
    drop(event);
    let other = pool.acquire().unwrap();
    assert_eq!(pool.len(), 2, "the wait has the first");
    setter.set().unwrap();
    cts.until("the wait", || wait.is_done());
    assert_not_set(cts, &other);
}

fn many_sets_and_no_wait_do_not_disturb_the_next_user(cts: &mut Cts) {
    let pool = cts.handle().event_pool(1).unwrap();
    for sets in [1, 2, 7] {
        let event = pool.acquire().unwrap();
        (0..sets).for_each(|_| event.set().unwrap());
        drop(event);
        let event = pool.acquire().unwrap();
        assert_not_set(cts, &event);
        // By a relay, too.
        let source = cts.handle().event().unwrap();
        source.set().unwrap();
        cts.get(Relay::new(source, event));
        let event = pool.acquire().unwrap();
        assert_not_set(cts, &event);
    }
    assert_eq!(pool.len(), 1);
}

fn a_cancelled_wait_leaves_its_event_clean_for_the_next_user(cts: &mut Cts) {
    let pool = cts.handle().event_pool(1).unwrap();
    let event = pool.acquire().unwrap();
    let (op, wait) = cts.watch(EventWaitMany::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    event.set().unwrap();
    drop(event);
    cts.until("the cancelled wait", || wait.is_done());
    drop(wait);
    let event = pool.acquire().unwrap();
    assert_eq!(pool.len(), 1);
    assert_not_set(cts, &event);
}

fn an_event_that_was_closed_is_replaced(cts: &mut Cts) {
    let pool = cts.handle().event_pool(1).unwrap();
    let event = pool.acquire().unwrap();
    cts.get(Close::new(event.clone()));
    assert_eq!(event.set().unwrap_err().code(), Code::FailedPrecondition);
    drop(event);
    let event = pool.acquire().unwrap();
    event.set().unwrap();
    cts.get(EventWait::new(event));
    assert_eq!(pool.len(), 1);
}

fn a_pool_on_a_node_says_whether_it_is_there(cts: &mut Cts) {
    assert!(!cts.handle().event_pool(4).unwrap().is_placed(), "none was asked for");
    let pool = cts.handle().event_pool_on(0, 4).unwrap();
    let how = proact::memory::Allocation::new().node(0);
    assert_eq!(pool.is_placed(), proact::memory::Region::allocate(1, &how).is_ok());
    let event = pool.acquire().unwrap();
    event.set().unwrap();
    cts.get(EventWait::new(event));
    assert_eq!(cts.handle().event_pool_on(9_999, 1).unwrap_err().code(), Code::NotFound);
}

fn a_pool_that_cannot_grow_says_so_and_goes_on(cts: &mut Cts) {
    let pool = cts.handle().event_pool(4).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    // Descriptors that are open stay so; no new one is below this.
    let none = rustix::process::Rlimit { current: Some(0), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
    let events: Vec<_> = (0..4).map(|_| pool.acquire()).collect();
    let refused = pool.acquire();
    // Many threads at once meet the same failure, and no other.
    let codes: Vec<Code> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..100).map(|_| pool.acquire().unwrap_err().code()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let events: Vec<Event> = events.into_iter().map(Result::unwrap).collect();
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    assert!(codes.iter().all(|code| *code == Code::ResourceExhausted));
    drop(events);
    assert!((0..4).all(|_| pool.acquire().is_ok()));
    pool.acquire().unwrap();
}

/// Where no descriptor may be had, none may be asked for either (poll(2): EINVAL beyond `RLIMIT_NOFILE`): the event can
/// be neither reset nor replaced.
fn an_event_that_cannot_be_reset_is_not_given_out_set(cts: &mut Cts) {
    let pool = cts.handle().event_pool(1).unwrap();
    pool.acquire().unwrap().set().unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let none = rustix::process::Rlimit { current: Some(0), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
    let refused = [(); 3].map(|()| pool.acquire());
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    for refused in refused {
        assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    }
    let event = pool.acquire().unwrap();
    assert_eq!(pool.len(), 1, "the same one");
    assert_not_set(cts, &event);
    event.set().unwrap();
    cts.get(EventWait::new(event));
}

fn every_event_is_closed_with_its_pool_or_after_it(cts: &mut Cts) {
    let before = cts.descriptors();
    let pool = cts.handle().event_pool(8).unwrap();
    let mut events: Vec<Event> = (0..20).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(cts.descriptors() - before, 20);
    for round in 0..100 {
        events.truncate(20 - round % 13);
        events.resize_with(20, || pool.acquire().unwrap());
    }
    assert_eq!(cts.descriptors() - before, 20, "all came back, none was made");
    events.truncate(3);
    drop(pool);
    assert_eq!(cts.descriptors() - before, 3, "the idle ones go with the pool");
    events[0].set().unwrap();
    cts.get(EventWait::new(events[0].clone()));
    drop(events);
    assert_eq!(cts.descriptors(), before);
}

/// Counts waits that have ended. What the proactor has in flight does not count those that are on their way to it.
struct Counted(Arc<AtomicUsize>);

impl Complete<EventWait> for Counted {
    fn done(op: Box<Op<EventWait, Self>>, outcome: Outcome<EventWait>, _: &mut Context<'_>) {
        outcome.result.unwrap();
        op.state.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// W-18: the reference takes a mutex for each.
fn threads_share_a_pool(cts: &mut Cts) {
    let pool = cts.handle().event_pool(4).unwrap();
    let handle = cts.handle().clone();
    let ended = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (pool, handle, ended) = (pool.clone(), handle.clone(), ended.clone());
            std::thread::spawn(move || {
                for _ in 0..100 {
                    let event = pool.acquire().unwrap();
                    event.set().unwrap();
                    handle.submit(Op::new(EventWait::new(event), Counted(ended.clone()))).unwrap();
                }
            })
        })
        .collect();
    cts.until("what the threads submitted", || ended.load(Ordering::SeqCst) == 400);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let made = pool.len();
    let all: Vec<Event> = (0..made).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(pool.len(), made, "every one came back");
    all.iter().for_each(|event| assert_not_set(cts, event));
}

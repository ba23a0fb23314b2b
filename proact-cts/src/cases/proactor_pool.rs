//! The pool of proactors, one a NUMA node.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use proact::operation::{Complete, Context, Nop, Op, Outcome, Timer};
use proact::proactor::{ProactorPool, ThreadBody, ThreadOptions};
use proact::status::{Code, Operation, Status};
use proact::time::Time;
use proact::topology::Affinity;

use super::proactor_thread::Stuck;
use crate::bench::{Cts, eventually, patience};
use crate::cases;
use crate::harness::Only;
use crate::system::{threads_named, unique};

cases![
    a_pool_without_places_is_refused.real("other threads").only(Only::Once),
    a_place_past_the_end_is_out_of_range.real("other threads").only(Only::Once),
    a_pool_that_nobody_asked_has_no_thread.real("other threads").only(Only::Once),
    the_first_who_asks_makes_it_and_the_next_gets_the_same.real("other threads").only(Only::Whole),
    places_on_different_nodes_are_different_proactors.real("other threads").only(Only::Whole),
    a_node_is_found_exactly_or_not_at_all.real("other threads").only(Only::Whole),
    handles_outlive_the_pool.real("other threads").only(Only::Whole),
    forty_nodes_end_together.real("other threads").only(Only::Whole),
    a_node_that_takes_long_holds_no_other_up.real("other threads").only(Only::Whole),
    who_asks_for_the_same_waits_and_gets_it.real("other threads").only(Only::Once),
    a_place_that_failed_is_tried_again.real("other threads").only(Only::Once),
    a_runner_that_asks_for_its_own_place_is_told_so.real("other threads").only(Only::Once),
    a_shutdown_has_one_deadline_and_tells_of_each.real("other threads").only(Only::Whole),
    a_shutdown_while_a_place_is_made_ends_that_too.real("other threads").only(Only::Whole),
    a_pool_is_shut_down_by_a_callback_of_its_own.real("other threads").only(Only::Whole),
    a_pool_is_dropped_by_a_callback_of_its_own.real("other threads").only(Only::Whole),
    the_name_is_the_pools_own_and_tells_the_node.real("other threads").only(Only::Whole),
    what_is_in_flight_is_cancelled_by_the_shutdown.real("other threads").only(Only::Whole),
    many_threads_ask_and_each_place_is_made_once.real("other threads").only(Only::Whole),
    the_pool_of_this_machine_has_a_place_a_node.real("other threads").only(Only::Whole),
];

/// `count` places on made-up nodes, the first of which is `first`, that run anywhere.
fn places(first: u32, count: u32) -> Vec<Affinity> {
    (first..first + count).map(|node| Affinity::any().with_memory_node(node)).collect()
}

fn pool_of(cts: &Cts, places: Vec<Affinity>, options: ThreadOptions) -> ProactorPool {
    ProactorPool::new(places, cts.config.builder().name(name()), options).unwrap()
}

fn pool(cts: &Cts, count: u32) -> ProactorPool {
    pool_of(cts, places(0, count), ThreadOptions::new())
}

/// A name that no other case has.
fn name() -> String {
    format!("p{}", unique())
}

fn a_pool_without_places_is_refused(cts: &mut Cts) {
    let refused = ProactorPool::new([], cts.config.builder(), ThreadOptions::new()).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::InvalidArgument, Operation::ProactorPool));
}

fn a_place_past_the_end_is_out_of_range(cts: &mut Cts) {
    let pool = pool_of(cts, vec![Affinity::any()], ThreadOptions::new());
    pool.get(0).unwrap();
    assert_eq!((pool.len(), pool.is_empty()), (1, false));
    for index in [1, usize::MAX] {
        assert_eq!(pool.get(index).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(pool.name(index).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(pool.affinity(index).unwrap_err().code(), Code::OutOfRange);
    }
}

fn a_pool_that_nobody_asked_has_no_thread(cts: &mut Cts) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let options = ThreadOptions::new().runner(move |_: ThreadBody| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let pool = pool_of(cts, places(0, 4), options);
    assert_eq!((pool.started(), pool.index_of(3)), (0, Some(3)));
    let ended = pool.shutdown(patience());
    assert!(ended.len() == 4 && ended.iter().all(|place| place.ended.is_none()));
    drop(pool);
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

fn the_first_who_asks_makes_it_and_the_next_gets_the_same(cts: &mut Cts) {
    let pool = pool(cts, 3);
    let first = pool.get(1).unwrap();
    assert_eq!(pool.started(), 1);
    assert!(std::ptr::eq(first, pool.get(1).unwrap()));
    assert_eq!(pool.started(), 1);
}

fn places_on_different_nodes_are_different_proactors(cts: &mut Cts) {
    let pool = pool(cts, 2);
    let (one, other) = (pool.get(0).unwrap(), pool.get(1).unwrap());
    assert_ne!(one.name(), other.name());
    // A resource of one is none of the other.
    let event = one.event().unwrap();
    let refused = other.submit(Op::new(proact::operation::EventWait::new(event), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

/// W-23: an unknown node must not silently come to mean the first place.
fn a_node_is_found_exactly_or_not_at_all(cts: &mut Cts) {
    let mut nodes = places(4, 2);
    nodes.push(Affinity::any());
    let pool = pool_of(cts, nodes, ThreadOptions::new());
    assert!(std::ptr::eq(pool.on(5).unwrap(), pool.get(1).unwrap()));
    for unknown in [0, 6, u32::MAX] {
        let refused = pool.on(unknown).unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        assert_eq!(pool.index_of(unknown), None);
    }
    assert_eq!(pool.started(), 1, "nothing was made for what is not there");
    // The program's choice, in its own words.
    assert!(std::ptr::eq(pool.get(pool.index_of(6).unwrap_or(0)).unwrap(), pool.on(4).unwrap()));
}

fn handles_outlive_the_pool(cts: &mut Cts) {
    let pool = pool(cts, 2);
    let handle = pool.get(0).unwrap().clone();
    let event = handle.event().unwrap();
    drop(pool);
    let (op, watch) = cts.watch(Nop);
    let refused = handle.submit(op).unwrap_err();
    assert_eq!((refused.status.code(), watch.calls()), (Code::Aborted, 0));
    drop(refused.batch);
    handle.wake();
    event.set().unwrap();
}

/// W-22: the reference asks at most 16 to stop, and then waits for all of them, for ever.
fn forty_nodes_end_together(cts: &mut Cts) {
    const NODES: u32 = 40;
    let pool = pool(cts, NODES);
    let watches: Vec<_> = (0..NODES)
        .map(|node| {
            let (op, watch) = cts.watch(Nop);
            pool.on(node).unwrap().submit(op).unwrap();
            watch
        })
        .collect();
    eventually("a nop on each of forty", || watches.iter().all(|watch| watch.is_done()));
    assert_eq!(pool.started(), NODES as usize);
    let ended = pool.shutdown(patience());
    assert_eq!(ended.len(), NODES as usize);
    for (node, place) in ended.iter().enumerate() {
        let ended = place.ended.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((place.node, &*ended.statistics.name), (Some(node as u32), &*place.name));
        assert_eq!((ended.statistics.completed, ended.leaked), (1, 0));
    }
}

/// Runs bodies on threads; that of `slow` only once it is let go. Tells when it is asked for that one.
fn held_up(slow: &'static str) -> (ThreadOptions, std::sync::mpsc::Receiver<()>, Sender<()>) {
    let ((tell, asked), (let_go, go)) = (channel(), channel::<()>());
    let held = Mutex::new(Some((tell, go)));
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        if body.name().ends_with(slow) {
            let (tell, go) = held.lock().unwrap().take().expect("asked for once");
            tell.send(()).unwrap();
            go.recv_timeout(patience()).unwrap();
        }
        std::thread::spawn(move || body.run());
        Ok(())
    });
    (options, asked, let_go)
}

/// W-23: the reference holds one lock while it makes a proactor and its thread.
fn a_node_that_takes_long_holds_no_other_up(cts: &mut Cts) {
    let (options, asked, let_go) = held_up("-n0");
    let pool = pool_of(cts, places(0, 3), options);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| pool.get(0).map(|handle| handle.name().to_owned()));
        asked.recv_timeout(patience()).unwrap();
        pool.get(1).unwrap();
        pool.get(2).unwrap();
        assert_eq!(pool.started(), 2);
        let_go.send(()).unwrap();
        assert!(slow.join().unwrap().unwrap().ends_with("-n0"));
    });
    assert_eq!(pool.started(), 3);
}

fn who_asks_for_the_same_waits_and_gets_it(cts: &mut Cts) {
    let (options, asked, let_go) = held_up("-n0");
    let pool = pool_of(cts, places(0, 1), options);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| pool.get(0).unwrap());
        asked.recv_timeout(patience()).unwrap();
        let second = scope.spawn(|| pool.get(0).unwrap());
        let_go.send(()).unwrap();
        // The runner would panic if it was asked twice.
        assert!(std::ptr::eq(first.join().unwrap(), second.join().unwrap()));
    });
}

fn a_place_that_failed_is_tried_again(cts: &mut Cts) {
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        if fails.load(Ordering::Relaxed) {
            return Err(Status::new(Code::ResourceExhausted, Operation::None));
        }
        std::thread::spawn(move || body.run());
        Ok(())
    });
    let pool = pool_of(cts, places(7, 1), options);
    for _ in 0..2 {
        let failed = pool.on(7).unwrap_err();
        assert_eq!(failed.code(), Code::ResourceExhausted);
        assert!(failed.to_string().contains("-n7\""), "it says which place: {failed}");
    }
    assert_eq!(pool.started(), 0);
    failing.store(false, Ordering::Relaxed);
    pool.on(7).unwrap();
}

fn a_runner_that_asks_for_its_own_place_is_told_so(cts: &mut Cts) {
    let this: Arc<OnceLock<ProactorPool>> = Arc::default();
    let told = Arc::new(Mutex::new(None));
    let (itself, tell) = (Arc::downgrade(&this), told.clone());
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        let pool = itself.upgrade().unwrap();
        *tell.lock().unwrap() = Some(pool.get().unwrap().get(0).unwrap_err().code());
        std::thread::spawn(move || body.run());
        Ok(())
    });
    this.set(pool_of(cts, places(0, 1), options)).unwrap();
    this.get().unwrap().get(0).unwrap();
    assert_eq!(*told.lock().unwrap(), Some(Code::FailedPrecondition));
}

fn a_shutdown_has_one_deadline_and_tells_of_each(cts: &mut Cts) {
    let pool = pool(cts, 4);
    let mut lets_go = Vec::new();
    for node in [0, 2] {
        let (stuck, running, let_go) = Stuck::new();
        pool.on(node).unwrap().submit(Op::new(Nop, stuck)).unwrap();
        running.recv_timeout(patience()).unwrap();
        lets_go.push(let_go);
    }
    pool.on(1).unwrap();
    let codes = |deadline: Duration| -> Vec<Option<Code>> {
        let ended = pool.shutdown(deadline).into_iter();
        ended.map(|place| place.ended.map(|ended| ended.map_or_else(|status| status.code(), |_| Code::Ok))).collect()
    };
    // That one was asked to stop with the others, though the one before it in line does not end.
    eventually("the idle one to end beside two that are stuck", || codes(Duration::ZERO)[1] == Some(Code::Ok));
    let late = Some(Code::DeadlineExceeded);
    assert_eq!(codes(Duration::from_millis(1)), [late, Some(Code::Ok), late, None]);
    for index in 0..4 {
        assert_eq!(pool.get(index).unwrap_err().code(), Code::Aborted, "place {index}");
    }
    lets_go.into_iter().for_each(|let_go| let_go.send(()).unwrap());
    assert_eq!(codes(patience()), [Some(Code::Ok), Some(Code::Ok), Some(Code::Ok), None]);
}

fn a_shutdown_while_a_place_is_made_ends_that_too(cts: &mut Cts) {
    let (options, asked, let_go) = held_up("-n0");
    let pool = pool_of(cts, places(0, 2), options);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| pool.get(0).map(drop));
        asked.recv_timeout(patience()).unwrap();
        let early = pool.shutdown(Duration::ZERO);
        assert_eq!(early[0].ended.as_ref().unwrap().as_ref().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(early[1].ended.is_none());
        let_go.send(()).unwrap();
        assert_eq!(slow.join().unwrap().unwrap_err().code(), Code::Aborted, "what nobody stops must not be given out");
    });
    let ended = pool.shutdown(patience());
    assert_eq!(ended[0].ended.as_ref().unwrap().as_ref().unwrap().leaked, 0);
}

/// Does something with the pool, on a thread of the pool.
struct Within(Box<dyn FnOnce() + Send>);

impl Complete<Nop> for Within {
    fn done(op: Box<Op<Nop, Within>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        (op.state.0)();
    }
}

fn a_pool_is_shut_down_by_a_callback_of_its_own(cts: &mut Cts) {
    let pool = Arc::new(pool(cts, 3));
    pool.get(0).unwrap();
    let (tell, told) = channel();
    let within = pool.clone();
    let shut = move || tell.send(within.shutdown(patience())).unwrap();
    pool.get(1).unwrap().submit(Op::new(Nop, Within(Box::new(shut)))).unwrap();
    let ended = told.recv_timeout(patience()).unwrap();
    assert!(ended[0].ended.as_ref().unwrap().is_ok());
    assert_eq!(ended[1].ended.as_ref().unwrap().as_ref().unwrap_err().code(), Code::FailedPrecondition);
    assert!(ended[2].ended.is_none());
    assert!(pool.shutdown(patience())[1].ended.as_ref().unwrap().is_ok(), "it ends after the callback");
}

fn a_pool_is_dropped_by_a_callback_of_its_own(cts: &mut Cts) {
    let pool = pool(cts, 2);
    pool.get(0).unwrap();
    let handle = pool.get(1).unwrap().clone();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    handle.submit((op, Op::new(Nop, Within(Box::new(move || drop(pool)))))).unwrap();
    eventually("the shutdown", || watch.is_released());
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    assert_eq!(handle.submit(Op::new(Nop, ())).unwrap_err().status.code(), Code::Aborted);
}

/// W-23: the reference keeps a pointer to the caller's text.
fn the_name_is_the_pools_own_and_tells_the_node(cts: &mut Cts) {
    let base = name();
    let pool = {
        let text = base.clone();
        ProactorPool::new(places(8, 2), cts.config.builder().name(&*text), ThreadOptions::new()).unwrap()
    };
    assert_eq!(pool.get(1).unwrap().name(), format!("{base}-n9"));
    assert_eq!(threads_named(&format!("{base}-n9")).len(), 1);
    assert_eq!(pool.name(0).unwrap(), format!("{base}-n8"));
    assert!(format!("{pool:?}").contains("-n8\": false"), "{pool:?}");
    assert!(format!("{:?}", pool.get(1).unwrap()).contains("-n9\""));
    // Two on one node, and one on none: by their places.
    let mut mixed = places(3, 1);
    mixed.extend([Affinity::any(), mixed[0].clone()]);
    let pool = ProactorPool::new(mixed, cts.config.builder().name("x"), ThreadOptions::new()).unwrap();
    assert_eq!((0..3).map(|index| pool.name(index).unwrap()).collect::<Vec<_>>(), ["x-0", "x-1", "x-2"]);
}

fn what_is_in_flight_is_cancelled_by_the_shutdown(cts: &mut Cts) {
    let pool = pool(cts, 3);
    let watches = [0, 1, 2].map(|node| {
        let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
        pool.on(node).unwrap().submit(op).unwrap();
        watch
    });
    let ended = pool.shutdown(patience());
    assert!(ended.iter().all(|place| place.ended.as_ref().unwrap().is_ok()));
    for watch in watches {
        assert_eq!(watch.only().status().code(), Code::Cancelled, "delivered before the shutdown returned");
    }
}

fn many_threads_ask_and_each_place_is_made_once(cts: &mut Cts) {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || body.run());
        Ok(())
    });
    let pool = pool_of(cts, places(0, 3), options);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for turn in 0..30 {
                    pool.get((thread + turn) % 3).unwrap().submit(Op::new(Nop, ())).unwrap();
                }
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 3);
    let submitted: u64 =
        pool.shutdown(patience()).into_iter().map(|place| place.ended.unwrap().unwrap().statistics.submitted).sum();
    assert!(submitted <= 240, "{submitted}");
}

fn the_pool_of_this_machine_has_a_place_a_node(cts: &mut Cts) {
    let topology = proact::topology::Topology::read();
    let nodes: Vec<_> = topology.nodes().iter().filter(|node| !node.cpus().is_empty()).collect();
    let pool = ProactorPool::of_system(cts.config.builder(), ThreadOptions::new()).unwrap();
    assert_eq!(pool.len(), nodes.len());
    for (index, node) in nodes.into_iter().enumerate() {
        assert_eq!(pool.index_of(node.number()), Some(index));
        assert_eq!(pool.affinity(index).unwrap(), &node.affinity());
    }
}

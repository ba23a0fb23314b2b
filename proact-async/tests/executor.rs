//! What the executor does in its corners: submissions and cancels from within the proactor's poll, runtimes side by
//! side on one thread, who is woken, in which order, and when outputs go.

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proact::operation::{EventWait, Nop};
use proact_async::runtime::statistics;
use proact_async::{JoinHandle, Runtime, handle, operation, spawn, time, yield_now};
use support::on_every_backend;

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

thread_local! {
    /// What the next waker of [`within_the_poll`] does.
    static WORK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Does `work` within the poll of the proactor: an operation's waker does.
async fn within_the_poll(work: impl FnOnce() + 'static) {
    struct Works(Waker);
    impl Wake for Works {
        fn wake(self: Arc<Self>) {
            if let Some(work) = WORK.take() {
                work();
            }
            self.0.wake_by_ref();
        }
    }
    WORK.set(Some(Box::new(work)));
    let mut trigger = pin!(operation(Nop));
    poll_fn(|cx| {
        let waker = Waker::from(Arc::new(Works(cx.waker().clone())));
        trigger.as_mut().poll(&mut Context::from_waker(&waker)).map(|_| ())
    })
    .await;
    assert!(WORK.take().is_none());
}

/// Waits until what was dropped has ended, by itself: nothing is submitted meanwhile, and nobody shuts down.
async fn nothing_in_flight() {
    let limit = time::now() + Duration::from_secs(10);
    while statistics().queue_depth > 0 {
        assert!(time::now() < limit, "{} operations are in flight", statistics().queue_depth);
        time::sleep(Duration::from_micros(50)).await;
    }
}

fn wait_for_nothing() -> proact_async::runtime::Operation<EventWait> {
    operation(EventWait::new(handle().event().unwrap()))
}

/// Polls it once, which submits it.
fn started<F: Future + Unpin>(mut future: F) -> F {
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

/// A wait that is in flight in `runtime`.
fn begun_in(runtime: &Runtime) -> proact_async::runtime::Operation<EventWait> {
    runtime.block_on(poll_fn(|_| Poll::Ready(started(wait_for_nothing()))))
}

#[test]
fn what_is_dropped_within_the_proactors_poll_is_cancelled_after_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let waits: Vec<_> = (0..5).map(|_| started(wait_for_nothing())).collect();
            yield_now().await;
            assert_eq!(statistics().queue_depth, 5);
            within_the_poll(move || drop(waits)).await;
            nothing_in_flight().await;
        });
    });
}

#[test]
fn what_is_polled_first_within_the_proactors_poll_is_woken_to_be_submitted_after_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let count = Arc::new(Count::default());
            let future = Rc::new(RefCell::new(operation(Nop)));
            within_the_poll({
                let (count, future) = (count.clone(), future.clone());
                move || {
                    let waker = Waker::from(count);
                    let polled = Pin::new(&mut *future.borrow_mut()).poll(&mut Context::from_waker(&waker));
                    assert!(polled.is_pending());
                }
            })
            .await;
            assert_eq!(count.woken(), 1, "nobody else would have it polled again");
            let future = Rc::into_inner(future).expect("what was done is over").into_inner();
            assert_eq!(future.id(), None, "not submitted yet");
            future.await.1.result.unwrap();
        });
    });
}

#[test]
fn an_operation_is_cancelled_in_its_own_runtime_wherever_it_is_dropped() {
    on_every_backend(|runtime| {
        let (before, after) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        for place in 0..4 {
            let wait = begun_in(&runtime);
            // One that has come and gone since changes nothing.
            drop(Runtime::new().unwrap());
            // Of others of this thread, which were made before and after and have operations as well.
            let others = [&before, &after].map(begun_in);
            match place {
                0 => before.block_on(async { drop(wait) }),
                1 => after.block_on(async { drop(wait) }),
                2 => runtime.block_on(async { drop(wait) }),
                _ => drop(wait),
            }
            runtime.block_on(nothing_in_flight());
            for other in [&before, &after] {
                other.block_on(async { time::sleep(Duration::from_micros(50)).await });
                assert_eq!(other.statistics().queue_depth, 1, "those of others go on");
            }
            drop(others);
            for other in [&before, &after] {
                other.block_on(nothing_in_flight());
            }
        }
    });
}

/// Joins `task` with one waker and then with another, lets it end, and says how often each was woken.
fn replaced(task: &mut (impl Future + Unpin), end: impl FnOnce()) -> (usize, usize) {
    let [old, new] = [(); 2].map(|()| Arc::new(Count::default()));
    for count in [&old, &new] {
        let waker = Waker::from(count.clone());
        assert!(Pin::new(&mut *task).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    end();
    (old.woken(), new.woken())
}

#[test]
fn of_those_who_join_the_newest_is_woken() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut task = spawn(yield_now());
        let here = Rc::new(RefCell::new(None));
        // Joined on its own thread.
        let ([old, new], seen) = ([(); 2].map(|()| Arc::new(Count::default())), here.clone());
        for count in [&old, &new] {
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&Waker::from(count.clone()))).is_pending());
        }
        here.replace(Some((old, new)));
        for _ in 0..3 {
            yield_now().await;
        }
        let (old, new) = seen.take().unwrap();
        assert_eq!((old.woken(), new.woken()), (0, 1));
        task.await.unwrap();
    });
    // Joined outside of the runtime, as on another thread.
    let mut task = runtime.spawn(yield_now());
    let woken = replaced(&mut task, || {
        runtime.block_on(async {
            for _ in 0..3 {
                yield_now().await;
            }
        });
    });
    assert_eq!(woken, (0, 1));
    runtime.block_on(task).unwrap();
}

/// Joined on its own thread first, and then elsewhere; and the other way round.
#[test]
fn one_who_joins_on_another_thread_takes_the_place_of_one_here() {
    let runtime = Runtime::new().unwrap();
    for here_first in [true, false] {
        let end = Rc::new(Cell::new(false));
        let ends = end.clone();
        let mut task = runtime.spawn(async move {
            while !ends.get() {
                yield_now().await;
            }
        });
        let counts = [(); 2].map(|()| Arc::new(Count::default()));
        let join = |task: &mut JoinHandle<()>, count: &Arc<Count>| {
            assert!(Pin::new(task).poll(&mut Context::from_waker(&Waker::from(count.clone()))).is_pending());
        };
        let [first, second] = &counts;
        if here_first {
            runtime.block_on(async { join(&mut task, first) });
            join(&mut task, second);
        } else {
            join(&mut task, first);
            runtime.block_on(async { join(&mut task, second) });
        }
        end.set(true);
        runtime.block_on(async {
            while !task.is_finished() {
                yield_now().await;
            }
        });
        assert_eq!(second.woken(), 1, "the newest, joined here first: {here_first}");
        runtime.block_on(task).unwrap();
    }
}

#[test]
fn tasks_of_another_thread_run_in_the_order_in_which_they_were_given_and_woken() {
    let runtime = Runtime::new().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let wakers = Arc::new(Mutex::new(vec![None; 8]));
    let spawner = runtime.spawner();
    let tasks = std::thread::spawn({
        let (order, wakers) = (order.clone(), wakers.clone());
        move || {
            let spawn = |index: usize| {
                let (order, wakers) = (order.clone(), wakers.clone());
                let mut woken = false;
                spawner.spawn(poll_fn(move |cx| {
                    order.lock().unwrap().push(index);
                    wakers.lock().unwrap()[index] = Some(cx.waker().clone());
                    if std::mem::replace(&mut woken, true) { Poll::Ready(()) } else { Poll::Pending }
                }))
            };
            (0..8).map(spawn).collect::<Vec<_>>()
        }
    })
    .join()
    .unwrap();
    runtime.block_on(yield_now());
    assert_eq!(std::mem::take(&mut *order.lock().unwrap()), [0, 1, 2, 3, 4, 5, 6, 7]);
    const WOKEN: [usize; 8] = [3, 1, 4, 0, 7, 6, 2, 5];
    std::thread::spawn(move || {
        let mut wakers = wakers.lock().unwrap();
        WOKEN.into_iter().for_each(|index| wakers[index].take().unwrap().wake());
    })
    .join()
    .unwrap();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*order.lock().unwrap(), WOKEN);
}

/// An output whose drop is seen, from any thread.
struct Output(Arc<AtomicUsize>);

impl Drop for Output {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The output of a task whose handle goes is dropped with the handle, or at the task's end if that is later; not when
/// the last who knows the task lets go of it.
#[test]
fn the_output_that_nobody_takes_goes_with_the_handle_or_at_the_end() {
    let runtime = Runtime::new().unwrap();
    for (ended, elsewhere) in [(false, false), (false, true), (true, false), (true, true)] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let output = Output(dropped.clone());
        let seen = || dropped.load(Ordering::Relaxed);
        runtime.block_on(async {
            let task = spawn(async move {
                yield_now().await;
                output
            });
            // Keeps the task's storage.
            let kept = task.abort_handle().unwrap();
            if ended {
                while !kept.is_finished() {
                    yield_now().await;
                }
            }
            assert_eq!(seen(), 0);
            if elsewhere {
                std::thread::spawn(move || drop(task)).join().unwrap();
            } else {
                drop(task);
            }
            assert_eq!(seen(), usize::from(ended));
            while !kept.is_finished() {
                yield_now().await;
            }
            assert_eq!(seen(), 1, "the handle was dropped after the end: {ended}, elsewhere: {elsewhere}");
            drop(kept);
            assert_eq!(seen(), 1);
        });
    }
}

#[test]
fn a_future_that_cannot_be_run_to_its_end_is_dropped_before_that_is_told() {
    let world = proact::simulated::World::new(1);
    let runtime = Runtime::builder().proactor(world.host("here").builder()).build().unwrap();
    let held = Rc::new(());
    let kept = held.clone();
    let never = runtime.try_block_on(async move {
        let _kept = kept;
        std::future::pending::<()>().await;
    });
    assert!(never.is_err(), "nothing can ever happen in that world");
    assert_eq!(Rc::strong_count(&held), 1);
}

/// Is ready at once, or panics; and panics when it is dropped.
struct Bomb {
    polled: bool,
}

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        assert!(!self.polled, "the poll");
        Poll::Ready(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the drop");
    }
}

#[test]
fn a_task_has_panicked_when_its_futures_drop_has_and_with_what_came_first() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for (polled, first) in [(false, "the drop"), (true, "the poll")] {
            let error = spawn(Bomb { polled }).await.unwrap_err();
            assert!(error.is_panic() && error.to_string().ends_with(first), "{error}");
        }
    });
}

#[test]
fn a_runtime_that_ends_drops_what_another_thread_gave_it_and_nobody_has_looked_at() {
    let runtime = Runtime::new().unwrap();
    let (spawner, held) = (runtime.spawner(), Arc::new(()));
    let kept = held.clone();
    let task = std::thread::spawn(move || spawner.spawn(async move { drop(kept) })).join().unwrap();
    assert!(!task.is_finished());
    drop(runtime);
    assert!(task.is_finished());
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(Runtime::new().unwrap().block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_wakes_itself_when_it_is_dropped_is_not_run_again() {
    struct WakesItself(Option<Waker>);
    impl Future for WakesItself {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.0 = Some(cx.waker().clone());
            Poll::Pending
        }
    }
    impl Drop for WakesItself {
        fn drop(&mut self) {
            self.0.take().expect("it was polled").wake();
        }
    }
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..100 {
            let tasks: Vec<_> = (0..3).map(|_| spawn(WakesItself(None))).collect();
            yield_now().await;
            tasks[1].abort();
            yield_now().await;
            for task in tasks {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        }
    });
}

#[test]
fn who_joins_no_more_is_forgotten_before_the_task_has_ended() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let count = Arc::new(Count::default());
        let mut task = spawn(std::future::pending::<()>());
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&Waker::from(count.clone()))).is_pending());
        assert_eq!(Arc::strong_count(&count), 2);
        drop(task);
        assert_eq!(Arc::strong_count(&count), 1);
    });
}

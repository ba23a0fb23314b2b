//! How tasks and homes end: joins, aborts, requests to stop.

use super::*;
use crate::Stop;

#[test]
fn loom_a_task_is_joined_from_another_thread() {
    loom::model(|| {
        let owner = Owner::new();
        // SAFETY: the home is there.
        let mut task = owner.spawn(std::future::ready(3));
        let rung = Arc::new(Notify::new());
        let told = rung.clone();
        let joiner = thread::spawn(move || {
            struct Tell(Arc<Notify>);
            impl std::task::Wake for Tell {
                fn wake(self: Arc<Self>) {
                    self.0.notify();
                }
            }
            let waker = Waker::from(Arc::new(Tell(told)));
            loop {
                match Pin::new(&mut task).poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(output) => return output.unwrap(),
                    Poll::Pending => rung.wait(),
                }
            }
        });
        owner.home().run(1);
        let alive = owner.leave();
        assert_eq!(joiner.join().unwrap(), 3);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_a_handle_dropped_elsewhere_leaves_the_output_to_one_of_both() {
    loom::model(|| {
        let owner = Owner::new();
        let output = Alive::new(&owner.alive);
        let task = owner.spawn(async move { output });
        let dropper = thread::spawn(move || drop(task));
        owner.home().run(1);
        let alive = owner.leave();
        dropper.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "dropped once, and all is freed");
    });
}

#[test]
fn loom_an_abort_from_another_thread_ends_the_task() {
    loom::model(|| {
        let owner = Owner::new();
        let alive = Alive::new(&owner.alive);
        let mut task = owner.spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        let abort = task.abort_handle().unwrap();
        let aborter = thread::spawn(move || abort.abort());
        let mut output = None;
        owner.run_until(|| {
            output = joined(&mut task);
            output.is_some()
        });
        assert!(output.unwrap().unwrap_err().is_cancelled());
        drop(task);
        let alive = owner.leave();
        aborter.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_a_task_from_another_thread_runs_or_is_cancelled_by_the_end_of_its_home() {
    loom::model(|| {
        let owner = Owner::new();
        let (reference, alive) = (owner.reference(), Alive::new(&owner.alive));
        let spawner = thread::spawn(move || {
            // SAFETY: held.
            unsafe { spawn_send(reference.as_ptr(), async move { drop(alive) }) }
        });
        owner.home().take_remote();
        owner.home().run(4);
        let alive = owner.leave();
        let mut task = spawner.join().unwrap();
        let output = joined(&mut task).expect("it has ended one way or the other");
        assert!(output.is_ok() || output.unwrap_err().is_cancelled());
        drop(task);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_a_wake_that_meets_the_end_of_the_home_harms_nothing() {
    loom::model(|| {
        let owner = Owner::new();
        let slot = Slot::new();
        drop(owner.spawn(Take(slot.clone(), Alive::new(&owner.alive))));
        owner.home().run(1);
        let writer = thread::spawn(move || slot.write());
        let alive = owner.leave();
        writer.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

/// A task that waits for a stop, as what [`Threads`](crate::Threads) ends its threads by.
fn waits(owner: &Owner, stop: &Stop) -> JoinHandle<()> {
    let (stop, alive) = (stop.clone(), Alive::new(&owner.alive));
    owner.spawn(async move {
        let _alive = alive;
        stop.requested().await;
    })
}

/// The request may come before the task waits, while it places its waker, before the owner sleeps, or in its sleep.
#[test]
fn loom_a_request_to_stop_is_never_lost() {
    loom::model(|| {
        let (owner, stop) = (Owner::new(), Stop::new());
        let (asked, reference) = (stop.clone(), owner.reference());
        let mut root = waits(&owner, &stop);
        let asker = thread::spawn(move || {
            // SAFETY: held.
            drop(unsafe { spawn_send(reference.as_ptr(), async {}) });
            asked.request();
        });
        owner.run_until(|| joined(&mut root).is_some());
        drop(root);
        let alive = owner.leave();
        asker.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_a_request_to_stop_reaches_all_who_wait_on_two_threads() {
    loom::model(|| {
        let stop = Stop::new();
        let other = stop.clone();
        let second = thread::spawn(move || {
            let owner = Owner::new();
            let mut task = waits(&owner, &other);
            owner.run_until(|| joined(&mut task).is_some());
            drop(task);
            owner.leave()
        });
        let owner = Owner::new();
        let mut task = waits(&owner, &stop);
        owner.home().run(1);
        stop.request();
        owner.run_until(|| joined(&mut task).is_some());
        drop(task);
        assert_eq!(owner.leave().load(Ordering::Relaxed), 0, "all is freed");
        assert_eq!(second.join().unwrap().load(Ordering::Relaxed), 0, "all is freed there");
    });
}

/// Whoever waits goes away at the moment of the request: its waker is taken by one of both, and the next who waits in
/// that place is another's.
#[test]
fn loom_a_wait_for_a_stop_is_dropped_while_it_is_requested() {
    loom::model(|| {
        let (owner, stop) = (Owner::new(), Stop::new());
        let first = waits(&owner, &stop);
        let mut second = waits(&owner, &stop);
        owner.home().run(2);
        let asker = thread::spawn({
            let stop = stop.clone();
            move || stop.request()
        });
        // SAFETY: on its own thread, not being polled.
        unsafe { first.cancel_now() };
        owner.run_until(|| joined(&mut second).is_some());
        drop((first, second));
        let alive = owner.leave();
        asker.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

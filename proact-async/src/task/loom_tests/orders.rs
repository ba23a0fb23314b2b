//! What one thread did is seen by another: models in which nothing but the tasks' own words orders anything. Nobody
//! sleeps in them, for an alarm that is heard would order too much.

use super::*;

/// A cell that one thread writes, and another looks at when it may.
struct Written(UnsafeCell<u32>);

impl Written {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new() -> Arc<Written> {
        Arc::new(Written(UnsafeCell::new(0)))
    }

    fn write(&self) {
        // SAFETY: that nobody looks meanwhile is what the model checks.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    fn read(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

/// A task that waits for ever, and its waker.
fn asleep(owner: &Owner) -> (JoinHandle<()>, Waker) {
    asleep_and(owner, || ())
}

/// As [`asleep`], with what each poll but the first does.
fn asleep_and(owner: &Owner, mut poll: impl FnMut() + 'static) -> (JoinHandle<()>, Waker) {
    let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let (keep, alive) = (kept.clone(), Alive::new(&owner.alive));
    let mut first = true;
    let task = owner.spawn(std::future::poll_fn(move |cx| {
        let _alive = &alive;
        if std::mem::replace(&mut first, false) {
            *keep.lock().unwrap() = Some(cx.waker().clone());
        } else {
            poll();
        }
        Poll::Pending
    }));
    owner.home().run(1);
    let waker = kept.lock().unwrap().take().unwrap();
    (task, waker)
}

/// By the poll and by the end, of a waker that found the task on its way already, and of one that pushed it again.
#[test]
fn loom_what_two_did_before_they_woke_is_seen_by_the_owner() {
    loom::model(|| {
        let owner = Owner::new();
        let cells = [Written::new(), Written::new()];
        let (woken, both) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let (seen, looks) = (cells.clone(), both.clone());
        let (mut task, waker) = asleep_and(&owner, move || {
            if looks.load(Ordering::Relaxed) {
                assert_eq!(seen.each_ref().map(|cell| cell.read()), [1, 1]);
            }
        });
        let threads = [waker.clone(), waker].into_iter().zip(&cells).map(|(waker, cell)| {
            let (cell, woken) = (cell.clone(), woken.clone());
            thread::spawn(move || {
                cell.write();
                waker.wake_by_ref();
                woken.fetch_add(1, Ordering::Relaxed);
                waker
            })
        });
        let threads: Vec<_> = threads.collect();
        owner.home().take_remote();
        owner.home().run(1);
        // No task is ready here, so that what is polled now was woken by the second, or by both.
        both.store(woken.load(Ordering::Relaxed) == 2, Ordering::Relaxed);
        owner.home().take_remote();
        owner.home().run(1);
        let both = woken.load(Ordering::Relaxed) == 2;
        owner.home().end_all();
        if both {
            assert_eq!(cells.map(|cell| cell.read()), [1, 1]);
        }
        // A look that nothing orders would have ended the task by its panic.
        assert!(joined(&mut task).unwrap().unwrap_err().is_cancelled());
        let alive = owner.leave();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        drop(task);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_what_a_task_did_is_seen_by_who_finds_it_finished() {
    loom::model(|| {
        let owner = Owner::new();
        let (cell, write) = (Written::new(), Alive::new(&owner.alive));
        let written = cell.clone();
        let task = owner.spawn(async move {
            written.write();
            drop(write);
        });
        let asker = thread::spawn(move || {
            if task.is_finished() {
                assert_eq!(cell.read(), 1);
            }
        });
        owner.home().run(1);
        let alive = owner.leave();
        asker.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

/// Three hold a task that is complete, each on a thread of its own, and the last to let go frees it; the home goes with
/// it when the owner has left.
#[test]
fn loom_the_last_reference_frees_the_task_and_its_home_after_all_others() {
    loom::model(|| {
        let owner = Owner::new();
        let (task, waker) = asleep(&owner);
        // SAFETY: on its own thread, not being polled.
        unsafe { task.cancel_now() };
        let other = waker.clone();
        let threads = [thread::spawn(move || drop(waker)), thread::spawn(move || drop(other))];
        let alive = owner.leave();
        drop(task);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

/// The references of others are gone before the task completes, or after.
#[test]
fn loom_a_task_that_completes_is_freed_after_what_others_did_with_it() {
    loom::model(|| {
        let owner = Owner::new();
        let (task, waker) = asleep(&owner);
        let dropper = thread::spawn(move || drop(waker));
        // SAFETY: as above.
        unsafe { task.cancel_now() };
        drop(task);
        let alive = owner.leave();
        dropper.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

#[test]
fn loom_a_home_is_freed_after_what_all_who_hold_it_did() {
    loom::model(|| {
        let owner = Owner::new();
        let references = [owner.reference(), owner.reference()];
        let threads = references.map(|reference| thread::spawn(move || drop(reference.clone())));
        let alive = owner.leave();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(alive.load(Ordering::Relaxed), 0, "all is freed");
    });
}

/// Many wakes, of different tasks and by different threads, ring once until the owner has looked.
#[test]
fn loom_wakes_between_two_looks_ring_once() {
    loom::model(|| {
        let owner = Owner::new();
        let tasks = [asleep(&owner), asleep(&owner)];
        let woken = Arc::new(AtomicUsize::new(0));
        let wakers = tasks.each_ref().map(|(_, waker)| waker.clone());
        let threads = wakers.map(|waker| {
            let woken = woken.clone();
            thread::spawn(move || {
                waker.wake_by_ref();
                waker.wake();
                woken.fetch_add(1, Ordering::Relaxed);
            })
        });
        let before = woken.load(Ordering::Relaxed);
        let rung = owner.rings.load(Ordering::Relaxed);
        assert!(rung <= 1, "nobody has looked yet");
        assert!(before < 2 || rung == 1, "and if all have woken it rang");
        owner.home().take_remote();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(owner.rings.load(Ordering::Relaxed) <= 2, "one look, so once before it and once after");
        drop(tasks);
        assert_eq!(owner.leave().load(Ordering::Relaxed), 0, "all is freed");
    });
}

//! The queue by itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::*;
use crate::Result;
use crate::event_loop::Loop;

#[derive(Default)]
struct Rung(AtomicUsize);

impl Bell for Rung {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a test sees of a task, and says to it.
#[derive(Default)]
struct Seen {
    polls: usize,
    waker: Option<Waker>,
    is_over: bool,
    next_time: Option<Time>,
}

struct Watched(Arc<Mutex<Seen>>);

impl Task for Watched {
    fn poll(&mut self, _: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut seen = self.0.lock().unwrap();
        seen.polls += 1;
        seen.waker = Some(cx.waker().clone());
        if seen.is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn next_time(&self) -> Option<Time> {
        self.0.lock().unwrap().next_time
    }

    fn run(self: Box<Self>, _: &dyn Loop) -> Result {
        Ok(())
    }

    fn abort(self: Box<Self>, _: Error) {}
}

fn waits(queue: &mut Queue<Rung>) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    queue.push(Command::Wait, Box::new(Watched(seen.clone())));
    seen
}

fn look(queue: &mut Queue<Rung>, clock: &Clock) {
    assert!(queue.poll(clock).is_ok(), "none of them panics");
}

fn polls(seen: &Mutex<Seen>) -> usize {
    seen.lock().unwrap().polls
}

fn waker(seen: &Mutex<Seen>) -> Waker {
    seen.lock().unwrap().waker.clone().unwrap()
}

#[test]
fn a_wait_is_looked_at_when_it_is_woken_and_not_else() {
    let (mut queue, clock) = (Queue::new(Rung::default()), Clock::monotonic());
    let (one, other) = (waits(&mut queue), waits(&mut queue));
    assert_eq!(polls(&one), 0, "a command runs no code of the task");
    look(&mut queue, &clock);
    look(&mut queue, &clock);
    assert_eq!((polls(&one), polls(&other)), (1, 1));
    waker(&one).wake();
    waker(&one).wake();
    assert_eq!(queue.woken.bell.0.load(Ordering::SeqCst), 1, "what stands in the list rings no more");
    look(&mut queue, &clock);
    assert_eq!((polls(&one), polls(&other)), (2, 1));
    one.lock().unwrap().is_over = true;
    waker(&one).wake();
    look(&mut queue, &clock);
    assert_eq!((queue.ready(), queue.len()), (1, 2));
}

#[test]
fn a_late_waker_harms_no_one() {
    let (mut queue, clock) = (Queue::new(Rung::default()), Clock::monotonic());
    let first = waits(&mut queue);
    look(&mut queue, &clock);
    let late = waker(&first);
    first.lock().unwrap().is_over = true;
    late.wake_by_ref();
    look(&mut queue, &clock);
    assert!(queue.pop().is_some() && queue.len() == 0);
    late.wake_by_ref(); // of a place that no one has
    look(&mut queue, &clock);
    let second = waits(&mut queue); // takes the place
    look(&mut queue, &clock);
    let before = polls(&second);
    late.wake();
    look(&mut queue, &clock);
    assert_eq!((polls(&second), queue.len(), queue.ready()), (before + 1, 1, 0), "looked at once, in vain");
}

#[test]
fn alarms_that_were_set_anew_are_none_and_do_not_pile_up() {
    let (mut queue, clock) = (Queue::new(Rung::default()), Clock::monotonic());
    let seen = waits(&mut queue);
    let far = |nanoseconds| Time::from_nanoseconds(u64::MAX / 2 + nanoseconds);
    for round in 0..10_000 {
        seen.lock().unwrap().next_time = Some(far(round % 7));
        look(&mut queue, &clock);
        waker(&seen).wake();
    }
    assert!(queue.alarms.len() <= 32, "{} alarms of one wait", queue.alarms.len());
    seen.lock().unwrap().next_time = Some(far(50));
    look(&mut queue, &clock);
    assert_eq!(queue.next_time(), Some(far(50)), "the old ones are none, also those that were sooner");
    seen.lock().unwrap().next_time = None;
    waker(&seen).wake();
    look(&mut queue, &clock);
    assert_eq!(queue.next_time(), None);
}

#[test]
fn those_that_are_due_are_ready_in_the_order_of_their_times() {
    let (mut queue, clock) = (Queue::new(Rung::default()), Clock::monotonic());
    let all: Vec<_> = (0..5).map(|_| waits(&mut queue)).collect();
    // All in the past: the first look sets the alarms, the second finds them due.
    for (seen, nanoseconds) in all.iter().zip([3, 1, 2, 5, 4]) {
        seen.lock().unwrap().next_time = Some(Time::from_nanoseconds(nanoseconds));
    }
    look(&mut queue, &clock);
    assert_eq!(queue.next_time(), Some(Time::from_nanoseconds(1)));
    for seen in &all {
        seen.lock().unwrap().is_over = true;
    }
    look(&mut queue, &clock);
    assert_eq!(queue.next_time(), None);
    let order = std::iter::from_fn(|| queue.pop()).map(|task| {
        let task = task.into_any().downcast::<Watched>().unwrap();
        all.iter().position(|seen| Arc::ptr_eq(seen, &task.0)).unwrap()
    });
    assert_eq!(order.collect::<Vec<_>>(), [1, 2, 0, 4, 3]);
}

//! The remote stack and the sleep protocol under every interleaving and every reordering that the memory model allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`.
//!
//! The threads of a model share a whole [`Shared`]; the model's own thread plays the poll thread, and does with what it
//! takes what the engine does.

use loom::cell::UnsafeCell;
use loom::thread;

use super::super::mailbox::Inbox;
use super::*;
use crate::atomic::{Condvar, Mutex};
use crate::backend::{Capabilities, DescriptorMode};
use crate::operation::{Complete, Context, Nop, Op, Outcome};
use crate::time::Clock;

mod notifications;

/// What a batch carries: written by its submitter and read by the poll thread without any order of their own, so that
/// loom finds it if the stack does not order them.
struct Payload(UnsafeCell<u32>);

impl Complete<Nop> for Payload {
    fn done(_: Box<Op<Nop, Self>>, _: Outcome<Nop>, _: &mut Context<'_>) {}
}

fn batch(value: u32) -> NonNull<Header> {
    let op = Op::new(Nop, Payload(UnsafeCell::new(0)));
    // SAFETY: nobody else has the operation yet.
    op.state.0.with_mut(|payload| unsafe { *payload = value });
    op.into_raw()
}

/// Frees the batch and answers what it carried.
fn open(first: NonNull<Header>) -> u32 {
    // SAFETY: every batch here was made by `batch`, and whoever takes it off the stack, or is refused, owns it.
    let op = unsafe { Op::<Nop, Payload>::from_raw(first) };
    // SAFETY: the operation is owned.
    op.state.0.with(|payload| unsafe { *payload })
}

/// Stands for the system call that the poll thread sleeps in: a wake makes this wait return, or the next.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// A wake that is never sent leaves this waiting, which loom reports as a deadlock.
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn shared() -> (Arc<Shared>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let shared = Shared {
        home: Home { proactor: 1, mode: DescriptorMode::Blocking },
        slots: SlotTable::new(4),
        remote_slots: RemoteSlots::new(2),
        stack: RemoteStack::default(),
        mailbox: Mailbox::new(1, false),
        sleeping: AtomicBool::new(false),
        wake_requested: AtomicBool::new(false),
        waker: bell.clone(),
        wakes: AtomicU64::new(0),
        missing: Vec::new(),
        name: Arc::from(""),
        clock: Clock::monotonic(),
        backend_name: "model",
        capabilities: Capabilities::empty(),
        measures: false,
        system: None,
    };
    // The chunk is made before any thread starts: the lock it is made under is not loom's.
    shared.slots.get(0);
    (Arc::new(shared), bell)
}

fn spawn<T: 'static>(shared: &Arc<Shared>, body: impl FnOnce(&Shared) -> T + 'static) -> thread::JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Batch(u32),
    Slot(u32),
}

fn opened(taken: Taken<'_>) -> impl Iterator<Item = Seen> {
    taken.map(|node| match node {
        Node::Batch(first) => Seen::Batch(open(first)),
        Node::Slot(slot) => Seen::Slot(slot),
        Node::Subscription { .. } => panic!("nothing subscribes here"),
    })
}

/// Those of `seen` that are among `these`, in the order in which they were seen.
fn only(seen: &[Seen], these: &[Seen]) -> Vec<Seen> {
    seen.iter().copied().filter(|one| these.contains(one)).collect()
}

#[test]
fn loom_nodes_come_in_the_order_of_their_thread_and_none_is_lost() {
    loom::model(|| {
        let (shared, _) = shared();
        // Made ahead: what their chunk's lock orders, the model does not see.
        let _ = shared.slots.get(1);
        let one = spawn(&shared, |shared| {
            assert!(shared.stack.push_batch(batch(1)));
            shared.stack.push_slot(&shared.slots, 1);
            assert!(shared.stack.push_batch(batch(2)));
        });
        let other = spawn(&shared, |shared| {
            shared.stack.push_slot(&shared.slots, 3);
            assert!(shared.stack.push_batch(batch(3)));
        });
        // Without a join in between: it would order what the stack itself must order.
        let mut seen = Vec::new();
        while seen.len() < 5 {
            thread::yield_now();
            seen.extend(opened(shared.stack.take(&shared.slots)));
        }
        one.join().unwrap();
        other.join().unwrap();
        seen.extend(opened(shared.stack.take(&shared.slots)));
        let of_one = [Seen::Batch(1), Seen::Slot(1), Seen::Batch(2)];
        let of_other = [Seen::Slot(3), Seen::Batch(3)];
        assert_eq!(only(&seen, &of_one), of_one);
        assert_eq!(only(&seen, &of_other), of_other);
        assert_eq!(seen.len(), of_one.len() + of_other.len(), "nothing comes twice: {seen:?}");
    });
}

/// What the poll thread has found in a slot, over all its looks.
#[derive(Default, PartialEq, Eq, Debug)]
struct Looks {
    cancel: bool,
    reached: bool,
}

impl Looks {
    /// Takes what is there and looks at the slots, as the engine does.
    fn take(&mut self, shared: &Shared) {
        for node in shared.stack.take(&shared.slots) {
            let Node::Slot(index) = node else { panic!("no batch was pushed") };
            let slot = shared.slots.get(index);
            self.cancel |= slot.cancel_requested();
            self.reached |= slot.left.load(Ordering::Acquire) == 0;
        }
    }
}

#[test]
fn loom_a_slot_that_two_push_at_once_is_looked_at_after_both() {
    loom::model(|| {
        let (shared, _) = shared();
        let slot = shared.slots.get(1);
        let generation = slot.occupy();
        slot.left.store(1, Ordering::Relaxed);
        let cancel = spawn(&shared, move |shared| {
            assert!(shared.slots.get(1).request_cancel(generation));
            shared.stack.push_slot(&shared.slots, 1);
        });
        let reach = spawn(&shared, move |shared| shared.reached(Token::new(generation, 1), 0));
        // A look that is missing leaves this turning, until loom has had enough of it.
        let mut looks = Looks::default();
        while !(looks.cancel && looks.reached) {
            thread::yield_now();
            looks.take(&shared);
        }
        cancel.join().unwrap();
        reach.join().unwrap();
        looks.take(&shared);
        assert_eq!(looks, Looks { cancel: true, reached: true });
        assert!(!slot.queued.load(Ordering::Relaxed), "the node can be pushed again");
    });
}

/// The pusher of an operation that has ended is late; meanwhile the slot's next operation is submitted and cancelled
/// from a third thread, whose push may find the late one's node still there, below the batch.
#[test]
fn loom_a_late_push_neither_cancels_the_next_operation_nor_hides_its_cancel() {
    cancel_after_a_late_push(true);
    cancel_after_a_late_push(false);
}

fn cancel_after_a_late_push(cancelled: bool) {
    loom::model(move || {
        let (shared, _) = shared();
        let first = shared.slots.get(1).occupy();
        assert!(shared.slots.get(1).vacate(first));
        let late = spawn(&shared, move |shared| {
            assert!(!shared.slots.get(1).request_cancel(first), "that operation has ended");
            shared.stack.push_slot(&shared.slots, 1);
        });
        let next = spawn(&shared, move |shared| {
            let generation = shared.slots.get(1).occupy();
            assert_eq!(generation, first + 1);
            assert!(shared.stack.push_batch(batch(1)));
            if cancelled {
                assert!(shared.slots.get(1).request_cancel(generation));
                shared.stack.push_slot(&shared.slots, 1);
            }
        });
        let (mut launched, mut cancel) = (false, false);
        let mut take = || {
            for seen in opened(shared.stack.take(&shared.slots)) {
                // A batch is looked at when it is launched; a slot whose operation has not come yet is left alone.
                launched |= seen == Seen::Batch(1);
                cancel |= launched && shared.slots.get(1).cancel_requested();
            }
        };
        take();
        take();
        late.join().unwrap();
        next.join().unwrap();
        take();
        assert_eq!((launched, cancel), (true, cancelled));
        assert!(!shared.slots.get(1).queued.load(Ordering::Relaxed), "the node can be pushed again");
    });
}

#[test]
fn loom_a_closed_stack_refuses_what_it_has_not_taken() {
    loom::model(|| {
        let (shared, _) = shared();
        let batches = spawn(&shared, |shared| {
            let mut refused = Vec::new();
            for value in [1, 2] {
                let first = batch(value);
                if !shared.stack.push_batch(first) {
                    refused.push(Seen::Batch(open(first)));
                }
            }
            refused
        });
        let slots = spawn(&shared, |shared| shared.stack.push_slot(&shared.slots, 1));
        let mut seen: Vec<Seen> = opened(shared.stack.take(&shared.slots)).collect();
        seen.extend(opened(shared.stack.close(&shared.slots)));
        let refused = batches.join().unwrap();
        slots.join().unwrap();
        assert!(shared.stack.is_closed() && shared.stack.is_empty());
        assert_eq!(opened(shared.stack.take(&shared.slots)).count(), 0, "what comes after the close is not kept");
        assert!(shared.stack.is_closed(), "taking does not open it again");
        // Closed is for good: what was refused is the end of what was pushed.
        let mut of_batches = only(&seen, &[Seen::Batch(1), Seen::Batch(2)]);
        of_batches.extend(&refused);
        assert_eq!(of_batches, [Seen::Batch(1), Seen::Batch(2)]);
        assert!(!shared.slots.get(1).queued.load(Ordering::Relaxed), "a refused node is on no stack");
    });
}

/// Sleeps as the poll pass does until `done` says so. Answers how often it was about to.
fn sleep_until(shared: &Shared, bell: &Bell, mut done: impl FnMut(&Shared) -> bool) -> u64 {
    let mut sleeps = 0;
    while !done(shared) {
        sleeps += 1;
        if shared.prepare_sleep(|| false) {
            bell.wait();
        }
        shared.awake();
    }
    sleeps
}

#[test]
fn loom_no_push_leaves_the_poll_thread_asleep() {
    loom::model(|| {
        let (shared, bell) = shared();
        let batches = spawn(&shared, |shared| {
            assert!(shared.stack.push_batch(batch(1)));
            shared.notify();
        });
        let generation = shared.slots.get(1).occupy();
        shared.slots.get(1).left.store(1, Ordering::Relaxed);
        let slots = spawn(&shared, move |shared| shared.reached(Token::new(generation, 1), 0));
        let mut seen = 0;
        let sleeps = sleep_until(&shared, &bell, |shared| {
            seen += opened(shared.stack.take(&shared.slots)).count();
            seen == 2
        });
        batches.join().unwrap();
        slots.join().unwrap();
        assert!(shared.wakes() <= sleeps, "{} wakes for {sleeps} sleeps", shared.wakes());
    });
}

/// Two senders, of which the second waits in the ring behind the first, or in the overflow: whoever is the last to
/// write wakes the poll thread, if what it finds before is not there yet.
fn messages_end_the_sleep(unbounded: bool) {
    loom::model(move || {
        let (mut shared, bell) = shared();
        let limit = if unbounded { 1 } else { 2 };
        Arc::get_mut(&mut shared).expect("no thread has it yet").mailbox = Mailbox::new(limit, unbounded);
        let one = spawn(&shared, |shared| shared.send_message(1).unwrap());
        let other = spawn(&shared, |shared| shared.send_message(2).unwrap());
        let (mut inbox, mut told) = (Inbox::default(), 0);
        while told < 2 {
            if shared.prepare_sleep(|| inbox.is_due(&shared.mailbox)) {
                bell.wait();
            }
            shared.awake();
            while let Some(message) = inbox.take(&shared.mailbox) {
                told += 1;
                assert!(matches!(message, 1 | 2));
            }
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn loom_no_message_leaves_the_poll_thread_asleep() {
    messages_end_the_sleep(false);
}

#[test]
fn loom_no_message_that_overflows_leaves_the_poll_thread_asleep() {
    messages_end_the_sleep(true);
}

#[test]
fn loom_no_wake_request_leaves_the_poll_thread_asleep() {
    loom::model(|| {
        let (shared, bell) = shared();
        let one = spawn(&shared, |shared| shared.request_wake());
        let other = spawn(&shared, |shared| shared.request_wake());
        let sleeps = sleep_until(&shared, &bell, |shared| shared.take_wake_request());
        one.join().unwrap();
        other.join().unwrap();
        assert!(shared.wakes() <= sleeps, "{} wakes for {sleeps} sleeps", shared.wakes());
        // The second request is told by the same poll or by the next, and no more than once.
        shared.take_wake_request();
        assert!(!shared.take_wake_request());
    });
}

#[test]
fn loom_a_wait_for_all_is_ended_by_the_last_of_its_values_and_by_no_other() {
    loom::model(|| {
        let (shared, _) = shared();
        let generation = shared.slots.get(1).occupy();
        // Two values, and one for who joins the lines.
        shared.slots.get(1).left.store(3, Ordering::Relaxed);
        let count = move |shared: &Shared| shared.count_reached(Token::new(generation, 1), 0);
        let (one, two) = (spawn(&shared, count), spawn(&shared, count));
        let joined = shared.slots.get(1).left.fetch_sub(1, Ordering::AcqRel) == 1;
        let ends = [joined, one.join().unwrap(), two.join().unwrap()];
        assert_eq!(ends.into_iter().filter(|end| *end).count(), 1, "{ends:?}");
        assert_eq!(shared.slots.get(1).left.load(Ordering::Relaxed), 0);
    });
}

//! Futexes.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use proact::backend::Capabilities;
use proact::operation::{Chain, Complete, Context, FutexWait, FutexWaited, FutexWake, Nop, Op, Outcome};
use proact::resource::FutexWord;
use proact::status::{Code, Operation};

use crate::bench::{Cts, eventually};
use crate::cases;
use crate::harness::skip;
use crate::system::{threads_named, unique};

cases![
    a_wait_ends_when_another_thread_changes_and_wakes.real("futexes of the operating system"),
    a_word_that_is_another_ends_the_wait_at_once.real("futexes of the operating system"),
    a_wake_reaches_a_thread_that_sleeps_in_the_system.real("futexes of the operating system"),
    a_wake_of_two_lets_two_of_three_threads_go.real("futexes of the operating system"),
    a_wake_of_all_lets_every_thread_go.real("futexes of the operating system"),
    a_wake_that_nobody_waits_for_wakes_none.real("futexes of the operating system"),
    a_callback_wakes_the_other_side_of_a_round_trip.real("futexes of the operating system"),
    a_step_behind_a_wait_runs_after_the_wake.real("futexes of the operating system"),
    a_wait_is_cancelled_once_however_often_asked.real("futexes of the operating system"),
    cancel_and_wake_at_once_end_a_wait_once.real("futexes of the operating system"),
    a_word_in_shared_memory_is_met_through_another_mapping.real("futexes of the operating system"),
    many_words_are_waited_for_at_once.real("futexes of the operating system"),
    an_operation_wakes_an_operation.real("futexes of the operating system"),
    a_wait_in_flight_keeps_its_word.real("futexes of the operating system"),
    a_wait_goes_to_the_ring_or_to_one_helper.real("futexes of the operating system"),
    waits_that_cannot_be_had_are_refused_with_the_reason.real("futexes of the operating system"),
];

/// A thread that sleeps on `word` while it is 0, in the system call itself, until it is woken once.
fn sleeper(word: &FutexWord, gone: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (word, gone) = (word.clone(), gone.clone());
    std::thread::spawn(move || {
        let flags = if word.is_shared() { rustix::thread::futex::Flags::empty() } else { PRIVATE };
        while rustix::thread::futex::wait(word.atomic(), flags, 0, None) == Err(rustix::io::Errno::INTR) {}
        gone.fetch_add(1, Ordering::SeqCst);
    })
}

const PRIVATE: rustix::thread::futex::Flags = rustix::thread::futex::Flags::PRIVATE;

/// Threads that sleep on `word`, once the system has them all.
fn sleepers(word: &FutexWord, count: usize, gone: &Arc<AtomicUsize>) -> Vec<JoinHandle<()>> {
    let threads: Vec<_> = (0..count).map(|_| sleeper(word, gone)).collect();
    eventually("the threads to sleep", || {
        threads.iter().filter(|thread| !thread.is_finished()).count() == count && waiting_on(word) >= count
    });
    threads
}

/// How many wait for the word: those that a requeue onto the same word would look at.
fn waiting_on(word: &FutexWord) -> usize {
    // Wakes none, and requeues all to where they are.
    let flags = if word.is_shared() { rustix::thread::futex::Flags::empty() } else { PRIVATE };
    rustix::thread::futex::requeue(word.atomic(), flags, 0, i32::MAX as u32, word.atomic()).unwrap_or(0)
}

fn a_wait_ends_when_another_thread_changes_and_wakes(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let wait = cts.start(FutexWait::new(word.clone(), 0));
    cts.look();
    assert!(!wait.is_done());
    let waker = word.clone();
    let thread = std::thread::spawn(move || {
        waker.atomic().store(1, Ordering::SeqCst);
        waker.wake(1)
    });
    cts.until("the wake", || wait.is_done());
    assert_eq!(wait.only().result.unwrap(), FutexWaited::Woken);
    assert!(thread.join().unwrap() <= 1);
}

fn a_word_that_is_another_ends_the_wait_at_once(cts: &mut Cts) {
    let word = FutexWord::new(5);
    assert_eq!(cts.get(FutexWait::new(word.clone(), 4)), FutexWaited::Changed);
    assert_eq!(cts.get(FutexWait::new(word, u32::MAX)), FutexWaited::Changed);
}

fn a_wake_reaches_a_thread_that_sleeps_in_the_system(cts: &mut Cts) {
    let (word, gone) = (FutexWord::new(0), Arc::default());
    let threads = sleepers(&word, 1, &gone);
    word.atomic().store(1, Ordering::SeqCst);
    assert_eq!(cts.get(FutexWake::new(word, 1)), 1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_wake_of_two_lets_two_of_three_threads_go(cts: &mut Cts) {
    let (word, gone) = (FutexWord::new(0), Arc::default());
    let threads = sleepers(&word, 3, &gone);
    assert_eq!(cts.get(FutexWake::new(word.clone(), 2)), 2);
    eventually("two threads to go", || gone.load(Ordering::SeqCst) == 2);
    assert_eq!(cts.get(FutexWake::all(word)), 1, "the third sleeps still");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_wake_of_all_lets_every_thread_go(cts: &mut Cts) {
    let (word, gone) = (FutexWord::new(0), Arc::default());
    let threads = sleepers(&word, 3, &gone);
    assert_eq!(cts.get(FutexWake::new(word, u32::MAX)), 3);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

fn a_wake_that_nobody_waits_for_wakes_none(cts: &mut Cts) {
    let word = FutexWord::new(0);
    assert_eq!(cts.get(FutexWake::new(word.clone(), 1)), 0);
    assert_eq!(cts.get(FutexWake::all(word.clone())), 0);
    assert_eq!(cts.get(FutexWake::new(word, 0)), 0);
}

/// Answers a wake by waking another word's waiters.
struct Answer {
    reply: FutexWord,
    ended: Arc<AtomicUsize>,
}

impl Complete<FutexWait> for Answer {
    fn done(op: Box<Op<FutexWait, Self>>, outcome: Outcome<FutexWait>, cx: &mut Context<'_>) {
        outcome.result.expect("woken");
        op.state.reply.atomic().store(1, Ordering::SeqCst);
        cx.submit(Op::new(FutexWake::all(op.state.reply.clone()), ())).expect("taken");
        op.state.ended.fetch_add(1, Ordering::SeqCst);
    }
}

fn a_callback_wakes_the_other_side_of_a_round_trip(cts: &mut Cts) {
    let (call, reply, gone) = (FutexWord::new(0), FutexWord::new(0), Arc::default());
    let ended: Arc<AtomicUsize> = Arc::default();
    let threads = sleepers(&reply, 3, &gone);
    let state = Answer { reply: reply.clone(), ended: ended.clone() };
    cts.submit(Op::new(FutexWait::new(call.clone(), 0), state)).unwrap();
    cts.look();
    call.atomic().store(1, Ordering::SeqCst);
    call.wake(1);
    cts.until("the callback", || ended.load(Ordering::SeqCst) == 1);
    cts.drain();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

fn a_step_behind_a_wait_runs_after_the_wake(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let (wait, waited) = cts.watch(FutexWait::new(word.clone(), 0));
    let (nop, ran) = cts.watch(Nop);
    cts.submit(Chain::new((wait, nop))).unwrap();
    cts.look();
    assert!(!waited.is_done() && !ran.is_done());
    word.atomic().store(1, Ordering::SeqCst);
    word.wake(1);
    cts.until("the step behind", || ran.is_done());
    assert!(waited.order() < ran.order());
    // A word that is another is no failure: what is behind runs.
    let (wait, waited) = cts.watch(FutexWait::new(word, 0));
    let (nop, ran) = cts.watch(Nop);
    cts.submit(Chain::new((wait, nop))).unwrap();
    cts.drain();
    assert_eq!(waited.only().result.unwrap(), FutexWaited::Changed);
    ran.only().result.unwrap();
}

fn a_wait_is_cancelled_once_however_often_asked(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let (op, watch) = cts.watch(FutexWait::new(word.clone(), 0));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || watch.is_done());
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    cts.look();
    let status = watch.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Cancelled, Operation::FutexWait));
    assert_eq!(word.wake(1), 0, "nobody waits any more");
}

fn cancel_and_wake_at_once_end_a_wait_once(cts: &mut Cts) {
    for round in 0..50 {
        let word = FutexWord::new(0);
        let (op, watch) = cts.watch(FutexWait::new(word.clone(), 0));
        let id = cts.submit(op).unwrap();
        if round % 2 == 0 {
            cts.look();
        }
        let waker = word.clone();
        let thread = std::thread::spawn(move || {
            waker.atomic().store(1, Ordering::SeqCst);
            waker.wake(1);
        });
        // NotFound where the wake was faster and its callback has run.
        let _ = cts.cancel(id);
        cts.until("the wait to end", || watch.is_done());
        thread.join().unwrap();
        cts.look();
        // Whichever was first.
        match watch.only().result {
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), Code::Cancelled),
        }
    }
}

fn a_word_in_shared_memory_is_met_through_another_mapping(cts: &mut Cts) {
    let file = rustix::fs::memfd_create("futex", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 8192).unwrap();
    let one = FutexWord::in_shared_memory(file.as_fd(), 4100).unwrap();
    let other = FutexWord::in_shared_memory(file.as_fd(), 4100).unwrap();
    assert!(one.is_shared() && one.atomic().as_ptr() != other.atomic().as_ptr());
    let wait = cts.start(FutexWait::new(one.clone(), 0));
    cts.look();
    assert!(!wait.is_done());
    other.atomic().store(9, Ordering::SeqCst);
    other.wake(1);
    cts.until("the wake", || wait.is_done());
    assert_eq!(one.atomic().load(Ordering::SeqCst), 9);
    other.atomic().store(0, Ordering::SeqCst);
    let gone = Arc::default();
    let threads = sleepers(&one, 1, &gone);
    assert_eq!(cts.get(FutexWake::all(other)), 1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(FutexWord::in_shared_memory(file.as_fd(), 4101).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(FutexWord::in_shared_memory(file.as_fd(), 8192).unwrap_err().code(), Code::OutOfRange);
    assert_eq!(FutexWord::in_shared_memory(file.as_fd(), !3).unwrap_err().code(), Code::OutOfRange);
}

fn many_words_are_waited_for_at_once(cts: &mut Cts) {
    // More than one call of the system waits for.
    let words: Vec<_> = (0..300).map(|_| FutexWord::new(0)).collect();
    let waits: Vec<_> = words.iter().map(|word| cts.start(FutexWait::new(word.clone(), 0))).collect();
    cts.look();
    for (at, word) in words.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        word.atomic().store(1, Ordering::SeqCst);
        word.wake(1);
        cts.until("the woken wait", || waits[at].is_done());
    }
    assert_eq!(waits.iter().filter(|wait| wait.is_done()).count(), 150, "the others wait on");
    for word in &words {
        word.atomic().store(1, Ordering::SeqCst);
        word.wake(1);
    }
    cts.drain();
    waits.into_iter().for_each(|wait| assert!(wait.only().result.is_ok()));
}

fn an_operation_wakes_an_operation(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let waits: Vec<_> = (0..4).map(|_| cts.start(FutexWait::new(word.clone(), 0))).collect();
    cts.look();
    word.atomic().store(1, Ordering::SeqCst);
    cts.get(FutexWake::all(word));
    cts.drain();
    waits.into_iter().for_each(|wait| assert!(wait.only().result.is_ok()));
}

fn a_wait_in_flight_keeps_its_word(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let (op, watch) = cts.watch(FutexWait::new(word, 0));
    let id = cts.submit(op).unwrap();
    cts.look();
    // The program has let go of it, and only the operation has it still.
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(watch.only().kind.word.atomic().load(Ordering::SeqCst), 0);
}

fn a_wait_goes_to_the_ring_or_to_one_helper(cts: &mut Cts) {
    let name = format!("w{}", unique());
    cts.rebuild(|builder| builder.name(name.clone()));
    let words: Vec<_> = (0..5).map(|_| FutexWord::new(0)).collect();
    let waits: Vec<_> = words.iter().map(|word| cts.start(FutexWait::new(word.clone(), 0))).collect();
    cts.look();
    let native = cts.handle().capabilities().contains(Capabilities::KERNEL_FUTEX);
    let helpers = || threads_named(&format!("{name}-f")).len();
    if native {
        assert_eq!(helpers(), 0);
    } else {
        // A thread takes its name only when it runs.
        eventually("the helper to have its name", || helpers() == 1);
    }
    for word in words {
        word.atomic().store(1, Ordering::SeqCst);
        word.wake(1);
    }
    cts.drain();
    waits.into_iter().for_each(|wait| assert!(wait.only().result.is_ok()));
}

fn waits_that_cannot_be_had_are_refused_with_the_reason(cts: &mut Cts) {
    let word = FutexWord::new(0);
    match cts.submit(Op::new(FutexWait::new(word, 1), ())) {
        Ok(_) => {
            cts.drain();
            skip("this machine waits for futexes");
        }
        Err(refused) => {
            assert_eq!(refused.status.code(), Code::Unavailable);
            assert!(refused.status.to_string().contains("futex_waitv"), "{}", refused.status);
        }
    }
}

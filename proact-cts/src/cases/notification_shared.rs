//! Notifications that processes share: two over one memory, each by a mapping of its own, and real processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::memory::{Access, Allocation, Region};
use proact::operation::{Chain, Nop, NotificationSignal, NotificationWait, Op};
use proact::status::{Code, Result};
use proact::sync::{Epoch, Notification};
use proact::time::Timeout;

use crate::bench::{Cts, eventually, patience};
use crate::harness::{Only, skip};
use crate::system::descriptors;
use crate::{cases, child};

cases![
    a_signal_advances_the_word_in_the_callers_memory.only(Only::Once),
    a_blocking_wait_is_woken_through_another_mapping.real("other threads").only(Only::Once),
    a_blocking_wait_gives_up_in_time.only(Only::Once),
    an_operation_is_woken_through_another_mapping.real("memory and threads that are shared"),
    a_signal_before_the_wait_completes_it.real("memory and threads that are shared"),
    waits_and_signals_take_turns.real("memory and threads that are shared"),
    two_over_one_memory_see_each_others_signals.only(Only::Once),
    three_operations_and_two_threads_are_woken_by_one_broadcast.real("memory and threads that are shared"),
    a_signal_of_one_wakes_one_thread_and_every_operation.real("memory and threads that are shared"),
    a_pending_wait_is_cancelled_and_counted_out.real("memory and threads that are shared"),
    a_wait_ends_with_its_deadline.real("memory and threads that are shared"),
    cancel_races_with_signal_and_the_wait_ends_once.real("memory and threads that are shared"),
    a_wake_without_a_signal_completes_nothing.real("memory and threads that are shared"),
    the_epoch_wraps.real("memory and threads that are shared"),
    a_conditional_signal_sees_observers_through_another_mapping.real("memory and threads that are shared"),
    steps_of_a_chain_wait_and_signal.real("memory and threads that are shared"),
    the_end_of_a_notification_leaves_the_memory_and_its_descriptor.alone(),
    what_cannot_be_shared_is_refused.only(Only::Once),
    memory_without_a_notification_is_not_opened.only(Only::Once),
    another_process_signals_and_is_signalled.real("memory and threads that are shared"),
    a_program_that_begins_anew_signals_and_is_signalled.real("memory and threads that are shared").alone(),
    a_process_that_was_killed_leaves_wakes_that_nobody_needs.real("memory and threads that are shared"),
    a_peer_that_scribbles_over_everything_harms_no_one_else.real("memory and threads that are shared"),
];

const LENGTH: usize = 4096;
/// Not at the beginning: what stands around it is someone else's.
const OFFSET: usize = 64;
/// Where the words are, by version 1 of the layout.
const EPOCH_AT: usize = OFFSET + 16;
const OBSERVERS_AT: usize = OFFSET + 20;

fn mapped(fd: &OwnedFd) -> Region {
    Region::map_shared(fd.as_fd(), 0, LENGTH, Access::all()).unwrap()
}

/// Two notifications over one memory, each by a mapping of its own, and a third mapping to look with.
fn two() -> (Notification, Notification, Region) {
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    let first = Notification::create_shared(region, OFFSET).unwrap();
    let second = Notification::open_shared(mapped(&fd), OFFSET).unwrap();
    (first, second, mapped(&fd))
}

fn word(region: &Region, at: usize) -> u32 {
    let mut bytes = [0; 4];
    region.copy_out(at, &mut bytes).unwrap();
    u32::from_ne_bytes(bytes)
}

fn set(region: &Region, at: usize, value: u32) {
    region.copy_in(at, &value.to_ne_bytes()).unwrap();
}

fn code<T>(result: Result<T>) -> Code {
    result.map(|_| ()).map_or_else(|status| status.code(), |()| Code::Ok)
}

/// Skips where operations cannot wait for shared memory, which is refused with the reason.
fn needs_waits(cts: &mut Cts) {
    let (notification, ..) = two();
    let token = Epoch::new(notification.epoch().number().wrapping_sub(1));
    match cts.submit(Op::new(NotificationWait::since(notification, token), ())) {
        Ok(_) => cts.drain(),
        Err(refused) => {
            assert_eq!(refused.status.code(), Code::Unavailable);
            assert!(refused.status.to_string().contains("futex_waitv"), "{}", refused.status);
            skip(refused.status.to_string());
        }
    }
}

fn a_signal_advances_the_word_in_the_callers_memory(_: &mut Cts) {
    let (first, second, view) = two();
    assert!(first.is_shared() && second.is_shared() && !Notification::new().is_shared());
    assert_eq!((word(&view, EPOCH_AT), first.epoch()), (0, Epoch::new(0)));
    first.signal(1);
    assert_eq!(word(&view, EPOCH_AT), 1);
    assert!(!second.signal_if_observed(1));
    assert_eq!(word(&view, EPOCH_AT), 2);
    set(&view, EPOCH_AT, 77);
    assert_eq!((first.epoch(), second.epoch()), (Epoch::new(77), Epoch::new(77)));
}

fn a_blocking_wait_is_woken_through_another_mapping(_: &mut Cts) {
    let (first, second, view) = two();
    for _ in 0..50 {
        let since = first.epoch();
        let (waiter, done) = (first.clone(), Arc::new(AtomicUsize::new(0)));
        let told = done.clone();
        let thread = std::thread::spawn(move || {
            assert!(waiter.wait_since(since, patience()).unwrap(), "nobody woke it");
            told.fetch_add(1, Ordering::SeqCst);
        });
        second.signal(1);
        eventually("the thread to be woken", || done.load(Ordering::SeqCst) == 1);
        thread.join().unwrap();
    }
    assert_eq!(word(&view, OBSERVERS_AT), 0, "everyone has counted itself out");
}

fn a_blocking_wait_gives_up_in_time(_: &mut Cts) {
    let (first, ..) = two();
    let start = std::time::Instant::now();
    assert!(!first.wait(Duration::from_millis(5)).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(5));
    assert!(!first.wait(Timeout::Immediate).unwrap());
}

fn an_operation_is_woken_through_another_mapping(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, _) = two();
    let wait = cts.start(NotificationWait::new(first));
    cts.look();
    assert_eq!(wait.calls(), 0);
    let thread = std::thread::spawn(move || second.signal(1));
    cts.until("the wait", || wait.is_done());
    thread.join().unwrap();
    wait.only().result.unwrap();
}

fn a_signal_before_the_wait_completes_it(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, _) = two();
    let observation = first.observe();
    second.signal(1);
    let wait = cts.start(NotificationWait::since(first.clone(), observation.epoch()));
    assert_eq!(wait.calls(), 0, "a callback inside submit");
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
    // And from another thread: after the submit, before the start.
    let (op, wait) = cts.watch(NotificationWait::new(first.clone()));
    let handle = cts.handle().clone();
    std::thread::spawn(move || handle.submit(op).unwrap()).join().unwrap();
    second.signal(1);
    cts.until("the wait from another thread", || wait.is_done());
    wait.only().result.unwrap();
}

fn waits_and_signals_take_turns(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    for round in 0..100 {
        let wait = cts.start(NotificationWait::new(if round % 2 == 0 { first.clone() } else { second.clone() }));
        if round % 3 == 0 {
            cts.look();
            assert_eq!(wait.calls(), 0, "round {round}");
        }
        first.signal(1);
        cts.until("the round's wait", || wait.is_done());
        wait.only().result.unwrap();
    }
    assert_eq!((word(&view, EPOCH_AT), word(&view, OBSERVERS_AT)), (100, 0));
}

fn two_over_one_memory_see_each_others_signals(_: &mut Cts) {
    let (first, second, _) = two();
    let observation = second.observe();
    first.signal(1);
    assert!(observation.is_signalled());
    assert_eq!(second.epoch(), first.epoch());
    assert!(observation.wait(Timeout::Infinite).unwrap());
}

fn three_operations_and_two_threads_are_woken_by_one_broadcast(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, _) = two();
    let waits: Vec<_> = (0..3).map(|_| cts.start(NotificationWait::new(first.clone()))).collect();
    let since = first.epoch();
    let threads = [&first, &second].map(|notification| {
        let notification = notification.clone();
        std::thread::spawn(move || notification.wait_since(since, patience()).unwrap())
    });
    second.broadcast();
    cts.until("the operations", || waits.iter().all(|wait| wait.is_done()));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    waits.into_iter().for_each(|wait| wait.only().result.unwrap());
}

fn a_signal_of_one_wakes_one_thread_and_every_operation(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, _) = two();
    for count in [0, 1] {
        let waits: Vec<_> = (0..3).map(|_| cts.start(NotificationWait::new(first.clone()))).collect();
        cts.look();
        second.signal(count);
        cts.until("all operations", || waits.iter().all(|wait| wait.is_done()));
        waits.into_iter().for_each(|wait| wait.only().result.unwrap());
    }
}

fn a_pending_wait_is_cancelled_and_counted_out(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    let (op, wait) = cts.watch(NotificationWait::new(first.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert_eq!(word(&view, OBSERVERS_AT), 1);
    cts.cancel(id).unwrap();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    assert_eq!(word(&view, OBSERVERS_AT), 0);
    let next = cts.start(NotificationWait::new(first));
    second.signal(1);
    cts.until("another wait", || next.is_done());
    next.only().result.unwrap();
}

fn a_wait_ends_with_its_deadline(cts: &mut Cts) {
    needs_waits(cts);
    let (first, _, view) = two();
    let (op, wait) = cts.watch(NotificationWait::new(first));
    let soon = cts.now() + Duration::from_millis(2);
    cts.submit(op.deadline(soon)).unwrap();
    cts.until("the deadline", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::DeadlineExceeded);
    assert_eq!(word(&view, OBSERVERS_AT), 0);
}

fn cancel_races_with_signal_and_the_wait_ends_once(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    let (mut ended, mut cancelled) = (0, 0);
    for _ in 0..100 {
        let (op, wait) = cts.watch(NotificationWait::new(first.clone()));
        let id = cts.submit(op).unwrap();
        cts.look();
        let signaller = second.clone();
        let thread = std::thread::spawn(move || signaller.signal(1));
        cts.cancel(id).unwrap();
        cts.until("one end", || wait.is_done());
        thread.join().unwrap();
        cts.look();
        match wait.only().result {
            Ok(()) => ended += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                cancelled += 1;
            }
        }
    }
    assert_eq!(ended + cancelled, 100);
    assert_eq!(word(&view, OBSERVERS_AT), 0);
}

/// Credits of an eventfd end waits that nobody has signalled (W-35); so would any wake of a futex, were it believed.
fn a_wake_without_a_signal_completes_nothing(cts: &mut Cts) {
    needs_waits(cts);
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    let notification = Notification::create_shared(region, OFFSET).unwrap();
    let word = proact::resource::FutexWord::in_shared_memory(fd.as_fd(), EPOCH_AT as u64).unwrap();
    let wait = cts.start(NotificationWait::new(notification.clone()));
    let mut woken = 0;
    eventually("ten wakes of the word", || {
        cts.look();
        woken += word.wake(u32::MAX);
        woken >= 10
    });
    cts.look();
    assert_eq!(wait.calls(), 0, "a wake has ended the wait, and no signal came");
    notification.signal(1);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn the_epoch_wraps(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    set(&view, EPOCH_AT, u32::MAX);
    let wait = cts.start(NotificationWait::new(first.clone()));
    let observation = second.observe();
    cts.look();
    assert_eq!(wait.calls(), 0);
    first.signal(1);
    assert_eq!(word(&view, EPOCH_AT), 0);
    cts.until("the wait", || wait.is_done());
    assert!(observation.wait(Timeout::Infinite).unwrap());
}

fn a_conditional_signal_sees_observers_through_another_mapping(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, _) = two();
    let observation = first.observe();
    assert!(second.signal_if_observed(1) && observation.is_signalled());
    drop(observation);
    assert!(!second.signal_if_observed(1));
    let wait = cts.start(NotificationWait::new(first));
    assert!(second.signal_if_observed(1), "an operation observes");
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
    assert!(!second.signal_if_observed(1));
}

fn steps_of_a_chain_wait_and_signal(cts: &mut Cts) {
    needs_waits(cts);
    let ((here, theirs, _), (there, answer, _)) = (two(), two());
    let (first, waited) = cts.watch(NotificationWait::new(here));
    let (last, ended) = cts.watch(Nop);
    cts.submit(Chain::new((first, Op::new(NotificationSignal::broadcast(there), ()), last))).unwrap();
    let back = cts.start(NotificationWait::new(answer));
    cts.look();
    assert_eq!(waited.calls() + back.calls(), 0);
    theirs.signal(1);
    cts.until("the chain and the answer", || ended.is_done() && back.is_done());
    waited.only().result.unwrap();
}

fn the_end_of_a_notification_leaves_the_memory_and_its_descriptor(cts: &mut Cts) {
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    region.copy_in(0, b"before").unwrap();
    region.copy_in(OFFSET + Notification::SHARED_SIZE, b"behind").unwrap();
    let before = descriptors();
    for _ in 0..10 {
        let notification = Notification::create_shared(region.clone(), OFFSET).unwrap();
        notification.signal(1);
        if cts.submit(Op::new(NotificationWait::since(notification.clone(), Epoch::new(0)), ())).is_ok() {
            cts.drain();
        }
    }
    assert_eq!(descriptors(), before, "a notification owns no descriptor, and closes none");
    assert_eq!(word(&region, EPOCH_AT), 1);
    let mut around = [0; 6];
    region.copy_out(0, &mut around).unwrap();
    assert_eq!(&around, b"before");
    region.copy_out(OFFSET + Notification::SHARED_SIZE, &mut around).unwrap();
    assert_eq!(&around, b"behind");
    drop(region);
    assert_eq!(Notification::open_shared(mapped(&fd), OFFSET).unwrap().epoch(), Epoch::new(1));
}

fn what_cannot_be_shared_is_refused(_: &mut Cts) {
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    let create = |region: &Region, offset| code(Notification::create_shared(region.clone(), offset));
    assert_eq!(create(&region, 0), Code::Ok);
    assert_eq!(create(&region, LENGTH - 64), Code::Ok);
    assert_eq!(create(&region, LENGTH), Code::OutOfRange);
    assert_eq!(create(&region, LENGTH - 63), Code::OutOfRange);
    assert_eq!(create(&region, usize::MAX), Code::OutOfRange);
    for offset in [4, 8, 32, 65] {
        assert_eq!(create(&region, offset), Code::InvalidArgument);
    }
    let private = Region::allocate(LENGTH, &Allocation::new()).unwrap();
    assert_eq!(create(&private, 0), Code::FailedPrecondition);
    let read_only = Region::map_shared(fd.as_fd(), 0, LENGTH, Access::READ).unwrap();
    assert_eq!(create(&read_only, 0), Code::FailedPrecondition);
}

fn memory_without_a_notification_is_not_opened(_: &mut Cts) {
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    let open = || code(Notification::open_shared(mapped(&fd), OFFSET));
    assert_eq!(open(), Code::InvalidArgument, "nothing was made there");
    let _made = Notification::create_shared(region.clone(), OFFSET).unwrap();
    assert_eq!(open(), Code::Ok);
    for at in [OFFSET, OFFSET + 4, OFFSET + 8] {
        let good = word(&region, at);
        set(&region, at, good ^ 0x11);
        assert_eq!(open(), Code::InvalidArgument, "damaged at {at}");
        set(&region, at, good);
    }
    assert_eq!(open(), Code::Ok);
}

/// Runs `body` in a process of its own, forked from this one, which makes no call that is not fit for a signal handler:
/// other threads of this one may hold any lock. `body` says whether all was well.
fn forked(body: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child runs `body`, which allocates nothing and takes no lock, and leaves without running anything
    // else.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let well = body();
        // SAFETY: as above.
        unsafe { libc::_exit(if well { 0 } else { 1 }) };
    }
    child
}

/// How the process ended: its exit code, or the signal that ended it, negated.
fn ended(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: a child of this process that nobody else waits for.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
}

fn another_process_signals_and_is_signalled(cts: &mut Cts) {
    const ROUNDS: u32 = 50;
    needs_waits(cts);
    let ((ping, theirs, _), (pong, answers, _)) = (two(), two());
    let child = forked(|| {
        // Both began at 0, and each side knows the round.
        (0..ROUNDS).all(|round| {
            let signalled = theirs.wait_since(Epoch::new(round), Duration::from_secs(60)).unwrap_or(false);
            answers.signal_if_observed(1);
            signalled
        })
    });
    for _ in 0..ROUNDS {
        let wait = cts.start(NotificationWait::new(pong.clone()));
        ping.signal(1);
        cts.until("the other process's answer", || wait.is_done());
        wait.only().result.unwrap();
    }
    assert_eq!(ended(child), 0, "the other process was not signalled");
    assert_eq!(pong.epoch(), Epoch::new(ROUNDS));
}

/// The other process shares nothing but the descriptor: its memory lies elsewhere, and it polls a proactor of its own.
fn a_program_that_begins_anew_signals_and_is_signalled(cts: &mut Cts) {
    const ROUNDS: u32 = 50;
    const ANSWERS_AT: usize = OFFSET + Notification::SHARED_SIZE;
    needs_waits(cts);
    let (region, fd) = Region::create_shared(LENGTH).unwrap();
    let ping = Notification::create_shared(region.clone(), OFFSET).unwrap();
    let pong = Notification::create_shared(region, ANSWERS_AT).unwrap();
    let here = |cts: &mut Cts| {
        for _ in 0..ROUNDS {
            let wait = cts.start(NotificationWait::new(pong.clone()));
            ping.signal(1);
            cts.until("the other program's answer", || wait.is_done());
            wait.only().result.unwrap();
        }
        assert_eq!(pong.epoch(), Epoch::new(ROUNDS));
    };
    let there = |cts: &mut Cts, fd: BorrowedFd<'_>| {
        let region = Region::map_shared(fd, 0, LENGTH, Access::all()).unwrap();
        let asked = Notification::open_shared(region.clone(), OFFSET).unwrap();
        let answer = Notification::open_shared(region, ANSWERS_AT).unwrap();
        // Both began at 0, and each side knows the round.
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                cts.get(NotificationWait::since(asked.clone(), Epoch::new(round)));
            } else {
                assert!(asked.wait_since(Epoch::new(round), patience()).unwrap());
            }
            answer.signal_if_observed(1);
        }
    };
    let case = ("notification_shared", "a_program_that_begins_anew_signals_and_is_signalled");
    child::beside(cts, case, &fd, here, there);
}

fn a_process_that_was_killed_leaves_wakes_that_nobody_needs(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    let child = forked(|| {
        // Killed in here, counted as an observer twice: for the observation, and for the sleep.
        let observation = second.observe();
        second.wait_since(observation.epoch(), Duration::from_secs(600)).unwrap_or(false)
    });
    eventually("the other process to observe", || word(&view, OBSERVERS_AT) == 2);
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    assert_eq!(ended(child), -libc::SIGKILL);
    assert_eq!(word(&view, OBSERVERS_AT), 2, "nobody has counted it out");
    for _ in 0..10 {
        let wait = cts.start(NotificationWait::new(first.clone()));
        cts.look();
        assert_eq!(wait.calls(), 0);
        assert!(first.signal_if_observed(1), "a superfluous wake, and no more");
        cts.until("the wait", || wait.is_done());
        wait.only().result.unwrap();
    }
    assert!(first.signal_if_observed(1), "the dead one still counts");
}

fn a_peer_that_scribbles_over_everything_harms_no_one_else(cts: &mut Cts) {
    needs_waits(cts);
    let (first, second, view) = two();
    let stop = Arc::new(AtomicUsize::new(0));
    let over = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        while over.load(Ordering::Relaxed) == 0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = OFFSET + state as usize % (Notification::SHARED_SIZE - 8);
            view.copy_in(at, &state.to_ne_bytes()[..1 + at % 8]).unwrap();
            if state % 4 == 0 {
                second.broadcast();
            }
        }
    });
    for _ in 0..200 {
        let since = first.epoch();
        // Every one ends, by whatever change of the word, or by its deadline.
        let (op, wait) = cts.watch(NotificationWait::since(first.clone(), since));
        let soon = cts.now() + Duration::from_millis(20);
        cts.submit(op.deadline(soon)).unwrap();
        let _ = first.wait_since(since, Duration::from_micros(100)).unwrap();
        first.signal_if_observed(1);
        cts.until("the wait or its deadline", || wait.is_done());
        let code = wait.code();
        assert!(matches!(code, Some(Code::Ok | Code::DeadlineExceeded)), "{code:?}");
    }
    stop.store(1, Ordering::Relaxed);
    thread.join().unwrap();
}

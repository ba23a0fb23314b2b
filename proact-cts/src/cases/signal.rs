//! Signals of the process. They are everyone's, so these cases run alone, or in a process of their own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::operation::{Complete, Context, Op, OperationId, Outcome, SignalWait};
use proact::resource::{Signal, SignalSet, block_signals};
use proact::status::{Code, Operation};
use proact::time::Timeout;

use crate::bench::{Cts, Watch, patience};
use crate::harness::Only;
use crate::{cases, child};

cases![
    a_subscription_begins_and_ends_by_a_cancel.real("signals of the operating system").alone(),
    no_signal_and_unknown_signals_are_refused.real("signals of the operating system"),
    names_are_read_and_shown.real("signals of the operating system").only(Only::Once),
    a_signal_that_was_raised_is_told.real("signals of the operating system").alone(),
    every_one_of_the_six_is_told_by_itself_and_together.real("signals of the operating system").alone(),
    two_subscribers_of_one_signal_are_both_told_in_their_order.real("signals of the operating system").alone(),
    a_subscriber_is_told_of_its_own_signals_alone.real("signals of the operating system").alone(),
    a_signal_of_any_thread_ends_the_sleep.real("signals of the operating system").alone(),
    signals_coalesce_and_the_last_is_told.real("signals of the operating system").alone(),
    a_subscription_that_is_cancelled_in_its_own_callback_ends_once.real("signals of the operating system").alone(),
    a_subscription_that_is_cancelled_twice_ends_once.real("signals of the operating system").alone(),
    a_subscriber_cancels_its_neighbours_while_they_are_told.real("signals of the operating system").alone(),
    a_subscription_begins_while_signals_are_told.real("signals of the operating system").alone(),
    a_second_proactor_is_refused_and_told_who_owns.real("signals of the operating system").alone(),
    ownership_ends_with_the_last_subscription.real("signals of the operating system").alone(),
    ownership_ends_with_the_proactor.real("signals of the operating system").alone(),
    a_signal_is_subscribed_to_again_and_again.real("signals of the operating system").alone(),
    a_batch_that_is_refused_subscribes_to_nothing.real("signals of the operating system").alone(),
    a_signal_that_is_blocked_everywhere_is_told.real("signals of the operating system").only(Only::Extremes),
    dispositions_and_masks_are_again_what_they_were.real("signals of the operating system").only(Only::Extremes),
    a_handler_that_another_set_meanwhile_stays.real("signals of the operating system").only(Only::Extremes),
    a_signal_after_the_last_subscription_ends_the_process_again
        .real("signals of the operating system")
        .only(Only::Extremes),
    a_signal_that_nobody_was_told_of_acts_when_the_subscription_ends
        .real("signals of the operating system")
        .only(Only::Extremes),
    a_storm_of_signals_meets_subscriptions_that_come_and_go
        .real("signals of the operating system")
        .only(Only::Extremes),
];

/// Sends the calling thread a signal: handled before this returns, so that none is left over when a case ends.
fn send(signal: Signal) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
}

/// Sends the process a signal, which the system hands to some thread, some time.
fn send_to_any(signal: Signal) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.number()) }, 0);
}

fn begin(cts: &mut Cts, signals: impl Into<SignalSet>) -> (OperationId, Watch<SignalWait>) {
    let (op, watch) = cts.watch(SignalWait::new(signals));
    (cts.submit(op).unwrap(), watch)
}

fn end(cts: &mut Cts, (id, watch): (OperationId, Watch<SignalWait>)) {
    cts.cancel(id).unwrap();
    cts.until("the subscription's end", || watch.is_done());
    assert_eq!(watch.only().status().code(), Code::Cancelled);
}

fn told(watch: &Watch<SignalWait>) -> Vec<Signal> {
    watch.take_outcomes().into_iter().map(Result::unwrap).collect()
}

#[track_caller]
fn until_told(cts: &mut Cts, watch: &Watch<SignalWait>, expected: &[Signal]) {
    cts.until("signals", || watch.outcomes() >= expected.len());
    assert_eq!(told(watch), expected);
}

/// What is set for a signal, and whether this thread blocks it.
#[derive(PartialEq, Eq, Debug)]
struct Set {
    handler: usize,
    flags: i32,
    mask: Vec<bool>,
    blocked: bool,
}

fn set(signal: Signal) -> Set {
    // SAFETY: zeroed structures, which the system fills.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal.number(), std::ptr::null(), &raw mut action), 0);
        let mut mask: libc::sigset_t = std::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask), 0);
        let mask_of = (1..=64).map(|number| libc::sigismember(&raw const action.sa_mask, number) == 1).collect();
        let blocked = libc::sigismember(&raw const mask, signal.number()) == 1;
        // The C library adds this one whenever it sets any (SA_RESTORER): it says how a handler returns.
        let flags = action.sa_flags & !0x0400_0000;
        Set { handler: action.sa_sigaction, flags, mask: mask_of, blocked }
    }
}

fn all_sets() -> Vec<Set> {
    Signal::ALL.into_iter().map(set).collect()
}

fn a_subscription_begins_and_ends_by_a_cancel(cts: &mut Cts) {
    let before = all_sets();
    let subscription = begin(cts, Signal::Interrupt);
    cts.look();
    assert_eq!(cts.pending(), 1);
    assert_ne!(set(Signal::Interrupt), before[0], "the handler is set");
    assert_eq!(set(Signal::Terminate), before[1], "and no other");
    end(cts, subscription);
    assert_eq!(all_sets(), before);
}

fn no_signal_and_unknown_signals_are_refused(cts: &mut Cts) {
    for signals in [SignalSet::empty(), SignalSet::from_bits_retain(1 << 6), SignalSet::from_bits_retain(u32::MAX)] {
        let refused = cts.submit(Op::new(SignalWait::new(signals), ())).unwrap_err();
        assert_eq!((refused.status.code(), refused.status.operation()), (Code::InvalidArgument, Operation::SignalWait));
    }
    assert_eq!(block_signals(SignalSet::from_bits_retain(1 << 6)).unwrap_err().code(), Code::InvalidArgument);
}

fn names_are_read_and_shown(_: &mut Cts) {
    let names = ["INTERRUPT", "TERMINATE", "HANG_UP", "QUIT", "USER1", "USER2"];
    assert!(Signal::ALL.iter().map(|signal| signal.name()).eq(names));
    assert!(names.iter().map(|name| name.parse::<Signal>().unwrap()).eq(Signal::ALL));
    for name in ["NONE", "UNKNOWN", "user1", ""] {
        assert_eq!(name.parse::<Signal>().unwrap_err().code(), Code::InvalidArgument);
    }
}

fn a_signal_that_was_raised_is_told(cts: &mut Cts) {
    let subscription = begin(cts, Signal::User1);
    cts.look();
    send(Signal::User1);
    until_told(cts, &subscription.1, &[Signal::User1]);
    cts.look();
    assert_eq!(subscription.1.outcomes(), 0, "one signal is told once");
    end(cts, subscription);
}

fn every_one_of_the_six_is_told_by_itself_and_together(cts: &mut Cts) {
    for signal in Signal::ALL {
        let subscription = begin(cts, signal);
        cts.look();
        send(signal);
        until_told(cts, &subscription.1, &[signal]);
        end(cts, subscription);
    }
    let subscription = begin(cts, SignalSet::all());
    cts.look();
    for signal in Signal::ALL {
        send(signal);
        until_told(cts, &subscription.1, &[signal]);
    }
    end(cts, subscription);
}

fn two_subscribers_of_one_signal_are_both_told_in_their_order(cts: &mut Cts) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let ids: Vec<_> = (0..2)
        .map(|number| cts.submit(Op::new(SignalWait::new(Signal::User2), Note(number, order.clone()))).unwrap())
        .collect();
    cts.look();
    for round in 1..=3 {
        send(Signal::User2);
        cts.until("both subscribers", || order.borrow().len() == 2 * round);
    }
    assert_eq!(*order.borrow(), [0, 1, 0, 1, 0, 1]);
    // The first one's end leaves the second, and the handler.
    cts.cancel(ids[0]).unwrap();
    cts.look();
    send(Signal::User2);
    cts.until("the second subscriber", || order.borrow().len() == 7);
    assert_eq!(order.borrow()[6], 1);
    cts.cancel(ids[1]).unwrap();
    cts.drain();
}

struct Note(usize, Rc<RefCell<Vec<usize>>>);

impl Complete<SignalWait> for Note {
    fn more(&mut self, _: &SignalWait, outcome: Outcome<SignalWait>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap(), Signal::User2);
        self.1.borrow_mut().push(self.0);
    }

    fn done(_: Box<Op<SignalWait, Self>>, outcome: Outcome<SignalWait>, _: &mut Context<'_>) {
        assert!(outcome.result.unwrap_err().is_cancelled());
    }
}

fn a_subscriber_is_told_of_its_own_signals_alone(cts: &mut Cts) {
    let one = begin(cts, SignalSet::USER1 | SignalSet::HANG_UP);
    let two = begin(cts, SignalSet::USER2 | SignalSet::HANG_UP);
    cts.look();
    send(Signal::User1);
    until_told(cts, &one.1, &[Signal::User1]);
    send(Signal::User2);
    until_told(cts, &two.1, &[Signal::User2]);
    send(Signal::HangUp);
    until_told(cts, &one.1, &[Signal::HangUp]);
    until_told(cts, &two.1, &[Signal::HangUp]);
    end(cts, one);
    end(cts, two);
}

fn a_signal_of_any_thread_ends_the_sleep(cts: &mut Cts) {
    let subscription = begin(cts, Signal::User1);
    cts.look();
    // SAFETY: without arguments.
    let poll_thread = unsafe { libc::gettid() };
    for round in 0..50 {
        let sender = std::thread::spawn(move || {
            // To the thread that sleeps, to the sender itself, and to whichever the system picks.
            // SAFETY: no pointers; both threads live.
            unsafe {
                match round % 3 {
                    0 => libc::syscall(libc::SYS_tgkill, libc::getpid(), poll_thread, libc::SIGUSR1),
                    1 => libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR1),
                    _ => libc::c_long::from(libc::kill(libc::getpid(), libc::SIGUSR1)),
                }
            }
        });
        // Only a wake returns before the deadline.
        until_told(cts, &subscription.1, &[Signal::User1]);
        assert_eq!(sender.join().unwrap(), 0);
    }
    end(cts, subscription);
}

fn signals_coalesce_and_the_last_is_told(cts: &mut Cts) {
    let subscription = begin(cts, SignalSet::USER1 | SignalSet::QUIT);
    cts.look();
    for _ in 0..100 {
        send(Signal::User1);
        send(Signal::Quit);
    }
    cts.look();
    assert_eq!(told(&subscription.1), [Signal::Quit, Signal::User1], "200 signals between two passes");
    send(Signal::User1);
    until_told(cts, &subscription.1, &[Signal::User1]);
    end(cts, subscription);
}

/// Cancels some at the first signal.
struct Canceller {
    whom: Rc<RefCell<Vec<OperationId>>>,
    told: Rc<RefCell<Vec<&'static str>>>,
    name: &'static str,
}

impl Complete<SignalWait> for Canceller {
    fn more(&mut self, _: &SignalWait, _: Outcome<SignalWait>, cx: &mut Context<'_>) {
        self.told.borrow_mut().push(self.name);
        for id in self.whom.borrow().iter() {
            cx.cancel(*id).unwrap();
            cx.cancel(*id).unwrap();
        }
    }

    fn done(op: Box<Op<SignalWait, Self>>, outcome: Outcome<SignalWait>, _: &mut Context<'_>) {
        assert!(outcome.result.unwrap_err().is_cancelled());
        op.state.told.borrow_mut().push("end");
    }
}

/// W-28.
fn a_subscription_that_is_cancelled_in_its_own_callback_ends_once(cts: &mut Cts) {
    let before = all_sets();
    let (whom, told) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let state = Canceller { whom: whom.clone(), told: told.clone(), name: "own" };
    let id = cts.submit(Op::new(SignalWait::new(Signal::User1), state)).unwrap();
    whom.borrow_mut().push(id);
    cts.look();
    send(Signal::User1);
    cts.drain();
    assert_eq!(*told.borrow(), ["own", "end"]);
    assert_eq!(all_sets(), before);
}

fn a_subscription_that_is_cancelled_twice_ends_once(cts: &mut Cts) {
    let (id, watch) = begin(cts, Signal::User1);
    cts.look();
    cts.cancel(id).unwrap();
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
}

/// W-28: those who are being told are taken off the list meanwhile, the one before, itself and the one behind.
fn a_subscriber_cancels_its_neighbours_while_they_are_told(cts: &mut Cts) {
    let told = Rc::new(RefCell::new(Vec::new()));
    let (whom, nobody) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let begin = |name| {
        let whom = if name == "second" { whom.clone() } else { nobody.clone() };
        cts.submit(Op::new(SignalWait::new(Signal::User2), Canceller { whom, told: told.clone(), name })).unwrap()
    };
    let ids = ["first", "second", "third", "fourth"].map(begin);
    whom.borrow_mut().extend(&ids[..3]);
    cts.look();
    send(Signal::User2);
    cts.until("three ends", || told.borrow().iter().filter(|name| **name == "end").count() == 3);
    assert_eq!(told.borrow()[..4], ["first", "second", "third", "fourth"], "who was there when it came is told");
    send(Signal::User2);
    cts.until("the one that stayed", || told.borrow().len() == 8);
    assert_eq!(told.borrow()[7], "fourth");
}

struct BeginsAnother(Rc<RefCell<Vec<&'static str>>>, &'static str);

impl Complete<SignalWait> for BeginsAnother {
    fn more(&mut self, _: &SignalWait, _: Outcome<SignalWait>, cx: &mut Context<'_>) {
        self.0.borrow_mut().push(self.1);
        if self.1 == "old" && self.0.borrow().len() == 1 {
            let another = BeginsAnother(self.0.clone(), "new");
            cx.submit(Op::new(SignalWait::new(Signal::User1), another)).unwrap();
        }
    }

    fn done(_: Box<Op<SignalWait, Self>>, _: Outcome<SignalWait>, _: &mut Context<'_>) {}
}

fn a_subscription_begins_while_signals_are_told(cts: &mut Cts) {
    let told = Rc::new(RefCell::new(Vec::new()));
    cts.submit(Op::new(SignalWait::new(Signal::User1), BeginsAnother(told.clone(), "old"))).unwrap();
    cts.look();
    send(Signal::User1);
    cts.until("the first", || told.borrow().len() == 1);
    cts.look();
    assert_eq!(*told.borrow(), ["old"], "the new one was not there when it came");
    send(Signal::User1);
    cts.until("both", || told.borrow().len() == 3);
    assert_eq!(*told.borrow(), ["old", "old", "new"]);
}

fn a_second_proactor_is_refused_and_told_who_owns(cts: &mut Cts) {
    let subscription = begin(cts, Signal::User1);
    cts.look();
    let mut other = Cts::beside(cts.config);
    // Also for another signal: the process has one owner.
    for signal in [Signal::User1, Signal::User2] {
        let status = other.fails(SignalWait::new(signal));
        assert_eq!((status.code(), status.operation()), (Code::FailedPrecondition, Operation::SignalWait));
        let shown = format!("{:?}", cts.handle());
        let number = shown.trim_start_matches("Handle(").split([',', ' ']).next().unwrap().to_owned();
        assert!(status.to_string().contains(&format!("proactor {number} ")), "{status} does not name {shown}");
    }
    assert_eq!(other.pending(), 0);
    // The refusal has taken nothing from the owner.
    send(Signal::User1);
    until_told(cts, &subscription.1, &[Signal::User1]);
    end(cts, subscription);
}

fn ownership_ends_with_the_last_subscription(cts: &mut Cts) {
    let mut other = Cts::beside(cts.config);
    let one = begin(cts, Signal::User1);
    let two = begin(cts, Signal::User2);
    cts.look();
    end(cts, one);
    assert_eq!(other.fails(SignalWait::new(Signal::User1)).code(), Code::FailedPrecondition, "one is left");
    end(cts, two);
    let theirs = begin(&mut other, Signal::User1);
    other.look();
    send(Signal::User1);
    until_told(&mut other, &theirs.1, &[Signal::User1]);
    assert_eq!(cts.fails(SignalWait::new(Signal::User1)).code(), Code::FailedPrecondition, "now the other owns");
    end(&mut other, theirs);
}

fn ownership_ends_with_the_proactor(cts: &mut Cts) {
    let before = all_sets();
    for shut_down in [true, false] {
        let subscription = begin(cts, SignalSet::all());
        cts.look();
        let proactor = cts.take();
        if shut_down {
            assert_eq!(proactor.shutdown(patience()), 0);
        } else {
            drop(proactor);
        }
        assert_eq!(subscription.1.only().status().code(), Code::Cancelled);
        assert_eq!(all_sets(), before);
        cts.rebuild(|builder| builder);
        let again = begin(cts, Signal::User1);
        cts.look();
        send(Signal::User1);
        until_told(cts, &again.1, &[Signal::User1]);
        end(cts, again);
    }
}

/// W-41: after the last subscription has ended, the next is told.
fn a_signal_is_subscribed_to_again_and_again(cts: &mut Cts) {
    let before = all_sets();
    for _ in 0..20 {
        let subscription = begin(cts, SignalSet::USER1 | SignalSet::TERMINATE);
        cts.look();
        send(Signal::User1);
        until_told(cts, &subscription.1, &[Signal::User1]);
        end(cts, subscription);
        assert_eq!(all_sets(), before);
    }
}

fn a_batch_that_is_refused_subscribes_to_nothing(cts: &mut Cts) {
    let before = all_sets();
    let good = Op::new(SignalWait::new(Signal::User1), ());
    let bad = Op::new(SignalWait::new(SignalSet::empty()), ());
    let refused = cts.submit((good, bad)).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    assert_eq!(all_sets(), before);
}

fn a_signal_that_is_blocked_everywhere_is_told(cts: &mut Cts) {
    child::alone(cts, "signal", "a_signal_that_is_blocked_everywhere_is_told", |cts| {
        // This thread and those it starts. The harness has two more: blocked as well where a signal could reach them.
        block_signals(SignalSet::all()).unwrap();
        assert!(all_sets().iter().all(|set| set.blocked));
        let config = cts.config;
        std::thread::spawn(move || {
            let mut cts = Cts::beside(config);
            assert!(all_sets().iter().all(|set| set.blocked), "a new thread inherits it");
            let subscription = begin(&mut cts, SignalSet::USER1 | SignalSet::HANG_UP);
            cts.look();
            assert!(!set(Signal::User1).blocked && set(Signal::User2).blocked, "what is subscribed to is let through");
            // To this thread, as to all others it would wait.
            send(Signal::HangUp);
            until_told(&mut cts, &subscription.1, &[Signal::HangUp]);
            end(&mut cts, subscription);
            assert!(all_sets().iter().all(|set| set.blocked), "and is blocked again");
        })
        .join()
        .unwrap();
    });
}

extern "C" fn earlier(_: libc::c_int) {
    EARLIER.fetch_add(1, Ordering::Relaxed);
}

static EARLIER: AtomicUsize = AtomicUsize::new(0);

/// Sets `handler` for a signal, with a mask and flags of its own.
fn install(signal: Signal, handler: usize, flags: i32) {
    // SAFETY: zeroed is an empty mask; the handler is one, or a constant of the system.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGALRM);
        assert_eq!(libc::sigaction(signal.number(), &raw const action, std::ptr::null_mut()), 0);
    }
}

fn dispositions_and_masks_are_again_what_they_were(cts: &mut Cts) {
    child::alone(cts, "signal", "dispositions_and_masks_are_again_what_they_were", |cts| {
        let ours = earlier as extern "C" fn(libc::c_int) as usize;
        install(Signal::Interrupt, libc::SIG_IGN, 0);
        install(Signal::User1, ours, libc::SA_RESTART | libc::SA_NODEFER);
        install(Signal::User2, ours, libc::SA_SIGINFO);
        block_signals(SignalSet::QUIT | SignalSet::USER2).unwrap();
        let before = all_sets();
        assert_eq!(set(Signal::Terminate).handler, libc::SIG_DFL);
        for _ in 0..3 {
            let all = begin(cts, SignalSet::all());
            let one = begin(cts, Signal::User1);
            cts.look();
            assert!(all_sets().iter().all(|set| set.handler != ours && set.handler > libc::SIG_IGN && !set.blocked));
            send(Signal::User1);
            until_told(cts, &one.1, &[Signal::User1]);
            end(cts, all);
            let now = all_sets();
            for (signal, (now, before)) in Signal::ALL.into_iter().zip(now.iter().zip(&before)) {
                assert_eq!(now == before, signal != Signal::User1, "{signal}: the rest is as it was");
            }
            end(cts, one);
            assert_eq!(all_sets(), before);
        }
        assert_eq!(EARLIER.load(Ordering::Relaxed), 0, "not called in between");
        send(Signal::User1);
        assert_eq!(EARLIER.load(Ordering::Relaxed), 1, "and again afterwards");
    });
}

fn a_handler_that_another_set_meanwhile_stays(cts: &mut Cts) {
    child::alone(cts, "signal", "a_handler_that_another_set_meanwhile_stays", |cts| {
        let subscription = begin(cts, Signal::User1);
        cts.look();
        let ours = earlier as extern "C" fn(libc::c_int) as usize;
        install(Signal::User1, ours, 0);
        end(cts, subscription);
        assert_eq!(set(Signal::User1).handler, ours, "it is not ours to take away");
    });
}

fn a_signal_after_the_last_subscription_ends_the_process_again(cts: &mut Cts) {
    let name = "a_signal_after_the_last_subscription_ends_the_process_again";
    let signal = child::killed(cts, "signal", name, |cts| {
        let subscription = begin(cts, Signal::Terminate);
        cts.look();
        send(Signal::Terminate);
        until_told(cts, &subscription.1, &[Signal::Terminate]);
        end(cts, subscription);
        send(Signal::Terminate);
        std::thread::sleep(patience());
    });
    assert_eq!(signal, libc::SIGTERM);
}

/// Nothing is swallowed: what came while somebody had subscribed, and was told to nobody, acts as if nobody had.
fn a_signal_that_nobody_was_told_of_acts_when_the_subscription_ends(cts: &mut Cts) {
    let name = "a_signal_that_nobody_was_told_of_acts_when_the_subscription_ends";
    let signal = child::killed(cts, "signal", name, |cts| {
        // Whoever started the tests may have had it ignored (nohup does), and that is handed on.
        install(Signal::HangUp, libc::SIG_DFL, 0);
        let (id, _watch) = begin(cts, Signal::HangUp);
        cts.look();
        send(Signal::HangUp);
        cts.cancel(id).unwrap();
        cts.poll(Timeout::Immediate).unwrap();
        std::thread::sleep(patience());
    });
    assert_eq!(signal, libc::SIGHUP);
}

fn a_storm_of_signals_meets_subscriptions_that_come_and_go(cts: &mut Cts) {
    child::alone(cts, "signal", "a_storm_of_signals_meets_subscriptions_that_come_and_go", |cts| {
        // What nobody is told of is ignored, so that it ends nothing.
        install(Signal::User1, libc::SIG_IGN, 0);
        install(Signal::User2, earlier as extern "C" fn(libc::c_int) as usize, libc::SA_RESTART);
        let before = all_sets();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stormers: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        send_to_any(Signal::User1);
                        send_to_any(Signal::User2);
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        for round in 0..200 {
            let subscription = begin(cts, SignalSet::USER1 | SignalSet::USER2);
            if round % 2 == 0 {
                cts.until("a signal of the storm", || subscription.1.outcomes() > 0);
            }
            end(cts, subscription);
            assert_eq!(all_sets(), before, "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
        stormers.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(cts.pending(), 0);
    });
}

//! Under ten thousand signals a second: deadlines are kept, and nothing is lost. And what a wait costs when none come.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use proact::operation::{
    Complete, Context, EventWait, Interval, ListDirectory, Nop, Op, Outcome, Read, Receive, Send, Timer, Write,
};
use proact::proactor::Handle;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, patience, slowness};
use crate::cases;
use crate::harness::Only;
use crate::storm::Storm;

cases![
    a_poll_returns_at_its_deadline.real("signals of the operating system").alone(),
    timers_fire_once_and_none_early.real("signals of the operating system").alone(),
    workers_and_the_ring_lose_no_byte_of_a_file.real("signals of the operating system").alone(),
    a_stream_loses_no_byte.real("signals of the operating system").alone(),
    a_proactor_is_made_and_shut_down.real("signals of the operating system").alone(),
    a_wake_from_another_thread_is_not_lost.real("signals of the operating system").alone(),
    a_wake_from_a_signal_handler_ends_the_sleep.real("signals of the operating system").alone(),
    a_thousand_periods_end_within_one.real("signals of the operating system").only(Only::Extremes).alone(),
    a_wait_for_a_near_timer_does_not_spin.real("signals of the operating system"),
];

/// What a loaded machine may add to a deadline that is kept. A deadline that began anew with each signal would never
/// come, so that a bound this wide finds it.
const SLACK: Duration = Duration::from_secs(2);

/// How long a case lets the signals come, at least: for this many.
const SIGNALS_MIN: u64 = 200;

fn a_poll_returns_at_its_deadline(cts: &mut Cts) {
    // Something is awaited, so that the wait is the backend's own.
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    let storm = Storm::over(cts.config.name);
    let mut passes = 0;
    while storm.caught() < SIGNALS_MIN {
        let deadline = cts.now() + Duration::from_millis(30);
        while cts.now() < deadline {
            cts.poll(deadline).unwrap();
            passes += 1;
        }
        assert!(cts.now() < deadline + SLACK, "late by {:?}", cts.now().since(deadline));
    }
    // A wait may end with a signal, and then once more for what its rounding left: it does not spin.
    let most = 3 * storm.caught() + 100;
    assert!(passes <= most, "{passes} passes for {} signals", storm.caught());
    drop(storm);
    assert!(!wait.is_done());
    event.set().unwrap();
    cts.until("the wait", || wait.is_done());
}

fn timers_fire_once_and_none_early(cts: &mut Cts) {
    let storm = Storm::over(cts.config.name);
    while storm.caught() < SIGNALS_MIN {
        let now = cts.now();
        let at = |index: u64| now + Duration::from_micros(500 + index * 400);
        let timers: Vec<_> = (0..20).map(|index| cts.start(Timer::new(at(index)))).collect();
        for (index, timer) in timers.into_iter().enumerate() {
            cts.until("a timer", || timer.is_done());
            let (now, deadline) = (cts.now(), at(index as u64));
            assert!(now >= deadline && now < deadline + SLACK, "{now:?} for {deadline:?}");
            timer.only().result.unwrap();
        }
    }
}

fn workers_and_the_ring_lose_no_byte_of_a_file(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let folder = cts.path("");
    let storm = Storm::over(cts.config.name);
    let mut round = 0u8;
    while storm.caught() < SIGNALS_MIN || round < 5 {
        round = round.wrapping_add(1).max(1);
        let content: Vec<u8> = (0..200_000usize).map(|index| (index as u8).wrapping_mul(round)).collect();
        assert_eq!(cts.get(Write::exact(file.clone(), 0, content.clone())), content.len());
        let reads: Vec<_> = (0..8).map(|_| cts.start(Read::exact(file.clone(), 0, vec![0; 200_000]))).collect();
        let list = cts.start(ListDirectory::new(&folder));
        for read in reads {
            cts.until("a read", || read.is_done());
            let told = read.only();
            assert_eq!(told.result.unwrap(), content.len());
            assert!(told.kind.buffer == content, "other bytes were read than written");
        }
        cts.until("a listing", || list.is_done());
        assert_eq!(list.only().result.unwrap().len(), 1);
    }
}

fn a_stream_loses_no_byte(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let storm = Storm::over(cts.config.name);
    while storm.caught() < SIGNALS_MIN {
        let content: Vec<u8> = (0..3_000_000usize).map(|index| (index >> 4) as u8 ^ index as u8).collect();
        let send = cts.start(Send::exact(client.clone(), content.clone()));
        let receive = cts.start(Receive::exact(server.clone(), vec![0; content.len()]));
        cts.until("both ends", || send.is_done() && receive.is_done());
        assert_eq!(send.only().result.unwrap(), content.len());
        assert!(receive.only().kind.buffer == content, "other bytes were received than sent");
    }
}

fn a_proactor_is_made_and_shut_down(cts: &mut Cts) {
    let storm = Storm::over(cts.config.name);
    let capabilities = cts.handle().capabilities();
    while storm.caught() < SIGNALS_MIN {
        cts.rebuild(|builder| builder);
        assert_eq!(cts.handle().capabilities(), capabilities, "a signal is no reason to do without something");
        let waits: Vec<_> = (0..5).map(|_| cts.handle().event().unwrap()).collect();
        let waits: Vec<_> = waits.into_iter().map(|event| cts.start(EventWait::new(event))).collect();
        cts.look();
        assert_eq!(cts.take().shutdown(patience()), 0);
        assert!(waits.iter().all(|wait| wait.calls() == 1));
    }
    cts.rebuild(|builder| builder);
}

fn a_wake_from_another_thread_is_not_lost(cts: &mut Cts) {
    let storm = Storm::over(cts.config.name);
    let mut rounds = 0;
    while storm.caught() < SIGNALS_MIN || rounds < 50 {
        rounds += 1;
        let handle = cts.handle().clone();
        let (op, nop) = cts.watch(Nop);
        let mut ops = Some(op);
        std::thread::scope(|scope| {
            let op = ops.take().expect("made above");
            scope.spawn(move || handle.submit(op).map(|_| ()).unwrap_or_else(|refused| panic!("{refused}")));
            cts.until("an operation of another thread", || nop.is_done());
        });
        nop.only().result.unwrap();
    }
}

/// When an interval fired last, and how often.
#[derive(Default)]
struct Fired {
    times: u64,
    last: Option<Time>,
}

struct Ticks(Rc<RefCell<Fired>>);

impl Ticks {
    fn tick(&self, times: u64, cx: &mut Context<'_>) {
        let mut fired = self.0.borrow_mut();
        fired.times += times;
        fired.last = Some(cx.now());
    }
}

impl Complete<Interval> for Ticks {
    fn more(&mut self, _: &Interval, outcome: Outcome<Interval>, cx: &mut Context<'_>) {
        self.tick(outcome.result.unwrap(), cx);
    }

    fn done(op: Box<Op<Interval, Ticks>>, outcome: Outcome<Interval>, cx: &mut Context<'_>) {
        op.state.tick(outcome.result.unwrap(), cx);
    }
}

fn a_thousand_periods_end_within_one(cts: &mut Cts) {
    const PERIOD: Duration = Duration::from_millis(1);
    let _storm = Storm::over(cts.config.name);
    let mut late = Vec::new();
    // An error that adds up, be it a microsecond a period, is there every time; a machine that was busy at the end is
    // not.
    for _ in 0..5 * slowness() {
        let start = cts.now();
        let fired = Rc::new(RefCell::new(Fired::default()));
        cts.submit(Op::new(Interval::new(start, PERIOD).times(1000), Ticks(fired.clone()))).unwrap();
        cts.drain();
        let fired = fired.borrow();
        assert_eq!(fired.times, 1000, "no period is lost, none told twice");
        let (end, last) = (start + PERIOD * 999, fired.last.expect("it has fired"));
        assert!(last >= end, "it ended early: {last:?}, and not {end:?}");
        late.push(last.since(end));
        if last.since(end) < PERIOD * slowness() {
            return;
        }
    }
    panic!("after 1000 periods of {PERIOD:?} late by {late:?}");
}

fn a_wait_for_a_near_timer_does_not_spin(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event.clone()));
    cts.look();
    let before = cts.statistics();
    for index in 0..20 {
        // Neither a whole number of milliseconds nor more than three.
        let timer = cts.start(Timer::new(cts.now() + Duration::from_micros(300 + 137 * index)));
        while !timer.is_done() {
            cts.poll(Timeout::Infinite).unwrap();
        }
    }
    let after = cts.statistics();
    // A few times the least: rounding may end a wait short of its timer, once.
    assert!(after.polls - before.polls <= 60, "{} passes for 20 timers", after.polls - before.polls);
    assert!(after.enters - before.enters <= 60, "{} system calls for 20 timers", after.enters - before.enters);
    event.set().unwrap();
    cts.until("the wait", || wait.is_done());
}

/// What the handler below wakes. A case that runs alone sets it, and takes it back when no signal is on its way.
static WOKEN_BY_SIGNAL: AtomicPtr<Handle> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn wake_from_a_handler(_: libc::c_int) {
    let handle = WOKEN_BY_SIGNAL.load(Ordering::Acquire);
    if !handle.is_null() {
        // SAFETY: set by the case below to a handle that lives until the pointer is null again, which it waits for.
        unsafe { &*handle }.wake();
    }
}

fn a_wake_from_a_signal_handler_ends_the_sleep(cts: &mut Cts) {
    const SIGNAL: libc::c_int = libc::SIGVTALRM;
    // SAFETY: zeroed is an empty mask and no flags. The handler is what `Handle::wake` says it may be called from.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = wake_from_a_handler as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()), 0);
    }
    let mut handle = cts.handle().clone();
    WOKEN_BY_SIGNAL.store(&raw mut handle, Ordering::Release);
    // SAFETY: without arguments.
    let poll_thread = unsafe { libc::gettid() };
    for round in 0..100 {
        let signaller = std::thread::spawn(move || {
            // In every other round the handler interrupts the sleep itself, and else it runs beside it.
            // SAFETY: no pointers; both threads live.
            unsafe {
                let thread = if round % 2 == 0 { poll_thread } else { libc::gettid() };
                assert_eq!(libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL), 0);
            }
        });
        let deadline = cts.now() + patience();
        while !cts.poll(deadline).unwrap().woken {
            assert!(cts.now() < deadline, "a wake was lost in round {round}");
        }
        signaller.join().unwrap();
    }
    // A signal to this thread is handled before this thread goes on, and one to a thread that ended has been.
    WOKEN_BY_SIGNAL.store(std::ptr::null_mut(), Ordering::Release);
}

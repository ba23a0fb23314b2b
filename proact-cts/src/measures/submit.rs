//! What it costs to submit from another thread, and to end an operation early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::Thread;
use std::time::Instant;

use proact::operation::{Complete, Context, Nop, Op, Outcome, Timer};
use proact::proactor::{Handle, Proactor, ProactorThread};
use proact::time::{Time, Timeout};

use super::compare::{Timing, compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("submit/remote/1", |config| remote(config, 1)),
    Measure::each("submit/remote/64", |config| remote(config, 64)),
    Measure::each("submit/stream/1", |config| stream(config, 1)),
    Measure::each("submit/stream/64", |config| stream(config, 64)),
    Measure::each("cancel", cancel),
];

/// Operations of a slice.
const SLICE: usize = 1024;
/// Slices: odd, so that a median is one of them.
const SLICES: usize = 1001;
/// Operations of a round between two threads.
const STREAM: usize = 8192;
/// Rounds of that.
const STREAMS: usize = 31;

/// Sends its operation back.
struct Back(Sender<Box<Op<Nop, Back>>>);

impl Complete<Nop> for Back {
    fn done(op: Box<Op<Nop, Back>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        let back = op.state.0.clone();
        let _ = back.send(op);
    }
}

#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Ops = Vec<Box<Op<Nop, Back>>>;

fn ops(count: usize) -> (Ops, Receiver<Box<Op<Nop, Back>>>) {
    let (back, home) = mpsc::channel();
    ((0..count).map(|_| Op::new(Nop, Back(back.clone()))).collect(), home)
}

/// Submits all of them by the handle, so many at a time.
fn submit(handle: &Handle, ops: &mut Ops, batch: &mut Ops, together: usize) {
    if together == 1 {
        for op in ops.drain(..) {
            handle.submit(op).expect("there is room");
        }
        return;
    }
    while !ops.is_empty() {
        batch.extend(ops.drain(ops.len().saturating_sub(together)..));
        if let Err(refused) = handle.submit(&mut *batch) {
            panic!("refused: {}", refused.status);
        }
    }
}

/// Measures the call alone, to a proactor that does not sleep: it is polled between the slices. The floor is the
/// standard library's channel, bounded, with a box as its message.
fn remote(config: Configuration, together: usize) -> Result<Figures, Failure> {
    let mut proactor = config.builder().remote_operations(2 * SLICE as u32).build()?;
    let handle = proactor.handle().clone();
    let (mut ready, home) = ops(SLICE);
    let mut batch = Vec::with_capacity(together);
    // Submits come from a thread that is no poll thread.
    let mut ours = |proactor: &mut Proactor| {
        let spent = std::thread::scope(|scope| {
            let submits = || {
                let start = Instant::now();
                submit(&handle, &mut ready, &mut batch, together);
                start.elapsed().as_nanos() as f64
            };
            scope.spawn(submits).join().expect("it submits")
        });
        while ready.len() < SLICE {
            proactor.poll(Timeout::Immediate).expect("the backend works");
            ready.extend(home.try_iter());
        }
        spent
    };
    let (sender, receiver) = mpsc::sync_channel::<Box<u64>>(SLICE);
    let mut boxes: Vec<Box<u64>> = (0..SLICE as u64).map(Box::new).collect();
    let mut theirs = || {
        let spent = std::thread::scope(|scope| {
            let sends = || {
                let start = Instant::now();
                boxes.drain(..).for_each(|message| sender.try_send(message).expect("there is room"));
                start.elapsed().as_nanos() as f64
            };
            scope.spawn(sends).join().expect("it sends")
        });
        boxes.extend(receiver.try_iter());
        spent
    };
    ours(&mut proactor);
    let pairs: Vec<(f64, f64)> = (0..effort::rounds(SLICES)).map(|_| (ours(&mut proactor), theirs())).collect();
    let side = |side: fn(&(f64, f64)) -> f64| median(pairs.iter().map(side).collect());
    let timing = Timing {
        subject: side(|pair| pair.0),
        floor: Some((side(|pair| pair.1), side(|pair| pair.0 / pair.1))),
        p99: None,
    };
    let costs = super::figures::Costs::UNKNOWN;
    Ok(Figures::of(timing, SLICE as f64, "", costs))
}

/// Ends of a round, and who sleeps until all of them have come.
struct Ends {
    count: AtomicU64,
    sleeper: Thread,
}

impl Ends {
    /// For the thread that calls this to sleep on.
    fn new() -> Arc<Ends> {
        Arc::new(Ends { count: AtomicU64::new(0), sleeper: std::thread::current() })
    }

    /// One more. The last of a round wakes.
    fn add(&self) {
        if (self.count.fetch_add(1, Ordering::Release) + 1) % STREAM as u64 == 0 {
            self.sleeper.unpark();
        }
    }

    /// Sleeps until so many have come: spinning would take the processor from those who are waited for.
    fn wait(&self, all: u64) {
        while self.count.load(Ordering::Acquire) < all {
            std::thread::park();
        }
    }
}

/// Counts on the poll thread.
struct Count(Arc<Ends>, SyncSender<Box<Op<Nop, Count>>>);

impl Complete<Nop> for Count {
    fn done(op: Box<Op<Nop, Count>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        let (ends, back) = (op.state.0.clone(), op.state.1.clone());
        let _ = back.send(op);
        ends.add();
    }
}

/// Measures from one thread's first submit until a proactor on another has told the last end. The floor sends as many
/// boxes through a channel to a thread that sends them back. On both sides who began sleeps until the last has come.
fn stream(config: Configuration, together: usize) -> Result<Figures, Failure> {
    let thread = ProactorThread::spawn(config.builder().remote_operations(2 * STREAM as u32))?;
    // Bounded, since the others allocate as they go; there is room for all that are out.
    let (back, home) = mpsc::sync_channel(STREAM);
    let ends = Ends::new();
    let mut ready: Vec<_> = (0..STREAM).map(|_| Op::new(Nop, Count(ends.clone(), back.clone()))).collect();
    let (mut batch, mut all) = (Vec::with_capacity(together), 0);
    let mut ours = || {
        all += STREAM as u64;
        let start = Instant::now();
        while !ready.is_empty() {
            batch.extend(ready.drain(ready.len().saturating_sub(together)..));
            if let Err(refused) = thread.handle().submit(&mut batch) {
                panic!("refused: {}", refused.status);
            }
        }
        ends.wait(all);
        let spent = start.elapsed().as_nanos() as f64;
        ready.extend(home.try_iter());
        assert_eq!(ready.len(), STREAM, "all have come back");
        spent
    };
    let (there, at_there) = mpsc::channel::<Box<u64>>();
    let (here, at_here) = mpsc::sync_channel(STREAM);
    let echoed = Ends::new();
    let echoes = echoed.clone();
    let echo = std::thread::spawn(move || {
        at_there.iter().try_for_each(|message| here.send(message).map(|()| echoes.add())).unwrap_or_default();
    });
    let mut boxes: Vec<Box<u64>> = (0..STREAM as u64).map(Box::new).collect();
    let mut sent = 0;
    let mut theirs = || {
        sent += STREAM as u64;
        let start = Instant::now();
        boxes.drain(..).for_each(|message| there.send(message).expect("the other thread receives"));
        echoed.wait(sent);
        let spent = start.elapsed().as_nanos() as f64;
        boxes.extend(at_here.try_iter());
        spent
    };
    ours();
    let pairs: Vec<(f64, f64)> = (0..effort::rounds(STREAMS)).map(|_| (ours(), theirs())).collect();
    let counted = tally::count(|| _ = ours());
    drop(there);
    let _ = echo.join();
    let side = |side: fn(&(f64, f64)) -> f64| median(pairs.iter().map(side).collect());
    let timing = Timing {
        subject: side(|pair| pair.0),
        floor: Some((side(|pair| pair.1), side(|pair| pair.0 / pair.1))),
        p99: None,
    };
    thread.join()?;
    Ok(Figures::of(timing, STREAM as f64, "", counted.over(STREAM as f64)))
}

/// A timer that was cancelled.
struct Cancelled(&'static std::cell::Cell<Option<Box<Op<Timer, Cancelled>>>>);

impl Complete<Timer> for Cancelled {
    fn done(op: Box<Op<Timer, Cancelled>>, outcome: Outcome<Timer>, _: &mut Context<'_>) {
        assert!(outcome.result.is_err_and(|status| status.is_cancelled()));
        let home = op.state.0;
        home.set(Some(op));
    }
}

/// Measures a timer that is submitted, cancelled, and tells so. The floor on a ring is a bare time-out and its removal.
fn cancel(config: Configuration) -> Result<Figures, Failure> {
    let mut proactor = config.builder().build()?;
    let home: &'static std::cell::Cell<_> = Box::leak(Box::new(std::cell::Cell::new(None)));
    home.set(Some(Op::new(Timer::new(Time::FAR_FUTURE), Cancelled(home))));
    let round = |proactor: &mut Proactor| {
        let id = proactor.submit(home.take().expect("it came back")).expect("a timer is valid");
        proactor.cancel(id).expect("it waits");
        loop {
            proactor.poll(Timeout::Infinite).expect("the backend works");
            match home.take() {
                Some(op) => break home.set(Some(op)),
                None => continue,
            }
        }
    };
    let (timing, absent) = against_removal(config, || round(&mut proactor));
    const COUNTED: u32 = 1000;
    let counted = tally::rounds(COUNTED, &mut proactor, round, |proactor| proactor.statistics().enters);
    Ok(Figures::of(timing, 1.0, absent, counted.over(COUNTED.into())))
}

fn against_removal(config: Configuration, mut round: impl FnMut()) -> (Timing, &'static str) {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    if config.is_ring() {
        return match super::floor::with_removal(|floor| compare(&mut round, Some(floor))) {
            Ok(timing) => (timing, ""),
            Err(_) => (compare(&mut round, None::<fn()>), "no second ring could be made"),
        };
    }
    let _ = config;
    (compare(&mut round, None::<fn()>), "a timer is in no kernel on this backend, so nothing lies below it")
}

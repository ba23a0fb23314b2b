//! What the runtime itself costs: yields, spawns, wakes, operations. `cargo run --release -p proact-async --example
//! runtime_bench [ROUNDS]` prints the median, best and worst of so many rounds of each, in nanoseconds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use proact::operation::{Complete, Context, Nop, Op, Outcome};
use proact::time::Timeout;
use proact_async::runtime::Operation;
use proact_async::{JoinHandle, Runtime, operation, spawn, time, yield_now};

fn main() {
    let rounds = std::env::args().nth(1).map_or(Ok(15), |text| text.parse()).expect("a number of rounds");
    let runtime = Runtime::new().expect("a runtime");
    println!("backend {}", runtime.handle().backend());
    let mut table = Table { rounds };
    table.row("yield", 37, || runtime.block_on(yields(1_000_000)));
    for batch in [1, 16, 256] {
        let peers = if batch == 1 { 48 } else { 61 };
        table.row(&format!("spawn and join, {batch} at a time"), peers, || runtime.block_on(spawns(500_000, batch)));
    }
    for batch in [1, 32, 256] {
        let raw = if batch == 1 { 167 } else { 50 };
        table.row(&format!("NOP, {batch} at a time"), raw, || runtime.block_on(nops(300_000, batch)));
    }
    for batch in [1, 32, 256] {
        table.row(&format!("NOP by callback, {batch} at a time"), 0, || callbacks(300_000, batch));
    }
    table.row("timer set and dropped", 150, || runtime.block_on(timers(300_000, 0)));
    table.row("timer replaced, of 100,000", 150, || runtime.block_on(timers(300_000, 100_000)));
    table.row("sleep of 100 µs, late by", 38_000, || runtime.block_on(lateness(200)));
    table.row("wake round trip of two runtimes", 2_300, || round_trips(20_000));
}

struct Table {
    rounds: usize,
}

impl Table {
    fn row(&mut self, name: &str, aim: u64, work: impl Fn() -> f64) {
        work();
        let mut figures: Vec<f64> = (0..self.rounds).map(|_| work()).collect();
        figures.sort_by(f64::total_cmp);
        let (best, worst) = (figures[0], figures[figures.len() - 1]);
        println!("{name:34} {:9.1}   {best:9.1} {worst:9.1}   aim {aim}", figures[figures.len() / 2]);
    }
}

fn per(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

async fn yields(count: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        yield_now().await;
    }
    per(start, count)
}

async fn spawns(count: usize, batch: usize) -> f64 {
    let start = Instant::now();
    let mut tasks: Vec<JoinHandle<usize>> = Vec::with_capacity(batch);
    let mut sum = 0;
    for round in 0..count / batch {
        tasks.extend((0..batch).map(|index| spawn(async move { round ^ index })));
        for task in tasks.drain(..) {
            sum ^= task.await.unwrap();
        }
    }
    std::hint::black_box(sum);
    per(start, count / batch * batch)
}

async fn nops(count: usize, batch: usize) -> f64 {
    let start = Instant::now();
    let mut futures: Vec<Option<Operation<Nop>>> = Vec::with_capacity(batch);
    for _ in 0..count / batch {
        futures.clear();
        futures.extend((0..batch).map(|_| Some(operation(Nop))));
        let mut next = 0;
        // All are started by the first poll; each wakes the task, which then takes those that have ended.
        poll_fn(|cx| {
            if next == 0 {
                for future in futures.iter_mut().flatten() {
                    assert!(Pin::new(future).poll(cx).is_pending());
                }
                next = 1;
                return Poll::Pending;
            }
            while let Some(slot) = futures.get_mut(next - 1) {
                let Some(future) = slot else { unreachable!() };
                let Poll::Ready((Nop, outcome)) = Pin::new(future).poll(cx) else { return Poll::Pending };
                outcome.result.unwrap();
                *slot = None;
                next += 1;
            }
            Poll::Ready(())
        })
        .await;
    }
    per(start, count / batch * batch)
}

/// What is under the futures: the same operations, told by callbacks.
fn callbacks(count: usize, batch: usize) -> f64 {
    type Ended = RefCell<Vec<Box<Op<Nop, Again>>>>;
    struct Again(Rc<Ended>);
    impl Complete<Nop> for Again {
        fn done(op: Box<Op<Nop, Again>>, _: Outcome<Nop>, _: &mut Context<'_>) {
            let ended = op.state.0.clone();
            ended.borrow_mut().push(op);
        }
    }
    let mut proactor = proact::proactor::Builder::new().build().expect("a proactor");
    let ended = Rc::new(RefCell::new(Vec::with_capacity(batch)));
    ended.borrow_mut().extend((0..batch).map(|_| Op::new(Nop, Again(ended.clone()))));
    let start = Instant::now();
    for _ in 0..count / batch {
        for op in ended.borrow_mut().drain(..) {
            proactor.submit(op).expect("a NOP");
        }
        while proactor.pending() > 0 {
            proactor.poll(Timeout::Infinite).expect("a poll");
        }
    }
    let figure = per(start, count / batch * batch);
    ended.borrow_mut().clear(); // each has the list, and the list has them
    figure
}

async fn timers(count: usize, others: usize) -> f64 {
    let far = time::now() + Duration::from_secs(3600);
    let mut all = Vec::with_capacity(others + 1);
    let mut random = 1u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..=others {
        let mut sleep = time::sleep_until(far + Duration::from_nanos(next() % 1_000_000_000_000));
        poll_fn(|cx| Poll::Ready(Pin::new(&mut sleep).poll(cx).is_pending())).await;
        all.push(sleep);
    }
    let start = Instant::now();
    for round in 0..count {
        let index = next() as usize % all.len();
        all[index].reset(far + Duration::from_nanos(next() % 1_000_000_000_000));
        let sleep = &mut all[index];
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *sleep).poll(cx).is_pending())).await;
        if round % 64 == 63 {
            yield_now().await;
        }
    }
    per(start, count)
}

async fn lateness(count: usize) -> f64 {
    let mut late = Vec::with_capacity(count);
    for _ in 0..count {
        let due = time::now() + Duration::from_micros(100);
        time::sleep_until(due).await;
        late.push((time::now() - due).as_nanos() as f64);
    }
    late.sort_by(f64::total_cmp);
    late[count / 2]
}

/// One side of a table tennis of wakers.
struct Side {
    turn: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Side {
    fn new() -> Arc<Side> {
        Arc::new(Side { turn: AtomicU32::new(0), waker: Mutex::new(None) })
    }

    fn serve(&self) {
        self.turn.fetch_add(1, Ordering::Release);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self, turn: u32) {
        poll_fn(|cx| {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            if self.turn.load(Ordering::Acquire) >= turn { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn round_trips(count: u32) -> f64 {
    let (here, there) = (Side::new(), Side::new());
    let (mine, theirs) = (here.clone(), there.clone());
    let thread = std::thread::spawn(move || {
        Runtime::new().expect("a runtime").block_on(async {
            for turn in 1..=count {
                theirs.wait(turn).await;
                mine.serve();
            }
        });
    });
    let figure = Runtime::new().expect("a runtime").block_on(async {
        let start = Instant::now();
        for turn in 1..=count {
            there.serve();
            here.wait(turn).await;
        }
        per(start, count as usize)
    });
    thread.join().unwrap();
    figure
}

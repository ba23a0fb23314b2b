//! Sleeps of 100 µs, and one of 100,000 timers that is set anew.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use proact::operation::{Complete, Context, Op, OperationId, Outcome, Timer};
use proact::proactor::{Builder, Proactor};
use proact::time::Timeout;

use super::Figures;
use crate::{Failure, bare, pin};

const SLEEP: Duration = Duration::from_micros(100);
const SLEEPS: usize = 501;
const TIMERS: usize = 100_000;
const REPLACED: usize = 200_000;
const FAR: Duration = Duration::from_secs(60);

/// How late the sleeps were, and what processor time each took, sleep and all.
fn told(mut late: Vec<u64>, spent: u64) -> Figures {
    late.sort_unstable();
    let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
    vec![
        ("late_p50_us".into(), microseconds(late[late.len() / 2])),
        ("late_p99_us".into(), microseconds(late[late.len() * 99 / 100])),
        ("cpu_us".into(), microseconds(spent) / late.len() as f64),
    ]
}

fn sleeps(mut sleep: impl FnMut()) -> Result<Figures, Failure> {
    let before = pin::processor_time(std::process::id())?;
    let late = (0..SLEEPS).map(|_| {
        let deadline = Instant::now() + SLEEP;
        sleep();
        deadline.elapsed().as_nanos() as u64
    });
    let late = late.collect();
    Ok(told(late, pin::processor_time(std::process::id())? - before))
}

async fn sleeps_async<F: Future>(mut sleep: impl FnMut() -> F) -> Result<Figures, Failure> {
    let before = pin::processor_time(std::process::id())?;
    let mut late = Vec::with_capacity(SLEEPS);
    for _ in 0..SLEEPS {
        let deadline = Instant::now() + SLEEP;
        sleep().await;
        late.push(deadline.elapsed().as_nanos() as u64);
    }
    Ok(told(late, pin::processor_time(std::process::id())? - before))
}

pub fn sleep_ring() -> Result<Figures, Failure> {
    let ring = bare::ring(64)?;
    let time = io_uring::types::Timespec::from(SLEEP);
    sleeps(|| {
        let wait = io_uring::types::SubmitArgs::new().timespec(&time);
        let _ = ring.submitter.submit_with_args(1, &wait);
    })
}

pub fn sleep_proact(backend: &str, spin: u64) -> Result<Figures, Failure> {
    let mut proactor = Builder::new().backend(backend.parse()?).spin(Duration::from_micros(spin)).build()?;
    sleeps(|| {
        let deadline = proactor.now() + SLEEP;
        proactor.submit(Op::new(Timer::new(deadline), ())).expect("a timer is valid");
        while proactor.poll(Timeout::Infinite).expect("the backend works").completed == 0 {}
    })
}

pub fn sleep_proact_async(spin: u64) -> Result<Figures, Failure> {
    let runtime = proact_async::Runtime::builder().spin(Duration::from_micros(spin)).build()?;
    runtime.block_on(sleeps_async(|| proact_async::time::sleep(SLEEP)))
}

pub fn sleep_tokio() -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(sleeps_async(|| tokio::time::sleep(SLEEP)))
}

pub fn sleep_compio() -> Result<Figures, Failure> {
    compio::runtime::Runtime::new()?.block_on(sleeps_async(|| compio::time::sleep(SLEEP)))
}

pub fn sleep_monoio() -> Result<Figures, Failure> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().build()?;
    runtime.block_on(sleeps_async(|| monoio::time::sleep(SLEEP)))
}

pub fn sleep_glommio() -> Result<Figures, Failure> {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let executor = builder.make().map_err(|error| error.to_string())?;
    executor.run(sleeps_async(|| glommio::timer::sleep(SLEEP)))
}

/// SplitMix64, for everyone the same.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Times `replace`, after as many rounds have put everything out of its first order.
fn replaced(mut replace: impl FnMut(usize)) -> Result<Figures, Failure> {
    let mut random = Random(1);
    (0..REPLACED).for_each(|_| replace(random.below(TIMERS)));
    let before = pin::processor_time(std::process::id())?;
    (0..REPLACED).for_each(|_| replace(random.below(TIMERS)));
    let spent = pin::processor_time(std::process::id())? - before;
    Ok(vec![("replace_cpu_ns".into(), spent as f64 / REPLACED as f64)])
}

#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<Timer, Return>>>>;

struct Return(&'static Pile);

impl Complete<Timer> for Return {
    fn done(op: Box<Op<Timer, Return>>, _: Outcome<Timer>, _: &mut Context<'_>) {
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// A proactor with all its timers, and where those go that end.
fn timers() -> Result<(Proactor, &'static Pile, Vec<OperationId>), Failure> {
    let mut proactor = Builder::new().operations(2 * TIMERS as u32).build()?;
    let pile: &'static Pile = Box::leak(Box::default());
    let mut ids = Vec::with_capacity(TIMERS);
    for _ in 0..TIMERS {
        let op = Op::new(Timer::new(proactor.now() + FAR), Return(pile));
        ids.push(proactor.submit(op).map_err(|refused| refused.status)?);
    }
    Ok((proactor, pile, ids))
}

/// Cancel, callback, submit: a pass each.
pub fn replace_proact() -> Result<Figures, Failure> {
    let (mut proactor, pile, mut ids) = timers()?;
    replaced(|place| {
        proactor.cancel(ids[place]).expect("it waits");
        proactor.poll(Timeout::Immediate).expect("the backend works");
        let mut op = pile.borrow_mut().pop().expect("it was cancelled");
        op.kind.deadline = proactor.now() + FAR;
        ids[place] = proactor.submit(op).expect("a timer is valid");
    })
}

/// The timer itself is set to a later time.
pub fn reset_proact() -> Result<Figures, Failure> {
    let (mut proactor, _, ids) = timers()?;
    replaced(|place| {
        let deadline = proactor.now() + FAR;
        proactor.reset_timer(ids[place], deadline).expect("it waits");
    })
}

/// A sleep that was polled once, which puts it among the timers.
fn proact_async_sleep() -> proact_async::time::Sleep {
    let mut sleep = proact_async::time::sleep(FAR);
    assert_eq!(Pin::new(&mut sleep).poll(&mut TaskContext::from_waker(Waker::noop())), Poll::Pending);
    sleep
}

/// A sleep is dropped, and another made.
pub fn replace_proact_async() -> Result<Figures, Failure> {
    proact_async::Runtime::new()?.block_on(async {
        let mut sleeps: Vec<_> = (0..TIMERS).map(|_| proact_async_sleep()).collect();
        replaced(|place| sleeps[place] = proact_async_sleep())
    })
}

/// The sleep itself is set to a later time.
pub fn reset_proact_async() -> Result<Figures, Failure> {
    proact_async::Runtime::new()?.block_on(async {
        let mut sleeps: Vec<_> = (0..TIMERS).map(|_| proact_async_sleep()).collect();
        replaced(|place| sleeps[place].reset(proact_async::time::now() + FAR))
    })
}

type Sleep = Pin<Box<tokio::time::Sleep>>;

/// A sleep that was polled once, which puts it among the timers.
fn tokio_sleep() -> Sleep {
    let mut sleep = Box::pin(tokio::time::sleep(FAR));
    assert_eq!(sleep.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())), Poll::Pending);
    sleep
}

/// A sleep is dropped, and another made.
pub fn replace_tokio() -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let mut sleeps: Vec<_> = (0..TIMERS).map(|_| tokio_sleep()).collect();
    replaced(|place| sleeps[place] = tokio_sleep())
}

/// The sleep itself is set to a later time.
pub fn reset_tokio() -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let mut sleeps: Vec<_> = (0..TIMERS).map(|_| tokio_sleep()).collect();
    replaced(|place| sleeps[place].as_mut().reset(tokio::time::Instant::now() + FAR))
}

//! One event that 1,000 wait for, until all of them have been told: by a task of their own loop, or by another thread.
//!
//! The runtimes have the same event, of the crate `event-listener`, which knows none of them; those that have one of
//! their own have a row for it too. The processor is the same for both threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_listener::{Event, Listener};
use proact::operation::{Complete, Context, NotificationWait, Op, Outcome};
use proact::proactor::Builder;
use proact::sync::Notification;
use proact::time::Timeout;

use super::Figures;
use crate::{Failure, pin};

const WAITERS: usize = 1000;
const ROUNDS: u64 = 100;

#[derive(Default)]
struct World {
    event: Event,
    /// How often one of them has begun to wait, or wait again.
    waiting: AtomicUsize,
    /// All of them wait again.
    all: Event,
}

impl World {
    /// Waits again and again; whoever is the last to begin says so.
    async fn waiter(self: Arc<World>) {
        loop {
            let told = self.event.listen();
            if (self.waiting.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(WAITERS) {
                self.all.notify(1);
            }
            told.await;
        }
    }
}

fn figures(before: u64) -> Result<Figures, Failure> {
    let spent = pin::processor_time(std::process::id())? - before;
    Ok(vec![("cpu_us".into(), spent as f64 / 1000.0 / ROUNDS as f64)])
}

/// The event is told by the loop that waits for it.
async fn same(spawn: impl Fn(Arc<World>)) -> Result<Figures, Failure> {
    let world = Arc::<World>::default();
    let all = world.all.listen();
    (0..WAITERS).for_each(|_| spawn(world.clone()));
    all.await;
    let mut before = 0;
    for round in 0..ROUNDS + ROUNDS / 10 {
        if round == ROUNDS / 10 {
            before = pin::processor_time(std::process::id())?;
        }
        let all = world.all.listen();
        world.event.notify(usize::MAX);
        all.await;
    }
    figures(before)
}

/// The event is told by another thread, which sleeps until all wait again.
async fn other(spawn: impl Fn(Arc<World>)) -> Result<Figures, Failure> {
    let world = Arc::<World>::default();
    let all = world.all.listen();
    (0..WAITERS).for_each(|_| spawn(world.clone()));
    all.await;
    let ended = Arc::new(Event::new());
    let end = ended.listen();
    let thread = std::thread::spawn(move || {
        let mut before = 0;
        for round in 0..ROUNDS + ROUNDS / 10 {
            if round == ROUNDS / 10 {
                before = pin::processor_time(std::process::id()).map_err(|error| error.to_string())?;
            }
            let all = world.all.listen();
            world.event.notify(usize::MAX);
            all.wait();
        }
        let figures = figures(before).map_err(|error| error.to_string());
        ended.notify(1);
        figures
    });
    end.await;
    thread.join().map_err(|_| "the thread panicked")?.map_err(Failure::from)
}

/// Which of the two is asked for.
#[derive(Clone, Copy)]
pub enum From {
    Loop,
    Thread,
}

async fn told(from: From, spawn: impl Fn(Arc<World>)) -> Result<Figures, Failure> {
    match from {
        From::Loop => same(spawn).await,
        From::Thread => other(spawn).await,
    }
}

pub fn proact_async(from: From) -> Result<Figures, Failure> {
    proact_async::Runtime::new()?.block_on(told(from, |world| drop(proact_async::spawn(world.waiter()))))
}

pub fn tokio(from: From) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(told(from, |world| drop(tokio::spawn(world.waiter()))))
}

pub fn compio(from: From) -> Result<Figures, Failure> {
    compio::runtime::Runtime::new()?.block_on(told(from, |world| compio::runtime::spawn(world.waiter()).detach()))
}

pub fn monoio(from: From) -> Result<Figures, Failure> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(told(from, |world| drop(monoio::spawn(world.waiter()))))
}

pub fn glommio(from: From) -> Result<Figures, Failure> {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let executor = builder.make().map_err(|error| error.to_string())?;
    executor.run(told(from, |world| drop(glommio::spawn_local(world.waiter()).detach())))
}

/// tokio's own: a `Notify` for the waiters, and one for the last.
pub fn tokio_notify() -> Result<Figures, Failure> {
    use tokio::sync::Notify;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let (event, all, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        for _ in 0..WAITERS {
            let (event, all, waiting) = (event.clone(), all.clone(), waiting.clone());
            tokio::spawn(async move {
                loop {
                    let mut told = std::pin::pin!(event.notified());
                    told.as_mut().enable();
                    if (waiting.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(WAITERS) {
                        all.notify_one();
                    }
                    told.await;
                }
            });
        }
        all.notified().await;
        let mut before = 0;
        for round in 0..ROUNDS + ROUNDS / 10 {
            if round == ROUNDS / 10 {
                before = pin::processor_time(std::process::id())?;
            }
            event.notify_waiters();
            all.notified().await;
        }
        figures(before)
    })
}

#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<NotificationWait, Return>>>>;

/// Puts its operation on the pile.
struct Return(&'static Pile, Rc<Cell<usize>>);

impl Complete<NotificationWait> for Return {
    fn done(op: Box<Op<NotificationWait, Return>>, _: Outcome<NotificationWait>, _: &mut Context<'_>) {
        let (pile, ended) = (op.state.0, &op.state.1);
        ended.set(ended.get() + 1);
        pile.borrow_mut().push(op);
    }
}

/// proact by callbacks, with its own notification: a thousand operations wait for it.
pub fn proact() -> Result<Figures, Failure> {
    let mut proactor = Builder::new().operations(2 * WAITERS as u32).build()?;
    let notification = Notification::new();
    let (pile, ended): (&'static Pile, _) = (Box::leak(Box::default()), Rc::new(Cell::new(0)));
    let wait = |_| Op::new(NotificationWait::new(notification.clone()), Return(pile, ended.clone()));
    let mut ready: Vec<_> = (0..WAITERS).map(wait).collect();
    let mut before = 0;
    for round in 0..ROUNDS + ROUNDS / 10 {
        if round == ROUNDS / 10 {
            before = pin::processor_time(std::process::id())?;
        }
        proactor.submit(&mut ready).map_err(|_| "a wait was refused")?;
        notification.broadcast();
        ended.set(0);
        while ended.get() < WAITERS {
            proactor.poll(Timeout::Infinite)?;
        }
        std::mem::swap(&mut ready, &mut pile.borrow_mut());
    }
    figures(before)
}

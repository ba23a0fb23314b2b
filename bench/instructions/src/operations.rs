//! Operations by callback, from submit to callback, on the backends that a counter of instructions can run.

use std::cell::RefCell;

use proact::operation::{
    Chain, Complete, Context, EventWait, Kind, Nop, NotificationWait, Op, OperationId, Outcome, SemaphoreWait, Timer,
};
use proact::proactor::{Builder, Choice, Proactor};
use proact::sync::{Notification, Semaphore};
use proact::time::Timeout;
use std::time::Duration;

use crate::{Case, Prepare};

type Failure = Box<dyn std::error::Error>;

pub(super) const CASES: &[(&str, Prepare)] = &[
    ("nop/1/io_uring", || nops(Choice::IoUring, 1)),
    ("nop/16/io_uring", || nops(Choice::IoUring, 16)),
    ("nop/1/epoll", || nops(Choice::Epoll, 1)),
    ("nop/16/epoll", || nops(Choice::Epoll, 16)),
    ("chain/8/io_uring", || chains(8)),
    ("timer/insert-cancel/io_uring", || timers(Choice::IoUring)),
    ("timer/insert-cancel/epoll", || timers(Choice::Epoll)),
    ("event/set-wait/io_uring", || events(Choice::IoUring)),
    ("event/set-wait/epoll", || events(Choice::Epoll)),
    ("notification/signal-wait/epoll", notifications),
    ("semaphore/signal-wait/epoll", semaphores),
];

/// Where operations go when they have ended, to be submitted again.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile<K> = RefCell<Vec<Box<Op<K, Return<K>>>>>;

/// Puts its operation on the pile, however it ended: a timer is cancelled.
struct Return<K: Kind + 'static>(&'static Pile<K>);

impl<K: Kind + 'static> Complete<K> for Return<K> {
    fn done(op: Box<Op<K, Return<K>>>, _: Outcome<K>, _: &mut Context<'_>) {
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// Operations that are submitted together, over and over.
struct Rounds<K: Kind + 'static> {
    proactor: Proactor,
    #[allow(clippy::vec_box)] // as above
    ready: Vec<Box<Op<K, Return<K>>>>,
    pile: &'static Pile<K>,
}

impl<K: Kind + 'static> Rounds<K> {
    fn new(proactor: Proactor, kinds: impl IntoIterator<Item = K>) -> Rounds<K> {
        let pile: &'static Pile<K> = Box::leak(Box::default());
        let ready = kinds.into_iter().map(|kind| Op::new(kind, Return(pile))).collect::<Vec<_>>();
        pile.borrow_mut().reserve(ready.len());
        Rounds { proactor, ready, pile }
    }

    /// Submits all, lets `between` make them end, and polls until they have come back.
    fn round(&mut self, between: impl FnOnce()) {
        let count = self.ready.len();
        assert!(self.proactor.submit(&mut self.ready).is_ok(), "each is valid");
        between();
        self.collect(count);
    }

    /// Submits all as one chain, and polls until they have come back.
    fn chained(&mut self) {
        let count = self.ready.len();
        assert!(self.proactor.submit(Chain::new(&mut self.ready)).is_ok(), "each is valid");
        self.collect(count);
    }

    fn collect(&mut self, count: usize) {
        let mut ended = 0;
        while ended < count {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }
}

fn proactor(choice: Choice) -> Result<Proactor, Failure> {
    Ok(Builder::new().backend(choice).build()?)
}

fn nops(choice: Choice, batch: usize) -> Result<Case, Failure> {
    let mut rounds = Rounds::new(proactor(choice)?, (0..batch).map(|_| Nop));
    Ok(Box::new(move || rounds.round(|| ())))
}

fn chains(steps: usize) -> Result<Case, Failure> {
    let mut rounds = Rounds::new(proactor(Choice::IoUring)?, (0..steps).map(|_| Nop));
    Ok(Box::new(move || rounds.chained()))
}

fn events(choice: Choice) -> Result<Case, Failure> {
    let proactor = proactor(choice)?;
    let event = proactor.handle().event()?;
    let mut rounds = Rounds::new(proactor, [EventWait::new(event.clone())]);
    Ok(Box::new(move || rounds.round(|| event.set().expect("the event is open"))))
}

fn notifications() -> Result<Case, Failure> {
    let notification = Notification::new();
    let mut rounds = Rounds::new(proactor(Choice::Epoll)?, [NotificationWait::new(notification.clone())]);
    Ok(Box::new(move || rounds.round(|| notification.signal(1))))
}

fn semaphores() -> Result<Case, Failure> {
    let (semaphore, mut value) = (Semaphore::new(0), 0);
    let mut rounds = Rounds::new(proactor(Choice::Epoll)?, [SemaphoreWait::new(semaphore.clone(), 1)]);
    Ok(Box::new(move || {
        value += 1;
        rounds.ready[0].kind = SemaphoreWait::new(semaphore.clone(), value);
        rounds.round(|| semaphore.signal(value, None).expect("a rising value"));
    }))
}

/// One timer among a thousand is cancelled and submitted anew, a pass each.
fn timers(choice: Choice) -> Result<Case, Failure> {
    const FAR: Duration = Duration::from_secs(3600);
    let mut proactor = proactor(choice)?;
    let pile: &'static Pile<Timer> = Box::leak(Box::default());
    let mut ids: Vec<OperationId> = Vec::new();
    for _ in 0..1000 {
        let timer = Op::new(Timer::new(proactor.now() + FAR), Return(pile));
        ids.push(proactor.submit(timer).map_err(|refused| refused.status)?);
    }
    let mut place = 0;
    Ok(Box::new(move || {
        // A step that is prime to their number reaches each of them.
        place = (place + 389) % ids.len();
        proactor.cancel(ids[place]).expect("it waits");
        proactor.poll(Timeout::Immediate).expect("the backend works");
        let mut timer = pile.borrow_mut().pop().expect("it was cancelled");
        timer.kind.deadline = proactor.now() + FAR;
        ids[place] = proactor.submit(timer).map_err(|refused| refused.status).expect("a timer is valid");
    }))
}

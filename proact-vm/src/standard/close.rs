//! Closes that go on when the call that asked for them is given up.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use proact::operation::{Complete, Context, Kind, Op, Outcome};
use proact::proactor::Handle;
use proact::status::{Result, Status};

use super::quota::Place;

/// The place of something that is open, until it is closed.
pub(super) type Held = Mutex<Option<Place>>;

#[derive(Default)]
struct Ending {
    result: Option<Result>,
    waker: Option<Waker>,
}

/// The operation's own part: whoever waits, and the place, which is free when it has ended.
struct Closing {
    ending: Arc<Mutex<Ending>>,
    place: Option<Place>,
}

impl<K: Kind<Output = ()>> Complete<K> for Closing {
    fn done(op: Box<Op<K, Closing>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let Closing { ending, place } = op.state;
        // Before anyone is told: who hears of the close finds the place free.
        drop(place);
        let mut ending = lock(&ending);
        ending.result = Some(outcome.result);
        let waker = ending.waker.take();
        drop(ending);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins the close of what has the place `held`, and waits for its end.
pub(super) async fn close<K: Kind<Output = ()> + Send>(handle: &Handle, close: K, held: &Held) -> Result {
    let ending = Arc::new(Mutex::new(Ending::default()));
    let closing = Closing { ending: ending.clone(), place: lock(held).take() };
    if let Err(mut refused) = handle.submit(Op::new(close, closing)) {
        *lock(held) = refused.batch.state.place.take();
        return Err::<(), Status>(refused.status);
    }
    poll_fn(|cx| {
        let waker = cx.waker().clone();
        let mut ending = lock(&ending);
        if let Some(result) = ending.result.take() {
            return Poll::Ready(result);
        }
        let before = ending.waker.replace(waker);
        drop(ending);
        drop(before);
        Poll::Pending
    })
    .await
}

//! Tasks, times, scopes.

use std::time::Duration;

use futures_core::Stream;
use proact::operation::{EventWait, Nop, Receive, SemaphoreWait, Send};
use proact::resource::SocketType;
use proact::status::Result;
use proact::sync::Semaphore;
use proact_async::scope::{scope, scope_for, scope_until};
use proact_async::{Stop, chain, handle, operation, time, yield_now};

use super::{Helper, Place, right};

const SOON: Duration = Duration::from_micros(50);

pub async fn tasks(_: Place) -> Result {
    let stop = Stop::new();
    let asked = stop.clone();
    let waits = Helper::new(async move { asked.requested().await });
    yield_now().await;
    let own = Helper::new({
        let stop = stop.clone();
        async move { stop.request() }
    });
    stop.requested().await;
    own.end().await;
    waits.end().await;
    let mut ticks = time::interval(SOON);
    ticks.tick().await;
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut ticks).poll_next(cx)).await;
    operation(Nop).await.1.result
}

pub async fn times(_: Place) -> Result {
    time::sleep(SOON).await;
    time::sleep_until(time::now() + SOON).await;
    let never = operation(EventWait::new(handle().event()?));
    right(time::timeout(SOON, never).await.is_err(), "nobody sets it")?;
    let _ = time::timeout(Duration::from_secs(10), operation(Nop)).await;
    let wait = operation(SemaphoreWait::new(Semaphore::new(0), 1)).deadline(time::now() + SOON).await.1;
    right(wait.result.is_err(), "nobody signals it")
}

/// Kinds as one chain: a wait that another task ends, then bytes there and back.
pub async fn chains(_: Place) -> Result {
    let (here, there) = handle().socket_pair(SocketType::Stream)?;
    let gate = Semaphore::new(0);
    let opens = Helper::new({
        let gate = gate.clone();
        async move {
            yield_now().await;
            gate.signal(1, None)
        }
    });
    let ((_, waited), (_, sent), (receive, received)) = chain((
        operation(SemaphoreWait::new(gate, 1)),
        operation(Send::exact(here, vec![5; 100])),
        operation(Receive::exact(there, vec![0; 100])),
    ))
    .await;
    waited.result?;
    sent.result?;
    received.result?;
    right(receive.buffer == [5; 100], "what was sent comes")?;
    opens.end().await
}

pub async fn scopes(_: Place) -> Result {
    let event = handle().event()?;
    let ended = scope(async |scope| {
        let wait = scope.spawn(operation(EventWait::new(event.clone())));
        yield_now().await;
        scope.cancel();
        wait.await.map(|(_, outcome)| outcome.result.is_err())
    })
    .await;
    drop(ended);
    let wait = async |_: &proact_async::Scope| operation(SemaphoreWait::new(Semaphore::new(0), 1)).await.1.result;
    let _ = scope_for(SOON, wait).await;
    let _ = scope_until(time::now() + SOON, wait).await;
    Ok(())
}

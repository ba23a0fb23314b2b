//! Tasks, times, scopes.

use std::time::Duration;

use futures_core::Stream;
use proact::operation::{EventWait, Nop, SemaphoreWait};
use proact::status::Result;
use proact::sync::Semaphore;
use proact_async::scope::{scope, scope_for, scope_until};
use proact_async::{Stop, handle, operation, time, yield_now};

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

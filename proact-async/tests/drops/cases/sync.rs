//! Semaphores, events, notifications, and others.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use futures_core::Stream;
use proact::causal::{Axis, Frontier};
use proact::operation::Close;
use proact::status::Result;
use proact::sync::{Notification, Semaphore, Tracker};
use proact_async::sync::{self, Event};
use proact_async::{handle, operation, time, yield_now};

use super::{Helper, Place, right};

pub async fn signals(_: Place) -> Result {
    let (one, two) = (Semaphore::new(0), Semaphore::new(0));
    let (other, another) = (one.clone(), two.clone());
    let signals = Helper::new(async move {
        yield_now().await;
        other.signal(2, None)?;
        yield_now().await;
        another.signal(3, None)
    });
    sync::reach(&one, 2).await?;
    sync::reach_all(vec![(one.clone(), 1), (two.clone(), 3)]).await?;
    sync::reach_any(vec![(one.clone(), 9), (two.clone(), 3)]).await?;
    signals.end().await?;
    let soon = time::now() + std::time::Duration::from_micros(50);
    right(sync::reach(&one, 9).deadline(soon).await.is_err(), "nobody signals it")?;
    let tracker = Tracker::new();
    let axis = Axis::queue(1, 0, 0, 0);
    let handle_of_axis = Rc::new(tracker.register(axis)?);
    let moves = handle_of_axis.clone();
    let moves = Helper::new(async move { moves.advance(3).map(drop) });
    sync::reach_frontier(&tracker, Frontier::single(axis, 3).expect("one axis")).await?;
    moves.end().await?;

    let event = Event::new()?;
    let sets = event.clone();
    let sets = Helper::new(async move { sets.set() });
    event.wait().await?;
    sets.end().await?;
    let mut many = event.sets();
    event.set()?;
    if let Some(set) = poll_fn(|cx| Pin::new(&mut many).poll_next(cx)).await {
        set?;
    }
    let (notification, there) = (Notification::new(), Rc::new(Cell::new(false)));
    let (signaller, set) = (notification.clone(), there.clone());
    let signals = Helper::new(async move {
        set.set(true);
        signaller.signal_if_observed(1);
    });
    sync::until(&notification, || there.get().then_some(())).await?;
    signals.end().await;
    sync::send_message(&handle(), 42).await
}

pub async fn others(_: Place) -> Result {
    let (device, host) = (Semaphore::new(0), Semaphore::new(0));
    let fence = device.export_pollable(1)?;
    let signals = Helper::new({
        let device = device.clone();
        async move {
            yield_now().await;
            device.signal(1, None)
        }
    });
    sync::import_fence(fence, &host, 8).await?;
    signals.end().await?;
    let (from, to) = (Event::new()?, Event::new()?);
    let mut relay = sync::relay(from.resource().clone(), to.resource().clone()).await?;
    from.set()?;
    to.wait().await?;
    let closes = Helper::new(operation(Close::new(from.resource().clone())));
    right(relay.ended().await.is_cancelled(), "its source was closed")?;
    closes.end().await.1.result
}

/// Buffers of the pool that are waited for.
pub async fn leases(place: Place) -> Result {
    let mut held = Vec::new();
    while let Ok(lease) = place.pool.acquire() {
        held.push(lease);
    }
    let gives = Helper::new(async move {
        while let Some(lease) = held.pop() {
            yield_now().await;
            drop(lease);
        }
    });
    let (one, other) = (place.pool.lease().await, place.pool.lease().await);
    right(one.index() != other.index(), "two leases of one buffer")?;
    gives.end().await;
    Ok(())
}

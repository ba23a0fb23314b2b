//! Accepting connections until Ctrl-C, and letting them end.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use proact::operation::SignalWait;
use proact::resource::{Address, SignalSet};
use proact::status::Result;
use proact_async::net::{Server, TcpListener, TcpStream};
use proact_async::{Stop, spawn, stream};

/// What every program takes.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue
    #[arg(long, value_name = "N", default_value = "1024")]
    pub connections: NonZeroUsize,
    /// Seconds that connections have to end after Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub grace: u64,
}

/// Serves each connection by a task, until SIGINT or SIGTERM. Then `stop` is requested, no more connections are
/// accepted, and those that are open have their time to end; a second signal ends the program at once. Says on standard
/// output where it listens, and on standard error in the end what went wrong on the way.
///
/// # Errors
/// It cannot listen on `address` or go on with that, or be told of signals.
pub async fn serve<F>(
    address: Address,
    limits: &Limits,
    stop: &Stop,
    connection: impl FnMut(TcpStream, Address) -> F,
) -> Result
where
    F: Future<Output = ()> + 'static,
{
    let mut signals = stream(SignalWait::new(SignalSet::INTERRUPT | SignalSet::TERMINATE));
    let asked = stop.clone();
    let signalled = spawn(async move {
        let first = signals.next().await.map(|outcome| outcome.result);
        asked.request();
        first.transpose()
    });

    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_address()?);
    let grace = Duration::from_secs(limits.grace);
    let server = Server::new(listener).connections_max(limits.connections.get()).grace(grace);
    let report = server.run(stop.clone(), connection).await;
    if report.pauses > 0 {
        eprintln!("no connection could be accepted {} times", report.pauses);
    }
    if report.panicked > 0 {
        eprintln!("{} connections panicked", report.panicked);
    }
    if report.cancelled > 0 {
        eprintln!("{} connections were cut off", report.cancelled);
    }
    // Somebody else has requested the stop, if it has not ended by itself.
    signalled.abort();
    signalled.await.unwrap_or(Ok(None))?;
    report.failure.map_or(Ok(()), Err)
}

/// Waits for `future`, unless a stop is requested before: then drops it, which cancels the operation that it was at.
pub async fn until_stopped<F: Future>(stop: &Stop, future: F) -> Option<F::Output> {
    match select(pin!(stop.requested()), pin!(future)).await {
        Either::Left(_) => None,
        Either::Right((output, _)) => Some(output),
    }
}

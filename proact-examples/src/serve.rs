//! Accepting connections until Ctrl-C, and letting them end.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use proact::operation::{SemaphoreWait, SignalWait};
use proact::resource::{Address, SignalSet};
use proact::status::{Code, Result};
use proact::sync::Semaphore;
use proact_async::net::{TcpListener, TcpStream};
use proact_async::{Stop, operation, spawn, stream, time};

/// What every program takes.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub connections: u64,
    /// Seconds that connections have to end after Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub grace: u64,
}

/// How long it takes a breath when no connection can be accepted: too many open files, for example.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves each connection by a task, until SIGINT or SIGTERM. Then `stop` is requested, no more connections are
/// accepted, and those that are open have their time to end; a second signal ends the program at once. Says on standard
/// output where it listens.
///
/// How many connections have ended is a timeline semaphore. Connection number `n` is accepted when number `n` less the
/// limit has ended, and the program when as many have ended as were accepted: both are waits for a value.
///
/// # Errors
/// It cannot listen on `address`, or be told of signals.
pub async fn serve<F>(
    address: Address,
    limits: &Limits,
    stop: &Stop,
    mut connection: impl FnMut(TcpStream, Address) -> F,
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
    let ended = Semaphore::new(0);
    let count = Rc::new(Cell::new(0));
    let mut accepted = 0;
    loop {
        if let Some(before) = (accepted + 1u64).checked_sub(limits.connections) {
            if until_stopped(stop, operation(SemaphoreWait::new(ended.clone(), before))).await.is_none() {
                break;
            }
        }
        let (stream, peer) = match until_stopped(stop, listener.accept()).await {
            None => break,
            Some(Ok(new)) => new,
            Some(Err(status)) => {
                eprintln!("cannot accept: {status}");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        accepted += 1;
        let (end, future) = (End { ended: ended.clone(), count: count.clone() }, connection(stream, peer));
        spawn(async move {
            let _end = end; // also of one that panics
            future.await;
        });
    }
    drop(listener); // who comes now is refused
    let until = time::now() + Duration::from_secs(limits.grace);
    let (_, outcome) = operation(SemaphoreWait::new(ended, accepted)).deadline(until).await;
    match outcome.result {
        Err(status) if status.code() == Code::DeadlineExceeded => {
            eprintln!("{} connections were cut off", accepted - count.get());
        }
        reached => drop(reached?),
    }
    // Somebody else has requested the stop, if it has not ended by itself.
    signalled.abort();
    signalled.await.unwrap_or(Ok(None)).map(drop)
}

/// Tells that a connection has ended.
struct End {
    ended: Semaphore,
    count: Rc<Cell<u64>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.count.set(self.count.get() + 1);
        if let Err(status) = self.ended.signal(self.count.get(), None) {
            eprintln!("cannot count connections: {status}");
        }
    }
}

/// Waits for `future`, unless a stop is requested before: then drops it, which cancels the operation that it was at.
pub async fn until_stopped<F: Future>(stop: &Stop, future: F) -> Option<F::Output> {
    match select(pin!(stop.requested()), pin!(future)).await {
        Either::Left(_) => None,
        Either::Right((output, _)) => Some(output),
    }
}

//! What a task costs: to give way once, and to be spawned and joined.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Figures;
use crate::{Failure, pin};

const ROUNDS: usize = 500_000;

/// Wakes itself and is pending once: the same for every runtime, whatever it has of its own.
struct GiveWay(bool);

impl Future for GiveWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs both, with what spawns and joins one task that ends at once.
///
/// All of it is a task itself: some runtimes poll the future that they were given to wait for in another way.
async fn tasks<F: Future>(spawn_and_join: impl Fn() -> F) -> io::Result<Figures> {
    let process = std::process::id();
    for _ in 0..ROUNDS / 10 {
        GiveWay(false).await;
        spawn_and_join().await;
    }
    let start = pin::processor_time(process)?;
    for _ in 0..ROUNDS {
        GiveWay(false).await;
    }
    let middle = pin::processor_time(process)?;
    for _ in 0..ROUNDS {
        spawn_and_join().await;
    }
    let end = pin::processor_time(process)?;
    let each = |nanoseconds: u64| nanoseconds as f64 / ROUNDS as f64;
    Ok(vec![("yield_cpu_ns".into(), each(middle - start)), ("spawn_join_cpu_ns".into(), each(end - middle))])
}

pub fn proact_async() -> Result<Figures, Failure> {
    let runtime = proact_async::Runtime::new()?;
    let task = async { tasks(|| proact_async::spawn(async {})).await };
    Ok(runtime.block_on(async { proact_async::spawn(task).await })??)
}

pub fn tokio() -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let task = async { tasks(|| tokio::spawn(async {})).await };
    Ok(runtime.block_on(async { tokio::spawn(task).await })??)
}

pub fn compio() -> Result<Figures, Failure> {
    let task = || compio::runtime::spawn(tasks(|| compio::runtime::spawn(async {})));
    let joined = compio::runtime::Runtime::new()?.block_on(async { task().await });
    Ok(joined.map_err(|_| "the task panicked")??)
}

pub fn monoio() -> Result<Figures, Failure> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    Ok(runtime.block_on(async { monoio::spawn(tasks(|| monoio::spawn(async {}))).await })?)
}

pub fn glommio() -> Result<Figures, Failure> {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let executor = builder.make().map_err(|error| error.to_string())?;
    Ok(executor.run(async { glommio::spawn_local(tasks(|| glommio::spawn_local(async {}))).await })?)
}

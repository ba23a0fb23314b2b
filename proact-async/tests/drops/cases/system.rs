//! Pipes, processes, signals, descriptors.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_core::Stream;
use proact::status::Result;
use proact_async::descriptor::{Descriptor, Readiness};
use proact_async::{pipe, process, signal, time, yield_now};

use super::{Helper, Place, failed, right};

pub async fn pipes(_: Place) -> Result {
    let (reader, writer) = pipe::pipe()?;
    let writes = Helper::new(async move {
        writer.write(b"a".as_slice()).await.0?;
        yield_now().await;
        writer.write_all(vec![1; 100]).await.0?;
        writer.write_all(vec![2; 9000]).await.0?;
        writer.close().await
    });
    reader.read(vec![0; 1]).await.0?;
    reader.read_exact(vec![0; 100]).await.0?;
    let rest = reader.read_to_end().await?;
    right(rest == [2; 9000], "other bytes")?;
    writes.end().await?;
    reader.close().await
}

pub async fn processes(_: Place) -> Result {
    let ends = process::spawn(&mut Command::new("true"))?;
    right(ends.wait().await?.is_success(), "true succeeds")?;
    let echo = process::spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()))?.kill_on_drop(true);
    if let Some(stdin) = &echo.stdin {
        stdin.write_all(b"hello".as_slice()).await.0?;
    }
    let ended = echo.output().await?;
    right(ended.exit.is_success() && ended.stdout == b"hello", "another answer")?;
    let sleeps = process::spawn(Command::new("sleep").arg("1000"))?.kill_on_drop(true);
    drop(sleeps);
    Ok(())
}

/// Without any that comes: one whose handler is gone by then would end this process.
pub async fn signal(_: Place) -> Result {
    let soon = Duration::from_micros(50);
    right(time::timeout(soon, signal::ctrl_c()).await.is_err(), "a signal came")?;
    let mut signals = signal::signals(signal::Signal::User1);
    right(time::timeout(soon, signals.next()).await.is_err(), "a signal came")
}

pub async fn descriptors(_: Place) -> Result {
    let (here, mut there) = UnixStream::pair().map_err(failed)?;
    let mut own = here.try_clone().map_err(failed)?;
    let descriptor = Descriptor::new(here.into());
    right(descriptor.writable().await?.contains(Readiness::WRITABLE), "there is room")?;
    let mut other = there.try_clone().map_err(failed)?;
    let writes = Helper::new(async move { other.write_all(b"a").map_err(failed) });
    descriptor.readable().await?;
    writes.end().await?;
    own.read_exact(&mut [0; 1]).map_err(failed)?;
    let mut reads = descriptor.reads();
    there.write_all(b"b").map_err(failed)?;
    let mut writes = descriptor.writes();
    for changes in [&mut reads, &mut writes] {
        if let Some(change) = poll_fn(|cx| Pin::new(&mut *changes).poll_next(cx)).await {
            change?;
        }
    }
    Ok(())
}

//! Works without a server: operations that do nothing, files, events, wakes, sleeps, timers, tasks.

mod event;
mod files;
mod files_async;
mod nop;
mod tasks;
mod timers;
mod together;
mod wake;

use crate::{Failure, pin};

/// Their names.
pub const WORKS: &[&str] = &[
    "nop/1",
    "nop/32",
    "nop/256",
    "read-4k/1",
    "read-4k/32",
    "read-4k/128",
    "read-4k-direct/128",
    "write-1m",
    "event-loop/1000",
    "event-thread/1000",
    "wake",
    "sleep/100us",
    "timer-replace/100000",
    "timer-reset/100000",
    "tasks",
];

type Figures = Vec<(String, f64)>;
type Measure = fn() -> Result<Figures, Failure>;

/// Who does what.
const MEASURES: &[(&str, &str, Measure)] = &[
    ("nop/1", "ring", || nop::ring(1)),
    ("nop/1", "proact", || nop::proact(1)),
    ("nop/1", "proact-async", || nop::proact_async(1)),
    ("nop/1", "compio", || nop::compio(1)),
    ("nop/32", "ring", || nop::ring(32)),
    ("nop/32", "proact", || nop::proact(32)),
    ("nop/32", "proact-async", || nop::proact_async(32)),
    ("nop/32", "compio", || nop::compio(32)),
    ("nop/256", "ring", || nop::ring(256)),
    ("nop/256", "proact", || nop::proact(256)),
    ("nop/256", "proact-async", || nop::proact_async(256)),
    ("nop/256", "compio", || nop::compio(256)),
    ("read-4k/1", "pread", files::pread),
    ("read-4k/1", "ring", || files::ring(1, false)),
    ("read-4k/1", "proact-async", || files_async::proact_async(1, false, "io_uring")),
    ("read-4k/1", "proact-async-epoll", || files_async::proact_async(1, false, "epoll")),
    ("read-4k/1", "tokio", || files_async::tokio(1, false)),
    ("read-4k/1", "compio", || files_async::compio(1, false)),
    ("read-4k/1", "monoio", || files_async::monoio(1, false)),
    ("read-4k/1", "glommio", || files_async::glommio(1, false)),
    ("read-4k/32", "ring", || files::ring(32, false)),
    ("read-4k/32", "proact-async", || files_async::proact_async(32, false, "io_uring")),
    ("read-4k/32", "proact-async-epoll", || files_async::proact_async(32, false, "epoll")),
    ("read-4k/32", "tokio", || files_async::tokio(32, false)),
    ("read-4k/32", "compio", || files_async::compio(32, false)),
    ("read-4k/32", "monoio", || files_async::monoio(32, false)),
    ("read-4k/32", "glommio", || files_async::glommio(32, false)),
    ("read-4k/128", "ring", || files::ring(128, false)),
    ("read-4k/128", "proact-async", || files_async::proact_async(128, false, "io_uring")),
    ("read-4k/128", "proact-async-epoll", || files_async::proact_async(128, false, "epoll")),
    ("read-4k/128", "tokio", || files_async::tokio(128, false)),
    ("read-4k/128", "compio", || files_async::compio(128, false)),
    ("read-4k/128", "monoio", || files_async::monoio(128, false)),
    ("read-4k/128", "glommio", || files_async::glommio(128, false)),
    ("read-4k-direct/128", "ring", || files::ring(128, true)),
    ("read-4k-direct/128", "proact-async", || files_async::proact_async(128, true, "io_uring")),
    ("read-4k-direct/128", "proact-async-epoll", || files_async::proact_async(128, true, "epoll")),
    ("read-4k-direct/128", "tokio", || files_async::tokio(128, true)),
    ("read-4k-direct/128", "compio", || files_async::compio(128, true)),
    ("read-4k-direct/128", "monoio", || files_async::monoio(128, true)),
    ("read-4k-direct/128", "glommio", || files_async::glommio(128, true)),
    ("write-1m", "pwrite", files::pwrite),
    ("write-1m", "ring", files::ring_write),
    ("write-1m", "proact-async", || files_async::write_proact_async("io_uring")),
    ("write-1m", "proact-async-epoll", || files_async::write_proact_async("epoll")),
    ("write-1m", "tokio", files_async::write_tokio),
    ("write-1m", "compio", files_async::write_compio),
    ("write-1m", "monoio", files_async::write_monoio),
    ("write-1m", "glommio", files_async::write_glommio),
    ("event-loop/1000", "proact", event::proact),
    ("event-loop/1000", "tokio-notify", event::tokio_notify),
    ("event-loop/1000", "proact-async", || event::proact_async(event::From::Loop)),
    ("event-loop/1000", "tokio", || event::tokio(event::From::Loop)),
    ("event-loop/1000", "compio", || event::compio(event::From::Loop)),
    ("event-loop/1000", "monoio", || event::monoio(event::From::Loop)),
    ("event-loop/1000", "glommio", || event::glommio(event::From::Loop)),
    // Not monoio: without its feature `sync` no other thread may wake its tasks.
    ("event-thread/1000", "proact-async", || event::proact_async(event::From::Thread)),
    ("event-thread/1000", "tokio", || event::tokio(event::From::Thread)),
    ("event-thread/1000", "compio", || event::compio(event::From::Thread)),
    ("event-thread/1000", "glommio", || event::glommio(event::From::Thread)),
    ("wake", "futex", wake::futex),
    ("wake", "epoll", wake::epoll),
    ("wake", "ring", wake::ring),
    ("wake", "proact", || wake::proact("io_uring")),
    ("wake", "proact-epoll", || wake::proact("epoll")),
    ("wake", "proact-async", wake::proact_async),
    ("wake", "tokio", wake::tokio),
    ("wake", "compio", wake::compio),
    ("wake", "glommio", wake::glommio),
    ("sleep/100us", "ring", timers::sleep_ring),
    ("sleep/100us", "proact", || timers::sleep_proact("io_uring", 0)),
    ("sleep/100us", "proact-epoll", || timers::sleep_proact("epoll", 0)),
    ("sleep/100us", "proact-spin", || timers::sleep_proact("io_uring", 100)),
    ("sleep/100us", "proact-async", || timers::sleep_proact_async(0)),
    ("sleep/100us", "proact-async-spin", || timers::sleep_proact_async(100)),
    ("sleep/100us", "tokio", timers::sleep_tokio),
    ("sleep/100us", "compio", timers::sleep_compio),
    ("sleep/100us", "monoio", timers::sleep_monoio),
    ("sleep/100us", "glommio", timers::sleep_glommio),
    ("timer-replace/100000", "proact", timers::replace_proact),
    ("timer-replace/100000", "proact-async", timers::replace_proact_async),
    ("timer-replace/100000", "tokio", timers::replace_tokio),
    ("timer-reset/100000", "proact", timers::reset_proact),
    ("timer-reset/100000", "proact-async", timers::reset_proact_async),
    ("timer-reset/100000", "tokio", timers::reset_tokio),
    ("tasks", "proact-async", tasks::proact_async),
    ("tasks", "tokio", tasks::tokio),
    ("tasks", "compio", tasks::compio),
    ("tasks", "monoio", tasks::monoio),
    ("tasks", "glommio", tasks::glommio),
];

/// Who does `work`, in the order of the table.
pub fn peers(work: &str) -> impl Iterator<Item = &'static str> + use<> {
    let of: Vec<_> = MEASURES.iter().filter(|(name, ..)| *name == work).map(|(_, peer, _)| *peer).collect();
    of.into_iter()
}

/// Measures, and prints the figures as JSON.
pub fn measure(peer: &str, work: &str) -> Result<(), Failure> {
    let found = MEASURES.iter().find(|(name, who, _)| *name == work && *who == peer);
    let (.., measure) = found.ok_or_else(|| format!("{peer:?} has no {work:?}"))?;
    pin::pin(pin::server())?;
    println!("{}", serde_json::to_string(&measure()?)?);
    Ok(())
}

//! Works without a server: how late a sleep is, what a timer that is replaced costs, what a task costs.

mod tasks;
mod timers;

use crate::{Failure, pin};

/// Their names.
pub const WORKS: &[&str] = &["sleep/100us", "timer-replace/100000", "timer-reset/100000", "tasks"];

type Figures = Vec<(String, f64)>;
type Measure = fn() -> Result<Figures, Failure>;

/// Who does what.
const MEASURES: &[(&str, &str, Measure)] = &[
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
    pin::pin(pin::SERVER)?;
    println!("{}", serde_json::to_string(&measure()?)?);
    Ok(())
}

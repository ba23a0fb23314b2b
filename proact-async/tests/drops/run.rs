//! One run of one future, and what it has left.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use proact::fault::{self, Calls, Fault, Site, What};
use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::Nop;
use proact::proactor::{Builder, Choice};
use proact::simulated::World;
use proact_async::{Runtime, operation, time};

use crate::cases::{Case, Place};
use crate::{ALLOCATOR, errno};

/// When the future is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drops {
    /// At its end.
    Never,
    /// After so many polls.
    Polled(usize),
    /// After so many polls, when it was woken again: something has ended, and was not taken.
    Woken(usize),
    /// After so many polls, and not dropped either.
    Forgotten(usize),
}

/// Where it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    Backend(Choice),
    World(u64),
}

/// Which call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    pub site: Site,
    pub call: u64,
    pub fault: Fault,
}

pub struct Report {
    /// `None`: it was dropped.
    pub ended: Option<Result<(), String>>,
    /// Polls that left it pending.
    pub pending: usize,
    /// Descriptors and allocations more than before.
    pub left: (i64, i64),
    pub calls: Calls,
    /// The kernel was made not to answer any more: what it may still use is leaked on purpose.
    pub broken: bool,
}

/// Open descriptors, and allocations.
pub fn holdings() -> (i64, i64) {
    // The listing's own descriptor is open while it is read, every time.
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count() as i64;
    let stats = ALLOCATOR.stats();
    (descriptors, stats.allocations as i64 - stats.deallocations as i64)
}

/// How many descriptors and allocations there are more than before, but for `held` of them: once it is none, or after a
/// while.
pub fn settled(before: (i64, i64), held: i64) -> (i64, i64) {
    let mut left = (0, 0);
    for _ in 0..50 {
        let after = holdings();
        left = (after.0 - before.0, after.1 - before.1 - held);
        if left.0 <= 0 && left.1 <= 0 {
            return (0, 0);
        }
        // A worker that was joined may still be giving its memory back.
        std::thread::sleep(Duration::from_millis(1));
    }
    left
}

/// How long a future may take, and what it has left to end. Far more than either ever takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `case` on a thread of its own, so that what threads keep for the next time is given back.
pub fn run(case: &Case, place: &Where, drops: Drops, plan: Option<Plan>) -> Report {
    let folder = std::env::temp_dir().join(format!("proact-drops-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(folder.join("old"), vec![7; 5000]).expect("a temporary file");
    let before = holdings();
    let run = || on_thread(case, *place, folder.clone(), drops, plan);
    let (ended, pending, calls, broken) = std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| {
        println!("{} on {place:?}, {drops:?}, {plan:?}", case.name);
        std::panic::resume_unwind(panic)
    });
    // What the report itself holds is no leak.
    let held = i64::from(calls.capacity() > 0) + i64::from(matches!(&ended, Some(Err(_))));
    let mut report = Report { ended, pending, left: (0, 0), calls, broken };
    // What is forgotten is left.
    if !matches!(drops, Drops::Forgotten(_)) {
        report.left = settled(before, held);
    }
    let _ = std::fs::remove_dir_all(&folder);
    report
}

type Ran = (Option<Result<(), String>>, usize, Calls, bool);

fn on_thread(case: &Case, place: Where, folder: PathBuf, drops: Drops, plan: Option<Plan>) -> Ran {
    let (builder, host, folder) = match place {
        Where::Backend(choice) => (Builder::new().backend(choice), None, folder),
        Where::World(seed) => {
            let host = World::new(seed).host("here");
            host.put_directory("/work").expect("a directory");
            host.put_file("/work/old", &[7; 5000]).expect("a file");
            (host.builder(), Some(host), PathBuf::from("/work"))
        }
    };
    let slab = Slab::allocate(4096, 4, &Allocation::new()).expect("memory");
    let pool = BufferPool::new(slab).expect("a pool");
    let runtime = Runtime::builder().proactor(builder).build().expect("a runtime");
    match plan {
        Some(Plan { site, call, fault }) => fault::arm(site, call, fault),
        None => fault::count(),
    }
    let mut pending = 0;
    let future = (case.future)(Place { folder, pool: pool.clone() });
    let ended = runtime.try_block_on(async {
        let ended = dropping(future, drops, &mut pending, plan.is_some()).await;
        if !matches!(drops, Drops::Forgotten(_)) {
            all_ends(&runtime, plan.is_some()).await;
        }
        ended
    });
    let leaked = runtime.shutdown(PATIENCE);
    let (calls, _) = fault::disarm();
    // A kernel that does not wait ends a proactor, unless a signal cut it short. After anything but that it was only
    // out of time or room, nothing is known of it.
    let entered = plan.filter(|plan| plan.site.what == What::Enter).map(|plan| plan.fault);
    let stopped = entered.is_some_and(|fault| fault != Fault::Error(errno::EINTR));
    let broken = stopped && entered != Some(Fault::Error(errno::EAGAIN));
    assert!(leaked == 0 || stopped, "{leaked} operations have not ended");
    assert!(ended.is_ok() || stopped, "the runtime could not go on: {:?}", ended.err());
    if !broken && !matches!(drops, Drops::Forgotten(_)) {
        assert_eq!(pool.available(), pool.capacity(), "buffers of the pool are missing");
        if let Some(host) = host {
            assert_eq!(host.descriptors(), 0, "descriptors of the simulated host are open");
        }
    }
    let ended = ended.ok().flatten().map(|result| result.map_err(|status| status.to_string()));
    assert!(plan.is_some() || !matches!(ended, Some(Err(_))), "{ended:?}");
    (ended, pending, calls, broken)
}

type Future = Pin<Box<dyn std::future::Future<Output = proact::status::Result>>>;

/// Polls `future` until it is to be dropped, or has ended.
async fn dropping(future: Future, drops: Drops, pending: &mut usize, fails: bool) -> Option<proact::status::Result> {
    if drops == Drops::Polled(0) {
        drop(future);
        return None;
    }
    let mut future = Some(future);
    let polled = poll_fn(|cx| {
        // It is polled again only when it was woken.
        if *pending > 0 && drops == Drops::Woken(*pending) {
            future = None;
            return Poll::Ready(None);
        }
        let running = future.as_mut().expect("not polled after its end");
        if let Poll::Ready(output) = running.as_mut().poll(cx) {
            future = None;
            return Poll::Ready(Some(output));
        }
        *pending += 1;
        if drops == Drops::Polled(*pending) {
            future = None;
            return Poll::Ready(None);
        }
        if drops == Drops::Forgotten(*pending) {
            std::mem::forget(future.take());
            return Poll::Ready(None);
        }
        Poll::Pending
    });
    // With a fault, what a case waits for may never come: then it is dropped there.
    let patience = if fails { Duration::from_millis(10) } else { PATIENCE };
    let polled = time::timeout(patience, polled).await;
    assert!(fails || polled.is_ok(), "it does not go on");
    polled.unwrap_or(None)
}

/// What was dropped ends by itself, while the runtime goes on; and nobody else was held up.
async fn all_ends(runtime: &Runtime, fails: bool) {
    let outcome = operation(Nop).await.1;
    assert!(fails || outcome.result.is_ok(), "others go on");
    let until = time::now() + PATIENCE;
    while runtime.statistics().queue_depth > 0 {
        assert!(time::now() < until, "what was dropped is still in flight");
        time::sleep(Duration::from_micros(50)).await;
    }
}

//! Proactor threads, pinned, and where memory lies, under calls that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proact::fault::{self, Fault, Site, What};
use proact::memory::{Allocation, Region};
use proact::operation::{Complete, Context, Nop, Op, Outcome};
use proact::proactor::{ProactorThread, ThreadOptions};
use proact::status::{Result, Status};
use proact::topology::Topology;
use proact_cts::bench::{Cts, patience};
use proact_cts::config::Configuration;

use crate::{LEAKS_MAX, SHORT_OF_TIME, holdings};

/// Counts its ends, of whatever kind.
struct Count(Arc<AtomicUsize>);

impl Complete<Nop> for Count {
    fn done(op: Box<Op<Nop, Count>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pinned thread from its start to its end. Answers with the failure that somebody was told of.
fn live(config: Configuration) -> Result {
    let topology = Topology::read();
    let node = topology.nodes().iter().find(|node| !node.cpus().is_empty()).expect("one has");
    let told: Arc<Mutex<Vec<Status>>> = Arc::default();
    let tell = told.clone();
    let options = ThreadOptions::new().on_error(move |status: &Status| tell.lock().unwrap().push(status.clone()));
    let thread = ProactorThread::spawn_with(config.builder().affinity(node.affinity()), &options)?;
    let ends = Arc::new(AtomicUsize::new(0));
    let submitted = thread.handle().submit(Op::new(Nop, Count(ends.clone()))).is_ok();
    let ended = thread.join_timeout(patience());
    let (ends, submitted) = (ends.load(Ordering::Relaxed), usize::from(submitted));
    match &ended {
        Ok(ended) => assert_eq!(ends + ended.leaked, submitted, "what was submitted ends once"),
        // What a broken backend had taken it does not give back, and is left to it.
        Err(status) => assert!(ends <= submitted, "{ends} ends of {submitted}: {status}"),
    }
    let told = told.lock().unwrap();
    match &ended {
        Ok(_) => assert!(told.is_empty(), "{told:?}"),
        Err(status) => assert_eq!((told.len(), told[0].to_string()), (1, status.to_string()), "told once, and at join"),
    }
    ended.map(drop)
}

/// Memory of a node, and where it lies.
fn place(_: Configuration) -> Result {
    let region = Region::allocate(1 << 16, &Allocation::new().near(&Topology::read().nodes()[0].affinity()))?;
    region.pages().map(drop)
}

type Job = fn(Configuration) -> Result;

/// What one run came to.
struct Ran {
    told: Result<(), String>,
    calls: fault::Calls,
    fired: bool,
    /// Descriptors and allocations more than before.
    left: (i64, i64),
}

/// Does the job with one thing that goes wrong.
fn run(config: Configuration, job: Job, plan: Option<(Site, u64, Fault)>) -> Ran {
    let before = holdings();
    match plan {
        Some((site, call, fault)) => fault::arm(site, call, fault),
        None => fault::count(),
    }
    let told = job(config).map_err(|status| status.to_string());
    let (calls, fired) = fault::disarm();
    // What the report itself holds is no leak.
    let held = i64::from(calls.capacity() > 0) + i64::from(told.is_err());
    let mut ran = Ran { told, calls, fired, left: (0, 0) };
    for _ in 0..50 {
        let after = holdings();
        ran.left = (after.0 - before.0, after.1 - before.1 - held);
        if ran.left.0 <= 0 && ran.left.1 <= 0 {
            break;
        }
        // A joined thread may still be giving its memory back.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    ran
}

pub fn whatever_call_fails_a_thread_ends_once_and_tells_why(cts: &mut Cts) {
    drop(cts.take());
    for job in [live as Job, place] {
        for _ in 0..2 {
            run(cts.config, job, None).told.expect("without a fault");
        }
        let calls = run(cts.config, job, None).calls;
        assert!(calls.len() > 2, "sites are counted: {calls:?}");
        for (site, count) in calls.into_iter().filter(|(site, _)| site.what != What::Length) {
            for errno in [libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::EPERM, libc::EIO] {
                let fault = Fault::Error(errno);
                for call in 0..count.min(20) {
                    let plan = (site, call, fault);
                    cts.say(&format!("{plan:?}"));
                    let broken = site.what == What::Enter && !SHORT_OF_TIME.contains(&fault);
                    let mut lefts = Vec::new();
                    loop {
                        let Ran { told, fired, left, .. } = run(cts.config, job, Some(plan));
                        assert!(fired || told.is_ok(), "{plan:?}: {told:?}");
                        if (left.0 <= 0 && left.1 <= 0) || broken {
                            break;
                        }
                        lefts.push(left);
                        assert!(lefts.len() < LEAKS_MAX, "{plan:?} leaves descriptors and allocations: {lefts:?}");
                    }
                }
            }
        }
    }
    cts.rebuild(|builder| builder);
}

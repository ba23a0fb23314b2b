//! What is built while calls fail, each in turn: it is there and works, or says why not. Either way nothing of it is
//! left. And so when calls fail while it ends.

use std::time::Duration;

use proact::fault::{self, Calls, Fault, Site, What};
use proact::operation::{EventWait, Nop};
use proact::proactor::{Builder, Choice, ProactorThread};
use proact::status::Result;
use proact::time::Timeout;
use proact_async::{Companion, Runtime, Threads, operation};

use crate::run::{holdings, settled};
use crate::{alone, backends, errno};

/// What shows that what was built works, and then ends it.
type Works = Box<dyn FnOnce() -> Result<()>>;

type Build = fn(Choice) -> Result<Works>;

const LIMIT: Duration = Duration::from_secs(20);

fn proactor(choice: Choice) -> Result<Works> {
    let mut proactor = Builder::new().backend(choice).build()?;
    Ok(Box::new(move || {
        let event = proactor.handle().event()?;
        let wait = proact::operation::Op::new(EventWait::new(event.clone()), ());
        proactor.submit((proact::operation::Op::new(Nop, ()), wait)).map_err(|refused| refused.status)?;
        event.set()?;
        while proactor.pending() > 0 {
            proactor.poll(Timeout::Infinite)?;
        }
        assert_eq!(proactor.shutdown(LIMIT), 0);
        Ok(())
    }))
}

fn runtime(choice: Choice) -> Result<Works> {
    let runtime = Runtime::builder().proactor(Builder::new().backend(choice)).build()?;
    Ok(Box::new(move || {
        runtime.try_block_on(async {
            operation(Nop).await.1.result?;
            let event = proact_async::sync::Event::new()?;
            event.set()?;
            event.wait().await
        })??;
        assert_eq!(runtime.shutdown(LIMIT), 0);
        Ok(())
    }))
}

fn thread(choice: Choice) -> Result<Works> {
    let thread = ProactorThread::spawn(Builder::new().backend(choice))?;
    Ok(Box::new(move || {
        let used = Runtime::new()?.block_on(thread.handle().future(Nop)).1.result;
        // It runs already: the call may have failed there, and then its end says why.
        thread.join_timeout(LIMIT)?;
        used
    }))
}

fn threads(choice: Choice) -> Result<Works> {
    let threads = Threads::new(2, |_| Runtime::builder().proactor(Builder::new().backend(choice)))?;
    Ok(Box::new(move || {
        let tasks: Vec<_> = (0..2).map(|_| threads.spawn_with(|| async { operation(Nop).await.1.result })).collect();
        let runtime = Runtime::new()?;
        let used: Vec<_> = tasks.into_iter().map(|task| runtime.block_on(task)).collect();
        for ended in threads.shutdown(LIMIT) {
            ended?;
        }
        used.into_iter().try_for_each(|used| used.expect("its thread has not failed"))
    }))
}

fn companion(choice: Choice) -> Result<Works> {
    let companion = Companion::with(Builder::new().backend(choice))?;
    Ok(Box::new(move || {
        let used = Runtime::new()?.block_on(companion.sleep(Duration::from_micros(1)));
        companion.shutdown(LIMIT)?;
        used
    }))
}

const BUILT: &[(&str, Build)] = &[
    ("a proactor", proactor),
    ("a runtime", runtime),
    ("a proactor's thread", thread),
    ("threads", threads),
    ("a companion", companion),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// While it is built.
    Built,
    /// While it is built and ended, unused.
    Ended,
}

/// What became of it.
struct Made {
    calls: Calls,
    /// Whether the fault has come.
    came: bool,
    /// The number of the system's error, and all that is said.
    failure: Option<(Option<i32>, String)>,
    /// Descriptors and allocations more than before.
    left: (i64, i64),
}

fn make(build: Build, choice: Choice, when: When, plan: Option<(Site, u64, i32)>) -> Made {
    let before = holdings();
    let work = move || {
        match plan {
            Some((site, call, errno)) => fault::arm(site, call, Fault::Error(errno)),
            None => fault::count(),
        }
        let built = build(choice);
        let (ended, (calls, came)) = match when {
            When::Built => {
                let counted = fault::disarm();
                (built.and_then(|works| works()), counted)
            }
            When::Ended => (built.map(drop), fault::disarm()),
        };
        let failure = ended.err().map(|status| (status.os_error(), status.to_string()));
        (calls, came, failure)
    };
    // A thread of its own, so that what threads keep for the next time is given back.
    let (calls, came, failure) = std::thread::spawn(work).join().unwrap_or_else(|panic| {
        println!("{when:?}, {plan:?}, on {choice:?}");
        std::panic::resume_unwind(panic)
    });
    let held = i64::from(calls.capacity() > 0) + i64::from(failure.is_some());
    Made { left: settled(before, held), calls, came, failure }
}

#[test]
fn what_is_built_while_calls_fail_works_or_says_why_and_leaves_nothing() {
    let _alone = alone();
    let errors = [errno::EIO, errno::EINTR, errno::ENOMEM, errno::EAGAIN, errno::EPERM, errno::EMFILE];
    let all_errors = crate::number("PROACT_DROP_FAULTS", 3) > 3;
    for choice in backends() {
        let (mut faults, mut failures) = (0, 0);
        for (name, build) in BUILT {
            for when in [When::Built, When::Ended] {
                let calls = make(*build, choice, when, None).calls;
                assert!(!calls.is_empty(), "{name} makes calls");
                let calls = calls.into_iter().filter(|(site, _)| site.what != What::Length);
                for (site, call) in calls.flat_map(|(site, count)| (0..count).map(move |call| (site, call))) {
                    let some =
                        if all_errors { 0..errors.len() } else { faults % errors.len()..faults % errors.len() + 1 };
                    for errno in &errors[some] {
                        let said = leaves_nothing(name, *build, choice, when, (site, call, *errno));
                        faults += 1;
                        failures += usize::from(said);
                    }
                }
            }
        }
        println!("{choice:?}: {faults} faults, of which {failures} are told");
        assert!(failures > 0 && failures < faults, "{failures} of {faults} faults are told");
    }
}

/// Has one call fail. Answers whether that was told.
#[track_caller]
fn leaves_nothing(name: &str, build: Build, choice: Choice, when: When, plan: (Site, u64, i32)) -> bool {
    let mut left = Vec::new();
    loop {
        let made = make(build, choice, when, Some(plan));
        let what = || format!("{name} on {choice:?}, {when:?}, {plan:?}: {:?}", made.failure);
        if let Some((os_error, said)) = &made.failure {
            assert!(made.came, "nothing was made to fail: {}", what());
            assert_eq!(*os_error, Some(plan.2), "another cause is told: {}", what());
            assert!(said.contains("os error") && said.len() > 20, "no more than that is told: {}", what());
        }
        if made.left == (0, 0) {
            return made.failure.is_some();
        }
        left.push(made.left);
        assert!(left.len() < crate::LEAKS_MAX, "{}: descriptors and allocations left: {left:?}", what());
    }
}

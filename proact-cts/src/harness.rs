//! What a case is, and how one is run.
//!
//! Every case gets a thread of its own. Most run beside each other; one that counts the descriptors or threads of the
//! process [runs alone](Case::alone). A case waits with a deadline of its own ([`Cts::until`]) and names what it waits
//! for; should it hang where no such wait helps, the harness gives it up after a longer one and says what it did last.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use libtest_mimic::{Completion, Failed, Trial};
use proact::backend::Capabilities;

use crate::bench::{Cts, patience};
use crate::config::{self, Configuration};

/// One behaviour, to be shown on every configuration that it applies to.
#[derive(Clone, Copy)]
pub struct Case {
    /// The last part of its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Cts),
    /// Which configurations it is about.
    pub only: Only,
    /// Whether nothing else of this process may run beside it.
    pub alone: bool,
}

/// Which configurations a case applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    /// Every one: the rule.
    All,
    /// Where chains are handed to the kernel.
    Chains,
    /// Where a semaphore wait goes to the kernel with its chain.
    WaitChains,
    /// Where it does not.
    PortableWaits,
    /// Rings.
    Ring,
    /// The portable backends.
    Readiness,
    /// One configuration is enough: the case does not touch the backend.
    Once,
}

impl Case {
    /// A case for every configuration.
    pub const fn new(name: &'static str, run: fn(&mut Cts)) -> Case {
        Case { name, run, only: Only::All, alone: false }
    }

    /// The same, for some configurations.
    pub const fn only(mut self, only: Only) -> Case {
        self.only = only;
        self
    }

    /// The same, with nothing else beside it.
    pub const fn alone(mut self) -> Case {
        self.alone = true;
        self
    }
}

/// Makes a list of cases of functions, each with what stands behind its name: `cases![first, second.alone()]`.
#[macro_export]
macro_rules! cases {
    ($($name:ident $(. $how:ident ($($argument:expr)?))*),* $(,)?) => {
        /// The cases of this file.
        pub const CASES: &[$crate::harness::Case] =
            &[$($crate::harness::Case::new(stringify!($name), $name)$(.$how($($argument)?))*),*];
    };
}

impl Only {
    fn applies(self, configuration: &Configuration, detected: Option<Capabilities>) -> bool {
        // A configuration that cannot be had here is taken at its word, so that its skips are counted.
        let has = |wanted: Capabilities| match detected {
            Some(capabilities) => capabilities.contains(wanted),
            None => configuration.is_ring() && !configuration.masked.intersects(wanted),
        };
        let waits = has(Capabilities::KERNEL_CHAINS | Capabilities::KERNEL_WAIT_CHAINS);
        match self {
            Only::All => true,
            Only::Chains => has(Capabilities::KERNEL_CHAINS),
            Only::WaitChains => waits,
            Only::PortableWaits => !waits,
            Only::Ring => configuration.is_ring(),
            Only::Readiness => !configuration.is_ring(),
            Only::Once => configuration.name == "poll",
        }
    }
}

/// Every case of `groups` on every configuration, as trials of a test program. Prints which configurations are missing.
pub fn trials(groups: &[(&'static str, &'static [Case])]) -> Vec<Trial> {
    keep_panics();
    let mut trials = Vec::new();
    for configuration in config::ALL {
        let detected = configuration.detect();
        if let Err(why) = &detected {
            println!("configuration {} is not available here: {why}", configuration.name);
        }
        for (group, cases) in groups {
            for case in cases.iter().filter(|case| case.only.applies(&configuration, detected.clone().ok())) {
                let name = format!("{}::{group}::{}", configuration.name, case.name);
                let detected = detected.clone();
                trials.push(Trial::ignorable_test(name, move || run(*case, configuration, detected.err())));
            }
        }
    }
    trials
}

fn run(case: Case, configuration: Configuration, missing: Option<String>) -> Result<Completion, Failed> {
    if let Some(why) = missing {
        let required = std::env::var("PROACT_CTS_REQUIRE").unwrap_or_default();
        if required.split(',').any(|name| name == configuration.name) {
            return Err(format!("{} is required and not available: {why}", configuration.name).into());
        }
        return Ok(Completion::ignored_with(why));
    }
    static ROOM: RwLock<()> = RwLock::new(());
    if case.alone {
        let _alone = ROOM.write().unwrap_or_else(PoisonError::into_inner);
        supervise(case, configuration)
    } else {
        let _beside = ROOM.read().unwrap_or_else(PoisonError::into_inner);
        supervise(case, configuration)
    }
}

/// Why a case ended before its end.
enum Verdict {
    Done,
    Skipped(String),
    Failed(String),
}

/// Runs a case on a thread, and gives it up when that does not come back.
fn supervise(case: Case, configuration: Configuration) -> Result<Completion, Failed> {
    let stage = Arc::new(Mutex::new(String::from("start")));
    let (sender, receiver) = channel();
    let told = stage.clone();
    let body = move || {
        IN_CASE.set(true);
        let verdict = judge(catch_unwind(AssertUnwindSafe(|| {
            let mut cts = Cts::new(configuration, told);
            (case.run)(&mut cts);
            cts.end();
        })));
        // Nobody listens any more when the case was given up.
        let _ = sender.send(verdict);
    };
    let thread = std::thread::Builder::new().name(String::from("case")).spawn(body).map_err(|error| error.to_string())?;
    let verdict = match receiver.recv_timeout(patience() * 6) {
        Ok(verdict) => {
            let _ = thread.join();
            verdict
        }
        Err(RecvTimeoutError::Timeout) => {
            let stage = stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Verdict::Failed(format!("given up after {:?}; last seen: {stage}", patience() * 6))
        }
        Err(RecvTimeoutError::Disconnected) => Verdict::Failed(String::from("the case's thread went away")),
    };
    match verdict {
        Verdict::Done => Ok(Completion::Completed),
        Verdict::Skipped(why) => Ok(Completion::ignored_with(why)),
        Verdict::Failed(why) => Err(why.into()),
    }
}

fn judge(result: std::thread::Result<()>) -> Verdict {
    match result {
        Ok(()) => Verdict::Done,
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => Verdict::Skipped(skip.0),
            Err(payload) => Verdict::Failed(LAST_PANIC.take().unwrap_or_else(|| text_of(&*payload))),
        },
    }
}

struct Skip(String);

/// Ends the case here: this machine cannot show the behaviour. Reported, with the reason.
pub fn skip(why: impl Into<String>) -> ! {
    resume_unwind(Box::new(Skip(why.into())))
}

/// The text of a panic.
pub fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("a panic without text"))
}

thread_local! {
    static IN_CASE: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the panics of cases for their verdict, with the place, instead of printing them between the lines of the
/// report. Other threads' panics are printed as ever.
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IN_CASE.get() {
                return print(info);
            }
            let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
            LAST_PANIC.set(Some(format!("{}{place}", text_of(info.payload()))));
        }));
    });
}


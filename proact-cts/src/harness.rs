//! What a case is, and how one is run.
//!
//! Every case gets a thread of its own. Most run beside each other; one that counts the descriptors or threads of the
//! process [runs alone](Case::alone). A case waits with a deadline of its own ([`Cts::until`]) and names what it waits
//! for; should it hang where no such wait helps, the harness gives it up after a longer one and says what it did last.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError, RwLock};

use libtest_mimic::{Completion, Trial};
use proact::backend::Capabilities;

use crate::bench::{Cts, patience};
use crate::config::{self, Configuration};
use crate::record::{self, Ran};

/// One behaviour, to be shown on every configuration that it applies to.
#[derive(Clone, Copy)]
pub struct Case {
    /// The last part of its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Cts),
    /// Which configurations it is about.
    pub only: Only,
    /// What it cannot be shown without.
    pub needs: Capabilities,
    /// Whether nothing else of this process may run beside it.
    pub alone: bool,
    /// What of this machine it cannot be shown without: a reason to skip it in a simulated world.
    pub real: Option<&'static str>,
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
    /// Every backend once, with nothing masked: what the case shows is the same whatever is masked, and takes its time.
    Whole,
    /// Every backend whole, and with everything masked: what lies between is made of the same paths.
    Extremes,
    /// One configuration is enough: the case does not touch the backend.
    Once,
}

impl Case {
    /// A case for every configuration.
    pub const fn new(name: &'static str, run: fn(&mut Cts)) -> Case {
        Case { name, run, only: Only::All, needs: Capabilities::empty(), alone: false, real: None }
    }

    /// The same, for some configurations.
    pub const fn only(mut self, only: Only) -> Case {
        self.only = only;
        self
    }

    /// The same, to be skipped, with the reason, where not all of these capabilities are in force.
    pub const fn needs(mut self, capabilities: Capabilities) -> Case {
        self.needs = capabilities;
        self
    }

    /// The same, to be skipped in a simulated world, which lacks what it is about.
    pub const fn real(mut self, why: &'static str) -> Case {
        self.real = Some(why);
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
            Only::Whole => configuration.is_whole(),
            Only::Extremes => configuration.is_whole() || configuration.masked.is_all(),
            Only::Once => configuration.name == "poll",
        }
    }
}

/// Every case of `groups` on every configuration, as trials of a test program. Prints which configurations are missing.
pub fn trials(groups: &[(&'static str, &'static [Case])]) -> Vec<Trial> {
    keep_panics();
    let mut trials = Vec::new();
    let looks_at = |configuration: &&Configuration| match LEAK_WATCH.get() {
        Some(watch) => watch.every || configuration.is_whole() || configuration.masked.is_all(),
        None => true,
    };
    for configuration in config::all().iter().filter(looks_at) {
        let detected = configuration.detect();
        if let Err(why) = &detected {
            println!("configuration {} is not available here: {why}", configuration.name);
        }
        for &(group, cases) in groups {
            for case in cases.iter().filter(|case| case.only.applies(configuration, detected.clone().ok())) {
                let name = format!("{}::{group}::{}", configuration.name, case.name);
                let detected = detected.clone();
                let run = move || {
                    let ran = run(*case, *configuration, detected);
                    record::keep(configuration.name, group, case.name, &ran);
                    match ran {
                        Ran::Passed => Ok(Completion::Completed),
                        Ran::Skipped(why) => Ok(Completion::ignored_with(why)),
                        Ran::Failed(why) => Err(why.into()),
                    }
                };
                trials.push(Trial::ignorable_test(name, run));
            }
        }
    }
    trials.extend(required().filter(|name| !config::all().iter().any(|known| known.name == *name)).map(|name| {
        let why = format!("{name} is required, and no configuration of this machine has that name");
        Trial::test(format!("{name}::required"), move || Err(why.into()))
    }));
    trials
}

/// How many cases run beside each other unless the command line says otherwise. More than there are processors: most
/// cases wait most of their time.
pub fn threads() -> usize {
    3 * std::thread::available_parallelism().map_or(2, usize::from)
}

/// The configurations that must work here.
fn required() -> impl Iterator<Item = String> {
    let names = std::env::var("PROACT_CTS_REQUIRE").unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(String::from).collect::<Vec<_>>().into_iter()
}

/// Runs one case on one configuration, of which `detected` says what it can do here, or why it cannot be had.
pub fn run(case: Case, configuration: Configuration, detected: Result<Capabilities, String>) -> Ran {
    let capabilities = match detected {
        Ok(capabilities) => capabilities,
        Err(why) if required().any(|name| name == configuration.name) => {
            return Ran::Failed(format!("{} is required and not available: {why}", configuration.name));
        }
        Err(why) => return Ran::Skipped(why),
    };
    if let Some(why) = case.real.filter(|_| configuration.is_simulated()) {
        return Ran::Skipped(format!("needs {why}, which no simulated world has"));
    }
    if !capabilities.contains(case.needs) {
        return Ran::Skipped(lacks(case.needs - capabilities, configuration.masked));
    }
    static ROOM: RwLock<()> = RwLock::new(());
    if case.alone {
        let _alone = ROOM.write().unwrap_or_else(PoisonError::into_inner);
        counted(case, configuration)
    } else {
        let _beside = ROOM.read().unwrap_or_else(PoisonError::into_inner);
        counted(case, configuration)
    }
}

/// What a process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holdings {
    /// Open descriptors.
    pub descriptors: usize,
    /// Live allocations.
    pub allocations: i64,
    /// Their bytes, as far as the allocator knows: what it was asked for.
    pub bytes: i64,
}

struct LeakWatch {
    count: fn() -> Holdings,
    /// Whether it looks at every configuration, or at those that own things in ways of their own.
    every: bool,
}

static LEAK_WATCH: OnceLock<LeakWatch> = OnceLock::new();

/// Has every case of this process counted with `count`, before and after: one that leaves something, each of several
/// times, fails. Cases must then run one after the other.
pub fn watch_leaks(count: fn() -> Holdings, every: bool) {
    let _ = LEAK_WATCH.set(LeakWatch { count, every });
}

/// How often a case may leave something behind before that counts as a leak: what a process makes once and keeps is
/// left once, and a vector that grows with the highest descriptor number a few times.
const LEAKS_MAX: usize = 4;

/// Runs a case and counts, if this process does.
fn counted(case: Case, configuration: Configuration) -> Ran {
    let Some(watch) = LEAK_WATCH.get() else { return supervise(case, configuration) };
    let mut left = Vec::new();
    loop {
        let before = (watch.count)();
        let ran = supervise(case, configuration);
        if ran != Ran::Passed {
            return ran;
        }
        let after = settled(watch.count, before);
        let grown = (after.descriptors as i64 - before.descriptors as i64, after.allocations - before.allocations);
        if grown.0 <= 0 && grown.1 <= 0 {
            return Ran::Passed;
        }
        left.push(format!("{} descriptors, {} allocations of {} bytes", grown.0, grown.1, after.bytes - before.bytes));
        if left.len() == LEAKS_MAX {
            return Ran::Failed(format!("left after each of {LEAKS_MAX} runs: {}", left.join("; ")));
        }
    }
}

/// Counts once what ends by itself has ended: a joined thread may still be giving its memory back, and a ring's
/// descriptor goes a moment after its last user.
fn settled(count: fn() -> Holdings, before: Holdings) -> Holdings {
    let mut after = count();
    for _ in 0..20 {
        if after.descriptors <= before.descriptors && after.allocations <= before.allocations {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        after = count();
    }
    after
}

/// Why a case that needs `missing` is skipped.
fn lacks(missing: Capabilities, masked: Capabilities) -> String {
    let names = |some: Capabilities| some.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    match missing - masked {
        none if none.is_empty() => format!("needs {}, masked here", names(missing)),
        some => format!("needs {}, which this system or backend lacks", names(some)),
    }
}

/// Runs a case on a thread, and gives it up when that does not come back.
///
/// Waiting allocates nothing, however late it begins: what the process allocates while a case runs is the case's.
fn supervise(case: Case, configuration: Configuration) -> Ran {
    let stage = Arc::new(Mutex::new(String::from("start")));
    let verdict = Arc::new(Verdict::default());
    let (told, given) = (stage.clone(), verdict.clone());
    let body = move || {
        IN_CASE.set(true);
        let ran = judge(catch_unwind(AssertUnwindSafe(|| {
            let mut cts = Cts::new(configuration, told);
            (case.run)(&mut cts);
            cts.end();
        })));
        *given.ran.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
        given.there.notify_one();
    };
    let thread = match std::thread::Builder::new().name(String::from("case")).spawn(body) {
        Ok(thread) => thread,
        Err(error) => return Ran::Failed(format!("no thread for the case: {error}")),
    };
    let ran = verdict.ran.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = verdict.there.wait_timeout_while(ran, patience() * 6, |ran| ran.is_none());
    let ran = waited.unwrap_or_else(PoisonError::into_inner).0.take();
    match ran {
        Some(ran) => {
            let _ = thread.join();
            ran
        }
        None if thread.is_finished() => Ran::Failed(String::from("the case's thread went away")),
        None => {
            let stage = stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ran::Failed(format!("given up after {:?}; last seen: {stage}", patience() * 6))
        }
    }
}

/// What a case came to, when it has. No channel: a thread that begins to wait for one allocates, whenever it comes to
/// that, and cases count allocations.
#[derive(Default)]
struct Verdict {
    ran: Mutex<Option<Ran>>,
    there: Condvar,
}

fn judge(result: std::thread::Result<()>) -> Ran {
    match result {
        Ok(()) => Ran::Passed,
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => Ran::Skipped(skip.0),
            Err(payload) => Ran::Failed(LAST_PANIC.take().unwrap_or_else(|| text_of(&*payload))),
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
            let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
            let place = place.unwrap_or_default();
            LAST_PANIC.set(Some(format!("{}{place}", text_of(info.payload()))));
        }));
    });
}

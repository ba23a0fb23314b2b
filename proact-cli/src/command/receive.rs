//! `proact receive`.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use proact::proactor::{Proactor, Statistics};
use proact::resource::{Address, SocketOptions};
use proact::status::{Code, Operation};
use proact::time::Timeout;

use super::credentials;
use super::trace::TraceFile;
use super::{Interrupt, broken, build, print, print_unbegun, tell};
use crate::cli::{BackendChoice, Receive};
use crate::exit::{Exit, Failure, Place};
use crate::progress::{Progress, Style};
use crate::report::{Figures, Report, Role};
use crate::size::MIB;
use crate::transfer::compute::StandInDevice;
use crate::transfer::machine::kick;
use crate::transfer::random::Random;
use crate::transfer::receiver::kept::sweep;
use crate::transfer::receiver::server::Server;
use crate::transfer::receiver::{EARLY_SYNC, ReceiveOptions, Received};
use crate::transfer::trace::Trace;
use crate::usage::{cpu_seconds, peak_memory_bytes};
use crate::wire::Limits;

/// Largest chunk that a stranger may ask for, and chunks in flight of each session. With the bound of sessions at once
/// they bound the memory that strangers can make this side use.
const CHUNK_MAX: u64 = 8 * MIB;
const IN_FLIGHT: u16 = 8;
/// How long unfinished files wait for a transfer that goes on with them.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs it.
///
/// # Errors
/// What kept it from listening; with `--once`, what kept something from being delivered.
pub fn receive(options: &Receive) -> Result<(), Failure> {
    let mut reported = false;
    let result = listen(options, &mut reported);
    if let (Err(failure), false) = (&result, reported) {
        // Without --once a report belongs to a transfer, and to be interrupted is how such a receiver ends.
        if options.once || failure.exit != Exit::Interrupted {
            let into = options.into.display().to_string();
            print_unbegun(Figures::new(Role::Receive, options.backend.name(), into), failure, options.json);
        }
    }
    result
}

/// Does it. `reported`: at least one report has been printed.
fn listen(options: &Receive, reported: &mut bool) -> Result<(), Failure> {
    let interrupt = Interrupt::on_signals()?;
    let mut trace = TraceFile::open(&options.trace, None)?;
    let random = Random::from_system()
        .map_err(|error| Failure::from_io(Place::Backend, "randomness", Operation::None, &error))?;
    let receiving = ReceiveOptions {
        into: options.into.clone(),
        overwrite: options.overwrite,
        timeout: options.timeout,
        limits: Limits { chunk_max: CHUNK_MAX as u32, ..Limits::default() },
        in_flight: IN_FLIGHT,
        keep: true,
        tls: credentials::server(options)?,
        sync_every: EARLY_SYNC,
    };
    let at = Address::from(options.listen);
    let mut listening = Listening::start(options.backend, &at, receiving, random, options.once)?;
    if let Some(trace) = &trace {
        listening.record(trace.trace().clone());
    }
    if !at.is_loopback() && options.tls_client_ca.is_none() {
        let what = if options.tls_cert.is_some() { "senders are not" } else { "connections are neither encrypted nor" };
        tell(format_args!("warning: {what} authenticated"));
    }
    tell(format_args!("listening on {}", listening.address));
    let mut costs = Costs::now(&listening.proactor);
    let mut last = None;
    let mut progress: Option<(Progress, u64)> = None;
    let style = Style::choose(options.json);
    serve(&mut listening, &interrupt, |event, proactor| match event {
        Event::Ended(received) => {
            if let Some((progress, _)) = progress.take() {
                progress.finish();
            }
            let mut report = report(received, options, proactor, &mut costs);
            // With --trace there is one transfer, and this is its end.
            if let Some(Err(failure)) = trace.take().map(TraceFile::write) {
                report.failure.get_or_insert(failure);
            }
            if options.json || options.once {
                print(&report, options.json);
                *reported = true;
            } else {
                tell_session(received, &report);
            }
            last = report.failure;
        }
        Event::Moved { announced, moved } => show(style, options.once, &mut progress, announced, moved, proactor),
    })?;
    match last {
        _ if interrupt.is_raised() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        Some(failure) if options.once => Err(failure),
        _ => Ok(()),
    }
}

/// Shows how far the one session is; several at once would only confuse.
fn show(
    style: Style,
    once: bool,
    progress: &mut Option<(Progress, u64)>,
    announced: u64,
    moved: u64,
    proactor: &Proactor,
) {
    if !once || announced == 0 {
        return;
    }
    let now = proactor.now();
    let (progress, shown) = progress.get_or_insert_with(|| (Progress::new(style, announced, now), 0));
    progress.advance(moved - *shown, now);
    *shown = moved;
}

/// A server that listens, and the proactor that it runs on.
pub(super) struct Listening {
    pub(super) proactor: Proactor,
    pub(super) address: Address,
    server: Rc<RefCell<Server>>,
    /// Held for as long as this receiver runs: see [`own`].
    _owned: Option<fs::File>,
}

impl Listening {
    /// Makes the destination and listens on `at`.
    pub(super) fn start(
        backend: BackendChoice,
        at: &Address,
        mut options: ReceiveOptions,
        random: Random,
        once: bool,
    ) -> Result<Listening, Failure> {
        make_destination(&options.into)?;
        let owned = if options.keep { own(&options.into) } else { None };
        options.keep = owned.is_some();
        let proactor = build(backend, "proact-receive")?;
        let socket_options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
        let listener = proactor.handle().listen(at, &socket_options).map_err(|status| {
            let what = if status.code() == Code::AlreadyExists { "the port is in use: " } else { "" };
            Failure::new(Exit::Network, format!("{at}: {what}{status}"))
        })?;
        let address = listener.local_address().map_err(|status| broken(&status))?;
        let device = StandInDevice::start("receive-device").map_err(|status| broken(&status))?;
        let server = Server::new(listener, Rc::new(device), options, random, once);
        Ok(Listening { proactor, address, server, _owned: owned })
    }

    /// Has what happens told to `trace`.
    pub(super) fn record(&mut self, trace: Trace) {
        self.server.borrow_mut().record(trace);
    }
}

/// Makes the destination, and makes its name durable: what is delivered into it must not vanish with it.
fn make_destination(into: &Path) -> Result<(), Failure> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let made: Vec<&Path> = into.ancestors().take_while(missing).collect();
    fs::create_dir_all(into)
        .map_err(|error| Failure::from_io(Place::Destination, into.display(), Operation::DirectoryMake, &error))?;
    for parent in made.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // One that may not be read, or a system that cannot sync directories, leaves it to the file system's own time.
        let _ = fs::File::open(parent).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// Makes this process the one that may go on with unfinished files below `into`, and removes those that are too old.
/// `None`, and said: another one runs, whose files it would write to.
#[cfg(unix)]
fn own(into: &Path) -> Option<fs::File> {
    use rustix::fs::{FlockOperation, flock};
    let lock = match fs::File::open(into) {
        Ok(lock) => lock,
        Err(error) => {
            tell(format_args!("{}: {error}: nothing unfinished is kept for --resume here", into.display()));
            return None;
        }
    };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let into = into.display();
        tell(format_args!("another receiver writes into {into}: nothing unfinished is kept for --resume here"));
        return None;
    }
    match sweep(into, KEPT_FOR) {
        Ok(0) => {}
        Ok(count) => tell(format_args!("removed {count} files of transfers that nobody went on with for 7 days")),
        Err(error) => tell(format_args!("{}: unfinished files: {error}", into.display())),
    }
    Some(lock)
}

/// No system without such locks has a backend yet.
#[cfg(not(unix))]
fn own(_into: &Path) -> Option<fs::File> {
    None
}

/// What a server tells while it runs.
pub(super) enum Event<'a> {
    /// A session has ended.
    Ended(&'a Received),
    /// How far those in progress are.
    Moved {
        /// Bytes that they announced.
        announced: u64,
        /// Bytes that have come.
        moved: u64,
    },
}

/// Serves connections until there is nothing left to do, or the interrupt is raised.
pub(super) fn serve(
    listening: &mut Listening,
    interrupt: &Interrupt,
    mut tell: impl FnMut(Event<'_>, &Proactor),
) -> Result<(), Failure> {
    let Listening { proactor, server, .. } = listening;
    interrupt.wakes(proactor.handle().clone());
    // The first step accepts.
    kick(proactor, server, |_, _| {}).map_err(|status| broken(&status))?;
    let mut told = false;
    while !server.borrow().is_over() {
        if interrupt.is_raised() && !std::mem::replace(&mut told, true) {
            kick(proactor, server, Server::stop).map_err(|status| broken(&status))?;
        }
        proactor.poll(Timeout::Infinite).map_err(|status| broken(&status))?;
        let results = server.borrow_mut().reap();
        for received in &results {
            tell(Event::Ended(received), proactor);
        }
        if results.is_empty() {
            let server = server.borrow();
            tell(Event::Moved { announced: server.announced(), moved: server.moved() }, proactor);
        } else {
            // There is room for another one.
            kick(proactor, server, |_, _| {}).map_err(|status| broken(&status))?;
        }
    }
    Ok(())
}

/// What was used when the last report was made.
struct Costs {
    statistics: Statistics,
    cpu_seconds: Option<f64>,
}

impl Costs {
    fn now(proactor: &Proactor) -> Costs {
        Costs { statistics: proactor.statistics(), cpu_seconds: cpu_seconds() }
    }
}

fn report(received: &Received, options: &Receive, proactor: &Proactor, costs: &mut Costs) -> Report {
    let before = std::mem::replace(costs, Costs::now(proactor));
    let mut figures = Figures::new(Role::Receive, proactor.handle().backend(), options.into.display().to_string());
    (figures.files, figures.directories, figures.bytes) = (received.files, received.directories, received.bytes);
    (figures.failed, figures.chunks, figures.resumed) = (received.failed, received.chunks, received.resumed);
    figures.seconds = received.duration.as_secs_f64();
    figures.cpu_seconds = costs.cpu_seconds.zip(before.cpu_seconds).map(|(after, before)| after - before);
    figures.kernel_enters = costs.statistics.enters - before.statistics.enters;
    figures.peak_memory_bytes = peak_memory_bytes();
    let failure = match (&received.fault, received.interrupted) {
        (_, true) => Some(Failure::new(Exit::Interrupted, "interrupted")),
        (Some(fault), false) => Some(fault.clone().into_failure(&received.peer)),
        (None, false) => None,
    };
    Report { figures, failure }
}

/// One line a session.
fn tell_session(received: &Received, report: &Report) {
    let figures = &report.figures;
    let size = indicatif::BinaryBytes(figures.bytes);
    let rate = figures.gigabytes_per_second();
    let line = format!("{}: {} files, {size}, {:.3} s, {rate:.3} GB/s", received.peer, figures.files, figures.seconds);
    match &report.failure {
        None => tell(line),
        Some(failure) => tell(format_args!("{line}, {} not delivered: {}", figures.failed, failure.message)),
    }
}

//! `proact transfer`.

use std::cell::RefCell;
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::sync::Arc;

use proact::proactor::Proactor;
use proact::resource::Address;
use proact::status::Operation;
use proact::time::Timeout;

use super::credentials;
use super::embedded::Embedded;
use super::trace::TraceFile;
use super::{Interrupt, broken, build, print, print_unbegun, tell};
use crate::cli::{Peer, Transfer};
use crate::exit::{Exit, Failure, Place};
use crate::plan::{self, Plan};
use crate::progress::{Progress, Style};
use crate::report::{Figures, Report, Role, Steps};
use crate::source::SystemTree;
use crate::transfer::compute::StandInDevice;
use crate::transfer::machine::kick;
use crate::transfer::random::Random;
use crate::transfer::sender::{SendOptions, Sender};
use crate::transfer::trace;
use crate::usage::{cpu_seconds, peak_memory_bytes};

/// Runs it.
///
/// # Errors
/// The first thing that kept something from being delivered. Others were told on standard error.
pub fn transfer(options: &Transfer) -> Result<(), Failure> {
    let mut reported = false;
    let result = deliver(options, &mut reported);
    if let (Err(failure), false) = (&result, reported) {
        let into = options.embedded_into();
        let role = if into.is_some() { Role::Transfer } else { Role::Send };
        let to = options.to.as_ref().map(ToString::to_string);
        let destination = into.map(|into| into.display().to_string()).or(to).unwrap_or_default();
        print_unbegun(Figures::new(role, options.backend.name(), destination), failure, options.json);
    }
    result
}

/// Does it. `reported`: the report has been printed, whatever it says.
fn deliver(options: &Transfer, reported: &mut bool) -> Result<(), Failure> {
    let interrupt = Interrupt::on_signals()?;
    let into = options.embedded_into();
    let planning = plan::Options { follow: options.follow, into: into.clone(), ..plan::Options::default() };
    let plan = Arc::new(Plan::build(&SystemTree, &options.sources, &planning)?);
    let trace = TraceFile::open(&options.trace, Some(&plan))?;
    let cpu_before = cpu_seconds();
    let mut proactor = build(options.backend, "proact-send")?;
    let mut random = Random::from_system()
        .map_err(|error| Failure::from_io(Place::Backend, "randomness", Operation::None, &error))?;
    let embedded = match &into {
        Some(into) => Some(Embedded::start(options, into, &mut random, trace.as_ref().map(TraceFile::trace))?),
        None => None,
    };
    let destination = into.as_deref().map_or_else(String::new, |into| into.display().to_string());
    let (peer, addresses) = match (&embedded, &options.to) {
        (Some(embedded), _) => (destination, vec![embedded.address()]),
        (None, Some(to)) => (to.to_string(), resolve(to)?),
        (None, None) => return Err(Failure::new(Exit::Usage, "neither a receiver nor a directory")),
    };
    let sending = SendOptions {
        chunk_size: options.chunk_size,
        in_flight: options.in_flight,
        overwrite: options.overwrite,
        resume: options.resume,
        follow: options.follow,
        timeout: options.timeout,
        peer: peer.clone(),
        addresses,
        tls: credentials::client(options)?,
    };
    let device = StandInDevice::start("send-device").map_err(|status| broken(&status))?;
    let handle = proactor.handle().clone();
    let sender = Sender::new(handle, Rc::new(device), plan.clone(), sending, random.session());
    if let Some(trace) = &trace {
        sender.borrow_mut().record(trace.trace().side(trace::Role::Sender, "sender"));
    }
    let start = proactor.now();
    let style = Style::choose(options.json);
    let outcome = run(&mut proactor, &sender, &interrupt, embedded.as_ref(), Progress::new(style, plan.bytes, start));
    let statistics = proactor.statistics();
    let role = if embedded.is_some() { Role::Transfer } else { Role::Send };
    let mut figures = Figures::new(role, proactor.handle().backend(), peer);
    let received = embedded.map(Embedded::finish);
    figures.seconds = (proactor.now() - start).as_secs_f64();
    figures.cpu_seconds = cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    figures.peak_memory_bytes = peak_memory_bytes();
    figures.kernel_enters = statistics.enters;
    let sent = std::mem::take(&mut sender.borrow_mut().sent);
    (figures.files, figures.directories, figures.bytes) = (sent.files, sent.directories, sent.bytes);
    (figures.failed, figures.chunks, figures.resumed) = (sent.failed, sent.chunks, sent.resumed);
    for notice in &sent.notices {
        tell(notice);
    }
    figures.lowered = Steps { pairs: sent.lowered, enters_between: 0 };
    // The poll thread takes the step itself: it has returned from the kernel, and enters again to start the send.
    figures.portable = Steps { pairs: sent.portable, enters_between: sent.portable };
    let mut failures = sent.failures;
    if let Err(failure) = outcome {
        failures.insert(0, failure);
    }
    if let Some(received) = received {
        match received {
            Ok(enters) => figures.kernel_enters += enters,
            Err(failure) => failures.push(failure),
        }
    }
    // The receiver's thread has ended: all is recorded.
    if let Some(Err(failure)) = trace.map(TraceFile::write) {
        failures.push(failure);
    }
    if interrupt.is_raised() {
        failures.retain(|failure| failure.exit == Exit::Interrupted);
        failures.truncate(1);
    }
    let failure = failures.first().cloned();
    let report = Report { figures, failure };
    print(&report, options.json);
    *reported = true;
    for failure in failures.iter().skip(1) {
        tell(failure);
    }
    report.failure.map_or(Ok(()), Err)
}

/// Polls until the sender has ended.
fn run(
    proactor: &mut Proactor,
    sender: &Rc<RefCell<Sender>>,
    interrupt: &Interrupt,
    embedded: Option<&Embedded>,
    mut progress: Progress,
) -> Result<(), Failure> {
    interrupt.wakes(proactor.handle().clone());
    kick(proactor, sender, Sender::start).map_err(|status| broken(&status))?;
    let (mut moved, mut told) = (0, false);
    while !sender.borrow().is_ended() {
        proactor.poll(Timeout::Infinite).map_err(|status| broken(&status))?;
        let now_moved = sender.borrow().moved;
        if now_moved > moved {
            progress.advance(now_moved - moved, proactor.now());
            moved = now_moved;
        }
        if interrupt.is_raised() && !std::mem::replace(&mut told, true) {
            if let Some(embedded) = embedded {
                embedded.stop();
            }
            let failure = Failure::new(Exit::Interrupted, "interrupted");
            kick(proactor, sender, |sender, cx| sender.fail(failure, cx)).map_err(|status| broken(&status))?;
        }
    }
    progress.finish();
    Ok(())
}

fn resolve(peer: &Peer) -> Result<Vec<Address>, Failure> {
    let resolved = (peer.host.as_str(), peer.port)
        .to_socket_addrs()
        .map_err(|error| Failure::new(Exit::Network, format!("{peer}: the name cannot be resolved: {error}")))?;
    Ok(resolved.map(Address::from).collect())
}

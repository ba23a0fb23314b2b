//! `proact doctor`: what this machine can do, and why not where it cannot.

mod nodes;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use proact::proactor::{BACKEND_VARIABLE, BackendReport, survey};
use serde::Serialize;

use crate::cli::Doctor;
use crate::exit::Failure;
use crate::size::KIB;

/// The whole answer.
#[derive(Serialize)]
struct Answer {
    version: &'static str,
    system: &'static str,
    architecture: String,
    kernel: String,
    cpus: usize,
    /// Bytes that an unprivileged process may lock; `null` without a limit.
    memlock_limit_bytes: Option<u64>,
    /// What `PROACT_BACKEND` says, if it is set.
    backend_variable: Option<String>,
    /// What `auto` takes; `null` when nothing works.
    auto: Option<&'static str>,
    /// What the proactor says when it is built with `auto`, if it refuses.
    auto_error: Option<String>,
    backends: Vec<BackendAnswer>,
    /// Processors, memory and devices by node, and whether they can be had there.
    topology: nodes::NodesAnswer,
}

#[derive(Serialize)]
struct BackendAnswer {
    name: &'static str,
    usable: bool,
    reason: Option<String>,
    os_error: Option<i32>,
    capabilities: Vec<CapabilityAnswer>,
}

#[derive(Serialize)]
struct CapabilityAnswer {
    name: &'static str,
    since: &'static str,
    detected: bool,
    note: String,
}

/// Runs it.
///
/// # Errors
/// None: a machine on which nothing works gets an answer too.
pub fn doctor(options: &Doctor) -> Result<(), Failure> {
    let answer = examine();
    let mut out = io::stdout().lock();
    // A closed standard output is no reason to fail.
    let _ = if options.json {
        serde_json::to_writer(&mut out, &answer).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
    } else {
        out.write_all(text(&answer).as_bytes())
    };
    Ok(())
}

fn examine() -> Answer {
    let (auto, auto_error) = match proact::proactor::Builder::new().build() {
        Ok(proactor) => (Some(proactor.handle().backend()), None),
        Err(status) => (None, Some(status.to_string())),
    };
    let (architecture, kernel) = machine();
    Answer {
        version: env!("CARGO_PKG_VERSION"),
        system: std::env::consts::OS,
        architecture,
        kernel,
        cpus: std::thread::available_parallelism().map_or(1, Into::into),
        memlock_limit_bytes: memlock_limit(),
        backend_variable: std::env::var(BACKEND_VARIABLE).ok().filter(|value| !value.is_empty()),
        auto,
        auto_error,
        backends: survey().into_iter().map(backend).collect(),
        topology: nodes::examine(),
    }
}

fn backend(report: BackendReport) -> BackendAnswer {
    let failed = report.usable.as_ref().err();
    BackendAnswer {
        name: report.choice.name(),
        usable: failed.is_none(),
        reason: failed.map(ToString::to_string),
        os_error: failed.and_then(|status| status.os_error()),
        capabilities: report
            .capabilities
            .into_iter()
            .map(|capability| CapabilityAnswer {
                name: capability.name,
                since: capability.since,
                detected: capability.detected,
                note: capability.note,
            })
            .collect(),
    }
}

#[cfg(unix)]
fn machine() -> (String, String) {
    let name = rustix::system::uname();
    (name.machine().to_string_lossy().into_owned(), name.release().to_string_lossy().into_owned())
}

#[cfg(not(unix))]
fn machine() -> (String, String) {
    (std::env::consts::ARCH.into(), String::from("unknown"))
}

#[cfg(unix)]
fn memlock_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

#[cfg(not(unix))]
fn memlock_limit() -> Option<u64> {
    None
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    let memlock = answer.memlock_limit_bytes.map_or_else(|| "unlimited".into(), |bytes| format!("{} KiB", bytes / KIB));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "proact {}", answer.version);
    let _ = writeln!(text, "  machine        {}, {} processors", answer.architecture, answer.cpus);
    let _ = writeln!(text, "  kernel         {} {}", answer.system, answer.kernel);
    let _ = writeln!(text, "  memlock limit  {memlock}");
    if let Some(variable) = &answer.backend_variable {
        let _ = writeln!(text, "  {BACKEND_VARIABLE} {variable}");
    }
    match (answer.auto, &answer.auto_error) {
        (Some(name), _) => drop(writeln!(text, "  auto takes     {name}")),
        (None, Some(why)) => drop(writeln!(text, "  auto fails     {why}")),
        (None, None) => {}
    }
    text.push_str(&nodes::text(&answer.topology));
    for backend in &answer.backends {
        let verdict = backend.reason.as_deref().unwrap_or("usable");
        let _ = writeln!(text, "\n{}: {verdict}", backend.name);
        for capability in &backend.capabilities {
            let mark = if capability.detected { "yes" } else { "no" };
            let (name, since) = (capability.name, capability.since);
            wrapped(&mut text, &format!("  {name:<22} {mark:<3}  since {since:<7} "), &capability.note);
        }
    }
    text
}

/// What is said behind `head`, in lines of at most 80 columns where it can be broken: after commas and at spaces.
fn wrapped(text: &mut String, head: &str, said: &str) {
    const WIDTH: usize = 80;
    let indent = head.chars().count();
    let room = WIDTH.saturating_sub(indent).max(20);
    let (mut head, mut rest) = (head.to_owned(), said.trim_end());
    loop {
        let fits = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
        let cut = match fits == rest.len() {
            true => fits,
            // A word that is longer than a line is cut where it must be.
            false => {
                // A space may stand just behind what fits.
                let end = fits + rest[fits..].chars().next().map_or(0, char::len_utf8);
                rest[..end].rfind([',', ' ']).map_or(fits, |at| (at + 1).min(fits))
            }
        };
        let _ = writeln!(text, "{}", format!("{head}{}", &rest[..cut]).trim_end());
        rest = rest[cut..].trim_start();
        if rest.is_empty() {
            return;
        }
        head = " ".repeat(indent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_broken_where_it_can_be_and_all_of_it_is_there() {
        let said = format!("{} {} ärger, {}", "word ".repeat(30), "é".repeat(100), "1,".repeat(80));
        let mut text = String::new();
        wrapped(&mut text, "  head ", &said);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let bare = |text: &str| text.replace([' ', '\n'], "");
        assert_eq!(bare(&text), bare(&format!("head{said}")));
        let mut empty = String::new();
        wrapped(&mut empty, "  head ", "");
        assert_eq!(empty, "  head\n");
    }

    #[test]
    fn an_unusable_backend_is_told_with_its_reason_and_a_capability_with_its_version() {
        let capability =
            CapabilityAnswer { name: "chains", since: "5.3", detected: true, note: String::from("linked") };
        let answer = Answer {
            topology: nodes::examine(),
            version: "0",
            system: "linux",
            architecture: "x".into(),
            kernel: "6.1".into(),
            cpus: 2,
            memlock_limit_bytes: Some(8 << 20),
            backend_variable: None,
            auto: Some("epoll"),
            auto_error: None,
            backends: vec![
                BackendAnswer {
                    name: "io_uring",
                    usable: false,
                    reason: Some("EPERM: seccomp".into()),
                    os_error: Some(1),
                    capabilities: vec![],
                },
                BackendAnswer {
                    name: "epoll",
                    usable: true,
                    reason: None,
                    os_error: None,
                    capabilities: vec![capability],
                },
            ],
        };
        let text = text(&answer);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for line in ["io_uring: EPERM: seccomp\n", "epoll: usable\n", "since 5.3", "memlock limit  8192 KiB\n"] {
            assert!(text.contains(line), "{line:?} is missing in:\n{text}");
        }
    }
}

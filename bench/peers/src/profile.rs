//! Where the processor time goes in what is lost: both sides under `perf`, reduced to the symbols that take most.
//!
//! The event is `cpu-clock`, a timer that needs no counter of the processor's, so that virtual machines have it. A work
//! that is served is sampled while its load runs; one without a server from its process's begin to its end. Where there
//! is no `perf`, or it may not look, the file says so and the page repeats it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::page::{missed, worst};
use crate::run;
use crate::{Failure, inside};

/// Samples a second of processor time.
const FREQUENCY: u32 = 3999;
/// After which the samples of a served work begin: its load runs then.
const BEGIN: Duration = Duration::from_millis(400);
/// Symbols of one side that are kept: all, most times, so that their sums are right.
const KEPT: usize = 5000;

/// The first line of a file of profiles: what they are of, and what took them, or why there are none.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Head {
    pub program: Option<String>,
    pub perf: Option<String>,
    pub missing: Option<String>,
}

/// One side of a loss.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Profile {
    pub work: String,
    pub peer: String,
    pub samples: usize,
    /// Those that took most, the first the most.
    pub symbols: Vec<Symbol>,
    /// Why there are none.
    pub missing: Option<String>,
}

/// Where samples fell.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Symbol {
    pub name: String,
    pub kernel: bool,
    /// Of the profile's samples, from 0 to 1.
    pub share: f64,
}

/// Whom a profile of a row of `proact bench` is of: both sides.
pub const BENCH: &str = "bench";

struct Options {
    losses: usize,
    time: Duration,
    of: Option<String>,
    /// The rows of `proact bench`, and the program that measured them.
    bench: Option<String>,
    proact: Option<String>,
}

fn options(arguments: &[&str]) -> Result<Options, Failure> {
    let mut options = Options { losses: 6, time: Duration::from_secs(2), of: None, bench: None, proact: None };
    let mut rest = arguments.iter();
    while let Some(&name) = rest.next() {
        let value = *rest.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name {
            "--losses" => options.losses = value.parse()?,
            "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
            "--of" => options.of = Some(value.into()),
            "--bench" => options.bench = Some(value.into()),
            "--proact" => options.proact = Some(value.into()),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}

/// Profiles both sides of the worst losses that `rounds` tells of, so many against peers and as many against floors,
/// and what rows of `proact bench` miss what was aimed at, into `file`.
pub fn profile(rounds: &str, file: &str, arguments: &[&str]) -> Result<(), Failure> {
    let options = options(arguments)?;
    let entries = run::read(rounds)?;
    let program = run::program(rounds, &entries)?;
    run::refuse_another(rounds, &program, &options.of)?;
    let mut out = File::create(file)?;
    let mut add = |line: String| writeln!(out, "{line}");
    let perf = version("perf");
    let head = Head { program: program.clone(), perf: perf.clone().ok(), missing: perf.as_ref().err().cloned() };
    add(serde_json::to_string(&head)?)?;
    if let Err(missing) = perf {
        // The page says so; everything else of it is there.
        eprintln!("peers: no profiles: {missing}");
        return Ok(());
    }
    for (work, peer) in worst(&entries, options.losses) {
        add(serde_json::to_string(&told(work, peer, |work, peer| take(work, peer, options.time)))?)?;
    }
    if let (Some(bench), Some(proact)) = (&options.bench, &options.proact) {
        for name in missed(&entries, bench, &program)? {
            let row = |name: &str, _: &str| {
                let row = ["bench", "--json", "--backend", "io_uring", "--exact", "--filter", name];
                sampled(|data| record(data, &[&[proact.as_ref()], &row.map(AsRef::as_ref)[..]].concat()))
            };
            add(serde_json::to_string(&told(name.into(), BENCH.into(), row))?)?;
        }
    }
    Ok(())
}

/// The profile, or why there is none.
fn told(work: String, peer: String, take: impl Fn(&str, &str) -> Result<Profile, Failure>) -> Profile {
    let profile = take(&work, &peer).unwrap_or_else(|failure| {
        eprintln!("peers: no profile of {work} on {peer}: {failure}");
        Profile { missing: Some(failure.to_string()), ..Profile::default() }
    });
    Profile { work, peer, ..profile }
}

/// What `perf` says of itself, or why it cannot be asked.
fn version(perf: &str) -> Result<String, String> {
    match Command::new(perf).arg("--version").output() {
        Ok(told) if told.status.success() => Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned()),
        Ok(told) => Err(format!("{perf} --version: {}", last_line(&told.stderr))),
        Err(error) => Err(format!("{perf}: {error}")),
    }
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it told nothing").trim().to_owned()
}

fn take(work: &str, peer: &str, time: Duration) -> Result<Profile, Failure> {
    sampled(|data| match inside::WORKS.contains(&work) {
        true => {
            let program = std::env::current_exe()?;
            record(data, &[program.as_os_str(), "measure".as_ref(), peer.as_ref(), work.as_ref()])
        }
        false => {
            // In one slice, most times: another makes its connections anew.
            let load = BEGIN + time;
            let perf = run::watched(work, peer, load, |process| attach(data, process, time))?;
            perf.ok_or_else(|| format!("no work {work}"))?.wait_with_output().map_err(Failure::from)
        }
    })
}

/// What `perf` has recorded into the file that it is given, reduced.
fn sampled(record: impl FnOnce(&PathBuf) -> Result<std::process::Output, Failure>) -> Result<Profile, Failure> {
    let data = std::env::current_exe()?.with_file_name("peers.perf");
    // An older one would be read in the place of one that is missing.
    let _ = std::fs::remove_file(&data);
    let recorded = record(&data)?;
    if !recorded.status.success() {
        return Err(format!("perf record: {}: {}", recorded.status, last_line(&recorded.stderr)).into());
    }
    let script = Command::new("perf").args(["script", "--no-inline", "-F", "ip,sym,dso", "-i"]).arg(&data).output()?;
    let _ = std::fs::remove_file(&data);
    if !script.status.success() {
        return Err(format!("perf script: {}: {}", script.status, last_line(&script.stderr)).into());
    }
    let (samples, symbols) = reduce(&String::from_utf8_lossy(&script.stdout));
    match samples {
        0 => Err("no samples".into()),
        _ => Ok(Profile { samples, symbols, ..Profile::default() }),
    }
}

fn perf_record(data: &PathBuf) -> Command {
    let mut command = Command::new("perf");
    let frequency = FREQUENCY.to_string();
    command.args(["record", "-q", "-e", "cpu-clock", "-F", &frequency, "-o"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn record(data: &PathBuf, program: &[&std::ffi::OsStr]) -> Result<std::process::Output, Failure> {
    Ok(perf_record(data).arg("--").args(program).spawn()?.wait_with_output()?)
}

/// Samples a process that runs, for `time`, while the caller loads it.
fn attach(data: &PathBuf, process: u32, time: Duration) -> Result<Child, Failure> {
    let (delay, process) = (BEGIN.as_millis().to_string(), process.to_string());
    let sleep = (BEGIN + time).as_secs_f64().to_string();
    Ok(perf_record(data).args(["-D", &delay, "-p", &process, "--", "sleep", &sleep]).spawn()?)
}

/// Counts the lines of `perf script`, one a sample: address, symbol, and in brackets the file.
fn reduce(script: &str) -> (usize, Vec<Symbol>) {
    let mut counts: HashMap<(String, bool), usize> = HashMap::new();
    let mut samples = 0;
    for line in script.lines() {
        let Some((address, rest)) = line.trim().split_once(' ') else { continue };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
        samples += 1;
        // The upper half of all addresses is the kernel's.
        *counts.entry((shown(name.trim()), address >> 63 == 1)).or_default() += 1;
    }
    let share = |count: usize| count as f64 / samples as f64;
    let mut symbols: Vec<Symbol> =
        counts.into_iter().map(|((name, kernel), count)| Symbol { name, kernel, share: share(count) }).collect();
    symbols.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.name.cmp(&b.name)));
    symbols.truncate(KEPT);
    (samples, symbols)
}

/// Without the hash that a compiler appends.
fn shown(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => path.into(),
        _ => name.into(),
    }
}

/// What a file of profiles says.
pub fn read(file: &str) -> Result<(Head, Vec<Profile>), Failure> {
    let text = std::fs::read_to_string(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
    let failed = |index: usize, error| format!("{file}:{}: {error}", index + 1);
    let mut lines = text.lines().enumerate();
    let head = lines.next().ok_or_else(|| format!("{file}: nothing in it"))?.1;
    let head = serde_json::from_str(head).map_err(|error| failed(0, error))?;
    let profile = |(index, line)| serde_json::from_str(line).map_err(|error| failed(index, error));
    Ok((head, lines.map(profile).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_by_symbol_and_by_whose_they_are() {
        let script = "    ffffffff81a0b1c2 tcp_sendmsg ([kernel.kallsyms])\n\
            \x20   ffffffff81a0b1d9 tcp_sendmsg ([kernel.kallsyms])\n\
            \x20   55d0c0a1b2c3 <a::B as c::D>::poll::h0123456789abcdef (/some/where/peers)\n\
            \x20   7f00c0a1b2c3 [unknown] ([vdso])\n\n";
        let (samples, symbols) = reduce(script);
        let told: Vec<_> = symbols.iter().map(|symbol| (symbol.name.as_str(), symbol.kernel, symbol.share)).collect();
        assert_eq!(samples, 4);
        assert_eq!(
            told,
            [("tcp_sendmsg", true, 0.5), ("<a::B as c::D>::poll", false, 0.25), ("[unknown]", false, 0.25)]
        );
        assert_eq!(reduce("nothing of it\n"), (0, Vec::new()));
    }

    #[test]
    fn a_program_that_is_not_there_is_a_reason_and_no_end() {
        let missing = version("no-such-perf").unwrap_err();
        assert!(missing.starts_with("no-such-perf: "), "{missing}");
        assert_eq!(last_line(b"first\nwhy it failed\n\n"), "why it failed");
    }
}

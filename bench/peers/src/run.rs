//! Rounds: every peer once a round, each with a server of its own, so that what disturbs one disturbs the others.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::load::{Exchange, Generator, Stream, answer_length, connect_and_close};
use crate::machine::Machine;
use crate::serve::{HELLO, http, peers};
use crate::{Failure, inside, pin};

/// One round of one work on one peer. A line of JSON, which `peers table` reads again.
#[derive(Serialize, Deserialize)]
pub struct Line {
    pub work: String,
    pub peer: String,
    pub round: u32,
    /// What was measured, each with its unit in its name.
    pub figures: Vec<(String, f64)>,
    /// The machine's load average over the last minute.
    pub load: f64,
}

/// What a server is asked for.
struct Work {
    name: &'static str,
    answer: &'static str,
    connections: usize,
    shape: Shape,
}

/// What the load generator does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One request under way on each connection.
    Requests,
    /// Connected and left alone, to see what memory that takes.
    Idle,
    /// Connected and closed, again and again.
    Connections,
    /// One connection is written to without end.
    Stream,
}

const fn work(name: &'static str, answer: &'static str, connections: usize, shape: Shape) -> Work {
    Work { name, answer, connections, shape }
}

const WORKS: &[Work] = &[
    work("echo/64", "echo", 64, Shape::Requests),
    work("echo/512", "echo", 512, Shape::Requests),
    work("hello/64", "hello", 64, Shape::Requests),
    work("http/64", "http", 64, Shape::Requests),
    work("udp/64", "udp", 64, Shape::Requests),
    work("accept", "echo", 64, Shape::Connections),
    work("stream", "sink", 1, Shape::Stream),
    work("idle/10000", "echo", 10_000, Shape::Idle),
];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: peers\r\nAccept: */*\r\n\r\n";

/// A line of the file: what was measured on, once for each time that the program ran, or one round.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    Line(Line),
    Machine(Machine),
}

/// How long a work without a server may take: a runtime that never answers must not end the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// The names of all works.
#[cfg(test)]
pub fn works() -> impl Iterator<Item = &'static str> {
    WORKS.iter().map(|work| work.name).chain(inside::WORKS.iter().copied())
}

pub fn list() {
    let works = WORKS.iter().map(|work| (work.name, peers(work.answer)));
    let inside = inside::WORKS.iter().map(|name| (*name, inside::peers(name).collect()));
    works.chain(inside).for_each(|(name, peers)| println!("{name}: {}", peers.join(" ")));
}

/// What is asked for on the command line.
struct Options {
    rounds: u32,
    time: Duration,
    limit: Duration,
    works: Vec<String>,
    peers: Vec<String>,
    of: Option<String>,
}

fn options(arguments: &[&str]) -> Result<Options, Failure> {
    let mut options = Options {
        rounds: 5,
        time: Duration::from_millis(400),
        limit: Duration::from_secs(10 * 60),
        works: Vec::new(),
        peers: Vec::new(),
        of: None,
    };
    let mut rest = arguments.iter();
    while let Some(&name) = rest.next() {
        let value = *rest.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name {
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
            "--minutes" => options.limit = Duration::try_from_secs_f64(60.0 * value.parse::<f64>()?)?,
            "--work" => options.works.push(value.into()),
            "--peer" => options.peers.push(value.into()),
            "--of" => options.of = Some(value.into()),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}

fn wanted(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|wanted| wanted == name)
}

/// What a file of rounds says. A last line without its end is that of a run that was stopped, and passed over.
pub fn read(file: &str) -> Result<Vec<Entry>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(index, line)| serde_json::from_str(line).map_err(|error| format!("{file}:{}: {error}", index + 1));
    Ok(whole.lines().enumerate().map(parse).collect::<Result<_, _>>()?)
}

/// The lines of rounds, to which each is added as soon as it is known. What is there already is not measured again.
struct Rounds {
    file: File,
    known: HashSet<(String, String, u32)>,
    /// Who failed at what in this run: one that never ends would do so in each round.
    failed: HashSet<(String, String)>,
}

/// What was measured, of all that a file of rounds says; fails where that is not one and the same.
pub fn program(file: &str, entries: &[Entry]) -> Result<Option<String>, Failure> {
    let mut programs = entries.iter().filter_map(|entry| match entry {
        Entry::Machine(machine) => Some(&machine.program),
        Entry::Line(_) => None,
    });
    let Some(first) = programs.next() else { return Ok(None) };
    match programs.find(|other| *other != first) {
        Some(other) => Err(format!("{file} has rounds of two: {}; and {}", said(first), said(other)).into()),
        None => Ok(first.clone()),
    }
}

/// A program as it is told.
pub fn said(program: &Option<String>) -> &str {
    program.as_deref().unwrap_or("nobody has said of what")
}

/// Fails where what is there was measured of another than `now`: figures of two are not beside each other.
pub fn refuse_another(file: &str, there: &Option<String>, now: &Option<String>) -> Result<(), Failure> {
    match there == now {
        true => Ok(()),
        false => {
            let (there, now) = (said(there), said(now));
            Err(format!("{file} was measured of another: {there}. This is: {now}. `run.sh --again` begins anew").into())
        }
    }
}

impl Rounds {
    fn open(path: &str, of: &Option<String>) -> Result<Rounds, Failure> {
        let exists = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
        let known = if exists { read(path)? } else { Vec::new() };
        if !known.is_empty() {
            refuse_another(path, &program(path, &known)?, of)?;
        }
        let known = known.into_iter().filter_map(|entry| match entry {
            Entry::Line(line) => Some((line.work, line.peer, line.round)),
            Entry::Machine(_) => None,
        });
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // What a run left that was stopped in the midst of a line.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        Ok(Rounds { file, known: known.collect(), failed: HashSet::new() })
    }

    /// It is measured, or nothing would come of it.
    fn has(&self, work: &str, peer: &str, round: u32) -> bool {
        let failed = self.failed.contains(&(work.into(), peer.into()));
        failed || self.known.contains(&(work.into(), peer.into(), round))
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Failure> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        Ok(self.file.write_all(line.as_bytes())?)
    }

    /// A peer that fails is told and does not end the run: the table shows a gap.
    fn tell(&mut self, work: &str, peer: &str, round: u32, outcome: Result<Figures, Failure>) -> Result<(), Failure> {
        match outcome {
            Ok(figures) => {
                let load = crate::machine::load();
                self.add(&Entry::Line(Line { work: work.into(), peer: peer.into(), round, figures, load }))
            }
            Err(failure) => {
                eprintln!("peers: {work} on {peer}: {failure}; it is not asked again");
                self.failed.insert((work.into(), peer.into()));
                Ok(())
            }
        }
    }
}

type Figures = Vec<(String, f64)>;

pub fn run(file: &str, arguments: &[&str]) -> Result<(), Failure> {
    let (options, start) = (options(arguments)?, Instant::now());
    let mut rounds = Rounds::open(file, &options.of)?;
    rounds.add(&Entry::Machine(Machine::here(options.of.as_deref())))?;
    for round in 0..options.rounds {
        // A round that was begun is brought to its end: all of its peers, or the ratios would lack one.
        if start.elapsed() > options.limit {
            eprintln!("peers: time is up after {round} of {} rounds; the same command goes on", options.rounds);
            return Ok(());
        }
        for work in WORKS.iter().filter(|work| wanted(&options.works, work.name)) {
            for peer in peers(work.answer).into_iter().filter(|peer| wanted(&options.peers, peer)) {
                if !rounds.has(work.name, peer, round) {
                    rounds.tell(work.name, peer, round, serve(work, peer, options.time))?;
                }
            }
        }
        for work in inside::WORKS.iter().filter(|work| wanted(&options.works, work)) {
            for peer in inside::peers(work).filter(|peer| wanted(&options.peers, peer)) {
                if !rounds.has(work, peer, round) {
                    rounds.tell(work, peer, round, measure(peer, work))?;
                }
            }
        }
        eprintln!("peers: round {} of {} after {} s", round + 1, options.rounds, start.elapsed().as_secs());
    }
    Ok(())
}

/// A server's process, which ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(work: &Work, peer: &str, time: Duration) -> Result<Figures, Failure> {
    served(work, peer, |process, address| loaded(work, process, address, time))
}

/// Loads a server for as long as what `begin` starts beside it runs: a program that is told of the server's process,
/// and that is handed out when it has ended. In slices of `time`. `None`: the work has no server.
pub fn watched(
    work: &str,
    peer: &str,
    time: Duration,
    begin: impl FnOnce(u32) -> Result<Child, Failure>,
) -> Result<Option<Child>, Failure> {
    let Some(work) = WORKS.iter().find(|known| known.name == work) else { return Ok(None) };
    served(work, peer, |process, address| {
        let (mut beside, start) = (begin(process)?, Instant::now());
        while beside.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                beside.kill()?;
                return Err("what watches the server has not ended in twenty seconds".into());
            }
            loaded(work, process, address, time)?;
        }
        Ok(Some(beside))
    })
}

/// Starts a server, and runs `with` on the load generator's processor. Then it is ended.
fn served<T>(work: &Work, peer: &str, with: impl FnOnce(u32, SocketAddr) -> Result<T, Failure>) -> Result<T, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args(["serve", peer, work.answer]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut server = Server(child);
    let mut out = server.0.stdout.take().expect("it was piped");
    let port = first_line(&mut out, PATIENCE).map_err(|failure| format!("the server: {failure}"))?;
    let port = port.parse::<u16>().map_err(|_| format!("the server told {port:?}, which is no port"))?;
    let (process, address) = (server.0.id(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // After the server was started, which would inherit it.
    pin::pin(pin::load())?;
    let outcome = with(process, address);
    // Works without a server, which may follow, choose for themselves.
    pin::unpin()?;
    outcome
}

/// The first line of what another process tells: short, and soon, or it would hold up the run for ever.
fn first_line(from: &mut (impl Read + AsRawFd), patience: Duration) -> Result<String, Failure> {
    const MOST: usize = 16;
    let (start, mut line) = (Instant::now(), Vec::new());
    loop {
        let left = patience.saturating_sub(start.elapsed());
        let mut watched = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure is read and written; the descriptor is open.
        match unsafe { libc::poll(&mut watched, 1, left.as_millis() as libc::c_int) } {
            0 => return Err(format!("it has told no line in {} s", patience.as_secs_f64()).into()),
            1 => {}
            _ => return Err(io::Error::last_os_error().into()),
        }
        let mut byte = [0];
        match from.read(&mut byte)? {
            0 => return Err("it ended before it told a line".into()),
            _ if byte == *b"\n" => return Ok(String::from_utf8(line)?),
            _ if line.len() == MOST => return Err(format!("its first line is longer than {MOST} bytes").into()),
            _ => line.push(byte[0]),
        }
    }
}

fn loaded(work: &Work, process: u32, address: SocketAddr, time: Duration) -> Result<Figures, Failure> {
    let exchange = match work.answer {
        "hello" => Exchange { request: REQUEST.to_vec(), answer: HELLO.len() },
        "http" => Exchange { request: REQUEST.to_vec(), answer: answer_length(address, REQUEST, http::HELLO)? },
        _ => Exchange { request: vec![b'x'; 64], answer: 64 },
    };
    let spent_since = |before: u64| pin::processor_time(process).map(|now| (now - before) as f64);
    match work.shape {
        Shape::Idle => {
            // A first connection has made what is made once.
            let mut first = Generator::connect(address, 1, exchange.clone())?;
            first.run(Duration::from_millis(50))?;
            let before = pin::memory(process)?;
            let mut idle = Generator::connect(address, work.connections, exchange)?;
            // Each has exchanged once: everything a connection has is there.
            idle.run(Duration::ZERO)?;
            let after = pin::memory(process)?;
            Ok(vec![("bytes".into(), after.saturating_sub(before) as f64 / work.connections as f64)])
        }
        Shape::Connections => {
            connect_and_close(address, time / 5)?;
            let before = pin::processor_time(process)?;
            let (connections, elapsed) = connect_and_close(address, time)?;
            Ok(vec![
                ("cpu_us".into(), spent_since(before)? / 1000.0 / connections as f64),
                ("per_second".into(), connections as f64 / elapsed.as_secs_f64()),
            ])
        }
        Shape::Stream => {
            let mut stream = Stream::connect(address)?;
            stream.run(time / 5)?;
            let before = pin::processor_time(process)?;
            let (bytes, elapsed) = stream.run(time)?;
            Ok(vec![
                ("cpu_us".into(), spent_since(before)? / 1000.0 / (bytes as f64 / f64::from(1 << 20))),
                ("gb_per_second".into(), bytes as f64 / 1e9 / elapsed.as_secs_f64()),
            ])
        }
        Shape::Requests => {
            let make = if work.answer == "udp" { Generator::datagrams } else { Generator::connect };
            let mut generator = make(address, work.connections, exchange)?;
            generator.run(time / 5)?;
            let before = pin::processor_time(process)?;
            let load = generator.run(time)?;
            Ok(vec![
                ("cpu_ns".into(), spent_since(before)? / load.requests as f64),
                ("per_second".into(), load.in_time() as f64 / load.elapsed.as_secs_f64()),
                ("p50_us".into(), load.quantile(0.5)),
                ("p99_us".into(), load.quantile(0.99)),
            ])
        }
    }
}

/// A work without a server: the process prints its figures itself.
fn measure(peer: &str, work: &str) -> Result<Figures, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args(["measure", peer, work]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut process, start) = (Server(child), Instant::now());
    // What it prints fits into the pipe.
    let status = loop {
        match process.0.try_wait()? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => return Err("no end in twenty seconds".into()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (mut out, mut errors) = (String::new(), String::new());
    process.0.stdout.take().expect("it was piped").read_to_string(&mut out)?;
    process.0.stderr.take().expect("it was piped").read_to_string(&mut errors)?;
    match status.success() {
        true => Ok(serde_json::from_str(&out)?),
        false => Err(format!("{status}: {}", errors.trim()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_first_line_is_short_and_soon_or_a_failure() {
        let told = |bytes: &[u8], ends: bool| {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            there.write_all(bytes).unwrap();
            let open = if ends {
                drop(there);
                None
            } else {
                Some(there)
            };
            let line = first_line(&mut here, Duration::from_millis(20)).map_err(|failure| failure.to_string());
            drop(open);
            line
        };
        assert_eq!(told(b"4711\nand more", false), Ok("4711".into()));
        assert!(told(b"4711", false).unwrap_err().contains("no line in 0.02 s"));
        assert!(told(b"47", true).unwrap_err().contains("ended before"));
        assert!(told(&[b'1'; 100], false).unwrap_err().contains("longer than 16 bytes"));
    }

    #[test]
    fn rounds_of_another_program_are_refused_and_told_apart() {
        let entry = |program: Option<&str>| Entry::Machine(Machine::here(program));
        let (one, two) = (Some(String::from("commit 1")), Some(String::from("commit 2")));
        assert_eq!(program("f", &[]).unwrap(), None);
        assert_eq!(program("f", &[entry(Some("commit 1")), entry(Some("commit 1"))]).unwrap(), one);
        let mixed = program("f", &[entry(Some("commit 1")), entry(Some("commit 2"))]).unwrap_err().to_string();
        assert!(mixed.contains("commit 1") && mixed.contains("commit 2"), "{mixed}");
        assert!(refuse_another("f", &one, &one).is_ok());
        let refused = refuse_another("f", &one, &two).unwrap_err().to_string();
        assert!(refused.contains("commit 1") && refused.contains("--again"), "{refused}");
        assert!(refuse_another("f", &None, &two).is_err());
    }
}

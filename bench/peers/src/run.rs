//! Rounds: every peer once a round, each with a server of its own, so that what disturbs one disturbs the others.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::{Exchange, Generator};
use crate::serve::{HELLO, PEERS};
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
    /// Connected and left alone, to see what memory that takes.
    idle: bool,
}

const WORKS: &[Work] = &[
    Work { name: "echo/64", answer: "echo", connections: 64, idle: false },
    Work { name: "echo/512", answer: "echo", connections: 512, idle: false },
    Work { name: "hello/64", answer: "hello", connections: 64, idle: false },
    Work { name: "idle/10000", answer: "echo", connections: 10_000, idle: true },
];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: peers\r\nAccept: */*\r\n\r\n";

pub fn list() {
    let works = WORKS.iter().map(|work| work.name).chain(inside::WORKS.iter().copied());
    works.for_each(|name| println!("work {name}"));
    PEERS.iter().for_each(|(name, _)| println!("peer {name}"));
}

/// What is asked for on the command line.
struct Options {
    rounds: u32,
    time: Duration,
    works: Vec<String>,
    peers: Vec<String>,
}

fn options(arguments: &[&str]) -> Result<Options, Failure> {
    let mut options = Options { rounds: 5, time: Duration::from_secs(1), works: Vec::new(), peers: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(&name) = rest.next() {
        let value = *rest.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name {
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
            "--work" => options.works.push(value.into()),
            "--peer" => options.peers.push(value.into()),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(options)
}

fn wanted(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|wanted| wanted == name)
}

pub fn run(arguments: &[&str]) -> Result<(), Failure> {
    let options = options(arguments)?;
    for round in 0..options.rounds {
        for work in WORKS.iter().filter(|work| wanted(&options.works, work.name)) {
            for (peer, _) in PEERS.iter().filter(|(peer, _)| wanted(&options.peers, peer)) {
                tell(work.name, peer, round, serve(work, peer, options.time));
            }
        }
        for work in inside::WORKS.iter().filter(|work| wanted(&options.works, work)) {
            for peer in inside::peers(work).filter(|peer| wanted(&options.peers, peer)) {
                tell(work, peer, round, measure(peer, work));
            }
        }
    }
    Ok(())
}

/// A peer that fails is told and does not end the run: the table shows a gap.
fn tell(work: &str, peer: &str, round: u32, outcome: Result<Vec<(String, f64)>, Failure>) {
    match outcome {
        Ok(figures) => {
            let load = std::fs::read_to_string("/proc/loadavg").ok();
            let load = load.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(f64::NAN);
            let line = Line { work: work.into(), peer: peer.into(), round, figures, load };
            println!("{}", serde_json::to_string(&line).expect("strings and numbers"));
        }
        Err(failure) => eprintln!("peers: {work} on {peer}: {failure}"),
    }
}

/// A server's process, which ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(work: &Work, peer: &str, time: Duration) -> Result<Vec<(String, f64)>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args(["serve", peer, work.answer]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut server = Server(child);
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().expect("it was piped")).read_line(&mut port)?;
    let port = port.trim().parse::<u16>().map_err(|_| "the server ended before it listened")?;
    let (process, address) = (server.0.id(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let exchange = match work.answer {
        "hello" => Exchange { request: REQUEST.to_vec(), answer: HELLO.len() },
        _ => Exchange { request: vec![b'x'; 64], answer: 64 },
    };
    // After the server was started, which would inherit it.
    pin::pin(pin::LOAD)?;
    if work.idle {
        // A first connection has made what is made once.
        let mut first = Generator::connect(address, 1, exchange.clone())?;
        first.run(Duration::from_millis(50))?;
        let before = pin::memory(process)?;
        let mut idle = Generator::connect(address, work.connections, exchange)?;
        // Each has exchanged once: everything a connection has is there.
        idle.run(Duration::ZERO)?;
        let after = pin::memory(process)?;
        let each = after.saturating_sub(before) as f64 / work.connections as f64;
        return Ok(vec![("bytes".into(), each)]);
    }
    let mut generator = Generator::connect(address, work.connections, exchange)?;
    generator.run(time / 5)?;
    let before = pin::processor_time(process)?;
    let load = generator.run(time)?;
    let spent = pin::processor_time(process)? - before;
    Ok(vec![
        ("cpu_ns".into(), spent as f64 / load.requests as f64),
        ("requests_per_second".into(), load.requests as f64 / load.elapsed.as_secs_f64()),
        ("p50_us".into(), load.quantile(0.5)),
        ("p99_us".into(), load.quantile(0.99)),
    ])
}

/// A work without a server: the process prints its figures itself.
fn measure(peer: &str, work: &str) -> Result<Vec<(String, f64)>, Failure> {
    let output = Command::new(std::env::current_exe()?).args(["measure", peer, work]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

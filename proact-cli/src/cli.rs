//! The command line: what may be typed, within which bounds, and what the help says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proact::backend::Capabilities;

use crate::exit::{Exit, Failure};
use crate::size::{KIB, MIB, parse_duration, parse_size};

mod run;
mod schedule;
mod trace;

pub use run::{GrantedDirectory, Inspect, LogChoice, NamedSemaphore, PlannedSignal, Run};
pub use schedule::{ScheduleCompare, Simulate};
pub use trace::{TraceForm, TraceTo};

/// Smallest and largest chunk, in bytes: below, headers and wake-ups cost more than data; above, memory does.
pub const CHUNK_SIZE_BOUNDS: (u64, u64) = (4 * KIB, 64 * MIB);
/// Fewest and most chunks in flight a connection.
pub const IN_FLIGHT_BOUNDS: (u16, u16) = (1, 256);
/// Shortest and longest time-out.
pub const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 3600));
/// Where `receive` listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7411";
/// Where `transfer` writes when it is given neither `--to` nor `--into`.
pub const DEFAULT_INTO: &str = "received";

/// `proact`, as typed.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(
    name = "proact",
    version,
    about = "Moves files through pipelines that are submitted before any of them has run",
    after_help = GENERAL_EXAMPLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be asked to do.
#[derive(Subcommand, Clone, PartialEq, Debug)]
pub enum Command {
    /// Send files or directories to a receiver, or to an embedded one on this machine
    #[command(after_help = TRANSFER_EXAMPLES, after_long_help = long_help(TRANSFER_EXAMPLES))]
    Transfer(Transfer),
    /// Receive what `proact transfer --to` sends
    #[command(after_help = RECEIVE_EXAMPLES, after_long_help = long_help(RECEIVE_EXAMPLES))]
    Receive(Receive),
    /// Show what this machine can do, and why not where it cannot
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Doctor),
    /// Run a scenario of the causal scheduler in virtual time
    #[command(after_help = schedule::SIMULATE_EXAMPLES, after_long_help = schedule::simulate_help())]
    Simulate(Simulate),
    /// Count what events, timelines and frontiers have to issue for the same submissions
    #[command(after_help = schedule::COMPARE_EXAMPLES)]
    ScheduleCompare(ScheduleCompare),
    /// Call a function of a WebAssembly program
    #[command(after_help = run::RUN_EXAMPLES, after_long_help = run::run_help())]
    Run(Run),
    /// Show what a WebAssembly program exports and imports
    #[command(after_help = run::INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Measure the library against its floor, the bare kernel interface
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Write what a shell needs to complete this program's commands and options
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(Completions),
}

impl Command {
    /// Whether the answer on standard output is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Command::Transfer(transfer) => transfer.json,
            Command::Receive(receive) => receive.json,
            Command::Doctor(doctor) => doctor.json,
            Command::Simulate(simulate) => simulate.json,
            Command::ScheduleCompare(compare) => compare.json,
            Command::Run(run) => run.json,
            Command::Inspect(inspect) => inspect.json,
            Command::Bench(bench) => bench.json,
            Command::Completions(_) => false,
        }
    }
}

/// `proact transfer`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Transfer {
    /// Files or directories to send; directories are sent with all that is in them
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,

    /// Send to the receiver at this address
    ///
    /// Without it, an embedded receiver is started in this process on the loopback network, so that one command shows
    /// the whole job.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "into")]
    pub to: Option<Peer>,

    /// Directory for the embedded receiver to write into [default: ./received]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,

    /// Bytes that are read, digested, sent and written at a time, 4KiB to 64MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = chunk_size)]
    pub chunk_size: u32,

    /// Chunks in flight at once, 1 to 256; memory is bounded by chunk size times this
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = in_flight())]
    pub in_flight: u16,

    /// How the kernel is asked for I/O
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,

    /// Replace files that exist already, instead of refusing them
    #[arg(long)]
    pub overwrite: bool,

    /// Go on where an earlier transfer with this option was broken off
    ///
    /// What the receiver has of unfinished files, and the files that were delivered, are compared by digest, and only
    /// the rest is sent. Unfinished files wait for 7 days, or until they are sent without this option.
    #[arg(long)]
    pub resume: bool,

    /// Send what symbolic links point to, instead of refusing them
    #[arg(long)]
    pub follow: bool,

    /// Speak TLS, to a receiver whose certificate an authority in this PEM file has issued
    #[arg(long, value_name = "PEM", requires = "to")]
    pub tls_ca: Option<PathBuf>,

    /// The name that the receiver's certificate must be for [default: the host of --to]
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_name: Option<String>,

    /// The certificate, with its chain, that shows the receiver who sends
    #[arg(long, value_name = "PEM", requires_all = ["tls_ca", "client_key"])]
    pub client_cert: Option<PathBuf>,

    /// The private key of --client-cert
    #[arg(long, value_name = "PEM", requires = "client_cert")]
    pub client_key: Option<PathBuf>,

    /// Give up when the connection is silent for this long, 1ms to 24h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    pub timeout: Duration,

    /// Where a trace goes.
    #[command(flatten)]
    pub trace: TraceTo,

    /// Print the report as one JSON object, and no progress
    #[arg(long)]
    pub json: bool,
}

impl Transfer {
    /// Where the embedded receiver writes; `None` with `--to`.
    pub fn embedded_into(&self) -> Option<PathBuf> {
        if self.to.is_some() {
            return None;
        }
        Some(self.into.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_INTO)))
    }
}

/// `proact receive`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Receive {
    /// Address to listen on, IP:PORT or just a port of the loopback network; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN, value_parser = listen_address)]
    pub listen: SocketAddr,

    /// Directory to write into; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,

    /// End after one transfer
    #[arg(long)]
    pub once: bool,

    /// Speak TLS, with this certificate and its chain
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Take transfers only from senders whose certificate an authority in this PEM file has issued
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Allow an address beyond loopback although not both sides are authenticated by TLS
    #[arg(long)]
    pub insecure: bool,

    /// Replace files that exist already, even where the sender does not ask for it
    #[arg(long)]
    pub overwrite: bool,

    /// How the kernel is asked for I/O
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,

    /// Give a connection up when it is silent for this long, 1ms to 24h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    pub timeout: Duration,

    /// Where a trace goes.
    #[command(flatten)]
    pub trace: TraceTo,

    /// Print a report a transfer, each as one JSON object on a line
    #[arg(long)]
    pub json: bool,
}

impl Receive {
    /// Checks what no single option can tell.
    ///
    /// # Errors
    /// A non-loopback address with neither mutual TLS nor `--insecure`; `--trace` without `--once`.
    pub fn check(&self) -> Result<(), Failure> {
        if self.trace.trace.is_some() && !self.once {
            return Err(Failure::new(Exit::Usage, "--trace: a trace is of one transfer; add --once"));
        }
        if self.insecure || self.tls_client_ca.is_some() || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let missing = match self.tls_cert {
            Some(_) => "senders are not authenticated without --tls-client-ca",
            None => "connections are neither encrypted nor authenticated without --tls-cert and --tls-client-ca",
        };
        Err(Failure::new(
            Exit::Usage,
            format!(
                "--listen {}: not a loopback address; {missing}, so anyone who reaches it could write into {}. Add \
                 --insecure to accept that",
                self.listen,
                self.into.display()
            ),
        ))
    }
}

/// `proact doctor`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Doctor {
    /// Print the answer as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `proact bench`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Bench {
    /// Only the rows whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,

    /// Only the row of exactly the filter's name
    #[arg(long, requires = "filter")]
    pub exact: bool,

    /// How the kernel is asked for I/O
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,

    /// Forbid this capability, as `doctor` names it; may be repeated
    ///
    /// What the machine lacks anyway is forbidden without effect. Rows bear the names of what is masked.
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    pub mask: Vec<Capabilities>,

    /// Compare with what an earlier `proact bench --json` has written
    ///
    /// Each row also says how many times as far above its floor it is as then. Rows without a floor, then or now, are
    /// not compared.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,

    /// Print each row as one JSON object on a line
    #[arg(long)]
    pub json: bool,
}

/// `proact completions`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Completions {
    /// Which shell it is for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `--backend`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendChoice {
    /// PROACT_BACKEND if it is set, else the best that runs here
    #[default]
    Auto,
    /// Completions from the kernel (Linux 6.1 or newer)
    #[value(name = "io_uring")]
    IoUring,
    /// Readiness, with worker threads for files
    Epoll,
    /// As epoll, on the oldest interface
    Poll,
}

impl BackendChoice {
    /// The name as it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            BackendChoice::Auto => "auto",
            BackendChoice::IoUring => "io_uring",
            BackendChoice::Epoll => "epoll",
            BackendChoice::Poll => "poll",
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The receiver to send to: a host name or address, and a port. The name is not resolved yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        let expected = "HOST:PORT is expected, with an IPv6 address in brackets: [::1]:7411";
        let (host, port) = text.rsplit_once(':').ok_or(expected)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => match address.parse::<Ipv6Addr>() {
                Ok(_) => address,
                Err(_) => return Err(format!("{address:?} is no IPv6 address")),
            },
            None if host.is_empty() || host.contains([':', '[', ']', '/', ' ']) => return Err(expected.into()),
            None => host,
        };
        match port.parse() {
            Ok(0) | Err(_) => Err(format!("{port:?} is no port to connect to: use 1 to 65535")),
            Ok(port) => Ok(Peer { host: host.into(), port }),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads a command line that starts with the program's name.
///
/// # Errors
/// The usage failure; or, with [`Exit::Ok`], the help or version text that was asked for and belongs on standard
/// output.
pub fn parse<I, T>(arguments: I) -> Result<Command, Failure>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Receive(receive) }) => receive.check().map(|()| Command::Receive(receive)),
        Ok(cli) => Ok(cli.command),
        Err(error) => {
            let text = error.render().to_string();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // main puts the program's name in front of every failure; clap's own "error:" would be a second head.
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            Err(Failure::new(exit, text.trim_end()))
        }
    }
}

fn chunk_size(text: &str) -> Result<u32, String> {
    let size = parse_size(text)?;
    let (least, most) = CHUNK_SIZE_BOUNDS;
    match u32::try_from(size) {
        Ok(fitting) if (least..=most).contains(&size) => Ok(fitting),
        _ => Err(format!("a chunk has {} KiB to {} MiB", least / KIB, most / MIB)),
    }
}

fn in_flight() -> clap::builder::RangedI64ValueParser<u16> {
    let (least, most) = IN_FLIGHT_BOUNDS;
    clap::value_parser!(u16).range(i64::from(least)..=i64::from(most))
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if (TIMEOUT_BOUNDS.0..=TIMEOUT_BOUNDS.1).contains(&duration) {
        Ok(duration)
    } else {
        Err(String::from("a time-out is 1ms to 24h"))
    }
}

fn capability(text: &str) -> Result<Capabilities, String> {
    let known = || Capabilities::all().iter_names().map(|(name, _)| name.to_lowercase());
    Capabilities::from_name(&text.to_uppercase())
        .ok_or_else(|| format!("no capability has this name: they are {}", known().collect::<Vec<_>>().join(", ")))
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.into(),
    };
    text.parse().map_err(|_| String::from("IP:PORT or a port is expected: 127.0.0.1:7411, [::1]:7411, 7411"))
}

fn long_help(examples: &str) -> String {
    format!("{examples}\n{}", Exit::table().trim_end())
}

const GENERAL_EXAMPLES: &str = "\
Examples:
  proact transfer README.md                    here, into ./received
  proact receive --into in                     wait for transfers
  proact transfer model/ --to 127.0.0.1:7411   send a directory there
  proact doctor                                what this machine can do
  proact simulate fork-join                    a pipeline in virtual time
  proact run math.wasm --function add --input 2 3
";

const TRANSFER_EXAMPLES: &str = "\
Examples:
  proact transfer README.md                     embedded receiver, into ./received
  proact transfer model/ notes.txt --into /tmp/copy
  proact transfer model/ --to 127.0.0.1:7411
  proact transfer model/ --to 127.0.0.1:7411 --resume
  proact transfer model/ --to host:7411 \\
      --tls-ca ca.pem --client-cert c.pem --client-key k.pem
  proact transfer big.bin --chunk-size 4MiB --in-flight 4 --backend epoll
  proact transfer big.bin --trace run.json      for ui.perfetto.dev

Names, sizes, permission bits and modification times are kept; set-user-ID,
set-group-ID and sticky bits are not sent.
";

const RECEIVE_EXAMPLES: &str = "\
Examples:
  proact receive --into in                      on 127.0.0.1:7411, until Ctrl-C
  proact receive --listen 0 --into in --once    on a free port, for one transfer
  proact receive --into in --once --trace run.json --trace-form recording
  proact receive --listen 0.0.0.0:7411 --into in \\
      --tls-cert c.pem --tls-key k.pem --tls-client-ca ca.pem
  proact receive --listen 0.0.0.0:7411 --into in --insecure
";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  proact doctor
  proact doctor --json
";

const BENCH_EXAMPLES: &str = "\
Examples:
  proact bench
  proact bench --filter nop --backend io_uring --json
  proact bench > before.json && proact bench --baseline before.json
  proact bench --filter chain --mask kernel_chains
";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  proact completions bash > ~/.local/share/bash-completion/completions/proact
  proact completions zsh > ~/.zfunc/_proact          with ~/.zfunc in fpath
  proact completions fish > ~/.config/fish/completions/proact.fish
";

#[cfg(test)]
mod tests;

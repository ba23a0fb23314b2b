//! The commands about programs.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use proact_vm::standard::{AddressRule, DirectoryAccess, LogLevel};

use crate::size::parse_size;

/// `proact run`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Run {
    /// A WebAssembly module; a file beside it that ends in .conventions says what its functions take
    #[arg(value_name = "MODULE.wasm")]
    pub module: PathBuf,

    /// The exported function to call, as `proact inspect` shows it
    #[arg(long, value_name = "NAME")]
    pub function: String,

    /// What it takes, in order: numbers; for a reference text, @FILE for the bytes of a file, semaphore:NAME, or null
    ///
    /// Integers may be written as 0x7f, which says the bits. Text that begins with @ or semaphore:, or is "null", is
    /// written as text:@here.
    #[arg(long = "input", value_name = "VALUE", num_args = 1.., allow_negative_numbers = true)]
    pub inputs: Vec<String>,

    /// End the call when it has taken this long, with what runs before it, 1ms to 24h
    #[arg(long, value_name = "DURATION", value_parser = super::timeout)]
    pub deadline: Option<Duration>,

    /// End the call when it has used this much fuel, about one for each instruction
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub fuel: Option<u64>,

    /// Most memory that the program may have, 64KiB to 4GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    pub memory: u64,

    /// Let the program read the files beneath a directory, which it calls NAME/...; with :rw make and change them
    ///
    /// It follows no symbolic link and leaves the directory by none. May be given several times. A path that itself
    /// ends in :rw is written with a slash behind it.
    #[arg(long = "dir", value_name = "NAME=PATH[:rw]")]
    pub directories: Vec<GrantedDirectory>,

    /// Let the program connect to these addresses: 10.0.0.1:443, 10.0.0.0/8:8000-8099, [fd00::/8]:443, unix:/run/s
    ///
    /// May be given several times. Names are not looked up.
    #[arg(long, value_name = "ADDRESS-RULE")]
    pub connect: Vec<AddressRule>,

    /// Let the program listen on these addresses, written as for --connect
    #[arg(long, value_name = "ADDRESS-RULE")]
    pub listen: Vec<AddressRule>,

    /// Make a semaphore, at a value (0 unless told), which --input semaphore:NAME gives to the program
    ///
    /// May be given several times. What they came to is in the answer of --json.
    #[arg(long = "semaphore", value_name = "NAME[=VALUE]")]
    pub semaphores: Vec<NamedSemaphore>,

    /// Signal a semaphore to a value when the function has returned, or so long after it began: go=1, go=2@500ms
    ///
    /// May be given several times. One that waits for the end fails with the function, when that fails. A value that
    /// the program has passed by then changes nothing.
    #[arg(long = "signal", value_name = "NAME=VALUE[@DURATION]")]
    pub signals: Vec<PlannedSignal>,

    /// The least of what the program logs that is told on standard error
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = LogChoice::Info)]
    pub log: LogChoice,

    /// Write each step and wait of the call as a trace for Perfetto (ui.perfetto.dev) or Chrome (about:tracing)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub json: bool,
}

/// A directory that a program is granted, and what it calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantedDirectory {
    /// The first part of the program's paths.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What may be done there.
    pub access: DirectoryAccess,
}

impl FromStr for GrantedDirectory {
    type Err = String;

    fn from_str(text: &str) -> Result<GrantedDirectory, String> {
        let (name, path) = text.split_once('=').ok_or("NAME=PATH is expected, NAME=PATH:rw for writing")?;
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(String::from("the name that the program calls it has no slashes, and is neither . nor .."));
        }
        let (path, access) = match path.strip_suffix(":rw") {
            Some(path) => (path, DirectoryAccess::ReadWrite),
            None => (path, DirectoryAccess::ReadOnly),
        };
        if path.is_empty() {
            return Err(String::from("a path is expected behind the ="));
        }
        Ok(GrantedDirectory { name: name.to_owned(), path: path.into(), access })
    }
}

/// A semaphore of the host, and what it begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedSemaphore {
    /// What the command line calls it.
    pub name: String,
    /// Its first value.
    pub value: u64,
}

impl FromStr for NamedSemaphore {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedSemaphore, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, semaphore_value(value)?),
            None => (text, 0),
        };
        if name.is_empty() {
            return Err(String::from("NAME is expected, or NAME=VALUE"));
        }
        Ok(NamedSemaphore { name: name.to_owned(), value })
    }
}

/// When the host signals a semaphore, and to what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedSignal {
    /// Which.
    pub name: String,
    /// The value that it comes to.
    pub value: u64,
    /// How long after the call has begun; when it has returned, unless told.
    pub after: Option<Duration>,
}

impl FromStr for PlannedSignal {
    type Err = String;

    fn from_str(text: &str) -> Result<PlannedSignal, String> {
        let (name, rest) = text.split_once('=').ok_or("NAME=VALUE is expected, NAME=VALUE@DURATION for a time")?;
        let (value, after) = match rest.split_once('@') {
            Some((value, after)) => (value, Some(super::timeout(after)?)),
            None => (rest, None),
        };
        Ok(PlannedSignal { name: name.to_owned(), value: semaphore_value(value)?, after })
    }
}

fn semaphore_value(text: &str) -> Result<u64, String> {
    match text.parse() {
        // `parse` would take a sign. Programs have values with one, so that half of them are all there are.
        Ok(value) if text.starts_with(|first: char| first.is_ascii_digit()) && value <= i64::MAX as u64 => Ok(value),
        _ => Err(format!("{text:?} is no value of a semaphore: 0 to {}", i64::MAX)),
    }
}

/// From which level on a program's words are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogChoice {
    /// All of them
    Trace,
    /// Also what is for who looks for a fault
    Debug,
    /// What was done, what may be wrong, and what is
    Info,
    /// What may be wrong, and what is
    Warn,
    /// What is wrong
    Error,
    /// Nothing
    Off,
}

impl LogChoice {
    /// The least level that is told.
    pub const fn least(self) -> Option<LogLevel> {
        match self {
            LogChoice::Trace => Some(LogLevel::Trace),
            LogChoice::Debug => Some(LogLevel::Debug),
            LogChoice::Info => Some(LogLevel::Info),
            LogChoice::Warn => Some(LogLevel::Warn),
            LogChoice::Error => Some(LogLevel::Error),
            LogChoice::Off => None,
        }
    }
}

/// `proact inspect`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Inspect {
    /// A WebAssembly module
    #[arg(value_name = "MODULE.wasm")]
    pub module: PathBuf,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub json: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if (64 << 10..=4 << 30).contains(&size) { Ok(size) } else { Err(String::from("a program has 64KiB to 4GiB")) }
}

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  proact run math.wasm --function add --input 2 3
  proact run math.wasm --function negate --input=-7 --json
  proact run text.wasm --function count --input @README.md
  proact run loop.wasm --function forever --fuel 1000000
  proact run loop.wasm --function forever --deadline 2s --trace run.json
  proact run relay.wasm --function relay --dir data=/srv --connect 127.0.0.1:7000 \\
      --semaphore go --signal go=1@500ms --input data/file 127.0.0.1:7000 semaphore:go
";

pub(super) fn run_help() -> String {
    format!(
        "{RUN_EXAMPLES}
A program reaches nothing of this machine but what its imports give it: modules
proact, semaphore, timer, list, buffer and log (see --log); module file where a
directory is granted (--dir), and socket where an address is (--connect,
--listen). One that imports what was not granted is refused.

Exit codes:
  0    the function returned
  1    it failed, or one that runs before it; or the deadline passed
  2    the command line is wrong: no such function, or other inputs than it takes
  3    the module, an input's file, or a granted directory is missing, unreadable
       or refused
  4    the trace cannot be written
  7    the backend for files and sockets cannot run here
  130  interrupted (Ctrl-C)
"
    )
}

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  proact inspect math.wasm                      exports, imports, conventions
  proact inspect math.wasm --json
";

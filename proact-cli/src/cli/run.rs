//! The commands about programs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

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

    /// What it takes, in order: numbers; for a reference text, @FILE for the bytes of a file, or null
    ///
    /// Integers may be written as 0x7f, which says the bits. Text that begins with @ or is "null" is written as
    /// text:@here.
    #[arg(long = "input", value_name = "VALUE", num_args = 1.., allow_negative_numbers = true)]
    pub inputs: Vec<String>,

    /// End the call when it has taken this long, 1ms to 24h
    #[arg(long, value_name = "DURATION", value_parser = super::timeout)]
    pub deadline: Option<Duration>,

    /// End the call when it has used this much fuel, about one for each instruction
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub fuel: Option<u64>,

    /// Most memory that the program may have, 64KiB to 4GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    pub memory: u64,

    /// Write each step and wait of the call as a trace for Perfetto (ui.perfetto.dev) or Chrome (about:tracing)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub json: bool,
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
";

pub(super) fn run_help() -> String {
    format!(
        "{RUN_EXAMPLES}
A program reaches nothing of this machine but what its imports give it, and here
that is module proact alone: yield, retain, release, error.

Exit codes:
  0    the function returned
  1    it failed, or its deadline passed
  2    the command line is wrong: no such function, or other inputs than it takes
  3    the module, or an input's file, is missing, unreadable or refused
  4    the trace cannot be written
  130  interrupted (Ctrl-C)
"
    )
}

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  proact inspect math.wasm                      exports, imports, conventions
  proact inspect math.wasm --json
";

//! The opponent that `proact transfer` is measured against: the same job in plain blocking calls, one thread a side.
//!
//! The sender reads a chunk, digests it and sends it; the receiver receives, digests, compares and writes, into an
//! allocated file that is synced and renamed at the end. It is written to be as fast as that shape allows: buffers are
//! made once, header and payload go out in one call, a payload comes in by one `MSG_WAITALL` call, Nagle's delay is
//! off, BLAKE3 uses the vector instructions there are. Headers and digests are the transfer protocol's own.
//!
//! With `--stage` it measures one part of that work alone, over as many bytes, so that the sum of the parts' processor
//! seconds bounds what any program could reach on this machine's cores.
//!
//! It prints one JSON object on one line.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use proact_cli::size::parse_size;
use proact_cli::usage::{cpu_seconds, peak_memory_bytes};
use proact_cli::wire::{CHUNK_MAX, CHUNK_MIN};

mod job;
mod plumbing;
mod stages;

#[derive(Parser)]
#[command(name = "proact-blocking", version, about = "The transfer job in blocking calls, one thread a side")]
struct Options {
    /// File to send; its size is the amount of every stage
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// Directory to write into
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Bytes a chunk
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = chunk_size)]
    chunk_size: u32,
    /// Measure this part alone
    #[arg(long, value_enum)]
    stage: Option<Stage>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
enum Stage {
    /// Read the source
    Read,
    /// Digest as many bytes, once
    Digest,
    /// Send and receive as many bytes over loopback TCP
    Loopback,
    /// Write as many bytes into an allocated file, sync and rename
    Write,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "proact-blocking: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let cpu_before = cpu_seconds();
    let start = Instant::now();
    let (name, bytes) = match options.stage {
        None => ("all", job::run(options)?),
        Some(Stage::Read) => ("read", stages::read(options)?),
        Some(Stage::Digest) => ("digest", stages::digest(options)?),
        Some(Stage::Loopback) => ("loopback", stages::loopback(options)?),
        Some(Stage::Write) => ("write", stages::write(options)?),
    };
    let seconds = start.elapsed().as_secs_f64();
    let cpu_used = cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    let line = serde_json::json!({
        "stage": name,
        "bytes": bytes,
        "chunk_size": options.chunk_size,
        "seconds": seconds,
        "cpu_seconds": cpu_used,
        "peak_memory_bytes": peak_memory_bytes(),
    });
    writeln!(io::stdout(), "{line}")
}

fn chunk_size(text: &str) -> Result<u32, String> {
    let size = u32::try_from(parse_size(text)?).unwrap_or(u32::MAX);
    if (CHUNK_MIN..=CHUNK_MAX).contains(&size) { Ok(size) } else { Err("a chunk has 4 KiB to 64 MiB".into()) }
}

//! Compares `proact transfer` with the plain blocking program, in turn on one machine, and with what the processor
//! seconds of the job's parts allow on this number of cores.
//!
//! Both programs move the same source file into the same directory, which is emptied before each run. Each part of the
//! job (read, digest, loopback, write) is measured alone as well. The job digests twice, once a side, so its parts need
//! `read + 2 digest + loopback + write` processor seconds: divided by the cores, that is the shortest time that any
//! program could take without using less. The medians of interleaved runs count.
//!
//! It prints a table, or with `--json` one object on one line. It takes no verdict: it is no timed test.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use proact_cli::size::{MIB, parse_size};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "proact-bench-transfer", version, about = "`proact transfer` against one blocking thread a side")]
struct Options {
    /// Directory to work in; the file system to measure
    #[arg(long, value_name = "DIR")]
    within: PathBuf,
    /// Bytes to move
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    size: u64,
    /// Runs of each program, interleaved
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Bytes a chunk, as both programs take it
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    chunk_size: String,
    /// Backend of `proact transfer`
    #[arg(long, default_value = "auto")]
    backend: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_memory_bytes: u64,
}

/// What runs take, in the middle; the largest memory of them.
struct Median {
    seconds: f64,
    cpu_seconds: f64,
    peak_memory_bytes: u64,
}

const STAGES: [(&str, f64); 4] = [("read", 1.0), ("digest", 2.0), ("loopback", 1.0), ("write", 1.0)];

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "proact-bench-transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let scratch = options.within.join(format!("proact-bench-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    let result = measure(options, &scratch);
    std::fs::remove_dir_all(&scratch)?;
    let answer = result?;
    let mut out = io::stdout().lock();
    if options.json { writeln!(out, "{answer}") } else { out.write_all(table(&answer).as_bytes()) }
}

fn measure(options: &Options, scratch: &Path) -> io::Result<Value> {
    let (source, into) = (scratch.join("source"), scratch.join("into"));
    make_source(&source, options.size)?;
    let programs = std::env::current_exe()?;
    let program = |name: &str| programs.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let blocking = |stage: Option<&str>| {
        let mut command = Command::new(program("proact-blocking"));
        command.arg("--source").arg(&source).arg("--into").arg(&into).args(["--chunk-size", &options.chunk_size]);
        command.args(stage.iter().flat_map(|stage| ["--stage", stage]));
        command
    };
    let transfer = || {
        let mut command = Command::new(program("proact"));
        command.arg("transfer").arg(&source).arg("--into").arg(&into).arg("--json");
        command.args(["--chunk-size", &options.chunk_size, "--backend", &options.backend]);
        command
    };
    // The first run of anything finds cold caches: it is not counted.
    let mut last = once(&mut transfer(), &into)?.1;
    let (mut theirs, mut ours, mut stages) = (Vec::new(), Vec::new(), vec![Vec::new(); STAGES.len()]);
    for _ in 0..options.runs {
        theirs.push(once(&mut blocking(None), &into)?.0);
        let (run, report) = once(&mut transfer(), &into)?;
        ours.push(run);
        last = report;
        for (runs, (stage, _)) in stages.iter_mut().zip(STAGES) {
            runs.push(once(&mut blocking(Some(stage)), &into)?.0);
        }
    }
    let (theirs, ours) = (median(&theirs), median(&ours));
    let stages: Vec<Median> = stages.iter().map(|runs| median(runs)).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu: f64 = stages.iter().zip(STAGES).map(|(stage, (_, times))| stage.cpu_seconds * times).sum();
    let bound = cpu / cores as f64;
    let stages: serde_json::Map<String, Value> =
        stages.iter().zip(STAGES).map(|(stage, (name, _))| (name.into(), figures(stage))).collect();
    Ok(json!({
        "bytes": options.size,
        "chunk_size": options.chunk_size,
        "runs": options.runs,
        "cores": cores,
        "backend": last["backend"],
        "blocking": figures(&theirs),
        "transfer": figures(&ours),
        "time_ratio": ours.seconds / theirs.seconds,
        "cpu_ratio": ours.cpu_seconds / theirs.cpu_seconds,
        "stages": stages,
        "bound_seconds": bound,
        "fraction_of_bound": bound / ours.seconds,
        "chunks_lowered": last["chunks_lowered"],
        "chunks": last["chunks"],
        "kernel_enters_per_mib": last["kernel_enters_per_mib"],
    }))
}

/// Bytes that no file system can leave out.
fn make_source(path: &Path, size: u64) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let mut block = vec![0; MIB as usize];
    let mut left = size;
    for index in 0u64.. {
        if left == 0 {
            break;
        }
        let mut content = blake3::Hasher::new();
        content.update(&index.to_le_bytes());
        content.finalize_xof().fill(&mut block);
        let count = left.min(MIB);
        file.write_all(&block[..count as usize])?;
        left -= count;
    }
    file.sync_all()
}

fn once(command: &mut Command, into: &Path) -> io::Result<(Run, Value)> {
    if into.exists() {
        std::fs::remove_dir_all(into)?;
    }
    std::fs::create_dir(into)?;
    let output = command.output()?;
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let number = |field: &str| line[field].as_f64();
    match (output.status.success(), number("seconds"), number("cpu_seconds")) {
        (true, Some(seconds), Some(cpu_seconds)) => {
            let peak_memory_bytes = line["peak_memory_bytes"].as_u64().unwrap_or(0);
            Ok((Run { seconds, cpu_seconds, peak_memory_bytes }, line))
        }
        _ => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(io::Error::other(format!("{command:?} failed: {why}")))
        }
    }
}

fn median(runs: &[Run]) -> Median {
    let middle = |value: fn(&Run) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
    };
    Median {
        seconds: middle(|run| run.seconds),
        cpu_seconds: middle(|run| run.cpu_seconds),
        peak_memory_bytes: runs.iter().map(|run| run.peak_memory_bytes).max().unwrap_or(0),
    }
}

fn figures(median: &Median) -> Value {
    json!({
        "seconds": median.seconds,
        "cpu_seconds": median.cpu_seconds,
        "peak_memory_bytes": median.peak_memory_bytes,
    })
}

fn table(answer: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let mut text = format!("{:<10} {:>9} {:>9} {:>10}\n", "", "seconds", "cpu s", "peak MiB");
    let mut row = |name: &str, value: &Value| {
        let (seconds, cpu) = (number(&value["seconds"]), number(&value["cpu_seconds"]));
        let peak = number(&value["peak_memory_bytes"]) / MIB as f64;
        text.push_str(&format!("{name:<10} {seconds:>9.3} {cpu:>9.3} {peak:>10.1}\n"));
    };
    row("blocking", &answer["blocking"]);
    row("transfer", &answer["transfer"]);
    for (stage, _) in STAGES {
        row(stage, &answer["stages"][stage]);
    }
    let (time, cpu) = (number(&answer["time_ratio"]), number(&answer["cpu_ratio"]));
    let (bound, fraction) = (number(&answer["bound_seconds"]), number(&answer["fraction_of_bound"]));
    text.push_str(&format!(
        "time ratio {time:.3}, cpu ratio {cpu:.3}; bound on {} cores {bound:.3} s, fraction reached {fraction:.3}\n",
        answer["cores"]
    ));
    text
}

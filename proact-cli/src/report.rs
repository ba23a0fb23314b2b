//! The closing report: what was moved, how fast, and what it cost.

use std::fmt;
use std::io;

use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// Which side a report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `transfer` to its embedded receiver: both sides in one process, costs together.
    Transfer,
    /// `transfer --to`.
    Send,
    /// `receive`.
    Receive,
}

/// How long, and at which price in kernel transitions, the step from a semaphore wait to its send was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Steps {
    /// Pairs of wait and send that ran this way.
    pub pairs: u64,
    /// Times the poll thread returned from the kernel and entered it again between wait and send, over all of them.
    pub enters_between: u64,
}

/// What is counted during a transfer. The engine fills it in.
#[derive(Clone, PartialEq, Debug)]
pub struct Figures {
    /// Which side.
    pub role: Role,
    /// The backend that ran.
    pub backend: String,
    /// Where the data went: a directory or the peer's address.
    pub destination: String,
    /// Bytes of the files that were delivered.
    pub bytes: u64,
    /// Bytes of them, or of files that were not delivered, that were there already and were not sent.
    pub resumed: u64,
    /// Files that were delivered.
    pub files: u64,
    /// Directories that were delivered.
    pub directories: u64,
    /// Files and directories that were not.
    pub failed: u64,
    /// From the first frame to the last.
    pub seconds: f64,
    /// Processor seconds of the process over that time.
    pub cpu_seconds: Option<f64>,
    /// Times the poll thread entered the kernel.
    pub kernel_enters: u64,
    /// Chunks sent or received.
    pub chunks: u64,
    /// Wait-to-send pairs that ran in the kernel alone.
    pub lowered: Steps,
    /// Wait-to-send pairs that the proactor stepped itself.
    pub portable: Steps,
    /// Most memory held at once.
    pub peak_memory_bytes: Option<u64>,
}

impl Figures {
    /// Figures of nothing yet.
    pub fn new(role: Role, backend: impl Into<String>, destination: impl Into<String>) -> Figures {
        Figures {
            role,
            backend: backend.into(),
            destination: destination.into(),
            bytes: 0,
            resumed: 0,
            files: 0,
            directories: 0,
            failed: 0,
            seconds: 0.0,
            cpu_seconds: None,
            kernel_enters: 0,
            chunks: 0,
            lowered: Steps::default(),
            portable: Steps::default(),
            peak_memory_bytes: None,
        }
    }

    /// Thousand million bytes a second; 0 when no time passed.
    pub fn gigabytes_per_second(&self) -> f64 {
        ratio(self.bytes as f64 / 1e9, self.seconds)
    }

    /// Kernel enters for each 2^20 bytes; 0 when nothing moved.
    pub fn kernel_enters_per_mib(&self) -> f64 {
        ratio(self.kernel_enters as f64, self.bytes as f64 / f64::from(1 << 20))
    }
}

/// A quotient that is always finite: JSON knows no infinity.
fn ratio(amount: f64, per: f64) -> f64 {
    if per > 0.0 { amount / per } else { 0.0 }
}

/// Figures and outcome together: what is printed.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// What was counted.
    pub figures: Figures,
    /// How it ended, if not well.
    pub failure: Option<Failure>,
}

/// The JSON object's fields, in the order in which they are written.
#[derive(Serialize)]
struct Json<'a> {
    outcome: &'static str,
    exit_code: u8,
    error: Option<&'a str>,
    role: Role,
    backend: &'a str,
    destination: &'a str,
    bytes: u64,
    resumed_bytes: u64,
    files: u64,
    directories: u64,
    failed: u64,
    seconds: f64,
    gigabytes_per_second: f64,
    cpu_seconds: Option<f64>,
    kernel_enters: u64,
    kernel_enters_per_mib: f64,
    chunks: u64,
    chunks_lowered: u64,
    chunks_portable: u64,
    enters_between_steps_lowered: u64,
    enters_between_steps_portable: u64,
    peak_memory_bytes: Option<u64>,
}

impl Report {
    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        self.failure.as_ref().map_or(Exit::Ok, |failure| failure.exit)
    }

    /// Writes the report as one JSON object on one line.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_json(&self, out: &mut impl io::Write) -> io::Result<()> {
        let figures = &self.figures;
        let json = Json {
            outcome: if self.failure.is_none() { "ok" } else { "failed" },
            exit_code: self.exit().code(),
            error: self.failure.as_ref().map(|failure| failure.message.as_str()),
            role: figures.role,
            backend: &figures.backend,
            destination: &figures.destination,
            bytes: figures.bytes,
            resumed_bytes: figures.resumed,
            files: figures.files,
            directories: figures.directories,
            failed: figures.failed,
            seconds: figures.seconds,
            gigabytes_per_second: figures.gigabytes_per_second(),
            cpu_seconds: figures.cpu_seconds,
            kernel_enters: figures.kernel_enters,
            kernel_enters_per_mib: figures.kernel_enters_per_mib(),
            chunks: figures.chunks,
            chunks_lowered: figures.lowered.pairs,
            chunks_portable: figures.portable.pairs,
            enters_between_steps_lowered: figures.lowered.enters_between,
            enters_between_steps_portable: figures.portable.enters_between,
            peak_memory_bytes: figures.peak_memory_bytes,
        };
        serde_json::to_writer(&mut *out, &json)?;
        out.write_all(b"\n")
    }
}

/// For people: a few lines. The failure itself is not among them: it goes to standard error.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        let (verb, preposition) = match figures.role {
            Role::Transfer => ("Delivered", "into"),
            Role::Send => ("Delivered", "to"),
            Role::Receive => ("Received", "into"),
        };
        write!(f, "{verb} {}", counted(figures.files, "file"))?;
        if figures.directories > 0 {
            write!(f, " and {}", counted(figures.directories, "directory"))?;
        }
        let size = BinaryBytes(figures.bytes);
        writeln!(f, " ({size}) {preposition} {}", figures.destination)?;
        if figures.resumed > 0 {
            // What was there of a file that is not delivered even now is more than what was delivered.
            let (resumed, all) = (BinaryBytes(figures.resumed), BinaryBytes(figures.bytes.max(figures.resumed)));
            writeln!(f, "  resumed         {resumed} of {all} were there")?;
        }
        if figures.failed > 0 {
            writeln!(f, "  not delivered   {}", HumanCount(figures.failed))?;
        }
        let rate = figures.gigabytes_per_second();
        writeln!(f, "  time            {:.3} s, {rate:.3} GB/s", figures.seconds)?;
        if let Some(cpu_seconds) = figures.cpu_seconds {
            writeln!(f, "  processor       {cpu_seconds:.3} s")?;
        }
        if let Some(peak) = figures.peak_memory_bytes {
            writeln!(f, "  peak memory     {}", BinaryBytes(peak))?;
        }
        writeln!(f, "  backend         {}", figures.backend)?;
        let (enters, per_mib) = (HumanCount(figures.kernel_enters), figures.kernel_enters_per_mib());
        writeln!(f, "  kernel enters   {enters} ({per_mib:.2} a MiB)")?;
        let pairs = figures.lowered.pairs + figures.portable.pairs;
        if pairs > 0 {
            let (lowered, all) = (HumanCount(figures.lowered.pairs), HumanCount(pairs));
            writeln!(f, "  waits lowered   {lowered} of {all} chunks waited for their digest in the kernel")?;
            let (lowered, portable) = (figures.lowered.enters_between, figures.portable.enters_between);
            writeln!(f, "  between steps   {lowered} enters lowered, {portable} portable")?;
        }
        Ok(())
    }
}

fn counted(count: u64, noun: &str) -> String {
    let number = HumanCount(count);
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            bytes: 3 << 30,
            files: 1,
            directories: 2,
            seconds: 1.5,
            cpu_seconds: Some(2.25),
            kernel_enters: 6144,
            chunks: 3072,
            lowered: Steps { pairs: 3000, enters_between: 0 },
            portable: Steps { pairs: 72, enters_between: 72 },
            peak_memory_bytes: Some(20 << 20),
            ..Figures::new(Role::Transfer, "io_uring", "received")
        }
    }

    fn json(report: &Report) -> serde_json::Value {
        let mut text = Vec::new();
        report.write_json(&mut text).unwrap();
        assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1, "one line");
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn the_json_object_has_every_figure() {
        let value = json(&Report { figures: figures(), failure: None });
        assert_eq!(
            value,
            serde_json::json!({
                "outcome": "ok",
                "exit_code": 0,
                "error": null,
                "role": "transfer",
                "backend": "io_uring",
                "destination": "received",
                "bytes": 3u64 << 30,
                "resumed_bytes": 0,
                "files": 1,
                "directories": 2,
                "failed": 0,
                "seconds": 1.5,
                "gigabytes_per_second": (3u64 << 30) as f64 / 1e9 / 1.5,
                "cpu_seconds": 2.25,
                "kernel_enters": 6144,
                "kernel_enters_per_mib": 2.0,
                "chunks": 3072,
                "chunks_lowered": 3000,
                "chunks_portable": 72,
                "enters_between_steps_lowered": 0,
                "enters_between_steps_portable": 72,
                "peak_memory_bytes": 20 << 20,
            })
        );
    }

    #[test]
    fn a_failure_keeps_its_message_and_exit_code_beside_the_figures() {
        let failure = Failure::new(Exit::Corrupted, "x: chunk 3 differs");
        let report = Report { figures: figures(), failure: Some(failure) };
        let value = json(&report);
        assert_eq!((&value["outcome"], &value["exit_code"]), (&"failed".into(), &6.into()));
        assert_eq!(value["error"], "x: chunk 3 differs");
        assert_eq!(value["files"], 1);
    }

    #[test]
    fn nothing_in_no_time_gives_finite_figures_and_unknown_ones_are_null() {
        let value = json(&Report { figures: Figures::new(Role::Send, "poll", "[::1]:1"), failure: None });
        assert_eq!((&value["gigabytes_per_second"], &value["kernel_enters_per_mib"]), (&0.0.into(), &0.0.into()));
        assert_eq!(value["cpu_seconds"], serde_json::Value::Null);
        assert_eq!(value["role"], "send");
    }

    #[test]
    fn the_text_reads_as_a_person_would_say_it() {
        let text = Report { figures: figures(), failure: None }.to_string();
        let expected = "\
Delivered 1 file and 2 directories (3.00 GiB) into received
  time            1.500 s, 2.147 GB/s
  processor       2.250 s
  peak memory     20.00 MiB
  backend         io_uring
  kernel enters   6,144 (2.00 a MiB)
  waits lowered   3,000 of 3,072 chunks waited for their digest in the kernel
  between steps   0 enters lowered, 72 portable
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_was_there_already_is_said() {
        let figures = Figures { resumed: 2 << 30, ..figures() };
        let text = Report { figures: figures.clone(), failure: None }.to_string();
        assert!(text.contains("into received\n  resumed         2.00 GiB of 3.00 GiB were there\n"), "{text}");
        assert_eq!(json(&Report { figures, failure: None })["resumed_bytes"], 2u64 << 30);
    }

    #[test]
    fn what_was_not_delivered_is_said() {
        let figures = Figures { files: 0, failed: 2, ..Figures::new(Role::Receive, "epoll", "in") };
        let text = Report { figures, failure: None }.to_string();
        assert!(text.starts_with("Received 0 files (0 B) into in\n  not delivered   2\n"), "{text}");
        assert!(!text.contains("waits lowered"), "a receiver has no such pairs: {text}");
    }
}

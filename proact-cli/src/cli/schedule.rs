//! The commands about the causal scheduler.

use std::path::PathBuf;

use clap::Args;

/// `proact simulate`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Simulate {
    /// A scenario's id, as --list shows it; or the path of a file: it ends in .json or has a slash
    #[arg(value_name = "SCENARIO", required_unless_present = "list")]
    pub scenario: Option<String>,

    /// Show the scenarios that come with the program
    #[arg(long, conflicts_with_all = ["scenario", "width", "depth", "lanes", "queues", "trace"])]
    pub list: bool,

    /// Copies that run side by side on the same lanes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive())]
    pub width: u32,

    /// Iterations that follow each other, where the scenario chains them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive())]
    pub depth: u32,

    /// Lanes of each class of hardware that is scalable [default: what the scenario says]
    #[arg(long, value_name = "N", value_parser = positive())]
    pub lanes: Option<u32>,

    /// Run it on the scheduler proper too: what each operation knows by queues, and how its waits were resolved
    #[arg(long)]
    pub queues: bool,

    /// Write the run as a trace for Perfetto (ui.perfetto.dev) or Chrome (about:tracing)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub json: bool,
}

/// `proact schedule-compare`.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct ScheduleCompare {
    /// How often each case is submitted to take its time; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = positive())]
    pub rounds: u32,

    /// Write the tables into this file, between its lines `<!-- schedule-compare -->` and `<!-- /schedule-compare -->`
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Draw the comparison into this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// Print the answer as one JSON object on one line
    #[arg(long)]
    pub json: bool,
}

fn positive() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1_000_000)
}

pub(super) const SIMULATE_EXAMPLES: &str = "\
Examples:
  proact simulate --list                             what there is
  proact simulate fork-join                          operations, lanes, frontiers
  proact simulate fork-join --lanes 1 --json
  proact simulate kv-paging --queues                 which waits the scheduler leaves out
  proact simulate streaming-translation --depth 4 --trace run.json
  proact simulate my/pipeline.json                   a scenario of your own
";

pub(super) fn simulate_help() -> String {
    format!(
        "{SIMULATE_EXAMPLES}
A scenario file is JSON; its schema is proact-schedule/scenarios/scenario.schema.json.

Exit codes:
  0    it ran
  2    the command line is wrong, there is no such scenario, or not in this size
  3    the file is missing, unreadable or no scenario
  4    the trace cannot be written
"
    )
}

pub(super) const COMPARE_EXAMPLES: &str = "\
Examples:
  proact schedule-compare
  proact schedule-compare --json
  proact schedule-compare --markdown docs/scheduling.md --plot docs/scheduling.svg
";

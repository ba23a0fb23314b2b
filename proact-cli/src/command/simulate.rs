//! `proact simulate`: a scenario in virtual time.

mod text;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use proact::status::Operation;
use proact_schedule::Policy;
use proact_schedule::scenario::{
    QueueReport, QueueRun, Report, Rule, Run, Scale, Scenario, ScenarioError, chrome, embedded,
};
use serde::Serialize;

use super::answer::{Outcome, json, say, told};
use crate::cli::Simulate;
use crate::exit::{Exit, Failure, Place};

/// Runs it.
///
/// # Errors
/// No such scenario, or not in this size; a file that is missing or wrong; a trace that cannot be written.
pub fn simulate(options: &Simulate) -> Result<(), Failure> {
    let outcome = if options.list { list(options.json) } else { run(options) };
    told(outcome, options.json)
}

/// The scenarios that there are.
#[derive(Serialize)]
struct Scenarios {
    scenarios: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    alias: Option<String>,
    title: String,
    text: String,
    operations: usize,
    lanes: bool,
    depth: bool,
}

fn list(as_json: bool) -> Result<(), Failure> {
    let listed = |scenario: Scenario| Listed {
        id: scenario.file().id.clone(),
        alias: scenario.file().alias.clone(),
        title: scenario.file().title.clone(),
        text: scenario.file().text.clone(),
        operations: scenario.file().operations.len(),
        lanes: scenario.has_lanes(),
        depth: scenario.has_depth(),
    };
    let answer = Scenarios { scenarios: embedded::all().map(listed).collect() };
    say(&if as_json { json(&Outcome::ok(answer))? } else { text::list(&answer.scenarios) });
    Ok(())
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: Report<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_queues: Option<QueueReport<'a>>,
}

fn run(options: &Simulate) -> Result<(), Failure> {
    let named = options.scenario.as_deref().unwrap_or_default();
    let scenario = find(named)?;
    let [width, depth] = [options.width, options.depth].map(|number| number as usize);
    let scale = Scale { width, depth, lanes: options.lanes.map(|lanes| lanes as usize) };
    let graph = scenario.graph(scale).map_err(|error| refused(&error, options))?;
    let run = Run::of(&graph);
    if let Some(path) = &options.trace {
        trace(path, &scenario, &run)?;
    }
    let report = Report::of(&scenario, scale, &run);
    let on_queues = if options.queues {
        let done = QueueRun::of(&run, Policy::Frontiers)
            .map_err(|status| Failure::new(Exit::Failed, format!("{named} on queues: {status}")))?;
        Some(QueueReport::of(&run, &done))
    } else {
        None
    };
    let answer = Answer { report, on_queues };
    say(&if options.json {
        json(&Outcome::ok(answer))?
    } else {
        text::report(&scenario, &answer.report, answer.on_queues.as_ref())
    });
    Ok(())
}

/// A name with a slash, or that ends in `.json`, is a file; any other is an id.
fn find(named: &str) -> Result<Scenario, Failure> {
    if !named.ends_with(".json") && !named.contains(['/', '\\']) {
        return embedded::find(named).ok_or_else(|| {
            let ids: Vec<&str> = embedded::ids().collect();
            let why = format!("there is no scenario {named:?}; there are {}", ids.join(", "));
            Failure::new(Exit::Usage, format!("{why}. A file's name ends in .json or has a slash"))
        });
    }
    let text = std::fs::read_to_string(named)
        .map_err(|error| Failure::from_io(Place::Source, named, Operation::FileRead, &error))?;
    Scenario::parse(named, &text).map_err(|error| Failure::new(Exit::Source, error.to_string()))
}

/// A size that cannot be had is the fault of the command line, which names the option.
fn refused(error: &ScenarioError, options: &Simulate) -> Failure {
    let option = match &error.rule {
        Rule::NoDepth => format!("--depth {}: ", options.depth),
        Rule::NoLanes | Rule::Bounds { .. } => format!("--lanes {}: ", options.lanes.unwrap_or_default()),
        Rule::TooLarge { .. } | Rule::Frontier { .. } => {
            format!("--width {} --depth {}: ", options.width, options.depth)
        }
        // What else can be wrong was found when it was read.
        _ => String::new(),
    };
    Failure::new(Exit::Usage, format!("{option}{error}"))
}

fn trace(path: &Path, scenario: &Scenario, run: &Run<'_>) -> Result<(), Failure> {
    let failed = |operation, error| Failure::from_io(Place::Destination, path.display(), operation, &error);
    let file = File::create(path).map_err(|error| failed(Operation::FileOpen, error))?;
    let mut out = BufWriter::new(file);
    let written = chrome::write(scenario, run, &mut out).and_then(|()| out.flush());
    written.map_err(|error| failed(Operation::FileWrite, error))
}

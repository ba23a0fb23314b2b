//! Scenarios: pipelines as data, and a simulator that runs them in virtual time.
//!
//! A scenario says which lanes of hardware there are, which timeline semaphores, and which operations: on which lane
//! each runs and for how long, what it waits for and what it signals. It is a JSON [`File`] that anyone can write;
//! [`Scenario::parse`] reads and checks it, and [`embedded`] gives those that come with the library.
//! [`Scenario::graph`] makes it as large as wanted, and [`Run::of`] runs it.
//!
//! Here the semaphores are the axes of frontiers: each value of a timeline is an epoch. Lanes give no causality. On the
//! scheduler proper, queues are the axes.
//!
//! ```
//! use proact_schedule::scenario::{Run, Scale, embedded};
//! let scenario = embedded::find("fork-join").unwrap();
//! let graph = scenario.graph(Scale { lanes: Some(1), ..Scale::default() })?;
//! let run = Run::of(&graph);
//! assert_eq!((run.makespan(), graph.critical_path()), (11, 8));
//! let merge = run.frontier_by_name(3).collect::<Vec<_>>();
//! assert_eq!(merge, [("s", 2), ("a", 1), ("b", 1)]);
//! # Ok::<(), proact_schedule::scenario::ScenarioError>(())
//! ```

mod check;
pub mod chrome;
pub mod compare;
mod device;
pub mod embedded;
mod error;
mod format;
mod graph;
mod queue_report;
mod queues;
mod report;
mod run;
mod scale;
#[cfg(test)]
mod tests;

pub use error::{Rule, ScenarioError};
pub use format::{
    Annotation, Buffer, Depth, File, IterationDep, Lane, Memory, Operation, Semaphore, State, VERSION, Values,
};
pub use graph::{Class, Edge, Graph, Node, Timeline};
pub use queue_report::{QueueOperationReport, QueueReport, WaitReport};
pub use queues::QueueRun;
pub use report::{LaneReport, MemoryReport, OperationReport, Report};
pub use run::{Interval, Run};
pub use scale::Scale;

use serde::Deserialize;

/// The most operations of one run, in all copies together.
pub const OPERATIONS_MAX: usize = 1_000_000;
/// The most lanes of a class.
pub const LANES_MAX: usize = 65536;
/// The longest duration of an operation, in ticks. All of a run together stay exact in any JSON reader.
pub const DURATION_MAX: u64 = 1 << 32;
/// The largest value of a semaphore in a file.
pub const VALUE_MAX: u64 = 1 << 32;

/// A scenario that keeps to all rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    name: String,
    file: File,
}

impl Scenario {
    /// Reads a scenario from the JSON text of a file. `name` is how errors call the file.
    ///
    /// # Errors
    /// What is wrong first, with the file, the operation and the rule.
    ///
    /// ```
    /// use proact_schedule::scenario::Scenario;
    /// let text = r#"{ "version": 1, "id": "stuck", "title": "Stuck", "text": "Nobody signals what it waits for.",
    ///     "lanes": [{ "id": "gpu", "title": "GPU" }], "semaphores": [{ "id": "q", "title": "Queue" }],
    ///     "operations": [{ "id": "run", "title": "Run", "lane": "gpu", "duration": 1, "waits": { "q": 1 } }] }"#;
    /// let error = Scenario::parse("stuck.json", text).unwrap_err();
    /// assert_eq!(error.to_string(), "stuck.json: operation run: waits for q to reach 1, and nobody signals q");
    /// ```
    pub fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let refuse = |operation, rule| ScenarioError { file: name.to_owned(), operation, rule };
        let syntax = |error: serde_json::Error| refuse(None, Rule::Syntax(error.to_string()));
        // First the version alone: in another version, other fields may be right.
        let Version { version } = serde_json::from_str(text).map_err(syntax)?;
        if version != u64::from(VERSION) {
            return Err(refuse(None, Rule::Version(version)));
        }
        let scenario = Scenario { name: name.to_owned(), file: serde_json::from_str(text).map_err(syntax)? };
        let file = &scenario.file;
        check::file(file).map_err(|(operation, rule)| refuse(operation, rule))?;
        let graph = scenario.graph(Scale::default())?;
        check::buffers(file, &graph).map_err(|(operation, rule)| refuse(operation, rule))?;
        check::annotations(file, &Run::of(&graph)).map_err(|(operation, rule)| refuse(operation, rule))?;
        if file.depth.is_some() {
            // What the chain breaks shows between the first iteration and the second.
            scenario.graph(Scale { depth: 2, ..Scale::default() })?;
        }
        Ok(scenario)
    }

    /// What stands in the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether the number of lanes can be chosen.
    pub fn has_lanes(&self) -> bool {
        self.file.lanes.iter().any(|lane| lane.scalable)
    }

    /// Whether there can be more than one iteration.
    pub fn has_depth(&self) -> bool {
        self.file.depth.is_some()
    }

    /// The scenario in a size, ready to run. Sizes of buffers are not looked at: copies may share them or not.
    ///
    /// # Errors
    /// [`Rule::NoDepth`], [`Rule::NoLanes`], [`Rule::TooLarge`] and [`Rule::Bounds`] where there is no such size;
    /// [`Rule::Frontier`] where that puts more into one operation's past than a frontier holds.
    pub fn graph(&self, scale: Scale) -> Result<Graph, ScenarioError> {
        scale::graph(&self.file, scale).map_err(|(node, rule)| {
            let per_copy = self.file.operations.len();
            let operation = node.map(|node| self.file.operations[node % per_copy].id.clone());
            ScenarioError { file: self.name.clone(), operation, rule }
        })
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

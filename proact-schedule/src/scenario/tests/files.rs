//! The files that come with the library, in every size.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_file_is_there_by_the_id_that_stands_in_it() {
    for (id, scenario) in embedded::ids().zip(embedded::all()) {
        assert_eq!(scenario.file().id, id);
        assert_eq!(embedded::find(id).as_ref(), Some(&scenario));
        if let Some(alias) = &scenario.file().alias {
            assert_eq!(embedded::find(&alias.to_lowercase()).as_ref(), Some(&scenario));
        }
        assert_eq!(scenario.file().schema.as_deref(), Some("scenario.schema.json"));
        assert!(!scenario.file().annotations.is_empty(), "{id}: nothing to notice");
    }
    let mut names: Vec<String> = embedded::ids().map(String::from).collect();
    names.extend(embedded::all().filter_map(|scenario| scenario.file().alias.clone()));
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two of one name: {names:?}");
}

#[test]
fn no_file_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name != "scenario.schema.json")
        .collect();
    there.sort();
    let mut known: Vec<String> = embedded::ids().map(|id| format!("{id}.json")).collect();
    known.sort();
    assert_eq!(there, known);
}

#[test]
fn a_file_that_is_written_back_means_the_same() {
    for scenario in embedded::all() {
        let text = serde_json::to_string(scenario.file()).unwrap();
        assert_eq!(Scenario::parse(&scenario.name, &text).as_ref(), Ok(&scenario));
    }
}

/// `PROACT_WRITE_SCHEMA=1 cargo test -p proact-schedule schema` writes it anew.
#[test]
fn the_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/scenario.schema.json");
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".into(), "A scenario of proact".into());
    schema.insert("$comment".into(), "Written by a test of proact-schedule from scenario/format.rs".into());
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("PROACT_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &text).expect("the schema is written");
    }
    let there = std::fs::read_to_string(&path).expect("the schema is there");
    assert!(there == text, "{} is not what the types say: see this test", path.display());
}

#[test]
fn along_every_wait_the_later_frontier_dominates_the_earlier_in_every_size() {
    for scenario in embedded::all() {
        for scale in sizes(&scenario) {
            let graph = scenario.graph(scale).unwrap();
            let run = Run::of(&graph);
            for edge in graph.edges() {
                let [from, to] = [edge.from, edge.to].map(|node| &run.frontiers()[node]);
                let name = &graph.nodes()[edge.to].name;
                assert!(to.dominates(from), "{} {scale:?}: {name}: {to:?} lacks {from:?}", scenario.name);
                assert!(span(&run, edge.from).1 <= span(&run, edge.to).0, "{} {scale:?}: {name}", scenario.name);
            }
        }
    }
}

#[test]
fn the_number_of_lanes_changes_no_frontier() {
    for scenario in embedded::all().filter(Scenario::has_lanes) {
        let mut seen: BTreeMap<(usize, usize), Vec<proact::causal::Frontier>> = BTreeMap::new();
        for scale in sizes(&scenario) {
            let graph = scenario.graph(scale).unwrap();
            let run = Run::of(&graph);
            let first = seen.entry((scale.width, scale.depth)).or_insert_with(|| run.frontiers().to_vec());
            assert_eq!(first, run.frontiers(), "{} {scale:?}", scenario.name);
        }
    }
}

#[test]
fn what_is_kept_fits_on_any_number_of_lanes() {
    let mut looked_at = 0;
    for scenario in embedded::all().filter(|scenario| !scenario.file().memories.is_empty()) {
        for scale in sizes(&scenario).into_iter().filter(|scale| (scale.width, scale.depth) == (1, 1)) {
            let graph = scenario.graph(scale).unwrap();
            for memory in Report::of(&scenario, scale, &Run::of(&graph)).memories {
                assert!(memory.peak_bytes <= memory.bytes, "{} {scale:?}: {memory:?}", scenario.name);
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 10, "{looked_at}");
    let picture = embedded::find("B2").expect("it is there");
    let graph = picture.graph(Scale::default()).unwrap();
    let report = Report::of(&picture, Scale::default(), &Run::of(&graph));
    // 18.5 GB with the speech model, less its 4, and 6 for the picture.
    assert_eq!(report.memories[0].peak_bytes, 20_500_000_000);
}

#[test]
fn no_lane_runs_two_at_once_and_none_is_idle_while_something_is_ready() {
    for scenario in embedded::all() {
        for scale in sizes(&scenario) {
            let graph = scenario.graph(scale).unwrap();
            greedy(&Run::of(&graph));
        }
    }
}

/// Greedy list scheduling, said of its outcome.
pub(super) fn greedy(run: &Run<'_>) {
    let graph = run.graph();
    for (class, lanes) in graph.classes().iter().enumerate() {
        let of_class: Vec<usize> = (0..graph.nodes().len()).filter(|&n| graph.nodes()[n].class == class).collect();
        for &node in &of_class {
            let this = run.intervals()[node];
            assert_eq!(this.end - this.start, graph.nodes()[node].duration);
            assert!(this.lane < lanes.count);
            for &other in &of_class {
                let that = run.intervals()[other];
                let apart = this.end <= that.start || that.end <= this.start;
                assert!(node == other || this.lane != that.lane || apart, "{node} and {other} share a lane");
                // Who waits for a lane sees all of them taken, and nobody behind it in the file start before it.
                let overtaken = that.start >= this.ready && that.start < this.start && other > node;
                assert!(!overtaken, "{other} overtook {node}");
            }
            for tick in [this.ready, this.start.saturating_sub(1)] {
                if (this.ready..this.start).contains(&tick) {
                    let running = of_class.iter().map(|&other| run.intervals()[other]);
                    let busy = running.filter(|other| (other.start..other.end).contains(&tick)).count();
                    assert_eq!(busy, lanes.count, "a lane is idle at {tick} and {node} is ready");
                }
            }
        }
    }
}

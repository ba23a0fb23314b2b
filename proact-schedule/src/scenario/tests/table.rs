//! The fourteen scenarios that were given, row by row: intervals, frontiers, makespans and derived figures.

use super::*;
use std::collections::BTreeMap;

/// One block a scenario; its rows are: name, lane, duration, waits, signals, start and end, frontier.
const TABLES: &str = include_str!("tables.txt");

type Derived = (&'static str, [u64; 6], Option<[u64; 4]>);

/// Scenario; operations, edges, work, critical path, makespan, most entries; makespans on 1 to 4 lanes.
#[rustfmt::skip]
const DERIVED: [Derived; 14] = [
    ("sequential", [3, 2, 6, 6, 6, 1], None),
    ("cross-queue", [4, 3, 11, 9, 9, 2], Some([11, 9, 9, 9])),
    ("fork-join", [4, 4, 11, 8, 8, 3], Some([11, 8, 8, 8])),
    ("independent", [4, 2, 8, 4, 8, 1], Some([8, 4, 4, 4])),
    ("pipeline", [6, 7, 15, 11, 11, 2], None),
    ("late-waiter", [5, 4, 16, 10, 10, 2], Some([16, 10, 10, 10])),
    ("multi-domain", [8, 8, 19, 12, 12, 3], None),
    ("spec-decode", [6, 6, 13, 11, 11, 3], None),
    ("kv-paging", [7, 7, 14, 14, 14, 3], Some([14, 14, 14, 14])),
    ("multi-modal", [7, 6, 13, 9, 9, 4], None),
    ("voice-chat", [6, 4, 14, 10, 10, 4], None),
    ("rag-pipeline", [5, 4, 10, 10, 10, 5], None),
    ("multi-model", [9, 10, 16, 11, 12, 9], Some([15, 12, 12, 12])),
    ("streaming-translation", [6, 5, 11, 11, 11, 6], Some([11, 11, 11, 11])),
];

fn pairs(text: &str, cut: impl Fn(&str) -> (String, u64)) -> BTreeMap<String, u64> {
    text.split([',', '+']).filter(|part| *part != "-").map(cut).collect()
}

/// `A12` in a column of waits or signals.
fn value(text: &str) -> (String, u64) {
    let at = text.find(|c: char| c.is_ascii_digit()).expect("a value");
    (text[..at].into(), text[at..].parse().expect("a number"))
}

/// `A:12` in a frontier.
fn entry(text: &str) -> (String, u64) {
    let (name, value) = text.split_once(':').expect("an entry");
    (name.into(), value.parse().expect("a number"))
}

#[test]
fn every_row_of_the_given_tables_is_what_runs() {
    let blocks: Vec<&str> = TABLES.trim().split("\n\n").collect();
    assert_eq!(blocks.len(), 14);
    let mut rows = 0;
    for (block, id) in blocks.iter().zip(embedded::ids()) {
        let mut lines = block.lines();
        assert_eq!(lines.next(), Some(format!("# {id}").as_str()));
        let scenario = embedded::find(id).expect("it is there");
        let graph = scenario.graph(Scale::default()).unwrap();
        let run = Run::of(&graph);
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), graph.nodes().len(), "{id}");
        for (index, line) in lines.iter().enumerate() {
            rows += 1;
            let [title, lane, duration, waits, signals, interval, frontier] =
                line.split(" | ").collect::<Vec<_>>().try_into().expect("seven columns");
            let (node, operation) = (&graph.nodes()[index], &scenario.file().operations[index]);
            assert_eq!(node.title, title, "{id}");
            assert_eq!(graph.classes()[node.class].title, lane, "{id}: {title}");
            assert_eq!(node.duration.to_string(), duration, "{id}: {title}");
            assert_eq!(operation.waits, pairs(waits, value), "{id}: {title}");
            assert_eq!(operation.signals, pairs(signals, value), "{id}: {title}");
            let (start, end) = span(&run, index);
            assert_eq!(format!("{start},{end}"), interval, "{id}: {title}");
            let known: BTreeMap<String, u64> =
                run.frontier_by_name(index).map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(known, pairs(frontier, entry), "{id}: {title}");
        }
    }
    assert_eq!(rows, 80);
}

#[test]
fn derived_figures_are_the_given_ones() {
    for (id, figures, lanes) in DERIVED {
        let scenario = embedded::find(id).expect("it is there");
        let graph = scenario.graph(Scale::default()).unwrap();
        let run = Run::of(&graph);
        let [operations, edges] = [graph.nodes().len(), graph.edges().len()].map(|count| count as u64);
        let entries = run.entries_max() as u64;
        let found = [operations, edges, graph.work(), graph.critical_path(), run.makespan(), entries];
        assert_eq!(found, figures, "{id}");
        assert_eq!(scenario.has_lanes(), lanes.is_some(), "{id}");
        for (count, makespan) in (1..).zip(lanes.into_iter().flatten()) {
            let graph = scenario.graph(Scale { lanes: Some(count), ..Scale::default() }).unwrap();
            assert_eq!(Run::of(&graph).makespan(), makespan, "{id} on {count} lanes");
        }
    }
}

#[test]
fn iterations_are_chained_where_the_table_says_so() {
    let chained: Vec<(String, String)> = embedded::all()
        .take(14)
        .filter_map(|scenario| {
            let file = scenario.file();
            file.depth.as_ref().map(|depth| (file.id.clone(), depth.chain_through.clone()))
        })
        .collect();
    let expected = [
        ("sequential", "q"),
        ("fork-join", "s"),
        ("pipeline", "C"),
        ("multi-domain", "B"),
        ("spec-decode", "K"),
        ("multi-modal", "F"),
        ("rag-pipeline", "G"),
        ("streaming-translation", "S"),
    ];
    assert_eq!(chained, expected.map(|(id, through)| (id.to_owned(), through.to_owned())));
    let streaming = embedded::find("streaming-translation").expect("it is there");
    let skips: Vec<_> = streaming.file().depth.iter().flat_map(|depth| &depth.iteration_deps).collect();
    assert_eq!(skips.len(), 2);
    assert_eq!((skips[0].operation.as_str(), skips[0].semaphore.as_str()), ("decode", "S"));
    assert_eq!((skips[1].operation.as_str(), skips[1].semaphore.as_str()), ("synthesize", "T"));
}

#[test]
fn a_streamed_chunk_starts_five_ticks_after_the_one_before_or_as_soon_as_the_processor_is_free() {
    let scenario = embedded::find("streaming-translation").expect("it is there");
    let graph = scenario.graph(Scale { depth: 8, lanes: Some(4), ..Scale::default() }).unwrap();
    let run = Run::of(&graph);
    let starts: Vec<u64> =
        graph.nodes().iter().enumerate().filter(|(_, node)| node.base == 0).map(|(n, _)| span(&run, n).0).collect();
    // Playback of a chunk takes the one processor for a tick, in which every second chunk would start.
    assert_eq!(starts, [0, 5, 11, 16, 22, 27, 33, 38]);
}

#[test]
fn the_longest_run_of_all_sizes_is_the_given_one() {
    let mut longest = (0, "");
    for id in embedded::ids().take(14) {
        let scenario = embedded::find(id).expect("it is there");
        for scale in sizes(&scenario) {
            let graph = scenario.graph(scale).unwrap();
            longest = longest.max((Run::of(&graph).makespan(), id));
        }
    }
    assert_eq!(longest, (352, "fork-join"));
}

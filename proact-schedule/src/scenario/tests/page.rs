//! The page of deployment scenarios has the figures that its files give.

use super::*;
use crate::{Policy, scenario::QueueRun};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "<!-- figures -->";
const FOOT: &str = "<!-- /figures -->";

fn time(ticks: u64, tick_ns: u64) -> String {
    let seconds = ticks as f64 * tick_ns as f64 / 1e9;
    if seconds >= 1.0 { format!("{seconds:.3} s") } else { format!("{:.2} ms", seconds * 1e3) }
}

fn gigabytes(bytes: u64) -> String {
    format!("{} GB", bytes as f64 / 1e9)
}

/// A row of either table: what was run, and what came of it.
fn row(scenario: &Scenario, name: &str, scale: Scale) -> String {
    let graph = scenario.graph(scale).unwrap();
    let run = Run::of(&graph);
    let report = Report::of(scenario, scale, &run);
    let tick_ns = scenario.file().tick_ns.expect("a deployment says how long a tick is");
    let busiest = report.lanes.iter().reduce(|a, b| if b.utilization > a.utilization { b } else { a });
    let busiest = busiest.map(|lane| format!("{}, {:.0} %", lane.title, lane.utilization * 100.0)).unwrap_or_default();
    let memories: Vec<String> = report
        .memories
        .iter()
        .map(|memory| format!("{} of {}", gigabytes(memory.peak_bytes), gigabytes(memory.bytes)))
        .collect();
    let memories = if memories.is_empty() { String::from("-") } else { memories.join("; ") };
    let policies = [Policy::Timelines, Policy::Frontiers];
    let issued = policies.map(|policy| QueueRun::of(&run, policy).unwrap().statistics.waits.issued().to_string());
    format!(
        "| {name} | {} | {} | {} | {} | {busiest} | {memories} | {} | {} |\n",
        report.operations.len(),
        report.edges,
        time(report.makespan, tick_ns),
        time(report.critical_path, tick_ns),
        report.entries_max,
        issued.join(", "),
    )
}

fn tables() -> String {
    let head = |what: &str| {
        format!(
            "| {what} | operations | waits | takes | longest way | busiest | memory at most | entries | issued |\n\
             |---|---:|---:|---:|---:|---|---|---:|---:|\n"
        )
    };
    let mut text = String::new();
    let _ = write!(text, "\n{}", head("scenario"));
    for scenario in embedded::all().skip(14) {
        let alias = scenario.file().alias.as_deref().expect("a deployment has an alias");
        text += &row(&scenario, &format!("{alias} `{}`", scenario.file().id), Scale::default());
    }
    let _ = write!(text, "\n{}", head("in another size"));
    for (id, width, depth, lanes) in [
        ("laptop", 1, 3, None),
        ("workstation", 1, 1, Some(1)),
        ("workstation", 1, 1, Some(4)),
        ("workstation-kv-paging", 1, 1, Some(2)),
        ("workstation-lora", 1, 100, None),
        ("workstation-translation", 1, 8, None),
        ("workstation-translation", 1, 8, Some(1)),
        ("datacentre-gap-filling", 1, 30, None),
        ("datacentre-two-nodes", 2, 1, None),
        ("datacentre-request", 4, 1, None),
    ] {
        let scenario = embedded::find(id).expect("it is there");
        let mut name = format!("`{id}");
        for (option, number) in [("width", Some(width)), ("depth", Some(depth)), ("lanes", lanes)] {
            if let Some(number) = number.filter(|&number| option == "lanes" || number > 1) {
                let _ = write!(name, " --{option} {number}");
            }
        }
        text += &row(&scenario, &format!("{name}`"), Scale { width, depth, lanes });
    }
    text + "\n"
}

/// `PROACT_WRITE_PAGE=1 cargo test -p proact-schedule page` writes them anew.
#[test]
fn the_page_of_deployments_has_the_figures_of_its_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let head = page.find(HEAD).expect("the place of the tables") + HEAD.len() + 1;
    let foot = page.find(FOOT).expect("the end of the tables");
    let tables = tables();
    if std::env::var_os("PROACT_WRITE_PAGE").is_some() {
        std::fs::write(&path, format!("{}{tables}{}", &page[..head], &page[foot..])).expect("the page is written");
    } else {
        assert!(page[head..foot] == tables, "{} has other figures: see this test", path.display());
    }
}

//! `proact simulate`, as its users meet it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proact")).arg("simulate").args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

/// The object on the last line.
fn answer(output: &Output) -> Value {
    let last = text(&output.stdout).lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{last:?}: {error}; {}", text(&output.stderr)))
}

fn ran(arguments: &[&str]) -> Value {
    let output = simulate(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    answer(&output)
}

/// A folder of this test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("proact-simulate-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

#[test]
fn the_answer_has_makespan_intervals_and_frontiers() {
    let answer = ran(&["fork-join", "--json"]);
    assert_eq!((&answer["outcome"], &answer["scenario"]), (&"ok".into(), &"fork-join".into()));
    assert_eq!((&answer["makespan"], &answer["critical_path"], &answer["edges"]), (&8.into(), &8.into(), &4.into()));
    let merge = &answer["operations"][3];
    assert_eq!((&merge["id"], &merge["lane"]), (&"merge".into(), &"gpu".into()));
    assert_eq!(merge["interval"], serde_json::json!([6, 8]));
    assert_eq!(merge["frontier"], serde_json::json!({ "s": 2, "a": 1, "b": 1 }));
}

#[test]
fn every_scenario_that_is_listed_runs() {
    let listed = ran(&["--list", "--json"]);
    let scenarios = listed["scenarios"].as_array().expect("a list");
    assert!(scenarios.len() >= 14);
    for scenario in scenarios {
        let id = scenario["id"].as_str().expect("an id");
        let answer = ran(&[id, "--json"]);
        assert!(answer["makespan"].as_u64() >= answer["critical_path"].as_u64(), "{id}");
        let operations = answer["operations"].as_array().map(Vec::len);
        assert_eq!(operations.map(Value::from).as_ref(), Some(&scenario["operations"]), "{id}");
    }
    let output = simulate(&["--list"]);
    assert_eq!(text(&output.stdout).lines().count(), scenarios.len());
}

#[test]
fn width_depth_and_lanes_change_the_run() {
    assert_eq!(ran(&["fork-join", "--lanes", "1", "--json"])["makespan"], 11);
    let answer = ran(&["fork-join", "--width", "4", "--depth", "8", "--lanes", "1", "--json"]);
    assert_eq!(answer["makespan"], 352);
    assert_eq!(answer["operations"].as_array().map(Vec::len), Some(4 * 4 * 8));
    assert_eq!(answer["operations"][127]["id"], "merge@4.8");
}

#[test]
fn on_queues_it_is_said_how_each_wait_was_resolved_and_the_run_is_the_same() {
    let answer = ran(&["kv-paging", "--queues", "--json"]);
    let on_queues = &answer["on_queues"];
    assert_eq!(on_queues["makespan"], answer["makespan"]);
    assert_eq!(on_queues["queues"], serde_json::json!(["gpu", "nvme"]));
    assert_eq!((&on_queues["elided"], &on_queues["issued"]), (&3.into(), &4.into()));
    let load = &on_queues["operations"][5];
    // The page was evicted on the same queue; only the other request is news.
    let waits = serde_json::json!([
        { "semaphore": "B", "value": 2, "tier": "producer" },
        { "semaphore": "P", "value": 1, "tier": "same-queue" },
    ]);
    assert_eq!((&load["id"], &load["waits"]), (&"load".into(), &waits));
    assert_eq!(load["frontier"], serde_json::json!({ "gpu": 4, "nvme": 2 }));
    let output = simulate(&["kv-paging", "--queues"]);
    assert!(text(&output.stdout).contains("  load       gpu:4 nvme:2  B:2 producer, P:1 same-queue\n"), "{output:?}");
    assert!(ran(&["kv-paging", "--json"])["on_queues"].is_null());
}

#[test]
fn a_terminal_gets_the_timeline_and_the_table() {
    let output = simulate(&["late-waiter"]);
    assert_eq!(output.status.code(), Some(0));
    for part in ["GPU 1", "[Slow Setup--", "LateJoin", "s:1 g:2", "makespan       10 ticks"] {
        assert!(text(&output.stdout).contains(part), "{part:?} is missing in:\n{}", text(&output.stdout));
    }
}

#[test]
fn a_file_of_ones_own_runs_and_a_wrong_one_is_told_with_file_operation_and_rule() {
    let folder = scratch("own");
    let path = folder.join("mine.json");
    let mine = r#"{ "version": 1, "id": "mine", "title": "Mine", "text": "One.", "lanes": [{ "id": "a", "title": "A" }],
        "semaphores": [], "operations": [{ "id": "one", "title": "One", "lane": "a", "duration": 7 }] }"#;
    fs::write(&path, mine).expect("a file");
    let named = path.to_str().expect("a name");
    assert_eq!(ran(&[named, "--json"])["makespan"], 7);

    fs::write(&path, mine.replace("\"lane\": \"a\"", "\"lane\": \"b\"")).expect("a file");
    let output = simulate(&[named]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), format!("proact: {named}: operation one: there is no lane b\n"));
    assert!(output.stdout.is_empty());

    let output = simulate(&[folder.join("none.json").to_str().expect("a name"), "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let answer = answer(&output);
    assert_eq!((&answer["outcome"], &answer["exit_code"]), (&"failed".into(), &3.into()));
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("none.json")), "{answer}");
    fs::remove_dir_all(folder).expect("the scratch folder goes");
}

#[test]
fn what_there_is_not_is_a_usage_error_that_says_what_there_is() {
    for (arguments, said) in [
        (&["fork-joint"][..], "there is no scenario \"fork-joint\"; there are sequential, cross-queue"),
        (&["voice-chat", "--depth", "2"], "--depth 2: voice-chat.json: has one iteration only"),
        (&["voice-chat", "--lanes", "2"], "--lanes 2: voice-chat.json: none of its lanes is scalable"),
        (&["sequential", "--width", "1000000"], "3000000 operations are more than 1000000"),
        (&["sequential", "--lanes", "0"], "--lanes"),
        (&["sequential", "--list"], "--list"),
        (&[], "SCENARIO"),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.starts_with("proact: ") && told.contains(said), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_trace_has_a_slice_for_each_operation_and_an_arrow_for_each_wait() {
    let folder = scratch("trace");
    let path = folder.join("run.json");
    ran(&["multi-domain", "--trace", path.to_str().expect("a name"), "--json"]);
    let trace: Value = serde_json::from_slice(&fs::read(&path).expect("a trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    let (slices, starts, ends) = (of("X"), of("s"), of("f"));
    assert_eq!((slices.len(), starts.len(), ends.len()), (8, 8, 8));
    let reduce = slices.iter().find(|slice| slice["name"] == "B:Reduce").expect("the slice");
    assert_eq!((&reduce["ts"], &reduce["dur"]), (&9000.0.into(), &2000.0.into()));
    assert_eq!(reduce["args"]["frontier"], serde_json::json!({ "A": 2, "B": 3, "R": 2 }));
    // Every arrow starts within a slice of its thread, and ends where one begins.
    for (start, end) in starts.iter().zip(&ends) {
        let within = |event: &Value, slice: &Value| {
            let [at, from, long] = [&event["ts"], &slice["ts"], &slice["dur"]].map(|n| n.as_f64().expect("a number"));
            event["tid"] == slice["tid"] && from <= at && at < from + long
        };
        assert!(slices.iter().any(|slice| within(start, slice)), "{start}");
        assert!(slices.iter().any(|slice| within(end, slice) && end["ts"] == slice["ts"]), "{end}");
        assert_eq!((&start["id"], &start["name"]), (&end["id"], &end["name"]));
    }
    let lanes: Vec<&str> =
        of("M").iter().filter(|e| e["name"] == "thread_name").filter_map(|e| e["args"]["name"].as_str()).collect();
    assert_eq!(lanes, ["CPU", "GPU 0 (local)", "GPU 1 (remote)", "NIC"]);

    let output = simulate(&["multi-domain", "--trace", folder.join("no/such/run.json").to_str().expect("a name")]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no/such/run.json"), "{}", text(&output.stderr));
    fs::remove_dir_all(folder).expect("the scratch folder goes");
}

//! Every rule of a file, broken once.

use super::*;

const HEAD: &str = r#""version": 1, "id": "x", "title": "X", "text": "t""#;
const LANES: &str = r#""lanes": [{ "id": "gpu", "title": "GPU" }]"#;
const SEMAPHORES: &str = r#""semaphores": [{ "id": "A", "title": "A" }, { "id": "B", "title": "B" }]"#;

/// The error's text for a file with these operations, and more members behind them.
fn refused(operations: &str, more: &str) -> String {
    let text = format!("{{ {HEAD}, {LANES}, {SEMAPHORES}, \"operations\": [{operations}] {more} }}");
    refused_text(&text)
}

fn refused_text(text: &str) -> String {
    match Scenario::parse("x.json", text) {
        Ok(_) => panic!("this was taken: {text}"),
        Err(error) => error.to_string(),
    }
}

/// An operation of one tick on the lane that is there.
fn op(id: &str, waits: &str, signals: &str) -> String {
    format!(
        r#"{{ "id": "{id}", "title": "{id}", "lane": "gpu", "duration": 1, "waits": {{ {waits} }},
              "signals": {{ {signals} }} }}"#
    )
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    assert_eq!(refused_text("{"), "x.json: EOF while parsing an object at line 1 column 1");
    let unknown = refused_text(r#"{ "version": 1, "colour": 3 }"#);
    assert!(unknown.starts_with("x.json: unknown field `colour`, expected one of"), "{unknown}");
}

#[test]
fn another_version_is_told_before_anything_else_in_the_file() {
    let told = refused_text(r#"{ "version": 2, "colour": 3 }"#);
    assert_eq!(told, "x.json: version 2 of the format is not known; this program reads version 1");
}

#[test]
fn names_that_stand_for_nothing_are_told_with_their_operation() {
    let lane = op("a", "", "").replace("gpu", "npu");
    assert_eq!(refused(&lane, ""), "x.json: operation a: there is no lane npu");
    assert_eq!(refused(&op("a", r#""C": 1"#, ""), ""), "x.json: operation a: there is no semaphore C");
    assert_eq!(refused(&op("a", "", r#""C": 1"#), ""), "x.json: operation a: there is no semaphore C");
    let takes = op("a", "", "").replace("\"waits\"", "\"takes\": [\"kv\"], \"waits\"");
    assert_eq!(refused(&takes, ""), "x.json: operation a: there is no buffer kv");
    let buffer = r#", "buffers": [{ "id": "kv", "memory": "hbm", "bytes": 1 }]"#;
    assert_eq!(refused(&op("a", "", ""), buffer), "x.json: there is no memory hbm");
}

#[test]
fn nothing_in_a_file_speaks_to_a_terminal() {
    let operation = op("a", "", "").replace("\"title\": \"a\"", "\"title\": \"\\u001b[31mred\"");
    assert_eq!(refused(&operation, ""), "x.json: a title has a control character, such as the end of a line");
    let unknown = op("a", "", "").replace("\"gpu\"", "\"\\u001b[31mgpu\"");
    assert_eq!(refused(&unknown, ""), "x.json: operation a: there is no lane  [31mgpu");
}

#[test]
fn ids_are_unique_and_well_formed() {
    let twice = format!("{}, {}", op("a", "", ""), op("a", "", ""));
    assert_eq!(refused(&twice, ""), "x.json: there are two of the operation a");
    assert!(refused(&op("a b", "", ""), "").starts_with("x.json: \"a b\" is no id"));
    assert_eq!(refused("", ""), "x.json: there must be at least one operation");
    let lanes = format!(r#"{{ {HEAD}, "lanes": [], {SEMAPHORES}, "operations": [] }}"#);
    assert_eq!(refused_text(&lanes), "x.json: there must be at least one lane");
}

#[test]
fn a_wait_that_nobody_signals_is_refused() {
    let told = refused(&op("a", r#""A": 1"#, ""), "");
    assert_eq!(told, "x.json: operation a: waits for A to reach 1, and nobody signals A");
    let told = refused(&format!("{}, {}", op("a", "", r#""A": 2"#), op("b", r#""A": 3"#, "")), "");
    assert_eq!(told, "x.json: operation b: waits for A to reach 3, and nobody signals more than 2");
}

#[test]
fn a_semaphore_named_twice_in_one_map_is_refused_and_not_the_last_taken() {
    let told = refused(&op("a", "", r#""A": 1, "A": 2"#), "");
    assert!(told.starts_with("x.json: A is named twice, with 1 and 2 at line"), "{told}");
}

#[test]
fn a_value_that_two_signal_is_refused() {
    let told = refused(&format!("{}, {}", op("a", "", r#""A": 1"#), op("b", "", r#""A": 1"#)), "");
    assert_eq!(told, "x.json: operation b: signals 1 of A, and so does a");
}

#[test]
fn a_timeline_that_could_fall_is_refused() {
    let told = refused(&format!("{}, {}", op("a", "", r#""A": 1"#), op("b", "", r#""A": 2"#)), "");
    assert_eq!(
        told,
        "x.json: operation b: signals 2 of A and may run before a, which signals 1: let it wait for A 1, or for what \
         follows that"
    );
    // Through another semaphore is as good as directly.
    let ordered = [op("a", "", r#""A": 1, "B": 1"#), op("b", r#""B": 1"#, r#""A": 2"#)].join(", ");
    let text = format!("{{ {HEAD}, {LANES}, {SEMAPHORES}, \"operations\": [{ordered}] }}");
    assert!(Scenario::parse("x.json", &text).is_ok());
}

#[test]
fn a_circle_is_told_as_the_way_around_it() {
    let circle = [op("a", r#""B": 1"#, r#""A": 1"#), op("b", r#""A": 1"#, r#""B": 1"#), op("c", "", "")].join(", ");
    assert_eq!(refused(&circle, ""), "x.json: operation a: these wait for each other: b -> a -> b");
    let told = refused(&op("a", r#""A": 1"#, r#""A": 1"#), "");
    assert_eq!(told, "x.json: operation a: these wait for each other: a -> a");
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    let long = op("a", "", "").replace("\"duration\": 1", "\"duration\": 0");
    assert_eq!(refused(&long, ""), "x.json: operation a: a duration of 0 ticks: 1 to 4294967296");
    let told = refused(&op("a", "", r#""A": 0"#), "");
    assert_eq!(told, "x.json: operation a: value 0 of A: 1 to 4294967296");
    let none = op("a", "", "").replace("\"duration\": 1, ", "");
    assert_eq!(refused(&none, ""), "x.json: operation a: has neither a duration nor bytes");
    let both = op("a", "", "").replace("\"duration\": 1", "\"duration\": 1, \"bytes\": 1");
    assert!(refused(&both, "").contains("has a duration and bytes"));
    let rate = op("a", "", "").replace("\"duration\": 1", "\"bytes\": 1");
    assert_eq!(refused(&rate, ""), "x.json: operation a: has bytes, and its lane has no bytes_per_tick");
    let lanes = format!(
        r#"{{ {HEAD}, "lanes": [{{ "id": "g", "title": "G", "count": 0 }}], "semaphores": [], "operations": [{}] }}"#,
        op("a", "", "")
    );
    assert_eq!(refused_text(&lanes), "x.json: lane g: count 0: 1 to 65536");
}

#[test]
fn a_chain_through_what_is_not_signalled_is_refused() {
    let told = refused(&op("a", "", r#""A": 1"#), r#", "depth": { "chain_through": "B" }"#);
    assert_eq!(told, "x.json: iterations are chained through B, which nobody signals");
    let told = refused(
        &op("a", "", r#""A": 1"#),
        r#", "depth": { "chain_through": "A", "iteration_deps": [{ "operation": "a", "semaphore": "B" }] }"#,
    );
    assert_eq!(told, "x.json: operation a: waits for its iteration before through B, and does not signal it");
}

#[test]
fn a_timeline_that_could_fall_between_iterations_is_refused() {
    // B is shared by the iterations, since b depends on the one before through it; but nobody holds back c.
    let operations = [op("a", "", r#""A": 1"#), op("c", r#""A": 1"#, r#""B": 1"#), op("b", r#""B": 1"#, r#""B": 2"#)];
    let told = refused(
        &operations.join(", "),
        r#", "depth": { "chain_through": "A", "iteration_deps": [{ "operation": "b", "semaphore": "B" }] }"#,
    );
    assert!(told.starts_with("x.json: operation c: signals 3 of B and may run before b.1, which signals 2"), "{told}");
}

#[test]
fn annotations_are_checked() {
    let operations = [op("a", "", r#""A": 1"#), op("b", r#""A": 1"#, r#""B": 1"#)].join(", ");
    let with = |claim: &str| {
        let more = format!(r#", "annotations": [{{ "tick": 1, "operation": "b", "text": "t", {claim} }}]"#);
        refused(&operations, &more)
    };
    let head = "x.json: operation b: annotation 0 is wrong: ";
    assert_eq!(with(r#""state": "ready""#), format!("{head}at tick 1 it is running, not ready"));
    assert_eq!(
        with(r#""frontier": { "B": 1 }"#),
        format!("{head}its frontier is {{\"A\": 1, \"B\": 1}}, not {{\"B\": 1}}")
    );
    assert_eq!(with(r#""knows": ["b"]"#), format!("{head}it does not know of b"));
    assert_eq!(with(r#""knows_not": ["a"]"#), format!("{head}it knows of a"));
    let late = r#", "annotations": [{ "tick": 3, "operation": "b", "text": "t" }]"#;
    assert_eq!(refused(&operations, late), format!("{head}the run ends at 2, before tick 3"));
}

#[test]
fn buffers_fit_by_what_is_known_and_not_by_what_happens_to_run_when() {
    let memory = r#", "memories": [{ "id": "hbm", "title": "HBM", "bytes": 10 }],
        "buffers": [{ "id": "old", "memory": "hbm", "bytes": 8 }, { "id": "new", "memory": "hbm", "bytes": 6 }]"#;
    let frees = op("drop", "", r#""A": 1"#).replace("\"waits\"", "\"frees\": [\"old\"], \"waits\"");
    let takes = |waits| op("load", waits, "").replace("\"waits\"", "\"takes\": [\"new\"], \"waits\"");
    // On the one lane `drop` runs first; but nothing says that it must.
    assert_eq!(
        refused(&format!("{frees}, {}", takes("")), memory),
        "x.json: operation load: 14 bytes may be kept in hbm when it starts, and 10 fit: let it wait for more of what \
         frees them"
    );
    let text =
        format!("{{ {HEAD}, {LANES}, {SEMAPHORES}, \"operations\": [{frees}, {}] {memory} }}", takes(r#""A": 1"#));
    assert!(Scenario::parse("x.json", &text).is_ok());
    let small = memory.replace("\"bytes\": 10", "\"bytes\": 7");
    assert_eq!(refused(&frees, &small), "x.json: 14 bytes are in hbm from the start, and 7 fit");
    let twice = op("again", "", "").replace("\"waits\"", "\"frees\": [\"old\"], \"waits\"");
    let told = refused(&format!("{frees}, {twice}"), memory);
    assert_eq!(told, "x.json: operation again: frees old, and so does drop");
}

#[test]
fn sizes_that_a_scenario_does_not_have_are_refused() {
    let voice = embedded::find("voice-chat").expect("it is there");
    let told = |scale| voice.graph(scale).unwrap_err().to_string();
    let depth = told(Scale { depth: 2, ..Scale::default() });
    assert_eq!(depth, "voice-chat.json: has one iteration only: it does not say how iterations are chained");
    let lanes = told(Scale { lanes: Some(2), ..Scale::default() });
    assert_eq!(lanes, "voice-chat.json: none of its lanes is scalable, so that their number is fixed");
    let width = told(Scale { width: 1_000_000, ..Scale::default() });
    assert_eq!(width, "voice-chat.json: 6000000 operations are more than 1000000");
    assert_eq!(told(Scale { width: 0, ..Scale::default() }), "voice-chat.json: a width of 0: at least 1");
}

#[test]
fn a_past_that_no_frontier_holds_is_refused() {
    let rag = embedded::find("rag-pipeline").expect("it is there");
    assert!(rag.graph(Scale { depth: 63, ..Scale::default() }).is_ok());
    let told = rag.graph(Scale { depth: 64, ..Scale::default() }).unwrap_err().to_string();
    let rule = "256 semaphores are in its past, and a frontier holds 255";
    assert_eq!(told, format!("rag-pipeline.json: operation vector-search: {rule}"));
}

//! `proact bench` as scripts meet it.
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// Two short rows, one of them without a backend.
const ROWS: [&str; 2] = ["nop/128", "event-pool/batch/64"];

fn bench(filter: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    command.args(["bench", "--backend", "poll", "--filter", filter]).args(more);
    command.env_remove("PROACT_BACKEND").output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

fn scratch(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("proact-bench-{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("a scratch file");
    path
}

#[test]
fn away_from_a_terminal_a_row_is_one_json_object_on_a_line() {
    for (name, backend) in ROWS.into_iter().zip(["poll", "-"]) {
        let rows = lines(&bench(name, &[]));
        assert_eq!(rows.len(), 1);
        let row = rows[0].as_object().expect("an object");
        assert_eq!((&row["name"], &row["backend"], &row["unit"]), (&name.into(), &backend.into(), &"ns".into()));
        assert!(row["median"].as_f64().is_some_and(|median| median > 0.0), "{row:?}");
        for key in ["p99", "floor", "ratio", "allocations", "enters", "cpu"] {
            assert!(row.contains_key(key), "{key} of {row:?}");
        }
        assert_eq!(row["allocations"], 0.0, "the program counts, and there are none");
    }
}

#[test]
fn a_baseline_adds_how_many_times_as_far_above_the_floor_it_is() {
    let old = r#"{"name":"event-pool/batch/64","backend":"-","unit":"ns","median":1.0,"ratio":0.001}"#;
    let path = scratch("old", &format!("{old}\n"));
    let rows = lines(&bench(ROWS[1], &["--baseline", path.to_str().unwrap()]));
    let change = rows[0]["change"].as_f64().expect("both have floors");
    let ratio = rows[0]["ratio"].as_f64().unwrap();
    assert!((change / (ratio / 0.001) - 1.0).abs() < 0.01, "{change} of {ratio}");
    // What was not there then has nothing to be compared with, and is measured all the same.
    let rows = lines(&bench(ROWS[0], &["--baseline", path.to_str().unwrap()]));
    assert_eq!(rows[0]["change"], Value::Null);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_baseline_that_is_missing_or_foreign_is_refused_before_anything_is_measured() {
    let foreign = scratch("foreign", "not a table\n");
    for path in [foreign.to_str().unwrap(), "/no/such/file"] {
        let output = bench(ROWS[0], &["--baseline", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let told = text(&output.stderr);
        assert!(told.starts_with(&format!("proact: --baseline {path}: ")), "{told}");
    }
    std::fs::remove_file(foreign).unwrap();
}

#[test]
fn masks_are_in_the_names_of_the_rows() {
    let rows = lines(&bench(ROWS[0], &["--mask", "nanosecond_waits"]));
    assert_eq!(rows[0]["backend"], "poll_no_nanosecond_waits");
}

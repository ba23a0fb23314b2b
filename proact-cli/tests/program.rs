//! The programs as their users meet them: standard output, standard error and exit code.

use std::fs;
use std::process::{Command, Output};

fn proact(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proact")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

#[test]
fn help_and_version_go_to_standard_output_with_exit_code_0() {
    for arguments in [&["--help"][..], &["--version"], &["transfer", "--help"], &["help", "receive"]] {
        let output = proact(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(text(&proact(&["--version"]).stdout), concat!("proact ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn usage_errors_go_to_standard_error_under_the_programs_name_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["copy"],
        &["transfer"],
        &["transfer", "x", "--to", "host:1", "--into", "y"],
        &["transfer", "x", "--chunk-size", "1"],
        &["receive", "--into", "x", "--listen", "0.0.0.0:1"],
    ] {
        let output = proact(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("proact: "), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_blocking_opponent_delivers_the_same_bytes_and_reports_each_stage() {
    let scratch = std::env::temp_dir().join(format!("proact-blocking-{}", std::process::id()));
    let into = scratch.join("into");
    fs::create_dir_all(&into).expect("a scratch directory");
    let content: Vec<u8> = (0..100_001u32).map(|index| ((index * 7) >> 3) as u8).collect();
    let source = scratch.join("source.bin");
    fs::write(&source, &content).expect("a source");
    for stage in ["all", "read", "digest", "loopback", "write"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proact-blocking"));
        command.arg("--source").arg(&source).arg("--into").arg(&into).args(["--chunk-size", "16KiB"]);
        if stage != "all" {
            command.args(["--stage", stage]);
        }
        let output = command.output().expect("the opponent starts");
        assert_eq!(output.status.code(), Some(0), "{stage}: {}", text(&output.stderr));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!((&line["stage"], &line["bytes"]), (&stage.into(), &100_001.into()));
        assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{line}");
    }
    assert_eq!(fs::read(into.join("source.bin")).expect("the delivered file"), content);
    let left: Vec<_> =
        fs::read_dir(&into).expect("the directory").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(left, ["source.bin"], "nothing else is left behind");
    fs::remove_dir_all(&scratch).expect("the scratch directory goes");
}

#[test]
#[cfg(target_os = "linux")]
fn the_comparison_runs_both_programs_and_reports_ratios_and_bound() {
    let within = std::env::temp_dir().to_string_lossy().into_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_proact-bench-transfer"))
        .args(["--within", &within, "--size", "1MiB", "--runs", "1", "--chunk-size", "64KiB", "--json"])
        .output()
        .expect("the comparison starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for field in ["time_ratio", "cpu_ratio", "bound_seconds", "fraction_of_bound"] {
        assert!(answer[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {answer}");
    }
    assert_eq!((&answer["chunks"], &answer["bytes"]), (&16.into(), &(1 << 20).into()));
}

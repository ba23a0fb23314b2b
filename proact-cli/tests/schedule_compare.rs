//! `proact schedule-compare`, as its users meet it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn compare(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
    command.arg("schedule-compare").args(["--rounds", "1"]).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the program prints UTF-8")
}

#[test]
fn the_answer_has_all_eight_cases_under_three_policies_and_the_collectives() {
    let output = compare(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let cases = answer["cases"].as_array().expect("cases");
    let numbers: Vec<&str> = cases.iter().filter_map(|case| case["number"].as_str()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7a", "7b", "8"]);
    for case in cases {
        let policies = case["policies"].as_array().expect("policies");
        let names: Vec<&str> = policies.iter().filter_map(|policy| policy["policy"].as_str()).collect();
        assert_eq!(names, ["events", "timelines", "frontiers"]);
        for policy in policies {
            assert_eq!(policy["submissions"], policies[0]["submissions"], "{case}");
            assert!(policy["scheduling_ns"].as_f64().is_some_and(|ns| ns > 0.0), "{policy}");
        }
    }
    let collectives = answer["collectives"].as_array().expect("collectives");
    let entries = |members: u64, channel: bool| {
        let mut found = collectives.iter().filter(|c| c["members"] == members && c["channel"] == channel);
        found.next().map(|collective| collective["needed"].clone()).expect("the collective")
    };
    for members in [8, 64, 512] {
        assert_eq!((entries(members, true), entries(members, false)), (1.into(), members.into()));
    }
}

/// What `docs/scheduling.md` says, its times left out: these differ from machine to machine.
#[test]
fn the_page_on_scheduling_has_the_counts_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scheduling.md");
    let shown = fs::read_to_string(path).expect("the page");
    let page = std::env::temp_dir().join(format!("proact-compare-page-{}.md", std::process::id()));
    fs::write(&page, &shown).expect("a page");
    let output = compare(&["--markdown", page.to_str().expect("a name")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = fs::read_to_string(&page).expect("the page");
    fs::remove_file(&page).expect("the page goes");
    let counts = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| ") || line.starts_with("**"));
        let is_policy =
            |line: &str| ["| events |", "| timelines |", "| frontiers |"].iter().any(|p| line.starts_with(p));
        let cut = |line: &str| match line.trim_end_matches(" |").rsplit_once(" | ") {
            Some((counts, _time)) if is_policy(line) => counts.to_owned(),
            _ => line.to_owned(),
        };
        rows.map(cut).collect()
    };
    let (shown, written) = (counts(&shown), counts(&written));
    assert!(shown.len() > 50, "{shown:?}");
    assert_eq!(shown, written, "write it anew: proact schedule-compare --markdown docs/scheduling.md");
}

#[test]
fn tables_and_plot_are_written_and_a_page_without_a_place_for_them_is_refused() {
    let folder = std::env::temp_dir().join(format!("proact-compare-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    let (page, plot) = (folder.join("page.md"), folder.join("plot.svg"));
    let [page_name, plot_name] = [&page, &plot].map(|path| path.to_str().expect("a name"));
    fs::write(&page, "before\n<!-- schedule-compare -->\nold\n<!-- /schedule-compare -->\nafter\n").expect("a page");
    let output = compare(&["--markdown", page_name, "--plot", plot_name]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = fs::read_to_string(&page).expect("the page");
    assert!(
        written.starts_with("before\n<!-- schedule-compare -->\n") && written.ends_with("-->\nafter\n"),
        "{written}"
    );
    assert!(written.contains("\n**4. transitive.**") && !written.contains("\nold\n"), "{written}");
    assert_eq!(written.matches("\n| frontiers |").count(), 9, "{written}");
    let drawn = fs::read_to_string(&plot).expect("the plot");
    assert!(drawn.starts_with("<svg") && drawn.contains("7b. isolation, room for one"), "{drawn}");

    fs::write(&page, "no place\n").expect("a page");
    let output = compare(&["--markdown", page_name]);
    assert_eq!(output.status.code(), Some(4));
    let told = format!("proact: {page_name}: there is no line <!-- schedule-compare -->\n");
    assert_eq!(text(&output.stderr), told);
    assert_eq!(fs::read_to_string(&page).expect("the page"), "no place\n");
    let output = compare(&["--markdown", folder.join("none.md").to_str().expect("a name"), "--json"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(answer["exit_code"], 4);
    fs::remove_dir_all(folder).expect("the scratch folder goes");
}

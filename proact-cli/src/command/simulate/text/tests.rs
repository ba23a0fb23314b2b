//! What people see.

use super::*;
use proact_schedule::scenario::{self, Run, embedded};

fn shown(id: &str, scale: scenario::Scale) -> String {
    let scenario = embedded::find(id).expect("it is there");
    let graph = scenario.graph(scale).expect("there is this size");
    report(&scenario, &Report::of(&scenario, scale, &Run::of(&graph)), None)
}

#[test]
fn a_run_is_drawn_to_scale_and_listed() {
    let text = shown("fork-join", scenario::Scale::default());
    let timeline = "
  tick   0       1       2       3       4       5       6       7       8
  GPU 0  [Setup---------][Branch A--------------]........[Merge---------]
  GPU 1  ................[Branch B----------------------]................
";
    assert!(text.contains(timeline), "{text}");
    let table = "
  operation  lane   start  end  frontier
  Setup      GPU 0      0    2  s:1
  Branch A   GPU 0      2    5  s:1 a:1
  Branch B   GPU 1      2    6  s:1 b:1
  Merge      GPU 0      6    8  s:2 a:1 b:1
";
    assert!(text.contains(table), "{text}");
    for line in ["  makespan       8 ticks\n", "  critical path  8 ticks\n", "  utilization     69 %  GPU x2\n"] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
}

#[test]
fn lines_of_a_drawing_fit_and_long_runs_are_drawn_with_many_ticks_a_column() {
    for id in embedded::ids() {
        let scenario = embedded::find(id).expect("it is there");
        let depth = if scenario.has_depth() { 8 } else { 1 };
        for (width, depth) in [(1, 1), (4, depth)] {
            let text = shown(id, scenario::Scale { width, depth, lanes: None });
            let drawing = text.split("\n\n").nth(1).expect("a drawing");
            assert!(drawing.contains("tick"), "{text}");
            for line in drawing.lines() {
                assert!(line.chars().count() <= WIDTH, "{id}: {line}");
            }
        }
    }
}

#[test]
fn a_great_many_operations_are_not_all_printed() {
    let text = shown("sequential", scenario::Scale { width: 100, depth: 10, lanes: None });
    assert!(text.contains("  ... and 2800 more operations: --json has them all\n"), "{text}");
    assert!(text.lines().count() < 300);
}

#[test]
fn times_are_told_in_the_unit_that_suits_them() {
    assert_eq!([2.0, 0.0025, 0.000_003].map(seconds), ["2.000 s", "2.500 ms", "3.000 us"]);
}

#[test]
fn every_scenario_is_listed_on_a_line_of_its_own() {
    let listed = |id: &str, lanes, depth| Listed {
        id: id.into(),
        alias: None,
        title: "Title".into(),
        text: String::new(),
        operations: 1,
        lanes,
        depth,
    };
    let text = list(&[listed("a", true, true), listed("longer", false, false)]);
    assert_eq!(text, "a            Title  --depth --lanes\nlonger       Title\n");
}

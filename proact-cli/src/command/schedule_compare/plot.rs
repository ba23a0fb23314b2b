//! The comparison as a picture: bars for each case and policy.

use svg::Document;
use svg::node::element::{Group, Line, Rectangle, Style, Text};

use super::{Comparison, PolicyAnswer};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
/// Colours that the colour-blind tell apart; every bar has its number beside it all the same.
const COLOURS: [&str; 3] = ["#d55e00", "#0072b2", "#009e73"];

struct Panel {
    title: &'static str,
    value: fn(&PolicyAnswer) -> f64,
    shown: fn(f64) -> String,
}

const PANELS: [Panel; 2] = [
    Panel {
        title: "Barriers that devices are handed, for each 100 submissions",
        value: |policy| policy.barriers as f64 * 100.0 / policy.submissions.max(1) as f64,
        shown: |value| format!("{value:.0}"),
    },
    Panel {
        title: "Processor time of scheduling, in nanoseconds a submission",
        value: |policy| policy.scheduling_ns,
        shown: |value| format!("{value:.0}"),
    },
];

pub(super) fn svg(comparison: &Comparison) -> String {
    let policies = comparison.cases.first().map_or(0, |case| case.policies.len());
    let rows = comparison.cases.len() as f64 * (policies as f64 * BAR + GAP);
    let panel_height = rows + 50.0;
    let height = 50.0 + panel_height * PANELS.len() as f64;
    // Text and lines follow the reader's scheme; the bars stand out on both.
    let style = "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}line{stroke:#888}\
                 @media(prefers-color-scheme:dark){text{fill:#ddd}}";
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("role", "img")
        .set("aria-label", "Barriers and processor time under events, timelines and frontiers")
        .add(Style::new(style))
        .add(legend(comparison));
    for (number, panel) in PANELS.iter().enumerate() {
        document = document.add(draw(panel, comparison, 50.0 + number as f64 * panel_height, rows));
    }
    document.to_string() + "\n"
}

fn legend(comparison: &Comparison) -> Group {
    let mut group = Group::new();
    let policies = comparison.cases.first().map(|case| &case.policies[..]).unwrap_or_default();
    for (number, (policy, colour)) in policies.iter().zip(COLOURS).enumerate() {
        let x = LEFT + number as f64 * 120.0;
        group = group
            .add(Rectangle::new().set("x", x).set("y", 14).set("width", 12).set("height", 12).set("fill", colour))
            .add(Text::new(policy.policy).set("x", x + 18.0).set("y", 24));
    }
    group
}

fn draw(panel: &Panel, comparison: &Comparison, top: f64, rows: f64) -> Group {
    let values = comparison.cases.iter().flat_map(|case| &case.policies).map(panel.value);
    let most = values.fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 60.0) / most;
    let mut group = Group::new().add(Text::new(panel.title).set("class", "t").set("x", LEFT).set("y", top + 14.0));
    let mut y = top + 26.0;
    let axis = Line::new().set("x1", LEFT).set("x2", LEFT).set("y1", y).set("y2", y + rows - GAP);
    group = group.add(axis);
    for case in &comparison.cases {
        let middle = y + BAR * case.policies.len() as f64 / 2.0 + 4.0;
        let name = Text::new(format!("{}. {}", case.number, case.name));
        group = group.add(name.set("x", LEFT - 8.0).set("y", middle).set("text-anchor", "end"));
        for (policy, colour) in case.policies.iter().zip(COLOURS) {
            let value = (panel.value)(policy);
            let length = value * scale;
            let bar = Rectangle::new().set("x", LEFT).set("y", y).set("width", round(length)).set("height", BAR - 2.0);
            let number = Text::new((panel.shown)(value)).set("x", round(LEFT + length + 5.0)).set("y", y + BAR - 3.0);
            group = group.add(bar.set("fill", colour)).add(number);
            y += BAR;
        }
        y += GAP;
    }
    group
}

/// To a tenth: what is drawn needs no more, and the file stays readable.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

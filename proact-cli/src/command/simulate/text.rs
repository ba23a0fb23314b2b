//! A run for people: what was run, a timeline of the lanes, a table of the operations, and the figures.

use std::fmt::Write;

use indicatif::DecimalBytes;
use proact_schedule::scenario::{LaneReport, OperationReport, QueueReport, Report, Scenario, WaitReport};

use super::Listed;

/// Columns of a line, where lines are folded or drawn to a scale.
const WIDTH: usize = 100;
/// More operations and lanes than these are not for reading; JSON has them all.
const OPERATIONS_SHOWN: usize = 200;
const LANES_SHOWN: usize = 40;

/// The scenarios that there are, a line each.
pub(super) fn list(scenarios: &[Listed]) -> String {
    let mut text = String::new();
    let width = scenarios.iter().map(|scenario| scenario.id.len()).max().unwrap_or(0);
    for scenario in scenarios {
        let alias = scenario.alias.as_deref().unwrap_or("");
        let sizes = match (scenario.depth, scenario.lanes) {
            (true, true) => "  --depth --lanes",
            (true, false) => "  --depth",
            (false, true) => "  --lanes",
            (false, false) => "",
        };
        let line = format!("{:<width$}  {alias:<3}  {}{sizes}", scenario.id, scenario.title);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

pub(super) fn report(scenario: &Scenario, report: &Report<'_>, on_queues: Option<&QueueReport<'_>>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} ({})", report.title, report.scenario);
    folded(&mut text, &scenario.file().text);
    if (report.width, report.depth) != (1, 1) {
        let _ = writeln!(text, "  {} side by side, {} in a row", report.width, report.depth);
    }
    text.push('\n');
    timeline(&mut text, report);
    text.push('\n');
    table(&mut text, report);
    text.push('\n');
    figures(&mut text, report);
    if let Some(on_queues) = on_queues {
        queues(&mut text, on_queues);
    }
    if (report.width, report.depth) == (1, 1) {
        notices(&mut text, scenario);
    }
    text
}

fn folded(text: &mut String, said: &str) {
    let mut line = String::from(" ");
    for word in said.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// A row for each lane, to scale: `[Fill--][MatMul-]`; `.` is idle.
fn timeline(text: &mut String, report: &Report<'_>) {
    let names: Vec<(usize, usize, String)> =
        report.lanes.iter().enumerate().flat_map(|(class, lane)| rows(class, lane)).take(LANES_SHOWN).collect();
    let head = names.iter().map(|(_, _, name)| name.chars().count()).max().unwrap_or(0).max(4);
    // The last tick is written behind the last column.
    let digits = report.makespan.to_string().len();
    let scale = Scale::of(report.makespan, (WIDTH - 4).saturating_sub(head + digits).max(20));
    let _ = writeln!(text, "  {:<head$}  {}", "tick", scale.ruler());
    for (class, index, name) in &names {
        let id = report.lanes[*class].id;
        let of_lane = report.operations.iter().filter(|op| op.lane == id && op.lane_index == *index);
        let _ = writeln!(text, "  {name:<head$}  {}", scale.row(of_lane));
    }
    let lanes: usize = report.lanes.iter().map(|lane| lane.count).sum();
    if lanes > names.len() {
        let _ = writeln!(text, "  ... and {} more lanes", lanes - names.len());
    }
}

fn rows<'a>(class: usize, lane: &'a LaneReport<'a>) -> impl Iterator<Item = (usize, usize, String)> + 'a {
    (0..lane.count).map(move |index| {
        let name = if lane.count == 1 { lane.title.to_owned() } else { format!("{} {index}", lane.title) };
        (class, index, name)
    })
}

/// How ticks become columns.
struct Scale {
    makespan: u64,
    columns: usize,
}

impl Scale {
    fn of(makespan: u64, room: usize) -> Scale {
        // Whole columns a tick where there is room, up to eight; else as many ticks a column as it takes.
        let per_tick = (room as u64 / makespan.max(1)).min(8);
        let columns = if per_tick > 0 { (makespan * per_tick) as usize } else { room };
        Scale { makespan, columns }
    }

    fn column(&self, tick: u64) -> usize {
        (u128::from(tick) * self.columns as u128 / u128::from(self.makespan.max(1))) as usize
    }

    /// Ticks above their columns, as many as there is room for, at round distances.
    fn ruler(&self) -> String {
        let widest = self.makespan.to_string().len() + 2;
        let steps = (0..19).flat_map(|power| [1u64, 2, 5].map(|digit| digit * 10u64.pow(power)));
        let mut far = steps.filter(|&step| self.column(step) >= widest);
        let step = far.next().unwrap_or(self.makespan).min(self.makespan).max(1);
        let mut ruler = String::new();
        for tick in (0..=self.makespan).step_by(step as usize) {
            let at = self.column(tick);
            if ruler.len() <= at {
                let _ = write!(ruler, "{:at$}{tick}", "", at = at - ruler.len());
            }
        }
        ruler
    }

    fn row<'a>(&self, operations: impl Iterator<Item = &'a OperationReport<'a>>) -> String {
        let mut row = vec!['.'; self.columns];
        for operation in operations {
            let [start, end] = operation.interval.map(|tick| self.column(tick));
            let cells = &mut row[start.min(self.columns - 1)..];
            let width = end.saturating_sub(start).clamp(1, cells.len());
            bar(&mut cells[..width], operation.title);
        }
        row.into_iter().collect()
    }
}

/// `[Name---]`, as much of the name as fits; `#` where nothing does.
fn bar(cells: &mut [char], title: &str) {
    let inner = match cells {
        [first, inner @ .., last] => {
            (*first, *last) = ('[', ']');
            inner
        }
        _ => return cells.fill('#'),
    };
    inner.fill('-');
    inner.iter_mut().zip(title.chars()).for_each(|(cell, letter)| *cell = letter);
}

fn table(text: &mut String, report: &Report<'_>) {
    let shown = &report.operations[..report.operations.len().min(OPERATIONS_SHOWN)];
    let scaled = (report.width, report.depth) != (1, 1);
    let name = |operation: &OperationReport<'_>| {
        // Copies are told apart by their ids alone.
        let name = if scaled { operation.id } else { operation.title };
        name.to_owned()
    };
    let lane = |operation: &OperationReport<'_>| {
        let lane = report.lanes.iter().find(|lane| lane.id == operation.lane);
        lane.map_or(String::new(), |lane| match lane.count {
            1 => lane.title.to_owned(),
            _ => format!("{} {}", lane.title, operation.lane_index),
        })
    };
    let mut rows = vec![["operation", "lane", "start", "end", "frontier"].map(String::from)];
    rows.extend(shown.iter().map(|operation| {
        let [start, end] = operation.interval.map(|tick| tick.to_string());
        let frontier: Vec<String> = operation.frontier.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        [name(operation), lane(operation), start, end, frontier.join(" ")]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c, d] = [0, 1, 2, 3].map(width);
    for [operation, lane, start, end, frontier] in &rows {
        let line = format!("  {operation:<a$}  {lane:<b$}  {start:>c$}  {end:>d$}  {frontier}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if report.operations.len() > shown.len() {
        let more = report.operations.len() - shown.len();
        let _ = writeln!(text, "  ... and {more} more operations: --json has them all");
    }
}

fn figures(text: &mut String, report: &Report<'_>) {
    let time = |ticks: u64| match report.tick_ns {
        Some(tick_ns) => format!("{ticks} ticks, {}", seconds(ticks as f64 * tick_ns as f64 / 1e9)),
        None => format!("{ticks} ticks"),
    };
    let _ = writeln!(text, "  makespan       {}", time(report.makespan));
    let _ = writeln!(text, "  critical path  {}", time(report.critical_path));
    let _ = writeln!(text, "  work           {}", time(report.work));
    let _ = writeln!(text, "  operations     {}, {} waits", report.operations.len(), report.edges);
    let _ = writeln!(text, "  frontiers      {} entries at most", report.entries_max);
    for (index, lane) in report.lanes.iter().enumerate() {
        let head = if index == 0 { "utilization" } else { "" };
        let count = if lane.count == 1 { String::new() } else { format!(" x{}", lane.count) };
        let percent = lane.utilization * 100.0;
        let _ = writeln!(text, "  {head:<13}  {percent:>3.0} %  {}{count}", lane.title);
    }
    for (index, memory) in report.memories.iter().enumerate() {
        let head = if index == 0 { "memory" } else { "" };
        let (peak, all) = (decimal(memory.peak_bytes), decimal(memory.bytes));
        let _ = writeln!(text, "  {head:<13}  {peak} of {all} at most  {}", memory.title);
    }
}

/// What the scheduler made of it.
fn queues(text: &mut String, report: &QueueReport<'_>) {
    let shown = &report.operations[..report.operations.len().min(OPERATIONS_SHOWN)];
    let mut rows = vec![["on queues", "knows", "waits"].map(String::from)];
    rows.extend(shown.iter().map(|operation| {
        let frontier: Vec<String> =
            operation.frontier.iter().map(|(queue, epoch)| format!("{queue}:{epoch}")).collect();
        let wait = |wait: &WaitReport<'_>| format!("{}:{} {}", wait.semaphore, wait.value, wait.tier);
        let waits: Vec<String> = operation.waits.iter().map(wait).collect();
        [operation.id.to_owned(), frontier.join(" "), waits.join(", ")]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b] = [0, 1].map(width);
    text.push('\n');
    for [operation, knows, waits] in &rows {
        let _ = writeln!(text, "{}", format!("  {operation:<a$}  {knows:<b$}  {waits}").trim_end());
    }
    if report.operations.len() > shown.len() {
        let _ = writeln!(text, "  ... and {} more", report.operations.len() - shown.len());
    }
    let (elided, issued, makespan) = (report.elided, report.issued, report.makespan);
    let _ = writeln!(text, "\n  waits          {elided} left out, {issued} issued; the run takes {makespan} ticks");
}

/// What the scenario's author wants noticed.
fn notices(text: &mut String, scenario: &Scenario) {
    let file = scenario.file();
    if !file.annotations.is_empty() {
        text.push('\n');
    }
    for annotation in &file.annotations {
        let operation = file.operations.iter().find(|operation| operation.id == annotation.operation);
        let title = operation.map_or("", |operation| &operation.title);
        folded(text, &format!("@{} {title}: {}", annotation.tick, annotation.text));
    }
}

/// A time in the unit that suits it.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.3} s"),
        s if s >= 1e-3 => format!("{:.3} ms", s * 1e3),
        s => format!("{:.3} us", s * 1e6),
    }
}

/// Sizes of models and memories are counted in powers of ten.
fn decimal(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests;

//! One row of the answer, as JSON and as a line of a table.

use proact_cts::measures::{Row, Unit};
use serde::Serialize;

/// A row's JSON form, which is part of the program's interface.
#[derive(Serialize)]
struct Json {
    name: &'static str,
    backend: &'static str,
    unit: &'static str,
    median: f64,
    p99: Option<f64>,
    floor: Option<f64>,
    ratio: Option<f64>,
    allocations: Option<f64>,
    enters: Option<f64>,
    cpu: Option<f64>,
    /// Against the baseline, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Option<f64>>,
    /// Why there is no floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// Digits beyond the third say nothing and make the rows hard to read.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// As one line of JSON. `change` is told where there is a baseline.
pub(super) fn json(row: &Row, change: Option<Option<f64>>) -> String {
    let figures = &row.figures;
    let floor = figures.floor.ok();
    let json = Json {
        name: row.name,
        backend: row.backend,
        unit: figures.unit.name(),
        median: round(figures.median),
        p99: figures.p99.map(round),
        floor: floor.map(|floor| round(floor.median)),
        ratio: floor.map(|floor| round(floor.ratio)),
        // Not rounded: one allocation in a million operations is not none.
        allocations: figures.costs.allocations,
        enters: figures.costs.enters.map(round),
        cpu: figures.costs.cpu.map(round),
        change: change.map(|change| change.map(round)),
        note: figures.floor.err(),
    };
    serde_json::to_string(&json).expect("strings and finite numbers always serialize")
}

/// How wide the first column is: the longest name, or a backend below it.
const NAME: usize = 29;
/// The other columns, which make 80 with it.
const WIDTHS: [usize; 7] = [9, 8, 9, 6, 6, 6, 7];

/// Rows for a reader at 80 columns. A name that has rows for backends stands above them. Reasons for a missing floor
/// stand below the table, each once.
pub(super) struct Table {
    /// With a baseline, the change against it stands where the floor does without.
    compared: bool,
    /// Whose rows were printed last.
    above: &'static str,
    notes: Vec<&'static str>,
}

impl Table {
    pub(super) fn new(compared: bool) -> Table {
        Table { compared, above: "", notes: Vec::new() }
    }

    fn columns(first: &str, cells: [&str; 7]) -> String {
        let mut line = format!("{first:<NAME$}");
        for (cell, width) in cells.into_iter().zip(WIDTHS) {
            // A cell that is too wide takes from the blank before it, and no further.
            line.push_str(&format!(" {cell:>width$}", width = width - 1));
        }
        line
    }

    pub(super) fn heading(&self) -> String {
        let floor = if self.compared { "change" } else { "floor" };
        Table::columns("name", ["median", "p99", floor, "ratio", "alloc", "enter", "cpu"])
    }

    /// The line of a row, with its name above it where it has several.
    pub(super) fn lines(&mut self, row: &Row, change: Option<f64>) -> impl Iterator<Item = String> {
        let above = (row.backend != "-" && row.name != self.above).then(|| row.name.to_owned());
        self.above = row.name;
        let first = if row.backend == "-" { row.name.to_owned() } else { format!("  {}", row.backend) };
        let figures = &row.figures;
        let value = |value: f64| written(figures.unit, value);
        let none = || String::from("-");
        let floor = match figures.floor {
            _ if self.compared => change.map_or_else(none, |change| format!("x{change:.3}")),
            Ok(floor) => value(floor.median),
            Err(note) => format!("({})", self.number(note)),
        };
        let cells = [
            value(figures.median),
            figures.p99.map_or_else(none, value),
            floor,
            figures.floor.map_or_else(|_| none(), |floor| factor(floor.ratio)),
            figures.costs.allocations.map_or_else(none, few),
            figures.costs.enters.map_or_else(none, few),
            figures.costs.cpu.map_or_else(none, |cpu| written(Unit::Nanoseconds, cpu)),
        ];
        above.into_iter().chain([Table::columns(&first, cells.each_ref().map(String::as_str))])
    }

    /// Which note it is, from 1.
    fn number(&mut self, note: &'static str) -> usize {
        let known = self.notes.iter().position(|known| *known == note);
        1 + known.unwrap_or_else(|| {
            self.notes.push(note);
            self.notes.len() - 1
        })
    }

    /// What the lines have referred to.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> + '_ {
        self.notes.iter().enumerate().map(|(index, note)| format!("({}) {note}", index + 1))
    }
}

/// A value with its unit, in at most 8 columns.
fn written(unit: Unit, value: f64) -> String {
    let (value, unit) = match unit {
        Unit::GigabytesPerSecond => (value, "GB/s"),
        Unit::Nanoseconds => match value {
            large if large >= 1e9 => (large / 1e9, "s"),
            large if large >= 1e6 => (large / 1e6, "ms"),
            large if large >= 1e3 => (large / 1e3, "µs"),
            small => (small, "ns"),
        },
        Unit::Bytes => match value {
            large if large >= 1e6 => (large / 1e6, "MB"),
            large if large >= 1e4 => (large / 1e3, "kB"),
            small => (small, "B"),
        },
    };
    match value {
        large if large >= 99.95 => format!("{value:.0}{unit}"),
        medium if medium >= 9.995 => format!("{value:.1}{unit}"),
        _ => format!("{value:.2}{unit}"),
    }
}

/// A ratio in at most 5 columns.
fn factor(ratio: f64) -> String {
    match ratio {
        large if large >= 1000.0 => format!("{large:.0}"),
        large if large >= 10.0 => format!("{large:.1}"),
        small => format!("{small:.3}"),
    }
}

/// A count of each operation, in at most 5 columns.
fn few(count: f64) -> String {
    match count {
        0.0 => String::from("0"),
        // Few, but some.
        few if few < 0.01 => format!("{few:.0e}"),
        many if many >= 10.0 => format!("{many:.0}"),
        some => format!("{some:.2}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proact_cts::measures::{Costs, Figures, Floor};

    /// A row whose floor is 10 ns.
    pub(in super::super) fn row(name: &'static str, backend: &'static str, ratio: Result<f64, &'static str>) -> Row {
        let figures = Figures {
            unit: Unit::Nanoseconds,
            median: 12.34567,
            p99: None,
            floor: ratio.map(|ratio| Floor { median: 10.0, ratio }),
            costs: Costs { allocations: Some(0.0), enters: Some(1.0), cpu: Some(1234.5) },
        };
        Row { name, backend, figures }
    }

    fn lines(table: &mut Table, row: &Row, change: Option<f64>) -> Vec<String> {
        table.lines(row, change).collect()
    }

    #[test]
    fn a_row_with_a_floor_has_the_promised_keys_and_no_other() {
        let expected = concat!(
            r#"{"name":"nop/1","backend":"io_uring","unit":"ns","median":12.346,"p99":null,"floor":10.0,"#,
            r#""ratio":1.235,"allocations":0.0,"enters":1.0,"cpu":1234.5}"#
        );
        assert_eq!(json(&row("nop/1", "io_uring", Ok(1.23456)), None), expected);
        let compared = json(&row("nop/1", "io_uring", Ok(1.23456)), Some(Some(1.5)));
        assert!(compared.ends_with(r#""cpu":1234.5,"change":1.5}"#), "{compared}");
        let compared = json(&row("nop/1", "io_uring", Ok(1.23456)), Some(None));
        assert!(compared.ends_with(r#""cpu":1234.5,"change":null}"#), "{compared}");
    }

    #[test]
    fn a_row_without_a_floor_says_why() {
        let mut row = row("nop/1", "poll", Err("no kernel in it"));
        row.figures.costs = Costs { allocations: Some(1e-6), enters: None, cpu: None };
        let expected = concat!(
            r#"{"name":"nop/1","backend":"poll","unit":"ns","median":12.346,"p99":null,"floor":null,"ratio":null,"#,
            r#""allocations":1e-6,"enters":null,"cpu":null,"note":"no kernel in it"}"#
        );
        assert_eq!(json(&row, None), expected);
        let mut table = Table::new(false);
        let last = lines(&mut table, &row, None).pop().unwrap();
        let expected = "  poll                          12.3ns       -      (1)     -  1e-6     -      -";
        assert_eq!(last, expected);
        assert_eq!(table.notes().collect::<Vec<_>>(), ["(1) no kernel in it"]);
    }

    #[test]
    fn a_name_stands_once_above_its_backends_and_beside_its_figures_where_there_is_none() {
        let mut table = Table::new(false);
        assert_eq!(lines(&mut table, &row("nop/1", "epoll", Ok(1.2)), None)[0], "nop/1");
        let second = lines(&mut table, &row("nop/1", "poll", Ok(1.2)), None);
        assert!(second.len() == 1 && second[0].starts_with("  poll "), "{second:?}");
        let alone = lines(&mut table, &row("buffer", "-", Ok(1.2)), None);
        assert!(alone.len() == 1 && alone[0].starts_with("buffer  "), "{alone:?}");
    }

    #[test]
    fn every_line_is_of_80_columns_and_stands_below_the_heads() {
        let width = |line: &str| line.chars().count();
        for compared in [false, true] {
            let mut table = Table::new(compared);
            assert!(width(&table.heading()) <= 80, "{}", width(&table.heading()));
            for scale in [1e-3, 1.0, 99.99, 999.9, 1e4, 1e6, 1e8] {
                let mut row = row("frontier/merge-interleaved/64", "-", Ok(scale));
                row.figures.median = 1234.5 * scale;
                row.figures.p99 = Some(1e4 * scale);
                row.figures.costs = Costs { allocations: Some(scale), enters: Some(1e-5), cpu: Some(9.996 * scale) };
                let lines = lines(&mut table, &row, Some(1.25));
                if scale < 1e4 {
                    assert_eq!(width(&lines[0]), width(&table.heading()), "{}", lines[0]);
                }
                assert!(width(&lines[0]) <= 90, "{}", lines[0]);
            }
        }
    }

    #[test]
    fn every_name_fits_its_column() {
        for measure in proact_cts::measures::selected(None) {
            assert!(measure.name.len() <= NAME, "{}", measure.name);
        }
    }

    #[test]
    fn a_reason_that_rows_share_is_told_once() {
        let mut table = Table::new(false);
        for note in ["one", "two", "one"] {
            lines(&mut table, &row("row", "-", Err(note)), None);
        }
        assert_eq!(table.notes().collect::<Vec<_>>(), ["(1) one", "(2) two"]);
    }
}

//! One row of the answer, as JSON and as a line of a table.

use std::cmp::max;

use serde::Serialize;

/// What a measure found.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Figures {
    pub(super) median: f64,
    pub(super) floor: Result<Floor, &'static str>,
    /// Of each operation.
    pub(super) allocations: f64,
}

/// The least that the same work costs without the library.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Floor {
    pub(super) median: f64,
    pub(super) ratio: f64,
}

/// A row. Its JSON form is part of the program's interface.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Row {
    name: &'static str,
    pub(super) backend: &'static str,
    unit: &'static str,
    median: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    allocations: f64,
    /// Why there is no floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// Digits beyond the third say nothing and make the rows hard to read.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Every figure is a time, so that rows can be compared.
const UNIT: &str = "ns";

impl Row {
    pub(super) fn new(name: &'static str, backend: &'static str, figures: Figures) -> Row {
        let floor = figures.floor.ok();
        Row {
            name,
            backend,
            unit: UNIT,
            median: round(figures.median),
            floor: floor.map(|floor| round(floor.median)),
            ratio: floor.map(|floor| round(floor.ratio)),
            // Not rounded: one allocation in a million operations is not none.
            allocations: figures.allocations,
            note: figures.floor.err(),
        }
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and finite numbers always serialize")
    }
}

/// Rows for a reader, as wide as their longest name needs: 80 columns with what there is today. Reasons for a missing
/// floor stand below it, each once.
pub(super) struct Table {
    name: usize,
    notes: Vec<&'static str>,
}

impl Table {
    /// For rows with these names.
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Table {
        Table { name: names.map(str::len).fold("name".len(), max), notes: Vec::new() }
    }

    fn columns(&self, cells: [&str; 6]) -> String {
        let [name, backend, median, floor, ratio, allocations] = cells;
        let width = self.name;
        format!("{name:<width$} {backend:<8} {median:>13} {floor:>12} {ratio:>7} {allocations:>6}")
    }

    pub(super) fn heading(&self) -> String {
        self.columns(["name", "backend", "median", "floor", "ratio", "allocs"])
    }

    pub(super) fn line(&mut self, row: &Row) -> String {
        let time = |value: f64| format!("{value:.1} {}", row.unit);
        let floor = match (row.floor, row.note) {
            (Some(floor), _) => time(floor),
            (None, Some(note)) => format!("({})", self.number(note)),
            (None, None) => String::from("-"),
        };
        let ratio = row.ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.3}"));
        let allocations = match row.allocations {
            0.0 => String::from("0"),
            // Few, but some.
            few if few < 0.01 => format!("{few:.0e}"),
            some => format!("{some:.2}"),
        };
        self.columns([row.name, row.backend, &time(row.median), &floor, &ratio, &allocations])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_a_floor_has_the_seven_promised_keys_and_no_other() {
        let floor = Ok(Floor { median: 10.0, ratio: 1.23456 });
        let row = Row::new("nop/1", "io_uring", Figures { median: 12.34567, floor, allocations: 0.0 });
        let expected = concat!(
            r#"{"name":"nop/1","backend":"io_uring","unit":"ns","#,
            r#""median":12.346,"floor":10.0,"ratio":1.235,"allocations":0.0}"#
        );
        assert_eq!(row.json(), expected);
    }

    #[test]
    fn a_row_without_a_floor_says_why() {
        let figures = Figures { median: 12.0, floor: Err("no kernel in it"), allocations: 1e-6 };
        let row = Row::new("nop/1", "poll", figures);
        let expected = concat!(
            r#"{"name":"nop/1","backend":"poll","unit":"ns","#,
            r#""median":12.0,"floor":null,"ratio":null,"allocations":1e-6,"note":"no kernel in it"}"#
        );
        assert_eq!(row.json(), expected);
        let mut table = Table::new(["nop/1"].into_iter());
        assert_eq!(table.line(&row), "nop/1 poll           12.0 ns          (1)       -   1e-6");
        assert_eq!(table.notes().collect::<Vec<_>>(), ["(1) no kernel in it"]);
    }

    #[test]
    fn the_tables_columns_stand_below_their_heads_however_long_the_names() {
        let floor = Ok(Floor { median: 10.0, ratio: 1.2 });
        for name in ["wake", "frontier/merge-interleaved/64"] {
            let mut table = Table::new([name].into_iter());
            let row = Row::new(name, "io_uring", Figures { median: 12.0, floor, allocations: 0.25 });
            assert_eq!(table.line(&row).len(), table.heading().len());
            assert!(table.heading().len() <= 80, "{}", table.heading().len());
        }
    }

    #[test]
    fn a_reason_that_rows_share_is_told_once() {
        let without = |note| Row::new("row", "-", Figures { median: 1.0, floor: Err(note), allocations: 0.0 });
        let mut table = Table::new(["row"].into_iter());
        ["one", "two", "one"].into_iter().for_each(|note| _ = table.line(&without(note)));
        assert_eq!(table.notes().collect::<Vec<_>>(), ["(1) one", "(2) two"]);
    }
}

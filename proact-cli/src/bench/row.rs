//! One row of the answer, as JSON and as a line of a table.

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
    backend: &'static str,
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

impl Row {
    pub(super) fn new(name: &'static str, backend: &'static str, unit: &'static str, figures: Figures) -> Row {
        let floor = figures.floor.ok();
        Row {
            name,
            backend,
            unit,
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

    /// The head of the table.
    pub(super) fn heading() -> String {
        format!("{:<18} {:<9} {:>12} {:>12} {:>7} {:>12}", "name", "backend", "median", "floor", "ratio", "allocations")
    }

    /// As one line of the table.
    pub(super) fn line(&self) -> String {
        let Row { name, backend, unit, median, allocations, .. } = self;
        let floor = self.floor.map_or_else(|| String::from("-"), |floor| format!("{floor:.1} {unit}"));
        let ratio = self.ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.3}"));
        let note = self.note.map_or_else(String::new, |note| format!("  {note}"));
        let median = format!("{median:.1} {unit}");
        format!("{name:<18} {backend:<9} {median:>12} {floor:>12} {ratio:>7} {allocations:>12}{note}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_a_floor_has_the_seven_promised_keys_and_no_other() {
        let floor = Ok(Floor { median: 10.0, ratio: 1.23456 });
        let row = Row::new("nop/1", "io_uring", "ns", Figures { median: 12.34567, floor, allocations: 0.0 });
        let expected = concat!(
            r#"{"name":"nop/1","backend":"io_uring","unit":"ns","#,
            r#""median":12.346,"floor":10.0,"ratio":1.235,"allocations":0.0}"#
        );
        assert_eq!(row.json(), expected);
    }

    #[test]
    fn a_row_without_a_floor_says_why() {
        let figures = Figures { median: 12.0, floor: Err("no kernel in it"), allocations: 1e-6 };
        let row = Row::new("nop/1", "poll", "ns", figures);
        let expected = concat!(
            r#"{"name":"nop/1","backend":"poll","unit":"ns","#,
            r#""median":12.0,"floor":null,"ratio":null,"allocations":1e-6,"note":"no kernel in it"}"#
        );
        assert_eq!(row.json(), expected);
        assert!(row.line().contains("12.0 ns") && row.line().ends_with("no kernel in it"), "{}", row.line());
    }

    #[test]
    fn the_tables_columns_stand_below_their_heads() {
        let floor = Ok(Floor { median: 10.0, ratio: 1.2 });
        let row = Row::new("nop/128", "io_uring", "ns", Figures { median: 12.0, floor, allocations: 0.0 });
        assert_eq!(row.line().len(), Row::heading().len());
    }
}

//! The lines of `proact bench --json`: against the raw floor of the same run, and how costs grow.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::number;
use crate::Failure;
use crate::run::refuse_another;

/// One row. What a row lacks, it does not say.
#[derive(Deserialize, Clone)]
pub struct Row {
    pub name: String,
    pub backend: String,
    pub unit: String,
    pub median: f64,
    #[serde(default)]
    p99: Option<f64>,
    #[serde(default)]
    pub floor: Option<f64>,
    #[serde(default)]
    pub ratio: Option<f64>,
    #[serde(default)]
    allocations: Option<f64>,
    #[serde(default)]
    cpu: Option<f64>,
    #[serde(default)]
    enters: Option<f64>,
}

/// A line of the file: the first says what was measured, where whoever ran it has said so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Row(Box<Row>),
    Program { program: String },
}

/// The rows of a file, which must be of the same program as the rounds.
pub fn read(file: &str, program: &Option<String>) -> Result<Vec<Row>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    parse(file, &text, program)
}

fn parse(file: &str, text: &str, program: &Option<String>) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut measured) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        match serde_json::from_str(line).map_err(|error| format!("{file}:{}: {error}", index + 1))? {
            Entry::Row(row) => rows.push(*row),
            Entry::Program { program } => measured = Some(program),
        }
    }
    refuse_another(file, &measured, program)?;
    Ok(rows)
}

/// The table, with a column for each of the optional figures that any row has.
pub fn table(rows: &[Row]) -> String {
    type Figure = (&'static str, fn(&Row) -> Option<f64>);
    let all: [Figure; 7] = [
        ("median", |row| Some(row.median)),
        ("p99", |row| row.p99),
        ("raw floor", |row| row.floor),
        ("ratio", |row| row.ratio),
        ("allocations", |row| row.allocations),
        ("CPU", |row| row.cpu),
        ("enters", |row| row.enters),
    ];
    let known: Vec<_> = all.iter().filter(|(_, figure)| rows.iter().any(|row| figure(row).is_some())).collect();
    let mut text = String::from("| measure | backend | unit |");
    known.iter().for_each(|(head, _)| write!(text, " {head} |").expect("a string takes all"));
    writeln!(text, "\n|---|---|---|{}", "--:|".repeat(known.len())).expect("a string takes all");
    for row in rows {
        write!(text, "| `{}` | {} | {} |", row.name, row.backend, row.unit).expect("a string takes all");
        for (head, figure) in &known {
            let cell = match (figure(row), *head) {
                (None, _) => String::from("–"),
                (Some(ratio), "ratio") => format!("{ratio:.2}"),
                (Some(value), _) => number(value),
            };
            write!(text, " {cell} |").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}

/// Cost against size, by backend.
pub struct Growth {
    pub name: String,
    pub unit: String,
    pub lines: BTreeMap<String, Vec<(f64, f64)>>,
}

/// Of names that end in a number, those with two sizes or more.
pub fn growth(rows: &[Row]) -> Vec<Growth> {
    let mut all: Vec<Growth> = Vec::new();
    for row in rows {
        let Some((name, size)) = row.name.rsplit_once('/') else { continue };
        let Some(size) = size_of(size) else { continue };
        let at = all.iter().position(|growth| growth.name == name).unwrap_or_else(|| {
            all.push(Growth { name: name.into(), unit: row.unit.clone(), lines: BTreeMap::new() });
            all.len() - 1
        });
        all[at].lines.entry(row.backend.clone()).or_default().push((size, row.median));
    }
    for growth in &mut all {
        growth.lines.values_mut().for_each(|line| line.sort_by(|a, b| a.0.total_cmp(&b.0)));
        growth.lines.retain(|_, line| line.len() > 1);
    }
    all.retain(|growth| !growth.lines.is_empty());
    all
}

/// `4096` and `64k`; not `100us`.
fn size_of(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1_048_576.0,
        _ => return None,
    };
    digits.parse::<u64>().ok().map(|size| size as f64 * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    const TEXT: &str = r#"{"name":"relay/1","backend":"epoll","unit":"ns","median":900.5,"floor":850.0,"ratio":1.06}
{"name":"relay/4k","backend":"epoll","unit":"ns","median":950.0,"floor":null,"ratio":null,"note":"why"}
{"name":"relay/1","backend":"poll","unit":"ns","median":1.0}
{"name":"wake","backend":"-","unit":"ns","median":3.0,"cpu":1.5}
{"name":"sleep/100us","backend":"-","unit":"ns","median":3.0}"#;

    #[test]
    fn sizes_become_lines_and_a_single_one_none() {
        let growth = growth(&rows(TEXT));
        assert_eq!(growth.len(), 1);
        assert_eq!((growth[0].name.as_str(), growth[0].lines.len()), ("relay", 1));
        assert_eq!(growth[0].lines["epoll"], [(1.0, 900.5), (4096.0, 950.0)]);
    }

    #[test]
    fn rows_of_another_program_than_the_rounds_are_refused() {
        let text = format!("{{\"program\":\"commit 1\"}}\n{TEXT}");
        let (one, two) = (Some(String::from("commit 1")), Some(String::from("commit 2")));
        assert_eq!(parse("f", &text, &one).unwrap().len(), 5);
        assert!(parse("f", &text, &two).is_err() && parse("f", TEXT, &one).is_err());
        assert_eq!(parse("f", TEXT, &None).unwrap().len(), 5);
    }

    #[test]
    fn a_figure_that_no_row_has_is_no_column() {
        let table = table(&rows(TEXT));
        assert!(table.starts_with("| measure | backend | unit | median | raw floor | ratio | CPU |\n"), "{table}");
        assert!(table.contains("| `wake` | - | ns | 3.00 | – | – | 1.50 |\n"), "{table}");
    }
}

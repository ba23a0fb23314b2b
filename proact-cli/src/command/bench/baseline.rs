//! What an earlier run has found, to be compared with.

use std::collections::HashMap;
use std::path::Path;

use proact_cts::measures::Row;
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// The ratios of an earlier run, by name and backend.
#[derive(Debug)]
pub(super) struct Baseline(HashMap<(String, String), Option<f64>>);

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    name: String,
    backend: String,
    ratio: Option<f64>,
}

impl Baseline {
    /// Reads a file of JSON lines.
    pub(super) fn read(path: &Path) -> Result<Baseline, Failure> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| failed(path, &format!("{error}")))?;
        Baseline::parse(&text).map_err(|why| failed(path, &why))
    }

    fn parse(text: &str) -> Result<Baseline, String> {
        let mut ratios = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let told = |error| format!("line {}: not a row of `proact bench --json`: {error}", index + 1);
            let line: Line = serde_json::from_str(line).map_err(told)?;
            if ratios.insert((line.name.clone(), line.backend.clone()), line.ratio).is_some() {
                return Err(format!("line {}: {} on {} a second time", index + 1, line.name, line.backend));
            }
        }
        match ratios.is_empty() {
            true => Err(String::from("no rows in it")),
            false => Ok(Baseline(ratios)),
        }
    }

    /// How many times as far above its floor `row` is as then. `None`: it has or had no floor, or was not measured.
    pub(super) fn change(&self, row: &Row) -> Option<f64> {
        let floor = row.figures.floor.ok()?;
        let then = *self.0.get(&(row.name.to_owned(), row.backend.to_owned()))?;
        Some(floor.ratio / then?).filter(|change| change.is_finite())
    }
}

fn failed(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("--baseline {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    const LINES: &str = concat!(
        r#"{"name":"nop/1","backend":"poll","unit":"ns","median":12.0,"ratio":2.0,"new":true}"#,
        "\n\n",
        r#"{"name":"nop/1","backend":"epoll","ratio":null}"#,
        "\n"
    );

    #[test]
    fn a_row_is_compared_by_its_ratio_with_the_row_of_its_name_and_backend() {
        let baseline = Baseline::parse(LINES).unwrap();
        assert_eq!(baseline.change(&row("nop/1", "poll", Ok(3.0))), Some(1.5));
        assert_eq!(baseline.change(&row("nop/1", "poll", Err("none"))), None);
        assert_eq!(baseline.change(&row("nop/1", "epoll", Ok(3.0))), None, "it had no floor");
        assert_eq!(baseline.change(&row("nop/1", "io_uring", Ok(3.0))), None, "it was not there");
    }

    #[test]
    fn files_that_cannot_be_read_or_are_foreign_say_so() {
        for (text, why) in [
            ("", "no rows in it"),
            ("\n \n", "no rows in it"),
            ("name backend\n", "line 1: not a row of"),
            ("{\"name\":\"nop/1\"}\n", "missing field `backend`"),
            (&LINES.repeat(2), "line 4: nop/1 on poll a second time"),
        ] {
            let error = Baseline::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let failure = Baseline::read(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("--baseline /no/such/file: No such file"), "{failure}");
    }
}

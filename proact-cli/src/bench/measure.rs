//! What can be measured, and on which backends.

use proact::proactor::Choice;
use proact_cli::exit::Failure;

use super::row::{Figures, Row};

/// What stands for the backend in a row that has none.
const NO_BACKEND: &str = "-";

/// Something that can be measured.
pub(super) struct Measure {
    /// What its rows are called, and what `--filter` looks into.
    pub(super) name: &'static str,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Each(fn(Choice) -> Result<Figures, Failure>),
    Only(Choice, fn() -> Result<Figures, Failure>),
    Once(fn() -> Result<Figures, Failure>),
}

impl Measure {
    /// Makes a row for each backend.
    pub(super) const fn each(name: &'static str, run: fn(Choice) -> Result<Figures, Failure>) -> Measure {
        Measure { name, run: Run::Each(run) }
    }

    /// Makes a row for one backend: the others have nothing like it.
    pub(super) const fn only(name: &'static str, choice: Choice, run: fn() -> Result<Figures, Failure>) -> Measure {
        Measure { name, run: Run::Only(choice, run) }
    }

    /// Touches no backend, and makes one row.
    pub(super) const fn once(name: &'static str, run: fn() -> Result<Figures, Failure>) -> Measure {
        Measure { name, run: Run::Once(run) }
    }

    /// Measures on those of `backends` that it is for, and tells `row` as soon as it is known.
    pub(super) fn each_row(&self, backends: &[Choice], mut row: impl FnMut(Row)) -> Result<(), Failure> {
        let mut tell = |backend, figures| row(Row::new(self.name, backend, figures));
        match self.run {
            Run::Each(run) => {
                for &choice in backends {
                    tell(choice.name(), run(choice)?);
                }
            }
            Run::Only(choice, run) if backends.contains(&choice) => tell(choice.name(), run()?),
            Run::Only(..) => {}
            Run::Once(run) => tell(NO_BACKEND, run()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Result<Figures, Failure> {
        Ok(Figures { median: 1.0, floor: Err("none"), allocations: 0.0 })
    }

    fn rows(measure: &Measure, backends: &[Choice]) -> Vec<&'static str> {
        let mut rows = Vec::new();
        assert!(measure.each_row(backends, |row| rows.push(row.backend)).is_ok());
        rows
    }

    #[test]
    fn a_measure_makes_a_row_for_each_backend_that_it_is_for_and_one_if_it_is_for_none() {
        let both = [Choice::Epoll, Choice::Poll];
        assert_eq!(rows(&Measure::each("each", |_| figures()), &both), ["epoll", "poll"]);
        assert_eq!(rows(&Measure::only("only", Choice::Poll, figures), &both), ["poll"]);
        assert!(rows(&Measure::only("only", Choice::IoUring, figures), &both).is_empty());
        assert_eq!(rows(&Measure::once("once", figures), &both), ["-"]);
    }
}

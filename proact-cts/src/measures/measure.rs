//! What can be measured, and on which backends.

use super::failure::Failure;
use super::figures::{Figures, Row};
use crate::config::Configuration;

/// What stands for the backend in a row that has none.
const NO_BACKEND: &str = "-";

/// Something that can be measured.
pub struct Measure {
    /// What its rows are called, and what a filter looks into.
    pub name: &'static str,
    run: Run,
}

type Result<T> = std::result::Result<T, Failure>;

#[derive(Clone, Copy)]
enum Run {
    Each(fn(Configuration) -> Result<Figures>),
    Ring(fn(Configuration) -> Result<Figures>),
    Once(fn() -> Result<Figures>),
}

impl Measure {
    /// Makes a row for each configuration.
    pub(crate) const fn each(name: &'static str, run: fn(Configuration) -> Result<Figures>) -> Measure {
        Measure { name, run: Run::Each(run) }
    }

    /// Makes a row for each ring: the others have nothing like it.
    pub(crate) const fn ring(name: &'static str, run: fn(Configuration) -> Result<Figures>) -> Measure {
        Measure { name, run: Run::Ring(run) }
    }

    /// Touches no backend, and makes one row.
    pub(crate) const fn once(name: &'static str, run: fn() -> Result<Figures>) -> Measure {
        Measure { name, run: Run::Once(run) }
    }

    /// The rows that it makes on these, by the names that they have there.
    pub fn backends(&self, configurations: &[Configuration]) -> Vec<&'static str> {
        match self.run {
            Run::Each(_) => configurations.iter().map(|config| config.name).collect(),
            Run::Ring(_) => configurations.iter().filter(|config| config.is_ring()).map(|config| config.name).collect(),
            Run::Once(_) => vec![NO_BACKEND],
        }
    }

    /// Measures on those of `configurations` that it is for. `begin` is told of each before, and `row` of what came of
    /// it as soon as that is known.
    pub fn each_row(
        &self,
        configurations: &[Configuration],
        mut begin: impl FnMut(&'static str),
        mut row: impl FnMut(&'static str, Result<Row>),
    ) {
        let mut tell = |backend, run: &dyn Fn() -> Result<Figures>| {
            begin(backend);
            // One that panics, because something is refused that it takes for granted, ends no other.
            let figures = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(Failure::new("it panicked")));
            row(backend, figures.map(|figures| Row { name: self.name, backend, figures }));
        };
        match self.run {
            Run::Each(run) => configurations.iter().for_each(|&config| tell(config.name, &|| run(config))),
            Run::Ring(run) => {
                let rings = configurations.iter().filter(|config| config.is_ring());
                rings.for_each(|&config| tell(config.name, &|| run(config)));
            }
            Run::Once(run) => tell(NO_BACKEND, &run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::figures::Costs;
    use crate::measures::tests::settings;

    fn figures() -> Result<Figures> {
        Ok(Figures::new(1.0, Err("none"), Costs::UNKNOWN))
    }

    #[test]
    fn a_measure_makes_a_row_for_each_backend_that_it_is_for_and_one_if_it_is_for_none() {
        let rows = |measure: &Measure| {
            let (mut begun, mut rows) = (Vec::new(), Vec::new());
            measure.each_row(
                &settings(),
                |backend| begun.push(backend),
                |backend, row| {
                    assert_eq!(row.unwrap().backend, backend);
                    rows.push(backend);
                },
            );
            assert_eq!(rows, begun);
            assert_eq!(rows, measure.backends(&settings()));
            rows
        };
        assert_eq!(rows(&Measure::each("each", |_| figures())), ["io_uring", "epoll", "poll"]);
        assert_eq!(rows(&Measure::ring("ring", |_| figures())), ["io_uring"]);
        assert_eq!(rows(&Measure::once("once", figures)), ["-"]);
    }
}

//! What a measure found, and the row that it makes.

use super::compare::Timing;

/// What a measure found. A measure's own units are per operation.
#[derive(Clone, PartialEq, Debug)]
pub struct Figures {
    /// In which unit [`median`](Figures::median), [`p99`](Figures::p99) and the floor are.
    pub unit: Unit,
    /// The middle of all.
    pub median: f64,
    /// What 99 of 100 stay below; `None` where single operations are not timed.
    pub p99: Option<f64>,
    /// The least that the same work costs without the library, or why there is none.
    pub floor: Result<Floor, &'static str>,
    /// What it takes beside time.
    pub costs: Costs,
}

/// In which unit a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds an operation.
    Nanoseconds,
    /// 10⁹ bytes a second. More is better; the ratio to the floor is that of the times all the same.
    GigabytesPerSecond,
    /// Bytes of memory.
    Bytes,
}

impl Unit {
    /// As it is written behind a number.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::GigabytesPerSecond => "GB/s",
            Unit::Bytes => "B",
        }
    }
}

/// The least that the same work costs without the library.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Floor {
    /// The middle of all.
    pub median: f64,
    /// How many times as much the library takes: more than 1 is more.
    pub ratio: f64,
}

/// What an operation takes beside time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// Allocations and reallocations; `None` where nobody counts them: see [`Counter`](super::Counter).
    pub allocations: Option<f64>,
    /// Times the poll thread entered the kernel; `None` where no proactor takes part, or one on another thread does.
    pub enters: Option<f64>,
    /// Processor time of all threads of the process, the kernel's included, in nanoseconds.
    pub cpu: Option<f64>,
}

impl Costs {
    /// Nothing but the time is known.
    pub(crate) const UNKNOWN: Costs = Costs { allocations: None, enters: None, cpu: None };
}

impl Figures {
    pub(crate) fn new(median: f64, floor: Result<Floor, &'static str>, costs: Costs) -> Figures {
        Figures { unit: Unit::Nanoseconds, median, p99: None, floor, costs }
    }

    /// What came of timing rounds of so many operations. `absent` says why there is no floor, where there is none.
    pub(crate) fn of(timing: Timing, each: f64, absent: &'static str, costs: Costs) -> Figures {
        let floor = timing.floor.map(|(median, ratio)| Floor { median: median / each, ratio }).ok_or(absent);
        Figures { p99: timing.p99.map(|p99| p99 / each), ..Figures::new(timing.subject / each, floor, costs) }
    }

    /// The same as bytes a second, of operations of so many bytes.
    pub(crate) fn throughput(self, bytes: f64) -> Figures {
        Figures {
            unit: Unit::GigabytesPerSecond,
            median: bytes / self.median,
            // A tail of the time is no tail of a rate.
            p99: None,
            floor: self.floor.map(|floor| Floor { median: bytes / floor.median, ..floor }),
            costs: self.costs,
        }
    }
}

/// One row of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What is measured.
    pub name: &'static str,
    /// On which configuration, or `-` where none has a part in it.
    pub backend: &'static str,
    /// What came of it.
    pub figures: Figures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_bytes_over_the_time_and_its_ratio_stays_that_of_the_times() {
        let timing = Timing { subject: 2000.0, floor: Some((1000.0, 2.0)), p99: Some(4000.0) };
        let figures = Figures::of(timing, 2.0, "", Costs::UNKNOWN);
        assert_eq!((figures.median, figures.p99), (1000.0, Some(2000.0)));
        let rate = figures.throughput(4000.0);
        assert_eq!((rate.unit, rate.median, rate.p99), (Unit::GigabytesPerSecond, 4.0, None));
        assert_eq!(rate.floor, Ok(Floor { median: 8.0, ratio: 2.0 }));
    }
}

//! How long operations take, from submit to the pass that delivers them.

use std::time::Duration;

/// Values below this have a bucket each.
const LINEAR: u64 = 16;
/// Buckets of each power of two above.
const STEPS: usize = 8;
const BUCKETS: usize = LINEAR as usize + (64 - LINEAR.ilog2() as usize) * STEPS;

/// How many operations took how long: a histogram over all times that fit in 64 bits of nanoseconds, each to within an
/// eighth. It never allocates after it was made.
///
/// Kept where [`Builder::measure_latencies`](crate::proactor::Builder::measure_latencies) asks for it. One clock read
/// serves a whole submit and one a whole pass, so the times include the wait for the pass, and operations of one pass
/// share its time.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    longest: u64,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies { buckets: Box::new([0; BUCKETS]), count: 0, longest: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    /// How many operations were measured.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// The time that `part` of the operations did not exceed, to within an eighth above it: 0.5 is the median, 0.99 the
    /// 99th percentile. Zero when nothing was measured.
    ///
    /// # Panics
    /// If `part` is not within 0 and 1.
    pub fn quantile(&self, part: f64) -> Duration {
        assert!((0.0..=1.0).contains(&part), "a part of {part}");
        let wanted = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper(index).min(self.longest));
            }
        }
        self.longest()
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < LINEAR {
        return nanoseconds as usize;
    }
    let power = nanoseconds.ilog2();
    let step = (nanoseconds >> (power - STEPS.ilog2())) as usize % STEPS;
    LINEAR as usize + (power - LINEAR.ilog2()) as usize * STEPS + step
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    if index < LINEAR as usize {
        return index as u64;
    }
    let above = index - LINEAR as usize;
    let power = LINEAR.ilog2() + (above / STEPS) as u32;
    let width = 1u64 << (power - STEPS.ilog2());
    // The last bucket ends with the last number there is.
    (1u64 << power).wrapping_add(width.wrapping_mul((above % STEPS) as u64 + 1)).wrapping_sub(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_an_eighth_of_its_buckets_end() {
        for value in (0..1000).chain((0..64).flat_map(|bit| [1u64 << bit, (1u64 << bit) + 1, u64::MAX >> bit])) {
            let end = upper(bucket(value));
            assert!(end >= value && end - value <= value / 8, "{value} is told as {end}");
            assert!(bucket(end) == bucket(value) && (end == u64::MAX || bucket(end + 1) == bucket(value) + 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=100).for_each(|value| latencies.record(Duration::from_micros(value)));
        let within = |part: f64, micros: u64| {
            let told = latencies.quantile(part).as_nanos() as u64;
            assert!(told >= micros * 1000 && told <= micros * 1125, "{part}: {told}");
        };
        within(0.5, 50);
        within(0.99, 99);
        assert_eq!(latencies.quantile(1.0), Duration::from_micros(100));
        assert_eq!((latencies.count(), latencies.longest()), (100, Duration::from_micros(100)));
    }
}

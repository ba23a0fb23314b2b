//! Timing two things against each other on a machine that others use too.

use std::time::{Duration, Instant};

use super::effort;

/// Short enough that most slices are not interrupted, long enough that reading the clock does not show.
const SLICE: Duration = Duration::from_micros(200);
/// Pairs of slices: odd, so that a median is one of them.
const PAIRS: usize = 1001;
/// So many are made in any case. No more than that are, once [`BUDGET`] is spent: on a machine that is busy, or where a
/// round takes longer than a slice.
const PAIRS_MIN: usize = 31;
const BUDGET: Duration = Duration::from_millis(500);
/// Slices that a number of rounds has to fill.
const TRIED: usize = 3;
/// Slices that are thrown away first, until caches, branches and tables have settled.
const WARM_UP: usize = 50;

/// What came of timing something alone, or against its floor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Timing {
    /// Nanoseconds of a round: the median of the slices.
    pub(crate) subject: f64,
    /// Nanoseconds of the floor's round, and the median of each pair's own ratio: a pair's two slices follow each other
    /// at once, so that a machine that slows down slows both.
    pub(crate) floor: Option<(f64, f64)>,
    /// What 99 of 100 rounds of the subject stay below, where each is timed.
    pub(crate) p99: Option<f64>,
}

/// Times rounds of `subject`, in turn with rounds of `floor` where there is one.
pub(crate) fn compare(subject: impl FnMut(), floor: Option<impl FnMut()>) -> Timing {
    let (pairs, ..) = pairs_of(subject, floor, slice);
    judge(&pairs)
}

/// As [`compare`], with every round of the subject timed by itself: for what takes microseconds and whose tail matters.
/// The floor's rounds are timed the same way, so that both pay for the looks at the clock.
pub(crate) fn compare_each(subject: impl FnMut(), floor: Option<impl FnMut()>) -> Timing {
    let (pairs, rounds, below) = pairs_of(subject, floor, |work, count, rounds| {
        let start = Instant::now();
        let mut last = start;
        for _ in 0..count {
            work();
            let now = Instant::now();
            rounds.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
            last = now;
        }
        (last - start).as_nanos() as f64 / f64::from(count)
    });
    judge_each(&pairs, &rounds, &below)
}

/// The medians of all rounds, and not of slices' means, are what the tail belongs to; the ratio is of slices in turn.
fn judge_each(pairs: &[Pair], rounds: &[u32], below: &[u32]) -> Timing {
    let all = |rounds: &[u32]| rounds.iter().copied().map(f64::from).collect::<Vec<_>>();
    let floor = judge(pairs).floor.map(|(_, ratio)| (median(all(below)), ratio));
    Timing { subject: median(all(rounds)), floor, p99: Some(part(&mut all(rounds), 99)) }
}

/// A slice's time of the subject, and of the floor.
type Pair = (f64, Option<f64>);

/// Times slices of both sides in turn by `slice`, which may note rounds: the subject's, and the floor's.
fn pairs_of(
    mut subject: impl FnMut(),
    mut floor: Option<impl FnMut()>,
    slice: impl Fn(&mut dyn FnMut(), u32, &mut Vec<u32>) -> f64,
) -> (Vec<Pair>, Vec<u32>, Vec<u32>) {
    let rounds = rounds_of(&mut subject);
    let floor_rounds = floor.as_mut().map_or(0, |floor| rounds_of(floor));
    let budget = effort::budget(BUDGET);
    let (pairs_max, pairs_min) = (effort::rounds(PAIRS), effort::rounds(PAIRS_MIN));
    let (mut noted, mut others) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for turn in 0..effort::rounds(WARM_UP) {
        if turn >= PAIRS_MIN / 10 && start.elapsed() > budget / 10 {
            break;
        }
        slice(&mut subject, rounds, &mut others);
        if let Some(floor) = &mut floor {
            slice(floor, floor_rounds, &mut others);
        }
        others.clear();
    }
    // From here on those of the floor.
    let mut pairs = Vec::with_capacity(pairs_max);
    for pair in 0..pairs_max {
        if pair >= pairs_min && start.elapsed() > budget {
            break;
        }
        let mut below = || floor.as_mut().map(|floor| slice(floor, floor_rounds, &mut others));
        // Who goes first changes, so that neither is always the one that finds the caches cold.
        pairs.push(if pair % 2 == 0 {
            let below = below();
            (slice(&mut subject, rounds, &mut noted), below)
        } else {
            let above = slice(&mut subject, rounds, &mut noted);
            (above, below())
        });
    }
    (pairs, noted, others)
}

fn judge(pairs: &[Pair]) -> Timing {
    let floors: Vec<f64> = pairs.iter().filter_map(|pair| pair.1).collect();
    let ratios = pairs.iter().filter_map(|&(subject, floor)| Some(subject / floor?)).collect();
    Timing {
        subject: median(pairs.iter().map(|pair| pair.0).collect()),
        floor: (!floors.is_empty()).then(|| (median(floors), median(ratios))),
        p99: None,
    }
}

/// The middle of `values`, or the mean of the two in the middle.
///
/// # Panics
///
/// When there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The least of `values` that so many of a hundred are not above: of few, the largest, since nothing is known beyond.
///
/// # Panics
///
/// When there is none.
pub(crate) fn part(values: &mut [f64], hundredths: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() * hundredths).div_ceil(100).max(1) - 1]
}

/// How many rounds fill a slice. One that was interrupted may have been filled by the interruption: so they must fill
/// several, or the look at the clock would be most of what is measured.
fn rounds_of(work: &mut impl FnMut()) -> u32 {
    let mut rounds = 1;
    let length = effort::budget(SLICE);
    let mut fills = |rounds| {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        start.elapsed() >= length
    };
    while rounds < 1 << 20 && !(0..TRIED).all(|_| fills(rounds)) {
        rounds *= 2;
    }
    rounds
}

/// Nanoseconds that a round took, over one slice.
fn slice(work: &mut dyn FnMut(), rounds: u32, _: &mut Vec<u32>) -> f64 {
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    start.elapsed().as_nanos() as f64 / f64::from(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_the_two_middle_ones() {
        assert_eq!(median(vec![3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 100.0, 2.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn the_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians() {
        // The machine got four times slower for the second pair: both sides did.
        let timing = judge(&[(11.0, Some(10.0)), (44.0, Some(40.0)), (60.0, Some(20.0))]);
        assert_eq!(timing, Timing { subject: 44.0, floor: Some((20.0, 1.1)), p99: None });
    }

    #[test]
    fn a_part_is_what_so_many_are_not_above_and_of_few_the_largest() {
        let mut hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50, 99, 100].map(|hundredths| part(&mut hundred, hundredths)), [50.0, 99.0, 100.0]);
        assert_eq!(part(&mut [1.0, 7.0, 2.0], 99), 7.0);
        assert_eq!(part(&mut [3.0], 50), 3.0);
    }

    #[test]
    fn the_tail_is_that_of_single_rounds_and_not_of_slices() {
        // Two of a hundred rounds are slow, in slices whose means hide them.
        let rounds: Vec<u32> = (0..100).map(|round| if round % 50 == 7 { 9000 } else { 100 }).collect();
        let below = vec![50; 100];
        let timing = judge_each(&[(278.0, Some(50.0)), (278.0, Some(50.0))], &rounds, &below);
        assert_eq!((timing.subject, timing.p99), (100.0, Some(9000.0)));
        assert_eq!(timing.floor, Some((50.0, 5.56)));
    }

    #[test]
    fn without_a_floor_there_is_no_ratio() {
        assert_eq!(judge(&[(5.0, None), (6.0, None), (9.0, None)]), Timing { subject: 6.0, floor: None, p99: None });
    }

    #[test]
    fn both_sides_run_the_same_number_of_slices() {
        let (mut subject, mut floor) = (0u64, 0u64);
        let wait = || std::thread::sleep(SLICE);
        // Every round fills a slice, so that rounds are slices; the first ones find that out.
        let timing = compare(|| (wait(), subject += 1).1, Some(|| (wait(), floor += 1).1));
        assert_eq!(subject, floor);
        let all = (PAIRS + WARM_UP + TRIED) as u64;
        assert!(((PAIRS_MIN + TRIED) as u64..=all).contains(&subject), "{subject} of {all} slices");
        assert!(timing.subject >= SLICE.as_nanos() as f64 && timing.floor.is_some());
    }

    #[test]
    fn each_round_is_timed_where_the_tail_is_asked_for() {
        const SLOW: Duration = Duration::from_millis(20);
        let (mut turn, mut fastest) = (0, f64::MAX);
        // Every other round is slow, so that of any three that follow each other one is.
        let subject = || {
            turn += 1;
            let start = Instant::now();
            std::thread::sleep(if turn % 2 == 0 { SLOW } else { SLICE });
            fastest = fastest.min(start.elapsed().as_nanos() as f64);
        };
        let timing = effort::Effort::Quick.scope(|| compare_each(subject, None::<fn()>));
        let tail = timing.p99.expect("each round was timed");
        assert!(tail >= SLOW.as_nanos() as f64, "the slow rounds are lost: {timing:?}");
        assert!(timing.subject >= fastest, "{timing:?}");
    }
}

//! How far it is: a bar on a terminal, plain lines elsewhere, nothing with `--json`.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use proact::time::Time;

/// Plain lines come at most this often.
const LINE_PERIOD_MIN: Duration = Duration::from_secs(1);
/// A plain line comes at least this often while bytes move, even if hardly any have.
const LINE_PERIOD_MAX: Duration = Duration::from_secs(10);
/// Between the two, a plain line comes for each such part of the whole.
const LINE_PARTS: u64 = 20;
/// A longer time left is not told.
const LEFT_MAX: Duration = Duration::from_secs(1000 * 3600);

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// A bar on standard error.
    Bar,
    /// Lines on standard error.
    Lines,
    /// Nothing.
    Silent,
}

impl Style {
    /// What suits this process: silent with `--json`, a bar when standard error is a terminal, else lines.
    pub fn choose(json: bool) -> Style {
        match (json, io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        }
    }
}

/// Shows how far a transfer is. It starts no thread, and never fails: a closed standard error is no reason to stop.
pub struct Progress {
    show: Show,
    total: u64,
    done: u64,
}

enum Show {
    Bar(ProgressBar),
    Lines(Lines, Box<dyn Write + Send>),
    Silent,
}

impl Progress {
    /// Progress of `total` bytes, begun at `now`.
    pub fn new(style: Style, total: u64, now: Time) -> Progress {
        let show = match style {
            Style::Bar => Show::Bar(bar(total)),
            Style::Lines => Show::Lines(Lines::new(now), Box::new(io::stderr())),
            Style::Silent => Show::Silent,
        };
        Progress { show, total, done: 0 }
    }

    /// `bytes` more have moved by `now`. Cheap enough for every chunk: it draws only what is new.
    pub fn advance(&mut self, bytes: u64, now: Time) {
        self.done = self.done.saturating_add(bytes);
        match &mut self.show {
            Show::Bar(bar) => bar.inc(bytes),
            Show::Lines(lines, out) => {
                if let Some(line) = lines.next(self.done, self.total, now) {
                    let _ = writeln!(out, "{line}");
                }
            }
            Show::Silent => {}
        }
    }

    /// Names what is being moved now.
    pub fn name(&mut self, name: &impl std::fmt::Display) {
        if let Show::Bar(bar) = &self.show {
            bar.set_message(name.to_string());
        }
    }

    /// Takes the bar away, so that the report or the failure stands alone.
    pub fn finish(self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    // The longest numbers still fit a line of 80 columns.
    let template =
        "{bar:20} {percent:>3}% {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec}, {eta} left {wide_msg}";
    let style = ProgressStyle::with_template(template).expect("the template is constant and valid");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}

/// When a plain line is due, and what it says.
struct Lines {
    start: Time,
    last: Time,
    /// Parts of the whole, out of [`LINE_PARTS`], that the last line told of.
    parts: u64,
}

impl Lines {
    fn new(now: Time) -> Lines {
        Lines { start: now, last: now, parts: 0 }
    }

    fn next(&mut self, done: u64, total: u64, now: Time) -> Option<String> {
        let quiet = now - self.last;
        // 128 bits: the product of two 64-bit counts must not overflow.
        let parts = share(done, total, LINE_PARTS);
        let due = quiet >= LINE_PERIOD_MIN && (parts > self.parts || quiet >= LINE_PERIOD_MAX);
        // The report that follows tells the end.
        if !due || done >= total {
            return None;
        }
        (self.last, self.parts) = (now, parts);
        let seconds = (now - self.start).as_secs_f64();
        let rate = done as f64 / seconds;
        let left = match Duration::try_from_secs_f64((total - done) as f64 / rate) {
            Ok(left) if left < LEFT_MAX => format!("{} left", HumanDuration(left)),
            // Nothing moved yet, or next to nothing: any figure would be a guess.
            _ => String::from("time left unknown"),
        };
        let (percent, rate) = (share(done, total, 100), BinaryBytes(rate as u64));
        let (done, total) = (BinaryBytes(done), BinaryBytes(total));
        Some(format!("{percent:>3}% {done} of {total}, {rate}/s, {left}"))
    }
}

/// `done / total` in `parts`, rounded down.
fn share(done: u64, total: u64, parts: u64) -> u64 {
    let share = u128::from(done.min(total)) * u128::from(parts) / u128::from(total.max(1));
    u64::try_from(share).unwrap_or(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const MIB: u64 = 1 << 20;

    fn at(milliseconds: u64) -> Time {
        Time::ORIGIN + Duration::from_millis(milliseconds)
    }

    #[test]
    fn lines_come_at_most_once_a_second_and_only_for_another_twentieth() {
        let mut lines = Lines::new(at(0));
        let total = 100 * MIB;
        assert_eq!(lines.next(50 * MIB, total, at(999)), None, "too early");
        assert_eq!(
            lines.next(50 * MIB, total, at(1000)).unwrap(),
            " 50% 50.00 MiB of 100.00 MiB, 50.00 MiB/s, 1 second left"
        );
        assert_eq!(lines.next(60 * MIB, total, at(1999)), None, "too early again");
        assert_eq!(lines.next(54 * MIB, total, at(3000)), None, "too little");
        assert!(lines.next(55 * MIB, total, at(3000)).is_some());
    }

    #[test]
    fn a_slow_transfer_is_heard_of_every_ten_seconds_and_the_end_is_left_to_the_report() {
        let mut lines = Lines::new(at(0));
        assert_eq!(lines.next(1, 100 * MIB, at(9_999)), None);
        assert!(lines.next(1, 100 * MIB, at(10_000)).unwrap().starts_with("  0% 1 B of 100.00 MiB, 0 B/s, "));
        assert_eq!(lines.next(100 * MIB, 100 * MIB, at(60_000)), None);
    }

    #[test]
    fn extreme_counts_neither_overflow_nor_divide_by_zero() {
        assert_eq!(share(u64::MAX, u64::MAX, 100), 100);
        assert_eq!(share(u64::MAX / 2, u64::MAX, 100), 49);
        assert_eq!(share(0, 0, 100), 0);
        let mut lines = Lines::new(at(0));
        let nothing = lines.next(0, u64::MAX, at(20_000)).unwrap();
        assert!(nothing.starts_with("  0% 0 B of ") && nothing.ends_with(" 0 B/s, time left unknown"), "{nothing}");
        assert_eq!(lines.next(0, 0, at(40_000)), None);
    }

    #[test]
    fn lines_go_to_the_writer_and_silence_writes_nothing() {
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let out = Shared::default();
        let mut progress =
            Progress { show: Show::Lines(Lines::new(at(0)), Box::new(out.clone())), total: 100, done: 0 };
        progress.advance(40, at(500));
        progress.advance(40, at(2000));
        progress.finish();
        assert_eq!(out.0.lock().unwrap().as_slice(), b" 80% 80 B of 100 B, 40 B/s, 1 second left\n");
        let mut silent = Progress::new(Style::Silent, 10, at(0));
        silent.name(&"file");
        silent.advance(10, at(5000));
        assert_eq!(silent.done, 10);
        silent.finish();
        assert_eq!(Style::choose(true), Style::Silent);
    }

    #[test]
    fn a_bar_can_be_made_and_driven_without_a_terminal() {
        let mut progress = Progress::new(Style::Bar, 10, at(0));
        progress.name(&"file");
        progress.advance(10, at(1));
        progress.finish();
    }
}

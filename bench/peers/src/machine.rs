//! What the rounds were measured on. Nothing that names the machine: no host, no path, no user.

use std::fs::read_to_string;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A machine, when a run began on it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    /// How many of them this program may use. `None` in older files.
    #[serde(default)]
    pub usable: Option<usize>,
    /// What was measured: its version, commit and programs, as whoever ran it says. `None`: nobody has.
    #[serde(default)]
    pub program: Option<String>,
    pub kernel: String,
    /// Of the processor's clock, where the system tells.
    pub governor: Option<String>,
    /// As `YYYY-MM-DD`, in UTC.
    pub date: String,
    /// Average of the minute before.
    pub load: f64,
}

impl Machine {
    pub fn here(program: Option<&str>) -> Machine {
        let processors = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let trimmed = |path| read_to_string(path).ok().map(|text| text.trim().to_owned());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Machine {
            processor: model.map_or("unknown".into(), |(_, name)| name.trim().into()),
            processors: processors.lines().filter(|line| line.starts_with("processor")).count(),
            usable: Some(crate::pin::allowed().len()),
            program: program.map(String::from),
            kernel: kernel(&trimmed("/proc/sys/kernel/osrelease").unwrap_or_default()),
            governor: trimmed("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            date: date(seconds / 86_400),
            load: load(),
        }
    }
}

/// The numbers alone: what distributions and hosts append tells where it was built.
fn kernel(release: &str) -> String {
    release.split(|sign: char| sign != '.' && !sign.is_ascii_digit()).next().unwrap_or_default().into()
}

/// The load average of the last minute.
pub fn load() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// The day that is so many days after 1970-01-01.
fn date(mut days: u64) -> String {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let (mut year, mut month) = (1970, 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!([0, 59, 789, 20_778].map(date), ["1970-01-01", "1970-03-01", "1972-02-29", "2026-11-21"]);
    }

    #[test]
    fn a_kernels_name_is_its_numbers() {
        assert_eq!((kernel("6.18.44-host-v1"), kernel("6.1.0")), ("6.18.44".into(), "6.1.0".into()));
    }
}

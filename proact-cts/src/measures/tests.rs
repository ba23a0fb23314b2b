use std::collections::HashSet;

use proact::proactor::Choice;

use super::*;
use crate::config::{self, Configuration};

/// Every backend, whole.
pub(crate) fn settings() -> Vec<Configuration> {
    config::all().iter().copied().filter(|config| config.is_whole() && !config.is_simulated()).collect()
}

/// One backend, whole.
pub(crate) fn whole(choice: Choice) -> Configuration {
    *settings().iter().find(|config| config.choice == choice).expect("every backend is listed")
}

fn names(filter: Option<&str>) -> Vec<&'static str> {
    selected(filter).map(|measure| measure.name).collect()
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let names = names(None);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn a_filter_selects_by_a_part_of_the_name_and_its_absence_selects_all() {
    assert_eq!(names(Some("p/12")), ["nop/128"]);
    assert!(names(Some("absent")).is_empty());
    assert_eq!(names(None).len(), ALL.iter().map(|rows| rows.len()).sum::<usize>());
    assert_eq!(names(Some("tracker/")).len(), 6);
}

/// Figures that this project has promised: each is a row, and stays one.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn what_was_promised_is_measured() {
    let names = names(None);
    let promised = include_str!("promised.txt").lines();
    let missing: Vec<_> = promised.filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

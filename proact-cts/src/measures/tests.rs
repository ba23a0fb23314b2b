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

/// Floors with other flags, or without the registered descriptor, would be slower than a ring can be, and flatter us.
#[test]
fn no_floor_makes_a_ring_but_the_one_that_is_made_as_ours_are() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/measures");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return eprintln!("skipped: the sources are not here");
    };
    // In two parts, or this file would name it.
    let makes =
        |text: &str| [concat!("IoUring", "::"), concat!("register_", "ring_fd")].iter().any(|name| text.contains(name));
    let makers: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| makes(&std::fs::read_to_string(path).unwrap()))
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(makers, ["floor.rs"]);
}

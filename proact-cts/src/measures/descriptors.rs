//! Whether a process may have as many descriptors as a measure takes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;

/// What a process has open beside those that a measure counts: its proactors, standard streams, files of the test.
const BESIDE: u64 = 256;

/// Sees to it that `count` may be opened, as far as this process may raise its own limit. A machine, container or shell
/// that grants fewer lacks what the measure takes, and is told what that is.
pub(crate) fn descriptors(count: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    // A failure leaves what there was, which is looked at below.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    enough(count + BESIDE, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

fn enough(needed: u64, granted: u64) -> Result<(), Failure> {
    if granted >= needed {
        return Ok(());
    }
    Err(Failure::lacking(format!("it takes {needed} descriptors, and this process may have {granted} (ulimit -Hn)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_are_told_with_both_numbers_and_are_no_failure_of_the_library() {
        assert_eq!(enough(1000, 1000), Ok(()));
        let failure = enough(12_544, 1024).unwrap_err();
        assert!(failure.is_lacking());
        let told = failure.to_string();
        assert!(told.contains("12544 descriptors") && told.contains("may have 1024"), "{told}");
    }

    #[test]
    fn a_measure_that_needs_few_has_them() {
        assert_eq!(descriptors(1), Ok(()));
    }
}

//! The configurations that every case runs on.
//!
//! They are derived from what each backend says of itself in [`survey`], so that a new capability is masked in turn
//! from the day on which its backend reports it: the backend whole, the backend without each of its capabilities, and
//! the backend without any.

use std::cell::RefCell;
use std::sync::OnceLock;

use proact::backend::Capabilities;
use proact::proactor::{BackendReport, Builder, Choice, survey};
use proact::simulated::{Host, World};

/// One way to run proact: a backend, and which of its capabilities are masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// The first part of every case's name: `io_uring`, `io_uring_no_kernel_chains`, `io_uring_minimal`.
    pub name: &'static str,
    /// The backend, forced. `Auto` where it is [simulated](Configuration::is_simulated).
    pub choice: Choice,
    /// What is masked: the paths that a lesser machine would take.
    pub masked: Capabilities,
}

/// All of them, the whole backends first among their own.
///
/// What a machine lacks cannot be masked: a capability that was not found here makes no configuration, since that would
/// be another one under a second name. A backend that cannot be had here stays in the list, whole and with everything
/// masked, and its cases are reported as skipped.
pub fn all() -> &'static [Configuration] {
    static ALL: OnceLock<Vec<Configuration>> = OnceLock::new();
    ALL.get_or_init(|| {
        let simulated = Configuration { name: "simulated", choice: Choice::Auto, masked: Capabilities::empty() };
        survey().iter().flat_map(of_backend).chain([simulated]).collect()
    })
}

thread_local! {
    /// The world of a case: one a thread, as worlds are, and each case has a thread of its own.
    static WORLD: RefCell<World> = RefCell::new(World::new(1));
}

fn of_backend(report: &BackendReport) -> Vec<Configuration> {
    let backend = report.choice.name();
    let found = report.capabilities.iter().filter(|line| line.detected);
    let found = found.fold(Capabilities::empty(), |found, line| found | line.capability);
    let configuration = |name: String, masked| Configuration { name: name.leak(), choice: report.choice, masked };
    let mut configurations = vec![configuration(backend.to_owned(), Capabilities::empty())];
    for (name, capability) in found.iter_names() {
        configurations.push(configuration(format!("{backend}_no_{}", name.to_lowercase()), capability));
    }
    // With one capability, the backend without any is there already.
    if found.iter().count() != 1 {
        configurations.push(configuration(format!("{backend}_minimal"), Capabilities::all()));
    }
    configurations
}

impl Configuration {
    /// A builder of such a proactor. The environment has no say in it.
    pub fn builder(&self) -> Builder {
        if self.is_simulated() {
            return self.host().builder().name(self.name);
        }
        Builder::new().backend(self.choice).allow(Capabilities::all() - self.masked).name(self.name)
    }

    /// Whether it is a simulated world, and not this machine.
    pub fn is_simulated(&self) -> bool {
        self.choice == Choice::Auto
    }

    /// The simulated host of the case that this thread runs.
    pub fn host(&self) -> Host {
        WORLD.with(|world| world.borrow().host("case"))
    }

    /// Has the simulated host of this thread's case be another one from now on, with an empty disk.
    pub fn new_world(&self) {
        WORLD.set(World::new(1));
    }

    /// Whether it is a ring.
    pub fn is_ring(&self) -> bool {
        self.choice == Choice::IoUring
    }

    /// Whether nothing of its backend is masked.
    pub fn is_whole(&self) -> bool {
        self.masked.is_empty()
    }

    /// What it can do on this machine, or why it cannot be had here.
    pub fn detect(&self) -> Result<Capabilities, String> {
        let builder = self.builder();
        let detect = || builder.build().map(|proactor| proactor.handle().capabilities());
        detect().map_err(|status| status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact::backend::CapabilityReport;

    fn line(capability: Capabilities, detected: bool) -> CapabilityReport {
        CapabilityReport { capability, name: "made up", since: "0", detected, note: String::new() }
    }

    fn names(lines: &[(Capabilities, bool)]) -> Vec<&'static str> {
        let capabilities = lines.iter().map(|(capability, detected)| line(*capability, *detected)).collect();
        let report = BackendReport { choice: Choice::Epoll, usable: Ok(()), capabilities };
        of_backend(&report).iter().map(|configuration| configuration.name).collect()
    }

    #[test]
    fn every_capability_that_was_found_is_masked_in_turn() {
        let found = [(Capabilities::KERNEL_CHAINS, true), (Capabilities::KERNEL_FILES, true)];
        assert_eq!(names(&found), ["epoll", "epoll_no_kernel_chains", "epoll_no_kernel_files", "epoll_minimal"]);
    }

    #[test]
    fn what_is_missing_makes_no_configuration_and_one_capability_only_one() {
        let one = [(Capabilities::NANOSECOND_WAITS, true), (Capabilities::KERNEL_FILES, false)];
        assert_eq!(names(&one), ["epoll", "epoll_no_nanosecond_waits"]);
        assert_eq!(names(&[]), ["epoll", "epoll_minimal"]);
    }

    #[test]
    fn names_are_unique_and_every_backend_of_the_survey_is_there() {
        let mut names: Vec<_> = all().iter().map(|configuration| configuration.name).collect();
        for report in survey() {
            assert!(names.contains(&report.choice.name()), "{} is missing", report.choice.name());
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

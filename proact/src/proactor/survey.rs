//! What this machine can do, and why not.

use super::Choice;
use crate::backend::CapabilityReport;
use crate::status::Status;

/// What was found of one backend.
#[derive(Clone, Debug)]
pub struct BackendReport {
    /// Which.
    pub choice: Choice,
    /// Whether it works here; if not, the cause, found by a real attempt.
    pub usable: Result<(), Status>,
    /// Its capabilities, with the kernel version that brought each. Empty when it is not usable.
    pub capabilities: Vec<CapabilityReport>,
}

/// Tries every backend of this build, best first, and tells what each can do here.
///
/// ```
/// for report in proact::proactor::survey() {
///     match report.usable {
///         Ok(()) => println!("{}: {} capabilities", report.choice.name(), report.capabilities.len()),
///         Err(why) => println!("{}: {why}", report.choice.name()),
///     }
/// }
/// ```
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn survey() -> Vec<BackendReport> {
    use crate::backend::{io_uring, readiness};
    let report = |choice, (usable, capabilities)| BackendReport { choice, usable, capabilities };
    vec![
        report(Choice::IoUring, io_uring::report()),
        report(Choice::Epoll, readiness::Epoll::report()),
        report(Choice::Poll, readiness::Poll::report()),
    ]
}

/// Tries every backend of this build, best first, and tells what each can do here. There is none for this system yet.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn survey() -> Vec<BackendReport> {
    Vec::new()
}

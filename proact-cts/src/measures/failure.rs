//! Why a measure could not be made.

use std::fmt;

use proact::status::Status;

/// Why a measure could not be made: what was at work, and the cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    text: String,
    lacking: bool,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), lacking: false }
    }

    /// What befell `subject`.
    pub(crate) fn status(subject: impl fmt::Display, status: &Status) -> Failure {
        Failure::new(format!("{subject}: {status}"))
    }

    /// This machine, or what it lets a process have, is too small for the measure.
    pub(crate) fn lacking(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), lacking: true }
    }

    /// Whether it is the machine that lacks something, and nothing is broken: a test is skipped then, and says why.
    pub fn is_lacking(&self) -> bool {
        self.lacking
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::new(status.to_string())
    }
}

impl From<proact_vm::Error> for Failure {
    fn from(error: proact_vm::Error) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(format!("the floor: {error}"))
    }
}

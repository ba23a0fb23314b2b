//! Why a measure could not be made.

use std::fmt;

use proact::status::Status;

/// Why a measure could not be made: what was at work, and the cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }

    /// What befell `subject`.
    pub(crate) fn status(subject: impl fmt::Display, status: &Status) -> Failure {
        Failure(format!("{subject}: {status}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure(status.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(format!("the floor: {error}"))
    }
}

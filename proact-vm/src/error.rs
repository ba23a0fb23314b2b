//! What went wrong in a call: a code, words, the cause, and where in the program it arose.

use std::borrow::Cow;
use std::fmt;

use proact::status::{Code, Status};

/// A result whose failure is an [`Error`].
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Which call it was, for traces, logs and errors: unique in the process.
///
/// A concurrent context gives each invocation one of its own; in a context that is not concurrent all have the
/// context's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CallId(pub(crate) u64);

impl CallId {
    /// The id as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What kind of frame a backtrace names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FrameKind {
    /// A function written in Rust.
    Native,
    /// A function of a loaded program.
    Program,
    /// A wait, above the frame that waits.
    Wait,
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameKind::Native => "native",
            FrameKind::Program => "program",
            FrameKind::Wait => "wait",
        })
    }
}

/// One line of a backtrace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BacktraceFrame {
    /// 0 for the function that the host called.
    pub depth: usize,
    /// Whose frame.
    pub kind: FrameKind,
    /// `module.function`, or what is waited for.
    pub function: String,
    /// The place within the function, as its module counts.
    pub pc: Option<u64>,
    /// The place in the source, where the module knows it.
    pub source: Option<String>,
}

impl fmt::Display for BacktraceFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.depth, self.kind, self.function)?;
        if let Some(pc) = self.pc {
            write!(f, ":{pc}")?;
        }
        match &self.source {
            Some(source) => write!(f, " at {source}"),
            None => Ok(()),
        }
    }
}

/// A failure of the machine, or of a function that ran on it. One word; made only when something failed.
///
/// ```
/// use proact::status::Code;
/// use proact_vm::Error;
///
/// let error = Error::new(Code::NotFound, "no such function").about("math.div");
/// assert_eq!(error.code(), Code::NotFound);
/// assert_eq!(error.to_string(), "math.div: no such function (NOT_FOUND)");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    about: Option<Cow<'static, str>>,
    status: Option<Status>,
    backtrace: Option<Vec<BacktraceFrame>>,
    call: Option<CallId>,
}

impl Error {
    /// A failure with words of its own. `Code::Ok` is no failure and becomes `Internal`.
    #[cold]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Error {
        let code = if code == Code::Ok { Code::Internal } else { code };
        let message = message.into();
        Error(Box::new(Inner { code, message, about: None, status: None, backtrace: None, call: None }))
    }

    /// The request itself is wrong.
    #[cold]
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::InvalidArgument, message)
    }

    /// The state is not one in which this can be done.
    #[cold]
    pub fn precondition(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::FailedPrecondition, message)
    }

    /// An invariant of a module or of the machine is broken.
    #[cold]
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::Internal, message)
    }

    /// Time ran out.
    #[cold]
    pub fn deadline_exceeded() -> Error {
        Error::new(Code::DeadlineExceeded, "the deadline has passed")
    }

    /// Says what it is about: a function, a file. The outermost stands first.
    #[must_use]
    #[cold]
    pub fn about(mut self, what: impl Into<Cow<'static, str>>) -> Error {
        let what = what.into();
        self.0.about = Some(match self.0.about.take() {
            Some(inner) => Cow::Owned(format!("{what}: {inner}")),
            None => what,
        });
        self
    }

    /// What kind of failure it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The words, without the code.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The failure of an operation of proact that it came from.
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }

    /// The frames that stood when it arose, the innermost first. Empty when no call was under way.
    pub fn backtrace(&self) -> &[BacktraceFrame] {
        self.0.backtrace.as_deref().unwrap_or_default()
    }

    /// The call in which it arose.
    pub fn call(&self) -> Option<CallId> {
        self.0.call
    }

    /// Whether the code is [`Code::Cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.code() == Code::Cancelled
    }

    /// Whether it carries the frames of an outer call already.
    pub(crate) fn has_backtrace(&self) -> bool {
        self.0.backtrace.is_some()
    }

    #[cold]
    pub(crate) fn located(mut self, call: CallId, backtrace: Vec<BacktraceFrame>) -> Error {
        self.0.call = Some(call);
        self.0.backtrace = Some(backtrace);
        self
    }
}

impl From<Status> for Error {
    #[cold]
    fn from(status: Status) -> Error {
        let mut error = Error::new(status.code(), status.to_string());
        error.0.status = Some(status);
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(about) = &self.0.about {
            write!(f, "{about}: ")?;
        }
        match &self.0.status {
            Some(_) => f.write_str(&self.0.message),
            None => write!(f, "{} ({})", self.0.message, self.0.code),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Some(call) = self.0.call {
            write!(f, " in call {call}")?;
        }
        for frame in self.backtrace() {
            write!(f, "\n  {frame}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use proact::status::Operation;

    use super::*;

    #[test]
    fn an_error_is_one_word_and_may_go_anywhere() {
        fn anywhere<T: Send + Sync + 'static + std::error::Error>() {}
        anywhere::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result>(), size_of::<usize>());
    }

    #[test]
    fn a_status_keeps_its_code_and_words() {
        let error = Error::from(Status::new(Code::DataLoss, Operation::FileRead).with_message("torn"));
        assert_eq!(error.code(), Code::DataLoss);
        assert_eq!(error.to_string(), "read: torn (DATA_LOSS)");
        assert_eq!(error.status().map(Status::operation), Some(Operation::FileRead));
    }

    #[test]
    fn what_it_is_about_stands_before_the_words_outermost_first() {
        let error = Error::invalid("wrong").about("inner").about("outer");
        assert_eq!(error.to_string(), "outer: inner: wrong (INVALID_ARGUMENT)");
    }
}

//! Exit codes, and the failure that carries one together with its message.

use std::fmt;
use std::process::ExitCode;

use proact::status::{Code, Operation, Status};

/// With which code the program ends. The numbers are part of its interface: scripts depend on them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// The transfer failed: some file was not delivered, for a reason that none of the other codes names.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A source is missing, unreadable, changed while it was read, or a symbolic link that may not be followed.
    Source = 3,
    /// The destination cannot be written, has the name already, or is full.
    Destination = 4,
    /// The network or the peer: refused, unreachable, reset, silent for too long, not speaking the protocol, not
    /// trusted in TLS, or the port to listen on is in use.
    Network = 5,
    /// Data arrived corrupted: a digest differs.
    Corrupted = 6,
    /// The backend that was asked for cannot run here.
    Backend = 7,
    /// Interrupted by Ctrl-C: 128 + SIGINT, as shells count.
    Interrupted = 130,
}

impl Exit {
    /// Every code, in ascending order.
    pub const ALL: [Exit; 9] = [
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::Source,
        Exit::Destination,
        Exit::Network,
        Exit::Corrupted,
        Exit::Backend,
        Exit::Interrupted,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as the help texts print it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "everything was delivered",
            Exit::Failed => "some file was not delivered",
            Exit::Usage => "the command line is wrong",
            Exit::Source => "source missing, unreadable, changed while read, or a symbolic link",
            Exit::Destination => "destination not writable, name already there, disk full",
            Exit::Network => "peer refused, unreachable, gone, silent, hostile or not trusted; port in use",
            Exit::Corrupted => "data arrived corrupted (digest mismatch)",
            Exit::Backend => "the backend cannot run here",
            Exit::Interrupted => "interrupted (Ctrl-C)",
        }
    }

    /// The table of all codes for a help text: one line a code.
    pub fn table() -> String {
        use fmt::Write;
        let mut table = String::from("Exit codes:\n");
        for exit in Exit::ALL {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "  {:<4} {}", exit.code(), exit.meaning());
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Where a failed operation was at work. The same status code means different things to the user at each place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the files to send.
    Source,
    /// On the files to write.
    Destination,
    /// On the connection.
    Network,
    /// On the proactor itself.
    Backend,
}

/// Why the program ends with something other than [`Exit::Ok`].
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The file or peer it is about, and the cause, in one line.
    pub message: String,
}

impl Failure {
    /// A failure with `message`, which names the file or peer and the cause.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }

    /// The failure that `status` means when it befell `subject` (a path, an address) at `place`.
    ///
    /// Data loss is [`Exit::Corrupted`] wherever it shows. The message reads `subject: cause`.
    pub fn from_status(place: Place, subject: impl fmt::Display, status: &Status) -> Failure {
        let exit = match (place, status.code()) {
            (_, Code::DataLoss) => Exit::Corrupted,
            (Place::Source, _) => Exit::Source,
            (Place::Destination, _) => Exit::Destination,
            (Place::Network, _) => Exit::Network,
            (Place::Backend, _) => Exit::Backend,
        };
        Failure::new(exit, format!("{subject}: {status}"))
    }

    /// As [`Failure::from_status`], for an error of the standard library.
    #[track_caller]
    pub fn from_io(place: Place, subject: impl fmt::Display, operation: Operation, error: &std::io::Error) -> Failure {
        Failure::from_status(place, subject, &Status::from_io_error(operation, error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.exit, self.exit.code(), self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_numbers() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
        let table = Exit::table();
        assert_eq!(table.lines().count(), 10);
        assert!(table.contains("\n  130  interrupted"), "{table}");
    }

    #[test]
    fn a_status_becomes_the_exit_code_of_its_place_and_names_its_subject() {
        let missing = Status::from_os_error(Operation::FileOpen, 2);
        let failure = Failure::from_status(Place::Source, "model.bin", &missing);
        assert_eq!(failure.exit, Exit::Source);
        assert_eq!(failure.message, "model.bin: open: No such file or directory (NOT_FOUND, os error 2)");
        assert_eq!(Failure::from_status(Place::Destination, "x", &missing).exit, Exit::Destination);
        assert_eq!(Failure::from_status(Place::Network, "x", &missing).exit, Exit::Network);
        assert_eq!(Failure::from_status(Place::Backend, "x", &missing).exit, Exit::Backend);
    }

    #[test]
    fn data_loss_is_corruption_wherever_it_shows() {
        let lost = Status::new(Code::DataLoss, Operation::FileRead);
        for place in [Place::Source, Place::Destination, Place::Network, Place::Backend] {
            assert_eq!(Failure::from_status(place, "x", &lost).exit, Exit::Corrupted);
        }
    }
}

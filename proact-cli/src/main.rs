//! The proact program.

mod bench;

use std::io::Write;
use std::process::ExitCode;

use proact_cli::cli::{self, Command};
use proact_cli::exit::{Exit, Failure};

fn main() -> ExitCode {
    let failure = match cli::parse(std::env::args_os()).and_then(run) {
        Ok(()) => return Exit::Ok.into(),
        Err(failure) => failure,
    };
    // A closed standard output or error is no reason to panic: the exit code still tells the outcome.
    if failure.exit == Exit::Ok {
        let _ = writeln!(std::io::stdout(), "{failure}");
    } else {
        let _ = writeln!(std::io::stderr(), "proact: {failure}");
    }
    failure.exit.into()
}

fn run(command: Command) -> Result<(), Failure> {
    let name = match command {
        Command::Transfer(_) => "transfer",
        Command::Receive(_) => "receive",
        Command::Doctor(_) => "doctor",
        Command::Bench(options) => return bench::run(&options),
    };
    Err(Failure::new(Exit::Failed, format!("{name}: not built yet")))
}

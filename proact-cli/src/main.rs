//! The proact program.

mod bench;

use std::io::Write;
use std::process::ExitCode;

use proact_cli::cli::{self, Command};
use proact_cli::command;
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
    match command {
        Command::Transfer(options) => command::transfer(&options),
        Command::Receive(options) => command::receive(&options),
        Command::Doctor(options) => command::doctor(&options),
        Command::Simulate(options) => command::simulate(&options),
        Command::ScheduleCompare(options) => command::schedule_compare(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Completions(options) => {
            command::completions(&options);
            Ok(())
        }
    }
}

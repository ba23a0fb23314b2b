//! The proact program.

use std::io::Write;
use std::process::ExitCode;

use proact_cli::cli::{self, Command};
use proact_cli::command;
use proact_cli::exit::{Exit, Failure};

// `bench` counts allocations; whenever it does not, the counter costs a load an allocation.
#[cfg(unix)]
#[global_allocator]
static COUNTER: proact_cts::measures::Counter = proact_cts::measures::Counter;

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

#[cfg(unix)]
use command::bench;

#[cfg(not(unix))]
fn bench(_: &proact_cli::cli::Bench) -> Result<(), Failure> {
    Err(Failure::new(Exit::Backend, "bench: it measures against Unix interfaces, which this system does not have"))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Transfer(options) => command::transfer(&options),
        Command::Receive(options) => command::receive(&options),
        Command::Doctor(options) => command::doctor(&options),
        Command::Simulate(options) => command::simulate(&options),
        Command::ScheduleCompare(options) => command::schedule_compare(&options),
        Command::Run(options) => command::run(&options),
        Command::Inspect(options) => command::inspect(&options),
        Command::Bench(options) => bench(&options),
        Command::Completions(options) => {
            command::completions(&options);
            Ok(())
        }
    }
}

//! The conformance suite as a program. See the crate's documentation.

use std::process::ExitCode;

use libtest_mimic::Arguments;
use proact_cts::{cases, harness, select};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(harness::threads);
    let trials = select::select(&mut arguments, harness::trials(cases::GROUPS));
    libtest_mimic::run(&arguments, trials).exit_code()
}

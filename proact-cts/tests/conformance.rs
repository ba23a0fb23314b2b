//! The conformance suite as a program. See the crate's documentation.

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, proact_cts::harness::trials(proact_cts::cases::GROUPS)).exit_code()
}

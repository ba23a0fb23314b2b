//! Runs the suite and writes what became of every case on every configuration to `docs/conformance.md`:
//!
//! ```console
//! $ cargo run -p proact-cts --bin conformance-table
//! ```

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::Arguments;
use proact_cts::{cases, document, harness, record};

fn main() -> ExitCode {
    // Cases that start their own program again get what they ask of it, and write no table.
    let all = std::env::args_os().len() == 1;
    let arguments = Arguments { quiet: all, test_threads: Some(harness::threads()), ..Arguments::from_args() };
    let conclusion = libtest_mimic::run(&arguments, harness::trials(cases::GROUPS));
    if !all {
        return conclusion.exit_code();
    }
    if conclusion.has_failed() {
        eprintln!("cases failed, so the table stays as it was");
        return ExitCode::FAILURE;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let path = root.join("docs/conformance.md");
    if let Err(error) = std::fs::write(&path, document::text(&record::kept())) {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("wrote {}", path.display());
    ExitCode::SUCCESS
}

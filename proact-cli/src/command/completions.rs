//! `proact completions`.

use clap::CommandFactory;

use super::answer::say_bytes;
use crate::cli::{Cli, Completions};

/// Writes the script to standard output.
pub fn completions(options: &Completions) {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "proact", &mut script);
    say_bytes(&script);
}

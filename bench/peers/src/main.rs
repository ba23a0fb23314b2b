//! The same work on proact, on its peers, and on the kernel's bare interfaces, in one interleaved run.
//!
//! | command | what it does |
//! |---|---|
//! | `peers run [--rounds N] [--seconds S] [--work NAME]... [--peer NAME]...` | measures, one JSON line a round |
//! | `peers table FILE` | the medians of such lines, as Markdown |
//! | `peers list` | the names of works and peers |
//! | `peers serve PEER ANSWER` | one server; what `run` starts |
//! | `peers measure PEER WORK` | one work without a server; what `run` starts |

mod inside;
mod load;
mod pin;
mod run;
mod serve;
mod table;

use std::process::ExitCode;

/// What has no answer of its own fails with a sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["run", options @ ..] => run::run(options),
        ["table", file] => table::table(file),
        ["list"] => {
            run::list();
            Ok(())
        }
        ["serve", peer, answer] => serve::serve(peer, answer),
        ["measure", peer, work] => inside::measure(peer, work),
        _ => Err("one of: run, table FILE, list, serve PEER ANSWER, measure PEER WORK".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

//! The same work on proact, on its peers, and on the kernel's bare interfaces, in one interleaved run.
//!
//! | command | what it does |
//! |---|---|
//! | `peers run FILE [OPTION VALUE]...` | measures, a line of JSON a round into `FILE`, and not again what is there |
//! | `peers profile FILE PROFILES [OPTION VALUE]...` | profiles the worst losses of `FILE`, a line of JSON each |
//! | `peers page FILE FOLDER [BENCH [PROFILES]]` | writes `FOLDER/benchmarks.md` and plots, with `proact bench` |
//! | `peers list` | the names of works and peers |
//! | `peers serve PEER ANSWER` | one server; what `run` starts |
//! | `peers measure PEER WORK` | one work without a server; what `run` starts |
//!
//! Options of `run`: `--rounds`, `--seconds` for each that is served, `--minutes` after which no round begins, and, as
//! often as needed, `--work` and `--peer`; `--of` says what is measured, and what was measured of another is refused.
//! Options of `profile`: `--losses`, `--seconds` of each, and `--of`; with `--bench` (its rows) and `--proact` (the
//! program), rows that miss what was aimed at are profiled, too.

mod bare;
mod inside;
mod load;
mod machine;
mod page;
mod pin;
mod profile;
mod run;
mod serve;

use std::process::ExitCode;

/// What has no answer of its own fails with a sentence.
type Failure = Box<dyn std::error::Error>;

/// As many descriptors as may be had, for this program and those that it starts: ten thousand connections take more
/// than a shell allows.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls look at this structure alone. A failure leaves the limit that there was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

fn main() -> ExitCode {
    raise_descriptors();
    // Before anything is pinned.
    pin::allowed();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["run", file, options @ ..] => run::run(file, options),
        ["profile", file, profiles, options @ ..] => profile::profile(file, profiles, options),
        ["page", file, folder] => page::write(file, folder, None, None),
        ["page", file, folder, bench] => page::write(file, folder, Some(bench), None),
        ["page", file, folder, bench, profiles] => page::write(file, folder, Some(bench), Some(profiles)),
        ["list"] => {
            run::list();
            Ok(())
        }
        ["serve", peer, answer] => serve::serve(peer, answer),
        ["measure", peer, work] => inside::measure(peer, work),
        _ => Err("one of: run FILE, profile FILE PROFILES, page FILE FOLDER [BENCH [PROFILES]], list, \
                  serve PEER ANSWER, measure PEER WORK"
            .into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

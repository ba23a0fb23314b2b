//! The hot paths, one at a time, for a program that counts instructions: `ci/instructions.sh` runs it.
//!
//! Time is too noisy where the change of a few percent must be seen; instructions of user code are the same in every
//! run of one program. What the kernel does is not in them, so a case says what the library itself costs.
//!
//! | command | what it does |
//! |---|---|
//! | `instructions list` | the names of the cases, one a line |
//! | `instructions run NAME` | prepares the case, then does it [`TIMES`] times in [`counted`] |

#[cfg(unix)]
mod operations;
#[cfg(unix)]
mod plain;
#[cfg(unix)]
mod tasks;
#[cfg(unix)]
mod vm;

use std::process::ExitCode;

/// How often a case is done: counts are divided by it.
const TIMES: u32 = 1000;
/// And before that, so that what is made once is there.
const WARM_UP: u32 = 100;

/// A case is prepared, and then ready to be done again and again.
type Case = Box<dyn FnMut()>;
/// What goes wrong in preparing is told: a backend that does not work here.
type Prepare = fn() -> Result<Case, Box<dyn std::error::Error>>;

#[cfg(unix)]
const CASES: &[&[(&str, Prepare)]] = &[operations::CASES, plain::CASES, vm::CASES];
#[cfg(not(unix))]
const CASES: &[&[(&str, Prepare)]] = &[];

/// The function whose instructions count, with all that it calls. Its name is in the script.
#[inline(never)]
fn counted(case: &mut dyn FnMut(), times: u32) {
    (0..times).for_each(|_| case());
}

fn run(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(unix)]
    if let Some((_, work)) = tasks::CASES.iter().find(|(case, _)| *case == name) {
        return work();
    }
    let found = CASES.iter().copied().flatten().find(|(case, _)| *case == name);
    let (_, prepare) = found.ok_or_else(|| format!("no case {name:?}"))?;
    let mut case = prepare()?;
    (0..WARM_UP).for_each(|_| case());
    counted(&mut case, TIMES);
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["list"] => {
            let names = CASES.iter().copied().flatten().map(|(name, _)| *name);
            names.for_each(|name| println!("{name} {TIMES}"));
            #[cfg(unix)]
            tasks::CASES.iter().for_each(|(name, _)| println!("{name} {TIMES}"));
            Ok(())
        }
        ["run", name] => run(name),
        _ => Err("one of: list, run NAME".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("instructions: {failure}");
            ExitCode::FAILURE
        }
    }
}

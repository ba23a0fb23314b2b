//! What the example programs share: how they are run, how they accept connections, and how they end.
//!
//! Each program is one folder or file below `src/bin`, and is tested twice: by `cargo test` against a peer in Rust, and
//! by `ci/examples.sh` against a program from elsewhere. The pages of `docs/guide` are compiled here as well.

mod http;
mod serve;
mod site;

use std::error::Error;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use self::http::{Content, HttpFailure, http, line, whole};
pub use self::serve::{Limits, serve, until_stopped};
pub use self::site::site;

/// Why a program ended that should not have.
pub type Failure = Box<dyn Error>;

/// Runs a program on a runtime of this thread, and says on standard error why it failed. It may have as many files open
/// as the system lets it.
pub fn run(program: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let files = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        eprintln!("no more files may be open than before: {error}");
    }
    let runtime = match proact_async::Runtime::new() {
        Ok(runtime) => runtime,
        Err(status) => return fail(&status),
    };
    match runtime.block_on(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&*failure),
    }
}

fn fail(failure: &dyn Error) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::FAILURE
}

/// README's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/ownership.md")]
struct Ownership;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/buffers.md")]
struct Buffers;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/multishot.md")]
struct Multishot;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/tokio.md")]
struct Tokio;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/containers.md")]
struct Containers;

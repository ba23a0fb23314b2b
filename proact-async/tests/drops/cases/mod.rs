//! The table of futures that are dropped: a case is a future that passes through many, one after the other, so that a
//! drop at each of its polls is a drop of each of them.
//!
//! A new future of the crate goes into a case here, with its name in `covers`. What a case starts besides itself it
//! holds as a [`Helper`], so that it ends with it; a case ends by itself, and has no failure when nothing is made to
//! fail.

mod core;
mod fs;
mod net;
mod sync;
mod system;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use proact::memory::BufferPool;
use proact::status::{Code, Operation, Result, Status};
use proact_async::{JoinHandle, spawn};

/// A future to be dropped.
pub struct Case {
    pub name: &'static str,
    /// The futures of the crate that it passes through, by room, type and name.
    pub covers: &'static [&'static str],
    /// Whether it can be in a simulated world.
    pub simulated: bool,
    pub future: fn(Place) -> Pin<Box<dyn Future<Output = Result>>>,
}

/// What a case has of its own.
pub struct Place {
    /// An empty folder but for a file `old` of 5000 bytes, each a 7.
    pub folder: PathBuf,
    /// Four buffers of 4096 bytes.
    pub pool: BufferPool,
}

/// A task that ends with its case.
pub struct Helper<T>(JoinHandle<T>);

impl<T: 'static> Helper<T> {
    pub fn new(future: impl Future<Output = T> + 'static) -> Helper<T> {
        Helper(spawn(future))
    }

    /// Waits for its end.
    pub async fn end(mut self) -> T {
        (&mut self.0).await.expect("it was not aborted")
    }
}

impl<T> Drop for Helper<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

macro_rules! case {
    ($name:ident, $simulated:literal, $function:path, [$($covers:literal),* $(,)?]) => {
        Case {
            name: stringify!($name),
            covers: &[$($covers),*],
            simulated: $simulated,
            future: |place| Box::pin($function(place)),
        }
    };
}

/// All of them.
pub const CASES: &[Case] = &[
    case!(
        tasks,
        true,
        core::tasks,
        ["task::JoinHandle", "task::YieldNow", "stop::Stop::requested", "time::Interval::tick", "time::Interval"]
    ),
    case!(times, true, core::times, ["time::Sleep", "time::Timed"]),
    case!(scopes, true, core::scopes, ["scope::scope", "scope::scope_until", "scope::scope_for"]),
    case!(
        connection,
        true,
        net::connection,
        ["net::TcpStream::connect", "net::TcpStream::connect_with", "net::Read", "net::Write", "net::accept"]
    ),
    case!(pooled, false, net::pooled, []),
    case!(
        files,
        true,
        fs::files,
        [
            "fs::OpenOptions::open",
            "fs::OpenOptions::open_in",
            "fs::File::open",
            "fs::File::create",
            "fs::File::open_directory",
            "fs::File::read_at",
            "fs::File::read_exact_at",
            "fs::File::read_vectored_at",
            "fs::File::read_exact_vectored_at",
            "fs::File::write_at",
            "fs::File::write_all_at",
            "fs::File::write_vectored_at",
            "fs::File::write_all_vectored_at",
            "fs::File::sync",
            "fs::File::sync_data",
            "fs::File::truncate",
            "fs::File::metadata",
            "fs::File::close",
            "fs::Cursor::read",
            "fs::Cursor::read_exact",
            "fs::Cursor::write",
            "fs::Cursor::write_all",
        ]
    ),
    case!(
        attributes,
        false,
        fs::attributes,
        [
            "fs::File::allocate",
            "fs::File::punch_hole",
            "fs::File::advise",
            "fs::File::set_permissions",
            "fs::File::set_modified",
            "fs::File::copy_to",
            "fs::set_permissions",
        ]
    ),
    case!(
        names,
        true,
        fs::names,
        [
            "fs::metadata",
            "fs::link_metadata",
            "fs::exists",
            "fs::rename",
            "fs::replace",
            "fs::hard_link",
            "fs::symbolic_link",
            "fs::read_link",
            "fs::remove_file",
            "fs::create_directory",
            "fs::create_directories",
            "fs::remove_directory",
        ]
    ),
    case!(
        listings,
        false,
        fs::listings,
        ["fs::List::next", "fs::List", "fs::Walk::next", "fs::Walk", "fs::remove_directory_all"]
    ),
    case!(whole, true, fs::whole, ["fs::read", "fs::read_to_string", "fs::write"]),
    case!(replaced, true, fs::replaced, ["fs::write_atomically"]),
    case!(copied, false, fs::copied, ["fs::copy"]),
    case!(registered, false, fs::registered, ["fs::register", "fs::Known::forget"]),
    case!(
        signals,
        true,
        sync::signals,
        ["sync::Wait", "sync::Event::wait", "sync::Sets", "sync::until", "sync::send_message"]
    ),
    case!(leases, true, sync::leases, []),
    case!(
        pipes,
        true,
        system::pipes,
        [
            "pipe::Reader::read",
            "pipe::Reader::read_exact",
            "pipe::Reader::read_to_end",
            "pipe::Reader::close",
            "pipe::Writer::write",
            "pipe::Writer::write_all",
            "pipe::Writer::close",
        ]
    ),
    case!(processes, false, system::processes, ["process::Child::wait", "process::Child::output"]),
    case!(signal, false, system::signal, ["signal::ctrl_c", "signal::Signals::next", "signal::Signals"]),
    case!(
        descriptors,
        false,
        system::descriptors,
        ["descriptor::Descriptor::readable", "descriptor::Descriptor::writable", "descriptor::Changes"]
    ),
    case!(others, false, sync::others, ["sync::import_fence", "sync::relay", "sync::Relay::ended"]),
];

const ONE_OPERATION: &str = "one operation and nothing else, as `net::read` is; `tests/net.rs` drops some in flight";

/// What no case passes through, and why.
pub const EXEMPT: &[(&str, &str)] = &[
    ("adapt::Connecting", "dropped at each of its polls by `tests/adapted_dropped.rs`, without faults"),
    ("adapt::Finishing", "dropped at each of its polls by `tests/adapted_dropped.rs`, without faults"),
    ("adapt::HyperSleep", "dropped at each of its polls by `tests/adapted_dropped.rs`, without faults"),
    ("tls::Acceptor::accept", "dropped at each of its polls by `tests/adapted_dropped.rs`, without faults"),
    ("tls::Connector::connect", "dropped at each of its polls by `tests/adapted_dropped.rs`, without faults"),
    (
        "companion::Remote::accept",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    (
        "companion::Remote::connect",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    (
        "companion::Remote::open",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    (
        "companion::Remote::read_at",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    (
        "companion::Remote::wait",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    (
        "companion::Remote::write_at",
        "from another thread, where no poll is the same twice; `tests/inside_tokio.rs` drops some",
    ),
    ("companion::Remote::statistics", "a message to its thread and the answer, without resources"),
    ("metrics::publish_every", "an interval, for as long as it is polled"),
    ("net::Connector::connect", "made of operations; dropped at chosen moments by `tests/connect.rs`"),
    ("net::Connector::connect_any", "made of operations; dropped at chosen moments by `tests/connect.rs`"),
    ("net::Race", "made of operations; dropped at chosen moments by `tests/connect.rs`"),
    ("net::Server::run", "made of operations; dropped at chosen moments by `tests/server.rs`"),
    ("net::splice", "made of operations; dropped at chosen moments by `tests/net.rs`"),
    ("net::splice_both", "made of operations; dropped at chosen moments by `tests/net.rs`"),
    ("net::Datagrams", "the stream or operation that `pooled` drops, under a name"),
    ("net::Leases", "the stream or operation that `pooled` drops, under a name"),
    ("net::ReadPooled", "the stream or operation that `pooled` drops, under a name"),
    ("net::TcpStream::connect_from", ONE_OPERATION),
    ("net::UdpSocket::send_segments", ONE_OPERATION),
    ("net::UnixStream::connect", ONE_OPERATION),
    ("net::close", ONE_OPERATION),
    ("net::connect", ONE_OPERATION),
    ("net::read_exact_vectored", ONE_OPERATION),
    ("net::read_vectored", ONE_OPERATION),
    ("net::receive", ONE_OPERATION),
    ("net::receive_descriptors", ONE_OPERATION),
    ("net::send", ONE_OPERATION),
    ("net::send_descriptors", ONE_OPERATION),
    ("net::send_to", ONE_OPERATION),
    ("net::write_all_vectored", ONE_OPERATION),
    ("net::write_vectored", ONE_OPERATION),
    ("net::write_zero_copy", ONE_OPERATION),
    ("task::Made", "private: a task whose future is made on its thread; `tasks` spawns"),
    ("task::Take", "private: of the loom models"),
];

/// A failure of the case unless it holds. Calls that are made to fail may have it fail too.
#[track_caller]
pub fn right(holds: bool, why: &'static str) -> Result {
    match holds {
        true => Ok(()),
        false => Err(Status::new(Code::Internal, Operation::None).with_message(why)),
    }
}

/// How many allocations [`leaks`] leaves behind: more than the threads of the test harness may free meanwhile.
pub const LEAKED: i64 = 100;

/// Leaves allocations behind.
pub async fn leaks() -> Result {
    for number in 0..LEAKED {
        std::mem::forget(Box::new(number));
    }
    Ok(())
}

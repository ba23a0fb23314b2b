//! The table of futures that are dropped: a case is a future that passes through many, one after the other, so that a
//! drop at each of its polls is a drop of each of them.
//!
//! A new future of the crate goes into a case here, with its name in `covers`. What a case starts besides itself it
//! holds as a [`Helper`], so that it ends with it; a case ends by itself, and has no failure when nothing is made to
//! fail.

mod adapters;
mod core;
mod fs;
mod made;
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
    case!(chains, true, core::chains, []),
    case!(scopes, true, core::scopes, ["scope::scope", "scope::scope_until", "scope::scope_for"]),
    case!(
        connection,
        true,
        net::connection,
        ["net::TcpStream::connect", "net::TcpStream::connect_with", "net::Read", "net::Write", "net::accept",]
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
    case!(raced, true, made::raced, ["net::Connector::connect", "net::Connector::connect_any", "net::Race"]),
    case!(served, true, made::served, []),
    case!(serving, true, made::serving, ["net::Server::run"]),
    case!(spliced, false, made::spliced, ["net::splice", "net::splice_both"]),
    case!(
        vectored,
        false,
        made::vectored,
        [
            "net::UnixStream::connect",
            "net::write_vectored",
            "net::write_all_vectored",
            "net::read_vectored",
            "net::read_exact_vectored",
            "net::send_descriptors",
            "net::receive_descriptors",
            "net::ReadPooled",
            "net::Leases",
            "net::close",
        ]
    ),
    case!(internet, false, made::internet, ["net::TcpStream::connect_from", "net::write_zero_copy"]),
    case!(
        datagrams,
        false,
        made::datagrams,
        [
            "net::connect",
            "net::SendDatagram",
            "net::ReceiveDatagram",
            "net::UdpSocket::send_segments",
            "net::Datagrams",
        ]
    ),
    case!(published, true, made::published, ["metrics::publish_every"]),
    case!(adapted, true, adapters::adapted, []),
    case!(futures_io, true, adapters::futures_io, []),
    case!(session, true, adapters::session, ["tls::Connector::connect", "tls::Acceptor::accept"]),
    case!(http, true, adapters::http, ["adapt::HyperSleep"]),
    case!(streams, true, adapters::streams, []),
    case!(tower, true, adapters::tower, ["adapt::Connecting"]),
    case!(
        beside,
        false,
        adapters::beside,
        [
            "companion::Remote::accept",
            "companion::Remote::connect",
            "companion::Remote::open",
            "companion::Remote::read_at",
            "companion::Remote::statistics",
            "companion::Remote::wait",
            "companion::Remote::write_at",
        ]
    ),
    case!(others, false, sync::others, ["sync::import_fence", "sync::relay", "sync::Relay::ended"]),
];

/// What no case passes through, and why.
pub const EXEMPT: &[(&str, &str)] = &[
    (
        "adapt::Finishing",
        "nobody's to drop: it begins when a stream is dropped, as in the cases `adapted`, `futures_io` and `session`",
    ),
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

/// A failure of the standard library's, as one of this one's.
pub fn failed(error: std::io::Error) -> Status {
    Status::new(Code::Internal, Operation::None).with_message(error.to_string())
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

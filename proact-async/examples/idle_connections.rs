//! What an idle connection costs in memory, over the adapters: what the program allocated, what the system gave it.
//!
//! `cargo run --release -p proact-async --example idle_connections [connections]`

use std::alloc::System;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream as Peer;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use proact_async::adapt::{Adapted, Options};
use proact_async::net::{TcpListener, TcpStream};
use proact_async::{Runtime, spawn, time};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}

/// Each connection has been used once, with this, and then waits for more.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

// As a block, which holds the stream once: a function would hold its argument and the variable.
#[allow(clippy::manual_async_fn)]
fn echo(mut stream: Adapted) -> impl Future<Output = ()> {
    async move {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

async fn http(stream: Adapted) {
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    // Its own buffers: as small as it allows.
    let _ = builder.max_buf_size(8192).serve_connection(stream, service).await;
}

fn measure<F: Future<Output = ()> + 'static>(
    what: &str,
    connections: usize,
    adapt: impl Fn(TcpStream) -> Adapted,
    serve: impl Fn(Adapted) -> F,
) {
    let builder = proact::proactor::Builder::new().operations(65536);
    let runtime = Runtime::builder().proactor(builder).build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).expect("a listener");
        let address = listener.local_address().unwrap().to_string();
        // One first, for what is there once.
        let mut peers = vec![Peer::connect(&address).expect("a connection")];
        drop(spawn(serve(adapt(listener.accept().await.unwrap().0))));
        peers.reserve(connections);
        time::sleep(Duration::from_millis(10)).await;
        let before = (allocated(), resident());
        for _ in 0..connections {
            let mut peer = Peer::connect(&address).expect("a connection");
            drop(spawn(serve(adapt(listener.accept().await.unwrap().0))));
            peer.write_all(REQUEST).unwrap();
            peer.set_nonblocking(true).unwrap();
            let mut answer = [0; 512];
            while peer.read(&mut answer).is_err() {
                time::sleep(Duration::from_micros(20)).await;
            }
            peers.push(peer);
        }
        time::sleep(Duration::from_millis(100)).await;
        let per = |after: usize, before: usize| after.saturating_sub(before) / connections;
        let (heap, resident) = (per(allocated(), before.0), per(resident(), before.1));
        println!("{what:<28} {heap:>7} bytes allocated, {resident:>7} resident, a connection");
    });
}

const CASES: [&str; 4] = ["echo, pooled", "echo, own of 16 KiB", "HTTP/1.1, pooled", "HTTP/1.1, own of 16 KiB"];

/// Each case in a process of its own, so that none finds the memory of another.
fn main() {
    let mut arguments = std::env::args().skip(1);
    let connections = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(2000);
    let owned = |stream| Adapted::with(stream, &Options::owned(16 << 10));
    match arguments.next() {
        None => {
            println!("{connections} connections, used once, idle");
            for case in CASES {
                let program = std::env::current_exe().expect("this program");
                let ended = std::process::Command::new(program).args([&connections.to_string(), case]).status();
                assert!(ended.expect("it starts").success(), "{case}");
            }
        }
        Some(case) if case == CASES[0] => measure(&case, connections, Adapted::new, echo),
        Some(case) if case == CASES[1] => measure(&case, connections, owned, echo),
        Some(case) if case == CASES[2] => measure(&case, connections, Adapted::new, http),
        Some(case) if case == CASES[3] => measure(&case, connections, owned, http),
        Some(case) => panic!("no such case: {case}"),
    }
}

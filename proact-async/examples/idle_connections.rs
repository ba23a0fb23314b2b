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

async fn echo(mut stream: Adapted) {
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
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

fn main() {
    let connections = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2000);
    println!("{connections} connections, used once, idle");
    let owned = |size| move |stream| Adapted::with(stream, &Options::owned(size));
    measure("echo, pooled", connections, Adapted::new, echo);
    measure("echo, own buffer of 16 KiB", connections, owned(16 << 10), echo);
    measure("HTTP/1.1, pooled", connections, Adapted::new, http);
    measure("HTTP/1.1, own of 16 KiB", connections, owned(16 << 10), http);
}

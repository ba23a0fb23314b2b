//! What sockets cost in memory: nothing is allocated to read and write, and little to be idle. Counted.
//!
//! One test in a program of its own, because the counting allocator serves the whole process.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::poll_fn;
use std::pin::Pin;

use counting::{ALLOCATOR, counted};
use futures_core::Stream;
use proact::memory::{BufferPool, Slab};
use proact::proactor::{Builder, Choice};
use proact_async::net::{TcpListener, TcpStream};
use proact_async::{JoinHandle, Runtime, handle, spawn, yield_now};
use stats_alloc::Region;
use support::on_every_backend;

#[test]
fn sockets_allocate_nothing_in_steady_state_and_little_at_rest() {
    on_every_backend(|runtime| runtime.block_on(steady_states()));
    // The kernel's poll looks at every descriptor each time: nobody uses it for thousands.
    // With all features, as tests are built.
    for (choice, wanted, bytes_max) in [(Choice::IoUring, 10_000, 600), (Choice::Epoll, 2_000, 600)] {
        let builder = Builder::new().backend(choice).operations(16_384);
        match Runtime::builder().proactor(builder).build() {
            Ok(runtime) => {
                let (connections, bytes) = runtime.block_on(idle(wanted));
                println!("{choice:?}: {connections} idle connections at {bytes} bytes each");
                assert!(bytes <= bytes_max, "{choice:?}: {bytes} bytes each of {connections}");
            }
            Err(status) => println!("skipped: {choice:?}: {status}"),
        }
    }
}

async fn steady_states() {
    let name = handle().backend();
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let connect = spawn(TcpStream::connect(listener.local_address().unwrap()));
    let (server, _) = listener.accept().await.unwrap();
    let client = connect.await.unwrap().unwrap();
    let echo = spawn(async move {
        let mut buffer = vec![0; 64];
        loop {
            let (count, read) = server.read_exact(buffer).await;
            if count.is_err() {
                return server;
            }
            buffer = server.write_all(read).await.1;
        }
    });
    let place = std::cell::Cell::new(Some(vec![7u8; 64]));
    let exchange = || async {
        let (count, buffer) = client.write_all(place.take().unwrap()).await;
        count.unwrap();
        let (count, buffer) = client.read_exact(buffer).await;
        count.unwrap();
        place.set(Some(buffer));
    };
    assert_eq!(counted(exchange).await, 0, "{name}: an echo of 64 bytes");
    client.shutdown(proact::resource::Shutdown::Send).unwrap();
    let server = echo.await.unwrap();

    let pool = BufferPool::new(Slab::allocate(256, 64, &Default::default()).unwrap()).unwrap();
    let connect = spawn(TcpStream::connect(listener.local_address().unwrap()));
    let (other, _) = listener.accept().await.unwrap();
    let client = connect.await.unwrap().unwrap();
    let leased = || async {
        client.write_all(b"hello".as_slice()).await.0.unwrap();
        assert_eq!(&other.read_pooled(&pool).await.unwrap().unwrap()[..], b"hello");
    };
    // So the ring from which the kernel takes buffers of this pool is not made anew for each.
    assert_eq!(counted(leased).await, 0, "{name}: a pooled read");
    let leases = std::cell::RefCell::new(other.leases(&pool));
    let streamed = || async {
        client.write_all(b"hello".as_slice()).await.0.unwrap();
        let lease = poll_fn(|cx| Pin::new(&mut *leases.borrow_mut()).poll_next(cx)).await;
        assert_eq!(&lease.unwrap().unwrap()[..], b"hello");
    };
    assert_eq!(counted(streamed).await, 0, "{name}: a lease of a stream");
    drop(server);
}

/// What each of so many connections takes whose task waits for something to be read, beside the user's buffer: task,
/// socket, operation in flight, and its part of the tables.
async fn idle(wanted: usize) -> (usize, usize) {
    // Both ends are in this process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all).unwrap();
    let room = limit.maximum.unwrap_or(u64::MAX).saturating_sub(200) / 2;
    let connections = wanted.min(room as usize);
    assert!(connections >= 100, "descriptors for {connections} connections");

    let pool = BufferPool::new(Slab::allocate(4096, 16, &Default::default()).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_address().unwrap().to_string();
    let mut clients = Vec::with_capacity(connections);
    let mut tasks: Vec<JoinHandle<bool>> = Vec::with_capacity(connections);
    let mut accept_one = async || {
        clients.push(std::net::TcpStream::connect(&address).unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        let pool = pool.clone();
        tasks.push(spawn(async move { stream.read_pooled(&pool).await.is_ok_and(|lease| lease.is_none()) }));
        yield_now().await;
    };
    // The first pays for what all share.
    accept_one().await;
    let region = Region::new(ALLOCATOR);
    for _ in 1..connections {
        accept_one().await;
    }
    let change = region.change();
    let bytes = change.bytes_allocated - change.bytes_deallocated;
    drop(clients);
    for task in tasks {
        assert!(task.await.unwrap(), "its end was read");
    }
    (connections, bytes / (connections - 1))
}

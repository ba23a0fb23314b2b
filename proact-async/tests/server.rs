//! The accept loop: bounds, failures, and its graceful end in virtual time.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use proact::resource::Address;
use proact::simulated::World;
use proact::status::{Code, Operation, Result, Status};
use proact_async::net::{Listener, Server, TcpListener, TcpStream, UnixListener, UnixStream};
use proact_async::{Runtime, Stop, scope, spawn, time, yield_now};
use support::on_every_backend;

fn simulated(seed: u64) -> (World, Runtime) {
    let world = World::new(seed);
    let runtime = Runtime::builder().proactor(world.host("here").builder()).build().unwrap();
    (world, runtime)
}

/// Writes back what it reads, until the end or a failure.
async fn echo(stream: TcpStream) {
    let mut buffer = vec![0; 64];
    while let (Ok(count @ 1..), read) = stream.read(buffer).await {
        buffer = stream.write_all(read[..count].to_vec()).await.1;
        buffer.resize(64, 0);
    }
}

async fn exchange(stream: &TcpStream) {
    stream.write_all(b"ping".to_vec()).await.0.unwrap();
    assert_eq!(stream.read_exact(vec![0; 4]).await.1, b"ping");
}

#[test]
fn connections_are_served_and_a_stop_lets_them_finish() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let (address, stop) = (listener.local_address().unwrap(), Stop::new());
            let server = Server::new(listener).grace(Duration::from_secs(60));
            let serving = spawn(server.run(stop.clone(), |stream, _| echo(stream)));
            let mut clients = Vec::new();
            for _ in 0..20 {
                let client = TcpStream::connect(address.clone()).await.unwrap();
                exchange(&client).await;
                clients.push(client);
            }
            stop.request();
            yield_now().await;
            // Those that are open go on; nobody else comes in.
            exchange(&clients[7]).await;
            let mut refused = TcpStream::connect(address.clone()).await;
            while refused.is_ok() {
                refused = TcpStream::connect(address.clone()).await;
            }
            assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
            clients.clear();
            let report = serving.await.unwrap();
            let (finished, others) = (report.finished, report.cancelled + report.panicked);
            assert_eq!((finished, others, report.failure.is_none()), (report.accepted, 0, true));
            assert!(report.accepted >= 20);
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}

#[test]
fn those_that_do_not_finish_in_time_are_cancelled_and_counted() {
    for seed in 0..8 {
        let (_world, runtime) = simulated(seed);
        let told = Rc::new(Cell::new(0));
        let seen = told.clone();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:80".parse().unwrap()).unwrap();
            let (address, stop) = (listener.local_address().unwrap(), Stop::new());
            let server = Server::new(listener).grace(Duration::from_secs(10));
            let serving = spawn(server.run(stop.clone(), move |stream, _| {
                let seen = seen.clone();
                async move {
                    echo(stream.clone()).await;
                    // One that is cancelled learns of it by what its read came to.
                    if stream.read(vec![0; 1]).await.0.is_err_and(|status| status.is_cancelled()) {
                        seen.set(seen.get() + 1);
                    }
                }
            }));
            let mut clients = Vec::new();
            for _ in 0..5 {
                let client = TcpStream::connect(address.clone()).await.unwrap();
                exchange(&client).await;
                clients.push(client);
            }
            let start = time::now();
            stop.request();
            clients.truncate(3);
            let report = serving.await.unwrap();
            let took = time::now() - start;
            assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
            assert_eq!((report.accepted, report.finished, report.cancelled), (5, 2, 3));
            for client in clients {
                assert!(client.read(vec![0; 1]).await.0.is_ok_and(|count| count == 0), "closed");
            }
        });
        assert_eq!(told.get(), 3);
        assert_eq!(runtime.shutdown(Duration::from_secs(1)), 0);
    }
}

#[test]
fn one_that_waits_for_nothing_of_the_scope_is_dropped() {
    let (_world, runtime) = simulated(3);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:80".parse().unwrap()).unwrap();
        let (address, stop) = (listener.local_address().unwrap(), Stop::new());
        let server = Server::new(listener).grace(Duration::ZERO);
        let serving = spawn(server.run(stop.clone(), |stream, _| async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        }));
        let client = TcpStream::connect(address).await.unwrap();
        time::sleep(Duration::from_millis(10)).await;
        stop.request();
        let report = serving.await.unwrap();
        assert_eq!((report.accepted, report.finished, report.cancelled), (1, 0, 1));
        assert_eq!(client.read(vec![0; 1]).await.0.unwrap(), 0);
    });
}

#[test]
fn no_more_are_open_than_may_be_and_the_rest_wait() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let (address, stop) = (listener.local_address().unwrap(), Stop::new());
            let (open, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (now, peak) = (open.clone(), most.clone());
            let server = Server::new(listener).connections_max(3);
            let serving = spawn(server.run(stop.clone(), move |stream, _| {
                now.set(now.get() + 1);
                peak.set(peak.get().max(now.get()));
                let now = now.clone();
                async move {
                    echo(stream).await;
                    now.set(now.get() - 1);
                }
            }));
            let clients: Vec<_> = (0..12)
                .map(|_| {
                    let address = address.clone();
                    spawn(async move { exchange(&TcpStream::connect(address).await.unwrap()).await })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            stop.request();
            let report = serving.await.unwrap();
            assert_eq!((report.accepted, report.finished, open.get()), (12, 12, 0));
            assert!(most.get() <= 3, "{}", most.get());
        });
    });
}

#[test]
fn a_panic_is_one_connections_own() {
    let (_world, runtime) = simulated(5);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:80".parse().unwrap()).unwrap();
        let (address, stop) = (listener.local_address().unwrap(), Stop::new());
        let serving = spawn(Server::new(listener).run(stop.clone(), |stream: TcpStream, _| async move {
            let (count, buffer) = stream.read(vec![0; 1]).await;
            assert!(count.is_ok_and(|count| count == 1) && buffer != b"x", "on purpose");
        }));
        for byte in [b"x", b"y", b"x"] {
            let client = TcpStream::connect(address.clone()).await.unwrap();
            client.write_all(byte.to_vec()).await.0.unwrap();
            assert_eq!(client.read(vec![0; 1]).await.0.unwrap(), 0);
        }
        stop.request();
        let report = serving.await.unwrap();
        assert_eq!((report.accepted, report.finished, report.panicked), (3, 1, 2));
    });
}

/// A listener that fails as it is told to, and then has connections for ever or fails for good.
struct Failing {
    left: RefCell<VecDeque<Code>>,
}

impl Listener for Failing {
    type Connection = ();

    async fn accept(&self) -> Result<((), Address)> {
        yield_now().await;
        let next = self.left.borrow_mut().pop_front();
        match next {
            Some(Code::Ok) => Ok(((), Address::Unnamed)),
            Some(code) => Err(Status::new(code, Operation::SocketAccept)),
            None => std::future::pending().await,
        }
    }
}

#[test]
fn what_accepting_meets_does_not_end_it_but_what_is_for_good_does() {
    let (_world, runtime) = simulated(6);
    runtime.block_on(async {
        let left: VecDeque<_> = [
            [Code::Ok, Code::Unavailable, Code::ResourceExhausted, Code::ResourceExhausted, Code::Ok].as_slice(),
            [Code::Aborted; 17].as_slice(), // the sixteenth and seventeenth in a row: it must not spin
            [Code::Ok, Code::InvalidArgument].as_slice(),
        ]
        .concat()
        .into();
        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        let start = time::now();
        let server = Server::new(Failing { left: RefCell::new(left) }).pause(Duration::from_secs(1));
        let report = server
            .run(Stop::new(), |(), _| {
                count.set(count.get() + 1);
                async {}
            })
            .await;
        let took = time::now() - start;
        assert!(took >= Duration::from_secs(4) && took < Duration::from_millis(4100), "{took:?}");
        assert_eq!((report.accepted, report.finished, served.get()), (3, 3, 3));
        assert_eq!((report.lost, report.pauses), (18, 4));
        assert_eq!(report.failure.unwrap().code(), Code::InvalidArgument);
    });
}

#[test]
fn a_stop_is_seen_in_a_pause_and_at_the_bound() {
    let (_world, runtime) = simulated(7);
    runtime.block_on(async {
        for (left, connections_max) in [(vec![Code::ResourceExhausted], 10), (vec![Code::Ok, Code::Ok], 1)] {
            let server = Server::new(Failing { left: RefCell::new(left.into()) });
            let server = server.connections_max(connections_max).pause(Duration::from_secs(3600)).grace(Duration::ZERO);
            let stop = Stop::new();
            let serving = spawn(server.run(stop.clone(), |(), _| std::future::pending()));
            time::sleep(Duration::from_secs(1)).await;
            let start = time::now();
            stop.request();
            let report = serving.await.unwrap();
            assert!(time::now() - start < Duration::from_millis(10));
            assert_eq!(report.cancelled, report.accepted);
        }
    });
}

#[test]
fn a_scope_around_it_ends_it() {
    let (_world, runtime) = simulated(8);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:80".parse().unwrap()).unwrap();
        let address = listener.local_address().unwrap();
        let report = scope(async |around| {
            let around = around.clone();
            let client = spawn(async move {
                let client = TcpStream::connect(address).await.unwrap();
                exchange(&client).await;
                around.cancel();
                client.read(vec![0; 1]).await.0
            });
            let report = Server::new(listener).run(Stop::new(), |stream, _| echo(stream)).await;
            assert_eq!(client.await.unwrap().unwrap(), 0, "closed");
            report
        });
        let report = report.await.unwrap();
        assert_eq!((report.accepted, report.finished, report.cancelled), (1, 0, 1));
        assert_eq!(report.failure.unwrap().code(), Code::Cancelled);
    });
}

#[test]
fn unix_listeners_are_served_too() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let name = format!("@proact-async-server-{}", std::process::id());
            let address = Address::unix(name).unwrap();
            let (listener, stop) = (UnixListener::bind(address.clone()).unwrap(), Stop::new());
            let serving = spawn(Server::new(listener).run(stop.clone(), |stream: UnixStream, _| async move {
                stream.write_all(b"hello".to_vec()).await.0.unwrap();
            }));
            let client = UnixStream::connect(address).await.unwrap();
            assert_eq!(client.read_exact(vec![0; 5]).await.1, b"hello");
            stop.request();
            assert_eq!(serving.await.unwrap().finished, 1);
        });
    });
}

//! Happy eyeballs in virtual time, with addresses that let wait, and on real backends.

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use proact::operation::Accept;
use proact::simulated::{Host, World};
use proact::status::{Code, Operation, Result, Status};
use proact_async::net::{Connector, Resolve, TcpListener};
use proact_async::{Runtime, operation, spawn, time};
use support::on_every_backend;

/// Answers what it was told to, after so long, and counts.
#[derive(Clone, Default)]
struct Told {
    addresses: Vec<SocketAddr>,
    delay: Duration,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Resolve for Told {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        self.asked.borrow_mut().push(format!("{host}:{port}"));
        if !self.delay.is_zero() {
            time::sleep(self.delay).await;
        }
        if host == "unknown" {
            return Err(Status::new(Code::Unavailable, Operation::None).with_message("no such name"));
        }
        Ok(self.addresses.clone())
    }
}

struct Net {
    runtime: Runtime,
    here: Host,
    /// Nothing that is sent there arrives, and nobody is told.
    hole: Host,
}

fn net(seed: u64) -> Net {
    let world = World::new(seed);
    let (here, hole) = (world.host("here"), world.host("hole"));
    world.partition(&here, &hole);
    let runtime = Runtime::builder().proactor(here.builder()).build().unwrap();
    Net { runtime, here, hole }
}

fn v6(host: &Host, port: u16) -> SocketAddr {
    SocketAddr::new(host.ipv6(), port)
}

#[test]
fn an_address_that_lets_wait_costs_a_quarter_of_a_second() {
    for seed in 0..8 {
        let net = net(seed);
        net.runtime.block_on(async {
            let good = net.here.address(80);
            let listener = TcpListener::bind(good.into()).unwrap();
            let addresses = vec![v6(&net.hole, 80), v6(&net.hole, 81), good];
            let told = Told { addresses, ..Told::default() };
            let start = time::now();
            let stream = Connector::with_resolver(told.clone()).connect("name", 80).await.unwrap();
            let took = time::now() - start;
            // The families take turns: the one that works is the second that is tried.
            assert!(took >= Duration::from_millis(250) && took < Duration::from_millis(300), "{took:?}");
            assert_eq!(stream.peer_address().unwrap(), good.into());
            let (_, outcome) = operation(Accept::new(listener.socket().clone())).await;
            assert_eq!(outcome.result.unwrap().peer(), stream.local_address().unwrap());
            assert_eq!(*told.asked.borrow(), ["name:80"]);
        });
        // Losers were cancelled: nothing is left to end.
        assert_eq!(net.runtime.shutdown(Duration::from_secs(1)), 0);
    }
}

#[test]
fn one_that_refuses_is_passed_over_at_once() {
    let net = net(1);
    net.runtime.block_on(async {
        let (closed, good) = (net.here.address(1), net.here.address(80));
        let _listener = TcpListener::bind(good.into()).unwrap();
        let start = time::now();
        let stream = Connector::with_resolver(Told::default()).connect_any(&[closed, good]).await.unwrap();
        assert!(time::now() - start < Duration::from_millis(100));
        assert_eq!(stream.peer_address().unwrap(), good.into());
    });
}

#[test]
fn the_first_to_answer_wins_and_the_other_is_hung_up_on() {
    let net = net(2);
    let world = net.here.world().clone();
    net.runtime.block_on(async {
        let (slow, good) = (net.hole.address(80), net.here.address(80));
        let listener = TcpListener::bind(good.into()).unwrap();
        // The hole is mended when both are being tried: the other has won by then.
        let (here, hole) = (net.here.clone(), net.hole.clone());
        world.after(Duration::from_millis(260), move |world| world.heal(&here, &hole));
        let connector = Connector::with_resolver(Told::default());
        let stream = connector.connect_any(&[slow, good]).await.unwrap();
        assert_eq!(stream.peer_address().unwrap(), good.into());
        let (accepted, _) = listener.accept().await.unwrap();
        drop(stream);
        assert_eq!(accepted.read(vec![0; 1]).await.0.unwrap(), 0);
    });
    assert_eq!(net.runtime.shutdown(Duration::from_secs(1)), 0);
}

#[test]
fn the_failure_names_every_address_and_why() {
    let net = net(3);
    net.runtime.block_on(async {
        let (closed, hole) = (net.here.address(1), net.hole.address(2));
        let told = Told { addresses: vec![closed, hole], ..Told::default() };
        let connector = Connector::with_resolver(told).time_limit(Duration::from_secs(3));
        let start = time::now();
        let failed = connector.connect("name", 80).await.unwrap_err();
        let took = time::now() - start;
        assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(3100), "{took:?}");
        assert_eq!(failed.code(), Code::Unavailable);
        let text = failed.to_string();
        for part in ["name:80", &closed.to_string(), &hole.to_string(), "refused", "DEADLINE_EXCEEDED"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        // All for the same reason: that is its code.
        let failed = connector.connect_any(&[hole]).await.unwrap_err();
        assert_eq!(failed.code(), Code::DeadlineExceeded);
        let failed = connector.connect_any(&[]).await.unwrap_err();
        assert_eq!(failed.code(), Code::NotFound);
    });
}

#[test]
fn a_lookup_has_its_part_of_the_time_and_its_failure_is_told() {
    let net = net(4);
    net.runtime.block_on(async {
        let told = Told { addresses: vec![net.here.address(80)], delay: Duration::from_secs(5), ..Told::default() };
        let connector = Connector::with_resolver(told.clone()).time_limit(Duration::from_secs(2));
        let start = time::now();
        let late = connector.connect("name", 80).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        assert!(time::now() - start < Duration::from_millis(2100));
        let unknown = Connector::with_resolver(told.clone()).connect("unknown", 80).await.unwrap_err();
        assert!(unknown.to_string().contains("no such name"), "{unknown}");
        // An address is no name.
        let refused = connector.connect("127.0.0.1", 1).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(*told.asked.borrow(), ["name:80", "unknown:80"]);
    });
}

#[test]
fn a_race_that_is_dropped_leaves_nothing() {
    for micros in [1, 100, 249_000, 251_000, 400_000] {
        let net = net(micros);
        net.runtime.block_on(async {
            let addresses = [v6(&net.hole, 80), net.hole.address(80), net.hole.address(81)];
            let connector = Connector::with_resolver(Told::default());
            let racing = spawn(async move { connector.connect_any(&addresses).await.map(drop) });
            time::sleep(Duration::from_micros(micros)).await;
            racing.abort();
            assert!(racing.await.unwrap_err().is_cancelled());
        });
        assert_eq!(net.runtime.shutdown(Duration::from_secs(1)), 0);
    }
}

#[test]
fn a_name_of_this_machine_is_connected_to() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let port = listener.local_address().unwrap().port().unwrap();
            let connector = Connector::new().time_limit(Duration::from_secs(60));
            let stream = connector.connect("localhost", port).await.unwrap();
            assert_eq!(stream.peer_address().unwrap(), listener.local_address().unwrap());
            let failed = connector.connect("no.such.name.invalid", port).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unavailable);
            assert!(failed.to_string().contains("no.such.name.invalid"), "{failed}");
            let wrong = connector.connect("nul\0name", port).await.unwrap_err();
            assert_eq!(wrong.code(), Code::InvalidArgument);
        });
    });
}

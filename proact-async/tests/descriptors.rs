//! A server when the process has no descriptor left.
//!
//! One test in a program of its own: the bound is the process's.

mod support;

use std::fs::File;
use std::time::Duration;

use proact_async::net::{Server, TcpListener, TcpStream};
use proact_async::{Stop, spawn, time};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::on_every_backend;

#[test]
fn a_server_survives_that_no_descriptor_is_left() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
    on_every_backend(|runtime| {
        let backend = runtime.handle().backend().to_owned();
        let test = async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let (address, stop) = (listener.local_address().unwrap(), Stop::new());
            let server = Server::new(listener).pause(Duration::from_millis(1));
            let serving = spawn(server.run(stop.clone(), |stream, _| async move {
                stream.write_all(b"hello".to_vec()).await.0.unwrap();
            }));
            let mut held = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                held.push(file);
            }
            // One for the client's own socket, none for the server's.
            held.pop();
            let client = TcpStream::connect(address).await.unwrap();
            time::sleep(Duration::from_millis(5)).await;
            held.clear();
            assert_eq!(client.read_exact(vec![0; 5]).await.1, b"hello", "{backend}");
            stop.request();
            let report = serving.await.unwrap();
            assert_eq!((report.accepted, report.finished, report.lost), (1, 1, 0), "{backend}");
            assert!(report.pauses > 0 && report.failure.is_none(), "{backend}: {report:?}");
        };
        let ended = runtime.block_on(async { time::timeout(Duration::from_secs(60), test).await });
        ended.expect("it hangs");
    });
}

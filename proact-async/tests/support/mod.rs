//! What the tests share: each runs on every backend that works here.

use proact::proactor::{Builder, Choice};
use proact_async::Runtime;

/// Runs `test` with a runtime of each backend.
pub fn on_every_backend(test: impl Fn(Runtime)) {
    for choice in [Choice::IoUring, Choice::Epoll, Choice::Poll] {
        match Runtime::builder().proactor(Builder::new().backend(choice)).build() {
            Ok(runtime) => test(runtime),
            Err(status) => println!("skipped: {choice:?}: {status}"),
        }
    }
}

/// Runs `test` to its end on a runtime of each backend. One that does not end in a minute says so.
#[allow(dead_code)] // not by every test program
pub fn run<F: Future<Output = ()>>(test: impl Fn() -> F) {
    on_every_backend(|runtime| {
        let limit = std::time::Duration::from_secs(60);
        runtime.block_on(async { proact_async::time::timeout(limit, test()).await.expect("the test hangs") });
        assert_eq!(runtime.shutdown(limit), 0, "operations that did not end");
    });
}

/// Two ends of a connection.
#[allow(dead_code)] // not by every test program
pub async fn connected() -> (proact_async::net::TcpStream, proact_async::net::TcpStream) {
    use proact_async::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let near = TcpStream::connect(listener.local_address().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

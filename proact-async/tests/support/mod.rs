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

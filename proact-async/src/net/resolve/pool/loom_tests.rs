//! Lookups, their threads and the end of the resolver under every interleaving: `ci/loom.sh loom_tests::loom_lookup`.
//!
//! No wait runs out of time in a model, so that a thread which misses the end waits for ever, and loom finds it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake};

use loom::sync::Notify;

use super::*;

/// A waker that is heard by the next look.
struct Bell(Notify);

impl Bell {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new() -> Arc<Bell> {
        Arc::new(Bell(Notify::new()))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// A resolver that counts lookups and finds nothing.
fn resolver(threads: usize) -> (SystemResolver, Arc<AtomicU32>) {
    let looked = Arc::new(AtomicU32::new(0));
    let count = looked.clone();
    let lookup = move |_: &str, _: u16| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    };
    (SystemResolver::with(threads, 4, Box::new(lookup)), looked)
}

fn poll<F: Future>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// A lookup is dropped, and the resolver with it: its thread looks for work, is about to wait for it, or waits.
#[test]
fn loom_lookup_threads_hear_of_the_end_of_their_resolver() {
    loom::model(|| {
        let (resolver, looked) = resolver(1);
        let pool = resolver.owner.0.clone();
        // Whether it has its answer by then is nobody's concern.
        let _ = poll(pin!(resolver.resolve("one", 1)), &Bell::new());
        drop(resolver);
        assert!(looked.load(Ordering::Relaxed) <= 1, "once, or it has left the line before");
        assert!(lock(&pool.state).line.is_empty());
    });
}

/// The thread that one lookup has made serves the next as well, asleep or not, and every answer is heard.
#[test]
fn loom_lookup_answers_are_heard_one_after_the_other() {
    loom::model(|| {
        let (resolver, looked) = resolver(1);
        for _ in 0..2 {
            let (mut future, bell) = (pin!(resolver.resolve("one", 1)), Bell::new());
            while poll(future.as_mut(), &bell).is_pending() {
                bell.0.wait();
            }
        }
        assert_eq!(looked.load(Ordering::Relaxed), 2);
    });
}

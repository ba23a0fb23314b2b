//! The pool with a lookup that waits until it is told to answer.

use std::pin::Pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Context;

use super::*;

/// How many lookups have begun, how many go on, and how many did at most.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A resolver whose lookups tell that they have begun, and end when they are let go on.
struct Held {
    resolver: SystemResolver,
    counts: Arc<Counts>,
    begun: mpsc::Receiver<String>,
    go_on: mpsc::Sender<()>,
}

impl Held {
    fn new(threads: usize, waiting: usize) -> Held {
        let counts = Arc::new(Counts::default());
        let ((tell, begun), (go_on, gone_on)) = (mpsc::channel(), mpsc::channel());
        let (tell, gone_on) = (Mutex::new(tell), Mutex::new(gone_on));
        let seen = counts.clone();
        let lookup = move |host: &str, port: u16| {
            seen.begun.fetch_add(1, Ordering::Relaxed);
            let now = seen.now.fetch_add(1, Ordering::Relaxed) + 1;
            seen.most.fetch_max(now, Ordering::Relaxed);
            let _ = lock(&tell).send(host.to_owned());
            let _ = lock(&gone_on).recv();
            seen.now.fetch_sub(1, Ordering::Relaxed);
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        };
        let resolver = SystemResolver::with(threads, waiting, Box::new(lookup));
        Held { resolver, counts, begun, go_on }
    }

    fn start(&self, host: &'static str) -> Asked {
        let resolver = self.resolver.clone();
        let mut asked: Asked = Box::pin(async move { resolver.resolve(host, 80).await });
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        asked
    }
}

type Asked = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>>>>>;

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls to the end.
fn wait(mut asked: Asked) -> Result<Vec<SocketAddr>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(answer) = asked.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}

#[test]
fn a_storm_of_lookups_is_bounded_and_refused_beyond() {
    let held = Held::new(2, 3);
    let running: Vec<_> = ["one", "two"].into_iter().map(|host| held.start(host)).collect();
    let mut begun = [held.begun.recv().unwrap(), held.begun.recv().unwrap()];
    begun.sort();
    assert_eq!(begun, ["one", "two"]);
    let waiting: Vec<_> = ["three", "four", "five"].into_iter().map(|host| held.start(host)).collect();
    assert_eq!(held.resolver.waiting(), 3);
    let resolver = held.resolver.clone();
    let refused = wait(Box::pin(async move { resolver.resolve("six", 80).await })).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.to_string().contains("\"six\""), "{refused}");
    for _ in 0..5 {
        held.go_on.send(()).unwrap();
    }
    for asked in running.into_iter().chain(waiting) {
        assert_eq!(wait(asked).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 80))]);
    }
    assert_eq!(held.counts.begun.load(Ordering::Relaxed), 5);
    assert_eq!(held.counts.most.load(Ordering::Relaxed), 2);
}

#[test]
fn a_lookup_that_is_dropped_leaves_the_line_and_is_never_made() {
    let held = Held::new(1, 8);
    let first = held.start("first");
    assert_eq!(held.begun.recv().unwrap(), "first");
    let second = held.start("second");
    let third = held.start("third");
    assert_eq!(held.resolver.waiting(), 2);
    drop(second);
    assert_eq!(held.resolver.waiting(), 1);
    // One that goes on already answers to nobody, and its thread is free again.
    drop(first);
    held.go_on.send(()).unwrap();
    assert_eq!(held.begun.recv().unwrap(), "third");
    held.go_on.send(()).unwrap();
    wait(third).unwrap();
    assert_eq!(held.counts.begun.load(Ordering::Relaxed), 2);
}

#[test]
fn addresses_need_no_thread() {
    let held = Held::new(1, 1);
    let resolver = held.resolver.clone();
    let found = wait(Box::pin(async move { resolver.resolve("[::1]", 5).await })).unwrap();
    assert_eq!(found, ["[::1]:5".parse().unwrap()]);
    assert_eq!(lock(&held.resolver.owner.0.state).threads, 0);
}

#[test]
fn threads_go_when_the_resolver_does() {
    let held = Held::new(1, 1);
    let asked = held.start("one");
    held.begun.recv().unwrap();
    held.go_on.send(()).unwrap();
    wait(asked).unwrap();
    let pool = Arc::downgrade(&held.resolver.owner.0);
    drop(held);
    // The thread holds the pool until it has seen that.
    while pool.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn lookups_of_many_threads_all_have_their_own_answer() {
    let resolver = SystemResolver::with(3, 1000, Box::new(|_, port| Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))])));
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4u16)
        .map(|thread| {
            let (resolver, barrier) = (resolver.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                for round in 0..200 {
                    let (resolver, port) = (resolver.clone(), thread * 1000 + round);
                    let found = wait(Box::pin(async move { resolver.resolve("name", port).await })).unwrap();
                    assert_eq!(found, [SocketAddr::from(([10, 0, 0, 1], port))]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(lock(&resolver.owner.0.state).threads <= 3);
}

//! The executor: a task that gives way, one that is spawned and joined, and a message over a pair of sockets.

use std::future::poll_fn;
use std::task::Poll;

use proact::proactor::{Builder, Choice};
use proact_async::Runtime;
use proact_async::net::UnixStream;

use crate::{TIMES, WARM_UP, counted};

type Work = fn() -> Result<(), Box<dyn std::error::Error>>;

/// What is counted runs within a runtime, so each has its own way of being done.
pub(super) const CASES: &[(&str, Work)] = &[
    ("task/yield", || {
        rounds(|runtime, times| {
            runtime.block_on(async {
                for _ in 0..times {
                    give_way().await;
                }
            });
        })
    }),
    ("task/spawn-join", || {
        rounds(|runtime, times| {
            runtime.block_on(async {
                for _ in 0..times {
                    proact_async::spawn(async {}).await.expect("it neither panics nor is aborted");
                }
            });
        })
    }),
    ("echo/epoll", || {
        // Both ends here: a message is written, read, written back and read.
        rounds(|runtime, times| runtime.block_on(echoes(times)).expect("both ends are open"))
    }),
];

fn rounds(work: impl Fn(&Runtime, u32)) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder().proactor(Builder::new().backend(Choice::Epoll)).build()?;
    work(&runtime, WARM_UP);
    // Once, with all its rounds: entering the runtime is a thousandth of each.
    counted(&mut || work(&runtime, TIMES), 1);
    Ok(())
}

/// Wakes itself, and is pending once.
async fn give_way() {
    let mut gave = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn echoes(times: u32) -> proact::status::Result {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("the system has pairs of sockets");
    let near = UnixStream::from_std(near).map_err(|returned| returned.status)?;
    let far = UnixStream::from_std(far).map_err(|returned| returned.status)?;
    let (mut here, mut there) = (vec![1u8; 64], vec![0u8; 64]);
    for _ in 0..times {
        let (sent, back) = near.write_all(here).await;
        sent?;
        let (read, message) = far.read(there).await;
        assert_eq!(read?, 64);
        let (sent, message) = far.write_all(message).await;
        sent?;
        let (read, back) = near.read(back).await;
        assert_eq!(read?, 64);
        (here, there) = (back, message);
    }
    Ok(())
}

//! The loop's bell under every interleaving: `ci/loom.sh loom_tests::loom_rings`.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

use super::*;
use crate::atomic::model::Rung;
use crate::event_loop::woken::Woken;
use crate::event_loop::woken::model::Wakers;

/// The loop sees all that its wakers tell, and sleeps for ever if a ring is lost: also one that told nothing because
/// another one had been on its way.
#[test]
fn loom_rings_are_heard_whoever_else_rings() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let woken = Woken::new(Rope::new(semaphore.clone()));
        let mut wakers = Wakers::start(&woken);
        let rung = Rung::new();
        let waker = rung.waker();
        loop {
            // As a callback of the loop's operation,
            woken.bell.rearm();
            // as a look of its queue,
            if wakers.look() {
                break;
            }
            // and as the operation, which goes on.
            let mut wait = pin!(semaphore.future(woken.bell.awaited()));
            while wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                rung.wait();
            }
        }
        wakers.join();
    });
}

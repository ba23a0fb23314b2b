//! The sleep of the inline loop under every interleaving: `ci/loom.sh loom_tests::loom_sleeps`.

use super::*;
use crate::event_loop::woken::model::Wakers;

#[test]
fn loom_sleeps_end_with_every_wake() {
    loom::model(|| {
        let woken = Woken::new(Parked::default());
        let mut wakers = Wakers::start(&woken);
        let clock = Clock::monotonic();
        while !wakers.look() {
            sleep(&woken, &clock, None);
        }
        wakers.join();
    });
}

//! Uses against a close: `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`.

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::atomic::Arc;

/// The descriptor is open while this is 1. Without any order of its own, so that loom finds a use beside the close.
struct Descriptor(UnsafeCell<u32>);

fn shared() -> Arc<(Users, Descriptor)> {
    Arc::new((Users::new(), Descriptor(UnsafeCell::new(1))))
}

fn user(shared: &Arc<(Users, Descriptor)>) -> thread::JoinHandle<bool> {
    let shared = shared.clone();
    thread::spawn(move || {
        let entered = shared.0.enter();
        if entered {
            // SAFETY: what is being tested: nobody writes while somebody is in.
            assert_eq!(shared.1.0.with(|open| unsafe { *open }), 1, "used after the close");
            shared.0.leave();
        }
        entered
    })
}

#[test]
fn loom_a_close_waits_for_the_last_user_and_nobody_comes_after_it() {
    loom::model(|| {
        let shared = shared();
        let users = [user(&shared), user(&shared)];
        assert!(shared.0.close());
        // SAFETY: as above.
        shared.1.0.with_mut(|open| unsafe { *open = 0 });
        assert!(!shared.0.enter() && !shared.0.close());
        for user in users {
            user.join().unwrap();
        }
    });
}

//! Notifications and a proactor that waits for them: the model's own thread plays the poll thread, with the table of
//! subscriptions that the engine keeps.

use super::*;
use crate::sync::{Epoch, Notification};

const PROACTOR: u32 = 1;

/// What the engine keeps: subscriptions, and what became of them.
struct Table {
    shared: Arc<Shared>,
    held: Vec<crate::atomic::Arc<Subscription>>,
    gone: u32,
}

impl Table {
    fn new(shared: &Arc<Shared>) -> Table {
        Table { shared: shared.clone(), held: Vec::new(), gone: 0 }
    }

    /// A wait begins, as the engine begins it. `false`: it is over already.
    fn begin(&mut self, notification: &Notification, since: Epoch) -> bool {
        if notification.epoch() != since {
            return false;
        }
        if notification.subscription(PROACTOR).is_none() {
            self.held.push(notification.subscribe(PROACTOR, self.shared.clone()));
        }
        let subscription = notification.subscription(PROACTOR).unwrap();
        subscription.begin_wait();
        if notification.epoch() != since {
            subscription.end_wait();
            return false;
        }
        true
    }

    /// Takes what the stack has, as the engine does. Answers how often it was told of a signal.
    fn take(&mut self, nodes: impl FnOnce(&Shared) -> Taken<'_>) -> u32 {
        let shared = self.shared.clone();
        let mut told = 0;
        for node in nodes(&shared) {
            let Node::Subscription { subscription, gone } = node else { panic!("nothing else was pushed") };
            if gone {
                self.held.retain(|held| !std::ptr::eq(&**held, subscription.as_ptr()));
                self.gone += 1;
            } else {
                told += 1;
            }
        }
        told
    }
}

/// Polls until the wait is over. One that is never told is a deadlock.
fn wait(table: &mut Table, bell: &Bell, notification: &Notification, since: Epoch) -> u64 {
    if !table.begin(notification, since) {
        return 0;
    }
    let shared = table.shared.clone();
    // Only what was told of is looked at, as in the engine.
    let sleeps = sleep_until(&shared, bell, |_| {
        table.take(|shared| shared.stack.take(&shared.slots)) > 0 && notification.epoch() != since
    });
    notification.subscription(PROACTOR).unwrap().end_wait();
    sleeps
}

fn signaller(notification: &Notification) -> thread::JoinHandle<()> {
    let notification = notification.clone();
    thread::spawn(move || notification.signal(1))
}

#[test]
fn loom_a_signal_reaches_a_proactor_that_begins_to_wait() {
    loom::model(|| {
        let (shared, bell) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        let signal = signaller(&notification);
        let sleeps = wait(&mut table, &bell, &notification, Epoch::new(0));
        signal.join().unwrap();
        assert!(shared.wakes() <= sleeps, "{} wakes for {sleeps} sleeps", shared.wakes());
    });
}

/// The second finds the node still queued, or queues it anew; the poll thread sees both.
#[test]
fn loom_two_signals_are_both_seen_by_a_proactor_that_waits_twice() {
    loom::model(|| {
        let (shared, bell) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        let (one, other) = (signaller(&notification), signaller(&notification));
        let mut seen = Epoch::new(0);
        while seen != Epoch::new(2) {
            wait(&mut table, &bell, &notification, seen);
            seen = notification.epoch();
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}

/// The second wait begins while the first is counted, without a fence of its own.
#[test]
fn loom_a_wait_that_joins_another_is_told_too() {
    loom::model(|| {
        let (shared, bell) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        let signal = signaller(&notification);
        if table.begin(&notification, Epoch::new(0)) {
            // Cancelled, or ended, after the other has begun.
            let joined = table.begin(&notification, Epoch::new(0));
            notification.subscription(PROACTOR).unwrap().end_wait();
            if joined {
                sleep_until(&shared, &bell, |_| {
                    table.take(|shared| shared.stack.take(&shared.slots)) > 0 && notification.epoch() != Epoch::new(0)
                });
                notification.subscription(PROACTOR).unwrap().end_wait();
            }
        }
        signal.join().unwrap();
    });
}

#[test]
fn loom_a_wait_that_is_cancelled_leaves_the_next_one_to_be_told() {
    loom::model(|| {
        let (shared, bell) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        let signal = signaller(&notification);
        if table.begin(&notification, Epoch::new(0)) {
            notification.subscription(PROACTOR).unwrap().end_wait();
        }
        wait(&mut table, &bell, &notification, Epoch::new(0));
        signal.join().unwrap();
    });
}

/// The last handle goes on another thread, after a signal: the table is told once, and lets go. loom tells of what is
/// freed too early, or never.
#[test]
fn loom_the_end_of_a_notification_is_told_once() {
    loom::model(|| {
        let (shared, _) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        assert!(table.begin(&notification, Epoch::new(0)));
        notification.subscription(PROACTOR).unwrap().end_wait();
        let theirs = notification.clone();
        let thread = thread::spawn(move || {
            theirs.signal(1);
            drop(theirs);
        });
        table.take(|shared| shared.stack.take(&shared.slots));
        drop(notification);
        table.take(|shared| shared.stack.take(&shared.slots));
        thread.join().unwrap();
        table.take(|shared| shared.stack.take(&shared.slots));
        assert_eq!((table.gone, table.held.len()), (1, 0));
    });
}

/// A signal, and then the end, while the poll thread waits and takes: the node may be on its way for both.
#[test]
fn loom_a_signal_and_the_end_of_a_notification_may_be_one_node() {
    loom::model(|| {
        let (shared, _) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        assert!(table.begin(&notification, Epoch::new(0)));
        let theirs = notification.clone();
        let thread = thread::spawn(move || theirs.signal(1));
        let mut told = table.take(|shared| shared.stack.take(&shared.slots));
        thread.join().unwrap();
        told += table.take(|shared| shared.stack.take(&shared.slots));
        assert_eq!(told, 1);
        notification.subscription(PROACTOR).unwrap().end_wait();
        drop(notification);
        table.take(|shared| shared.stack.take(&shared.slots));
        assert_eq!((table.gone, table.held.len()), (1, 0));
    });
}

/// The proactor shuts down while others signal, and the notification ends after it.
#[test]
fn loom_a_proactor_that_shuts_down_is_not_reached_any_more() {
    loom::model(|| {
        let (shared, _) = shared();
        let notification = Notification::new();
        let mut table = Table::new(&shared);
        assert!(table.begin(&notification, Epoch::new(0)));
        let theirs = notification.clone();
        let thread = thread::spawn(move || {
            theirs.signal(1);
            drop(theirs);
        });
        table.take(|shared| shared.stack.close(&shared.slots));
        notification.subscription(PROACTOR).unwrap().end_wait();
        drop(notification);
        drop(table);
        thread.join().unwrap();
        assert!(shared.stack.is_closed() && shared.stack.is_empty());
    });
}

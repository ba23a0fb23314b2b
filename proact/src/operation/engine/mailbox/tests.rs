use std::thread;

use super::*;

fn drain(inbox: &mut Inbox, mailbox: &Mailbox) -> Vec<u64> {
    std::iter::from_fn(|| inbox.take(mailbox)).collect()
}

#[test]
fn a_full_mailbox_refuses_exactly_at_its_limit_and_takes_again_after_each_that_is_read() {
    for limit in [1, 2, 3, 5, 8, 100] {
        let (mailbox, mut inbox) = (Mailbox::new(limit, false), Inbox::default());
        for round in 0..10u64 {
            for message in 0..u64::from(limit) {
                mailbox.push(message).unwrap();
            }
            assert_eq!(mailbox.push(7), Err(Unsent::Full), "limit {limit}");
            assert_eq!(inbox.take(&mailbox), Some(0));
            mailbox.push(u64::from(limit)).unwrap();
            assert_eq!(mailbox.push(7), Err(Unsent::Full));
            assert_eq!(drain(&mut inbox, &mailbox), (1..=u64::from(limit)).collect::<Vec<_>>());
            assert!(!inbox.is_due(&mailbox) && inbox.is_over(&mailbox));
            assert_eq!(mailbox.refused(), (round + 1) * 2);
        }
        assert_eq!((mailbox.accepted(), inbox.delivered), (10 * u64::from(limit + 1), 10 * u64::from(limit + 1)));
    }
}

#[test]
fn an_unbounded_mailbox_keeps_all_in_order_and_goes_back_to_the_ring() {
    let (mailbox, mut inbox) = (Mailbox::new(4, true), Inbox::default());
    for round in 0..3 {
        (0..1000).for_each(|message| mailbox.push(message).unwrap());
        let mut got = vec![inbox.take(&mailbox).unwrap(), inbox.take(&mailbox).unwrap()];
        // The ring has room again, and yet these must not overtake.
        (1000..1010).for_each(|message| mailbox.push(message).unwrap());
        got.extend(drain(&mut inbox, &mailbox));
        assert_eq!(got, (0..1010).collect::<Vec<_>>());
        let overflow = mailbox.overflow.as_ref().unwrap();
        assert!(overflow.head.load(Ordering::Relaxed).is_null(), "round {round} has not ended the overflow");
        assert_eq!(overflow.count.load(Ordering::Relaxed), (round + 1) * 1006);
    }
    assert_eq!((mailbox.accepted(), mailbox.refused()), (3030, 0));
}

#[test]
fn what_was_taken_before_the_close_is_read_and_nothing_comes_after_it() {
    for unbounded in [false, true] {
        let (mailbox, mut inbox) = (Mailbox::new(2, unbounded), Inbox::default());
        let count = if unbounded { 5 } else { 2 };
        (0..count).for_each(|message| mailbox.push(message).unwrap());
        inbox.close(&mailbox);
        assert_eq!(mailbox.push(9), Err(Unsent::Closed));
        assert_eq!(drain(&mut inbox, &mailbox), (0..count).collect::<Vec<_>>());
        assert_eq!(mailbox.push(9), Err(Unsent::Closed));
        assert!(inbox.is_over(&mailbox));
        assert_eq!(mailbox.refused(), 0, "closed is not full");
    }
}

#[test]
fn what_is_never_read_is_freed_with_the_mailbox() {
    let (mailbox, mut inbox) = (Mailbox::new(2, true), Inbox::default());
    (0..100).for_each(|message| mailbox.push(message).unwrap());
    assert_eq!(inbox.take(&mailbox), Some(0));
}

#[test]
fn four_senders_lose_and_overtake_nothing() {
    const EACH: u64 = if cfg!(miri) { 200 } else { 50_000 };
    for (limit, unbounded) in [(1, false), (7, false), (64, false), (7, true), (64, true)] {
        let (mailbox, mut inbox) = (Mailbox::new(limit, unbounded), Inbox::default());
        thread::scope(|scope| {
            for sender in 0..4u64 {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    for number in 0..EACH {
                        while mailbox.push(sender << 32 | number).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut next = [0u64; 4];
            while next != [EACH; 4] {
                match inbox.take(&mailbox) {
                    Some(message) => {
                        let sender = (message >> 32) as usize;
                        assert_eq!(message & 0xffff_ffff, next[sender], "limit {limit}, unbounded: {unbounded}");
                        next[sender] += 1;
                    }
                    None => thread::yield_now(),
                }
            }
        });
        assert_eq!((mailbox.accepted(), inbox.take(&mailbox)), (4 * EACH, None));
    }
}

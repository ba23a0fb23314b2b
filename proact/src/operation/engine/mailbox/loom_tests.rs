//! The mailbox under every interleaving and every reordering that the memory model allows.

use loom::thread;

use super::*;
use crate::atomic::Arc;

/// `senders` threads send `each` messages, once each, while the model's own thread looks into the inbox `looks` times
/// and reads the rest when they are done. What was taken in is told once, each sender's in order, and nothing else.
fn all_arrive((limit, unbounded): (u32, bool), senders: u64, each: u64, looks: usize) {
    loom::model(move || {
        let (mailbox, mut inbox) = (Arc::new(Mailbox::new(limit, unbounded)), Inbox::default());
        let threads: Vec<_> = (0..senders)
            .map(|sender| {
                let mailbox = mailbox.clone();
                let message = move |number| sender << 8 | number;
                thread::spawn(move || {
                    (0..each).map(message).filter(|message| mailbox.push(*message).is_ok()).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut told: Vec<u64> = (0..looks).filter_map(|_| inbox.take(&mailbox)).collect();
        let sent: Vec<Vec<u64>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        told.extend(std::iter::from_fn(|| inbox.take(&mailbox)));
        for (sender, sent) in sent.into_iter().enumerate() {
            let theirs: Vec<u64> = told.iter().copied().filter(|message| message >> 8 == sender as u64).collect();
            assert_eq!(theirs, sent, "of sender {sender}");
            assert!(!unbounded || sent.len() as u64 == each, "refused without a bound");
        }
        assert!(inbox.is_over(&mailbox) && !inbox.is_due(&mailbox));
    });
}

#[test]
fn loom_messages_of_one_sender_arrive_once_and_in_order_through_one_cell() {
    all_arrive((1, false), 1, 3, 3);
}

#[test]
fn loom_messages_of_one_sender_arrive_once_and_in_order_through_fewer_places_than_cells() {
    all_arrive((3, false), 1, 5, 3);
}

#[test]
fn loom_messages_of_two_senders_arrive_once_and_in_order() {
    all_arrive((1, false), 2, 2, 2);
    all_arrive((2, false), 2, 2, 2);
}

#[test]
fn loom_messages_that_overflow_are_not_overtaken() {
    all_arrive((1, true), 1, 4, 4);
}

#[test]
fn loom_messages_of_two_senders_that_overflow_are_not_overtaken() {
    all_arrive((1, true), 2, 2, 2);
}

/// Every message is taken out before the end, or refused: never neither.
fn close_meets_senders(unbounded: bool) {
    loom::model(move || {
        let (mailbox, mut inbox) = (Arc::new(Mailbox::new(1, unbounded)), Inbox::default());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mailbox = mailbox.clone();
                thread::spawn(move || u64::from(mailbox.push(1).is_ok()))
            })
            .collect();
        inbox.close(&mailbox);
        let mut taken = 0;
        while !inbox.is_over(&mailbox) {
            match inbox.take(&mailbox) {
                Some(_) => taken += 1,
                None => thread::yield_now(),
            }
        }
        let sent: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(taken, sent, "a message was taken in and never told");
        assert_eq!(mailbox.push(1), Err(Unsent::Closed));
    });
}

#[test]
fn loom_a_message_is_taken_out_or_refused_at_a_close() {
    close_meets_senders(false);
}

#[test]
fn loom_a_message_is_taken_out_or_refused_at_a_close_of_an_unbounded_mailbox() {
    close_meets_senders(true);
}

//! Any bytes at all give a message within bounds or an error, and what decodes encodes to what it was decoded from.

use super::*;
use crate::random::Random;

/// Decodes; what comes of it must be the only meaning of these bytes.
fn check(bytes: &[u8]) -> bool {
    let Ok(message) = Message::decode(SESSION, bytes) else { return false };
    assert!(bytes.len() <= HEAD + message.kind().payload_max());
    assert_eq!(encoded(&message), bytes, "{message:?}");
    true
}

#[test]
fn every_prefix_of_every_message_is_refused() {
    for message in every_message() {
        let mut bytes = encoded(&message);
        for end in 0..bytes.len() {
            assert!(!check(&bytes[..end]), "{:?} cut at {end}", message.kind());
        }
        bytes.push(0);
        let error = Message::decode(SESSION, &bytes).unwrap_err();
        assert_eq!(error, MessageError::Trailing { kind: message.kind() });
    }
}

#[test]
fn a_payload_cut_short_under_a_head_that_agrees_is_refused() {
    for message in every_message() {
        let bytes = encoded(&message);
        for end in HEAD..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            cut[..4].copy_from_slice(&((end - HEAD) as u32).to_le_bytes());
            assert!(!check(&cut), "{:?} cut at {end}", message.kind());
        }
    }
}

#[test]
fn random_payloads_decode_within_bounds_or_not_at_all() {
    let mut random = Random::new(1);
    for _ in 0..50_000 {
        let kind = Kind::ALL[random.below(Kind::ALL.len() as u64) as usize];
        let length = random.below(300).min(kind.payload_max() as u64) as usize;
        let mut bytes = vec![length as u8, (length >> 8) as u8, 0, 0, VERSION, kind as u8, 0, 0];
        // Small numbers often, so that what stands behind a count is reached.
        bytes.extend((0..length).map(|_| if random.once_in(2) { random.next() as u8 } else { random.below(3) as u8 }));
        check(&bytes);
    }
}

#[test]
fn mutants_decode_to_what_encodes_back_or_not_at_all() {
    let mut random = Random::new(2);
    let messages: Vec<Vec<u8>> = every_message().iter().map(encoded).collect();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let mut bytes = messages[random.below(messages.len() as u64) as usize].clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(5) {
                0 => bytes[at] = random.next() as u8,
                1 | 2 => bytes[at] ^= 1 << random.below(8),
                3 if at >= HEAD => bytes.truncate(at),
                _ if at >= HEAD => bytes.insert(at, random.next() as u8),
                _ => {}
            }
        }
        let length = (bytes.len() - HEAD) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        if check(&bytes) { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn a_head_that_promises_too_much_is_refused_before_anything_is_read() {
    for &kind in Kind::ALL {
        let head = |length: u32| {
            let [a, b, c, d] = length.to_le_bytes();
            Head::decode(&[a, b, c, d, VERSION, kind as u8, 0, 0])
        };
        let max = kind.payload_max();
        assert_eq!(head(max as u32), Ok(Head { kind, length: max }));
        assert_eq!(head(max as u32 + 1), Err(MessageError::TooLong { kind, length: max as u64 + 1, max }));
        assert!(head(u32::MAX).is_err());
    }
    assert_eq!(Head::decode(&[0, 0, 0, 0, 2, 9, 0, 0]), Err(MessageError::UnknownVersion { version: 2 }));
    assert_eq!(Head::decode(&[0, 0, 0, 0, 1, 0, 0, 0]), Err(MessageError::UnknownKind { kind: 0 }));
    assert_eq!(Head::decode(&[0, 0, 0, 0, 1, 9, 0, 1]), Err(MessageError::NotZero { kind: Kind::Leave }));
}

//! Round trips, and bytes that nobody meant: truncated, mutated and random ones.

use alloc::{format, vec, vec::Vec};

use super::*;

const SESSION: Session = Session::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, 9);

/// SplitMix64 (Steele, Lea, Flood 2014): a failure is found again from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn frontier(entries: usize) -> Frontier {
    let entry = |index: usize| Entry::new(Axis::new(9, 3, Domain::Host, index as u64 * 7).unwrap(), index as u64 + 1);
    Frontier::from_entries(&(0..entries).map(entry).collect::<Vec<_>>()).unwrap()
}

fn encoded(entries: usize, completeness: Completeness) -> Vec<u8> {
    let mut bytes = vec![0xee; Session::ENCODED_MAX];
    let length = SESSION.encode(&frontier(entries), completeness, &mut bytes).unwrap();
    assert_eq!(length, Session::encoded_length(entries));
    assert!(bytes[length..].iter().all(|byte| *byte == 0xee), "nothing is written beyond the form");
    bytes.truncate(length);
    bytes
}

/// What holds of any bytes: an error, or something that encodes to the bytes that it was decoded from.
fn survives(bytes: &[u8]) -> Result<(Knowledge, usize), WireError> {
    let decoded = SESSION.decode(bytes);
    if let Ok((known, taken)) = &decoded {
        assert!(known.frontier.len() <= Frontier::ENTRIES_MAX);
        Frontier::validate(known.frontier.entries()).unwrap();
        let mut again = [0; Session::ENCODED_MAX];
        let length = SESSION.encode(&known.frontier, known.completeness, &mut again).unwrap();
        assert_eq!(again[..length], bytes[..*taken]);
    }
    decoded
}

#[test]
fn what_was_encoded_comes_back() {
    for entries in [0, 1, 4, 5, 64, 254, 255] {
        for completeness in [Completeness::Exact, Completeness::LowerBound] {
            let mut bytes = encoded(entries, completeness);
            let expected = Knowledge { frontier: frontier(entries), completeness };
            assert_eq!(SESSION.decode(&bytes), Ok((expected.clone(), bytes.len())));
            bytes.extend([0xff; 3]);
            assert_eq!(SESSION.decode(&bytes), Ok((expected, bytes.len() - 3)), "what follows is left alone");
        }
    }
}

/// The form itself: who changes a byte of it changes the version.
#[test]
fn the_form_is_written_down() {
    let axis = Axis::queue(9, 1, 2, 3);
    let mut bytes = [0; 40];
    let length =
        SESSION.encode(&Frontier::single(axis, 0x0102).unwrap(), Completeness::LowerBound, &mut bytes).unwrap();
    assert_eq!(length, 40);
    let id = [0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00];
    assert_eq!(bytes[..8], [1, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[8..24], id);
    assert_eq!(bytes[24..], [0, 0, 0, 3, 2, 0, 1, 9, 2, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_lower_bound_stays_one() {
    let (known, _) = SESSION.decode(&encoded(3, Completeness::LowerBound)).unwrap();
    assert!(!known.is_exact());
    assert_eq!(known.requirement(), None);
}

#[test]
fn every_truncation_is_told_with_what_is_needed() {
    for entries in [0, 1, 6] {
        let bytes = encoded(entries, Completeness::Exact);
        for have in 0..bytes.len() {
            let needed = if have < HEAD { HEAD } else { bytes.len() };
            assert_eq!(SESSION.decode(&bytes[..have]), Err(WireError::Truncated { needed, have }));
        }
    }
}

#[test]
fn every_mutation_of_one_byte_gives_an_error_or_another_frontier() {
    let bytes = encoded(6, Completeness::Exact);
    let original = SESSION.decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut mutated = bytes.clone();
            mutated[at] = value;
            let decoded = survives(&mutated);
            if value != bytes[at] {
                assert_ne!(decoded.as_ref(), Ok(&original), "byte {at} says {value}");
                // In the head only completeness may say something else, and the count something less.
                let may = at == 1 || at == 2 || at >= HEAD;
                assert!(may || decoded.is_err(), "byte {at} says {value}");
            }
        }
    }
}

#[test]
fn random_bytes_and_random_damage_are_survived() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..20_000u64 {
        let mut random = Random(seed);
        let mut bytes = if seed % 2 == 0 {
            let length = random.next() as usize % 300;
            (0..length).map(|_| random.next() as u8).collect()
        } else {
            encoded(random.next() as usize % 20, Completeness::Exact)
        };
        for _ in 0..random.next() % 4 {
            if !bytes.is_empty() {
                let at = random.next() as usize % bytes.len();
                bytes[at] ^= 1 << (random.next() % 8);
            }
        }
        match survives(&bytes) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn errors_say_what_is_wrong() {
    let refused = |at: usize, value: u8| {
        let mut bytes = encoded(3, Completeness::Exact);
        bytes[at] = value;
        SESSION.decode(&bytes).unwrap_err()
    };
    assert_eq!(refused(0, 2), WireError::UnknownVersion { version: 2 });
    assert_eq!(refused(1, 2), WireError::UnknownCompleteness { completeness: 2 });
    assert_eq!(refused(7, 1), WireError::NotZero { at: 7 });
    assert_eq!(refused(8, 0), WireError::ForeignSession { id: SESSION.id() & !0xff });
    assert_eq!(refused(HEAD + EACH + 7, 8), WireError::ForeignAxis { index: 1, epoch: 8 });
    assert_eq!(refused(HEAD + 5, 4), WireError::UnknownDomain { index: 0, domain: 4 });
    assert_eq!(refused(HEAD + EACH, 0), FrontierError::NotAscending { index: 1 }.into());
    assert_eq!(refused(HEAD + 2 * EACH + 8, 0), FrontierError::ZeroEpoch { index: 2 }.into());
    assert_eq!(format!("{}", refused(8, 0)), "it was said in session 00112233445566778899aabbccddee00");
}

#[test]
fn a_session_encodes_its_own_axes_alone_and_only_where_they_fit() {
    let mut bytes = [0xee; 100];
    let foreign = Frontier::single(Axis::queue(8, 0, 0, 0), 1).unwrap();
    let refused = SESSION.encode(&foreign, Completeness::Exact, &mut bytes);
    assert_eq!(refused, Err(WireError::ForeignAxis { index: 0, epoch: 8 }));
    let refused = SESSION.encode(&frontier(5), Completeness::Exact, &mut bytes);
    assert_eq!(refused, Err(WireError::NoRoom { needed: 104, have: 100 }));
    assert_eq!(bytes, [0xee; 100]);
}

#[test]
fn a_failed_decode_leaves_what_was_there() {
    let mut known = Knowledge::lower_bound(frontier(9));
    let mut bytes = encoded(2, Completeness::Exact);
    bytes[HEAD + 8] = 0;
    assert!(SESSION.decode_into(&bytes, &mut known).is_err());
    assert_eq!(known, Knowledge::lower_bound(frontier(9)));
    bytes[HEAD + 8] = 1;
    assert_eq!(SESSION.decode_into(&bytes, &mut known), Ok(bytes.len()));
    assert_eq!(known, Knowledge::exact(frontier(2)));
}

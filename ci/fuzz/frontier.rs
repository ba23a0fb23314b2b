//! Any bytes at all, to the decoder of frontiers: an error, or something that encodes to what it was decoded from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proact::causal::{Frontier, Session};

const SESSION: Session = Session::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, 9);

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Most bytes are refused by the head alone: the rest of the decoder is reached with a good one.
    if let Some((&count, entries)) = bytes.split_first() {
        let mut headed = Vec::with_capacity(24 + entries.len());
        headed.extend([1, count & 1, count >> 1, 0, 0, 0, 0, 0]);
        headed.extend(SESSION.id().to_le_bytes());
        headed.extend(entries);
        check(&headed);
    }
});

fn check(bytes: &[u8]) {
    let Ok((known, taken)) = SESSION.decode(bytes) else { return };
    assert!(taken <= bytes.len() && taken <= Session::ENCODED_MAX);
    Frontier::validate(known.frontier.entries()).expect("a decoded frontier is one");
    let mut again = [0; Session::ENCODED_MAX];
    let length = SESSION.encode(&known.frontier, known.completeness, &mut again).expect("room for the most entries");
    assert_eq!(again[..length], bytes[..taken]);
}

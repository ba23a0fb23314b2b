//! Any bytes at all, to the decoder of a session's messages: an error, or a message that encodes to what it was decoded
//! from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proact::causal::Session;
use proact_schedule::remote::wire::{HEAD, Kind, Message, VERSION};

const SESSION: Session = Session::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, 9);

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Most bytes are refused by the head alone: the rest of the decoder is reached with a good one.
    if let Some((&kind, payload)) = bytes.split_first() {
        let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
        let mut whole = (payload.len() as u32).to_le_bytes().to_vec();
        whole.extend([VERSION, kind as u8, 0, 0]);
        whole.extend(payload);
        check(&whole);
    }
});

fn check(bytes: &[u8]) {
    let Ok(message) = Message::decode(SESSION, bytes) else { return };
    assert!(bytes.len() <= HEAD + message.kind().payload_max());
    let mut again = Vec::new();
    message.encode(SESSION, &mut again).expect("what was decoded is within bounds");
    assert_eq!(again, bytes);
}

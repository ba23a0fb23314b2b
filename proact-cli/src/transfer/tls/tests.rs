//! Two channels that talk without a socket between them.

use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;

use super::super::slab::Chunk;
use super::*;

/// A sender's and a receiver's channel, which trust each other.
fn pair() -> (Arc<Channel>, Arc<Channel>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["receiver".into()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    server.send_tls13_tickets = 0;
    let name = ServerName::try_from("receiver").unwrap();
    let sender = Channel::client(&Client { config: Arc::new(client), name }).unwrap();
    (sender, Channel::server(&Arc::new(server)).unwrap())
}

fn flush(channel: &Channel, plain: &[u8], close: bool) -> Vec<u8> {
    channel.run(Task::Flush { plain: plain.to_vec(), close });
    channel.take_turn().outgoing.unwrap()
}

fn open(channel: &Channel, bytes: &[u8]) -> Turn {
    channel.run(Task::Open(bytes.to_vec(), bytes.len()));
    channel.take_turn()
}

fn shake_hands(sender: &Channel, receiver: &Channel) {
    assert!(!open(receiver, &flush(sender, &[], false)).established);
    assert!(open(sender, &flush(receiver, &[], false)).established);
    let turn = open(receiver, &flush(sender, &[], false));
    assert!(turn.established && !turn.wants_flush && turn.fault.is_none());
}

fn seal(sender: &Channel, layout: Layout, plain: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xee; Layout::room(plain.len())];
    buffer[layout.lead..layout.wire()].copy_from_slice(plain);
    sender.seal(&mut buffer, layout).unwrap();
    assert!(buffer[layout.wire()..].iter().all(|&byte| byte == 0xee), "nothing behind the frame is touched");
    buffer.truncate(layout.wire());
    buffer
}

fn take(receiver: &Channel, length: usize) -> Option<Vec<u8>> {
    receiver.run(Task::Take(Chunk::new(length).split().0, length));
    receiver.take_turn().taken.map(|filler| filler.bytes().to_vec())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + (at >> 8)) as u8).collect()
}

#[test]
fn a_frame_is_sealed_where_it_lies_to_the_length_that_was_told_before() {
    let (sender, receiver) = pair();
    shake_hands(&sender, &receiver);
    let mut layouts = Layouts::default();
    for length in [1, 64, RECORD - 1, RECORD, RECORD + 1, 2 * RECORD, 64 + (1 << 20), 5 * RECORD + 77] {
        let plain = pattern(length);
        let layout = layouts.next(length);
        assert!(layout.wire() <= Layout::room(length));
        let sealed = seal(&sender, layout, &plain);
        assert!(open(&receiver, &sealed).fault.is_none());
        assert!(take(&receiver, length).unwrap() == plain, "{length}");
    }
}

#[test]
fn new_keys_are_taken_in_time_and_their_record_is_counted_in() {
    let (sender, receiver) = pair();
    shake_hands(&sender, &receiver);
    let mut layouts = Layouts::with_records_per_key(10);
    let mut taken = 0;
    for round in 0..40 {
        let plain = pattern(3 * RECORD + round);
        let layout = layouts.next(plain.len());
        taken += usize::from(layout.rekey);
        assert!(open(&receiver, &seal(&sender, layout, &plain)).fault.is_none(), "round {round}");
        assert!(take(&receiver, plain.len()).unwrap() == plain, "round {round}");
    }
    // Each frame has 4 records but the first, which has 3: two frames a key.
    assert!((18..=20).contains(&taken), "{taken}");
}

#[test]
fn demands_are_met_in_order_from_bytes_that_come_in_any_pieces() {
    for piece in [1, 7, 100, 16 << 10, 100_000] {
        let (sender, receiver) = pair();
        shake_hands(&sender, &receiver);
        let plain = pattern(50_000);
        let sealed = flush(&sender, &plain, true);
        let (mut got, mut asked, mut closed) = (Vec::new(), 0, false);
        let lengths = [64, 0, 1, 20_000, 16_384, 13_551];
        receiver.run(Task::Take(Chunk::new(lengths[0]).split().0, lengths[0]));
        for bytes in sealed.chunks(piece) {
            let mut turn = open(&receiver, bytes);
            closed |= turn.closed;
            while let Some(filler) = turn.taken {
                got.extend_from_slice(filler.bytes());
                asked += 1;
                let Some(&length) = lengths.get(asked) else { break };
                receiver.run(Task::Take(Chunk::new(length).split().0, length));
                turn = receiver.take_turn();
            }
        }
        assert!(got == plain, "pieces of {piece}: {} of {}", got.len(), plain.len());
        assert!(closed, "pieces of {piece}: the end was said");
        receiver.run(Task::Ended);
        assert!(receiver.take_turn().fault.is_none(), "it ended as it should");
    }
}

#[test]
fn an_end_without_close_notify_and_a_flipped_bit_are_faults_of_their_own() {
    let (sender, receiver) = pair();
    shake_hands(&sender, &receiver);
    open(&receiver, &flush(&sender, b"hello", false));
    receiver.run(Task::Ended);
    let turn = receiver.take_turn();
    assert_eq!(turn.fault.unwrap().kind, FaultKind::Interrupted);
    let (sender, receiver) = pair();
    shake_hands(&sender, &receiver);
    let mut sealed = flush(&sender, b"hello", false);
    sealed[10] ^= 1;
    let turn = open(&receiver, &sealed);
    assert_eq!(turn.fault.unwrap(), Fault::new(FaultKind::Corrupted, "a TLS record arrived damaged, or forged"));
    assert!(turn.wants_flush, "the other side is told");
    let turn = open(&sender, &flush(&receiver, &[], false));
    let fault = turn.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Corrupted);
    assert!(fault.message.starts_with("the receiver received a TLS record that was damaged"), "{fault}");
}

#[test]
fn a_peer_that_asks_for_new_keys_of_the_sender_is_refused_and_not_miscounted() {
    let (sender, receiver) = pair();
    shake_hands(&sender, &receiver);
    let asked = {
        let mut state = receiver.state();
        state.connection.refresh_traffic_keys().unwrap();
        let mut bytes = Vec::new();
        state.connection.write_tls(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(asked.len(), REKEY);
    open(&sender, &asked);
    let layout = Layouts::default().next(100);
    let mut buffer = vec![0; Layout::room(100)];
    let refused = sender.seal(&mut buffer, layout).unwrap_err();
    assert!(refused.to_string().contains("the receiver asked for new keys"), "{refused}");
}

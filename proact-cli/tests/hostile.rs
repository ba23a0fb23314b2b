//! Peers that break the rules: refused with the rule's name, in bounded memory, and the receiver lives on.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use proact_cli::path::RelativeName;
use proact_cli::wire::{
    Accept, ChunkHeader, Entry, EntryKind, Fault, FileEnd, Frame, HEADER_SIZE, Hello, Kind, Limits, SessionId, Totals,
    decode_header, digest, encode_chunk_header, session::empty_file_digest,
};

mod support;
use support::*;

fn hello(entries: u32, bytes: u64) -> Frame {
    let totals = Totals { entries, bytes };
    Frame::Hello(Hello { session: SessionId([7; 16]), chunk_size: 4096, totals, overwrite: false, resume: false })
}

fn file(name: &[u8], size: u64) -> Frame {
    let name = RelativeName::new(name).expect("a name");
    let entry = Entry { kind: EntryKind::File, mode: 0o644, modified_seconds: 0, modified_nanoseconds: 0, size, name };
    Frame::File { file: 0, entry }
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

fn chunk(offset: u64, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; HEADER_SIZE];
    let length = payload.len() as u32;
    encode_chunk_header(&mut head, &ChunkHeader { file: 0, offset, length, digest: digest(payload) });
    [&head[..], payload].concat()
}

/// A FILE frame whose name is replaced, with digests that fit: what a hostile sender would make.
fn forged_name(name: &[u8]) -> Vec<u8> {
    let length: Vec<u8> = (0..name.len()).map(|index| if index % 200 == 100 { b'/' } else { b'x' }).collect();
    let honest = bytes(&[file(&length, 10)]);
    let mut payload = honest[HEADER_SIZE..].to_vec();
    let at = payload.len() - name.len();
    payload[at..].copy_from_slice(name);
    let mut head = honest[..HEADER_SIZE].to_vec();
    head[32..64].copy_from_slice(&digest(&payload));
    head[24..32].fill(0);
    let check = blake3::hash(&head);
    head[24..32].copy_from_slice(&check.as_bytes()[..8]);
    [head, payload].concat()
}

/// Says `script` and answers what the receiver says before it closes.
fn say(address: SocketAddr, script: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("settable");
    // The receiver may have refused the beginning already.
    let _ = stream.write_all(script);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the receiver answers and closes");
    answer
}

/// The ABORT at the end of what the receiver said.
fn abort(mut answer: &[u8]) -> Option<Fault> {
    while let Some((head, rest)) = answer.split_first_chunk::<HEADER_SIZE>() {
        let header = decode_header(head).expect("the receiver keeps the protocol");
        let (payload, rest) = rest.split_at(header.length as usize);
        if let Frame::Abort(fault) = Frame::decode(&header, payload).expect("the receiver keeps the protocol") {
            return Some(fault);
        }
        answer = rest;
    }
    None
}

#[test]
fn every_broken_rule_is_answered_with_abort_and_the_receiver_lives_on() {
    let random: Vec<u8> = content(10_000);
    let begin = bytes(&[hello(1, 8192), file(b"victim", 8192)]);
    let scripts: Vec<(&str, Vec<u8>, &str)> = vec![
        ("random bytes", random, "does not speak the transfer protocol"),
        ("no HELLO", bytes(&[file(b"x", 1)]), "unexpected FILE frame before HELLO"),
        ("a chunk first", chunk(0, b"data"), "unexpected CHUNK frame before HELLO"),
        ("HELLO twice", bytes(&[hello(1, 1), hello(1, 1)]), "unexpected HELLO frame between files"),
        ("a huge count", bytes(&[hello(u32::MAX, 1)]), "number of files: 4294967295 is above the limit"),
        ("more bytes than announced", bytes(&[hello(1, 10), file(b"x", 11)]), "size of a file: 11 is above the limit"),
        ("two dots", [bytes(&[hello(1, 10)]), forged_name(b"../../../etc/x")].concat(), "the name contains \"..\""),
        ("an absolute name", [bytes(&[hello(1, 10)]), forged_name(b"/etc/passwd")].concat(), "the name is absolute"),
        ("a long name", [bytes(&[hello(1, 10)]), forged_name(&[b'n'; 300])].concat(), "longer than 255 bytes"),
        ("a zero byte", [bytes(&[hello(1, 10)]), forged_name(b"a\0b")].concat(), "contains a zero byte"),
        ("a gap", [begin.clone(), chunk(4096, &[1; 4096])].concat(), "a CHUNK frame has offset 4096 where 0 is due"),
        ("a huge chunk", [begin.clone(), chunk(0, &[1; 8192])].concat(), "length 8192 where 4096 is due"),
        ("an early end", [begin.clone(), bytes(&[Frame::Done(Totals::default())])].concat(), "unexpected DONE frame"),
        ("a reply", bytes(&[hello(1, 1), Frame::FileDone { file: 0, fault: None }]), "unexpected FILE_DONE"),
    ];
    for backend in backends() {
        let scratch = Scratch::new("hostile");
        let into = scratch.path("into");
        let (receiver, address) = Program::receive(&into, &["--json", "--backend", backend]);
        for (what, script, rule) in &scripts {
            let answer = say(address, script);
            let fault = abort(&answer).unwrap_or_else(|| panic!("{backend}, {what}: no ABORT"));
            assert!(fault.message.contains(rule), "{backend}, {what}: {:?}", fault.message);
            assert_eq!(names(&into), [""; 0], "{backend}, {what}: partial files are gone before ABORT is said");
        }
        assert_eq!(names(&into), [""; 0], "{backend}: nothing was written");
        let honest = scratch.file("honest", 5000);
        let output = run(["transfer", honest.to_str().expect("UTF-8"), "--to", &address.to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(names(&into), ["honest"]);
        receiver.signal(rustix::process::Signal::INT);
        let output = receiver.finish();
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(text.lines().count(), scripts.len() + 1, "a report each");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("the honest one")).expect("JSON");
        assert_eq!(last["outcome"], "ok");
        let peak = last["peak_memory_bytes"].as_u64().expect("known on Linux");
        assert!(peak < 64 << 20, "{peak}");
    }
}

/// Takes in the next frame; answers its kind.
fn next_kind(stream: &mut TcpStream) -> Kind {
    let mut head = [0; HEADER_SIZE];
    stream.read_exact(&mut head).expect("a frame");
    let header = decode_header(&head).expect("the protocol is kept");
    stream.read_exact(&mut vec![0; header.length as usize]).expect("its payload");
    header.kind
}

#[test]
fn a_sender_waits_beyond_its_time_out_for_a_receiver_that_says_it_is_alive() {
    let scratch = Scratch::new("alive");
    let source = scratch.file("source", 100);
    let timeout = std::time::Duration::from_secs(2);
    for backend in backends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("bound").to_string();
        let arguments = ["transfer", source.to_str().expect("UTF-8"), "--to", &to, "--backend", backend];
        let sender = Program::start(arguments.into_iter().chain(["--timeout", "2s"]));
        let (mut stream, _) = listener.accept().expect("the sender");
        stream.set_read_timeout(Some(DEADLINE)).expect("settable");
        assert_eq!(next_kind(&mut stream), Kind::Hello);
        stream.write_all(&bytes(&[Frame::Accept(Accept { limits: Limits::default() })])).expect("it reads");
        while next_kind(&mut stream) != Kind::Done {}
        let until = std::time::Instant::now() + timeout + timeout / 4;
        while std::time::Instant::now() < until {
            stream.write_all(&bytes(&[Frame::Alive])).expect("it reads on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let delivered = Totals { entries: 1, bytes: 100 };
        let end = [Frame::FileDone { file: 0, fault: None }, Frame::Result { delivered, fault: None }];
        stream.write_all(&bytes(&end)).expect("it reads on");
        let output = sender.finish();
        assert_eq!(output.status.code(), Some(0), "{backend}: {}", stderr(&output));
    }
}

#[test]
fn a_receiver_whose_disk_is_at_work_says_that_it_is_alive() {
    // Far more work than fits between two beats, on any disk.
    let count = 6000;
    let mut script = bytes(&[hello(count, 0)]);
    let end = FileEnd { chunks: 0, digest: empty_file_digest() };
    for index in 0..count {
        let Frame::File { entry, .. } = file(format!("f{index}").as_bytes(), 0) else { unreachable!() };
        Frame::File { file: index, entry }.encode(&mut script);
        Frame::FileEnd { file: index, end }.encode(&mut script);
    }
    Frame::Done(Totals { entries: count, bytes: 0 }).encode(&mut script);
    for backend in backends() {
        let scratch = Scratch::new("busy");
        let (receiver, address) = Program::receive(&scratch.path("into"), &["--once", "--backend", backend]);
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("settable");
        let (mut writer, script) = (stream.try_clone().expect("a clone"), script.clone());
        let writer = std::thread::spawn(move || writer.write_all(&script));
        let mut kinds = Vec::new();
        while kinds.last() != Some(&Kind::Result) {
            kinds.push(next_kind(&mut stream));
        }
        writer.join().expect("no panic").expect("all was taken");
        assert!(kinds.contains(&Kind::Alive), "{backend}");
        assert_eq!(kinds.iter().filter(|&&kind| kind == Kind::FileDone).count(), count as usize, "{backend}");
        drop(stream);
        assert_eq!(receiver.finish().status.code(), Some(0), "{backend}");
    }
}

#[test]
fn a_stream_that_breaks_off_anywhere_leaves_nothing() {
    let whole =
        [bytes(&[hello(1, 8192), file(b"victim", 8192)]), chunk(0, &[1; 4096]), chunk(4096, &[2; 4096])].concat();
    for backend in backends() {
        let scratch = Scratch::new("truncated");
        let into = scratch.path("into");
        let (receiver, address) = Program::receive(&into, &["--backend", backend]);
        for length in (0..whole.len()).step_by(397) {
            say(address, &whole[..length]);
        }
        let honest = scratch.file("honest", 5000);
        let output = run(["transfer", honest.to_str().expect("UTF-8"), "--to", &address.to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(names(&into), ["honest"], "{backend}");
        receiver.signal(rustix::process::Signal::INT);
        assert_failed(&receiver.finish(), 130, "the sender closed the connection before the transfer had ended");
    }
}

#[test]
fn a_hostile_receiver_is_refused_by_the_sender() {
    let scratch = Scratch::new("hostile-receiver");
    let source = scratch.file("source", 100);
    let answers: Vec<(&str, Vec<u8>, &str)> = vec![
        ("random bytes", content(1000), "does not speak the transfer protocol"),
        ("an answer to nothing", bytes(&[Frame::FileDone { file: 0, fault: None }]), "unexpected FILE_DONE frame"),
        ("a sender's frame", bytes(&[hello(1, 1)]), "unexpected HELLO frame before ACCEPT"),
        ("a sign of life too early", bytes(&[Frame::Alive]), "unexpected ALIVE frame before ACCEPT"),
        ("nothing", Vec::new(), "closed the connection"),
    ];
    for backend in backends() {
        for (what, answer, rule) in &answers {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let to = listener.local_addr().expect("bound").to_string();
            let sender =
                Program::start(["transfer", source.to_str().expect("UTF-8"), "--to", &to, "--backend", backend]);
            let (mut stream, _) = listener.accept().expect("the sender");
            let mut head = [0; HEADER_SIZE];
            stream.read_exact(&mut head).expect("a HELLO");
            let header = decode_header(&head).expect("a HELLO");
            stream.read_exact(&mut vec![0; header.length as usize]).expect("its payload");
            stream.write_all(answer).expect("it reads");
            drop(stream);
            let output = sender.finish();
            assert_eq!(output.status.code(), Some(5), "{backend}, {what}: {}", stderr(&output));
            assert!(stderr(&output).contains(rule), "{backend}, {what}: {}", stderr(&output));
        }
    }
}

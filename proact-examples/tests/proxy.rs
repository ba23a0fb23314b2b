//! `proxy`, between plain sockets.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use support::{PATIENCE, Program, exchange, expect, expect_end, noise};

/// A proxy, and the listener that it connects to.
fn start(arguments: &[&str]) -> (Program, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    (Program::start(env!("CARGO_BIN_EXE_proxy"), &[&["--to", &to], arguments].concat()), listener)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let (program, listener) = start(&[]);
    let mut near = program.connect();
    near.write_all(b"question").unwrap();
    let mut far = accept(&listener);
    expect(&mut far, "question");
    near.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut far);
    // The other way goes on.
    exchange(&mut far, "answer", "");
    expect(&mut near, "answer");
    drop(far);
    expect_end(&mut near);
    program.stop();
}

#[test]
fn the_far_side_may_end_first() {
    let (program, listener) = start(&[]);
    let mut near = program.connect();
    let mut far = accept(&listener);
    far.write_all(b"greeting").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    expect(&mut near, "greeting");
    expect_end(&mut near);
    near.write_all(b"still").unwrap();
    expect(&mut far, "still");
    program.interrupt();
    drop(near);
    expect_end(&mut far);
    assert!(program.wait().success());
}

#[test]
fn many_mebibytes_arrive_whole_both_ways_at_once() {
    let (program, listener) = start(&[]);
    let near = program.connect();
    let far = accept(&listener);
    let (there, back) = (noise(24 << 20), noise(16 << 20).into_iter().rev().collect::<Vec<_>>());
    let pass = |stream: TcpStream, sent: Vec<u8>, wanted: Vec<u8>| {
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let reading = thread::spawn(move || {
            let mut got = Vec::new();
            { stream }.read_to_end(&mut got).unwrap();
            assert!(got == wanted, "the same bytes, {} of {}", got.len(), wanted.len());
        });
        [writing, reading]
    };
    let threads = [pass(near, there.clone(), back.clone()), pass(far, back, there)];
    threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
    program.stop();
}

#[test]
fn a_reader_that_does_not_read_holds_up_the_writer() {
    let (program, listener) = start(&["--grace", "0"]);
    let mut near = program.connect();
    let mut far = accept(&listener);
    // Until nothing more is taken: sockets and one pipe are full, and the rest stays with the writer.
    near.set_nonblocking(true).unwrap();
    let piece = noise(1 << 16);
    let mut sent = 0;
    let mut idle = 0;
    while idle < 100 {
        match near.write(&piece[sent % piece.len()..]) {
            Ok(count) => (sent, idle) = (sent + count, 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                idle += 1;
                thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 << 20, "{sent} bytes were taken that nobody reads");
    }
    // Nothing of it is lost.
    near.set_nonblocking(false).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), sent);
    assert!(got.iter().eq(piece.iter().cycle().take(sent)), "the same bytes");
    program.stop();
}

#[test]
fn a_connection_that_leads_nowhere_is_closed() {
    let (program, listener) = start(&[]);
    drop(listener);
    expect_end(&mut program.connect());
    program.stop();
}

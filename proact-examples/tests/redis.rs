//! `redis`, from plain sockets that speak its protocol.

mod support;

use std::io::{Read, Write};

use support::{Program, exchange, expect, expect_end, noise};

fn start(arguments: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_redis"), arguments)
}

#[test]
fn commands_typed_and_encoded_are_answered() {
    let program = start(&[]);
    let mut client = program.connect();
    exchange(&mut client, "PING\r\n", "+PONG\r\n");
    exchange(&mut client, "*3\r\n$3\r\nSET\r\n$1\r\nn\r\n$2\r\n41\r\n", "+OK\r\n");
    exchange(&mut client, "incr n\r\n", ":42\r\n");
    exchange(&mut program.connect(), "GET n\r\n", "$2\r\n42\r\n");
    exchange(&mut client, "EXPIRE n 100\r\nTTL n\r\nDEL n\r\nGET n\r\n", ":1\r\n:100\r\n:1\r\n$-1\r\n");
    exchange(&mut client, "\r\n*0\r\nQUIT\r\n", "+OK\r\n");
    expect_end(&mut client);
    program.stop();
}

#[test]
fn a_request_may_come_in_pieces() {
    let program = start(&[]);
    let mut client = program.connect();
    client.set_nodelay(true).unwrap();
    for piece in ["*2\r\n", "$4\r", "\nEC", "HO\r\n$5", "\r\nhello\r", "\nPING\r\nPI"] {
        client.write_all(piece.as_bytes()).unwrap();
    }
    expect(&mut client, "$5\r\nhello\r\n+PONG\r\n");
    exchange(&mut client, "NG\r\n", "+PONG\r\n");
    program.stop();
}

#[test]
fn a_long_pipeline_is_answered_in_its_order() {
    let program = start(&[]);
    let client = program.connect();
    let mut writer = client.try_clone().unwrap();
    let count = 100_000;
    let sending = std::thread::spawn(move || {
        let requests: String = (0..count).map(|_| "INCR n\r\n").collect();
        writer.write_all(requests.as_bytes()).unwrap();
    });
    let replies: String = (1..=count).map(|n| format!(":{n}\r\n")).collect();
    expect(&mut { client }, replies);
    sending.join().unwrap();
    program.stop();
}

#[test]
fn values_of_many_buffers_come_back_whole() {
    let program = start(&[]);
    let mut client = program.connect();
    let value = noise(8 << 20);
    let set = [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388608\r\n".as_slice(), &value, b"\r\n"].concat();
    exchange(&mut client, set, "+OK\r\n");
    exchange(&mut client, "GET k\r\n", "$8388608\r\n");
    let mut got = vec![0; value.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == value, "the same bytes");
    expect(&mut client, "\r\n");
    program.stop();
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_closed() {
    let program = start(&[]);
    let mut client = program.connect();
    exchange(&mut client, "PING\r\n*1\r\n+\r\n", "+PONG\r\n-ERR Protocol error: expected '$'\r\n");
    expect_end(&mut client);
    exchange(&mut program.connect(), "PING\r\n", "+PONG\r\n");
    program.stop();
}

#[test]
fn connections_beyond_the_limit_wait_for_one_to_end() {
    let program = start(&["--connections", "2"]);
    let (mut one, mut two, mut three) = (program.connect(), program.connect(), program.connect());
    exchange(&mut one, "PING\r\n", "+PONG\r\n");
    three.write_all(b"INFO\r\n").unwrap(); // to the kernel's queue
    exchange(&mut two, "PING\r\n", "+PONG\r\n");
    drop(one);
    let mut reply = [0; 1];
    three.read_exact(&mut reply).unwrap();
    let mut rest = vec![0; 300];
    let count = three.read(&mut rest).unwrap();
    let info = String::from_utf8_lossy(&rest[..count]);
    assert!(info.contains("connected_clients:2"), "{info}");
    program.stop();
}

#[test]
fn an_interrupt_ends_idle_connections_and_refuses_new_ones() {
    let program = start(&[]);
    let mut idle = program.connect();
    exchange(&mut idle, "PING\r\n", "+PONG\r\n");
    let address = program.address.clone();
    program.stop();
    expect_end(&mut idle);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn replies_that_nobody_reads_hold_up_their_client_and_no_other() {
    let program = start(&["--grace", "0"]);
    let mut slow = program.connect();
    let value = noise(1 << 20);
    let set = [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n".as_slice(), &value, b"\r\n"].concat();
    exchange(&mut slow, set, "+OK\r\n");
    // 256 MiB of replies, of which the sockets hold some.
    slow.write_all("GET k\r\n".repeat(256).as_bytes()).unwrap();
    exchange(&mut program.connect(), "PING\r\n", "+PONG\r\n");
    let resident = std::fs::read_to_string(format!("/proc/{}/statm", program.id())).unwrap();
    let pages: usize = resident.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(pages * 4096 < 100 << 20, "{pages} pages are resident");
    // With no time to end, the connection is cut off.
    program.stop();
}

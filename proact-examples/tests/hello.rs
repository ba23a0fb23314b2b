//! `hello`, README's first example, from a plain socket.

mod support;

use std::io::{BufRead, BufReader, Read, Write};

use support::Program;

#[test]
fn it_greets() {
    let program = Program::start_plain(env!("CARGO_BIN_EXE_hello"), &["127.0.0.1:0"]);
    let mut client = program.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-length: 14\r\n"), "{head}");
    let mut body = [0; 14];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"Hello, world!\n");
}

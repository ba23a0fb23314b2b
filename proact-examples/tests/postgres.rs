//! `postgres`, against a server that says what a test has it say.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

/// A message of the protocol: its kind, its length, its content.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], (content.len() as u32 + 4).to_be_bytes().as_slice(), content].concat()
}

/// The content of the next message; of the first, which has no kind, as well.
fn receive(stream: &mut TcpStream, kind: Option<u8>) -> Vec<u8> {
    if let Some(kind) = kind {
        let mut got = [0];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(char::from(got[0]), char::from(kind));
    }
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut content = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut content).unwrap();
    content
}

/// Columns of text.
fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut content = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        let length = column.map_or(u32::MAX, |column| column.len() as u32);
        content.extend(length.to_be_bytes());
        content.extend(column.unwrap_or("").bytes());
    }
    message(b'D', &content)
}

const READY: &[u8] = b"Z\0\0\0\x05I";

/// Runs the program against a server that answers its one query with `answer`. Yields the query, and what came of it.
fn run(sql: &str, answer: Vec<u8>) -> (String, Output) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let startup = receive(&mut stream, None);
        let text = String::from_utf8_lossy(&startup).replace('\0', " ");
        assert!(text.contains("user tester") && text.contains("database tests"), "{text}");
        stream.write_all(&[message(b'R', &[0; 4]), READY.to_vec()].concat()).unwrap();
        let query = receive(&mut stream, Some(b'Q'));
        stream.write_all(&answer).unwrap();
        receive(&mut stream, Some(b'X'));
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it says goodbye, and goes");
        String::from_utf8(query).unwrap().trim_end_matches('\0').to_string()
    });
    let arguments = ["--to", &address, "--user", "tester", "--database", "tests", sql];
    let output = Command::new(env!("CARGO_BIN_EXE_postgres")).args(arguments).output().unwrap();
    (server.join().unwrap(), output)
}

#[test]
fn rows_are_printed_as_they_come() {
    let describe = [
        b"\0\x02".as_slice(),
        b"name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        b"number\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
    ];
    let long = "x".repeat(200_000);
    let rows = [row(&[Some("one"), Some("1")]), row(&[None, Some("ä")]), row(&[Some(&long), Some("")])];
    let mut answer = message(b'T', &describe.concat());
    answer.extend(rows.concat());
    answer.extend([message(b'C', b"SELECT 3\0"), READY.to_vec()].concat());
    let (query, output) = run("SELECT name, number FROM t", answer);
    assert_eq!(query, "SELECT name, number FROM t");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == format!("one\t1\n\tä\n{long}\t\n").as_bytes());
}

#[test]
fn what_the_server_refuses_is_told() {
    let fault = b"SERROR\0VERROR\0C42P01\0Mrelation \"t\" does not exist\0\0";
    let (_, output) = run("SELECT * FROM t", [message(b'E', fault), READY.to_vec()].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("relation \"t\" does not exist"), "{told}");
}

#[test]
fn a_login_that_is_refused_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        receive(&mut stream, None);
        stream.write_all(&message(b'E', b"SFATAL\0VFATAL\0C28000\0Mnobody may\0\0")).unwrap();
    });
    let output = Command::new(env!("CARGO_BIN_EXE_postgres")).args(["--to", &address, "SELECT 1"]).output().unwrap();
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("nobody may"), "{told}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = Command::new(env!("CARGO_BIN_EXE_postgres")).args(["--to", &address, "SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("refused"));
}

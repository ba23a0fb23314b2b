//! `websocket`, from tungstenite's own blocking client.

mod support;

use std::net::TcpStream;

use support::{PATIENCE, Program, expect_end, noise};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

fn open(program: &Program) -> WebSocket<TcpStream> {
    let stream = program.connect();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client(format!("ws://{}/", program.address), stream).unwrap().0
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let program = Program::start(env!("CARGO_BIN_EXE_websocket"), &[]);
    let mut socket = open(&program);
    for message in
        [Message::text("hello"), Message::text(""), Message::binary(noise(3 << 20)), Message::binary(vec![0; 125])]
    {
        socket.send(message.clone()).unwrap();
        assert!(socket.read().unwrap() == message);
    }
    socket.send(Message::Ping(b"ping".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"ping".as_slice().into()));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    program.stop();
}

#[test]
fn an_interrupt_says_goodbye() {
    let program = Program::start(env!("CARGO_BIN_EXE_websocket"), &[]);
    let mut socket = open(&program);
    program.interrupt();
    let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("it says why it ends") };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "the server stops"));
    while socket.read().is_ok() {}
    drop(socket);
    assert!(program.wait().success());
}

#[test]
fn a_client_of_something_else_is_refused() {
    let program = Program::start(env!("CARGO_BIN_EXE_websocket"), &[]);
    let mut stranger = program.connect();
    std::io::Write::write_all(&mut stranger, b"\x00\x01\x02\r\n\r\n").unwrap();
    expect_end(&mut stranger);
    assert!(open(&program).close(None).is_ok());
    program.stop();
}

//! Calls that are given up at each of their waits.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use proact::operation::{Op, Send};
use proact::proactor::{Builder, Proactor};
use proact::resource::SocketType;
use proact::time::Timeout;
use proact_vm::standard::{DirectoryAccess, Grants, Host, Limits, Socket};
use proact_vm::{Context, Ref, Value};

use crate::{Directory, begin, bytes, call, contents, context, finish, poll, room, turn};

/// More steps than any call here takes.
const STEPS_MAX: usize = 64;

/// Begins the call, lets it and the proactor take up to `steps` steps, and gives it up. Answers whether it had ended.
fn give_up<const N: usize>(
    proactor: &mut Proactor,
    context: &Context,
    function: &str,
    inputs: [Value; N],
    steps: usize,
) -> bool {
    let mut future = begin(context, function, inputs);
    for step in 0..=steps {
        if poll(future.as_mut()).is_ready() {
            return true;
        }
        if step < steps {
            turn(proactor);
        }
    }
    false
}

/// Lets the proactor end what it has, also what it has not taken from other threads yet.
fn settle(proactor: &mut Proactor) {
    proactor.poll(Timeout::Immediate).unwrap();
    while proactor.pending() > 0 {
        turn(proactor);
    }
}

/// Gives the call up after each of its steps: nothing of it is left, not even a place.
fn at_each_step<const N: usize>(
    proactor: &mut Proactor,
    context: &Context,
    function: &str,
    inputs: impl Fn() -> [Value; N],
) -> usize {
    for steps in 0..STEPS_MAX {
        let inputs = inputs();
        let before: Vec<usize> = inputs.iter().filter_map(|input| input.reference().ok()).map(Ref::count).collect();
        let has_ended = give_up(proactor, context, function, inputs.clone(), steps);
        settle(proactor);
        let after: Vec<usize> = inputs.iter().filter_map(|input| input.reference().ok()).map(Ref::count).collect();
        assert_eq!(before, after, "{function} given up after {steps} steps holds its inputs");
        if has_ended {
            return steps;
        }
    }
    panic!("{function} takes more than {STEPS_MAX} steps");
}

#[test]
fn calls_on_files_leave_nothing_at_any_step() {
    let (mut proactor, directory) = (Builder::new().build().unwrap(), Directory::new());
    directory.write("a/b/file", b"content");
    let grants = Grants::new().directory("data", directory.path(), DirectoryAccess::ReadWrite);
    let limits = Limits { open_max: 1, ..Limits::default() };
    let context = context(&Host::new().grant(proactor.handle(), grants).limits(limits));
    let path = bytes("data/a/b/file");
    let waits = at_each_step(&mut proactor, &context, "file.open", || [path.clone(), Value::I32(3)]);
    assert!(waits >= 4, "two directories, the file, and what it is: {waits}");
    let open = begin(&context, "file.open", [path, Value::I32(3)]);
    let file = finish(&mut proactor, open).unwrap();
    let start = Value::I64(0);
    let buffer = Value::from(room(7));
    let reads = || [file.clone(), start.clone(), buffer.clone()];
    assert!(at_each_step(&mut proactor, &context, "file.read_at", reads) >= 1);
    let text = bytes("content");
    let writes = || [file.clone(), start.clone(), text.clone()];
    assert!(at_each_step(&mut proactor, &context, "file.write_at", writes) >= 1);
    assert!(at_each_step(&mut proactor, &context, "file.size", || [file.clone()]) >= 1);
    assert!(at_each_step(&mut proactor, &context, "file.sync", || [file.clone(), Value::I32(0)]) >= 1);
    assert_eq!(directory.read("a/b/file"), b"content");
    // A close that has begun goes on, and then there is a place for another file.
    assert!(!give_up(&mut proactor, &context, "file.close", [file.clone()], 0));
    settle(&mut proactor);
    let size = begin(&context, "file.size", [file]);
    let closed = finish(&mut proactor, size).unwrap_err();
    assert_eq!(closed.code(), proact::status::Code::FailedPrecondition);
    let open = begin(&context, "file.open", [bytes("data/a/b/file"), Value::I32(1)]);
    finish(&mut proactor, open).unwrap();
}

#[test]
fn a_connect_leaves_nothing_at_any_step() {
    let mut proactor = Builder::new().build().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let limits = Limits { open_max: 1, ..Limits::default() };
    let grants = Grants::new().connect(address.parse().unwrap());
    let context = context(&Host::new().grant(proactor.handle(), grants).limits(limits));
    let words = bytes(&address);
    assert!(at_each_step(&mut proactor, &context, "socket.connect", || [words.clone()]) >= 1);
}

#[test]
fn a_receive_that_is_given_up_loses_no_byte() {
    let mut proactor = Builder::new().build().unwrap();
    let grants = Grants::new().connect("127.0.0.1:1".parse().unwrap());
    let context = context(&Host::new().grant(proactor.handle(), grants));
    for (early, late) in [("", "abcdef"), ("ab", "cdef"), ("abcdef", "")] {
        for (steps, function) in (0..6).flat_map(|steps| [(steps, "socket.receive"), (steps, "socket.receive_exact")]) {
            let (mine, peer) = proactor.handle().socket_pair(SocketType::Stream).unwrap();
            let socket = Value::from(Ref::new(Socket::connection(proactor.handle(), mine, "pair")));
            let send = |proactor: &mut Proactor, text: &str| {
                if !text.is_empty() {
                    let send = Send::exact(peer.clone(), text.as_bytes().to_vec());
                    proactor.submit(Op::new(send, ())).map_err(|refused| refused.status).unwrap();
                }
            };
            // Given up before, while, and after the bytes come: of four, or of what there is.
            send(&mut proactor, early);
            let mut future = begin(&context, function, [socket.clone(), room(4).into()]);
            let mut taken = false;
            for _ in 0..=steps {
                taken = taken || poll(future.as_mut()).is_ready();
                if !taken {
                    proactor.poll(Timeout::Immediate).unwrap();
                }
            }
            drop(future);
            if taken {
                continue; // it has ended, and has its bytes
            }
            send(&mut proactor, late);
            let (mut heard, all) = (String::new(), early.to_owned() + late);
            while heard.len() < all.len() {
                let buffer = room(5);
                let receive = begin(&context, "socket.receive", [socket.clone(), buffer.clone().into()]);
                let Value::I64(count) = finish(&mut proactor, receive).unwrap() else { panic!() };
                assert!(count > 0, "{early:?} {late:?} {steps} {heard:?}");
                heard += std::str::from_utf8(&buffer.to_vec()[..count as usize]).unwrap();
            }
            assert_eq!(heard, all, "{function} given up after {steps} steps");
        }
    }
}

#[test]
fn an_accept_that_is_given_up_loses_no_connection() {
    let mut proactor = Builder::new().build().unwrap();
    let grants = Grants::new().listen("127.0.0.1:0".parse().unwrap());
    let context = context(&Host::new().grant(proactor.handle(), grants));
    let listener = call(&context, "socket.listen", [bytes("127.0.0.1:0")]).unwrap();
    let address = call(&context, "socket.local_address", [listener.clone()]).unwrap();
    let address = String::from_utf8(contents(&address)).unwrap();
    for steps in 0..4 {
        let mut future = begin(&context, "socket.accept", [listener.clone()]);
        assert!(poll(future.as_mut()).is_pending());
        // It waits in the kernel, or is about to: the connection comes to it.
        for _ in 0..steps {
            proactor.poll(Timeout::Immediate).unwrap();
        }
        let mut client = TcpStream::connect(&address).unwrap();
        for _ in 0..steps {
            proactor.poll(Timeout::Immediate).unwrap();
        }
        drop(future);
        let accept = begin(&context, "socket.accept", [listener.clone()]);
        let socket = finish(&mut proactor, accept).unwrap();
        let send = begin(&context, "socket.send", [socket.clone(), bytes("x")]);
        finish(&mut proactor, send).unwrap();
        let mut heard = [0];
        client.read_exact(&mut heard).unwrap();
        client.write_all(b"y").unwrap();
        let receive = begin(&context, "socket.receive_exact", [socket, room(1).into()]);
        finish(&mut proactor, receive).unwrap();
    }
}

#[test]
fn of_two_calls_that_receive_from_one_socket_the_second_is_refused() {
    let mut proactor = Builder::new().build().unwrap();
    let grants = Grants::new().connect("127.0.0.1:1".parse().unwrap());
    let modules = proact_vm::standard::modules(&Host::new().grant(proactor.handle(), grants)).unwrap();
    let builder = Context::builder(&proact_vm::Instance::new()).concurrent();
    let context = modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap();
    let (mine, _peer) = proactor.handle().socket_pair(SocketType::Stream).unwrap();
    let object = Arc::new(Socket::connection(proactor.handle(), mine, "pair"));
    let inputs = [Value::from(object.clone()), room(1).into()];
    let mut first = begin(&context, "socket.receive", inputs.clone());
    assert!(poll(first.as_mut()).is_pending());
    let second = begin(&context, "socket.receive", inputs.clone());
    let refused = finish(&mut proactor, second).unwrap_err();
    assert_eq!(refused.code(), proact::status::Code::FailedPrecondition);
    assert!(refused.to_string().contains("another call receives from it already"), "{refused}");
    // A close ends the first, and a call after it is told.
    let close = begin(&context, "socket.close", [inputs[0].clone()]);
    finish(&mut proactor, close).unwrap();
    assert!(finish(&mut proactor, first).is_err());
    let third = begin(&context, "socket.receive", inputs);
    assert_eq!(finish(&mut proactor, third).unwrap_err().code(), proact::status::Code::FailedPrecondition);
    assert_eq!(Arc::strong_count(&object), 1);
}

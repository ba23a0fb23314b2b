//! The standard modules as a WebAssembly program imports them: bytes of its memory pass for buffers.

use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::standard::{DirectoryAccess, Grants, Host, LogLevel};
use proact_vm::wasm::WasmModule;
use proact_vm::{Context, Value};

use crate::{Directory, bytes, call, context_with, thread};

/// Opens `data/in` and `data/../in`, reads the one, waits for the semaphore, sends what it has read to the address that
/// it was told, says the words of the failed open, and answers how many bytes went.
const PROGRAM: &str = r#"(module
    (import "file" "open" (func $open (param i32 i32 i32) (result i32)))
    (import "file" "read_at" (func $read (param i32 i64 i32 i32) (result i64)))
    (import "file" "close" (func $close (param i32)))
    (import "semaphore" "wait" (func $wait (param i32 i64 i64) (result i32)))
    (import "socket" "connect" (func $connect (param i32) (result i32)))
    (import "socket" "send" (func $send (param i32 i32 i32) (result i32)))
    (import "socket" "shutdown" (func $shutdown (param i32 i32)))
    (import "buffer" "read" (func $copy (param i32 i64 i32 i32)))
    (import "log" "write" (func $log (param i32 i32 i32)))
    (import "proact" "error" (func $error (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "data/in")
    (data (i32.const 16) "data/../in")
    (func (export "run") (param $address i32) (param $semaphore i32) (result i32)
        (local $file i32) (local $count i32) (local $socket i32)
        (if (i32.ge_s (call $open (i32.const 16) (i32.const 10) (i32.const 1)) (i32.const 0)) (then unreachable))
        (call $log (i32.const 3) (i32.const 512) (call $error (i32.const 512) (i32.const 512)))
        (local.set $file (call $open (i32.const 0) (i32.const 7) (i32.const 1)))
        (if (i32.lt_s (local.get $file) (i32.const 0)) (then unreachable))
        (local.set $count (i32.wrap_i64 (call $read (local.get $file) (i64.const 0) (i32.const 1024) (i32.const 100))))
        (call $close (local.get $file))
        (drop (call $wait (local.get $semaphore) (i64.const 1) (i64.const -1)))
        (local.set $socket (call $connect (local.get $address)))
        (if (i32.lt_s (local.get $socket) (i32.const 0)) (then unreachable))
        (if (call $send (local.get $socket) (i32.const 1024) (local.get $count)) (then unreachable))
        (call $shutdown (local.get $socket) (i32.const 1))
        (call $copy (local.get $address) (i64.const 0) (i32.const 2048) (i32.const 4))
        (call $log (i32.const 2) (i32.const 2048) (i32.const 4))
        (local.get $count)))"#;

const CONVENTIONS: &str = "\
    import file.open(in, i32) -> ref?\n\
    import file.read_at(ref, i64, out) -> i64?\n\
    import file.close(ref)\n\
    import semaphore.wait(ref, i64, i64) -> i32\n\
    import socket.connect(ref) -> ref?\n\
    import socket.send(ref, in) -> ?\n\
    import socket.shutdown(ref, i32)\n\
    import buffer.read(ref, i64, out)\n\
    import log.write(i32, in)\n\
    export run(ref, ref) -> i32\n";

fn program() -> Arc<WasmModule> {
    let binary = wat::parse_str(PROGRAM).unwrap_or_else(|error| panic!("{error}"));
    let builder = WasmModule::builder("program").conventions(CONVENTIONS);
    Arc::new(builder.load(&binary).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_program_reads_a_file_waits_and_sends_from_its_own_memory() {
    let (thread, directory) = (thread(), Directory::new());
    directory.write("in", b"what the file holds");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let grants =
        Grants::new().directory("data", directory.path(), DirectoryAccess::ReadOnly).connect(address.parse().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let host = Host::new()
        .grant(thread.handle(), grants)
        .log(LogLevel::Info, move |record| told.lock().unwrap().push((record.level, record.text.to_owned())));
    let context: Context = context_with(&host, [program() as Arc<dyn proact_vm::module::Module>]);

    let semaphore = Arc::new(Semaphore::new(0));
    let signalled = semaphore.clone();
    let signaller = std::thread::spawn(move || signalled.signal(1, None).unwrap());
    let sent = call(&context, "program.run", [bytes(&address), semaphore.clone().into()]).unwrap();
    assert_eq!(sent, Value::I32(19));
    signaller.join().unwrap();
    let mut arrived = Vec::new();
    server.accept().unwrap().0.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, b"what the file holds");
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    assert!(heard[0].0 == LogLevel::Warn && heard[0].1.contains("\"..\""), "{heard:?}");
    assert_eq!(heard[1], (LogLevel::Info, "127.".to_owned()));

    // A failure that the program is not told ends it, in the semaphore's words.
    let failed = Semaphore::new(0);
    failed.fail(proact::status::Status::new(Code::DataLoss, proact::status::Operation::None).with_message("gone"));
    let error = call(&context, "program.run", [bytes(&address), Arc::new(failed).into()]).unwrap_err();
    assert!(error.code() == Code::DataLoss && error.to_string().contains("gone"), "{error}");
    thread.join().unwrap();
}

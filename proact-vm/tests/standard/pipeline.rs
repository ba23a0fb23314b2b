//! A program that uses several modules, waiting deep in its calls.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use proact::proactor::Builder;
use proact::sync::Semaphore;
use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::standard::{DirectoryAccess, Grants, Host};
use proact_vm::{Buffer, Error, Ref, Value};

use crate::{Directory, begin, bytes, call, context_with, finish, thread};

/// Reads a file, waits for a semaphore, and sends what it has read.
fn program() -> Arc<dyn Module> {
    NativeModule::builder("program")
        .import("file.open", "0ri_r")
        .import("file.size", "0r_I")
        .import("buffer.create", "0I_r")
        .import("file.read_at", "0rIr_I")
        .import("semaphore.wait", "0rII_i")
        .import("socket.connect", "0r_r")
        .import("socket.send", "0rr")
        .async_function(
            "run",
            |caller: Caller<()>, path: Arc<Buffer>, address: Arc<Buffer>, semaphore: Arc<Semaphore>| async move {
                let file: Ref = caller.call(caller.import(0)?, (path, 1)).await?;
                let size: i64 = caller.call(caller.import(1)?, (file.clone(),)).await?;
                let buffer: Ref = caller.call(caller.import(2)?, (size,)).await?;
                let read: i64 = caller.call(caller.import(3)?, (file, 0i64, buffer.clone())).await?;
                let reached: i32 = caller.call(caller.import(4)?, (semaphore, 1i64, -1i64)).await?;
                let socket: Ref = caller.call(caller.import(5)?, (address,)).await?;
                let () = caller.call(caller.import(6)?, (socket, buffer)).await?;
                Ok::<_, Error>((read, reached))
            },
        )
        .build()
        .unwrap()
}

struct Setting {
    directory: Directory,
    server: TcpListener,
    semaphore: Arc<Semaphore>,
}

impl Setting {
    fn new() -> Setting {
        let directory = Directory::new();
        directory.write("in/file", b"content");
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        Setting { directory, server, semaphore: Arc::new(Semaphore::new(0)) }
    }

    fn grants(&self) -> Grants {
        Grants::new()
            .directory("data", self.directory.path(), DirectoryAccess::ReadOnly)
            .connect(self.server.local_addr().unwrap().to_string().parse().unwrap())
    }

    fn inputs(&self) -> [Value; 3] {
        let address = self.server.local_addr().unwrap().to_string();
        [bytes("data/in/file"), bytes(address), self.semaphore.clone().into()]
    }

    fn has_arrived(&self) {
        let mut heard = Vec::new();
        self.server.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"content");
    }
}

#[test]
fn a_program_waits_while_another_thread_polls() {
    let (thread, setting) = (thread(), Setting::new());
    let context = context_with(&Host::new().grant(thread.handle(), setting.grants()), [program()]);
    let semaphore = setting.semaphore.clone();
    let signaller = std::thread::spawn(move || semaphore.signal(1, None).unwrap());
    assert_eq!(call(&context, "program.run", setting.inputs()).unwrap(), Value::I32(0));
    signaller.join().unwrap();
    setting.has_arrived();
    thread.join().unwrap();
}

#[test]
fn a_program_waits_while_its_caller_polls() {
    let (mut proactor, setting) = (Builder::new().build().unwrap(), Setting::new());
    let context = context_with(&Host::new().grant(proactor.handle(), setting.grants()), [program()]);
    setting.semaphore.signal(1, None).unwrap();
    let run = begin(&context, "program.run", setting.inputs());
    assert_eq!(finish(&mut proactor, run).unwrap(), Value::I32(0));
    setting.has_arrived();
}

//! An example program as its user runs it, and plain blocking connections to it.

#![allow(dead_code)] // each test program uses a part of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// For how long anything may take that takes no time: a test fails then, rather than hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs until it is dropped or stopped.
pub struct Program {
    child: Child,
    /// Where it listens.
    pub address: String,
    rest: mpsc::Receiver<String>,
}

impl Program {
    /// Starts it, on a port that the system chooses, and waits until it listens.
    pub fn start(path: &str, arguments: &[&str]) -> Program {
        Program::start_plain(path, &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts it with these arguments and no others.
    pub fn start_plain(path: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new(path);
        command.args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect(path);
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, rest) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let line = rest.recv_timeout(PATIENCE).expect("it says where it listens");
        let address = line.strip_prefix("listening on ").expect(&line).to_string();
        Program { child, address, rest }
    }

    /// A connection to it.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end, which must come: its output is over then.
    pub fn wait(mut self) -> ExitStatus {
        loop {
            match self.rest.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it did not end"),
            }
        }
    }

    /// Asks it to end, and checks that it does so in order.
    pub fn stop(self) {
        self.interrupt();
        assert!(self.wait().success(), "it ends in order");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Has it ended already, both say so, and there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `request`, and expects exactly `reply`.
pub fn exchange(stream: &mut TcpStream, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
    stream.write_all(request.as_ref()).unwrap();
    expect(stream, reply);
}

/// Expects exactly `bytes` to come next.
pub fn expect(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes));
}

/// Expects the end of the stream.
pub fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// So many bytes that repeat nowhere near.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A folder of the test's own, removed in the end.
pub struct Folder {
    pub path: std::path::PathBuf,
}

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proact-examples-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder { path }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the system's own folder for such things does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

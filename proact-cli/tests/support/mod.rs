//! What the tests of the programs share: scratch directories, children with deadlines, a proxy that can stall.
#![allow(dead_code)] // each test file uses its part

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes a tenth of it, on any machine that is alive.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The backends that run here; the others are reported.
pub fn backends() -> Vec<&'static str> {
    let mut usable = Vec::new();
    for report in proact::proactor::survey() {
        match report.usable {
            Ok(()) => usable.push(report.choice.name()),
            Err(why) => println!("SKIPPED {}: {why}", report.choice.name()),
        }
    }
    usable
}

/// A directory that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proact-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of `size` bytes that differ from place to place.
    pub fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the scratch directory")).expect("its directory");
        fs::write(&path, content(size)).expect("a source");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn content(size: usize) -> Vec<u8> {
    (0..size as u32).map(|index| (index.wrapping_mul(0x9e37_79b9) >> 23) as u8).collect()
}

/// Every path below `root`, relative and sorted.
pub fn names(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(at).expect("a directory") {
            let path = entry.expect("an entry").path();
            names.push(path.strip_prefix(root).expect("below").display().to_string());
            if path.symlink_metadata().expect("it exists").is_dir() {
                walk(root, &path, names);
            }
        }
    }
    let mut names = Vec::new();
    if root.exists() {
        walk(root, root, &mut names);
    }
    names.sort();
    names
}

/// What lies in the receiver's own directory with this ending.
pub fn kept(into: &Path, ending: &str) -> Option<PathBuf> {
    let names = fs::read_dir(into.join(".proact-resume")).ok()?.map(|entry| entry.expect("an entry").path());
    names.into_iter().find(|path| path.extension().is_some_and(|extension| extension == ending))
}

/// Chunks that the journal claims.
pub fn claimed(into: &Path) -> u64 {
    kept(into, "journal").map_or(0, |path| (fs::metadata(path).expect("it is there").len() - 64) / 32)
}

/// A child that is killed when it outlives the deadline.
pub struct Program {
    child: Child,
    out: JoinHandle<Vec<u8>>,
    err: JoinHandle<Vec<u8>>,
    listening: Receiver<SocketAddr>,
    what: String,
}

impl Program {
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proact"));
        command.args(arguments);
        let what = format!("{command:?}");
        let mut child = command
            .env_remove("PROACT_BACKEND")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = child.stdout.take().expect("piped");
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).expect("readable");
            bytes
        });
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, listening) = channel();
        let err = std::thread::spawn(move || collect(stderr, &sender));
        Program { child, out, err, listening, what }
    }

    pub fn receive(into: &Path, more: &[&str]) -> (Program, SocketAddr) {
        let mut arguments: Vec<&OsStr> = ["receive", "--into"].map(OsStr::new).to_vec();
        arguments.push(into.as_os_str());
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "0"].map(OsStr::new));
        }
        arguments.extend(more.iter().map(OsStr::new));
        let program = Program::start(arguments);
        let address = program.listening.recv_timeout(DEADLINE).expect("the receiver says where it listens");
        (program, address)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the program is there");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > until {
                self.child.kill().expect("killable");
                panic!("{} did not end", self.what);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (self.out.join().expect("read"), self.err.join().expect("read"));
        Output { status, stdout, stderr }
    }
}

fn collect(mut stderr: BufReader<impl Read>, sender: &Sender<SocketAddr>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let start = all.len();
        if stderr.read_until(b'\n', &mut all).expect("readable") == 0 {
            return all;
        }
        let line = String::from_utf8_lossy(&all[start..]);
        if let Some(address) = line.trim().strip_prefix("proact: listening on ") {
            let _ = sender.send(address.parse().expect("an address"));
        }
    }
}

pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Output {
    Program::start(arguments).finish()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON object that a program printed.
pub fn json(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "one object on one line: {text:?}, {}", stderr(output));
    serde_json::from_str(text).expect("JSON")
}

/// What the exit code and the message are; shown whole when they are not.
#[track_caller]
pub fn assert_failed(output: &Output, code: i32, message: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert!(stderr(output).contains(message), "{message:?} is missing in {:?}", stderr(output));
}

/// Forwards connections to `to`. After `stall` bytes from the sender it stops, says so, and goes on when told; bytes
/// go through `change` on their way.
pub struct Proxy {
    pub address: SocketAddr,
    pub stalled: Receiver<()>,
    go: Sender<()>,
}

impl Proxy {
    pub fn new(to: SocketAddr, stall: u64, change: impl Fn(u64, &mut [u8]) + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stalled_sender, stalled) = channel();
        let (go, go_receiver) = channel();
        std::thread::spawn(move || {
            let (mut from, _) = listener.accept().expect("the sender");
            let mut onward = TcpStream::connect(to).expect("the receiver");
            let (mut back_from, mut back_to) =
                (onward.try_clone().expect("a clone"), from.try_clone().expect("a clone"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut back_from, &mut back_to);
                let _ = back_to.shutdown(std::net::Shutdown::Write);
            });
            let mut buffer = vec![0; 4096];
            let (mut done, mut waited) = (0, false);
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if done + count as u64 > stall && !std::mem::replace(&mut waited, true) {
                    let _ = stalled_sender.send(());
                    if go_receiver.recv().is_err() {
                        break;
                    }
                }
                change(done, &mut buffer[..count]);
                done += count as u64;
                if onward.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = onward.shutdown(std::net::Shutdown::Write);
        });
        Proxy { address, stalled, go }
    }

    pub fn wait_for_stall(&self) {
        self.stalled.recv_timeout(DEADLINE).expect("so many bytes come through");
    }

    /// What stalls goes no further: both sides are cut off.
    pub fn cut(self) {}

    pub fn go_on(&self) {
        self.go.send(()).expect("it waits");
    }
}

//! The backend through its contract. Where no ring can be had the tests say so and pass.

mod cancel;
mod chains;
mod files;
mod fixed;
mod messages;
mod pools;
mod sockets;
mod waits;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::backend::{Descriptor, Metadata, OpenFlags, RawAddress};

/// Longer than anything here takes; a test that reaches it fails with what it waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend, and the completions that came from it.
struct Driver {
    backend: IoUring,
    generation: u64,
    came: HashMap<u64, i32>,
}

impl Driver {
    fn new() -> Option<Driver> {
        Driver::with(BackendConfig { entries: 16, ..BackendConfig::default() })
    }

    fn without(masked: Capabilities) -> Option<Driver> {
        let allowed = Capabilities::all() - masked;
        Driver::with(BackendConfig { entries: 16, allowed, ..BackendConfig::default() })
    }

    fn with(config: BackendConfig) -> Option<Driver> {
        match IoUring::new(&config) {
            Ok(mut backend) => {
                backend.grow(64);
                Some(Driver { backend, generation: 0, came: HashMap::new() })
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                println!("skipped: {status}");
                None
            }
        }
    }

    fn token(&mut self) -> Token {
        self.generation += 1;
        Token::new(self.generation, self.generation as u32 % 64)
    }

    fn start(&mut self, request: Request) -> Token {
        let token = self.token();
        // SAFETY: the tests keep what their requests point to until the completion, or until the backend is dropped.
        assert_eq!(unsafe { self.backend.start(token, &request) }, Start::Accepted);
        token
    }

    /// Starts a request to which the kernel has answered `errno`: those tried here wait by themselves for whatever
    /// has readiness, so that the answer has to be made up. What follows from it is real.
    fn refused(&mut self, request: Request, errno: i32, linked: bool) -> Token {
        let token = self.token();
        let link = if linked { Link::step(1) } else { Link::ALONE };
        self.backend.table.admit(token, &request, link);
        if let Some(completion) = self.backend.table.settle(token, -errno, 0) {
            self.came.insert(completion.token.to_bits(), completion.result);
        }
        token
    }

    fn chain<const N: usize>(&mut self, requests: [Request; N]) -> [Token; N] {
        let steps = requests.map(|request| (self.token(), request));
        // SAFETY: as in `start`.
        assert!(unsafe { self.backend.start_linked(&steps) });
        steps.map(|(token, _)| token)
    }

    /// One pass; no token may complete twice.
    fn poll(&mut self, wait: Wait) -> usize {
        let mut completions = Vec::new();
        self.backend.poll(wait, &mut completions).unwrap();
        for completion in &completions {
            let before = self.came.insert(completion.token.to_bits(), completion.result);
            assert_eq!(before, None, "{completion:?} came before");
        }
        completions.len()
    }

    /// Polls until `token` has completed.
    fn finish(&mut self, token: Token) -> i32 {
        let deadline = self.backend.clock.now() + PATIENCE;
        loop {
            if let Some(result) = self.came.get(&token.to_bits()) {
                return *result;
            }
            assert!(self.backend.clock.now() < deadline, "{token:?} did not complete");
            self.poll(Wait::Until(deadline));
        }
    }

    fn run(&mut self, request: Request) -> i32 {
        let token = self.start(request);
        self.finish(token)
    }

    /// Lets the kernel take what was started, and answer what it can at once.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.poll(Wait::No);
        }
    }

    fn has(&self, token: Token) -> bool {
        self.came.contains_key(&token.to_bits())
    }
}

fn descriptor(fd: &impl AsRawFd) -> Descriptor {
    Descriptor(fd.as_raw_fd().into())
}

fn event(flags: rustix::event::EventfdFlags) -> OwnedFd {
    rustix::event::eventfd(0, flags).unwrap()
}

fn signal(event: &OwnedFd) {
    assert_eq!(rustix::io::write(event, &1u64.to_ne_bytes()), Ok(8));
}

/// A directory that goes when the test does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        // A folder of its own for each: tests of one name run side by side.
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proact-ring-{}-{name}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

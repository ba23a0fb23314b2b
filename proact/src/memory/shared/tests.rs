//! Shared pools over processes: records of peers, and peers that are killed. The conformance suite has the rest.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::memory::Access;

const GEOMETRY: Geometry = Geometry { buffer_size: 4096, buffer_count: 16 };

pub(super) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn mapped(fd: &OwnedFd, geometry: Geometry) -> Region {
    Region::map_shared(fd.as_fd(), 0, geometry.total_size().unwrap(), Access::all()).unwrap()
}

fn code<T>(result: Result<T>) -> Code {
    result.map(|_| ()).map_or_else(|status| status.code(), |()| Code::Ok)
}

#[test]
fn records_of_handles_that_are_gone_are_used_again() {
    let (region, fd) = Region::create_shared(GEOMETRY.total_size().unwrap()).unwrap();
    let first = SharedPool::create(region, GEOMETRY).unwrap();
    let open = || SharedPool::open(mapped(&fd, GEOMETRY), GEOMETRY);
    let mut others: Vec<_> = (1..PEERS).map(|_| open().unwrap()).collect();
    assert_eq!(code(open()), Code::ResourceExhausted);
    others.pop();
    let late = open().unwrap();
    // A lease keeps its handle, and so its record.
    let lease = late.acquire().unwrap();
    drop(late);
    assert_eq!(code(open()), Code::ResourceExhausted);
    drop(lease);
    assert_eq!((code(open()), first.available()), (Code::Ok, 16));
}

/// A peer in a process of its own, which holds buffers until it is killed.
struct Peer {
    child: std::process::Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

const PEER_FD: &str = "PROACT_TEST_PEER_FD";

impl Peer {
    fn start(fd: &OwnedFd) -> Peer {
        // The child inherits a duplicate of its own.
        let inherited = fd.try_clone().unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "memory::shared::tests::the_other_process"])
            .env(PEER_FD, inherited.as_raw_fd().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut peer = Peer { child, said };
        let ready = peer.said.any(|line| line.unwrap().contains("holds five"));
        assert!(ready, "the other process has ended");
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the other process of the test below"]
fn the_other_process() {
    let Ok(fd) = std::env::var(PEER_FD) else { return println!("skipped: only the test below starts it") };
    let fd = fd.parse().unwrap();
    // SAFETY: inherited for this, and open until this process ends.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let region = Region::map_shared(fd, 0, GEOMETRY.total_size().unwrap(), Access::all()).unwrap();
    let pool = SharedPool::open(region, GEOMETRY).unwrap();
    let _leases: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
    println!("holds five");
    std::thread::sleep(Duration::from_secs(60));
    panic!("nobody killed it");
}

#[test]
fn what_a_killed_process_held_is_reclaimed_and_no_more() {
    let (region, fd) = Region::create_shared(GEOMETRY.total_size().unwrap()).unwrap();
    let pool = SharedPool::create(region, GEOMETRY).unwrap();
    let mine = pool.acquire().unwrap();
    let (mut dies, lives) = (Peer::start(&fd), Peer::start(&fd));
    assert_eq!((pool.available(), pool.reclaim().unwrap()), (5, 0), "everyone lives");
    dies.child.kill().unwrap();
    let mut back = 0;
    eventually("what the killed process held", || {
        back += pool.reclaim().unwrap();
        back > 0
    });
    assert_eq!((back, pool.available(), pool.reclaim().unwrap()), (5, 10, 0));
    mine.release().unwrap();
    drop(lives);
    assert_eq!((pool.reclaim().unwrap(), pool.available()), (5, 16));
}

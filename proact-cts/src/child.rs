//! Running a case in a process of its own: what it does to signals concerns nobody else then.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use crate::bench::Cts;

/// Set for such a process: the case to be run there.
const CHILD: &str = "PROACT_CTS_CHILD";
/// The descriptor that it was handed, if any.
const HANDED: &str = "PROACT_CTS_CHILD_FD";

/// How a child ended, and what it printed.
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Both outputs.
    pub text: String,
}

/// Whether this is the process that runs nothing but the case `name` of `group`.
fn is_child(cts: &Cts, group: &str, name: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|child| child == path(cts, group, name))
}

fn path(cts: &Cts, group: &str, name: &str) -> String {
    format!("{}::{group}::{name}", cts.config.name)
}

/// Runs this program again for the one case.
fn run(cts: &Cts, group: &str, name: &str) -> Ended {
    Ended::of(command(cts, group, name).output().expect("a child process"))
}

fn command(cts: &Cts, group: &str, name: &str) -> Command {
    let path = path(cts, group, name);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([&path, "--exact", "--test-threads=1"]).env(CHILD, &path).stdin(Stdio::null());
    command
}

impl Ended {
    fn of(output: std::process::Output) -> Ended {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ended { status: output.status, text }
    }
}

/// Has `there` run in a process of its own that begins anew and knows `fd` alone of this one, while `here` runs in this
/// one. Both must pass.
#[track_caller]
pub fn beside(
    cts: &mut Cts,
    (group, name): (&str, &str),
    fd: &OwnedFd,
    here: impl FnOnce(&mut Cts),
    there: fn(&mut Cts, BorrowedFd<'_>),
) {
    if is_child(cts, group, name) {
        let fd = std::env::var(HANDED).expect("a descriptor's number").parse().expect("a number");
        // SAFETY: it was inherited for this, and nothing in this process closes it.
        return there(cts, unsafe { BorrowedFd::borrow_raw(fd) });
    }
    // A duplicate that alone is left open where the other program begins.
    let handed = fd.try_clone().expect("another descriptor");
    rustix::io::fcntl_setfd(&handed, rustix::io::FdFlags::empty()).expect("it is open");
    let mut command = command(cts, group, name);
    command.env(HANDED, handed.as_raw_fd().to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("a child process");
    drop(handed);
    here(cts);
    let Ended { status, text } = Ended::of(child.wait_with_output().expect("its end"));
    assert!(status.success(), "the child ended with {status}:\n{text}");
    assert!(text.contains("1 passed"), "the child ran no case:\n{text}");
}

/// Has `body` run in a process of its own, and pass there.
#[track_caller]
pub fn alone(cts: &mut Cts, group: &str, name: &str, body: fn(&mut Cts)) {
    if is_child(cts, group, name) {
        return body(cts);
    }
    let Ended { status, text } = run(cts, group, name);
    assert!(status.success(), "the child ended with {status}:\n{text}");
    assert!(text.contains("1 passed"), "the child ran no case:\n{text}");
}

/// Has `body` run in a process of its own, which a signal must end there. Answers which.
#[track_caller]
pub fn killed(cts: &mut Cts, group: &str, name: &str, body: fn(&mut Cts)) -> i32 {
    if is_child(cts, group, name) {
        body(cts);
        panic!("no signal has ended this process");
    }
    let Ended { status, text } = run(cts, group, name);
    status.signal().unwrap_or_else(|| panic!("the child ended with {status}:\n{text}"))
}

//! What containers and administrators take away from a program, imposed on a child process of a test.
//!
//! Linux only. A restriction is in force before the child's first instruction, and the parent keeps its own freedom.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// What a child process has to do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restriction {
    /// A seccomp filter answers the three system calls of io_uring with this error number.
    RingsAnswer(i32),
    /// No byte of memory may be locked: `RLIMIT_MEMLOCK` is 0, and the privilege to exceed it (`CAP_IPC_LOCK`) is gone.
    NoLockedMemory,
}

impl Restriction {
    /// Runs `command` to its end under this restriction. `None`: the system cannot impose it (user-mode emulators
    /// cannot impose filters), which is said on standard output.
    ///
    /// # Panics
    /// When the program does not start, or has not ended after `patience`.
    pub fn run(self, command: &mut Command, patience: Duration) -> Option<Output> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = match self.impose_on(command).spawn() {
            Ok(child) => child,
            // Programs start everywhere; it is the restriction that answers so.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                println!("skipped: this system cannot impose {self:?}: {error}");
                return None;
            }
            Err(error) => panic!("{command:?} does not start under {self:?}: {error}"),
        };
        let id = child.id();
        let (tell, told) = channel();
        std::thread::spawn(move || tell.send(child.wait_with_output()));
        match told.recv_timeout(patience) {
            Ok(output) => Some(output.expect("the child is waited for")),
            Err(_) => {
                // SAFETY: no memory is involved. The child is not reaped yet, or the answer would be here, so that the
                // number is still its own.
                unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) };
                let output = told.recv().expect("the waiting thread answers").expect("the child is waited for");
                panic!("{command:?} has not ended after {patience:?} under {self:?}:\n{}", text(&output));
            }
        }
    }

    fn impose_on(self, command: &mut Command) -> &mut Command {
        let filter = filter(match self {
            Restriction::RingsAnswer(errno) => errno,
            Restriction::NoLockedMemory => 0,
        });
        let impose = move || match self {
            Restriction::RingsAnswer(_) => install(&filter),
            Restriction::NoLockedMemory => lock_no_memory(),
        };
        // SAFETY: between fork and exec only async-signal-safe functions may run, and nothing may allocate: both
        // closures make plain system calls with what they captured by value.
        unsafe { command.pre_exec(impose) }
    }
}

/// Both outputs of a program, for a message.
pub fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n")
}

/// How many instructions the filter has.
const INSTRUCTIONS: usize = 6;

/// Loads the number of the system call and lets all pass but io_uring's. The architecture is not looked at: the three
/// have the same numbers on all that Rust's programs run on, and the filter protects nobody.
fn filter(errno: i32) -> [libc::sock_filter; INSTRUCTIONS] {
    let instruction = |code: u32, jump_true, jump_false, k: u32| libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let refuse_if =
        |number: libc::c_long, ahead| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, ahead, 0, number as u32);
    [
        // The number is the first field of `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        refuse_if(libc::SYS_io_uring_setup, 3),
        refuse_if(libc::SYS_io_uring_enter, 2),
        refuse_if(libc::SYS_io_uring_register, 1),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
    ]
}

fn install(filter: &[libc::sock_filter; INSTRUCTIONS]) -> io::Result<()> {
    // The kernel only reads the program, whatever the field's type says.
    let program = libc::sock_fprog { len: INSTRUCTIONS as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: plain numbers. Without privileges to gain, installing a filter needs none.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: the program and its instructions live until the kernel has copied them, which is within the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

/// From linux/capability.h; `libc` does not carry it.
const CAP_IPC_LOCK: libc::c_int = 14;

fn lock_no_memory() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a valid structure that the kernel only reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })?;
    // What is not in the bounding set is gone after the exec. Who may not change the set (EPERM) has no such privilege.
    // SAFETY: plain numbers.
    match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        outcome => outcome,
    }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this process, a child as a rule, may lock memory: by its limit, or by the privilege to exceed it.
pub fn may_lock_memory() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is exclusively ours for the kernel to write.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    assert_eq!(answer, 0, "getrlimit answers");
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a line of capabilities");
    let effective = u64::from_str_radix(effective.trim(), 16).expect("hexadecimal digits");
    limit.rlim_cur != 0 || effective >> CAP_IPC_LOCK & 1 != 0
}

/// What must be found in the cause that proact names when the rings answer `errno` under a filter.
///
/// A sysctl that forbids rings altogether hides what any filter would do, and is named instead of it.
pub fn expected_cause(errno: i32) -> &'static str {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    if errno == libc::EPERM && sysctl.trim() == "2" { "kernel.io_uring_disabled=2" } else { "seccomp filter" }
}

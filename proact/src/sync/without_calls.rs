//! Whether code makes a system call: it runs on a thread that the kernel ends at the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What the thread has come to, as far as it can say.
const SETTING: i32 = 0;
const IMPOSSIBLE: i32 = -1;

/// Runs `work` on a thread that the kernel ends at its first system call, but for the thread's own exit, and answers
/// whether it came through. `None`: the system cannot impose that.
///
/// By a filter and not by strict seccomp, which lets `read` and `write` through: those are what an event is set and
/// reset by, and a sleeper is woken.
pub(crate) fn comes_through(work: impl FnMut() + Send + 'static) -> Option<bool> {
    let state = Arc::new((AtomicI32::new(SETTING), AtomicBool::new(false)));
    let told = state.clone();
    // Not joined: such a thread cannot end as threads do.
    std::thread::spawn(move || {
        // SAFETY: no memory is involved.
        let task = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
        // What it has is not freed there: the allocator may make calls.
        let mut work = std::mem::ManuallyDrop::new(work);
        if !restrict() {
            return told.0.store(IMPOSSIBLE, SeqCst);
        }
        told.0.store(task, SeqCst);
        (*work)();
        told.1.store(true, SeqCst);
        // SAFETY: ends this thread alone, which shares nothing any more; its stack is not given back.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            std::thread::yield_now();
        }
    };
    wait("the restriction", &|| state.0.load(SeqCst) != SETTING);
    let task = state.0.load(SeqCst);
    if task == IMPOSSIBLE {
        println!("skipped: this system cannot restrict a thread's system calls");
        return None;
    }
    let folder = format!("/proc/self/task/{task}");
    wait("the thread's end", &|| !std::path::Path::new(&folder).exists());
    Some(state.1.load(SeqCst))
}

/// From now on the calling thread is ended by any system call but its exit (seccomp(2)).
fn restrict() -> bool {
    let instruction = |code: u32, jump_true, k: u32| libc::sock_filter { code: code as u16, jt: jump_true, jf: 0, k };
    // The call's number is what `struct seccomp_data` begins with.
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_exit as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_KILL_THREAD),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls concern this thread alone; the kernel copies the program, which lives throughout.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

#[test]
fn calls_are_noticed_also_reads_and_writes() {
    let event = rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let raw = std::os::fd::AsRawFd::as_raw_fd(&event);
    let Some(nothing) = comes_through(|| ()) else { return };
    assert!(nothing);
    assert_eq!(comes_through(std::thread::yield_now), Some(false));
    // SAFETY: the descriptor is open throughout.
    let borrowed = move || unsafe { std::os::fd::BorrowedFd::borrow_raw(raw) };
    assert_eq!(comes_through(move || _ = rustix::io::write(borrowed(), &[0; 8])), Some(false));
    assert_eq!(comes_through(move || _ = rustix::io::read(borrowed(), &mut [0; 8])), Some(false));
}

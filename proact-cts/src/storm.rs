//! Signals, ten thousand a second, on chosen threads of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The signal: nothing else of the suite uses it.
const SIGNAL: libc::c_int = libc::SIGUSR2;
/// Between two rounds. A round signals every thread once, and sleeping takes about as long again.
const PAUSE: Duration = Duration::from_micros(50);

static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn caught(_: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

/// A storm of signals that interrupts system calls: its handler is set without `SA_RESTART`. Over when dropped.
pub struct Storm {
    stop: Arc<AtomicBool>,
    before: u64,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    /// Begins one over the calling thread and every thread whose name begins with `prefix`, also those that start
    /// later.
    pub fn over(prefix: &str) -> Storm {
        // SAFETY: zeroed is an empty mask and no flags, so that interrupted calls are not restarted. The handler adds
        // to an atomic and calls nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = caught as extern "C" fn(libc::c_int) as usize;
            assert_eq!(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()), 0);
        }
        // SAFETY: without arguments.
        let caller = unsafe { libc::gettid() };
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, prefix) = (stop.clone(), prefix.to_owned());
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for round in 0u64.. {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if round % 100 == 0 {
                    threads = named(&prefix);
                    threads.push(caller);
                }
                for thread in &threads {
                    // SAFETY: no pointers. A thread that has ended meanwhile answers ESRCH; its number is not reused
                    // so soon.
                    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), *thread, SIGNAL) };
                }
                std::thread::sleep(PAUSE);
            }
        });
        Storm { stop, before: CAUGHT.load(Ordering::Relaxed), thread: Some(thread) }
    }

    /// How many signals have arrived so far.
    pub fn caught(&self) -> u64 {
        CAUGHT.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The numbers of the threads whose name begins so. The kernel keeps 15 bytes of a name.
fn named(prefix: &str) -> Vec<libc::pid_t> {
    let prefix = &prefix[..prefix.len().min(15)];
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let number = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if !name.starts_with(prefix) {
            return None;
        }
        task.file_name().to_str()?.parse().ok()
    };
    tasks.filter_map(number).collect()
}

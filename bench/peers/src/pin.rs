//! Which processor runs what: the first two that this program may use, whatever their numbers are. A machine, container
//! or set of processors may have one alone, which server and load generator share then.

use std::io;
use std::sync::OnceLock;

/// The processors that this program was given, by number. To be asked for before anything is pinned.
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: a set of processors is plain data, for which zero is a value.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes the set, whose size is told.
        if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0 {
            // More than a set has room for: whoever has so many has the first two.
            return vec![0, 1];
        }
        // SAFETY: each number is below what the set has room for.
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
    })
}

/// The server's processor.
pub fn server() -> usize {
    allowed()[0]
}

/// The load generator's: another, where there is one.
pub fn load() -> usize {
    *allowed().get(1).unwrap_or(&allowed()[0])
}

/// Has the calling thread, and what it starts, run on one processor.
pub fn pin(processor: usize) -> io::Result<()> {
    restrict(&[processor])
}

/// Lets the calling thread run on every processor again that the program was given.
pub fn unpin() -> io::Result<()> {
    restrict(allowed())
}

fn restrict(processors: &[usize]) -> io::Result<()> {
    // SAFETY: a set of processors is plain data, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: each number is one of a set's own.
    processors.iter().for_each(|processor| unsafe { libc::CPU_SET(*processor, &mut set) });
    // SAFETY: the kernel reads the set, whose size is told.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The processor time that a process has had so far, all its threads and the kernel's work for them included.
pub fn processor_time(process: u32) -> io::Result<u64> {
    let mut clock = 0;
    // SAFETY: it writes the clock's name.
    let answer = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) };
    if answer != 0 {
        return Err(io::Error::from_raw_os_error(answer));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the time.
    match unsafe { libc::clock_gettime(clock, &mut time) } {
        0 => Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The anonymous memory that a process has in use, in bytes.
pub fn memory(process: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| io::Error::other("no RssAnon in /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_that_were_given_are_used_and_all_of_them_come_back() {
        // In a thread of its own, which inherits what the program was given.
        let before = allowed().to_vec();
        assert!(before.contains(&server()) && before.contains(&load()));
        assert_eq!(server() == load(), before.len() == 1);
        std::thread::spawn(move || {
            pin(load()).unwrap();
            assert_eq!(std::thread::available_parallelism().unwrap().get(), 1);
            unpin().unwrap();
            assert_eq!(std::thread::available_parallelism().unwrap().get(), before.len());
        })
        .join()
        .unwrap();
    }
}

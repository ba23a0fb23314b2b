//! Which processor runs what.

use std::io;

/// The server's processor.
pub const SERVER: usize = 0;
/// The load generator's.
pub const LOAD: usize = 1;

/// Has the calling thread, and what it starts, run on one processor.
pub fn pin(processor: usize) -> io::Result<()> {
    // SAFETY: a set of processors is plain data, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `processor` is far below the 1,024 that a set has room for.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the kernel reads the set, whose size is told.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the calling thread run on every processor again.
pub fn unpin() -> io::Result<()> {
    // SAFETY: the set is plain data, for which any bytes are valid; the kernel passes over processors that are not
    // there.
    let set: libc::cpu_set_t = unsafe { std::mem::transmute([0xffu8; size_of::<libc::cpu_set_t>()]) };
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

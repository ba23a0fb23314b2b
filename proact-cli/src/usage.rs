//! What this process has used: processor time and memory.

/// Processor seconds of all threads of this process so far, user and system together; `None` where the system does
/// not tell.
pub fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// The most physical memory, in bytes, that this process has held at once; `None` where the system does not tell.
///
/// Linux's `VmHWM` is taken and not `ru_maxrss`: the latter is inherited through `exec`, so that a small program that
/// was started by a large one would report the large one's memory.
pub fn peak_memory_bytes() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}

/// Reads the line `VmHWM:     1234 kB`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_read_in_bytes_and_a_strange_file_is_no_answer() {
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(peak_of("Name:\tx\n"), None);
        assert_eq!(peak_of("VmHWM:\t many kB\n"), None);
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 64 << 10));
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = cpu_seconds().expect("this system tells processor time");
        let mut digest = [0u8; 32];
        // Counted in work and not in time: 4 MiB of digests takes processor time on any machine.
        for _ in 0..128 {
            digest = *blake3::hash(&[digest[0]; 32768]).as_bytes();
        }
        assert!(cpu_seconds().expect("this system tells processor time") > before, "{digest:?}");
    }
}

//! What the operating system says of this process, and what cases leave on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many descriptors the process has open. Only a case that runs alone may compare two counts.
pub fn descriptors() -> usize {
    // The listing's own descriptor is open while it is read, every time.
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count() - 1
}

/// The names of the process's threads whose name begins so. The kernel keeps 15 bytes of a name, and may leave a thread
/// out while others come and go: it finds its place in the list again by counting (`proc_task_readdir`).
pub fn threads_named(prefix: &str) -> Vec<String> {
    let prefix = &prefix[..prefix.len().min(15)];
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim_end().to_owned()).filter(|name| name.starts_with(prefix)).collect()
}

/// The threads of the process whose name begins so, with the processors that the kernel says each may run on.
#[cfg(target_os = "linux")]
pub fn threads_and_cpus(prefix: &str) -> Vec<(String, proact::topology::CpuSet)> {
    let prefix = &prefix[..prefix.len().min(15)];
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let thread = |task: std::io::Result<std::fs::DirEntry>| {
        let folder = task.ok()?.path();
        let name = std::fs::read_to_string(folder.join("comm")).ok()?.trim_end().to_owned();
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some((name, cpus.trim().parse().expect("a list of processors")))
    };
    tasks.filter_map(thread).filter(|(name, _)| name.starts_with(prefix)).collect()
}

/// How many threads the process has. Only a case that runs alone may compare two counts.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc is mounted").count()
}

/// Whether file modes stop this process: they do not stop the superuser.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// A pipe of the system's own: the end that is read, and the end that is written. Where the system can, no child that
/// another case starts meanwhile inherits it.
pub fn pipe() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let made = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let made = rustix::pipe::pipe();
    made.expect("a pipe")
}

/// Makes a named pipe. By libc, since rustix has no such call on Apple's systems.
pub fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without NUL");
    // SAFETY: the path ends with NUL, and the call only reads it.
    let made = unsafe { libc::mkfifo(path.as_ptr(), 0o700) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
}

/// A number that no other case of this process has.
pub fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A folder of its own for one case, removed with everything in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one where temporary files go.
    pub fn new() -> std::io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("proact-cts-{}-{}", std::process::id(), unique()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

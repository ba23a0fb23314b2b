//! Why a machine refuses a ring, in words that name the cause.

use std::panic::Location;

use linux_raw_sys::io_uring as raw;
use rustix::process::{Resource, getrlimit};

use super::setup;
use crate::status::{Code, Operation, Status};

/// What a step of growing demands is called, and the kernel that first met it.
const STEPS: [(u32, &str); 5] = [
    (
        raw::IORING_SETUP_CLAMP | raw::IORING_SETUP_CQSIZE | raw::IORING_SETUP_R_DISABLED,
        "IORING_SETUP_R_DISABLED (5.10)",
    ),
    (raw::IORING_SETUP_SUBMIT_ALL, "IORING_SETUP_SUBMIT_ALL (5.18)"),
    (raw::IORING_SETUP_COOP_TASKRUN | raw::IORING_SETUP_TASKRUN_FLAG, "IORING_SETUP_TASKRUN_FLAG (5.19)"),
    (raw::IORING_SETUP_SINGLE_ISSUER, "IORING_SETUP_SINGLE_ISSUER (6.0)"),
    (raw::IORING_SETUP_DEFER_TASKRUN, "IORING_SETUP_DEFER_TASKRUN (6.1)"),
];

/// What the machine shows that tells one cause from another.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// `/proc/sys/kernel/io_uring_disabled`, where the kernel (6.6 or newer) has it.
    disabled: Option<u32>,
    /// Whether a seccomp filter is installed on this thread.
    filtered: bool,
    /// The locked memory limit in bytes, if there is one.
    locked_memory: Option<u64>,
    /// The kernel's release.
    release: String,
    /// The first set-up flag that the kernel does not know.
    missing: Option<&'static str>,
}

impl Facts {
    fn gather() -> Facts {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        // The thread's own: a filter need not hold for the whole process.
        let status = read("/proc/thread-self/status");
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Facts {
            disabled: read("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            filtered: seccomp.is_some_and(|mode| mode.trim() != "0"),
            locked_memory: getrlimit(Resource::Memlock).current,
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            missing: first_missing_step(),
        }
    }
}

/// Asks for ever more flags until the kernel answers EINVAL.
fn first_missing_step() -> Option<&'static str> {
    let mut flags = 0;
    for (step, name) in STEPS {
        flags |= step;
        // Cooperative and deferred task running exclude each other: the former only stands in for the flag's first use.
        if flags & raw::IORING_SETUP_DEFER_TASKRUN != 0 {
            flags &= !raw::IORING_SETUP_COOP_TASKRUN;
        }
        match setup::make(2, flags) {
            Err(libc::EINVAL) => return Some(name),
            Err(_) => return None,
            Ok(_) => {}
        }
    }
    None
}

/// The status for a ring that could not be had: always Unavailable, with the kernel's error number and the cause.
#[track_caller]
#[cold]
pub(crate) fn unavailable(errno: i32) -> Status {
    Status::at(Code::Unavailable, Operation::Build, errno, Location::caller())
        .with_context("io_uring")
        .with_message(explain(errno, &Facts::gather()))
}

fn explain(errno: i32, facts: &Facts) -> String {
    match errno {
        libc::EPERM | libc::EACCES => match facts.disabled {
            Some(2) => "switched off by sysctl kernel.io_uring_disabled=2".into(),
            Some(1) if !facts.filtered => "switched off for this user by sysctl kernel.io_uring_disabled=1 \
                (its group kernel.io_uring_group and CAP_SYS_ADMIN may)"
                .into(),
            Some(1) => "refused by sysctl kernel.io_uring_disabled=1 or by a seccomp filter".into(),
            _ if facts.filtered => "refused by a seccomp filter, as container runtimes install".into(),
            _ => "not permitted, probably by a security module: no seccomp filter is installed".into(),
        },
        // The sysctl exists only in a kernel that was built with io_uring.
        libc::ENOSYS if facts.disabled.is_some() && facts.filtered => {
            "hidden by a seccomp filter: the kernel itself has io_uring".into()
        }
        libc::ENOSYS if facts.disabled.is_some() => {
            "hidden by an emulator or sandbox: the kernel itself has io_uring, and no seccomp filter is installed"
                .into()
        }
        libc::ENOSYS if facts.filtered => {
            format!("kernel {} has no io_uring, or a seccomp filter hides it", facts.release)
        }
        libc::ENOSYS => format!("kernel {} has no io_uring", facts.release),
        libc::ENOMEM => match facts.locked_memory {
            Some(bytes) => format!("out of locked memory: RLIMIT_MEMLOCK is {bytes} bytes (ulimit -l)"),
            None => "out of memory: RLIMIT_MEMLOCK is unlimited".into(),
        },
        libc::EINVAL => match facts.missing {
            Some(flag) => format!("kernel {} is older than 6.1: it lacks {flag}", facts.release),
            None => format!("kernel {} refuses a ring that Linux 6.1 would grant", facts.release),
        },
        libc::EMFILE => "this process has no file descriptor left (ulimit -n)".into(),
        libc::ENFILE => "the system has no file descriptor left (sysctl fs.file-max)".into(),
        libc::EIO => "the kernel granted a ring, but a NOP did not come back from it".into(),
        _ => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { disabled: Some(0), release: "6.18.1".into(), locked_memory: Some(65536), ..Facts::default() }
    }

    #[test]
    fn not_permitted_names_the_sysctl_or_the_filter() {
        let off = explain(libc::EPERM, &Facts { disabled: Some(2), filtered: true, ..facts() });
        assert_eq!(off, "switched off by sysctl kernel.io_uring_disabled=2");
        let group = explain(libc::EPERM, &Facts { disabled: Some(1), ..facts() });
        assert!(group.contains("kernel.io_uring_disabled=1") && group.contains("kernel.io_uring_group"), "{group}");
        let filter = explain(libc::EPERM, &Facts { filtered: true, ..facts() });
        assert!(filter.contains("seccomp"), "{filter}");
        let old = explain(libc::EPERM, &Facts { disabled: None, filtered: true, ..facts() });
        assert!(old.contains("seccomp"), "{old}");
    }

    #[test]
    fn no_such_call_is_blamed_on_what_hides_rings_where_the_kernel_has_them() {
        let hidden = explain(libc::ENOSYS, &Facts { filtered: true, ..facts() });
        assert_eq!(hidden, "hidden by a seccomp filter: the kernel itself has io_uring");
        let emulated = explain(libc::ENOSYS, &facts());
        assert!(emulated.contains("emulator") && emulated.contains("no seccomp filter"), "{emulated}");
        let old = Facts { disabled: None, release: "4.19".into(), ..facts() };
        assert_eq!(explain(libc::ENOSYS, &old), "kernel 4.19 has no io_uring");
    }

    #[test]
    fn limits_and_old_kernels_are_quoted() {
        assert!(explain(libc::ENOMEM, &facts()).contains("65536 bytes"));
        let old = Facts { missing: Some("IORING_SETUP_SINGLE_ISSUER (6.0)"), release: "5.19.4".into(), ..facts() };
        assert_eq!(
            explain(libc::EINVAL, &old),
            "kernel 5.19.4 is older than 6.1: it lacks IORING_SETUP_SINGLE_ISSUER (6.0)"
        );
    }

    #[test]
    fn status_is_unavailable_and_keeps_the_error_number() {
        let status = unavailable(libc::ENOMEM);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.os_error(), Some(libc::ENOMEM));
        assert!(status.to_string().starts_with("build proactor io_uring: out of"), "{status}");
    }

    #[test]
    fn steps_add_up_to_what_a_ring_requires() {
        let all = STEPS.iter().fold(0, |flags, (step, _)| flags | step) & !raw::IORING_SETUP_COOP_TASKRUN;
        assert_eq!(all, setup::REQUIRED);
    }
}

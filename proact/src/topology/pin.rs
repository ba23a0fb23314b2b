//! Pinning threads, and asking where they may run.

use super::CpuSet;
use crate::status::{Code, Operation, Result, Status};

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use self::linux::{current, pin, process, processor};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::sync::OnceLock;

    use super::super::cpus::NUMBERS_MAX;
    use super::*;
    use crate::fault;

    const WIDTH: usize = libc::c_ulong::BITS as usize;

    /// What the main thread might use before this library pinned it: what the process might use from the start.
    static MAIN_BEFORE: OnceLock<CpuSet> = OnceLock::new();

    pub(in super::super) fn pin(cpus: &CpuSet) -> Result {
        if cpus.is_empty() {
            return Err(failed(Code::InvalidArgument, cpus).with_message("there is no processor in the set"));
        }
        let before = current()?;
        if rustix::thread::gettid() == rustix::process::getpid() {
            let _ = MAIN_BEFORE.set(before.clone());
        }
        let refused = |errno: i32| match errno {
            // sched_setaffinity(2): none of them is there and permitted.
            libc::EINVAL => missing(cpus, &before),
            libc::EPERM => Status::from_os_error(Operation::PinThread, errno)
                .with_message("pinning threads is not permitted here (a sandbox)"),
            libc::ENOSYS => failed(Code::Unavailable, cpus).with_message("the system cannot pin threads"),
            _ => Status::from_os_error(Operation::PinThread, errno).with_context(format!("to processors {cpus}")),
        };
        set(cpus).map_err(refused)?;
        let now = current()?;
        if now != *cpus {
            // The kernel leaves out what is off or outside of the process's cpuset, and says nothing.
            set(&before).map_err(refused)?;
            return Err(missing(cpus, &now));
        }
        Ok(())
    }

    fn missing(cpus: &CpuSet, have: &CpuSet) -> Status {
        failed(Code::Unavailable, cpus)
            .with_message(format!("processors {} are not there for this process", cpus.difference(have)))
    }

    fn failed(code: Code, cpus: &CpuSet) -> Status {
        Status::new(code, Operation::PinThread).with_context(format!("to processors {cpus}"))
    }

    fn set(cpus: &CpuSet) -> Result<(), i32> {
        fault::check()?;
        let mask = cpus.to_mask();
        // SAFETY: the kernel reads as many bytes as it is told, which the mask has.
        let done = unsafe { libc::sched_setaffinity(0, size_of_val(&mask[..]), mask.as_ptr().cast()) };
        if done == 0 { Ok(()) } else { Err(errno()) }
    }

    pub(in super::super) fn current() -> Result<CpuSet> {
        of(0)
    }

    /// What the process may use: what its main thread may, or might before it was pinned. The kernel has taken the
    /// cpuset into account, and leaves out what is off.
    pub(in super::super) fn process() -> Result<CpuSet> {
        match MAIN_BEFORE.get() {
            Some(cpus) => Ok(cpus.clone()),
            None => of(rustix::process::getpid().as_raw_nonzero().get()),
        }
    }

    fn of(thread: libc::pid_t) -> Result<CpuSet> {
        // EINVAL: the kernel counts more processors than the mask has bits (sched_getaffinity(2)).
        let mut bits = 1024;
        loop {
            let mut mask = vec![0 as libc::c_ulong; bits / WIDTH];
            // SAFETY: the kernel writes at most as many bytes as it is told, which the mask has.
            let mut asked =
                || unsafe { libc::sched_getaffinity(thread, size_of_val(&mask[..]), mask.as_mut_ptr().cast()) };
            let done = fault::check().and_then(|()| if asked() == 0 { Ok(()) } else { Err(errno()) });
            match done {
                Ok(()) => return Ok(CpuSet::from_mask(&mask)),
                Err(libc::EINVAL) if bits < NUMBERS_MAX => bits *= 4,
                Err(errno) => return Err(Status::from_os_error(Operation::PinThread, errno)),
            }
        }
    }

    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    /// The processor that the calling thread runs on (getcpu(2), without entering the kernel on most).
    pub(in super::super) fn processor() -> Option<usize> {
        Some(rustix::thread::sched_getcpu())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use super::*;

    fn unavailable() -> Status {
        Status::new(Code::Unavailable, Operation::PinThread).with_message("threads can be pinned on Linux only")
    }

    pub(in super::super) fn pin(_: &CpuSet) -> Result {
        Err(unavailable())
    }

    pub(in super::super) fn current() -> Result<CpuSet> {
        Err(unavailable())
    }

    pub(in super::super) fn processor() -> Option<usize> {
        None
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use self::elsewhere::{current, pin, processor};

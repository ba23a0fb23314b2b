//! Operating system error numbers and the code each stands for, with its usual cause.

use super::Code;

#[cfg(unix)]
pub(super) fn code_of(os_error: i32) -> Code {
    if os_error == 0 {
        return Code::Ok;
    }
    // Two names share a number on some systems (EAGAIN and EWOULDBLOCK), so this is a chain and not a match.
    const TABLE: &[(i32, Code)] = &[
        (libc::ECANCELED, Code::Cancelled),            // asynchronous cancel; a severed link
        (libc::EINTR, Code::Cancelled),                // a blocking call cut short by a signal
        (libc::EINVAL, Code::InvalidArgument),         // arguments that can never work
        (libc::EBADF, Code::InvalidArgument),          // not a descriptor, or opened for the other direction
        (libc::EFAULT, Code::InvalidArgument),         // memory that is not there
        (libc::ENAMETOOLONG, Code::InvalidArgument),   // path or component over the system's limit
        (libc::EDESTADDRREQ, Code::InvalidArgument),   // datagram send without a destination
        (libc::EMSGSIZE, Code::InvalidArgument),       // longer than any datagram; too many slices
        (libc::EPROTOTYPE, Code::InvalidArgument),     // wrong protocol for the socket's type
        (libc::EAFNOSUPPORT, Code::Unavailable),       // IPv6 switched off
        (libc::ENOPROTOOPT, Code::Unavailable),        // an option that the socket does not have
        (libc::EPROTONOSUPPORT, Code::Unavailable),    // protocol not built into the kernel
        (libc::ETIMEDOUT, Code::DeadlineExceeded),     // TCP gave up
        (libc::ENOENT, Code::NotFound),                // no such file; no such pending request
        (libc::ENODEV, Code::NotFound),                // no such device
        (libc::ENXIO, Code::NotFound),                 // device gone
        (libc::ESRCH, Code::NotFound),                 // no such process
        (libc::ECHILD, Code::NotFound),                // no such child, or its end was taken
        (libc::EEXIST, Code::AlreadyExists),           // name taken
        (libc::EADDRINUSE, Code::AlreadyExists),       // port or path bound by another
        (libc::EPERM, Code::PermissionDenied),         // policy: seccomp, capability, sticky bit
        (libc::EACCES, Code::PermissionDenied),        // file mode
        (libc::EROFS, Code::PermissionDenied),         // read-only file system
        (libc::ENOMEM, Code::ResourceExhausted),       // memory, or locked-memory limit
        (libc::EMFILE, Code::ResourceExhausted),       // this process's descriptors
        (libc::ENFILE, Code::ResourceExhausted),       // the system's descriptors
        (libc::ENOSPC, Code::ResourceExhausted),       // disk full
        (libc::EDQUOT, Code::ResourceExhausted),       // quota
        (libc::ETOOMANYREFS, Code::ResourceExhausted), // descriptors on their way in messages
        (libc::ENOBUFS, Code::ResourceExhausted),      // network buffers; an empty buffer ring
        (libc::EFBIG, Code::OutOfRange),               // file-size limit
        (libc::EOVERFLOW, Code::OutOfRange),           // offset that the type cannot hold
        (libc::ERANGE, Code::OutOfRange),              // result too large
        (libc::ESPIPE, Code::FailedPrecondition),      // position on something without one
        (libc::EISDIR, Code::FailedPrecondition),      // a directory where a file is needed
        (libc::ENOTDIR, Code::FailedPrecondition),     // a file where a directory is needed
        (libc::ENOTEMPTY, Code::FailedPrecondition),   // directory still has entries
        (libc::ELOOP, Code::FailedPrecondition),       // too many symbolic links, or one that must not be followed
        (libc::EXDEV, Code::FailedPrecondition),       // rename across file systems
        (libc::EBUSY, Code::FailedPrecondition),       // in use
        (libc::ETXTBSY, Code::FailedPrecondition),     // program is running
        (libc::ENOTCONN, Code::FailedPrecondition),    // socket not connected yet
        (libc::EISCONN, Code::FailedPrecondition),     // socket connected already
        (libc::EALREADY, Code::FailedPrecondition),    // connect in progress; cancel under way
        (libc::ENOTSOCK, Code::FailedPrecondition),    // not a socket
        (libc::EDEADLK, Code::Aborted),                // lock order
        (libc::EAGAIN, Code::Unavailable),             // would block
        (libc::EWOULDBLOCK, Code::Unavailable),        // would block
        (libc::ECONNREFUSED, Code::Unavailable),       // nobody listens
        (libc::ECONNRESET, Code::Unavailable),         // peer reset
        (libc::ECONNABORTED, Code::Unavailable),       // connection gone before accept
        (libc::EPIPE, Code::Unavailable),              // peer closed
        (libc::EHOSTUNREACH, Code::Unavailable),       // no route
        (libc::EHOSTDOWN, Code::Unavailable),          // host does not answer
        (libc::ENETUNREACH, Code::Unavailable),        // no route
        (libc::ENETDOWN, Code::Unavailable),           // interface down
        (libc::ENETRESET, Code::Unavailable),          // keep-alive gave up
        (libc::EADDRNOTAVAIL, Code::Unavailable),      // no such local address; no ephemeral port left
        (libc::EOPNOTSUPP, Code::Unavailable),         // this file system or protocol cannot
        (libc::ENOSYS, Code::Unavailable),             // this kernel cannot, or seccomp says so
        (libc::EIO, Code::DataLoss),                   // the device failed
        (libc::EILSEQ, Code::DataLoss),                // malformed bytes
    ];
    // Not everywhere: no such extended attribute.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if os_error == libc::ENODATA {
        return Code::NotFound;
    }
    for (number, code) in TABLE {
        if *number == os_error {
            return *code;
        }
    }
    Code::Unknown
}

/// Where there is no operating system, error numbers are those of simulated worlds.
#[cfg(not(any(unix, windows)))]
pub(super) fn code_of(os_error: i32) -> Code {
    code_of_simulated(os_error)
}

/// What the system says of an error number.
pub(super) fn text_of(os_error: i32) -> String {
    #[cfg(windows)]
    if os_error & SIMULATED != 0 {
        return format!("a simulated system's error {}", os_error & !SIMULATED);
    }
    let text = std::io::Error::from_raw_os_error(os_error).to_string();
    // std appends "(os error N)" itself; whoever asks says the number.
    text.split(" (os error").next().unwrap_or("").to_owned()
}

/// What tells a simulated world's error numbers from the system's own: the bit that Windows leaves to applications.
#[cfg(windows)]
#[cfg_attr(not(feature = "simulated"), allow(dead_code))]
pub(crate) const SIMULATED: i32 = 1 << 29;

/// The numbers of simulated worlds where the system has none of a Unix: Linux's.
#[cfg(not(unix))]
fn code_of_simulated(os_error: i32) -> Code {
    match os_error {
        0 => Code::Ok,
        125 => Code::Cancelled, // ECANCELED
        // EBADF, EFAULT, EINVAL, ENAMETOOLONG, EDESTADDRREQ, EMSGSIZE
        9 | 14 | 22 | 36 | 89 | 90 => Code::InvalidArgument,
        110 => Code::DeadlineExceeded,       // ETIMEDOUT
        2 => Code::NotFound,                 // ENOENT
        17 | 98 => Code::AlreadyExists,      // EEXIST, EADDRINUSE
        1 | 13 => Code::PermissionDenied,    // EPERM, EACCES
        28 | 105 => Code::ResourceExhausted, // ENOSPC, ENOBUFS
        27 => Code::OutOfRange,              // EFBIG
        // ENOTDIR, EISDIR, ENOTEMPTY, ELOOP, ENOTSOCK, EISCONN, ENOTCONN, EALREADY
        20 | 21 | 39 | 40 | 88 | 106 | 107 | 114 => Code::FailedPrecondition,
        // EAGAIN, EPIPE, EOPNOTSUPP, EAFNOSUPPORT, EADDRNOTAVAIL, ECONNRESET, ECONNREFUSED
        11 | 32 | 95 | 97 | 99 | 104 | 111 => Code::Unavailable,
        5 => Code::DataLoss, // EIO
        _ => Code::Unknown,
    }
}

#[cfg(windows)]
pub(super) fn code_of(os_error: i32) -> Code {
    match os_error {
        0 => return Code::Ok,
        // The engine's own words for a cancelled request and an empty pool, on every system.
        125 | 105 => return code_of_simulated(os_error),
        _ if os_error & SIMULATED != 0 => return code_of_simulated(os_error & !SIMULATED),
        _ => {}
    }
    match std::io::Error::from_raw_os_error(os_error).kind() {
        std::io::ErrorKind::NotFound => Code::NotFound,
        std::io::ErrorKind::PermissionDenied => Code::PermissionDenied,
        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::AddrInUse => Code::AlreadyExists,
        std::io::ErrorKind::InvalidInput => Code::InvalidArgument,
        std::io::ErrorKind::TimedOut => Code::DeadlineExceeded,
        std::io::ErrorKind::OutOfMemory | std::io::ErrorKind::StorageFull => Code::ResourceExhausted,
        std::io::ErrorKind::ConnectionRefused
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::ConnectionAborted
        | std::io::ErrorKind::BrokenPipe
        | std::io::ErrorKind::HostUnreachable
        | std::io::ErrorKind::NetworkUnreachable => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// Runs `f`, which makes a system call, and leaves this thread's `errno` as it was: a signal handler runs between any
/// two instructions of a thread, also between one's own system call and its look at the error.
///
/// On most processors rustix makes Linux's system calls itself and never touches `errno`; elsewhere it goes by the
/// system's library, which sets it.
pub(crate) fn preserving_errno<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(unix)]
    {
        let place = place();
        // SAFETY: the library's own variable of this thread, which lives as long as the thread.
        let before = unsafe { *place };
        let result = f();
        // SAFETY: as above.
        unsafe { *place = before };
        result
    }
    #[cfg(not(unix))]
    f()
}

/// Where this thread's `errno` lies.
#[cfg(unix)]
fn place() -> *mut i32 {
    // SAFETY: the call only answers an address.
    unsafe {
        #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
        return libc::__errno();
        #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
        return libc::__error();
        #[cfg(not(any(
            target_os = "android",
            target_os = "netbsd",
            target_os = "openbsd",
            target_vendor = "apple",
            target_os = "freebsd"
        )))]
        libc::__errno_location()
    }
}

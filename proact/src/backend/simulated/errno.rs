//! The error numbers of the simulated system: the host's own where it is a Unix, and Linux's elsewhere; on Windows,
//! where these mean other things, with a bit that tells them apart.

macro_rules! numbers {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(
            #[cfg(unix)]
            pub(super) const $name: i32 = libc::$name;
            #[cfg(windows)]
            pub(super) const $name: i32 = crate::status::SIMULATED | $number;
            #[cfg(not(any(unix, windows)))]
            pub(super) const $name: i32 = $number;
        )*
    };
}

numbers! {
    ENOENT = 2, EIO = 5, EBADF = 9, EAGAIN = 11, EFAULT = 14, EEXIST = 17, ENOTDIR = 20, EISDIR = 21, EINVAL = 22,
    ENOSPC = 28, EPIPE = 32, ENAMETOOLONG = 36, ENOTEMPTY = 39, ELOOP = 40, ENOTSOCK = 88, EDESTADDRREQ = 89,
    EMSGSIZE = 90, EOPNOTSUPP = 95, EAFNOSUPPORT = 97, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ECONNRESET = 104,
    EISCONN = 106, ENOTCONN = 107, ETIMEDOUT = 110, ECONNREFUSED = 111, EALREADY = 114, EFBIG = 27, EACCES = 13,
}

/// A result as the log notes it: a failure by the same number on Windows as where numbers are Linux's.
pub(super) fn noted(result: i32) -> i32 {
    #[cfg(windows)]
    if result < 0 {
        return -(-result & !crate::status::SIMULATED);
    }
    result
}

/// What the engine knows a cancelled request by, on every system.
pub(super) const ECANCELED: i32 = 125;
/// What the engine knows an empty pool by, on every system.
pub(super) const ENOBUFS: i32 = 105;

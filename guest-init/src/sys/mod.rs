//! System calls that rustix does not have, or has only as `unsafe`: each wrapper is a few lines and safe to
//! call.

pub(crate) mod bpf;
pub(crate) mod fd;
pub(crate) mod ioctl;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod signal;
pub(crate) mod time;
pub(crate) mod vsock;

use std::io;

/// The result of a raw system call.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

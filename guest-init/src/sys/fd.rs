//! Descriptors as a set: what a child may keep of its parent's.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::check;

/// Closes every descriptor above standard error except these. Only for a process that was just forked: the
/// closed descriptors' owners in memory are never to be used or dropped again.
#[allow(unsafe_code, reason = "close_range closes descriptors that Rust values own")]
pub(crate) fn close_all_except(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first: RawFd = 3;
    for fd in kept.into_iter().chain([RawFd::MAX]) {
        if fd > first {
            // SAFETY: the caller vouches that nothing uses the other descriptors any more.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, fd.saturating_sub(1), 0) })?;
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Marks every descriptor above standard error to be closed by execve(2).
#[allow(unsafe_code, reason = "close_range has no safe wrapper")]
pub(crate) fn close_all_on_execute() -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Makes these the standard input, output and error of this process.
#[allow(unsafe_code, reason = "dup2 replaces descriptors that others may use")]
pub(crate) fn become_standard_streams(streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    for (target, stream) in (0..).zip(streams) {
        // SAFETY: 0, 1 and 2 are owned by no Rust value in this program.
        check(unsafe { libc::dup2(stream.as_raw_fd(), target) }.into())?;
    }
    Ok(())
}

/// Standard input, output or error of this process.
#[allow(unsafe_code, reason = "borrows descriptors by their number")]
pub(crate) fn standard_streams() -> [BorrowedFd<'static>; 3] {
    // SAFETY: `boot` fills 0, 1 and 2 before anything else is opened, and nothing closes them.
    [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

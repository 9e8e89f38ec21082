//! Signal masks and signalfd(2).
//!
//! PID 1 blocks every signal, so its shims are born with every signal blocked; PID 1 reads SIGCHLD from a
//! descriptor, shims learn of ends from pidfds, and a write to a closed pipe is an error and not a death. A
//! program is executed with the mask empty and nothing ignored.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

use super::check;

/// Blocks every signal.
#[allow(unsafe_code, reason = "sigset_t is filled in by C functions")]
pub(crate) fn block_all() -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set before it is read.
    check(
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
        }
        .into(),
    )
    .map(drop)
}

/// Unblocks every signal. None was ever given a handler or ignored, so each now does what it does by default.
#[allow(unsafe_code, reason = "sigset_t is filled in by C functions")]
pub(crate) fn unblock_all() -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read.
    check(
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
        }
        .into(),
    )
    .map(drop)
}

/// A non-blocking descriptor that is readable while SIGCHLD is pending.
#[allow(unsafe_code, reason = "signalfd has no safe wrapper")]
pub(crate) fn child_descriptor() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read; signalfd copies it.
    let fd = check(
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        }
        .into(),
    )?;
    // SAFETY: a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// Waits for any signal and returns its number. Every signal has to be blocked.
#[allow(unsafe_code, reason = "sigwaitinfo has no safe wrapper")]
pub(crate) fn wait() -> io::Result<i32> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set before it is read; a null siginfo is allowed.
    let number = check(
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            libc::sigwaitinfo(set.as_ptr(), std::ptr::null_mut())
        }
        .into(),
    )?;
    Ok(i32::try_from(number).unwrap_or(0))
}

/// kill(2), with any signal number.
#[allow(unsafe_code, reason = "rustix has no real-time signals")]
pub(crate) fn send(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two numbers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

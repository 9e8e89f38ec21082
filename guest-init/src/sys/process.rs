//! fork(2), clone3(2), execve(2), setns(2) and what goes with them.
//!
//! PID 1 and the shims have one thread, always. That is what makes a fork safe here: the child finds no lock
//! held by a thread that it does not have.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// One side of a fork.
pub(crate) enum Forked {
    Parent { pid: i32 },
    Child,
}

/// fork(2).
#[allow(unsafe_code, reason = "fork is unsafe in programs with threads")]
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match check(unsafe { libc::fork() }.into())? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: i32::try_from(pid).unwrap_or(0),
        }),
    }
}

/// A child made by [`clone_into`], to the parent.
#[derive(Debug)]
pub(crate) struct Cloned {
    /// The number of the child in the caller's own PID namespace.
    pub(crate) pid: u32,
    /// Readable when the child ended.
    pub(crate) pidfd: OwnedFd,
}

/// clone3(2) as a fork into a cgroup v2 directory and new namespaces (`CLONE_NEW…` flags). `None` is the child.
#[allow(unsafe_code, reason = "clone3 has no safe wrapper")]
pub(crate) fn clone_into(cgroup: BorrowedFd<'_>, namespaces: libc::c_int) -> io::Result<Option<Cloned>> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero bytes are a valid `clone_args`.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    let flags = namespaces | libc::CLONE_PIDFD;
    arguments.flags = u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: the arguments are valid for their length and ask for a copy of the address space (no CLONE_VM,
    // no stack), which is fork(2) to this process with its one thread.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: with CLONE_PIDFD a successful clone3 stored a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Cloned {
        pid: u32::try_from(pid).unwrap_or(0),
        pidfd,
    }))
}

/// linux/sched.h; beyond 32 bits, so not in libc's list of `c_int`s.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Ends this process at once: no destructors, no atexit handlers, which belong to the parent.
#[allow(unsafe_code, reason = "_exit has no safe wrapper")]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// execve(2). Returns only with an error.
#[allow(unsafe_code, reason = "execve takes arrays of raw pointers")]
pub(crate) fn execute(program: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: all strings are NUL-terminated, both arrays end with a null pointer, and all live until the call
    // returns.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Moves this process (PID namespaces: its future children) into namespaces of the process behind a pidfd.
#[allow(unsafe_code, reason = "the flags go to the kernel as they are")]
pub(crate) fn enter_namespaces(pidfd: impl AsFd, namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: setns(2) takes a descriptor and flags, and no memory.
    check(unsafe { libc::setns(pidfd.as_fd().as_raw_fd(), namespaces) }.into()).map(drop)
}

/// Leaves a namespace for a new one (`CLONE_NEW…`).
#[allow(
    unsafe_code,
    reason = "unshare(CLONE_FILES) could break other threads' expectations; this is not it"
)]
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: with namespace flags alone unshare(2) touches no memory and no descriptor.
    check(unsafe { libc::unshare(namespaces) }.into()).map(drop)
}

/// Sends a signal by its number, real-time signals included.
#[allow(unsafe_code, reason = "rustix has no real-time signals")]
pub(crate) fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: pidfd_send_signal(2) accepts a null siginfo.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, no_info, 0) }).map(drop)
}

/// Gives this process a session keyring of its own, so that it does not see its parent's keys.
#[allow(unsafe_code, reason = "keyctl has no safe wrapper")]
pub(crate) fn join_session_keyring(name: &CString) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is NUL-terminated and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

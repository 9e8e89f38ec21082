//! Docker's default profile, installed in a process of this machine's own kernel.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "fork and raw system calls are what is under test")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the helpers are part of tests"
)]

use libc::{c_int, c_long};
use protocol::Architecture;

/// Runs `body` in a child under the default profile and returns its exit code, or its negated fatal signal.
/// The body may only make system calls.
fn confined(capabilities: &[&str], body: impl Fn() -> c_int) -> c_int {
    let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    let architecture = Architecture::of_host().expect("an architecture of sampan");
    let programs = seccomp::docker_default(architecture, &capabilities, (6, 12));
    let filters: Vec<Vec<libc::sock_filter>> = programs
        .iter()
        .map(|program| {
            let instructions = program.0.iter();
            instructions
                .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
                .collect()
        })
        .collect();
    // SAFETY: the child makes nothing but system calls, on memory that was there before, and ends in _exit.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                libc::_exit(100);
            }
            for filter in &filters {
                let program = libc::sock_fprog {
                    len: filter.len() as u16,
                    filter: filter.as_ptr().cast_mut(),
                };
                if libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    0,
                    &raw const program,
                ) != 0
                {
                    libc::_exit(101);
                }
            }
            libc::_exit(body());
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            -libc::WTERMSIG(status)
        }
    }
}

/// The error number of a system call, or 0.
fn errno(number: c_long, first: c_long) -> c_int {
    // SAFETY: the calls made here fail, or touch no memory of this process.
    unsafe {
        if libc::syscall(number, first, 0, 0, 0, 0, 0) >= 0 {
            return 0;
        }
        *libc::__errno_location()
    }
}

#[test]
fn ordinary_calls_go_through() {
    assert_eq!(confined(&[], || errno(libc::SYS_getpid, 0)), 0);
    assert_eq!(confined(&[], || errno(libc::SYS_dup, 0)), 0);
}

#[test]
fn a_unix_socket_reaches_the_kernel() {
    let family = c_long::from(libc::AF_UNIX);
    let error = confined(&[], || errno(libc::SYS_socket, family));
    assert_eq!(error, libc::ESOCKTNOSUPPORT);
}

#[test]
fn keyctl_and_mount_fail_with_eperm() {
    assert_eq!(confined(&[], || errno(libc::SYS_keyctl, 0)), libc::EPERM);
    assert_eq!(confined(&[], || errno(libc::SYS_mount, 0)), libc::EPERM);
    assert_eq!(
        confined(&["SYS_ADMIN"], || errno(libc::SYS_keyctl, 0)),
        libc::EPERM
    );
}

#[test]
fn mount_reaches_the_kernel_with_sys_admin() {
    assert_ne!(
        confined(&["SYS_ADMIN"], || errno(libc::SYS_mount, 0)),
        libc::EPERM
    );
}

#[test]
fn a_vsock_socket_fails_with_eperm_whatever_the_upper_bits() {
    let family = c_long::from(libc::AF_VSOCK);
    assert_eq!(confined(&[], || errno(libc::SYS_socket, family)), libc::EPERM);
    assert_eq!(
        confined(&[], || errno(libc::SYS_socket, family | 1 << 32)),
        libc::EPERM
    );
}

#[test]
fn clone3_fails_with_enosys() {
    assert_eq!(confined(&[], || errno(libc::SYS_clone3, 0)), libc::ENOSYS);
}

#[test]
fn a_new_namespace_fails_with_eperm() {
    assert_eq!(
        confined(&[], || errno(libc::SYS_clone, libc::CLONE_NEWUSER.into())),
        libc::EPERM
    );
    assert_eq!(
        confined(&[], || errno(libc::SYS_unshare, libc::CLONE_NEWUSER.into())),
        libc::EPERM
    );
}

#[test]
fn a_call_newer_than_the_profile_fails_with_enosys() {
    assert_eq!(confined(&[], || errno(9999, 0)), libc::ENOSYS);
}

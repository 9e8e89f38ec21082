//! Linux: a filter of system calls (the kernel's Documentation/userspace-api/seccomp_filter.rst).
//!
//! The list is what this process calls once its machine runs: vCPUs, device workers, the C library's threads and
//! memory, the command loop. Everything else fails with EPERM; nothing is killed, so that a C library that tries a
//! newer system call first falls back.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use rustix::mm::{Advice, madvise};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::control::Accelerator;

pub(super) use super::unix::event_of;

pub(super) const NATIVE: Accelerator = Accelerator::Kvm;

pub(super) fn confine() -> io::Result<()> {
    let allowed = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .map(|number| (*number, Vec::new()));
    let allowed: BTreeMap<_, _> = allowed.collect();
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let program: BpfProgram = SeccompFilter::new(allowed, denied, SeccompAction::Allow, architecture)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

#[allow(unsafe_code, reason = "madvise takes a bare address range")]
pub(super) fn prefer_large_pages(memory: &GuestMemoryMmap) {
    for region in memory.iter() {
        let Ok(length) = usize::try_from(region.len()) else {
            continue;
        };
        // SAFETY: the range is one mapping, which `memory` keeps, and the advice changes no content.
        let advised = unsafe { madvise(region.as_ptr().cast(), length, Advice::LinuxHugepage) };
        if let Err(error) = advised {
            tracing::debug!("the host has no large pages for guest memory: {error}");
        }
    }
}

const ALLOWED: &[c_long] = &[
    // KVM_RUN and the rest of KVM; FIONBIO.
    libc::SYS_ioctl,
    // Events, timers and pollers.
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Disks, layers, logs, the command loop.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fallocate,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // The vsock's Unix sockets.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socket,
    libc::SYS_socketpair,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads: a device that is reset starts its worker anew.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_prctl,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    // Time and randomness.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];

/// Older forms of the same, which only x86_64 has and its C libraries still call.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs in a process of its own: a filter stays for good.
    const CONFINED: &str = "SAMPAN_TEST_CONFINED";

    #[test]
    fn a_confined_process_opens_files_and_executes_nothing() {
        if std::env::var_os(CONFINED).is_none() {
            let name = "sys::platform::tests::a_confined_process_opens_files_and_executes_nothing";
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--test-threads=1", "--nocapture"])
                .env(CONFINED, "1")
                .status();
            assert!(status.unwrap().success());
            return;
        }
        confine().unwrap();
        let thread = std::thread::spawn(|| std::fs::read("/proc/self/status").unwrap());
        assert!(!thread.join().unwrap().is_empty());
        let error = std::process::Command::new("/bin/true").status().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}

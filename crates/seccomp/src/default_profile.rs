//! Docker's default profile (moby/profiles, `seccomp/default_linux.go`) for the architectures that sampan
//! runs: what does not compromise the kernel or the other containers is allowed, the rest fails with EPERM.

use std::borrow::Cow;

use crate::abi::Abi;
use crate::action::{Action, ENOSYS, EPERM};
use crate::profile::{Comparison, Conditions, ExtraAbi, Operator, Profile, Rule};

/// Allowed whatever the container may do. New system calls are added by hand, and with them rises the number
/// from which on a call fails with ENOSYS.
const ALWAYS: &str = "
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set
ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise
map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall
munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe
pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile
sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
";

/// Allowed on one of Docker's architectures.
const BY_ARCHITECTURE: &[(&str, &str)] = &[
    (
        "arm64",
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    ("amd64", "arch_prctl modify_ldt"),
];

/// Allowed to a container with a capability.
const BY_CAPABILITY: &[(&str, &str)] = &[
    ("BPF", "bpf"),
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    ("PERFMON", "perf_event_open"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    (
        "SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("SYS_PACCT", "acct"),
    (
        "SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("SYS_RAWIO", "ioperm iopl"),
    ("SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYSLOG", "syslog"),
];

/// From Linux 4.8 on, where a tracer can no longer get round a filter.
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";
const TRACING_KERNEL: (u32, u32) = (4, 8);

/// A socket of any family but these two: AF_ALG has a history of holes, AF_VSOCK leads out of the machine.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The execution domains of Linux (PER_LINUX, PER_LINUX32), each with and without UNAME26, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

pub(crate) fn profile() -> Profile {
    let mut rules = vec![
        allow(ALWAYS),
        Rule {
            includes: Conditions {
                minimal_kernel: Some(TRACING_KERNEL),
                ..Conditions::default()
            },
            ..allow(TRACING)
        },
        allow_if("socket", Operator::Less, AF_ALG),
        allow_if("socket", Operator::Equal, AF_ALG + 1),
        allow_if("socket", Operator::Greater, AF_VSOCK),
    ];
    rules.extend(PERSONALITIES.map(|value| allow_if("personality", Operator::Equal, value)));
    rules.extend(BY_ARCHITECTURE.iter().map(|(architecture, names)| Rule {
        includes: Conditions {
            architectures: vec![Cow::Borrowed(architecture)],
            ..Conditions::default()
        },
        ..allow(names)
    }));
    rules.extend(BY_CAPABILITY.iter().map(|(capability, names)| Rule {
        includes: having(capability),
        ..allow(names)
    }));
    // clone3 takes its flags in memory, where a filter cannot see them. ENOSYS makes a C library use clone.
    rules.push(Rule {
        excludes: having("SYS_ADMIN"),
        ..allow_if("clone", Operator::MaskedEqual(NEW_NAMESPACES), 0)
    });
    rules.push(Rule {
        action: Action::Errno(ENOSYS),
        excludes: having("SYS_ADMIN"),
        ..allow("clone3")
    });
    Profile {
        default: Some(Action::Errno(EPERM)),
        extra_abis: vec![
            ExtraAbi {
                abi: Abi::X86,
                beside: Some(Abi::X86_64),
            },
            ExtraAbi {
                abi: Abi::Arm,
                beside: Some(Abi::Aarch64),
            },
        ],
        rules,
    }
}

/// A rule that allows names between white space.
fn allow(names: &'static str) -> Rule {
    Rule {
        names: names.split_whitespace().map(Cow::Borrowed).collect(),
        action: Action::Allow,
        comparisons: Vec::new(),
        includes: Conditions::default(),
        excludes: Conditions::default(),
    }
}

/// A rule that allows a call by its first argument.
fn allow_if(name: &'static str, operator: Operator, value: u64) -> Rule {
    Rule {
        comparisons: vec![Comparison {
            argument: 0,
            operator,
            value,
        }],
        ..allow(name)
    }
}

fn having(capability: &'static str) -> Conditions {
    Conditions {
        capabilities: vec![Cow::Borrowed(capability)],
        ..Conditions::default()
    }
}

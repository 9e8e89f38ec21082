//! Which system calls a container may make: Docker's seccomp profiles, compiled to the classic BPF programs
//! that the kernel runs before every system call (kernel: Documentation/userspace-api/seccomp_filter.rst).
//!
//! A profile (Docker's documentation, "Seccomp security profiles for Docker") has a default action and rules:
//! system call names, an action, comparisons of arguments, and conditions on the container's capabilities,
//! the architecture and the kernel. The host compiles it, for the guest has nothing to decide, and sends the
//! program along with the process. The host's own architecture does not matter.
//!
//! What Docker gets from moby, runc and libseccomp together is kept:
//!
//! - Names that the architecture lacks are passed over. Rules that repeat the default action are too.
//! - Of the rules for a system call, the first without comparisons decides; without one, the first whose
//!   comparisons all hold. A rule that compares one argument twice is as many rules as it has comparisons.
//! - A system call newer than all that the profile names fails with ENOSYS, so that a C library falls back
//!   to an older one instead of taking EPERM for an answer. A profile that allows by default, or that asks
//!   for ENOSYS itself, is left alone.
//! - 32-bit programs (i386 and Arm) are checked against tables of their own when the profile has their
//!   architecture, and are killed when it has not.
//!
//! And this differs, on purpose:
//!
//! - x32 system calls always fail with ENOSYS, as in a kernel without that ABI, which the guest's is.
//! - An argument that the kernel takes as a C `int` is compared in its low 32 bits. Compared in all 64, a
//!   set upper bit would pass `socket(AF_VSOCK)` by a rule against it.
//! - A program is killed, not only the thread, when its architecture is not in the profile.
//! - `socketcall` and `ipc` of 32-bit programs are system calls like others: rules for `socket` or `semop`
//!   do not reach into them.
//! - `SCMP_ACT_NOTIFY` is refused: there is no listener. A profile's `flags` are of no effect.

mod abi;
mod action;
mod compiler;
mod default_profile;
mod json;
mod profile;

use protocol::{Architecture, SeccompProgram};

pub use compiler::{CompileError, MAX_INSTRUCTIONS};
pub use json::{MAX_PROFILE_BYTES, ParseError};
pub use profile::Profile;

/// The programs of Docker's default profile.
///
/// `capabilities` are those of the container's bounding set, with or without `CAP_`; `kernel` is the guest
/// kernel's version, as in (6, 12).
pub fn docker_default(
    architecture: Architecture,
    capabilities: &[String],
    kernel: (u32, u32),
) -> Vec<SeccompProgram> {
    let profile = default_profile::profile();
    compiler::programs(
        &profile,
        &profile::Machine::new(architecture, capabilities, kernel),
    )
}

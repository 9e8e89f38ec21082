//! What goes wrong between this program and the host's hypervisor.

use std::io;

/// The host's hypervisor cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This operating system has a hypervisor, and there is no backend for it here.
    #[error(
        "no hypervisor backend on this system yet: machines of this system run emulated; \
         install QEMU and use `--accel tcg`"
    )]
    NoBackend,
    /// The device node is not there.
    #[error(
        "/dev/kvm does not exist: switch virtualization on in the firmware set-up of this computer, or nested \
         virtualization on where this is itself a virtual machine, and load the module `kvm_intel` or `kvm_amd` \
         (on Arm, KVM is part of the kernel)"
    )]
    Absent,
    /// The device node is there and not for this user.
    #[error(
        "no permission to open /dev/kvm: add your user to the group `kvm` \
         (`sudo usermod -aG kvm \"$USER\"`) and log in again"
    )]
    NoPermission,
    /// It opens and cannot do what a machine needs.
    #[error("/dev/kvm cannot run machines: {0}; update the host's kernel, or use `--accel tcg`")]
    Unusable(String),
}

/// A request that the host's hypervisor refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `what` completes "the hypervisor could not …".
    #[error("the hypervisor could not {what}: {source}")]
    Host { what: &'static str, source: io::Error },
    /// The hypervisor or the processor lacks a feature.
    #[error("the hypervisor does not offer {0}")]
    Unsupported(&'static str),
    /// The caller asked for what makes no machine, such as a table outside guest memory.
    #[error("the machine's set-up is wrong: {0}")]
    Setup(String),
}

impl Error {
    /// For `map_err` on results whose error turns into an [`io::Error`].
    #[cfg(target_os = "linux")]
    pub(crate) fn host<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Host {
            what,
            source: source.into(),
        }
    }
}

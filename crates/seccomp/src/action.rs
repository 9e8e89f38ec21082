//! What happens to a system call, as the kernel encodes it in a filter's return value (seccomp(2)).

/// Linux's EPERM, the error of a profile that names none.
pub(crate) const EPERM: u16 = 1;
/// Linux's ENOSYS on x86 and Arm.
pub(crate) const ENOSYS: u16 = 38;
/// The kernel's largest error number.
pub(crate) const MAX_ERRNO: u16 = 4095;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    KillProcess,
    KillThread,
    /// SIGSYS to the thread.
    Trap,
    /// The call fails with this error.
    Errno(u16),
    /// A tracer decides, and is told this number.
    Trace(u16),
    /// The call is made and noted in the kernel's audit log.
    Log,
    Allow,
}

impl Action {
    /// The value that a filter returns.
    pub(crate) const fn encode(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(number) => 0x0005_0000 | number as u32,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// Whether the call is made.
    pub(crate) const fn permits(self) -> bool {
        matches!(self, Self::Log | Self::Allow)
    }
}

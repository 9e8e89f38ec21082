//! The system call ABIs of the guest's kernels: how a filter recognises one (AUDIT_ARCH_*, linux/audit.h),
//! and its numbers by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use protocol::Architecture;
use syscalls::{aarch64, arm, x86, x86_64};

/// From here on, numbers on x86_64 belong to x32.
pub(crate) const X32_BASE: u32 = 0x4000_0000;
/// Arm's private system calls, which the kernel's table does not hold (asm/unistd.h, `__ARM_NR_BASE`).
const ARM_PRIVATE_BASE: u32 = 0xf_0000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Abi {
    X86_64,
    X86,
    Aarch64,
    Arm,
}

impl Abi {
    pub(crate) const fn native(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Amd64 => Self::X86_64,
            Architecture::Arm64 => Self::Aarch64,
        }
    }

    /// The ABI by libseccomp's name without `SCMP_ARCH_`, if a guest can have it.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        match name {
            "X86_64" => Some(Self::X86_64),
            "X86" => Some(Self::X86),
            "AARCH64" => Some(Self::Aarch64),
            "ARM" => Some(Self::Arm),
            _ => None,
        }
    }

    /// Whether a kernel of this architecture runs programs of this ABI.
    pub(crate) const fn runs_on(self, architecture: Architecture) -> bool {
        match self {
            Self::X86_64 | Self::X86 => matches!(architecture, Architecture::Amd64),
            Self::Aarch64 | Self::Arm => matches!(architecture, Architecture::Arm64),
        }
    }

    /// `seccomp_data.arch`.
    pub(crate) const fn audit_number(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are 32 bits.
    pub(crate) const fn is_32_bit(self) -> bool {
        matches!(self, Self::X86 | Self::Arm)
    }

    /// The number of a system call, if the ABI has it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let tables = &*TABLES;
        let table = match self {
            Self::X86_64 => &tables.x86_64,
            Self::X86 => &tables.x86,
            Self::Aarch64 => &tables.aarch64,
            Self::Arm => &tables.arm,
        };
        table.get(name).copied()
    }

    /// Whether a number is in the kernel's main table, to which every release appends.
    pub(crate) const fn is_in_main_table(self, number: u32) -> bool {
        match self {
            Self::Arm => number < ARM_PRIVATE_BASE,
            Self::X86_64 | Self::X86 | Self::Aarch64 => true,
        }
    }
}

type Table = BTreeMap<&'static str, u32>;

struct Tables {
    x86_64: Table,
    x86: Table,
    aarch64: Table,
    arm: Table,
}

// The library's iterators leave the last call out.
static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    x86_64: table(
        x86_64::Sysno::iter()
            .chain([x86_64::Sysno::last()])
            .map(|call| (call.name(), call.id())),
        &[],
    ),
    x86: table(
        x86::Sysno::iter()
            .chain([x86::Sysno::last()])
            .map(|call| (call.name(), call.id())),
        &[],
    ),
    aarch64: table(
        aarch64::Sysno::iter()
            .chain([aarch64::Sysno::last()])
            .map(|call| (call.name(), call.id())),
        // The library has it as fstatat, which no other table and no profile does.
        &[("newfstatat", 79)],
    ),
    arm: table(
        arm::Sysno::iter()
            .chain([arm::Sysno::last()])
            .map(|call| (call.name(), call.id())),
        &[
            ("sync_file_range2", 341),
            ("breakpoint", ARM_PRIVATE_BASE + 1),
            ("cacheflush", ARM_PRIVATE_BASE + 2),
            ("set_tls", ARM_PRIVATE_BASE + 5),
        ],
    ),
});

fn table(calls: impl Iterator<Item = (&'static str, i32)>, more: &[(&'static str, u32)]) -> Table {
    let calls = calls.filter_map(|(name, number)| Some((name, u32::try_from(number).ok()?)));
    calls.chain(more.iter().copied()).collect()
}

/// Whether the kernel takes an argument of a system call as a C `int` or `unsigned int`, and so ignores its
/// upper 32 bits. Kept for the calls that profiles compare arguments of.
pub(crate) fn is_int(name: &str, argument: u8) -> bool {
    match name {
        "socket" | "socketpair" => argument <= 2,
        "ioctl" => argument <= 1,
        "personality" | "prctl" => argument == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        let cases = [
            ("openat", [Some(257), Some(295), Some(56), Some(322)]),
            ("read", [Some(0), Some(3), Some(63), Some(3)]),
            ("fork", [Some(57), Some(2), None, Some(2)]),
            ("newfstatat", [Some(262), None, Some(79), None]),
            ("socketcall", [None, Some(102), None, None]),
            ("set_tls", [None, None, None, Some(0xf_0005)]),
            ("clone3", [Some(435); 4]),
            ("removexattrat", [Some(466); 4]),
            ("file_setattr", [Some(469); 4]),
            ("no_such_call", [None; 4]),
        ];
        for (name, numbers) in cases {
            let found = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm].map(|abi| abi.number(name));
            assert_eq!(found, numbers, "{name}");
        }
    }
}
